-- Locks on whole files: flock(2).
local ipc = require "lipc"
local child = require "support.child"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"

local SOON = 30 -- seconds: longer than anything here takes

describe("flock", function()
  local path, open

  before_each(function()
    path, open = names.path(), {}
    io.open(path, "w"):close()
  end)
  after_each(function()
    for _, o in ipairs(open) do o:close() end
    os.remove(path)
  end)
  local function keep(o, ...)
    if o then open[#open + 1] = o end
    return o, ...
  end
  local function new(opts) return assert(keep(ipc.flock.open(path, opts))) end

  describe("open", function()
    it("makes nothing unless asked, and empties nothing", function()
      local f = io.open(path, "w")
      f:write "kept"
      f:close()
      new():lock "exclusive"
      new({ create = true })
      assert.equal("kept", io.open(path):read "a")
      os.remove(path)
      assert.same({ nil, ("flock.open %s: No such file or directory"):format(path), "ENOENT" }, { ipc.flock.open(path) })
      local before = probe.umask(tonumber("027", 8))
      finally(function() probe.umask(before) end)
      assert.equal(tonumber("600", 8), new({ create = true, exclusive = true }):stat().mode)
      assert.same({ nil, ("flock.open %s: File exists"):format(path), "EEXIST" },
        { ipc.flock.open(path, { create = true, exclusive = true }) })
      os.remove(path)
      assert.equal(tonumber("640", 8), new({ create = true, mode = tonumber("666", 8) }):stat().mode)
    end)

    it("is close-on-exec, and opens for what it is told", function()
      for access, flags in pairs { r = 0, w = 1, rw = 2 } do
        local f = new { access = access }
        assert.equal(flags, peer.fdflags(f:fd()) & 3)
        assert.is_truthy(probe.fds()[f:fd()]:find "cloexec")
      end
      assert.equal(2, peer.fdflags(new():fd()) & 3)
      assert.equal(("lipc.flock %s (fd %d)"):format(path, open[1]:fd()), tostring(open[1]))
    end)

    it("follows no symbolic link, and waits for nobody", function()
      os.execute(("ln -s %s %s.link; mkfifo %s.fifo"):format(path, path, path))
      finally(function()
        os.remove(path .. ".link")
        os.remove(path .. ".fifo")
      end)
      for _, opts in ipairs { {}, { create = true } } do
        assert.same({ nil, ("flock.open %s.link: Too many levels of symbolic links " ..
          "(a symbolic link as the last part of the path is not followed)"):format(path), "ELOOP" },
          { ipc.flock.open(path .. ".link", opts) })
      end
      assert.is_true(keep(ipc.flock.open(path .. ".fifo", { access = "r" })):lock "exclusive")
    end)

    it("locks a directory", function()
      local dir = names.path()
      os.execute("mkdir " .. dir)
      finally(function() os.remove(dir) end)
      assert.same({ nil, ("flock.open %s: Is a directory (a directory can be locked with access = \"r\")"):format(dir),
        "EISDIR" }, { ipc.flock.open(dir) })
      local f = keep(ipc.flock.open(dir, { access = "r" }))
      assert.is_true(f:lock "exclusive")
      assert.is_nil(os.execute(("flock -n %s true"):format(dir)))
    end)

    it("names the limit that it has hit", function()
      local out = peer.sh("ulimit -n 20; " .. peer.command([[
        local _, hold = ipc.flock, {}
        repeat hold[#hold + 1] = io.open "/dev/null" until #hold > 30 or not io.open "/dev/null"
        repeat local f = io.open "/dev/null" hold[#hold + 1] = f until not f
        print(ipc.flock.open(arg[1]))]], path)):read "a"
      assert.equal(("nil\tflock.open %s: Too many open files (RLIMIT_NOFILE is 20: see ulimit -n)\tEMFILE\n")
        :format(path), out)
    end)

    it("refuses misuse", function()
      assert.error_matches(function() ipc.flock.open() end, "#1")
      assert.error_matches(function() ipc.flock.open "" end, "#1.*empty")
      assert.error_matches(function() ipc.flock.open "a\0b" end, "#1.*zeros")
      assert.error_matches(function() ipc.flock.open(path, { acces = "r" }) end, "unknown option 'acces'")
      for _, bad in ipairs { "", "x", "wr", "r+", "rww" } do
        assert.error_matches(function() ipc.flock.open(path, { access = bad }) end, "option 'access'")
      end
      assert.error_matches(function() ipc.flock.open(path, { exclusive = true }) end, "needs 'create'")
      assert.error_matches(function() ipc.flock.open(path, { create = true, mode = -1 }) end, "option 'mode'")
    end)
  end)

  it("holds off another description, shared ones together", function()
    local a, b, c = new(), new(), new { access = "r" }
    assert.is_false(a:held())
    assert.is_true(a:lock "shared")
    assert.is_true(b:lock("shared", 0))
    assert.equal("shared", b:held())
    assert.same({ nil, ("flock:trylock %s: timed out"):format(path), "ETIMEDOUT" }, { c:trylock "exclusive" })
    assert.same({ nil, ("flock:lock %s: timed out"):format(path), "ETIMEDOUT" }, { c:lock("exclusive", 0) })
    assert.is_false(c:held())
    assert.is_true(a:unlock())
    assert.is_true(a:unlock())
    assert.is_true(b:close())
    assert.is_true(c:trylock "exclusive")
    assert.equal("exclusive", c:held())
    assert.equal("ETIMEDOUT", select(3, a:trylock "shared"))
  end)

  it("honours timeouts, its default too, and waits no less", function()
    local a, b = new(), new()
    assert(a:lock "exclusive")
    b:settimeout(0.05)
    local start = ipc.now()
    assert.equal("ETIMEDOUT", select(3, b:lock "shared"))
    assert.equal("ETIMEDOUT", select(3, b:lock("shared", 0.05)))
    assert.is_true(ipc.now() - start >= 0.1)
    assert.equal("ETIMEDOUT", select(3, b:with("shared", error, 0.01)))
  end)

  it("uses no processor while it waits", function()
    local a, b = new(), new()
    assert(a:lock "exclusive")
    local before = os.clock()
    assert.equal("ETIMEDOUT", select(3, b:lock("exclusive", 1)))
    assert.is_true(os.clock() - before < 0.1, "a wait that uses the processor")
  end)

  it("leaves the disposition of SIGURG and the mask as they were", function()
    local a, b = new(), new()
    assert(a:lock "exclusive")
    local dispositions, mask = probe.dispositions(), probe.mask()
    assert.equal("ETIMEDOUT", select(3, b:lock("exclusive", 0.05)))
    assert.same(dispositions, probe.dispositions())
    assert.same(mask, probe.mask())
  end)

  for how, prepare in pairs {
    ["blocked"] = [[ipc.signal.block "SIGURG"]],
    ["ignored"] = [[ipc.signal.ignore "SIGURG"]],
    ["another's"] = [[ipc.signal.on("SIGURG", print)]],
  } do
    it("waits, and is woken, where SIGURG is " .. how, function()
      local holder = new()
      assert(holder:lock "exclusive")
      local p, finish = child.lua(([[
        local ipc = require "lipc"
        %s
        local f = ipc.flock.open(...)
        print(select(3, f:lock("exclusive", 0.05)))
        ready()
        print(f:lock("exclusive", 60))]]):format(prepare), path)
      assert.equal("ETIMEDOUT", p:read())
      child.sleeping(assert(p:read "n"))
      holder:unlock()
      local ok, out = finish()
      assert.is_true(ok, out)
      assert.equal("\ntrue\n", out)
    end)
  end

  describe("conversion", function()
    it("goes both ways where nobody is in the way", function()
      local a, b = new(), new()
      assert(a:lock "exclusive")
      assert.is_true(a:lock "shared")
      assert.is_true(b:trylock "shared")
      b:unlock()
      assert.is_true(a:trylock "exclusive")
      assert.equal("exclusive", a:held())
      assert.equal("ETIMEDOUT", select(3, b:trylock "shared"))
    end)

    it("that fails has lost the old lock, and says so", function()
      for _, method in ipairs { "trylock", "lock" } do
        local a, b, c = new(), new(), new()
        assert(a:lock "shared" and b:lock "shared")
        assert.same({ nil, ("flock:%s %s: timed out (the shared lock is lost: flock(2) gives it up first)")
          :format(method, path), "ETIMEDOUT" }, { a[method](a, "exclusive", method == "lock" and 0.01 or nil) })
        assert.is_false(a:held())
        b:unlock()
        assert.is_true(c:trylock "exclusive") -- the kernel says so too
        assert.same({ nil, ("flock:trylock %s: timed out"):format(path), "ETIMEDOUT" }, { a:trylock "shared" })
        c:unlock()
      end
    end)

    it("waits for the others to leave", function()
      local a = new()
      assert(a:lock "shared")
      local p, finish = child.lua([[
        local f = require "lipc".flock.open(...)
        assert(f:lock "shared")
        ready()
        require "lipc".sleep(100)]], path)
      local pid = assert(p:read "n")
      local loop = ipc.loop.new()
      loop:wrap(function()
        ipc.sleep(0.02)
        ipc.signal.kill(pid, "SIGKILL")
      end)
      local got
      loop:wrap(function() got = a:lock("exclusive", SOON) end)
      loop:run()
      loop:close()
      finish()
      assert.is_true(got)
      assert.equal("exclusive", a:held())
    end)
  end)

  describe("with", function()
    it("locks while the function runs, and passes on what it returns", function()
      local a, b = new(), new()
      assert.same({ 1, nil, "x", n = 3 }, table.pack(a:with("exclusive", function(lock)
        assert.equal(a, lock)
        assert.equal("exclusive", a:held())
        assert.equal("ETIMEDOUT", select(3, b:trylock "shared"))
        return 1, nil, "x"
      end)))
      assert.equal(0, select("#", a:with("shared", function() end)))
      assert.is_false(a:held())
      assert.is_true(b:trylock "exclusive")
    end)

    it("unlocks after an error, which goes on", function()
      local a, b = new(), new()
      local ok, what = pcall(a.with, a, "exclusive", function() error({ "mine" }, 0) end)
      assert.is_false(ok)
      assert.same({ "mine" }, what)
      assert.is_false(a:held())
      assert.is_true(b:trylock "exclusive")
    end)

    it("has waited, and returns nothing where the function does", function()
      for _, method in ipairs { "blocking", "loop" } do
        local a = new()
        assert(a:lock "exclusive")
        local p, finish = child.lua([[
          local ipc = require "lipc"
          local f, calls = ipc.flock.open((...)), 0
          local function body()
            print(select("#", f:with("exclusive", function() calls = calls + 1 end, 60)), calls, f:held())
            print(f:with("exclusive", function() ipc.sleep(0.01) return "slept", f:held() end))
          end
          ready()
          if select(2, ...) == "blocking" then body() else
            local loop = ipc.loop.new()
            loop:wrap(body)
            loop:run()
          end]], path, method)
        local pid = assert(p:read "n")
        child.sleeping(pid)
        a:unlock()
        local ok, out = finish()
        assert.is_true(ok, out)
        assert.equal("\n0\t1\tfalse\nslept\texclusive\n", out)
      end
    end)

    it("unlocks when a callback raises that came during the wait", function()
      local a = new()
      assert(a:lock "exclusive")
      local p, finish = child.lua([[
        local ipc = require "lipc"
        local f = ipc.flock.open(...)
        ipc.signal.on("SIGUSR1", function() error("stop", 0) end)
        ready()
        local ok, what = pcall(f.with, f, "exclusive", function() ipc.sleep(60) end)
        print(ok, what, f:held())]], path)
      local pid = assert(p:read "n")
      child.sleeping(pid)
      ipc.signal.kill(pid, "SIGUSR1") -- does not end flock(2), which the kernel restarts
      a:unlock()
      local ok, out = finish()
      assert.is_true(ok, out)
      assert.equal("\nfalse\tstop\tfalse\n", out)
    end)

    it("refuses an object that holds its lock, and what is no function", function()
      local a = new()
      assert.error_matches(function() a:with "shared" end, "#2")
      assert.error_matches(function() a:with("shared", {}) end, "#2.*function")
      assert.error_matches(function() a:with("both", print) end, "invalid option 'both'")
      a:with("shared", function()
        assert.error_matches(function() a:with("shared", print) end, "holds its lock already")
      end)
      assert.is_false(a:held())
    end)

    it("does no harm when the function unlocks or closes", function()
      local a, b = new(), new()
      assert.equal("x", a:with("exclusive", function()
        a:unlock()
        assert(b:trylock "exclusive")
        return "x"
      end))
      assert.equal("exclusive", b:held())
      assert.equal("ETIMEDOUT", select(3, a:trylock "shared"))
      b:unlock()
      assert.is_true(a:with("exclusive", function() return a:close() end))
    end)
  end)

  describe("test", function()
    local function answer(f, mode)
      local ok, who = f:test(mode)
      return ok, who and who.mode, who and who.pid, who
    end

    it("tells who is in the way, and takes nothing", function()
      local a, b = new(), new { access = "r" }
      assert.is_true(a:test "exclusive")
      assert.is_false(a:held())
      assert(b:lock "shared")
      assert.is_true(a:test "shared")
      assert.same({ false, { kind = "flock", mode = "shared", pid = probe.getpid(), pids = { probe.getpid() } } },
        { a:test "exclusive" })
      assert.is_true(b:test "exclusive")
      assert(a:lock "shared")
      assert.same({ false, "shared", probe.getpid() }, { answer(b, "exclusive"), select(2, answer(b, "exclusive")),
        (select(3, answer(b, "exclusive"))) })
      a:unlock()
      assert(b:lock "exclusive")
      assert.is_false((a:test "shared"))
      assert.is_true(b:test "exclusive")
    end)

    it("names other processes, all that have inherited it", function()
      local a = new()
      local p, finish = child.lua([[
        local ipc, probe = require "lipc", require "support.probe"
        local f = ipc.flock.open(...)
        assert(f:lock "exclusive")
        local pid = probe.getpid()
        probe.forkhere()
        if probe.getpid() ~= pid then
          ready()
          ipc.sleep(100)
        end
        ready()
        ipc.sleep(100)]], path)
      local pids = { p:read("l"), p:read("l") }
      for i = 1, 2 do pids[i] = assert(math.tointeger(tonumber(pids[i]))) end
      table.sort(pids)
      local ok, who = a:test "shared"
      assert.is_false(ok)
      table.sort(who.pids)
      assert.same(pids, who.pids)
      ipc.signal.kill(pids[2], "SIGKILL")
      child.sleeping(pids[2])
      ok, who = a:test "shared"
      assert.is_false(ok)
      assert.same({ pids[1] }, who.pids)
      assert.equal(pids[1], who.pid)
      ipc.signal.kill(pids[1], "SIGKILL")
      finish()
      assert.is_true(a:test "shared")
    end)

    it("knows nothing of record locks", function()
      local a, b = new(), new()
      assert(b:range(0):lock "exclusive")
      assert.is_true(a:test "exclusive")
    end)
  end)

  it("is given back by the death of its holder", function()
    local f = new()
    for _ = 1, 3 do
      local p, finish = child.lua([[
        local f = require "lipc".flock.open(...)
        assert(f:lock "exclusive")
        ready()
        require "lipc".sleep(100)]], path)
      local pid = assert(p:read "n")
      assert.equal("ETIMEDOUT", select(3, f:trylock "shared"))
      ipc.signal.kill(pid, "SIGKILL")
      assert.is_true(f:lock("exclusive", SOON))
      f:unlock()
      finish()
    end
  end)

  it("runs callbacks while it waits, and goes on", function()
    local f = new()
    for _, method in ipairs { 'f:lock("exclusive", 60)', 'f:with("exclusive", f.held, 60)',
      'f:range(0):lock("exclusive", 60)' } do
      local r <close> = f:range(0)
      assert(f:lock "exclusive" and r:lock "exclusive")
      local p, finish = child.lua(([[
        local ipc = require "lipc"
        local f = ipc.flock.open(...)
        ipc.signal.on("SIGUSR1", function() print "called" io.stdout:flush() end)
        ready()
        print(%s)]]):format(method), path)
      local pid = assert(p:read "n", "l")
      child.sleeping(pid)
      ipc.signal.kill(pid, "SIGUSR1")
      p:read "l"
      assert.equal("called", p:read "l")
      r:unlock()
      f:unlock()
      local ok, out = finish()
      assert.is_true(ok, out)
      assert.equal((method:find "with" and "exclusive" or "true") .. "\n", out)
    end
  end)

  it("ends in Ctrl-C as an error, and holds nothing then", function()
    local f = new()
    for _, method in ipairs { 'f:lock "exclusive"', 'f:with("exclusive", print)' } do
      assert(f:lock "exclusive")
      local p, finish = child.lua(([[
        local f = require "lipc".flock.open(...)
        local ok, message = pcall(function() ready() %s end)
        print(ok, message, f:held())]]):format(method), path)
      local pid = assert(p:read "n")
      child.sleeping(pid)
      ipc.signal.kill(pid, "SIGINT")
      local ok, out = finish()
      assert.is_true(ok, out)
      assert.matches("^\nfalse\t[^\n]*interrupted!\tfalse\n$", out)
      f:unlock()
    end
  end)

  it("says which limit of the kernel was hit", function()
    local out = peer.sh("ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 strace -f -o /dev/null -e trace=flock -e inject=flock:error=ENOLCK:when=1 " ..
      peer.command([[print(ipc.flock.open(arg[1]):lock "exclusive")]], path) .. " 2>&1"):read "a"
    assert.equal(("nil\tflock:lock %s: No locks available (the kernel has no memory for one more lock, or the lock " ..
      "service of a network file system does not answer)\tENOLCK\n"):format(path), out)
  end)

  it("refuses misuse", function()
    local f = new()
    assert.error_matches(function() f:lock() end, "#1")
    assert.error_matches(function() f:lock "write" end, "#1.*invalid option 'write'")
    assert.error_matches(function() f:lock(1) end, "#1")
    assert.error_matches(function() f:trylock() end, "#1")
    assert.error_matches(function() f:test "none" end, "#1.*invalid option 'none'")
    assert.error_matches(function() f:lock("shared", -1) end, "#2.*negative")
    assert.error_matches(function() f:lock("shared", "soon") end, "#2")
    assert.error_matches(function() f.lock(io.stdout, "shared") end, "lipc.flock expected")
    assert.error_matches(function() f.unlock(f:range(0)) end, "lipc.flock expected")
    f:close()
    for _, method in ipairs { "lock", "trylock", "test", "with" } do
      assert.error_matches(function() f[method](f, "shared", print) end, "closed flock")
    end
    for _, method in ipairs { "unlock", "held" } do
      assert.error_matches(function() f[method](f) end, "closed flock")
    end
    assert.error_matches(function() f:range(0) end, "closed flock")
  end)
end)
