-- Conditions: waiting with the mutex given back and taken again, signals, deaths, loops.
local ipc = require "lipc"
local shared = require "support.shared"
local ticks = require "support.ticks"

local sync = ipc.sync

describe("sync.cond", function()
  local map, m, c, v

  before_each(function()
    map = assert(ipc.mmap.anonymous(4096))
    m = assert(sync.mutex(map, 0, { create = true }))
    c = assert(sync.cond(map, 256, { create = true }))
    v = map:view("i64", 1024, 4)
  end)
  after_each(function()
    c:close()
    m:close()
    map:close()
  end)

  local function code(f, ...) return select(3, f(...)) end

  -- A child that waits until v[1] is not 0, having said in v[2] that it is about to.
  local function waiter(timeout)
    return shared.child(function()
      assert(m:lock(60))
      v[2] = v[2] + 1
      while v[1] == 0 do assert(c:wait(m, timeout or 60)) end
      assert.is_true(m:stat().held)
      v[3] = v[3] + 1
      assert(m:unlock())
    end)
  end

  local function until_waiting(n)
    repeat
      assert(m:lock(60))
      local there = v[2]
      assert(m:unlock())
    until there == n or not ipc.sleep(0.001)
  end

  it("waits for a signal, the mutex given back meanwhile", function()
    local p = waiter()
    until_waiting(1)
    assert(m:lock(60))
    v[1] = 1
    assert.is_true(c:signal())
    assert(m:unlock())
    shared.joined(p)
    assert.equal(1, v[3])
    assert.equal(1, c:stat().signals)
  end)

  it("wakes all", function()
    local list = {}
    for i = 1, 4 do list[i] = waiter() end
    until_waiting(4)
    m:with(function() v[1] = 1 end)
    assert.is_true(c:broadcast())
    for _, p in ipairs(list) do shared.joined(p) end
    assert.equal(4, v[3])
  end)

  it("has the mutex again when the time is over", function()
    assert(m:lock())
    for _, timeout in ipairs { 0, 0.02 } do
      assert.same({ nil, "cond:wait: timed out", "ETIMEDOUT" }, { c:wait(m, timeout) })
      assert.is_true(m:stat().held)
    end
    c:settimeout(0.01)
    assert.equal("ETIMEDOUT", code(c.wait, c, m))
    assert(m:unlock())
  end)

  it("gives a recursive one wholly back, and has it again as often", function()
    local r <close> = assert(sync.mutex(map, 512, { create = true, type = "recursive" }))
    local other <close> = assert(sync.mutex(map, 512))
    assert(r:lock() and r:lock() and r:lock())
    coroutine.wrap(function() assert.equal("ETIMEDOUT", code(other.trylock, other)) end)()
    local p = shared.child(function()
      assert(other:lock(60))
      c:signal()
      assert(other:unlock())
    end)
    assert.is_true(c:wait(r, 60))
    shared.joined(p)
    for _ = 1, 3 do assert(r:unlock()) end
    assert.equal("EPERM", code(r.unlock, r))
  end)

  it("is part of with", function()
    assert.equal(3, m:with(function()
      assert.equal("ETIMEDOUT", code(c.wait, c, m, 0.01))
      assert.is_true(m:stat().held)
      return 3
    end))
    assert.is_false(m:stat().held)
  end)

  it("refuses a mutex that this coroutine does not hold", function()
    assert.same({ nil, "cond:wait: Operation not permitted (this coroutine does not hold the mutex)", "EPERM" },
      { c:wait(m, 0) })
    assert(m:lock())
    coroutine.wrap(function() assert.equal("EPERM", code(c.wait, c, m, 0)) end)()
    assert(m:unlock())
    assert.error_matches(function() c:wait() end, "#1.*lipc.sync.mutex expected")
    assert.error_matches(function() c:wait(c) end, "#1.*lipc.sync.mutex expected, got lipc.sync.cond")
    assert.error_matches(function() c:wait(m, -1) end, "negative")
    local closed = assert(sync.mutex(map, 0))
    closed:close()
    assert.error_matches(function() c:wait(closed) end, "closed mutex")
  end)

  it("says that the holder died while it waited", function()
    assert(m:lock(60)) -- a child takes it when wait gives it back, and dies
    local q = shared.child(function()
      assert(m:lock(60))
      ipc.signal.kill(ipc.signal.getpid(), "SIGKILL")
    end)
    local list
    repeat list = table.pack(c:wait(m, 0.05)) until list.n == 4 or list[1] -- it can have come to it only inside of a wait
    assert(q:wait(60))
    assert.same({ nil, "cond:wait: timed out", "ETIMEDOUT", "EOWNERDEAD", n = 4 }, list)
    assert(m:consistent() and m:unlock())
  end)

  it("does not depend on waiters that die, nor on a signaller", function()
    local p = waiter()
    local _, kill = shared.staying(function() end)
    until_waiting(1)
    local dead = {}
    for i = 1, 5 do
      dead[i] = waiter()
      until_waiting(1 + i)
    end
    for _, q in ipairs(dead) do
      q:kill "SIGKILL"
      q:wait(60)
      q:close()
    end
    kill()
    -- one may have died while it had the mutex
    local _, orphaned = assert(m:lock(60))
    if orphaned then assert(m:consistent()) end
    v[1] = 1
    assert(m:unlock())
    c:signal()
    shared.joined(p)
  end)

  it("lets other coroutines run, is signalled by them, and cancelled", function()
    local loop = ipc.loop.new()
    local s = { spawn = function(f) loop:wrap(f) end, run = function() loop:run() end }
    local n, ok = ticks.beside(s, function()
      m:with(function() c:signal() end)
    end, function()
      assert(m:lock())
      local r = c:wait(m)
      assert(m:unlock())
      return r
    end)
    assert.is_true(n >= 3)
    assert.is_true(ok)
    local _, _, _, why, held = ticks.beside(s, function() c:close() end, function()
      assert(m:lock())
      local _, message, code_ = c:wait(m, 60)
      local is = m:stat().held
      assert(m:unlock())
      return nil, message, code_, is
    end)
    assert.equal("ECANCELED", why)
    assert.is_true(held)
    loop:close()
  end)

  it("refuses to wait for ever where only the loop could help, and keeps the mutex", function()
    local loop = ipc.loop.new()
    loop:wrap(function()
      coroutine.wrap(function()
        assert(m:lock())
        assert.error_matches(function() c:wait(m) end, "cannot wait here")
        assert.is_true(m:stat().held)
        assert(m:unlock())
      end)()
    end)
    loop:run()
    loop:close()
  end)

  it("passes items from one to another", function()
    local taken = map:view("i64", 2048, 1)
    local consumer = shared.child(function()
      for i = 1, 500 do
        m:with(function()
          while v[1] == 0 do assert(c:wait(m, 60)) end
          assert.equal(i, v[1])
          v[1] = 0
          taken[1] = taken[1] + i
          c:broadcast()
        end)
      end
    end)
    for i = 1, 500 do
      m:with(function()
        while v[1] ~= 0 do assert(c:wait(m, 60)) end
        v[1] = i
        c:broadcast()
      end)
    end
    shared.joined(consumer)
    assert.equal(500 * 501 // 2, taken[1])
  end)
end)
