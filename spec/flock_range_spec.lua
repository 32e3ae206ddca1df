-- Locks on ranges of bytes: open file descriptions' and POSIX's.
local ipc = require "lipc"
local child = require "support.child"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"

local SOON = 30 -- seconds: longer than anything here takes
-- It knows no pidfd (no process.fork, no kill), and lets no signal end F_OFD_SETLKW: such a wait would have no end.
local valgrind = os.getenv "LIPC_SPEC_MODE" == "valgrind"

describe("flock.range", function()
  local path, open

  before_each(function()
    path, open = names.path(), {}
    io.open(path, "w"):close()
  end)
  after_each(function()
    for _, o in ipairs(open) do o:close() end
    os.remove(path)
  end)
  local function new(opts)
    local f = assert(ipc.flock.open(path, opts))
    open[#open + 1] = f
    return f
  end

  -- Runs a script with `f`, the file opened, in another process until finish() is called; the script calls ready.
  local function holder(script)
    local p, finish = child.lua(([[
      local ipc = require "lipc"
      local f = assert(ipc.flock.open(...))
      %s
      ready()
      ipc.sleep(200)]]):format(script), path)
    local pid = assert(math.tointeger(p:read "n"))
    return pid, function()
      ipc.signal.kill(pid, "SIGKILL")
      finish()
    end
  end

  it("holds off where ranges meet, and only there", function()
    local a, b = new(), new()
    local first = a:range(0, 10)
    assert.is_true(first:lock "exclusive")
    assert.equal("exclusive", first:held())
    assert.equal(("lipc.flock.range %s, bytes 0 to 9 (open)"):format(path), tostring(first))
    for _, at in ipairs { { 0, 1 }, { 9, 1 }, { 0, nil }, { 5, 100 }, { 9, nil } } do
      assert.same({ nil, ("flock.range:trylock %s, bytes %d %s: timed out"):format(path, at[1],
        at[2] and "to " .. at[1] + at[2] - 1 or "on"), "ETIMEDOUT" }, { b:range(at[1], at[2]):trylock "shared" })
    end
    for _, at in ipairs { { 10, 1 }, { 10, nil }, { 1 << 40, 1 } } do
      assert.is_true(b:range(at[1], at[2]):trylock "exclusive")
    end
    assert.is_true(first:unlock())
    assert.is_false(first:held())
    assert.is_true(b:range(0, 10):trylock "exclusive")
  end)

  it("shares, and to the end means wherever it will be", function()
    if valgrind then return pending "valgrind: no pidfd, no signal ends F_OFD_SETLKW" end
    local a, b = new(), new()
    local whole, tail = a:range(0), b:range(100, 0)
    assert(whole:lock "shared")
    assert.is_true(tail:lock "shared")
    assert.equal("ETIMEDOUT", select(3, tail:lock("exclusive", 0.01)))
    local f = io.open(path, "w")
    f:write(("x"):rep(1000))
    f:close()
    assert.equal("ETIMEDOUT", select(3, b:range(999, 1):trylock "exclusive"))
    assert.is_true(b:range(0, math.maxinteger):trylock "shared")
    assert.is_true(b:range(math.maxinteger, nil):trylock "shared")
  end)

  it("keeps the old lock when an upgrade fails", function()
    if valgrind then return pending "valgrind: no pidfd, no signal ends F_OFD_SETLKW" end
    local a, b, c = new():range(0, 10), new():range(0, 10), new():range(0, 10)
    assert(a:lock "shared" and b:lock "shared")
    for _, posix in ipairs { false, true } do
      local r = posix and a or b
      assert.same({ nil, ("flock.range:lock %s, bytes 0 to 9: timed out"):format(path), "ETIMEDOUT" }, { r:lock("exclusive", 0.02) })
      assert.equal("shared", r:held())
    end
    b:unlock()
    assert.equal("ETIMEDOUT", select(3, c:trylock "exclusive"))
    assert.is_true(a:lock "exclusive")
    assert.is_true(a:lock "shared")
    assert.is_true(c:trylock "shared")
  end)

  it("splits what it unlocks a part of, as the kernel does", function()
    local a, b = new(), new()
    local all, middle = a:range(0, 100), a:range(40, 20)
    assert(all:lock "exclusive")
    assert.is_true(middle:test "exclusive") -- one description: not in its own way
    assert.is_true(middle:lock "exclusive")
    assert.is_true(middle:unlock())
    assert.is_true(b:range(40, 20):trylock "exclusive")
    assert.is_false((b:range(39, 1):test "shared"))
    assert.is_false((b:range(60, 1):test "shared"))
    b:range(40, 20):unlock()
    middle:lock "shared"
    middle:close() -- gives back
    assert.is_true(b:range(40, 20):trylock "exclusive")
  end)

  it("is not dropped by closing another descriptor of the file; POSIX's is", function()
    if valgrind then return pending "valgrind knows no pidfd" end
    local f, other = new(), new()
    for _, posix in ipairs { false, true } do
      local r = f:range(0, 10, { posix = posix })
      assert(r:lock "exclusive")
      local function free()
        local p = assert(ipc.process.fork(function()
          return ipc.flock.open(path):range(0, 10):trylock "exclusive" and 0 or 3
        end))
        return assert(p:wait(SOON)).code == 0
      end
      assert.is_false(free())
      io.open(path):close()
      assert.equal(posix, free())
      r:close()
      assert.is_true(free())
    end
    other:close()
  end)

  it("of a description is inherited by fork, POSIX's is not", function()
    if valgrind then return pending "valgrind knows no pidfd" end
    local f = new()
    for _, posix in ipairs { false, true } do
      local r = f:range(0, 10, { posix = posix })
      assert(r:lock "exclusive")
      local p = assert(ipc.process.fork(function()
        local held = r:held()
        local mine = r:trylock "exclusive" -- the same description, or another process
        return (held == "exclusive") == not posix and (mine == true) == not posix and 0 or 3
      end))
      assert.equal(0, assert(p:wait(SOON)).code)
      p = assert(ipc.process.fork(function() r:close() end)) -- only the object
      assert(p:wait(SOON))
      assert.is_false((new():range(0, 10, { posix = false }):test "shared"))
      r:close()
    end
  end)

  describe("test", function()
    it("tells kind, mode, range and holder", function()
      local pid, finish = holder [[
        local a, b, c = f:range(10, 5), f:range(100), f:range(50, 10, { posix = true })
        assert(a:lock "shared" and b:lock "exclusive" and c:lock "exclusive")]]
      local f = new()
      for _, opts in ipairs { { posix = false }, { posix = true } } do
        assert.is_true(f:range(0, 10, opts):test "exclusive")
        assert.is_true(f:range(0, 50, opts):test "shared")
        assert.same({ false, { kind = "ofd", mode = "shared", start = 10, length = 5, pid = pid, pids = { pid } } },
          { f:range(0, 20, opts):test "exclusive" })
        assert.same({ false, { kind = "ofd", mode = "exclusive", start = 100, pid = pid, pids = { pid } } },
          { f:range(200, 1, opts):test "shared" })
        assert.same({ false, { kind = "posix", mode = "exclusive", start = 50, length = 10, pid = pid, pids = { pid } } },
          { f:range(59, 2, opts):test "shared" })
      end
      finish()
      assert.is_true(f:range(0):test "exclusive")
    end)

    it("leaves out pids that this user may not know", function()
      if probe.getuid() ~= 0 then return end
      local f = new()
      local r = f:range(0, 10)
      assert(r:lock "shared" and f:lock "shared")
      os.execute("chmod 666 " .. path)
      -- a user who may look at no other process
      local out = peer.sh("setpriv --reuid 65534 --regid 65534 --clear-groups " .. peer.command([[
        local f = ipc.flock.open(arg[1])
        local ok, who = f:range(0):test "exclusive"
        print(ok, who.kind, who.mode, who.start, who.length, who.pid, who.pids)
        ok, who = f:test "exclusive"
        print(ok, who.kind, who.mode, who.pid == tonumber(arg[2]))]], path, probe.getpid()) .. " 2>&1"):read "a"
      assert.equal("false\tofd\tshared\t0\t10\tnil\tnil\nfalse\tflock\tshared\ttrue\n", out)
    end)
  end)

  it("is given back by the death of its holder, and wakes who waits", function()
    local r = new():range(5, 5)
    for _, mode in ipairs { "exclusive", "shared" } do
      local pid, finish = holder(('local r = f:range(0) assert(r:lock %q)'):format(mode))
      local loop = ipc.loop.new()
      loop:wrap(function()
        ipc.sleep(0.02)
        ipc.signal.kill(pid, "SIGKILL")
      end)
      local got
      loop:wrap(function() got = r:lock("exclusive", SOON) end)
      loop:run()
      loop:close()
      assert.is_true(got)
      r:unlock()
      finish()
    end
  end)

  it("waits in the kernel and is woken there", function()
    local r = new():range(5, 5)
    for _, opts in ipairs { "{}", "{ posix = true }" } do
      assert(r:lock "exclusive")
      local p, finish = child.lua(([[
        local r = require "lipc".flock.open(...):range(0, 6, %s)
        print(select(3, r:lock("shared", 0.05)))
        ready()
        print(r:lock("exclusive", 60), r:unlock(), r:with("exclusive", tostring) ~= nil)]]):format(opts), path)
      assert.equal("ETIMEDOUT", p:read())
      child.sleeping(assert(p:read "n"))
      r:unlock()
      local ok, out = finish()
      assert.is_true(ok, out)
      assert.equal("\ntrue\ttrue\ttrue\n", out)
    end
  end)

  it("of POSIX's kind tells a deadlock", function()
    local p, finish = child.lua([[
      local ipc = require "lipc"
      local f = ipc.flock.open(...)
      local first, second = f:range(0, 1, { posix = true }), f:range(1, 1, { posix = true })
      assert(first:lock "exclusive")
      ready()
      assert(second:lock("exclusive", 60))
      ]], path)
    local f = new()
    local first, second = f:range(0, 1, { posix = true }), f:range(1, 1, { posix = true })
    assert(second:lock "exclusive")
    child.sleeping(assert(p:read "n"))
    assert.same({ nil, ("flock.range:lock %s, bytes 0 to 0: Resource deadlock avoided (the holder waits, directly or not, for a lock " ..
      "of this process)"):format(path), "EDEADLK" }, { first:lock("exclusive", SOON) })
    second:unlock()
    local ok, out = finish()
    assert.is_true(ok, out)
  end)

  it("needs a file that is open for it", function()
    local r, w = new({ access = "r" }):range(0), new({ access = "w" }):range(0)
    for _, method in ipairs { "lock", "trylock" } do
      assert.same({ nil, ("flock.range:%s %s, bytes 0 on: Bad file descriptor (an exclusive record lock needs a file that is open " ..
        "for writing)"):format(method, path), "EBADF" }, { r[method](r, "exclusive") })
      assert.same({ nil, ("flock.range:%s %s, bytes 0 on: Bad file descriptor (a shared record lock needs a file that is open " ..
        "for reading)"):format(method, path), "EBADF" }, { w[method](w, "shared") })
    end
    assert.is_true(r:lock "shared")
    r:unlock()
    assert.is_true(w:lock "exclusive")
  end)

  describe("lives with its file:", function()
    it("is closed when the file is", function()
      local f, g = new(), new()
      local a, b = f:range(0, 10), f:range(20, 10)
      a:lock "exclusive"
      b:close()
      f:close()
      assert.error_matches(function() a:lock "shared" end, "closed flock.range")
      assert.error_matches(function() a:held() end, "closed flock.range")
      assert.is_true(a:close())
      assert.is_true(g:range(0):trylock "exclusive")
    end)

    it("ends with ECANCELED when the file is closed while it waits", function()
      local f, g = new(), new()
      local theirs <close> = g:range(0)
      theirs:lock "exclusive"
      local loop, result = ipc.loop.new(), nil
      loop:wrap(function() result = table.pack(f:range(0):lock("exclusive", SOON)) end)
      loop:wrap(function()
        ipc.sleep(0.02)
        f:close()
      end)
      loop:run()
      loop:close()
      assert.equal("ECANCELED", result[3])
    end)

    it("keeps it from being collected, and leaves it the lock when it is collected itself", function()
      local g = new()
      local r = assert(ipc.flock.open(path)):range(0)
      assert(r:lock "exclusive")
      collectgarbage()
      collectgarbage()
      assert.equal("ETIMEDOUT", select(3, g:range(0):trylock "shared"))
      assert.is_true(r:close())
      local f = new()
      assert(f:range(0):lock "exclusive")
      collectgarbage()
      collectgarbage()
      assert.equal("ETIMEDOUT", select(3, g:range(0):trylock "shared"))
      assert.is_true(f:range(10, 5):unlock())
      assert.is_true(g:range(10, 5):trylock "shared")
      f:close()
      assert.is_true(g:range(0):trylock "exclusive")
      g:range(0):unlock()
      -- closing what was made of a file that somebody else has open ends it too
      local file <close> = assert(io.open(path, "r+"))
      local of = assert(ipc.flock.of(file))
      assert(of:range(0):lock "exclusive")
      collectgarbage()
      collectgarbage()
      assert.is_false((g:range(0):test "shared"))
      of:close()
      assert.is_true(g:range(0):test "shared")
      r = nil -- luacheck: ignore
    end)

    it("has no descriptor of its own", function()
      local r = new():range(0)
      assert.error_matches(function() r:fd() end, "no descriptor")
      assert.error_matches(function() r:detach() end, "no descriptor")
    end)
  end)

  it("says which limit of the kernel was hit", function()
    if os.getenv "LIPC_SPEC_MODE" == "asan" then return end -- it calls fcntl too
    local function inject(code, script)
      return peer.sh(("strace -o /dev/null -e trace=fcntl -e inject=fcntl:error=%s:when=1+ "):format(code) ..
        peer.command(script, path) .. " 2>&1"):read "a"
    end
    assert.equal(("nil\tflock.range:lock %s, bytes 0 on: No locks available (the kernel has no memory for one more lock, or the " ..
      "lock service of a network file system does not answer)\tENOLCK\n"):format(path),
      inject("ENOLCK", [[print(ipc.flock.open(arg[1]):range(0):lock "exclusive")]]))
  end)

  it("refuses misuse", function()
    local f = new()
    assert.error_matches(function() f:range() end, "#1")
    assert.error_matches(function() f:range(-1) end, "#1.*negative")
    assert.error_matches(function() f:range(1.5) end, "#1")
    assert.error_matches(function() f:range(0, -1) end, "#2.*negative")
    assert.error_matches(function() f:range(1, math.maxinteger) end, "#2.*out of range")
    assert.error_matches(function() f:range(0, 1, true) end, "#3")
    assert.error_matches(function() f:range(0, 1, { ofd = true }) end, "unknown option 'ofd'")
    local r = f:range(0)
    assert.error_matches(function() r:lock "none" end, "#1.*invalid option")
    assert.error_matches(function() r.lock(f, "shared") end, "lipc.flock.range expected")
    assert.is_nil(r.range)
  end)
end)
