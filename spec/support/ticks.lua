-- What every scheduler must let lipc do: a wait suspends its coroutine only.  A coroutine that ticks
-- beside it is counted: while it can count to three, nothing blocks the thread.
--   s.spawn(fn)  puts a coroutine under the scheduler;  s.run()  runs it until all have ended
-- SPDX-License-Identifier: MIT
local ipc = require "lipc"
local assert = require "luassert"

local ticks = {}

-- Runs fn while another coroutine ticks; when that has ticked three times it calls release().
function ticks.beside(s, release, fn)
  local ended, n, results = false, 0, nil
  s.spawn(function()
    results = table.pack(fn())
    ended = true
  end)
  s.spawn(function()
    while not ended do
      ipc.sleep(0)
      n = n + 1
      if n == 3 then release() end
    end
  end)
  s.run()
  return n, table.unpack(results, 1, results.n)
end

-- Tests for one scheduler; busted: the environment of the spec; new() makes a scheduler as above.
function ticks.tests(busted, new)
  local it, before_each, after_each = busted.it, busted.before_each, busted.after_each
  local r, w, s
  before_each(function()
    r, w = assert(ipc.pipe.open())
    s = new()
  end)
  after_each(function()
    r:close()
    w:close()
  end)

  it("a read waits beside others", function()
    local n, line = ticks.beside(s, function() assert(w:write "hello\n") end, function() return r:read "l" end)
    assert.equal("hello", line)
    assert.is_true(n >= 3)
  end)

  it("a write waits beside others", function()
    local got = 0
    local big = ("x"):rep(300000)
    local n, result = ticks.beside(s, function()
      s.spawn(function()
        while got < #big do got = got + #assert(r:readsome(65536)) end
      end)
    end, function() return w:write(big) end)
    assert.equal(w, result)
    assert.equal(#big, got)
    assert.is_true(n >= 3)
  end)

  it("a deadline passes beside others", function()
    local n, a, message, code = ticks.beside(s, function() end, function() return r:readsome(1, 0.05) end)
    assert.same({ nil, "pipe:readsome: timed out", "ETIMEDOUT" }, { a, message, code })
    assert.is_true(n >= 1) -- how often depends on the machine; where the thread is blocked it is never
  end)

  it("several wait for one descriptor, in both directions", function()
    local e = assert(ipc.eventfd.open { semaphore = true })
    local taken = 0
    for _ = 1, 5 do
      s.spawn(function()
        assert.equal(1, e:take(60))
        taken = taken + 1
      end)
    end
    s.spawn(function()
      for _ = 1, 5 do
        ipc.sleep(0)
        assert(e:add(1))
      end
    end)
    s.run()
    assert.equal(5, taken)
    -- a full counter: one waits to add while another takes
    local full = assert(ipc.eventfd.open())
    assert(full:add(math.maxinteger))
    assert(full:add(math.maxinteger))
    local added
    s.spawn(function() added = full:add(1, 60) end)
    s.spawn(function()
      ipc.sleep(0)
      assert(full:take())
    end)
    s.run()
    assert.is_true(added)
    e:close()
    full:close()
  end)

  it("closing wakes who waits", function()
    local n, a, message, code = ticks.beside(s, function() r:close() end, function() return r:read "l" end)
    assert.same({ nil, "pipe:read: Operation canceled", "ECANCELED" }, { a, message, code })
    assert.is_true(n >= 3)
  end)

  it("writers queue for a direction", function()
    local all, parts = 0, {}
    for _, c in ipairs { "a", "b", "c" } do
      s.spawn(function()
        assert(w:write(c:rep(100000)))
        all = all + 1
        if all == 3 then w:close() end
      end)
    end
    s.spawn(function()
      while true do
        local piece, _, code = r:readsome(30000)
        if not piece then
          assert.equal("EOF", code)
          break
        end
        parts[#parts + 1] = piece
      end
    end)
    s.run()
    local text = table.concat(parts)
    assert.equal(300000, #text)
    local changes = 0
    for i = 2, #text do
      if text:byte(i) ~= text:byte(i - 1) then changes = changes + 1 end
    end
    assert.equal(2, changes) -- one after the other, whoever came first
  end)

  it("one that is always ready does not keep the others out", function()
    local e = assert(ipc.eventfd.open())
    local stop = false
    s.spawn(function()
      while not stop do
        assert(e:add(1))
        assert(e:take())
      end
    end)
    s.spawn(function()
      assert(r:readsome(1))
      stop = true
    end)
    s.spawn(function()
      ipc.sleep(0)
      assert(w:write "x")
    end)
    s.run()
    assert.is_true(stop)
    e:close()
  end)

  it("a generator's wait for ever is refused, not handed to the consumer", function()
    local ok, message
    s.spawn(function()
      ok, message = pcall(coroutine.wrap(function() coroutine.yield(r:read "l") end))
    end)
    s.run()
    assert.is_false(ok)
    assert.matches("cannot wait here", message)
  end)

  it("a descriptor number that is used again is waited for anew", function()
    collectgarbage() -- nothing else is closed meanwhile, whose number it would be
    collectgarbage()
    local fd = r:fd()
    s.spawn(function() r:readsome(1, 0.01) end)
    s.run()
    r:close()
    w:close()
    r, w = assert(ipc.pipe.open())
    assert.equal(fd, r:fd())
    local _, got = ticks.beside(s, function() assert(w:write "y") end, function() return r:readsome(1, 60) end)
    assert.equal("y", got)
  end)
end

-- A whole lipc loop inside another scheduler.
function ticks.nested(busted, new)
  busted.it("runs a lipc loop beside others", function()
    local s = new()
    local r, w = assert(ipc.pipe.open())
    local loop = assert(ipc.loop.new())
    local slept
    loop:wrap(function()
      ipc.sleep(0.02)
      slept = true
    end)
    local reader = loop:wrap(function() return r:read "l" end)
    local n, done = ticks.beside(s, function() assert(w:write "inside\n") end, function() return loop:run() end)
    assert.is_true(done)
    assert.is_true(slept)
    assert.same({ true, "inside" }, { reader:join(0) })
    assert.is_true(n >= 3)
    loop:close()
    r:close()
    w:close()
  end)
end

return ticks
