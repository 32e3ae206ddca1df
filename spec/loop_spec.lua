-- ipc.loop: the scheduler of coroutines.
local ipc = require "lipc"

describe("loop", function()
  local loop
  before_each(function() loop = assert(ipc.loop.new()) end)
  after_each(function() loop:close() end)

  it("runs its tasks while one of them waits", function()
    local r, w = assert(ipc.pipe.open())
    local order = {}
    assert.is_true(loop:run(
      function()
        order[#order + 1] = "read"
        local line = r:read("l")
        order[#order + 1] = line
      end,
      function()
        order[#order + 1] = "write"
        assert(w:write "hello\n")
      end))
    assert.same({ "read", "write", "hello" }, order)
    r:close()
    w:close()
  end)

  it("sleeps in the order of the deadlines", function()
    local order = {}
    for _, s in ipairs { 0.3, 0.1, 0.2, 0 } do -- further apart than their beginnings
      loop:wrap(function()
        assert.is_true(ipc.sleep(s))
        order[#order + 1] = s
      end)
    end
    loop:run()
    assert.same({ 0, 0.1, 0.2, 0.3 }, order)
  end)

  it("passes arguments and results", function()
    local t = loop:wrap(function(...) return select("#", ...), ... end, 1, nil, 3)
    assert.same({ true, 3, 1, nil, 3 }, { t:join() })
  end)

  it("raises a task's error with its traceback, and the others keep going", function()
    local done
    loop:wrap(function()
      local function inner() error "boom" end
      inner()
    end)
    loop:wrap(function()
      ipc.sleep(0)
      done = true
    end)
    local ok, err = pcall(loop.run, loop)
    assert.is_false(ok)
    assert.matches("boom\nstack traceback:.*inner", err)
    assert.is_true(loop:run())
    assert.is_true(done)
  end)

  it("cancels a task in its wait, and closes its variables", function()
    local closed, seen
    local t = loop:wrap(function()
      local _ <close> = setmetatable({}, { __close = function() closed = true end })
      local ok, err = pcall(ipc.sleep, 3600)
      seen = { ok, ipc.loop.cancelled(err) }
      error(err, 0)
    end)
    loop:run(function()
      ipc.sleep(0)
      assert.is_true(t:cancel "enough")
    end)
    assert.is_true(closed)
    assert.same({ false, true, "enough" }, seen)
    assert.equal("cancelled", t:status())
    assert.same({ nil, "cancelled: enough", "ECANCELED" }, { t:join() })
  end)

  it("cancels a task that has not started, and one that only gave way", function()
    local ran
    local t = loop:wrap(function() ran = true end)
    assert.is_true(t:cancel())
    assert.equal("cancelled", t:status())
    assert.is_false(t:cancel())
    assert.is_true(loop:run())
    assert.is_nil(ran)
    local yields = 0
    t = loop:wrap(function()
      for _ = 1, 10 do
        assert.is_nil(coroutine.yield())
        yields = yields + 1
      end
      ipc.sleep(0)
    end)
    loop:step(0)
    t:cancel "later" -- delivered by its next wait
    loop:run()
    assert.equal(10, yields)
    assert.same({ nil, "cancelled: later", "ECANCELED" }, { t:join() })
  end)

  it("lets a task survive its cancellation, wait on, and cancel itself", function()
    local t = loop:wrap(function()
      local ok, err = pcall(ipc.sleep, 3600)
      assert.is_false(ok)
      assert.equal("cancelled: once", tostring(err))
      ipc.sleep(0)
      return "on"
    end)
    loop:run(function() t:cancel "once" end)
    assert.same({ true, "on" }, { t:join() })
    t = loop:wrap(function() select(2, ipc.loop.current()):cancel "myself" end)
    loop:run()
    assert.same({ nil, "cancelled: myself", "ECANCELED" }, { t:join() })
  end)

  it("lets a cancelled task wait while it closes its variables", function()
    local closed
    local t = loop:wrap(function()
      local _ <close> = setmetatable({}, { __close = function()
        ipc.sleep(0.001)
        closed = true
      end })
      ipc.sleep(3600)
    end)
    loop:step(0)
    t:cancel()
    assert.same({ nil, "cancelled", "ECANCELED" }, { t:join() })
    assert.is_true(closed)
  end)

  it("frees what a cancelled task waited for", function()
    local r, w = assert(ipc.pipe.open())
    local t = loop:wrap(function() r:read "l" end)
    loop:step(0)
    t:cancel()
    local got
    loop:run(function() got = r:read "l" end, function() assert(w:write "x\n") end)
    assert.equal("x", got)
    r:close()
    w:close()
  end)

  it("joins: results, errors, time, itself", function()
    local slow = loop:wrap(function() ipc.sleep(3600) end)
    local broken = loop:wrap(function()
      ipc.sleep(0)
      error { 42 }
    end)
    local done
    loop:wrap(function()
      local _, err, code, traceback = broken:join()
      assert.same({ { 42 }, "ERROR" }, { err, code })
      assert.matches("stack traceback:", traceback)
      assert.same({ nil, "task:join: timed out", "ETIMEDOUT" }, { slow:join(0.001) })
      assert.same({ nil, "task:join: timed out", "ETIMEDOUT" }, { slow:join(0) })
      local _, me = ipc.loop.current()
      assert.has_error.matches(function() me:join() end, "cannot wait here")
      slow:cancel "late"
      assert.same({ nil, "cancelled: late", "ECANCELED" }, { slow:join() })
      done = true
    end)
    assert.is_true(loop:run()) -- who joins has the error: run raises nothing
    assert.is_true(done)
    assert.same({ nil, "task:join: timed out", "ETIMEDOUT" },
      { loop:wrap(function() ipc.sleep(3600) end):join(0.001) })
  end)

  it("raises errors one at a time, at the end of the turn, values as they are", function()
    local ran = 0
    loop:wrap(function() error { 1 } end)
    loop:wrap(function() error { 2 } end)
    loop:wrap(function() ran = ran + 1 end)
    local _, first = pcall(loop.step, loop, 0)
    assert.same({ 1 }, first)
    assert.equal(1, ran)
    assert.equal(0, loop:timeout())
    local _, second = pcall(loop.run, loop)
    assert.same({ 2 }, second)
    assert.is_true(loop:run())
  end)

  it("gives errors to its handler instead", function()
    local seen = {}
    local l = assert(ipc.loop.new { onerror = function(err, traceback, task)
      seen[#seen + 1] = { err, traceback:match "^[^\n]*\nstack traceback" ~= nil, task:status() }
    end })
    l:wrap(error, "a", 0)
    l:wrap(error, "b", 0)
    assert.is_true(l:run())
    assert.same({ { "a", true, "failed" }, { "b", true, "failed" } }, seen)
    l:onerror(nil)
    l:wrap(error, "c", 0)
    local ok, err = pcall(l.run, l)
    assert.is_false(ok)
    assert.matches("^c\nstack traceback", err)
    l:close()
  end)

  it("takes a coroutine ended from outside for a failed task", function()
    local co
    loop:wrap(function()
      co = coroutine.running()
      ipc.sleep(3600)
    end)
    loop:step(0)
    coroutine.close(co)
    local task = next(loop.tasks)
    task:cancel()
    assert.has_error.matches(function() loop:run() end, "dead coroutine")
  end)

  it("stops and goes on", function()
    local n = 0
    loop:wrap(function()
      while n < 10 do
        n = n + 1
        if n == 3 then loop:stop() end
        ipc.sleep(0)
      end
    end)
    assert.is_false(loop:run())
    assert.equal(3, n)
    assert.is_true(loop:run())
    assert.equal(10, n)
  end)

  it("steps: no longer than asked, and says whether tasks are left", function()
    assert.is_false(loop:step())
    local t = loop:wrap(function() ipc.sleep(3600) end)
    assert.is_true(loop:step())
    local t0 = ipc.now()
    assert.is_true(loop:step(0.02))
    assert.is_true(ipc.now() - t0 >= 0.02)
    t:cancel()
    assert.is_false(loop:step())
  end)

  it("knows the task that runs", function()
    assert.is_nil((ipc.loop.current()))
    local t
    t = loop:wrap(function()
      assert.same({ loop, t }, { ipc.loop.current() })
      assert.equal("running", t:status())
      assert.is_nil(coroutine.wrap(function() return (ipc.loop.current()) end)())
    end)
    assert.equal("ready", t:status())
    loop:run()
    assert.equal("done", t:status())
  end)

  it("refuses to run inside itself", function()
    local t = loop:wrap(function() loop:run() end)
    loop:wrap(function() t:join() end)
    loop:run()
    local _, err = t:join()
    assert.matches("cannot wait here: this loop is running already", err)
    local t2 = loop:wrap(function() loop:close() end)
    loop:wrap(function() t2:join() end)
    loop:run()
    assert.matches("cannot close", (select(2, t2:join())))
  end)

  it("runs inside a task of another loop, and beside it", function()
    local outer = assert(ipc.loop.new())
    local r, w = assert(ipc.pipe.open())
    local order = {}
    outer:wrap(function()
      loop:wrap(function()
        local line = r:read "l"
        order[#order + 1] = line
      end)
      assert.is_true(loop:run())
      order[#order + 1] = "inner done"
    end)
    outer:wrap(function()
      for _ = 1, 3 do ipc.sleep(0) end
      order[#order + 1] = "outer"
      assert(w:write "line\n")
    end)
    assert.is_true(outer:run())
    assert.same({ "outer", "line", "inner done" }, order)
    -- cancelled in the middle, the inner loop is free to run again
    local runner = outer:wrap(function() loop:run(function() r:read "l" end) end)
    outer:step(0)
    outer:step(0)
    runner:cancel()
    outer:run()
    assert.equal("cancelled", runner:status())
    assert(w:write "again\n")
    assert.is_true(loop:run())
    outer:close()
    r:close()
    w:close()
  end)

  it("tells a host's poller what it waits for", function()
    local r, w = assert(ipc.pipe.open())
    local got
    loop:wrap(function() got = r:read "l" end)
    assert.equal(0, loop:timeout())
    loop:step(0)
    assert.is_nil(loop:timeout())
    assert.equal("r", loop:events())
    local host = assert(ipc.poll.open())
    assert(host:add(loop:pollfd(), "r"))
    assert.equal("ETIMEDOUT", (select(3, host:wait(0))))
    assert(w:write "x\n")
    assert.equal(1, host:wait(60))
    assert.is_false(loop:step(0))
    assert.equal("x", got)
    loop:wrap(function() ipc.sleep(3600) end)
    loop:step(0)
    assert.is_true(loop:timeout() > 0 and loop:timeout() <= 3600)
    host:close()
    r:close()
    w:close()
  end)

  it("makes generators that pass waits through", function()
    local r, w = assert(ipc.pipe.open())
    local lines = {}
    local gen = function()
      return ipc.loop.wrapgen(function(first)
        lines[#lines + 1] = first
        for line in r:lines() do
          local back = coroutine.yield(line, #line)
          assert.equal("more", back)
        end
        return "end"
      end)
    end
    loop:run(function()
      local g = gen()
      local line, n = g "start"
      while line ~= "end" do
        lines[#lines + 1] = line .. n
        line, n = g "more"
      end
    end, function()
      for i = 1, 3 do
        ipc.sleep(0)
        assert(w:write(("%d\n"):format(10 ^ i // 1)))
      end
      w:close()
    end)
    assert.same({ "start", "102", "1003", "10004" }, lines)
    r:close()
    -- its error reaches the consumer, a cancellation the generator
    local failing = ipc.loop.wrapgen(function() error { "gen" } end)
    local ok, err = pcall(failing)
    assert.same({ false, { "gen" } }, { ok, err })
    local seen
    local t = loop:wrap(function()
      ipc.loop.wrapgen(function()
        local fine, e = pcall(ipc.sleep, 3600)
        seen = not fine and ipc.loop.cancelled(e)
        error(e, 0)
      end)()
    end)
    loop:step(0)
    t:cancel()
    loop:run()
    assert.is_true(seen)
    assert.equal("cancelled", t:status())
    -- outside of a loop it is a plain generator, and waits block
    local plain = ipc.loop.wrapgen(function()
      ipc.sleep(0.001)
      coroutine.yield(1)
      return 2
    end)
    assert.equal(1, plain())
    assert.equal(2, plain())
  end)

  it("holds 10,000 sleeping coroutines", function()
    local n = 0
    for i = 1, 10000 do
      loop:wrap(function()
        ipc.sleep((i * 7919 % 100) / 2000)
        n = n + 1
      end)
    end
    loop:run()
    assert.equal(10000, n)
    assert.equal(0, #loop.heap)
  end)

  it("reads again and again under a deadline without filling its heap", function()
    local e = assert(ipc.eventfd.open())
    loop:run(function()
      for _ = 1, 1000 do assert(e:take(3600)) end
    end, function()
      for _ = 1, 1000 do
        assert(e:add(1))
        ipc.sleep(0)
        assert.is_true(#loop.heap <= 2)
      end
    end)
    e:close()
  end)

  it("forgets what is dropped", function()
    local weak = setmetatable({}, { __mode = "k" })
    do
      local l = assert(ipc.loop.new())
      local r, w = assert(ipc.pipe.open())
      local t = l:wrap(function() r:read "l" end)
      l:wrap(function() ipc.sleep(3600) end)
      l:step(0)
      weak[l], weak[t], weak[r], weak[w] = true, true, true, true
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)

  it("closes: its tasks end, their variables are closed", function()
    local l = assert(ipc.loop.new())
    local closed
    local t = l:wrap(function()
      local _ <close> = setmetatable({}, { __close = function() closed = true end })
      ipc.sleep(3600)
    end)
    l:step(0)
    assert.is_true(l:close())
    assert.is_true(l:close())
    assert.is_true(closed)
    assert.equal("cancelled", t:status())
    assert.equal("lipc.loop (closed)", tostring(l))
    assert.has_error.matches(function() l:run() end, "bad argument #1 to 'run' %(closed loop%)")
  end)

  it("names the argument in misuse", function()
    assert.has_error.matches(function() loop:wrap(3) end, "bad argument #1 to 'wrap' %(function expected, got number%)")
    assert.matches("^[^\n]*loop_spec.lua:%d+: bad argument #1 to 'wrap' %(function expected, got nil%)$",
      select(2, pcall(function() loop:wrap() end)))
    assert.has_error.matches(function() loop.run({}) end, "bad argument #1 to 'run' %(lipc.loop expected, got table%)")
    assert.has_error.matches(function() loop:run(print, 3) end, "bad argument #2 to 'run'")
    local task = loop:wrap(function() end)
    for name, object in pairs { step = loop, sleep = loop, join = task, readsome = false } do
      local function refuses(value, what)
        local ok, message
        if object then
          ok, message = pcall(function() object[name](object, value) end)
          assert.matches("loop_spec.lua:%d+: bad", message)
        else -- what the core says
          local r, w = assert(ipc.pipe.open())
          ok, message = pcall(function() r:readsome(1, value) end)
          message = message:gsub("#2", "#1")
          r:close()
          w:close()
        end
        assert.is_false(ok)
        assert.matches(("bad argument #1 to '%s' (%s)"):format(name, what), message, 1, true)
      end
      refuses(-1, "timeout must not be negative")
      refuses(0 / 0, "timeout must not be NaN")
      refuses("1", "timeout in seconds expected, got string")
    end
    assert.error_matches(function() loop:sleep() end, "#1 to 'sleep' %(timeout in seconds expected, got nil")
    assert.has_error.matches(function() ipc.loop.new { oops = 1 } end, "unknown option 'oops'")
    assert.has_error.matches(function() ipc.loop.new { onerror = 1 } end, "'onerror': function expected")
    assert.has_error.matches(function() ipc.loop.new { backend = "kqueue" } end, "no backend 'kqueue'")
    assert.has_error.matches(function() ipc.loop.wrapgen(1) end, "bad argument #1 to 'wrapgen'")
  end)

  it("starts empty in a forked child, and leaves the parent's alone", function()
    local r, w = assert(ipc.pipe.open())
    local back, out = assert(ipc.pipe.open())
    local got
    loop:wrap(function() got = r:read "l" end)
    loop:step(0)
    local process = ipc.process
    if process and process.fork then
      local child = assert(process.fork(function()
        local n = 0
        assert(not loop:step(0))
        loop:run(function()
          local line = r:read("l")
          n = n + #line
        end, function() w:write "child\n" end)
        out:write(n .. "\n")
      end))
      assert(child:wait())
      assert.equal("5", back:read "l")
    end
    assert(w:write "parent\n")
    assert.is_true(loop:run())
    assert.equal("parent", got)
    for _, o in ipairs { r, w, back, out } do o:close() end
  end)
end)
