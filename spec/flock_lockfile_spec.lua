-- Lock files: one holder at a time, its pid in the file, takeover of what a dead one left.
local ipc = require "lipc"
local child = require "support.child"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"
local programs = require "support.programs"

local SOON = 30 -- seconds: longer than anything here takes
local valgrind = os.getenv "LIPC_SPEC_MODE" == "valgrind" -- which knows no pidfd: no process.fork, no kill

describe("flock.lockfile", function()
  local lockfile, holder = ipc.flock.lockfile, ipc.flock.holder
  local path, open

  before_each(function()
    path, open = names.path ".pid", {}
  end)
  after_each(function()
    for _, o in ipairs(open) do o:close() end
    os.remove(path)
  end)
  local function keep(o, ...)
    if o then open[#open + 1] = o end
    return o, ...
  end
  local function take(opts) return assert(keep(lockfile(path, opts))) end
  local function exists()
    local f = io.open(path)
    return f ~= nil and f:close()
  end
  local function write(text)
    local f = assert(io.open(path, "w"))
    f:write(text)
    f:close()
  end

  -- A process that holds it until it is killed.
  local function other(opts)
    local p, finish = child.lua(([[
      local ipc = require "lipc"
      local lf = assert(ipc.flock.lockfile(..., %s))
      ready()
      ipc.sleep(200)
      lf:close()]]):format(opts or "nil"), path)
    local pid = assert(math.tointeger(p:read "n"))
    return pid, function()
      ipc.signal.kill(pid, "SIGKILL")
      finish()
    end
  end

  it("has the pid in it, and is gone when it is closed", function()
    local lf = take()
    assert.equal(("lipc.flock.lockfile %s (fd %d)"):format(path, lf:fd()), tostring(lf))
    assert.equal(probe.getpid() .. "\n", programs.slurp(path))
    assert.is_false(lf:stale())
    assert.equal(probe.getpid(), holder(path))
    assert.is_truthy(probe.fds()[lf:fd()]:find "cloexec")
    assert.is_true(lf:close())
    assert.is_false(exists())
    assert.is_false(holder(path))
    assert.is_true(lf:close())
  end)

  it("has its mode, less the umask", function()
    local before = probe.umask(tonumber("022", 8))
    finally(function() probe.umask(before) end)
    assert.equal(tonumber("644", 8), take():stat().mode)
    open[1]:close()
    assert.equal(tonumber("600", 8), take({ mode = tonumber("600", 8) }):stat().mode)
  end)

  it("is held by one at a time, who is named", function()
    local lf = take()
    assert.same({ nil, ("flock.lockfile %s: timed out (held by process %d)"):format(path, probe.getpid()), "ETIMEDOUT" },
      { lockfile(path) })
    lf:close()
    local pid, finish = other()
    assert.same({ nil, ("flock.lockfile %s: timed out (held by process %d)"):format(path, pid), "ETIMEDOUT" },
      { lockfile(path, { timeout = 0.05 }) })
    assert.equal(pid, holder(path))
    write "1\n" -- what a file says counts for less than who has it locked
    assert.equal(pid, holder(path))
    assert.matches(("held by process %d%%)$"):format(pid), (select(2, lockfile(path))))
    finish()
  end)

  it("left by a dead holder is taken over, however it died", function()
    local pid, finish = other()
    finish()
    assert.equal(pid .. "\n", programs.slurp(path))
    assert.is_false(holder(path))
    local lf = take()
    assert.equal(pid, lf:stale())
    assert.equal(probe.getpid() .. "\n", programs.slurp(path))
    assert.equal(probe.getpid(), holder(path))
  end)

  it("waits for its holder, in the kernel and under the loop", function()
    for _, how in ipairs { "close", "kill" } do
      local pid, finish = other()
      local loop, lf = ipc.loop.new(), nil
      loop:wrap(function() lf = keep(lockfile(path, { timeout = SOON })) end)
      loop:wrap(function()
        ipc.sleep(0.02)
        ipc.signal.kill(pid, "SIGKILL")
      end)
      loop:run()
      loop:close()
      assert.equal(pid, lf:stale())
      finish()
      local p, wait = child.lua([[
        local ipc = require "lipc"
        ready()
        local lf = assert(ipc.flock.lockfile(..., { timeout = 60 }))
        print(lf:stale(), ipc.flock.holder(...) == ipc.signal.getpid())
        lf:close()]], path)
      child.sleeping(assert(p:read "n"))
      if how == "kill" then probe.close(lf:detach()) end -- as a crash: the file stays
      assert.is_true(lf:close())
      local ok, out = wait()
      assert.is_true(ok, out)
      assert.equal(("\n%s\ttrue\n"):format(how == "kill" and probe.getpid() or "false"), out)
      assert.is_false(exists())
    end
  end)

  it("is kept on request, empty", function()
    local lf = take { keep = true }
    local ino = lf:stat().ino
    lf:close()
    assert.equal("", programs.slurp(path))
    lf = take { keep = true }
    assert.is_false(lf:stale())
    assert.equal(ino, lf:stat().ino)
  end)

  it("is removed when it is collected, and only if it is still that file", function()
    assert(lockfile(path))
    collectgarbage()
    collectgarbage()
    assert.is_false(exists())
    local lf = take()
    os.remove(path)
    write "another's\n"
    assert.is_true(lf:close())
    assert.equal("another's\n", programs.slurp(path))
    os.remove(path)
    lf = take()
    os.remove(path)
    assert.is_true(lf:close())
  end)

  it("is removed where it is, whatever the working directory has become", function()
    local dir = names.path()
    os.execute("mkdir " .. dir)
    local out = peer.run([[
      local probe = require "support.probe"
      probe.chdir(arg[1])
      local lf = assert(ipc.flock.lockfile "x.pid")
      probe.chdir "/"
      lf:close()
      print(io.open(arg[1] .. "/x.pid"))]], dir)
    assert.matches("^nil\t", out)
    assert.is_true(os.remove(dir))
  end)

  it("in a forked child: closing only closes, and both hold it until then", function()
    if valgrind then return pending "valgrind knows no pidfd" end
    local lf = take()
    local p = assert(ipc.process.fork(function()
      assert(lf:close())
      assert(io.open(path))
    end))
    assert.equal(0, assert(p:wait(SOON)).code)
    assert.equal(probe.getpid(), holder(path))
    p = assert(ipc.process.fork(function()
      lf = nil
      collectgarbage()
    end))
    assert.equal(0, assert(p:wait(SOON)).code)
    assert.is_true(exists())
    lf:close()
    assert.is_false(exists())
    -- the parent is killed: the child has it
    local c, finish = child.lua([[
      local ipc, probe = require "lipc", require "support.probe"
      local lf, me = assert(ipc.flock.lockfile(...)), probe.getpid()
      probe.forkhere()
      if probe.getpid() == me then ipc.signal.raise "SIGKILL" end
      ready()
      ipc.sleep(200)
      lf:close()]], path)
    local pid = assert(math.tointeger(c:read "n"))
    programs.eventually(function() return holder(path) == pid end) -- its parent may not have died yet
    assert.matches(("held by process %d%%)$"):format(pid), (select(2, lockfile(path))))
    ipc.signal.kill(pid, "SIGKILL")
    finish()
    assert.is_number(take():stale())
  end)

  describe("of a program that takes no lock", function()
    it("counts as held while the process that it names lives, on request", function()
      if valgrind then return pending "valgrind knows no pidfd" end
      local p = assert(ipc.process.spawn { "sleep", "200", kill_on_close = true })
      finally(function() p:close() end)
      local pid = p:pid()
      for _, form in ipairs { "%d", "%d\n", "%10d\n", "%d extra\n" } do
        write(form:format(pid))
        assert.same({ nil, ("flock.lockfile %s: timed out (process %d, which the file names, lives)"):format(path, pid),
          "ETIMEDOUT" }, { lockfile(path, { respect_pid = true }) })
        assert.equal("ETIMEDOUT", select(3, lockfile(path, { respect_pid = true, timeout = 0.05 })))
        assert.is_false(holder(path))
        assert.equal(pid, holder(path, { respect_pid = true }))
        assert.equal(form:format(pid), programs.slurp(path))
      end
      local loop, lf = ipc.loop.new(), nil
      loop:wrap(function() lf = keep(lockfile(path, { respect_pid = true, timeout = SOON })) end)
      loop:wrap(function()
        ipc.sleep(0.02)
        p:kill "SIGKILL"
        p:wait()
      end)
      loop:run()
      loop:close()
      assert.equal(pid, lf:stale())
      lf:close()
      assert.is_false(exists())
    end)

    it("waits for it without a loop too", function()
      if valgrind then return pending "valgrind knows no pidfd" end
      local p = assert(ipc.process.spawn { "sleep", "200", kill_on_close = true })
      write(p:pid() .. "\n")
      local c, finish = child.lua([[
        local ipc = require "lipc"
        ready()
        local before = os.clock()
        print(ipc.flock.lockfile(..., { respect_pid = true, timeout = 60 }):stale(), os.clock() - before < 0.2)]], path)
      child.sleeping(assert(c:read "n"))
      p:kill "SIGKILL"
      p:wait()
      p:close()
      local ok, out = finish()
      assert.is_true(ok, out)
      assert.matches("^\n%d+\ttrue\n$", out)
    end)

    it("is taken at once without that", function()
      write "1\n" -- init lives
      local lf = take()
      assert.equal(1, lf:stale())
    end)

    it("is left alone where a file has other contents", function()
      for _, text in ipairs { "abc\n", "precious", "\0\0", ("9"):rep(64), "\n" .. ("\n"):rep(80) } do
        write(text)
        local why = "Invalid argument (not a regular file, or one with other contents than a number)"
        assert.same({ nil, ("flock.lockfile %s: %s"):format(path, why), "EINVAL" }, { lockfile(path) })
        assert.equal(text, programs.slurp(path))
      end
    end)

    it("is left alone where the file has another name too", function()
      local second = names.path()
      finally(function() os.remove(second) end)
      local f = assert(io.open(second, "w"))
      f:write "12"
      f:close()
      os.execute(("ln %s %s"):format(second, path))
      local why = "Too many links (the file has several names, and a lock file has one)"
      assert.same({ nil, ("flock.lockfile %s: %s"):format(path, why), "EMLINK" }, { lockfile(path) })
      assert.equal("12", programs.slurp(second))
    end)

    it("is not believed more than a number can be", function()
      for _, text in ipairs { "", "\n", "0\n", "-1\n", "99999999999\n", "4294967297\n", "0x1\n", "1x\n",
        ("9"):rep(60), probe.getpid() .. "\n", " \t1\n" } do
        write(text)
        local lf = take { respect_pid = true }
        assert.equal(text:match "^%d+\n" == probe.getpid() .. "\n" and probe.getpid() or false, lf:stale())
        assert.equal(probe.getpid() .. "\n", programs.slurp(path))
        lf:close()
      end
    end)
  end)

  it("says why not", function()
    os.execute(("ln -s %s.target %s"):format(path, path))
    local why = "Too many levels of symbolic links (a symbolic link as the last part of the path is not followed)"
    assert.same({ nil, ("flock.lockfile %s: %s"):format(path, why), "ELOOP" }, { lockfile(path) })
    assert.same({ nil, ("flock.holder %s: %s"):format(path, why), "ELOOP" }, { holder(path) })
    assert.is_nil(io.open(path .. ".target"))
    os.remove(path)
    os.execute("mkfifo " .. path)
    assert.same({ nil, ("flock.lockfile %s: Invalid argument (not a regular file, or one with other contents than a number)"):format(path), "EINVAL" },
      { lockfile(path) })
    os.remove(path)
    assert.same({ nil, "flock.lockfile /tmp: Is a directory", "EISDIR" }, { lockfile "/tmp" })
    assert.same({ nil, "flock.lockfile /nonexistent/x: No such file or directory", "ENOENT" }, { lockfile "/nonexistent/x" })
    local _, _, code = lockfile(("x"):rep(5000))
    assert.equal("ENAMETOOLONG", code)
  end)

  it("that cannot be written to is given back", function()
    local out = peer.sh("ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 strace -o /dev/null -e trace=pwrite64 -e inject=pwrite64:error=ENOSPC " ..
      peer.command([[print(ipc.flock.lockfile(arg[1])) print(io.open(arg[1]) == nil)]], path) .. " 2>&1"):read "a"
    assert.equal(("nil\tflock.lockfile %s: No space left on device\tENOSPC\ntrue\n"):format(path), out)
  end)

  it("refuses misuse", function()
    assert.error_matches(function() lockfile() end, "#1")
    assert.error_matches(function() lockfile "" end, "#1.*empty")
    assert.error_matches(function() lockfile(path, { time = 1 }) end, "unknown option 'time'")
    assert.error_matches(function() lockfile(path, { timeout = -1 }) end, "option 'timeout'")
    assert.error_matches(function() lockfile(path, { keep = 1 }) end, "option 'keep': boolean")
    assert.error_matches(function() holder() end, "#1")
    assert.error_matches(function() holder(path, { keep = true }) end, "unknown option 'keep'")
    assert.is_false(exists())
    local lf = take()
    lf:close()
    assert.error_matches(function() lf:stale() end, "closed flock.lockfile")
  end)
end)
