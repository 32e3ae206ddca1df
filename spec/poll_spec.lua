-- ipc.poll: both backends.
local ipc = require "lipc"

for _, backend in ipairs { "epoll", "poll" } do
  describe("poll by " .. backend, function()
    local p, r, w
    before_each(function()
      p = assert(ipc.poll.open { backend = backend })
      r, w = assert(ipc.pipe.open())
    end)
    after_each(function()
      p:close()
      r:close()
      w:close()
    end)

    local function ready(timeout)
      local n = p:wait(timeout or 0)
      local what = {}
      for i = 1, n or 0 do
        local obj, events = p:ready(i)
        what[obj] = events
      end
      assert.is_nil(p:ready((n or 0) + 1))
      return what
    end

    it("tells what is ready, and for what", function()
      assert.is_true(p:add(r, "r"))
      assert.same({ nil, "poll:wait: timed out", "ETIMEDOUT" }, { p:wait(0) })
      assert.is_nil(p:ready(1))
      assert(w:write "x")
      assert.equal(1, p:wait(60))
      assert.same({ r, "r" }, { p:ready(1) })
      assert.is_nil(p:ready(2))
      assert.is_true(p:add(w:fd(), "w"))
      assert.same({ [r] = "r", [w:fd()] = "w" }, ready())
      assert.same({ [r] = "r", [w:fd()] = "w" }, ready()) -- level-triggered
      assert.same({ backend = backend, count = 2 }, p:stat())
    end)

    it("changes and removes", function()
      local e = assert(ipc.eventfd.open { initial = 1 })
      assert.is_true(p:add(e, "r"))
      assert.same({ [e] = "r" }, ready())
      assert.is_true(p:modify(e, "rw"))
      assert.same({ [e] = "rw" }, ready())
      assert.is_true(p:add(e, "w"))
      assert.same({ [e] = "w" }, ready())
      assert.is_true(p:remove(e))
      assert.is_true(p:remove(e))
      assert.same({}, ready())
      assert.same({ nil, "poll:modify: No such file or directory", "ENOENT" }, { p:modify(e, "r") })
      assert.equal(0, p:stat().count)
      e:close()
    end)

    it("reports a hang-up in every direction asked for", function()
      assert(p:add(r, "r"))
      w:close()
      assert.same({ [r] = "r" }, ready())
      local r2, w2 = assert(ipc.pipe.open())
      r2:close()
      assert(p:add(w2, "w"))
      assert.same({ [r] = "r", [w2] = "w" }, ready())
      w2:close()
      assert.same({ [r] = "r" }, ready())
    end)

    it("takes files: regular ones are always ready", function()
      local f <close> = assert(io.tmpfile())
      assert.is_true(p:add(f, "rw"))
      assert(p:add(r, "r"))
      assert.same({ [f] = "rw" }, ready())
      assert.same({ [f] = "rw" }, ready(math.huge))
      assert(w:write "x")
      assert.same({ [f] = "rw", [r] = "r" }, ready())
      assert.is_true(p:modify(f, "r"))
      assert.same({ [f] = "r", [r] = "r" }, ready())
      assert.is_true(p:remove(f))
      assert.same({ [r] = "r" }, ready())
    end)

    it("forgets an object that is closed, also between wait and ready", function()
      collectgarbage() -- nothing else is closed meanwhile, whose number would be the next
      collectgarbage()
      local e = assert(ipc.eventfd.open { initial = 1 })
      local fd = e:fd()
      assert(p:add(e, "r"))
      assert(w:write "x")
      assert(p:add(r, "r"))
      assert.equal(2, p:wait(0))
      e:close()
      local left = {}
      for i = 1, 2 do left[#left + 1] = (p:ready(i)) end
      assert.same({ r }, left)
      assert.equal(1, p:stat().count)
      local again = assert(ipc.eventfd.open { initial = 1 })
      assert.equal(fd, again:fd())
      assert.same({ [r] = "r" }, ready())
      assert(p:add(fd, "r"))
      assert.same({ [r] = "r", [fd] = "r" }, ready())
      assert.is_true(p:remove(e)) -- closed: nothing to do, and no harm to its successor
      assert.same({ [r] = "r", [fd] = "r" }, ready())
      again:close()
    end)

    it("keeps what was added alive, and lets it go", function()
      local weak = setmetatable({}, { __mode = "k" })
      do
        local e = assert(ipc.eventfd.open { initial = 1 })
        weak[e] = true
        assert(p:add(e, "r"))
      end
      collectgarbage()
      collectgarbage()
      local e = next(weak)
      assert.same({ [e] = "r" }, ready())
      e:close()
      e = nil -- luacheck: ignore
      p:wait(0)
      collectgarbage()
      collectgarbage()
      assert.is_nil(next(weak))
      do
        local other = assert(ipc.eventfd.open { initial = 1 })
        weak[other] = true
        assert(p:add(other, "r"))
        assert(p:remove(other))
      end
      collectgarbage()
      collectgarbage()
      assert.is_nil(next(weak))
    end)

    it("waits until the deadline, and no longer for a signal", function()
      assert(p:add(r, "r"))
      local t0 = ipc.now()
      assert.equal("ETIMEDOUT", (select(3, p:wait(0.03))))
      assert.is_true(ipc.now() - t0 >= 0.03)
    end)

    it("is woken by another process", function()
      assert(p:add(r, "r"))
      local script = ("echo hello >/proc/%d/fd/%d"):format(io.open("/proc/self/stat"):read "n", w:fd())
      local child = assert(io.popen(script, "w"))
      assert.equal(1, p:wait(60))
      assert.equal("hello", r:read "l")
      child:close()
    end)

    it("reports many, all in their turn", function()
      local seen, all = 0, {}
      for i = 1, 600 do
        all[i] = assert(ipc.eventfd.open { initial = 1 })
        assert(p:add(all[i], "r"))
      end
      local got = {}
      for _ = 1, 60 do
        local n = assert(p:wait(0))
        for i = 1, n do
          local e = p:ready(i)
          if not got[e] then
            got[e] = true
            seen = seen + 1
          end
        end
        if seen == 600 then break end
      end
      assert.equal(600, seen) -- level-triggered: the same could be reported for ever
      for _, e in ipairs(all) do e:close() end
      assert.equal(0, p:stat().count)
    end)

    it("says what is wrong", function()
      assert.has_error.matches(function() p:add(r) end, "bad argument #2 to 'add'")
      assert.has_error.matches(function() p:add(r, "x") end, "bad argument #2 to 'add'.*invalid option 'x'")
      assert.has_error.matches(function() p:add({}, "r") end, "bad argument #1 to 'add'.*descriptor, file or lipc object")
      assert.has_error.matches(function() p:add(-1, "r") end, "not a descriptor")
      r:close()
      assert.has_error.matches(function() p:add(r, "r") end, "closed pipe")
      assert.same({ nil, "poll:add: Bad file descriptor", "EBADF" }, { p:add(19999, "r") })
      assert.same({ nil, "poll:add: Bad file descriptor", "EBADF" }, { p:add(0x7fffffff, "r") })
      assert.equal(0, p:stat().count)
      p:close()
      assert.has_error.matches(function() p:wait(0) end, "closed poll")
    end)

    it("makes a set of its own in a forked child", function()
      if not (ipc.process and ipc.process.fork) then return end
      local back, out = assert(ipc.pipe.open())
      assert(p:add(r, "r"))
      assert(w:write "x")
      local child = assert(ipc.process.fork(function()
        assert(p:wait(0) == 1 and p:ready(1) == r)
        assert(p:remove(r)) -- from the child's set, not from the parent's
        local e = assert(ipc.eventfd.open { initial = 1 })
        assert(p:add(e, "r"))
        assert(p:wait(0) == 1 and p:ready(1) == e)
        out:write "ok\n"
      end))
      assert(child:wait())
      assert.equal("ok", back:settimeout(60):read "l")
      assert.same({ [r] = "r" }, ready())
      back:close()
      out:close()
    end)

    it("ends the next wait when it is told to, once", function()
      assert.is_true(p:wake())
      assert.is_true(p:wake())
      assert.equal(0, p:timeout())
      assert.equal(0, p:wait())
      assert.equal("ETIMEDOUT", (select(3, p:wait(0))))
    end)

    it("waits for nothing but the time when it is empty", function()
      assert.equal("ETIMEDOUT", (select(3, p:wait(0.005))))
    end)
  end)
end

describe("poll", function()
  it("is pollable itself where the backend has a descriptor", function()
    local inner, outer = assert(ipc.poll.open()), assert(ipc.poll.open())
    local r, w = assert(ipc.pipe.open())
    assert(inner:add(r, "r"))
    assert(outer:add(inner, "r"))
    assert.equal(inner:fd(), inner:pollfd())
    assert.equal("r", inner:events())
    assert.is_nil(inner:timeout())
    assert.equal("ETIMEDOUT", (select(3, outer:wait(0))))
    assert(w:write "x")
    assert.equal(1, outer:wait(60))
    assert.equal(inner, (outer:ready(1)))
    assert.equal(1, inner:wait(0))
    local other <close> = assert(ipc.poll.open { backend = "poll" })
    assert.has_error.matches(function() other:fd() end, "this backend has no descriptor")
    assert.matches("^lipc.poller %(open%)$", tostring(other))
    for _, o in ipairs { inner, outer, r, w } do o:close() end
  end)

  it("takes a loop, and whatever else has a descriptor to poll", function()
    local p, l = assert(ipc.poll.open()), assert(ipc.loop.new())
    local r, w = assert(ipc.pipe.open())
    local line
    l:wrap(function() line = r:read() end)
    assert.is_true(p:add(l, "r"))
    assert.equal(0, l:timeout())
    assert.is_true(l:step(0)) -- now it waits
    assert.equal("ETIMEDOUT", (select(3, p:wait(0))))
    w:write "x\n"
    assert.equal(1, p:wait(60))
    assert.same({ l, "r" }, { p:ready(1) })
    assert.is_false(l:step(0))
    assert.equal("x", line)
    assert.is_true(p:modify(l, "r"))
    assert.is_true(p:remove(l))
    assert.equal(0, p:stat().count)
    l:close()
    w:write "y"
    local mine = { pollfd = function() return r:fd() end }
    assert.is_true(p:add(mine, "r"))
    assert.equal(1, p:wait(60))
    assert.equal(mine, (p:ready(1)))
    p:remove(mine)
    for _, bad in ipairs { {}, setmetatable({}, { __index = {} }), true, "3" } do
      assert.has_error.matches(function() p:add(bad, "r") end, "#1 to 'add' %(descriptor, file or lipc object expected, got")
    end
    assert.has_error.matches(function() p:add({ pollfd = function() return nil end }, "r") end, "#1 to 'add' %(its pollfd: ")
    assert.has_error.matches(function() p:add({ pollfd = function() p:close() return 0 end }, "r") end, "closed poll")
    r:close()
    w:close()
  end)

  it("refuses a backend that it does not know", function()
    assert.has_error.matches(function() ipc.poll.open { backend = "x" } end, "option 'backend': no backend 'x'")
    assert.has_error.matches(function() ipc.poll.open { back = "x" } end, "unknown option 'back'")
  end)
end)
