-- Barriers and things done once: participants, deaths, loops.
local ipc = require "lipc"
local names = require "support.names"
local shared = require "support.shared"
local ticks = require "support.ticks"

local sync = ipc.sync

describe("sync.barrier", function()
  local map, b

  before_each(function()
    map = assert(ipc.mmap.anonymous(16384))
    b = assert(sync.barrier(map, 0, { create = true, parties = 3 }))
  end)
  after_each(function()
    b:close()
    map:close()
  end)

  local function code(f, ...) return select(3, f(...)) end

  it("lets all go when the last has come, one of whom is told", function()
    local v = map:view("i64", 8192, 2)
    local list = {}
    for i = 1, 3 do
      list[i] = shared.child(function()
        for round = 1, 20 do
          v:add(1, 1)
          local ok, serial = b:wait(60)
          assert.is_true(ok)
          assert.is_true(v[1] >= 3 * round) -- all have come
          if serial then v:add(2, 1) end
          assert(b:wait(60))
        end
      end)
    end
    for _, p in ipairs(list) do shared.joined(p) end
    assert.equal(20, v[2])
    assert.equal(40, b:stat().generation)
    assert.equal(3, b:stat().parties)
  end)

  it("needs nobody else when it is for one", function()
    local one <close> = assert(sync.barrier(map, 4096, { create = true, parties = 1 }))
    assert.same({ true, true }, { one:wait() })
    assert.same({ true, true }, { one:wait(0) })
  end)

  it("is for as many as it was made for", function()
    local name = "/" .. names.new()
    local made <close> = assert(sync.barrier(name, { create = true, parties = 3, unlink = true }))
    assert.equal(3, made:stat().parties)
    for _, parties in ipairs { 1, 2, 4, 100 } do
      local refused = { nil, ("sync.barrier %s: Invalid argument (parties is 3, %d asked for)"):format(name, parties), "EINVAL" }
      assert.same(refused, { sync.barrier(name, { create = true, parties = parties }) })
      assert.same(refused, { sync.barrier(name, { parties = parties }) })
    end
    local again <close> = assert(sync.barrier(name, { create = true, parties = 3 }))
    local there <close> = assert(sync.barrier(name))
    assert.equal(again:stat().parties, there:stat().parties)
  end)

  it("does not count who has given up", function()
    assert.same({ nil, "barrier:wait: timed out", "ETIMEDOUT" }, { b:wait(0) })
    assert.equal("ETIMEDOUT", code(b.wait, b, 0.02))
    assert.equal(0, b:stat().waiting)
    local loop = ipc.loop.new()
    local lost = coroutine.create(function() b:wait(60) end)
    local cancelled = loop:wrap(function() b:wait(60) end)
    loop:wrap(function()
      while b:stat().waiting < 1 do ipc.sleep(0) end
      cancelled:cancel()
    end)
    loop:run()
    loop:close()
    assert.equal(0, b:stat().waiting)
    assert.equal("suspended", coroutine.status(lost))
  end)

  it("drops those who die while they wait", function()
    local dying = {}
    for i = 1, 2 do
      dying[i] = shared.child(function() b:wait(600) end)
      while b:stat().waiting < i do ipc.sleep(0.001) end
    end
    for _, p in ipairs(dying) do
      assert(p:kill "SIGKILL")
      assert(p:wait(60))
      p:close()
    end
    assert.equal("ETIMEDOUT", code(b.wait, b, 0)) -- not let go by the dead
    local p = shared.child(function() assert(b:wait(60)) end)
    local q = shared.child(function() assert(b:wait(60)) end)
    assert.is_true(b:wait(60))
    shared.joined(p)
    shared.joined(q)
    -- found by those who wait already
    p = shared.child(function() b:wait(600) end)
    q = shared.child(function() assert(b:wait(60)) end)
    while b:stat().waiting < 2 do ipc.sleep(0.001) end
    p:kill "SIGKILL"
    p:wait(60)
    p:close()
    while b:stat().waiting > 1 do ipc.sleep(0.001) end
    local r = shared.child(function() assert(b:wait(60)) end)
    assert.is_true(b:wait(60))
    shared.joined(q)
    shared.joined(r)
  end)

  it("is reset", function()
    local p = shared.child(function()
      assert.same({ nil, "barrier:wait: Operation canceled (the barrier was reset)", "ECANCELED" }, { b:wait(60) })
    end)
    while b:stat().waiting < 1 do ipc.sleep(0.001) end
    assert.is_true(b:reset())
    shared.joined(p)
    assert.equal(0, b:stat().waiting)
    local loop, n = ipc.loop.new(), 0
    for _ = 1, 3 do
      loop:wrap(function()
        assert.is_true(b:wait(60))
        n = n + 1
      end)
    end
    loop:run()
    loop:close()
    assert.equal(3, n)
  end)

  it("lets other coroutines run, and is closed under them", function()
    local loop = ipc.loop.new()
    local s = { spawn = function(f) loop:wrap(f) end, run = function() loop:run() end }
    local n, ok = ticks.beside(s, function()
      for _ = 1, 2 do loop:wrap(function() assert(b:wait(60)) end) end
    end, function() return b:wait(60) end)
    assert.is_true(n >= 3)
    assert.is_true(ok)
    local other <close> = assert(sync.barrier(map, 0))
    local _, _, _, why = ticks.beside(s, function() b:close() end, function() return b:wait(60) end)
    assert.equal("ECANCELED", why)
    assert.equal(0, other:stat().waiting)
    loop:close()
  end)

  it("is not entered by a forked child that leaves its parent's wait", function()
    local loop = ipc.loop.new()
    local waits = loop:wrap(function() b:wait(600) end)
    loop:wrap(function()
      while b:stat().waiting < 1 do ipc.sleep(0) end
      shared.joined(shared.child(function() collectgarbage() end))
      assert.equal(1, b:stat().waiting)
      waits:cancel()
    end)
    loop:run()
    loop:close()
  end)
end)

describe("sync.once", function()
  local map, o

  before_each(function()
    map = assert(ipc.mmap.anonymous(4096))
    o = assert(sync.once(map, 0, { create = true }))
  end)
  after_each(function()
    o:close()
    map:close()
  end)

  it("calls one function in one process", function()
    local v = map:view("i64", 2048, 2)
    local list = {}
    for i = 1, 6 do
      list[i] = shared.child(function()
        local ok, ran = o:call(function(self)
          assert.equal(o, self)
          ipc.sleep(0.02)
          v:add(1, 1)
        end, 60)
        assert.is_true(ok)
        assert.equal(1, v[1]) -- it is done when anybody goes on
        if ran then v:add(2, 1) end
      end)
    end
    for _, p in ipairs(list) do shared.joined(p) end
    assert.equal(1, v[1])
    assert.equal(1, v[2])
    assert.is_true(o:done())
    assert.is_true(o:stat().done)
    assert.same({ true, false }, { o:call(error) })
  end)

  it("is done by another when one died inside, or failed", function()
    assert.is_false(o:done())
    shared.killed(function()
      o:call(function() ipc.signal.kill(ipc.signal.getpid(), "SIGKILL") end)
    end)
    assert.is_false(o:done())
    local thing = {}
    local ok, caught = pcall(o.call, o, function() error(thing) end)
    assert.is_false(ok)
    assert.equal(thing, caught)
    local co = coroutine.create(function() o:call(coroutine.yield) end)
    assert(coroutine.resume(co))
    assert.equal("ETIMEDOUT", select(3, o:call(print, 0.01)))
    assert(coroutine.close(co))
    assert.same({ true, true }, { o:call(function() return nil, "whatever" end) })
    assert.is_true(o:done())
  end)

  it("is waited for by those who come while one dies inside", function()
    local r, w = assert(ipc.pipe.open())
    local p = shared.child(function()
      o:call(function()
        w:write "x"
        ipc.sleep(600)
      end)
    end)
    r:read(1)
    local q = shared.child(function()
      w:write "y"
      local ok, ran = o:call(function() end, 60)
      assert.is_true(ok and ran)
    end)
    r:read(1)
    p:kill "SIGKILL"
    p:wait(60)
    p:close()
    shared.joined(q)
    assert.is_true(o:done())
    r:close()
    w:close()
  end)

  it("refuses to be called from inside, and misuse", function()
    o:call(function() assert.equal("EDEADLK", select(3, o:call(print))) end)
    assert.error_matches(function() o:call() end, "function expected")
    assert.error_matches(function() o:call(print, -1) end, "negative")
  end)

  it("lets other coroutines run while it waits", function()
    local loop = ipc.loop.new()
    local s = { spawn = function(f) loop:wrap(f) end, run = function() loop:run() end }
    local release = false
    loop:wrap(function()
      o:call(function()
        repeat ipc.sleep(0) until release
      end)
    end)
    local n, ok, ran = ticks.beside(s, function() release = true end, function() return o:call(print, 60) end)
    assert.is_true(n >= 3)
    assert.same({ true, false }, { ok, ran })
    loop:close()
  end)
end)
