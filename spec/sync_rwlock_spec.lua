-- Reader-writer locks: who is let in, who died, slots, loops.
local ipc = require "lipc"
local shared = require "support.shared"
local ticks = require "support.ticks"

local sync = ipc.sync

describe("sync.rwlock", function()
  local map, a, b

  before_each(function()
    map = assert(ipc.mmap.anonymous(65536))
    a = assert(sync.rwlock(map, 64, { create = true }))
    b = assert(sync.rwlock(map, 64))
  end)
  after_each(function()
    a:close()
    b:close()
    map:close()
  end)

  local function code(f, ...) return select(3, f(...)) end

  it("lets readers in together, and a writer alone", function()
    assert.same({ true }, { a:rdlock() })
    assert.same({ true }, { b:tryrdlock() })
    assert.equal(2, a:stat().readers)
    assert(b:unlock())
    assert.same({ nil, "rwlock:trywrlock: timed out", "ETIMEDOUT" }, { b:trywrlock() })
    assert.equal("ETIMEDOUT", code(b.wrlock, b, 0.02))
    assert(a:unlock())
    assert.same({ true }, { b:wrlock() })
    assert.equal(ipc.signal.getpid(), a:stat().writer)
    assert.same({ nil, "rwlock:rdlock: timed out", "ETIMEDOUT" }, { a:rdlock(0.02) })
    assert.equal("ETIMEDOUT", code(a.tryrdlock, a))
    assert.equal("ETIMEDOUT", code(a.trywrlock, a))
    assert(b:unlock())
    assert.same({ readers = 0, waiting = 0, slots = 64, offset = 64, type = "rwlock", state = "ok",
      size = sync.sizeof "rwlock" }, a:stat())
  end)

  it("belongs to coroutines", function()
    assert(a:rdlock() and a:rdlock()) -- again
    assert.equal("EDEADLK", code(a.wrlock, a))
    coroutine.wrap(function()
      assert.equal("EPERM", code(a.unlock, a))
      assert(a:rdlock(0))
      assert.equal("ETIMEDOUT", code(a.trywrlock, b))
      assert(a:unlock())
      assert.equal("EPERM", code(a.unlock, a))
    end)()
    assert(a:unlock())
    assert.equal("ETIMEDOUT", code(b.trywrlock, b))
    assert(a:unlock())
    assert.equal("EPERM", code(a.unlock, a))
    assert(a:wrlock())
    assert.equal("EDEADLK", code(a.wrlock, a))
    assert.equal("EDEADLK", code(a.rdlock, a))
    coroutine.wrap(function()
      assert.equal("EPERM", code(a.unlock, a))
      assert.equal("ETIMEDOUT", code(a.rdlock, a, 0.01))
      assert.equal("ETIMEDOUT", code(a.wrlock, a, 0.01))
    end)()
    assert(a:unlock())
  end)

  it("keeps other processes out, and lets them read beside", function()
    assert(a:rdlock())
    shared.joined(shared.child(function()
      assert.equal("EPERM", code(a.unlock, a))
      assert.equal("ETIMEDOUT", code(a.wrlock, a, 0.05))
      assert(a:rdlock() and a:unlock())
      a:close()
    end))
    assert(a:unlock())
    assert(a:wrlock())
    shared.joined(shared.child(function()
      assert.equal("EPERM", code(a.unlock, a))
      assert.equal("ETIMEDOUT", code(a.rdlock, a, 0.05))
      map:close()
    end))
    assert(a:unlock())
  end)

  it("lets no new reader in while a writer waits, but one who reads already again", function()
    assert(a:rdlock())
    local p = shared.child(function() assert(b:wrlock(60) and b:unlock()) end)
    while a:stat().waiting == 0 do ipc.sleep(0.001) end
    assert.equal("ETIMEDOUT", code(b.tryrdlock, b))
    assert(a:rdlock(0) and a:unlock())
    coroutine.wrap(function() assert.equal("ETIMEDOUT", code(a.tryrdlock, a)) end)()
    assert(a:unlock())
    shared.joined(p)
    assert(b:tryrdlock() and b:unlock())
  end)

  it("is not held up by a writer that has given up, is killed or stands still", function()
    assert(a:rdlock())
    local function reads()
      assert.same({ true }, { b:rdlock(60) })
      assert(b:unlock())
    end
    assert.equal("ETIMEDOUT", code(b.wrlock, b, 0.01))
    assert.equal(0, a:stat().waiting)
    reads()
    for _, signal in ipairs { "SIGKILL", "SIGSTOP" } do
      local p = shared.child(function() b:wrlock(600) end)
      while a:stat().waiting == 0 do ipc.sleep(0.001) end
      assert(p:kill(signal))
      reads()
      p:kill "SIGKILL"
      p:wait(60)
      p:close()
    end
    assert(a:unlock())
  end)

  it("drops readers that died", function()
    for _ = 1, 3 do shared.killed(function() assert(a:rdlock()) end) end
    assert.equal(3, a:stat().readers)
    assert.same({ true }, { b:trywrlock() }) -- the first attempt looks
    assert(b:unlock())
    local _, kill = shared.staying(function() assert(a:rdlock()) end)
    local p = shared.child(function() assert(b:wrlock(60) and b:unlock()) end)
    while a:stat().waiting == 0 do ipc.sleep(0.001) end
    kill()
    shared.joined(p)
  end)

  it("is taken over from a writer that died, and says so", function()
    shared.killed(function() assert(a:wrlock()) end)
    assert.same({ true, "EOWNERDEAD" }, { a:rdlock() })
    assert.equal("EPERM", code(a.consistent, a)) -- a reader cannot repair
    assert.equal("orphaned", a:stat().state)
    assert(a:unlock())
    assert.same({ true, "EOWNERDEAD" }, { b:wrlock() })
    assert.is_true(b:consistent())
    assert.equal("EINVAL", code(b.consistent, b))
    assert(b:unlock())
    assert.equal("EPERM", code(b.consistent, b))
    assert.same({ true }, { a:rdlock() })
    assert(a:unlock())
    -- the one who repairs dies too
    shared.killed(function() assert(a:wrlock()) end)
    shared.killed(function() assert.equal("EOWNERDEAD", select(2, a:wrlock())) end)
    assert.equal("EOWNERDEAD", select(2, a:wrlock()))
    assert(a:consistent() and a:unlock())
    assert.same({ true }, { a:wrlock() })
    assert(a:unlock())
  end)

  it("is taken over from who has become another program, which is still there", function()
    local kill = shared.becoming(function() assert(a:rdlock()) end)
    assert.same({ true }, { b:trywrlock() })
    assert(b:unlock())
    kill()
    kill = shared.becoming(function() assert(a:wrlock()) end)
    assert.same({ true, "EOWNERDEAD" }, { b:trywrlock() })
    assert(b:consistent() and b:unlock())
    kill()
  end)

  it("is not recoverable when nobody said that it is consistent", function()
    shared.killed(function() assert(a:wrlock()) end)
    assert(a:wrlock() and a:unlock())
    assert.equal("lost", a:stat().state)
    assert.same({ nil, "rwlock:rdlock: State not recoverable (a writer died, and it was not made consistent)",
      "ENOTRECOVERABLE" }, { a:rdlock() })
    for _, f in ipairs { "wrlock", "tryrdlock", "trywrlock" } do
      assert.equal("ENOTRECOVERABLE", code(b[f], b))
    end
    assert.equal("ENOTRECOVERABLE", code(a.with, a, "read", print))
  end)

  it("gives back when the function of with ends, however", function()
    assert.same({ 1, nil, 2 }, { a:with("read", function(...)
      assert.equal(1, select("#", ...))
      assert.equal(1, a:stat().readers)
      return 1, nil, 2
    end) })
    assert.error_matches(function() a:with("write", error) end, "")
    assert(b:trywrlock() and b:unlock())
    for _, mode in ipairs { "read", "write" } do
      local co = coroutine.create(function() a:with(mode, coroutine.yield) end)
      assert(coroutine.resume(co))
      assert.equal("ETIMEDOUT", code(b.trywrlock, b))
      assert(coroutine.close(co))
      assert(b:trywrlock() and b:unlock())
    end
    shared.killed(function() a:wrlock() end)
    assert.equal("EOWNERDEAD", a:with("write", function(self, dead)
      self:consistent()
      return dead
    end))
    assert.equal("nothing", a:with("read", function(self, dead)
      assert(self:unlock()) -- by itself
      return dead or "nothing"
    end))
    assert.error_matches(function() a:with("both", print) end, "invalid option 'both'")
    assert.error_matches(function() a:with("read") end, "function expected")
  end)

  it("is given back when it is closed, collected, or its mapping is", function()
    assert(a:wrlock())
    assert(a:close())
    assert(b:rdlock())
    local c = assert(sync.rwlock(map, 64))
    assert(c:rdlock())
    assert(b:close())
    c = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    b = assert(sync.rwlock(map, 64))
    assert(b:trywrlock() and b:unlock())
    local name = "/" .. require "support.names".new()
    local one <close> = assert(ipc.shm.open(name, { create = true, size = 8192, unlink = true }))
    local two = assert(ipc.shm.open(name))
    local by_one <close> = assert(sync.rwlock(one, 0, { create = true }))
    local by_two = assert(sync.rwlock(two, 0))
    assert(by_two:wrlock())
    assert(two:close())
    assert.same({ true }, { by_one:rdlock(0) })
    assert.error_matches(function() by_two:unlock() end, "closed mapping")
  end)

  it("says when there are no slots", function()
    local list = {}
    for i = 1, 3 do list[i] = assert(sync.rwlock(map, 8192, { create = true, slots = 2 })) end
    assert.equal(2, list[1]:stat().slots)
    assert(list[1]:rdlock() and list[2]:rdlock())
    assert.same({ nil, "rwlock:rdlock: No space left on device (all 2 slots are taken: see the option 'slots')",
      "ENOSPC" }, { list[3]:rdlock() })
    assert.equal("ETIMEDOUT", code(list[3].wrlock, list[3], 0.01))
    assert(list[1]:unlock())
    shared.killed(function() assert(list[1]:rdlock()) end)
    assert(list[3]:rdlock()) -- of the dead one
    for i = 2, 3 do assert(list[i]:unlock()) end
    for i = 1, 3 do list[i]:close() end
  end)

  it("lets other coroutines run while it waits", function()
    local loop = ipc.loop.new()
    local s = { spawn = function(f) loop:wrap(f) end, run = function() loop:run() end }
    for _, f in ipairs { "rdlock", "wrlock" } do
      assert(b:wrlock())
      local n, ok = ticks.beside(s, function() b:close() end, function() return a[f](a, 60) end)
      assert.is_true(n >= 3)
      assert.is_true(ok)
      a:close()
      a, b = assert(sync.rwlock(map, 64)), assert(sync.rwlock(map, 64))
    end
    assert(b:wrlock())
    local _, _, _, why = ticks.beside(s, function() a:close() end, function() return a:wrlock(60) end)
    assert.equal("ECANCELED", why)
    loop:close()
  end)

  it("is given back at the end of with although a signal comes while the word is taken", function()
    local word = map:view("u32", 64, 1)
    local self = ipc.signal.getpid()
    local on <close> = assert(ipc.signal.on("SIGUSR1", function() end)) -- luacheck: ignore
    local stays, ends = shared.staying(function() end)
    local p
    a:with("write", function()
      word[1] = stays:pid() -- as if another process were inside
      p = shared.child(function()
        while word:load(1) < 1 << 31 do ipc.sleep(0.001) end -- until its parent waits
        for _ = 1, 20 do
          ipc.signal.kill(self, "SIGUSR1")
          ipc.sleep(0.002)
        end
        word:store(1, 0)
      end)
    end)
    shared.joined(p)
    assert.same({ true }, { b:trywrlock() })
    assert(b:unlock())
    ends()
  end)

  it("lets nobody wait for a wish of before the system was started anew", function()
    local slot = map:view("u64", 64 + 48, 4)
    slot[1], slot[3], slot[4] = 4 | ipc.signal.getpid() << 32, 1, math.maxinteger -- wants, until then
    assert.same({ true }, { a:tryrdlock() })
    assert.equal(0, a:stat().waiting)
    assert(a:unlock())
  end)

  it("keeps readers from seeing half of what is written", function()
    local v = map:view("i64", 32768, 2)
    local list = {}
    for i = 1, 4 do
      list[i] = shared.child(function()
        for _ = 1, 300 do
          if i <= 2 then
            a:with("write", function() v[1], v[2] = v[1] + 1, v[2] + 1 end)
          else
            a:with("read", function() assert.equal(v[1], v[2]) end)
          end
        end
      end)
    end
    for _, p in ipairs(list) do shared.joined(p) end
    assert.equal(600, v[1])
    assert.equal(600, v[2])
  end)
end)
