-- semaphore:with(fn): given back however the call ends.
local ipc = require "lipc"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"

local semaphore = ipc.semaphore

describe("semaphore:with", function()
  local name, s

  before_each(function()
    name = "/" .. names.new()
    s = assert(semaphore.open(name, { create = true, unlink = true, initial = 1 }))
  end)
  after_each(function() s:close() end)

  it("passes the object in and the results out", function()
    local got = table.pack(s:with(function(...)
      assert.equal(1, select("#", ...))
      assert.equal(s, ...)
      assert.equal(0, s:value())
      return 1, nil, "x", nil
    end))
    assert.same({ 1, nil, "x", nil, n = 4 }, got)
    assert.equal(1, s:value())
    assert.equal(0, select("#", s:with(function() end)))
    assert.equal(200, select("#", s:with(function() return table.unpack({}, 1, 200) end)))
    assert.equal(1, s:value())
  end)

  it("calls nothing when it does not get it", function()
    s:wait()
    local function never() error "called" end
    local expected = { nil, ("semaphore:with %s: timed out"):format(name), "ETIMEDOUT" }
    assert.same(expected, { s:with(never, 0) })
    assert.same(expected, { s:with(never, 0.01) })
    s:settimeout(0.01)
    assert.same(expected, { s:with(never) })
    assert.equal(0, s:value())
  end)

  it("gives back when the function raises", function()
    local thing = {}
    local ok, caught = pcall(s.with, s, function() error(thing) end)
    assert.is_false(ok)
    assert.equal(thing, caught)
    assert.equal(1, s:value())
  end)

  it("takes it by waiting, once, results or none", function()
    for n = 0, 2 do
      s:wait()
      local p = peer.lua([[local s = assert(ipc.semaphore.open(arg[1]))
        print "there"
        io.stdout:flush()
        s:post()]], name)
      local calls = 0
      local function fn()
        calls = calls + 1
        assert.equal(0, s:value())
        return table.unpack({ 7, 8 }, 1, n)
      end
      assert.equal(n, select("#", s:with(fn, 60)))
      assert.equal(1, calls)
      assert.equal(1, s:value())
      assert.equal("there\n", p:read "a")
      p:close()
    end
  end)

  it("nests, when there is enough", function()
    s:post()
    assert.equal("inner", s:with(function()
      return s:with(function()
        assert.equal(0, s:value())
        assert.equal("ETIMEDOUT", select(3, s:with(print, 0)))
        return "inner"
      end)
    end))
    assert.equal(2, s:value())
  end)

  it("lets the function close the object", function()
    local other <close> = assert(semaphore.open(name))
    assert.equal("closed", s:with(function()
      s:close()
      return "closed"
    end))
    assert.matches("closed", tostring(s))
    assert.equal(1, other:value())
  end)

  it("is given back once when the object is closed inside by two of them, and not by a child that closes it", function()
    local other <close> = assert(semaphore.open(name))
    other:post()
    s:with(function()
      s:with(function()
        assert.equal(0, probe.inchild(function() assert(s:close()) end))
        assert.equal(0, other:value())
        s:close()
        assert.equal(2, other:value())
      end)
    end)
    assert.equal(2, other:value())
  end)

  it("lets the function yield under the loop", function()
    local loop, order = ipc.loop.new(), {}
    for i = 1, 3 do
      loop:wrap(function()
        local r = s:with(function()
          order[#order + 1] = "in " .. i
          ipc.sleep(0.01)
          assert.equal(0, s:value())
          order[#order + 1] = "out " .. i
          return i
        end)
        assert.equal(i, r)
      end)
    end
    loop:run()
    loop:close()
    assert.equal(6, #order)
    for k = 1, 6, 2 do assert.equal(order[k]:sub(-1), order[k + 1]:sub(-1)) end
    assert.equal(1, s:value())
  end)

  it("gives back when the function raises after a yield, and after a wait", function()
    local loop, caught = ipc.loop.new(), {}
    for i = 1, 2 do
      loop:wrap(function()
        caught[i] = select(2, pcall(s.with, s, function()
          ipc.sleep(0.005)
          error("boom " .. i, 0)
        end))
      end)
    end
    loop:run()
    loop:close()
    assert.same({ "boom 1", "boom 2" }, caught)
    assert.equal(1, s:value())
  end)

  it("gives back when its coroutine is closed", function()
    local co = coroutine.create(function() s:with(function() coroutine.yield "inside" end) end)
    assert.same({ true, "inside" }, { coroutine.resume(co) })
    assert.equal(0, s:value())
    assert.is_true(coroutine.close(co))
    assert.equal(1, s:value())
  end)

  it("gives back when its coroutine is collected, or the state is closed", function()
    do
      local co = coroutine.wrap(function() s:with(function() coroutine.yield() end) end)
      co()
      assert.equal(0, s:value())
    end
    collectgarbage()
    collectgarbage()
    assert.equal(1, s:value())
    local out, ok = peer.run([[
      local s = assert(ipc.semaphore.open(arg[1]))
      co = coroutine.wrap(function() s:with(function() coroutine.yield() end) end)
      co()
      print(s:value())]], name)
    assert.is_true(ok, out)
    assert.equal("0\n", out)
    assert.equal(1, s:value())
  end)

  it("gives back when its coroutine has died", function()
    local co = coroutine.create(function() s:with(function() error "dead" end) end)
    assert.is_false(coroutine.resume(co))
    assert.is_false((coroutine.close(co)))
    assert.equal(1, s:value())
  end)

  it("goes on after a plain yield of the function", function()
    local co = coroutine.wrap(function() return s:with(function() return coroutine.yield "a", "end" end) end)
    assert.equal("a", co())
    assert.equal(0, s:value())
    assert.same({ "b", "end" }, { co "b" })
    assert.equal(1, s:value())
  end)

  it("is not given back by a forked child", function()
    s:with(function()
      assert.equal(0, probe.inchild(function() end))
      local out = peer.run([[
        local probe = require "support.probe"
        local s = assert(ipc.semaphore.open(arg[1]))
        s:post()
        local pid
        s:with(function() pid = probe.forkrun() end)
        if pid == 0 then os.exit(0, true) end
        probe.waitall()
        print(s:value())
        assert(s:wait(0))]], name)
      assert.equal("1\n", out)
    end)
    assert.equal(1, s:value())
  end)

  it("is ended by a cancelled task", function()
    local loop = ipc.loop.new()
    local task = loop:wrap(function() s:with(function() ipc.sleep(1000) end) end)
    loop:wrap(function()
      ipc.sleep(0.005)
      assert.equal(0, s:value())
      task:cancel()
    end)
    loop:run()
    loop:close()
    assert.equal(1, s:value())
  end)
end)
