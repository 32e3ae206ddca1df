-- signal.set: queues of signals; and signals in hosts with several threads or without lipc at the end.
local ipc = require "lipc"
local signal = ipc.signal
local child = require "support.child"
local probe = require "support.probe"
local hoststate = require "support.hoststate"

local pid = signal.getpid()
local RT = "SIGRTMIN+1"

local function run(command)
  local p = assert(io.popen(command))
  local output = p:read "a"
  assert(p:close(), command)
  return output
end

describe("a queue of signals", function()
  it("tells who sent what", function()
    local q = assert(signal.set { "SIGUSR1", "SIGUSR2", RT, "SIGCHLD" })
    assert.matches("^lipc.signal.set %(fd %d+%)$", tostring(q))
    signal.kill(pid, "SIGUSR1")
    assert.same({ signal = "SIGUSR1", signo = signal.number "SIGUSR1", code = "SI_USER", pid = pid, uid = probe.getuid() },
      q:receive())
    signal.raise(RT)
    assert.same({ signal = RT, signo = signal.number(RT), code = "SI_TKILL", pid = pid, uid = probe.getuid() },
      q:receive())
    for _, v in ipairs { 0, -1, 2147483647, -2147483648 } do
      assert(signal.sigqueue(pid, RT, v))
      local info = q:receive()
      assert.equal(v, info.value)
      assert.equal("SI_QUEUE", info.code)
      assert.equal("integer", math.type(info.value))
    end
    assert.equal("ETIMEDOUT", select(3, q:receive(0)))
    assert.equal("ETIMEDOUT", select(3, q:receive(0.01)))
    q:close()
  end)

  it("takes what programs in C, Python and /usr/bin/kill send", function()
    local q <close> = assert(signal.set(RT, "SIGUSR1"))
    local peer = tonumber(run("build/host/sigpeer send " .. pid .. " -5"))
    local info = assert(q:receive())
    assert.same({ -5, peer, "SI_QUEUE" }, { info.value, info.pid, info.code })
    peer = tonumber(run(("python3 -c 'import os; print(os.getpid()); os.kill(%d, 10)'"):format(pid)))
    info = assert(q:receive())
    assert.same({ "SIGUSR1", peer, "SI_USER", probe.getuid() }, { info.signal, info.pid, info.code, info.uid })
    run(("/usr/bin/kill -q 42 -s %d %d"):format(signal.number(RT), pid))
    info = assert(q:receive())
    assert.same({ RT, 42, "SI_QUEUE" }, { info.signal, info.value, info.code })
  end)

  it("tells how children end", function()
    local q <close> = assert(signal.set "SIGCHLD")
    local p = probe.forkrun()
    if p == 0 then
      signal.default "SIGTERM"
      signal.raise "SIGTERM"
    end
    local info = assert(q:receive())
    assert.same({ "SIGCHLD", "CLD_KILLED", p, signal.number "SIGTERM" }, { info.signal, info.code, info.pid, info.status })
    assert.equal("float", math.type(info.utime))
    assert.equal(signal.number "SIGTERM", probe.reap(p))
  end)

  it("blocks in this thread, and unblocks at the end what was not blocked before", function()
    local before = hoststate.before()
    local old = signal.block "SIGUSR2"
    local q = assert(signal.set { "SIGUSR1", "SIGUSR2" })
    assert.same({ "SIGUSR1", "SIGUSR2" }, signal.block())
    assert.is_true(q:close())
    assert.is_true(q:close())
    assert.same({ "SIGUSR2" }, signal.block())
    signal.setmask(old)
    assert.same({}, hoststate.diff(before, hoststate.take()))
  end)

  it("leaves to another one what that needs", function()
    local a, b = assert(signal.set { "SIGUSR1", RT }), assert(signal.set { "SIGUSR1", "SIGUSR2" })
    a:close()
    assert.same({ "SIGUSR1", "SIGUSR2" }, signal.block())
    signal.kill(pid, "SIGUSR1")
    assert.equal("SIGUSR1", b:receive().signal)
    b:close()
    assert.same({}, signal.block())
    a = assert(signal.set "SIGUSR1")
    signal.block "SIGUSR1" -- asked for now: it stays
    a:close()
    assert.same({ "SIGUSR1" }, signal.unblock "SIGUSR1")
    a = assert(signal.set "SIGUSR1")
    signal.setmask(signal.block "SIGUSR2") -- a mask put back is no wish
    a:close()
    assert.same({}, signal.block())
  end)

  it("that is closed drops what nobody read", function()
    local q = assert(signal.set { "SIGUSR1", RT })
    signal.raise "SIGUSR1"
    for i = 1, 10 do assert(signal.sigqueue(pid, RT, i)) end
    q:close() -- we live
    assert.same({}, signal.pending())
    q = assert(signal.set { RT }) -- luacheck: ignore
    signal.raise(RT)
    q = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.same({}, signal.block())
  end)

  it("is adopted and given away", function()
    local q = assert(signal.set "SIGUSR1")
    local fd = q:detach()
    assert.same({ "SIGUSR1" }, signal.block())
    local again = assert(signal.fromfd(fd))
    assert.equal("ETIMEDOUT", select(3, again:receive(0.01)))
    signal.raise "SIGUSR1"
    assert.equal("SIGUSR1", again:receive().signal)
    again:close()
    signal.unblock "SIGUSR1"
    local r, w = ipc.pipe.open()
    assert.error_matches(function() signal.fromfd(r:fd()) end, "#1 to 'fromfd' %(not a signalfd%)")
    r:close()
    w:close()
  end)

  it("iterates", function()
    local q = assert(signal.set { RT })
    for i = 1, 3 do assert(signal.sigqueue(pid, RT, i)) end
    local sum = 0
    for info in q:signals() do
      sum = sum + info.value
      if info.value == 3 then break end
    end
    assert.equal(6, sum)
    q:settimeout(0.01)
    assert.error_matches(function() for _ in q:signals() do sum = 0 end end, "signal.set:signals: timed out")
    assert.equal(6, sum)
    q:close()
  end)

  it("gives real-time signals by number, and those of one number in the order of sending", function()
    local q <close> = assert(signal.set { "SIGRTMIN+1", "SIGRTMIN+2", "SIGRTMIN+3", "SIGUSR1" })
    for i = 1, 3 do
      for _, n in ipairs { 3, 1, 2 } do assert(signal.sigqueue(pid, "SIGRTMIN+" .. n, n * 10 + i)) end
    end
    signal.kill(pid, "SIGUSR1")
    signal.kill(pid, "SIGUSR1")
    assert.equal("SIGUSR1", q:receive().signal) -- once
    local order = {}
    for i = 1, 9 do order[i] = q:receive().value end
    assert.same({ 11, 12, 13, 21, 22, 23, 31, 32, 33 }, order)
    assert.equal("ETIMEDOUT", select(3, q:receive(0)))
  end)

  it("loses none of 10,000 queued signals", function()
    local q <close> = assert(signal.set { RT })
    local sent, got = 0, 0
    while sent < 10000 do
      local ok, message, code = signal.sigqueue(pid, RT, sent + 1)
      if ok then
        sent = sent + 1
      else -- no more until some are taken
        assert.equal("EAGAIN", code, message)
        assert.is_true(sent > got)
        repeat
          local info = q:receive(0)
          if info then got = got + 1 assert.equal(got, info.value) end
        until not info
      end
    end
    while got < sent do
      got = got + 1
      assert.equal(got, assert(q:receive(0)).value)
    end
    assert.equal("ETIMEDOUT", select(3, q:receive(0)))
  end)

  it("loses none that another process sends while it reads, and those name their sender", function()
    local q <close> = assert(signal.set { RT })
    local p, finish = child.lua([[
      local ipc, target = require "lipc", tonumber(...)
      ready()
      for i = 1, 10000 do
        while true do
          local ok, message, code = ipc.signal.sigqueue(target, "SIGRTMIN+1", i)
          if ok then break end
          assert(code == "EAGAIN", message)
          ipc.sleep(0.001)
        end
      end]], pid)
    local peer = tonumber(p:read "l")
    for i = 1, 10000 do
      local info = assert(q:receive(60))
      if info.value ~= i or info.pid ~= peer then assert.same({ i, peer }, { info.value, info.pid }) end
    end
    assert.is_true(finish())
  end)

  it("is full at the kernel's limit, which the error names", function()
    local ok, output = run([[prlimit --sigpending=100 "$LUA" -e '
      local signal = require "lipc".signal
      local q = assert(signal.set { "SIGRTMIN+1" })
      local n, ok, message, code = 0
      repeat
        ok, message, code = signal.sigqueue(signal.getpid(), "SIGRTMIN+1", n)
        if ok then n = n + 1 end
      until not ok
      assert(code == "EAGAIN", code)
      assert(message:find("^signal%.sigqueue %d+ %(limit RLIMIT_SIGPENDING = 100%): "), message)
      assert(n <= 100, n)
      for i = 0, n - 1 do assert(assert(q:receive(0)).value == i) end
      print "full"' 2>&1]])
    assert.equal("full\n", ok, output)
  end)

  it("waits for its signal", function()
    local q <close> = assert(signal.set { "SIGUSR1" })
    assert(os.execute(([[(n=0; until grep -q poll /proc/%d/wchan || [ $n -gt 300 ]; do n=$((n+1)); done
      kill -USR1 %d) &]]):format(pid, pid)))
    assert.equal("SIGUSR1", assert(q:receive(60)).signal)
  end)
end)

describe("several threads with a Lua state each", function()
  it("all hear of a signal to the process while they wait in pipes", function()
    local ok, output = child.host("threads", [[
      local ipc = require "lipc"
      local signal = ipc.signal
      local r, w = assert(ipc.pipe.open())
      local calls = 0
      local function call() calls = calls + 1 assert(w:write "x") end
      local on = assert(signal.on("SIGUSR1", call))
      for round = 1, rounds do
        barrier()
        if round % threads == index - 1 then signal.kill(signal.getpid(), "SIGUSR1") end
        assert(r:readsome(1, 60) == "x", "the wait did not hear of it")
        assert(calls == round, calls)
        barrier()
        if round % 5 == index then -- come and go while the others stay
          on:close()
          on = assert(signal.on("SIGUSR1", call))
        end
      end
      barrier()
      assert(signal.disposition "SIGUSR1" == "handler")
    ]], 4, 50, signal.number "SIGUSR1")
    assert.equal("ok\n", output)
    assert.is_true(ok)
  end)

  it("reach one thread by its number", function()
    local script = [[
      local ipc = require "lipc"
      local signal = ipc.signal
      local q = assert(signal.set { "SIGRTMIN+2" })
      local path = PATH
      local f <close> = assert(io.open(path .. index, "w"))
      f:write(signal.gettid()):flush()
      barrier()
      local next = io.open(path .. index % threads + 1)
      local tid = next:read "n"
      next:close()
      for i = 1, rounds do
        assert(signal.tgkill(nil, tid, "SIGRTMIN+2"))
        barrier()
        local info = assert(q:receive(0))
        assert(info.code == "SI_TKILL" and info.pid == signal.getpid())
        assert(select(3, q:receive(0)) == "ETIMEDOUT", "somebody else's signal")
        barrier()
      end
      os.remove(path .. index)
    ]]
    script = ("local PATH = %q"):format(require "support.names".path ".") .. script
    local ok, output = child.host("threads", script, 4, 20, signal.number "SIGUSR1")
    assert.equal("ok\n", output)
    assert.is_true(ok)
  end)

  it("come and go in a storm of signals", function()
    local ok, output = child.host("threads", [[
      local ipc = require "lipc"
      local signal = ipc.signal
      barrier()
      if index == 1 then storm(true) end
      local calls = 0
      for i = 1, rounds do
        local a = assert(signal.on("SIGUSR1", function() calls = calls + 1 end))
        local b = assert(signal.on("SIGUSR1", function() end))
        local r, w = assert(ipc.pipe.open())
        if i % 3 == 0 then signal.ignore "SIGUSR1" signal.restore "SIGUSR1" end
        if i % 10 == 0 then ipc.sleep(0.001) end
        w:write "x"
        assert(r:readsome(1, 60) == "x")
        r:close()
        w:close()
        a:close()
        b:close()
      end
      local a = assert(signal.on("SIGUSR1", function() calls = calls + 1 end))
      local was = calls
      while calls < was + 10 do ipc.sleep(60 / 1000) end
      barrier()
      if index == 1 then storm(false) end
    ]], 4, 300, signal.number "SIGUSR1")
    assert.equal("ok\n", output)
    assert.is_true(ok)
  end)
end)

describe("a host that closes its Lua state", function()
  it("survives calls of the handler, and fork, afterwards", function()
    local ok, output = child.host("unload", [[
      local signal = require "lipc".signal
      local calls = 0
      signal.on("SIGUSR1", function() calls = calls + 1 end)
      function check()
        signal.dispatch()
        assert(calls == 1, "not called once: " .. calls)
      end
    ]])
    assert.equal("ok\n", output)
    assert.is_true(ok)
  end)
end)
