-- FIFOs: opening with a deadline, names, and peers that were not written here.
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

  describe("open", function()
    it("to read waits for a writer, with a deadline", function()
      fifo.make(path)
      local start = ipc.now()
      assert.same({ nil, ("fifo.open %s: timed out"):format(path), "ETIMEDOUT" },
        { fifo.open(path, "r", { timeout = 0.05 }) })
      assert.is_true(ipc.now() - start >= 0.05)
      assert.same({ nil, ("fifo.open %s: timed out"):format(path), "ETIMEDOUT" },
        { fifo.open(path, "r", { timeout = 0 }) })
    end)

    it("to write waits for a reader, with a deadline", function()
      fifo.make(path)
      local start = ipc.now()
      assert.same({ nil, ("fifo.open %s: timed out"):format(path), "ETIMEDOUT" },
        { fifo.open(path, "w", { timeout = 0.05 }) })
      assert.is_true(ipc.now() - start >= 0.05)
      assert.same({ nil, ("fifo.open %s: timed out"):format(path), "ETIMEDOUT" },
        { fifo.open(path, "w", { timeout = 0 }) })
    end)

    it("leaves nothing behind when it failed", function()
      fifo.make(path)
      local before = probe.fds()
      fifo.open(path, "r", { timeout = 0.01 })
      fifo.open(path, "w", { timeout = 0.01 })
      assert.same(before, probe.fds())
    end)

    it("for both never waits, and talks to itself", function()
      fifo.make(path)
      local f = assert(fopen(path, "rw", { timeout = 0 }))
      assert.equal(("lipc.fifo.rw %s (fd %d)"):format(path, f:fd()), tostring(f))
      assert.equal(f, f:write "one\ntwo\n")
      assert.equal("one", f:read())
      assert.equal("two", f:read())
      f:settimeout(0)
      assert.same({ nil, ("fifo:read %s: timed out"):format(path), "ETIMEDOUT" }, { f:read() })
      assert.is_true(f:waitpeer(0))
    end)

    it("to read returns when a writer has come that says nothing", function()
      fifo.make(path)
      -- the shell's open returns as soon as we look; it then waits for us to go on
      local go = names.path ".go"
      fifo.make(go)
      finally(function() os.remove(go) end)
      local p = peer.sh(("exec 3>%s; read x <%s; echo hello >&3"):format(path, go))
      local r = assert(fopen(path, "r", { timeout = SOON }))
      r:settimeout(0.01)
      assert.equal("ETIMEDOUT", select(3, r:read()))
      local w = assert(fopen(go, "w", { timeout = SOON }))
      assert(w:write "go\n")
      r:settimeout(SOON)
      assert.equal("hello", r:read())
      assert.equal("EOF", select(3, r:read()))
      p:close()
    end)

    it("to read sees a writer that came and left meanwhile", function()
      fifo.make(path)
      local p = peer.sh((": >%s"):format(path))
      local r = assert(fopen(path, "r", { timeout = SOON }))
      assert.same({ nil, ("fifo:read %s: end of stream"):format(path), "EOF" }, { r:read() })
      p:close()
    end)

    it("gets every byte of a writer that is faster", function()
      for _ = 1, 20 do
        fifo.make(path)
        local p = peer.sh(("printf abc >%s"):format(path))
        local r = assert(fopen(path, "r", { timeout = SOON }))
        assert.equal("abc", r:read "a")
        r:close()
        p:close()
      end
    end)

    it("to write returns when a reader that waits in open(2) is there", function()
      fifo.make(path)
      local p = peer.sh("cat " .. path)
      local w = assert(fopen(path, "w", { timeout = SOON }))
      assert(w:write("to cat\n", 12))
      w:close()
      assert.equal("to cat\n12", p:read "a")
      p:close()
    end)

    it("meets a program in Python in both directions", function()
      fifo.make(path)
      local p = peer.sh(("python3 -c 'print(open(\"%s\").read())'"):format(path))
      local w = assert(fopen(path, "w", { timeout = SOON }))
      assert(w:write "snake")
      w:close()
      assert.equal("snake\n", p:read "a")
      p:close()
      p = peer.sh(("python3 -c 'open(\"%s\", \"w\").write(\"x\" * 200000)'"):format(path))
      local r = assert(fopen(path, "r", { timeout = SOON }))
      assert.equal(("x"):rep(200000), r:read "a")
      p:close()
    end)

    it("finds a FIFO that was replaced while it waited", function()
      fifo.make(path)
      local p = peer.lua([[
        assert(ipc.fifo.unlink(arg[1]))
        local r = assert(ipc.fifo.open(arg[1], "r", {create = true, timeout = 30}))
        print(r:read "a")]], path)
      local w
      repeat -- between the peer's unlink and its make there is no FIFO
        local code
        w, _, code = fopen(path, "w", { timeout = SOON })
      until code ~= "ENOENT"
      assert(w:write "found")
      w:close()
      assert.equal("found\n", p:read "a")
      p:close()
    end)

    it("never makes one unless asked", function()
      assert.same({ nil, ("fifo.open %s: No such file or directory"):format(path), "ENOENT" },
        { fifo.open(path, "r") })
    end)

    it("makes one where it is missing", function()
      local f = assert(fopen(path, "rw", { create = true, mode = tonumber("640", 8) }))
      assert.equal("fifo 640", mode_of(path))
      assert.is_truthy(fopen(path, "rw", { create = true }))
      assert.same({ nil, ("fifo.open %s: File exists"):format(path), "EEXIST" },
        { fopen(path, "rw", { create = true, exclusive = true }) })
      f:close()
      assert.equal("fifo 640", mode_of(path))
      os.remove(path)
      assert.is_truthy(fopen(path, "rw", { create = true, exclusive = true, mknod = true }))
      assert.equal("ENOENT", select(3, fifo.open("/nonexistent/x", "rw", { create = true })))
    end)

    it("refuses misuse", function()
      assert.error_matches(function() fifo.open(path) end, "#2")
      assert.error_matches(function() fifo.open(path, "a") end, "#2.*'a'")
      assert.error_matches(function() fifo.open(path, "r", { timeout = -1 }) end, "option 'timeout'")
      assert.error_matches(function() fifo.open(path, "r", { timeout = 0 / 0 }) end, "option 'timeout'")
      assert.error_matches(function() fifo.open(path, "r", { unlink = true }) end, "needs 'create'")
      assert.error_matches(function() fifo.open(path, "r", { exclusive = true }) end, "needs 'create'")
      assert.error_matches(function() fifo.open(path, "r", { nonblock = true }) end, "unknown option")
      fifo.make(path)
      local f = fopen(path, "rw")
      f:close()
      assert.error_matches(function() f:read() end, "closed fifo")
      assert.error_matches(function() fifo.fromfd(987654) end, "not open")
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
      if os.execute "command -v strace >/dev/null" then
        os.execute(("strace -e trace=openat,open -o %s %s"):format(trace,
          peer.command [[print(ipc.fifo.open("/dev/null", "w"))]]) .. " >/dev/null 2>&1")
        for line in io.lines(trace) do
          if line:find("/dev/null", 1, true) then assert.is_truthy(line:find("O_PATH", 1, true), line) end
        end
      end
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

  describe("with peers that come and go", function()
    it("ends for a reader when the last writer leaves, and goes on with the next", function()
      fifo.make(path)
      local p = peer.sh(("echo one >%s"):format(path))
      local r = assert(fopen(path, "r", { timeout = SOON }))
      assert.equal("one", r:read())
      assert.equal("EOF", select(3, r:read()))
      p:close()
      assert.same({ nil, ("fifo:waitpeer %s: timed out"):format(path), "ETIMEDOUT" }, { r:waitpeer(0.02) })
      p = peer.sh(("echo two >%s"):format(path))
      assert.is_true(r:waitpeer(SOON))
      assert.equal("two", r:read())
      assert.equal("EOF", select(3, r:read()))
      p:close()
    end)

    it("never ends for a reader that keeps it open", function()
      fifo.make(path)
      local r = assert(fopen(path, "r", { keep = true, timeout = 0 }))
      assert.equal(("lipc.fifo.reader %s (fd %d)"):format(path, r:fd()), tostring(r))
      r:settimeout(SOON)
      for i = 1, 5 do
        local p = peer.sh(("echo %d >%s"):format(i, path))
        assert.equal(tostring(i), r:read())
        p:close() -- this writer is gone
      end
      r:settimeout(0)
      assert.equal("ETIMEDOUT", select(3, r:read()))
      assert.is_nil(r.write)
    end)

    it("is EPIPE for a writer without readers, until the next one", function()
      fifo.make(path)
      local r = assert(fopen(path, "r", { keep = true }))
      local w = assert(fopen(path, "w", { timeout = SOON }))
      assert(w:write "read\n")
      assert.equal("read", r:read())
      r:close()
      assert.same({ nil, ("fifo:write %s: Broken pipe"):format(path), "EPIPE", 0 }, { w:write "x" })
      assert.equal("ETIMEDOUT", select(3, w:waitpeer(0.02)))
      local p = peer.sh("head -n 1 " .. path)
      assert.is_true(w:waitpeer(SOON))
      assert(w:write "again\n")
      assert.equal("again\n", p:read "a")
      p:close()
    end)

    it("never fails for a writer that keeps it open", function()
      fifo.make(path)
      local w = assert(fopen(path, "w", { keep = true, timeout = 0 }))
      assert(w:write "early\n")
      local p = peer.sh("head -n 1 " .. path)
      assert.equal("early\n", p:read "a")
      p:close()
      assert(w:write "still\n")
      assert.is_nil(w.read)
    end)
  end)

  it("lets two unrelated scripts talk", function()
    local reader = peer.lua([[
      local r = assert(ipc.fifo.open(arg[1], "r", {create = true, timeout = 30}))
      local n, sum = 0, 0
      for line in r:lines() do n, sum = n + 1, sum + tonumber(line) end
      print(n, sum)]], path)
    local writer = peer.lua([[
      local w = assert(ipc.fifo.open(arg[1], "w", {create = true, timeout = 30}))
      for i = 1, 20000 do assert(w:write(i, "\n")) end
      print "written"]], path)
    assert.equal("20000\t200010000\n", reader:read "a")
    assert.equal("written\n", writer:read "a")
    reader:close()
    writer:close()
  end)

  it("reads and writes at the same time on one thread", function()
    fifo.make(path)
    local back = names.path()
    fifo.make(back)
    finally(function() os.remove(back) end)
    local p = peer.sh(("tr a-z A-Z <%s >%s"):format(path, back))
    local w = assert(fopen(path, "w", { timeout = SOON }))
    local r = assert(fopen(back, "r", { timeout = SOON }))
    -- more than both pipes hold: who writes it all first and reads afterwards never ends
    local block, sent, got, pieces = ("abcdefg\n"):rep(8192), 0, 0, {}
    local total = 40 * #block
    w:settimeout(0)
    r:settimeout(0)
    local stop = ipc.now() + SOON
    while got < total do
      local moved = false
      if sent < total then
        local ok, _, code, n = w:write(block:sub(sent % #block + 1))
        if not ok then assert.equal("ETIMEDOUT", code) end
        n = ok and #block - sent % #block or n
        sent, moved = sent + n, n > 0
        if sent == total then w:close() end
      end
      local s, _, code = r:readsome(65536, not moved and 0.01 or 0)
      if s then
        pieces[#pieces + 1], got = s, got + #s
      else
        assert.equal("ETIMEDOUT", code)
      end
      assert.is_true(ipc.now() < stop, "stuck")
    end
    assert.equal(block:upper():rep(40), table.concat(pieces))
    p:close()
  end)

  it("keeps what was written while anybody has it open, and its name beyond that", function()
    fifo.make(path)
    local holder = assert(fopen(path, "rw"))
    assert(os.execute(("echo kept >%s"):format(path))) -- this process is gone now
    local p = peer.sh("head -n 1 " .. path)
    assert.equal("kept\n", p:read "a")
    p:close()
    holder:close()
    assert.equal("fifo 600", mode_of(path)) -- nobody has it open
    assert.equal("ETIMEDOUT", select(3, fifo.open(path, "r", { timeout = 0 })))
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
          local n, out = 0, peer.sh("ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c -- '-> " .. gate .. "$'")
          n = tonumber(out:read "l")
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

  it("has the kernel's pipe buffer behind it", function()
    fifo.make(path)
    local f = assert(fopen(path, "rw"))
    assert.is_true(f:capacity() >= 4096)
    assert.equal(131072, f:capacity(131072))
    assert.equal(131072, f:capacity())
    local r, w = ipc.pipe.open()
    keep(r)
    keep(w)
    f:write "through"
    assert.equal(4, f:tee(w, 4))
    assert.equal(7, f:splice(w, 100))
    assert.equal("throthrough", r:readsome(100))
    assert.equal("fifo", f:stat().type)
  end)

  it("adopts a descriptor in blocking mode and leaves the mode alone", function()
    fifo.make(path)
    local holder = assert(fopen(path, "r", { keep = true }))
    local out = peer.sh(peer.command([[
      local peer = require "support.peer"
      local before = peer.fdflags(9)
      local w = ipc.fifo.fromfd(9)
      print(w)
      w:settimeout(0.05)
      local total, code, n = 0
      repeat
        local ok, _
        ok, _, code, n = w:write(("x"):rep(50000))
        total = total + (ok and 50000 or n)
      until not ok
      print(total, code, before & 2048, before == peer.fdflags(9))]]) .. " 9>" .. path)
    assert.equal("lipc.fifo.writer (fd 9)\n", out:read "L")
    local total, code, nonblock, same = out:read "l":match "(%S+)\t(%S+)\t(%S+)\t(%S+)"
    assert.equal("ETIMEDOUT", code)
    assert.equal("0", nonblock)
    assert.equal("true", same)
    assert.equal(tonumber(total), #holder:readsome(65536) + #(holder:readsome(65536, 0) or ""))
    out:close()
  end)

  describe("under a scheduler", function()
    -- the least that can be called one: a round over coroutines that wait
    local function scheduler()
      local s = { waiting = {}, pauses = {} }
      s.waiter = {
        wait = function(fd, events, deadline)
          s.pauses[#s.pauses + 1] = deadline and deadline - ipc.now() or math.huge
          coroutine.yield(fd, events, deadline)
        end,
        cancel = function() end,
        running = function() return s.on end,
      }
      function s.start(f)
        local co = coroutine.create(f)
        ipc.setwaiter(s.waiter, co)
        s.waiting[#s.waiting + 1] = co
      end
      function s.run(ticks)
        s.on = true
        while #s.waiting > 0 and ticks > 0 do
          ticks = ticks - 1
          for i = #s.waiting, 1, -1 do
            assert(coroutine.resume(s.waiting[i]))
            if coroutine.status(s.waiting[i]) == "dead" then table.remove(s.waiting, i) end
          end
        end
        s.on = false
        return #s.waiting
      end
      return s
    end

    it("opening suspends only its coroutine, in pauses that grow from 50 us to 5 ms", function()
      fifo.make(path)
      local s, w, r = scheduler()
      s.start(function() w = assert(fopen(path, "w", { timeout = SOON })) end)
      assert.equal(1, s.run(12))
      assert.is_nil(w)
      for i, pause in ipairs(s.pauses) do
        assert.is_true(pause <= math.min(5e-3, 50e-6 * 2 ^ (i - 1)) + 1e-9, i .. ": " .. pause)
      end
      s.start(function() r = assert(fopen(path, "r", { timeout = SOON })) end)
      assert.equal(0, s.run(1e6))
      assert(w:write "hi\n")
      assert.equal("hi", r:read())
    end)
  end)
end)
