-- Pipes: what the kernel promises about them, and what the host must not notice.
local ipc = require "lipc"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"

local SOON = 30 -- seconds: longer than anything here takes
local slow = os.getenv "LIPC_SPEC_MODE" == "asan" or os.getenv "LIPC_SPEC_MODE" == "valgrind"

describe("pipe", function()
  local open

  local function keep(...)
    for i = 1, select("#", ...) do
      local s = select(i, ...)
      if type(s) == "userdata" then open[#open + 1] = s end
    end
    return ...
  end
  local function popen(...) return keep(assert(ipc.pipe.open(...))) end

  before_each(function() open = {} end)
  after_each(function()
    for _, s in ipairs(open) do s:close() end
  end)

  describe("open", function()
    it("gives a reader and a writer that no other program inherits", function()
      local r, w = popen()
      assert.equal(("lipc.pipe.reader (fd %d)"):format(r:fd()), tostring(r))
      assert.equal(("lipc.pipe.writer (fd %d)"):format(w:fd()), tostring(w))
      assert.is_truthy(probe.fds()[r:fd()]:find "cloexec")
      assert.is_truthy(probe.fds()[w:fd()]:find "cloexec")
      assert.equal("r", r:events())
      assert.equal("w", w:events())
      assert.equal("fifo", r:stat().type)
      assert.is_nil(r.write)
      assert.is_nil(w.read)
    end)

    it("takes a size", function()
      local _, w = popen { size = 5000 }
      assert.equal(8192, w:capacity())
    end)

    it("says that a size is not granted, and leaves nothing", function()
      collectgarbage() -- what earlier tests have dropped is not closed meanwhile
      collectgarbage()
      local before = probe.fds()
      local r, message, code = ipc.pipe.open { size = 0x7fffffff }
      if r then return pending "a pipe of 2 GiB was granted" end
      assert.is_nil(r)
      assert.is_truthy(message:find("^pipe%.open: "), message)
      assert.is_truthy(code == "EPERM" or code == "ENOMEM" or code == "EINVAL", code)
      assert.same(before, probe.fds())
    end)

    it("refuses misuse", function()
      assert.error_matches(function() ipc.pipe.open { sise = 1 } end, "unknown option 'sise'")
      assert.error_matches(function() ipc.pipe.open { size = 0 } end, "option 'size'")
      assert.error_matches(function() ipc.pipe.open { packet = 1 } end, "option 'packet'")
      assert.error_matches(function() ipc.pipe.open(1) end, "#1")
    end)

    it("says EMFILE when there are no more descriptors", function()
      local out = peer.sh("ulimit -n 20; " .. peer.command [[
        local all = {}
        for i = 1, 100 do
          local r, w, code = ipc.pipe.open()
          if not r then
            print(w, code)
            break
          end
          all[i] = {r, w}
        end]])
      assert.equal("pipe.open: Too many open files (RLIMIT_NOFILE is 20: see ulimit -n)\tEMFILE\n", out:read "a")
      out:close()
    end)
  end)

  it("packet mode keeps what is written apart", function()
    local r, w = popen { packet = true }
    w:write "a"
    w:write("b", "c")
    assert.equal("a", r:readsome(100))
    assert.equal("bc", r:readsome(100))
    w:write "longer"
    assert.equal("lo", r:readsome(2)) -- the rest of a packet is lost, as pipe(7) says
    assert.equal("ETIMEDOUT", select(3, r:readsome(100, 0)))
  end)

  it("waits no longer than told, full or empty", function()
    local r, w = popen()
    local start = ipc.now()
    r:settimeout(0.03)
    assert.same({ nil, "pipe:read: timed out", "ETIMEDOUT" }, { r:read() })
    assert.same({ nil, "pipe:readsome: timed out", "ETIMEDOUT" }, { r:readsome(10) })
    assert.same({ nil, "pipe:readsome: timed out", "ETIMEDOUT" }, { r:readsome(10, 0.01) })
    w:write(("x"):rep(w:capacity()))
    w:settimeout(0.03)
    assert.same({ nil, "pipe:write: timed out", "ETIMEDOUT", 0 }, { w:write "x" })
    assert.is_true(ipc.now() - start >= 0.1)
  end)

  describe("fromfd", function()
    it("adopts an end, which detach gives away", function()
      local r, w = popen()
      local rfd, wfd = r:detach(), w:detach()
      assert.equal("lipc.pipe.reader (closed)", tostring(r))
      local r2, w2 = keep(ipc.pipe.fromfd(rfd), ipc.pipe.fromfd(wfd))
      assert.equal(("lipc.pipe.reader (fd %d)"):format(rfd), tostring(r2))
      w2:write "x"
      assert.equal("x", r2:readsome(10))
      assert.error_matches(function() r:fd() end, "closed pipe")
    end)

    it("refuses what is no pipe", function()
      local f = io.tmpfile()
      assert.error_matches(function() ipc.pipe.fromfd(987654) end, "#1.*descriptor 987654 is not open")
      assert.error_matches(function() ipc.pipe.fromfd(-1) end, "#1")
      assert.error_matches(function() ipc.pipe.fromfd(1.5) end, "#1")
      assert.error_matches(function() ipc.pipe.fromfd "0" end, "#1 to 'fromfd' %(number expected, got string")
      assert.error_matches(function() ipc.pipe.fromfd(f) end, "#1 to 'fromfd' %(.*Lua file.*standard ones are 0, 1")
      f:close()
      assert.error_matches(function() ipc.pipe.fromfd(popen()) end, "#1 to 'fromfd' %(.*detach%(%) gives")
      local dir = peer.sh(peer.command [[print(pcall(ipc.pipe.fromfd, 0))]] .. " </")
      assert.is_truthy(dir:read "a":find("false.*#1.*not a pipe"))
      dir:close()
    end)

    -- standard input and output of a program are shared with others: the mode is theirs
    it("waits with a deadline on descriptors in blocking mode, and leaves them so", function()
      for _, denied in ipairs { "", "denied" } do
        local r, w = popen()
        r:settimeout(SOON)
        local p = peer.lua([[
          local peer = require "support.peer"
          if arg[1] ~= "" and not require("support.probe").deny() then print "no" os.exit() end
          local pid, rfd, wfd = arg[2], arg[3], arg[4]
          local f = assert(io.popen("exec 5</proc/" .. pid .. "/fd/" .. rfd .. " 6>/proc/" .. pid
            .. "/fd/" .. wfd .. "; " .. (os.getenv "LUA" or "lua5.4") .. " -e " .. peer.quote(
            "local ipc = require 'lipc' local peer = require 'support.peer' "
            .. "local probe = require 'support.probe' "
            .. "local r, w = ipc.pipe.fromfd(5), ipc.pipe.fromfd(6) "
            .. "local flags = {peer.fdflags(5), peer.fdflags(6)} "
            .. "print(r:readsome(10, 0.02)) w:settimeout(0.02) "
            .. "local sum = 0 repeat local ok, _, code, n = w:write(('x'):rep(10000)) "
            .. "sum = sum + (ok and 10000 or n) until not ok "
            .. "print(sum, flags[1] & 2048, flags[2] & 2048, "
            .. "flags[1] == peer.fdflags(5), flags[2] == peer.fdflags(6)) ")))
          print(f:read "a")]], denied, probe.getpid(), r:fd(), w:fd())
        local first = p:read()
        if first == "no" then
          pending "no seccomp here"
        else
          assert.equal("nil\tpipe:readsome: timed out\tETIMEDOUT", first)
          local sum, flags = p:read():match "^(%d+)\t(.*)"
          assert.equal("0\t0\ttrue\ttrue", flags)
          w:close()
          assert.equal(math.tointeger(tonumber(sum)), #r:read "a")
        end
        p:close()
      end
    end)
  end)

  -- A host with a handler, one that ignores, one that blocks the signal; on this kernel, on one that
  -- has no RWF_NOSIGNAL, and after ipc.signal.ignore would have been called by the host itself.
  describe("without a reader", function()
    local script = [[
      local probe = require "support.probe"
      local how, denied = arg[1], arg[2]
      if denied == "denied" and not probe.deny() then print "no seccomp" os.exit() end
      if how == "handler" then probe.handle(13) end
      if how == "ignored" then probe.ignore(13) end
      if how == "blocked" then probe.block(13) end
      local function state() return probe.dispositions()[13] .. " " .. probe.mask() end
      local before = state()
      local r, w = ipc.pipe.open()
      local r2, w2 = ipc.pipe.open()
      w2:write "data"
      r:close()
      for i = 1, 3 do print(w:write "x") end
      print(w:write("x", "y"))
      print(r2:splice(w, 4))
      print(r2:tee(w, 4))
      w:setvbuf "full"
      print(w:write "x" == w)
      print(w:flush())
      print(w:close())
      assert(before == state(), state())
      assert(probe.handled() == 0)
      assert(not r2:readsome(10):find "x")
      if how == "blocked" then
        for line in io.lines "/proc/self/status" do -- none waits to be delivered either
          assert(not line:find "^SigPnd:" or line:find "0000000000000000", line)
          assert(not line:find "^ShdPnd:" or line:find "0000000000000000", line)
        end
      end
      print "same"]]
    local expected = ("nil\tpipe:write: Broken pipe\tEPIPE\t0\n"):rep(4)
      .. "nil\tpipe:splice: Broken pipe\tEPIPE\nnil\tpipe:tee: Broken pipe\tEPIPE\n"
      .. "true\nnil\tpipe:flush: Broken pipe\tEPIPE\nnil\tpipe:close: Broken pipe\tEPIPE\nsame\n"

    for _, kernel in ipairs { "", "denied" } do
      for _, how in ipairs { "default", "handler", "ignored", "blocked" } do
        it(("fails with EPIPE, and SIGPIPE stays %s%s"):format(how, kernel == "" and "" or ", on an older kernel"),
          function()
            local out = peer.run(script, how, kernel)
            if out:find "no seccomp" then return pending "no seccomp here" end
            assert.equal(expected, out)
          end)
      end
    end

    it("as a program started by a shell that ignores the signal, or traps it", function()
      for _, trap in ipairs { "trap '' PIPE; ", "trap 'echo trapped' PIPE; " } do
        local p = peer.sh(trap .. peer.command(script, "as it is", "") .. " 2>&1; echo $?")
        assert.equal(expected .. "0\n", p:read "a")
        p:close()
      end
    end)

    it("leaves a signal that was already pending where it is", function()
      local out = peer.run [[
        local probe = require "support.probe"
        if not probe.deny() then print "no seccomp" os.exit() end
        probe.block(13)
        os.execute("kill -PIPE " .. probe.getpid())
        local r, w = ipc.pipe.open()
        r:close()
        print(w:write "x")
        for line in io.lines "/proc/self/status" do
          if line:find "^ShdPnd:" then print((line:gsub("%s+", " "))) end
        end]]
      if out:find "no seccomp" then return pending "no seccomp here" end
      assert.equal("nil\tpipe:write: Broken pipe\tEPIPE\t0\nShdPnd: 0000000000001000\n", out)
    end)
  end)

  it("never mixes what several processes write up to PIPE_BUF", function()
    local path = names.path()
    finally(function() os.remove(path) end)
    for _, size in ipairs { 4096, 1000 } do -- PIPE_BUF, and one that does not fill a page
      local rounds, ps = 300, {}
      local r = keep(assert(ipc.fifo.open(path, "r", { create = true, keep = true })))
      r:settimeout(SOON)
      for i = 1, 6 do
        -- half of them on a descriptor of their own, half in blocking mode, as standard output is
        ps[i] = peer.sh(peer.command([[
          local letter, size, rounds, path = table.unpack(arg)
          local w
          if path ~= "" then w = assert(ipc.fifo.open(path, "w")) else w = ipc.pipe.fromfd(9) end
          for _ = 1, rounds do assert(w:write(letter:rep(size - 2), letter, "\n")) end]],
          string.char(96 + i), size, rounds, i % 2 == 0 and path or "") .. " 9>" .. path .. " 2>&1")
      end
      local seen = {}
      for _ = 1, 6 * rounds do
        local record = assert(r:read(size))
        local letter = record:sub(1, 1)
        assert.is_true(record == letter:rep(size - 1) .. "\n", "mixed")
        seen[letter] = (seen[letter] or 0) + 1
      end
      assert.same({ a = rounds, b = rounds, c = rounds, d = rounds, e = rounds, f = rounds }, seen)
      for _, p in ipairs(ps) do
        assert.equal("", p:read "a")
        p:close()
      end
      r:close()
    end
  end)

  it("carries a gigabyte through 64 KiB in constant memory", function()
    local blocks = slow and 512 or 16384
    local common = [[
      local blocks = tonumber(arg[1])
      local function peak()
        for line in io.lines "/proc/self/status" do
          local kb = line:match "^VmHWM:%s*(%d+)"
          if kb then return tonumber(kb) end
        end
      end
      local block = ("0123456789abcdef"):rep(4096)
      local start ]]
    local writer = peer.command(common .. [[
      local w = ipc.pipe.fromfd(1)
      for i = 1, blocks do
        assert(w:write(block))
        if i == 100 then start = peak() end
      end
      io.stderr:write(("writer %d %d\n"):format(w:capacity(), peak() - start))]], blocks)
    local reader = peer.command(common .. [[
      local r = ipc.pipe.fromfd(0)
      for i = 1, blocks do
        assert(r:read(65536) == block)
        if i == 100 then start = peak() end
      end
      assert(not r:read(1))
      print(("reader %d %d"):format(r:capacity(), peak() - start))]], blocks)
    local p = peer.sh(("exec 2>&1; %s | %s"):format(writer, reader))
    local out, kb = p:read "a", {}
    for who, grown in out:gmatch "(%a+) 65536 (%d+)\n" do kb[who] = tonumber(grown) end
    assert.is_truthy(kb.writer and kb.reader, out)
    -- what checks memory keeps freed memory for a while
    if not slow then assert.is_true(kb.writer < 8192 and kb.reader < 8192, out) end
    p:close()
  end)

  it("has examples", function()
    local out, ok = peer.example "pipe"
    assert.is_true(ok, out)
    assert.is_truthy(out:find "\n500500\nnil\tpipe:read: end of stream\tEOF\n$", out)
    out, ok = peer.example "mistake_full_pipe"
    assert.is_true(ok, out)
    assert.equal("pipe:write: timed out\tETIMEDOUT\t65536 bytes went\nnil\tpipe:write: Broken pipe\tEPIPE\t0\n"
      .. "all of it came through\n", out)
  end)
end)
