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
      collectgarbage() -- what earlier tests have dropped is not closed meanwhile
      collectgarbage()
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
        local _, code
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

    it("loses no byte of writers that come while it is looking for them", function()
      fifo.make(path)
      local p = peer.lua([[
        for _ = 1, 3000 do
          local w = assert(ipc.fifo.open(arg[1], "w", {timeout = 30}))
          assert(w:write "x")
          w:close()
        end]], path)
      local r = assert(fopen(path, "r", { timeout = SOON }))
      local got, stop = 0, ipc.now() + SOON
      while got < 3000 and ipc.now() < stop do
        if r:waitpeer(0) then got = got + #(r:readsome(4096, 0) or "") end
      end
      assert.equal(3000, got)
      assert.equal("", p:read "a")
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

  it("has examples", function()
    local reader = peer.sh(("%s examples/fifo_reader.lua %s"):format(os.getenv "LUA" or "lua5.4", path))
    local out, ok = peer.example("fifo_writer", path, 3)
    assert.is_true(ok, out)
    assert.equal("", out)
    assert.equal("got message 1\ngot message 2\ngot message 3\nthe writer has closed\n", reader:read "a")
    reader:close()
    assert.is_nil(mode_of(path))
    out, ok = peer.example "fifo_async_reader"
    assert.is_true(ok, out)
    assert.equal("got one\ngot two\ngot quit\nthe other coroutine went on meanwhile\n", out)
  end)
end)
