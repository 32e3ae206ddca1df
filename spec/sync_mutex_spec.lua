-- Robust mutexes: owners, deaths, closing, loops.
local ipc = require "lipc"
local shared = require "support.shared"
local ticks = require "support.ticks"

local sync = ipc.sync

describe("sync.mutex", function()
  local map, m

  before_each(function()
    map = assert(ipc.mmap.anonymous(4096))
    m = assert(sync.mutex(map, 64, { create = true }))
  end)
  after_each(function()
    m:close()
    map:close()
  end)

  local function code(f, ...) return select(3, f(...)) end

  it("is locked and unlocked", function()
    assert.same({ true }, { m:lock() })
    assert.is_true(m:stat().held)
    assert.same({ true }, { m:unlock() })
    assert.same({ true }, { m:trylock() })
    assert.is_true(m:unlock())
    assert.is_false(m:stat().held)
  end)

  it("belongs to a coroutine", function()
    assert(m:lock())
    assert.equal("EDEADLK", code(m.lock, m))
    assert.equal("EDEADLK", code(m.trylock, m))
    coroutine.wrap(function()
      assert.equal("EPERM", code(m.unlock, m))
      assert.equal("ETIMEDOUT", code(m.lock, m, 0.01))
      assert.same({ nil, "mutex:trylock: timed out", "ETIMEDOUT" }, { m:trylock() })
      assert.is_false(m:stat().held)
    end)()
    assert(m:unlock())
    assert.same({ nil, "mutex:unlock: Operation not permitted (this coroutine, in this thread, does not hold it)",
      "EPERM" }, { m:unlock() })
    local co = coroutine.create(function()
      assert(m:lock())
      coroutine.yield()
      assert(m:unlock())
    end)
    assert(coroutine.resume(co))
    assert.equal("EPERM", code(m.unlock, m))
    assert.equal("ETIMEDOUT", code(m.trylock, m))
    assert(coroutine.resume(co))
    assert(m:lock() and m:unlock())
  end)

  it("keeps the coroutine that holds it, so that no other gets its place", function()
    coroutine.wrap(function() assert(m:lock()) end)()
    collectgarbage()
    collectgarbage()
    for _ = 1, 100 do
      coroutine.wrap(function() assert.equal("EPERM", code(m.unlock, m)) end)()
    end
    m:close()
    m = assert(sync.mutex(map, 64))
    assert(m:lock(60) and m:unlock())
  end)

  it("counts when it is recursive, and only then", function()
    local r <close> = assert(sync.mutex(map, 256, { create = true, type = "recursive" }))
    assert.is_true(r:stat().recursive)
    for _ = 1, 3 do assert.is_true(r:lock()) end
    assert.equal(7, r:with(function() return 7 end))
    local other <close> = assert(sync.mutex(map, 256))
    assert.is_true(other:stat().recursive)
    assert.equal("ETIMEDOUT", code(other.trylock, other)) -- the C library would let the thread in again
    assert.equal("ETIMEDOUT", code(other.lock, other, 0.01))
    for _ = 1, 2 do assert(r:unlock()) end
    assert.equal("ETIMEDOUT", code(other.trylock, other))
    assert(r:unlock())
    assert.equal("EPERM", code(r.unlock, r))
    assert(other:lock() and other:unlock())
  end)

  it("says that the thread has it by another object, where the C library looks", function()
    local a <close> = assert(sync.mutex(map, 256, { create = true, type = "errorcheck" }))
    local b <close> = assert(sync.mutex(map, 256))
    assert(a:lock())
    assert.equal("EDEADLK", code(a.lock, a))
    assert.equal("EDEADLK", code(b.lock, b, 60))
    assert.equal("EDEADLK", code(b.trylock, b))
    assert(a:unlock())
    assert(b:lock() and b:unlock())
  end)

  it("keeps other processes out", function()
    assert(m:lock())
    shared.joined(shared.child(function()
      assert.equal("EPERM", code(m.unlock, m)) -- of its parent
      assert.equal("ETIMEDOUT", code(m.trylock, m))
      assert.equal("ETIMEDOUT", code(m.lock, m, 0.05))
      m:close() -- gives back nothing
    end))
    shared.joined(shared.child(function() map:close() end))
    assert.is_true(m:stat().held)
    assert(m:unlock())
    shared.joined(shared.child(function() assert(m:lock() and m:unlock()) end))
  end)

  it("is taken over from one that died", function()
    shared.killed(function() assert(m:lock()) end)
    assert.same({ true, "EOWNERDEAD" }, { m:lock() })
    assert.is_true(m:consistent())
    assert.equal("EINVAL", code(m.consistent, m))
    assert(m:unlock())
    assert.equal("EPERM", code(m.consistent, m))
    assert.same({ true }, { m:lock() })
    assert(m:unlock())
  end)

  it("is taken over by one that waits", function()
    local _, kill = shared.staying(function() assert(m:lock()) end)
    local r, w = assert(ipc.pipe.open())
    local p = shared.child(function()
      w:write "x"
      local ok, dead = m:lock(60)
      assert.same({ true, "EOWNERDEAD" }, { ok, dead })
      assert(m:consistent() and m:unlock())
    end)
    r:read(1)
    kill()
    shared.joined(p)
    r:close()
    w:close()
    assert.same({ true }, { m:lock() })
    m:unlock()
  end)

  it("is not recoverable when nobody said that it is consistent", function()
    shared.killed(function() assert(m:lock()) end)
    assert(m:lock() and m:unlock())
    for _ = 1, 2 do
      assert.same({ nil, "mutex:lock: State not recoverable (who held it died, and it was not made consistent)",
        "ENOTRECOVERABLE" }, { m:lock() })
      assert.equal("ENOTRECOVERABLE", code(m.trylock, m))
      assert.equal("ENOTRECOVERABLE", code(m.with, m, print))
    end
    shared.joined(shared.child(function() assert.equal("ENOTRECOVERABLE", code(m.lock, m)) end))
  end)

  it("is taken over from who has become another program, which is still there", function()
    local kill = shared.becoming(function() assert(m:lock()) end)
    assert.same({ true, "EOWNERDEAD" }, { m:trylock() })
    assert(m:consistent() and m:unlock())
    kill()
  end)

  it("tells the function of with that the owner died", function()
    assert.same({ m, nil, "x" }, { m:with(function(...)
      assert.equal(1, select("#", ...))
      return ..., nil, "x"
    end) })
    shared.killed(function() assert(m:lock()) end)
    assert.equal("EOWNERDEAD", (m:with(function(self, dead)
      assert(self:consistent())
      return dead
    end)))
    assert.is_true(m:with(function(_, dead) return dead == nil end))
  end)

  it("is given back when the function of with ends, however", function()
    local thing = {}
    local ok, caught = pcall(m.with, m, function() error(thing) end)
    assert.is_false(ok)
    assert.equal(thing, caught)
    assert.is_false(m:stat().held)
    local co = coroutine.create(function() m:with(coroutine.yield) end)
    assert(coroutine.resume(co))
    assert.equal("ETIMEDOUT", code(m.with, m, print, 0.01))
    assert(coroutine.close(co))
    assert(m:trylock() and m:unlock())
    ;(function()
      local lost = coroutine.create(function() m:with(coroutine.yield) end)
      assert(coroutine.resume(lost))
    end)()
    m:close() -- the object keeps who holds it
    m = assert(sync.mutex(map, 64))
    assert(m:trylock() and m:unlock())
    -- given back inside, and taken by another: that stays
    local other = coroutine.create(function()
      assert(m:lock())
      coroutine.yield()
      assert(m:unlock())
    end)
    m:with(function()
      assert(m:unlock())
      assert(coroutine.resume(other))
    end)
    assert.equal("ETIMEDOUT", code(m.trylock, m))
    assert(coroutine.resume(other))
    assert(m:trylock() and m:unlock())
  end)

  it("is given back when it is closed, collected, or its mapping is", function()
    local other <close> = assert(sync.mutex(map, 64))
    assert(m:lock())
    assert.is_true(m:close())
    assert(other:lock() and other:unlock())
    do
      local scoped <close> = assert(sync.mutex(map, 64))
      assert(scoped:lock())
    end
    assert(other:lock() and other:unlock())
    ;(function() assert(sync.mutex(map, 64):lock()) end)()
    collectgarbage()
    collectgarbage()
    assert(other:trylock() and other:unlock())
    local name = "/" .. require "support.names".new()
    local one <close> = assert(ipc.shm.open(name, { create = true, size = 4096, unlink = true }))
    local two = assert(ipc.shm.open(name))
    local by_one <close> = assert(sync.mutex(one, 0, { create = true }))
    local by_two = assert(sync.mutex(two, 0))
    assert(by_two:lock())
    assert.is_true(two:close())
    assert.error_matches(function() by_two:unlock() end, "closed mapping")
    assert.is_true(by_two:close())
    assert.same({ true }, { by_one:lock() })
  end)

  it("lets other coroutines run while it waits, and waits for them", function()
    local r, w = assert(ipc.pipe.open())
    local go_on, go = assert(ipc.pipe.open())
    local p = shared.child(function()
      assert(m:lock())
      w:write "locked\n"
      r:close()
      assert(go_on:read(1))
      assert(m:unlock())
    end)
    assert.equal("locked", r:read "l")
    local loop, n, done = ipc.loop.new(), 0, false
    loop:wrap(function()
      assert(m:lock(60))
      assert(n >= 3)
      ipc.sleep(0.01)
      assert(m:unlock())
      done = true
    end)
    loop:wrap(function()
      while not done do
        ipc.sleep(0)
        n = n + 1
        if n == 3 then go:write "x" end
      end
    end)
    loop:wrap(function() assert.equal(5, m:with(function() return 5 end, 60)) end)
    loop:run()
    assert.is_true(done)
    shared.joined(p)
    for _, o in ipairs { r, w, go_on, go } do o:close() end
    local s = { spawn = function(f) loop:wrap(f) end, run = function() loop:run() end }
    assert(m:lock())
    local seen, _, _, why = ticks.beside(s, function() m:close() end, function() return m:lock(60) end)
    assert.is_true(seen >= 3)
    assert.equal("ECANCELED", why)
    loop:close()
  end)

  it("refuses to wait for ever where only the loop could help", function()
    local loop = ipc.loop.new()
    assert(m:lock())
    loop:wrap(function()
      local ok, message = pcall(coroutine.wrap(function() coroutine.yield(m:lock()) end))
      assert.is_false(ok)
      assert.matches("cannot wait here", message)
    end)
    loop:run()
    loop:close()
  end)

  it("adds up what eight processes count", function()
    local v = map:view("i64", 1024, 2)
    local children = {}
    for i = 1, 8 do
      children[i] = shared.child(function()
        for _ = 1, 1000 do
          m:lock()
          local n = v[1]
          v[2] = v[2] + 1
          v[1] = n + 1
          m:unlock()
        end
      end)
    end
    for _, p in ipairs(children) do shared.joined(p) end
    assert.equal(8000, v[1])
    assert.equal(8000, v[2])
  end)

  it("is the mutex of a program in C", function()
    if os.getenv "LIPC_SPEC_MODE" == "valgrind" then return end -- what it does not follow
    local name = "/" .. require "support.names".new()
    for offset, raw in pairs { [128 + sync.NATIVE_OFFSET] = false, [128] = true } do
      local object <close> = assert(ipc.shm.open(name, { create = true, size = 4096, unlink = true }))
      local lock <close> = assert(sync.mutex(object, 128, { create = true, raw = raw or nil }))
      local v = object:view("i64", 0, 1)
      local p = assert(io.popen(("exec build/host/mutexpeer count %s %d 5000"):format(name, offset)))
      for _ = 1, 5000 do lock:with(function() v[1] = v[1] + 1 end) end
      assert.equal("done\n", p:read "a")
      assert(p:close())
      assert.equal(10000, v[1])
      -- and it dies with it
      p = assert(io.popen(("exec build/host/mutexpeer die %s %d 2>&1"):format(name, offset)))
      assert.equal("locked\n", p:read "a")
      p:close()
      assert.same({ true, "EOWNERDEAD" }, { lock:lock(60) })
      assert(lock:consistent() and lock:unlock())
      -- it waits for this one, and is told of a child of this one that died
      shared.killed(function() assert(lock:lock()) end)
      p = assert(io.popen(("exec build/host/mutexpeer take %s %d"):format(name, offset)))
      assert.equal("dead\n", p:read "a")
      assert(p:close())
      assert.same({ true }, { lock:lock() })
      assert(lock:unlock())
    end
  end)

  -- The C library keeps those that a thread holds in a list, which goes through their memory.
  for when, script in pairs {
    ["given back"] = "print(pcall(function() return lost:unlock() end))",
    ["closed"] = "print(pcall(function() lost:close() error 'lost mapping' end))",
    ["left to the end"] = "print(false, 'lost mapping')",
    ["given back at the end of a function"] = [[
      assert(lost:unlock())
      io.open("/dev/shm" .. name, "w"):write(whole):close()
      print(pcall(function() lost:with(function() cut() end) error 'lost mapping' end))]],
  } do
    it("whose file was cut off leaves the others in order, " .. when, function()
      local child = require "support.child"
      local _, finish = child.lua([[
        local ipc = require "lipc"
        local name, script = ...
        local function cut() assert(os.execute("truncate -s 0 /dev/shm" .. name)) end
        local first = assert(ipc.sync.mutex(ipc.shm.anonymous { size = 4096 }, 0, { create = true }))
        local other = assert(ipc.sync.mutex(ipc.shm.anonymous { size = 4096 }, 0, { create = true }))
        local lost = assert(ipc.sync.mutex(name, { create = true, unlink = true }))
        local whole = assert(io.open("/dev/shm" .. name)):read "a"
        assert(first:lock() and lost:lock() and other:lock())
        if not script:find "cut" then cut() end
        assert(load(script, "script", "t", setmetatable({ lost = lost, cut = cut, name = name, whole = whole }, { __index = _G })))()
        assert(other:unlock() and first:unlock())
        if not script:find "left" then lost:close() end
        for _ = 1, 3 do assert(other:lock() and first:lock() and other:unlock() and first:unlock()) end
        print "well"
      ]], "/" .. require "support.names".new(), script)
      local ok, output = finish()
      assert.is_true(ok, output)
      assert.matches("^false\t[^\n]*lost mapping[^\n]*\nwell\n$", output)
    end)
  end

  it("opens one that a program in C has made, raw", function()
    local name = "/" .. require "support.names".new()
    local object <close> = assert(ipc.shm.open(name, { create = true, size = 4096, unlink = true }))
    local p = assert(io.popen(("exec build/host/mutexpeer make %s 64"):format(name)))
    assert.equal("made\n", p:read "a")
    assert(p:close())
    local lock <close> = assert(sync.mutex(object, 64, { raw = true }))
    assert.is_true(lock:stat().raw)
    assert(lock:lock())
    p = assert(io.popen(("exec build/host/mutexpeer try %s 64"):format(name)))
    assert.equal("busy\n", p:read "a")
    assert(p:close())
    assert(lock:unlock())
  end)
end)
