-- Processes: status, signals, what must not stay behind; forked children.
local ipc = require "lipc"
local hoststate = require "support.hoststate"
local programs = require "support.programs"
local process, pipe = ipc.process, ipc.pipe
local script, eventually, gone = programs.script, programs.eventually, programs.gone

describe("a process", function()
  it("has a status, the same every time", function()
    local p = assert(process.spawn { "sh", "-c", "exit 3" })
    local s = assert(p:wait())
    assert.same({ ok = false, code = 3 }, s)
    assert.equal("exit 3", tostring(s))
    assert.equal(s, p:wait(0))
    assert.equal(s, p:status())
    assert.is_true(p:exited(0))
    p:close()
    p = assert(process.spawn { "sh", "-c", "kill -KILL $$" })
    s = assert(p:wait(60))
    assert.same({ ok = false, signal = "SIGKILL", core = false }, s)
    assert.equal("SIGKILL", tostring(s))
    p:close()
    p = assert(process.spawn { "sh", "-c", "ulimit -c 0; kill -SEGV $$" })
    assert.equal("SIGSEGV", p:wait(60).signal)
    p:close()
    p = assert(process.spawn { "true" })
    assert.same({ ok = true, code = 0 }, p:wait(60))
    p:close()
  end)

  it("is waited for with a deadline, asked without waiting, polled", function()
    local p = assert(process.spawn { "cat", stdin = "pipe" })
    assert.same({ nil, "process:wait cat: timed out", "ETIMEDOUT" }, { p:wait(0.01) })
    assert.same({ nil, "process:wait cat: timed out", "ETIMEDOUT" }, { p:wait(0) })
    assert.is_false(p:status())
    assert.equal("ETIMEDOUT", select(3, p:exited(0)))
    assert.equal("r", p:events())
    assert.equal(p:fd(), p:pollfd())
    assert.equal(("lipc.process cat[%d] (fd %d)"):format(p:pid(), p:fd()), tostring(p))
    p.stdin:close()
    assert.is_true(p:exited(60))
    assert.is_truthy(io.open("/proc/" .. p:pid() .. "/stat")) -- its status was not taken
    assert.is_true(p:status().ok)
    assert.is_nil(io.open("/proc/" .. p:pid() .. "/stat"))
    assert.is_truthy(tostring(p):find "%(ended%)$")
    p:close()
    assert.is_truthy(tostring(p):find "%(closed%)$")
    assert.equal("integer", math.type(p:pid()))
    assert.has_error(function() p:wait() end)
    assert.is_true(p:close())
  end)

  it("is waited for by several coroutines of a loop", function()
    local p = assert(process.spawn { "cat", stdin = "pipe" })
    local seen, ticks = {}, 0
    local l = assert(ipc.loop.new())
    for i = 1, 3 do l:wrap(function() seen[i] = p:wait() end) end
    l:wrap(function()
      for _ = 1, 5 do
        ipc.sleep(0.001)
        ticks = ticks + 1
      end
      p.stdin:close()
    end)
    l:run()
    l:close()
    assert.equal(5, ticks)
    assert.is_true(seen[1].ok)
    assert.same({ seen[1], seen[1], seen[1] }, seen)
    p:close()
  end)

  it("gets signals by name and number, and only itself", function()
    local p = assert(process.spawn { "cat", stdin = "pipe" })
    assert.is_true(p:kill(0))
    assert.is_true(p:kill "USR1")
    assert.equal("SIGUSR1", p:wait(60).signal)
    assert.same({ nil, "process:kill cat: No such process", "ESRCH" }, { p:kill() })
    p:close()
    p = assert(process.spawn { "cat", stdin = "pipe" })
    assert.is_true(p:kill())
    assert.equal("SIGTERM", p:wait(60).signal)
    p:close()
    assert.has_error(function() p:kill() end)
    p = assert(process.spawn { "cat", stdin = "pipe" })
    assert.has_error(function() p:kill "SIGBANANA" end)
    assert.has_error(function() p:kill(-1) end)
    assert.is_truthy(select(2, pcall(p.killgroup, p)):find "leads no process group")
    p:kill(9)
    assert.equal("SIGKILL", p:wait(60).signal)
    p:close()
  end)

  it("is not mistaken for another that got its number", function()
    -- the kernel can be told which number comes next where we may write that file
    local hit
    for _ = 1, 200 do
      local old = assert(process.spawn { "true" })
      assert(old:exited(60))
      local number = old:pid()
      old:status()
      local f = io.open("/proc/sys/kernel/ns_last_pid", "w")
      if f then
        f:write(number - 1)
        f:close()
      end
      local new = assert(process.spawn { "cat", stdin = "pipe", pgroup = true })
      hit = new:pid() == number
      assert.same({ nil, "ESRCH" }, { (old:kill(9)), select(3, old:kill(9)) })
      assert.is_false(new:status())
      new.stdin:close()
      assert.is_true(new:wait(60).ok)
      new:close()
      old:close()
      if hit or not f then break end
    end
  end)

  it("has a group that a signal reaches after it has ended itself", function()
    local silent, open = assert(ipc.pipe.open())
    local p = assert(process.spawn {
      "sh", "-c", "trap '' TERM; (cat <&3; echo never) & echo $!; exit 0", fds = { [3] = silent }, stdin = "pipe",
      stdout = "pipe", pgroup = true,
    })
    local pid = p.stdout:read "n"
    assert.is_true(p:exited(60))
    assert.is_true(p:killgroup "KILL")
    eventually(function() return gone(pid) end)
    assert.is_true(p:wait(60).ok)
    eventually(function() return select(3, p:killgroup(0)) == "ESRCH" end)
    silent:close()
    open:close()
    p:close()
  end)

  it("whose status the host took is reported, not waited for", function()
    local out = script([[
      local ipc = require "lipc"
      assert(ipc.signal.ignore "SIGCHLD") -- not by env: a shell in between would undo it
      local p = assert(ipc.process.spawn { "true" })
      print(p:wait(60))
      print(p:wait(60))
      print(p:kill())
      print((select(3, ipc.process.run { "true" })))
      print(select(3, ipc.process.spawn { "nosuchprogram" }))
      print(select(3, ipc.process.fork(function() end):wait(60)))
    ]])
    local line = "nil\tprocess:wait true: No child processes\tECHILD\n"
    assert.equal(line .. line .. "nil\tprocess:kill true: No such process\tESRCH\nECHILD\nENOENT\nECHILD\n", out)
  end)

  it("runs on when it is closed or collected, and leaves no zombie", function()
    local r, w = assert(pipe.open())
    local one = assert(process.spawn { "cat", stdin = r })
    local two = assert(process.spawn { "cat", stdin = r })
    r:close()
    local a, b = one:pid(), two:pid()
    one:close()
    two = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_false(gone(a))
    assert.is_false(gone(b))
    w:close()
    eventually(function() return gone(a) and gone(b) end)
    collectgarbage()
    assert.is_nil(io.open("/proc/" .. a .. "/stat"))
    assert.is_nil(io.open("/proc/" .. b .. "/stat"))
  end)

  it("that was closed while it ran is reaped by whatever waits", function()
    local silent, open = assert(ipc.pipe.open())
    local p = assert(process.spawn { "cat", stdin = silent })
    local pid = p:pid()
    collectgarbage "stop" -- which would do it too
    p:close()
    silent:close()
    open:close()
    eventually(function()
      local stat <close> = io.open("/proc/" .. pid .. "/stat")
      return not stat
    end)
    collectgarbage "restart"
  end)

  it("that ended before it was closed leaves no zombie either", function()
    local p = assert(process.spawn { "true" })
    local pid = p:pid()
    assert(p:exited(60))
    p:close()
    assert.is_nil(io.open("/proc/" .. pid .. "/stat"))
  end)

  it("is killed with its group on request when it is closed", function()
    local p = assert(process.spawn {
      "sh", "-c", "trap '' TERM; cat & echo $!; wait", stdin = "pipe", stdout = "pipe", pgroup = true,
      kill_on_close = true,
    })
    local pid, child = p:pid(), p.stdout:read "n"
    p:close()
    eventually(function() return gone(pid) and gone(child) end)
    do
      local q <close> = assert(process.spawn { "sleep", "1000", kill_on_close = true })
      pid = q:pid()
    end
    eventually(function() return gone(pid) end)
    p = assert(process.spawn { "sleep", "1000", kill_on_close = true })
    pid = p:pid()
    p = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    eventually(function() return gone(pid) end)
  end)

  it("gets a signal when we die, where that was asked for", function()
    local out = script [[
      local p = assert(require "lipc".process.spawn { "sleep", "1000", pdeathsig = "KILL", stdout = "null",
        stderr = "null" })
      print(p:pid())
      io.stdout:flush()
      os.exit(0, false)
    ]]
    local pid = tonumber(out)
    eventually(function() return gone(pid) end)
  end)
end)

describe("process.fork", function()
  it("runs a function in a copy of this process", function()
    local mine = 1
    local p = assert(process.fork(function()
      mine = 2
      io.write(mine, " ")
      print(require "support.probe".getpid())
      return 7
    end, { stdout = "pipe" }))
    assert.equal("2 " .. p:pid() .. "\n", p.stdout:read "a")
    assert.same({ ok = false, code = 7 }, p:wait(60))
    assert.equal(1, mine)
    p:close()
    local function status(...)
      local results = table.pack(...)
      local q = assert(process.fork(function() return table.unpack(results, 1, results.n) end))
      local s = q:wait(60)
      q:close()
      return s
    end
    local success = { ok = true, code = 0 }
    assert.same({ success, success, success, success, success },
      { status(), status(nil), status(true), status(0.0), status("x", "y") })
    assert.same({ { ok = false, code = 255 }, { ok = false, code = 7 } }, { status(255), status(7.0) })
    -- the module's own shape of a failure
    assert.same({ ok = false, code = 1 }, status(false))
    assert.same({ ok = false, code = 1, error = "why" }, status(false, "why"))
    assert.same({ ok = false, code = 1, error = "pipe:read: timed out" }, status(nil, "pipe:read: timed out", "ETIMEDOUT"))
    -- what is no exit code
    for _, n in ipairs { 256, -1, 2.5, math.maxinteger } do
      local s = status(n)
      assert.equal(1, s.code)
      assert.is_truthy(s.error:find(("function returned %s: an exit code is"):format(n), 1, true), s.error)
    end
  end)

  it("gives an error with its traceback to wait", function()
    local function culprit() error "on purpose" end
    local p = assert(process.fork(function() culprit() end))
    local s = p:wait(60)
    assert.equal(1, s.code)
    assert.is_truthy(s.error:find "on purpose\nstack traceback:.*culprit")
    p:close()
    p = assert(process.fork(function() error(("x"):rep(1 << 20)) end)) -- more than fits, and nobody reads yet
    assert(p:exited(60))
    assert.is_true(#p:wait().error > 10000)
    p:close()
    p = assert(process.fork(function() error({}) end))
    assert.is_truthy(p:wait(60).error:find "^table: ")
    p:close()
  end)

  it("writes what was buffered once", function()
    local out = script [[
      local ipc = require "lipc"
      local f = io.tmpfile()
      f:write "file "
      io.write "before "
      ipc.process.fork(function() io.write "child " f:write "child " end):wait()
      io.write "after "
      f:seek "set"
      io.write(f:read "a")
      local r, w = ipc.pipe.open()
      w:setvbuf "full"
      w:write "held back"
      ipc.process.fork(function() w:write "!" w:flush() end):wait()
      w:close()
      print(r:read "a")
    ]]
    assert.equal("before child after file child !held back\n", out)
  end)

  it("flushes what the child's own writes left in lipc buffers, and nothing of the parent's", function()
    local r, w = assert(pipe.open())
    local r2, w2 = assert(pipe.open())
    w:setvbuf "full"
    w2:setvbuf "full"
    w:write "parent\n"
    w2:write "untouched\n"
    local p = assert(process.fork(function()
      w:write "child\n"
      local r3, w3 = pipe.open()
      w3:setvbuf "line"
      w3:write "half a line"
      w3:close()
      r3:close()
    end))
    assert.same({ ok = true, code = 0 }, p:wait(60))
    p:close()
    assert.equal("child\n", r:readsome(100, 0))
    assert.equal("ETIMEDOUT", select(3, r2:readsome(100, 0)))
    w:close()
    assert.equal("parent\n", r:read "a")
    -- also after an error
    p = assert(process.fork(function()
      w2:write "before the error\n"
      error "on purpose"
    end))
    assert.is_truthy(p:wait(60).error:find "on purpose")
    p:close()
    assert.equal("before the error\n", r2:readsome(100, 0))
    -- what cannot go is a failure
    w2:flush()
    r2:close()
    p = assert(process.fork(function() w2:write "nobody reads" end))
    local s = p:wait(60)
    assert.equal(1, s.code)
    assert.is_truthy(s.error:find("pipe:flush: Broken pipe", 1, true), s.error)
    p:close()
    w2:close()
  end)

  it("runs no finalisers, and under no scheduler", function()
    local out = script [[
      local ipc = require "lipc"
      local guard = setmetatable({}, { __gc = function() print "finalised" end })
      local l = ipc.loop.new()
      l:wrap(function()
        local closed <close> = setmetatable({}, { __close = function() print "closed" end })
        local p = ipc.process.fork(function()
          print(coroutine.isyieldable(), ipc.sleep(0.001))
          local r, w = ipc.pipe.open()
          ipc.process.fork(function() w:write "nested" end):wait()
          print(r:readsome(10)) -- a wait for ever is allowed
        end)
        print(p:wait())
      end)
      l:run()
    ]]
    assert.equal("false\ttrue\nnested\nexit 0\nclosed\nfinalised\n", out)
  end)

  it("takes the options of spawn that make sense, and fails as it does", function()
    local p = assert(process.fork(function()
      io.write(io.read "a", " ")
      io.stdout:flush()
      os.execute "pwd; umask; grep SigIgn /proc/self/status"
    end, { stdin = "pipe", stdout = "pipe", cwd = "/", umask = "077", pgroup = true }))
    p.stdin:write "in"
    p.stdin:close()
    assert.is_truthy(p.stdout:read "a":find "^in /\n0077\nSigIgn:\t0+%x?[08]0000000\n$")
    assert.is_true(p:wait(60).ok)
    p:close()
    collectgarbage()
    collectgarbage()
    collectgarbage()
    collectgarbage()
    local before = hoststate.before()
    assert.same({ nil, "process.fork: chdir /nowhere: No such file or directory", "ENOENT" },
      { process.fork(function() end, { cwd = "/nowhere" }) })
    assert.same({}, hoststate.diff(before, hoststate.take()))
    assert.has_error(function() process.fork(function() end, { env = {} }) end)
    assert.has_error(function() process.fork(1) end)
  end)

  it("has default dispositions and can still have handlers", function()
    local out = script([[
      local ipc = require "lipc"
      ipc.signal.on("SIGUSR1", function() print "parent's" end)
      ipc.process.fork(function()
        os.execute "grep SigIgn /proc/self/status"
        ipc.signal.on("SIGUSR1", function() print "child's" end)
        ipc.signal.raise "SIGUSR1"
        ipc.sleep(0.001)
      end):wait()
      local p = ipc.process.fork(function() io.write(("x"):rep(100000)) end, { stdout = "pipe" })
      p.stdout:close()
      print(p:wait())
    ]], "PIPE")
    assert.is_truthy(out:find "^SigIgn:\t0+%x?[08]0000000\n", out)
    assert.is_truthy(out:find "child's\n")
    assert.is_truthy(out:find "SIGPIPE\n$")
  end)

  it("refuses where there are several threads, unless told that it is all right", function()
    local probe = require "support.probe"
    local out = script(([[
      package.path, package.cpath = %q, %q
      local ipc = require "lipc"
      require "support.probe".thread()
      print(ipc.process.fork(function() end))
      print(assert(ipc.process.fork(function() return 3 end, { threads = true })):wait())
    ]]):format(package.path, package.cpath))
    assert.equal("nil\tprocess.fork: Operation not supported\tENOTSUP\nexit 3\n", out)
    assert.is_table(probe)
  end)

  it("cannot wait for, but does not disturb, its parent's children", function()
    local p = assert(process.spawn { "cat", stdin = "pipe", kill_on_close = true })
    local q = assert(process.fork(function()
      local _, _, code = p:wait(0)
      p:close()
      return code == "ECHILD"
    end))
    assert.same({ ok = true, code = 0 }, q:wait(60))
    q:close()
    assert.is_false(p:status())
    p.stdin:close()
    assert.is_true(p:wait(60).ok)
    p:close()
  end)
end)
