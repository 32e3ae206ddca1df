-- FIFOs as names in the file system: making, removing, what is refused, races.
local ipc = require "lipc"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"

local SOON = 30 -- seconds: longer than anything here takes

describe("fifo", function()
  local fifo = ipc.fifo
  local path, open

  -- keeps what was opened, so that it is closed when a test fails too
  local function keep(f, ...)
    if f then open[#open + 1] = f end
    return f, ...
  end
  local function fopen(...) return keep(fifo.open(...)) end

  before_each(function()
    path, open = names.path(), {}
  end)
  after_each(function()
    for _, f in ipairs(open) do f:close() end
    os.remove(path)
  end)

  local function mode_of(p)
    local out = peer.sh("stat -c '%F %a' 2>/dev/null " .. p)
    local text = out:read "l"
    out:close()
    return text
  end

  describe("make", function()
    it("makes a FIFO that only its owner may use", function()
      assert.is_true(fifo.make(path))
      assert.equal("fifo 600", mode_of(path))
    end)

    it("takes a mode, from which the umask is taken, and leaves the umask alone", function()
      local before = probe.umask(tonumber("027", 8))
      finally(function() probe.umask(before) end)
      assert.is_true(fifo.make(path, { mode = tonumber("666", 8) }))
      assert.equal("fifo 640", mode_of(path))
      assert.equal(tonumber("027", 8), probe.umask(tonumber("027", 8)))
    end)

    it("makes one by mknod", function()
      assert.is_true(fifo.make(path, { mknod = true, mode = tonumber("400", 8) }))
      assert.equal("fifo 400", mode_of(path))
    end)

    it("takes a FIFO that is there, unless exclusive", function()
      assert.same({ true, true }, { fifo.make(path) })
      assert.same({ true, false }, { fifo.make(path, { mode = tonumber("666", 8) }) })
      assert.equal("fifo 600", mode_of(path))
      assert.same({ nil, ("fifo.make %s: File exists"):format(path), "EEXIST" },
        { fifo.make(path, { exclusive = true }) })
    end)

    it("takes nothing else that is there", function()
      io.open(path, "w"):close()
      assert.same({ nil, ("fifo.make %s: not a FIFO"):format(path), "EINVAL" }, { fifo.make(path) })
    end)

    it("says why not", function()
      local _, message, code = fifo.make("/nonexistent/x")
      assert.equal("fifo.make /nonexistent/x: No such file or directory", message)
      assert.equal("ENOENT", code)
      _, _, code = fifo.make(("x"):rep(5000))
      assert.equal("ENAMETOOLONG", code)
    end)

    it("refuses misuse", function()
      assert.error_matches(function() fifo.make() end, "#1")
      assert.error_matches(function() fifo.make "" end, "#1.*empty")
      assert.error_matches(function() fifo.make "a\0b" end, "#1.*zeros")
      assert.error_matches(function() fifo.make(path, { mod = 1 }) end, "unknown option 'mod'")
      assert.error_matches(function() fifo.make(path, { mode = 10000 }) end, "option 'mode'")
    end)
  end)

  describe("unlink", function()
    it("removes a FIFO", function()
      fifo.make(path)
      assert.is_true(fifo.unlink(path))
      assert.same({ nil, ("fifo.unlink %s: No such file or directory"):format(path), "ENOENT" },
        { fifo.unlink(path) })
    end)

    it("removes nothing else", function()
      io.open(path, "w"):close()
      assert.same({ nil, ("fifo.unlink %s: not a FIFO"):format(path), "EINVAL" }, { fifo.unlink(path) })
      assert.is_truthy(io.open(path)):close()
      os.remove(path)
      os.execute(("mkfifo -m 644 %s.target; ln -s %s.target %s"):format(path, path, path))
      finally(function() os.remove(path .. ".target") end)
      assert.same({ nil, ("fifo.unlink %s: a symbolic link, not a FIFO"):format(path), "ELOOP" },
        { fifo.unlink(path) })
      assert.equal("fifo 644", mode_of(path .. ".target"))
    end)
  end)

  describe("opens nothing but a FIFO:", function()
    local function refused(p, text, code)
      for _, how in ipairs { "r", "w", "rw" } do
        assert.same({ nil, ("fifo.open %s: %s"):format(p, text), code }, { fifo.open(p, how, { timeout = 0 }) })
      end
    end

    it("a file", function()
      local f = io.open(path, "w")
      f:write "kept"
      f:close()
      refused(path, "not a FIFO", "EINVAL")
      f = io.open(path)
      assert.equal("kept", f:read "a")
      f:close()
    end)
    it("a directory", function() refused("/", "not a FIFO", "EINVAL") end)
    it("a device, which is not even opened", function()
      refused("/dev/null", "not a FIFO", "EINVAL")
      refused("/dev/full", "not a FIFO", "EINVAL")
      -- every open the process makes, but for the one that only looks
      local trace = names.path ".strace"
      finally(function() os.remove(trace) end)
      os.execute(("strace -e trace=openat,open -o %s %s"):format(trace,
        peer.command [[print(ipc.fifo.open("/dev/null", "w"))]]) .. " >/dev/null 2>&1")
      local looks = 0
      for line in io.lines(trace) do
        if line:find("/dev/null", 1, true) then
          assert.is_truthy(line:find("O_PATH", 1, true), line)
          looks = looks + 1
        end
      end
      assert.equal(1, looks)
    end)
    it("a socket", function()
      os.execute(("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"%s\")'"):format(path))
      refused(path, "not a FIFO", "EINVAL")
    end)
    it("a symbolic link, even to a FIFO", function()
      os.execute(("mkfifo -m 644 %s.target; ln -s %s.target %s"):format(path, path, path))
      finally(function() os.remove(path .. ".target") end)
      refused(path, "a symbolic link, not a FIFO", "ELOOP")
    end)
    it("a symbolic link to nothing, also to create", function()
      os.execute(("ln -s %s.target %s"):format(path, path))
      assert.equal("ELOOP", select(3, fifo.open(path, "rw", { create = true })))
      assert.is_nil(io.open(path .. ".target"))
    end)
  end)

  describe("unlink = true", function()
    it("removes on close what it has made", function()
      local f = assert(fifo.open(path, "rw", { create = true, unlink = true }))
      assert.equal("fifo 600", mode_of(path))
      assert.is_true(f:close())
      assert.is_nil(mode_of(path))
    end)

    it("removes when collected, and when opening failed", function()
      assert(fifo.open(path, "rw", { create = true, unlink = true }))
      collectgarbage()
      collectgarbage()
      assert.is_nil(mode_of(path))
      assert.equal("ETIMEDOUT",
        select(3, fifo.open(path, "w", { create = true, unlink = true, timeout = 0.01 })))
      assert.is_nil(mode_of(path))
    end)

    it("leaves alone what others made", function()
      fifo.make(path)
      fifo.open(path, "rw", { create = true, unlink = true }):close()
      assert.equal("fifo 600", mode_of(path))
    end)

    it("leaves alone what has taken the name since", function()
      local f = assert(fopen(path, "rw", { create = true, unlink = true }))
      fifo.unlink(path)
      local other = assert(fopen(path, "rw", { create = true }))
      f:close()
      assert.equal("fifo 600", mode_of(path))
      other:close()
    end)

    it("knows a relative name after a change of directory", function()
      local dir = names.path()
      os.execute("mkdir " .. dir)
      finally(function() os.execute("rm -r " .. dir) end)
      local out = peer.run([[
        local probe = require "support.probe"
        probe.chdir(arg[1])
        local f = assert(ipc.fifo.open("x", "rw", {create = true, unlink = true}))
        assert(io.open("x", "r+")):close()
        probe.chdir "/"
        f:close()
        print(io.open(arg[1] .. "/x", "r+"))]], dir)
      assert.equal(("nil\t%s/x: No such file or directory\t2\n"):format(dir), out)
    end)

    it("is not for a forked child to do", function()
      local out = peer.run([[
        local probe = require "support.probe"
        local f = assert(ipc.fifo.open(arg[1], "rw", {create = true, unlink = true}))
        io.stdout:setvbuf "no"
        local parent = probe.getpid()
        probe.forkhere()
        if probe.getpid() ~= parent then
          f:write "child wrote\n"
          f:close()
          os.exit(0, true)
        end
        print(f:read())
        probe.waitall()
        print(io.open(arg[1], "r+") ~= nil)
        f:close()
        print(io.open(arg[1], "r+") ~= nil)]], path)
      assert.equal("child wrote\ntrue\nfalse\n", out)
    end)

    it("goes with the object, not with a descriptor that was given away", function()
      local f = assert(fifo.open(path, "rw", { create = true, unlink = true }))
      local fd = f:detach()
      assert.equal("fifo 600", mode_of(path))
      fopen(path, "rw"):write "x"
      local g = keep(fifo.fromfd(fd))
      assert.equal("lipc.fifo.rw (fd " .. fd .. ")", tostring(g))
      assert.equal("x", g:readsome(5))
    end)
  end)

  it("is one and the same for eight processes that make it at once", function()
    local gate = names.path ".gate"
    fifo.make(gate)
    finally(function() os.remove(gate) end)
    for _ = 1, 5 do
      local script = [[
        io.open(arg[2], "r"):read "a" -- all start at once: when the gate's last writer leaves
        local f, message, code = ipc.fifo.open(arg[1], "rw",
          {create = true, exclusive = arg[3] == "exclusive"})
        if not f then print(code) os.exit() end
        print(f:stat().ino)
        io.stdout:flush()
        io.read()]] -- hold it
      for _, how in ipairs { "shared", "exclusive" } do
        os.remove(path)
        local ps = {}
        for i = 1, 8 do
          ps[i] = peer.sh(peer.command(script, path, gate, how) .. " </dev/null")
        end
        local w = assert(fopen(gate, "w", { timeout = SOON }))
        -- every one of them has the gate open once its /proc says so
        local stop = ipc.now() + SOON
        repeat
          local out = peer.sh("ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c -- '-> " .. gate .. "$'")
          local n = tonumber(out:read "l")
          out:close()
        until n >= 9 or ipc.now() > stop
        w:close()
        local seen, made = {}, 0
        for i = 1, 8 do
          local line = ps[i]:read "l"
          seen[line] = true
          if line ~= "EEXIST" then made = made + 1 end
          ps[i]:close()
        end
        local kinds = 0
        for _ in pairs(seen) do kinds = kinds + 1 end
        if how == "shared" then
          assert.equal(8, made)
          assert.equal(1, kinds)
        else
          assert.equal(1, made)
          assert.equal(2, kinds)
        end
      end
    end
  end)
end)
