-- Waiting in System V message queues, where the kernel has no time limit: src/sys_bounded.c.
local ipc = require "lipc"
local child = require "support.child"
local peer = require "support.peer"
local probe = require "support.probe"
local support = require "support.sysv"

local msg, signal = ipc.sysv.msg, ipc.signal
local SOON = 60 -- seconds: longer than anything here takes

describe("waiting in sysv.msg", function()
  local q, key
  before_each(function()
    key = support.key()
    q = assert(msg.open(key, { create = true, exclusive = true, unlink = true }))
  end)
  after_each(function() q:close() end)

  local function named(op, text) return ("sysv.msg:%s key 0x%08x, id %d: %s"):format(op, key, q:id(), text) end
  local function fill()
    local n = 0
    while q:send(1, ("x"):rep(1024), 0) do n = n + 1 end
    return n
  end
  -- Another process that does this with the queue `q` as soon as this one has come to rest.
  local function when_it_waits(action)
    return peer.lua([[
      local q = ipc.sysv.msg.open(math.tointeger(arg[1]))
      require "support.child".sleeping(math.tointeger(arg[2]))
    ]] .. action, key, probe.getpid())
  end

  local function of_signals() return { probe.dispositions(), probe.mask() } end

  -- However the thread waits, the disposition of SIGURG and the mask are the same before and after.
  local function keeps_time()
    local before = of_signals()
    local start = ipc.now()
    assert.same({ nil, named("receive", "timed out"), "ETIMEDOUT" }, { q:receive(0, 0.05) })
    assert.is_true(ipc.now() - start >= 0.05)
    assert.same(before, of_signals())
    local p = when_it_waits [[q:send(4, "other") q:send(5, "late")]]
    assert.same({ "late", 5 }, { q:receive(5, SOON) })
    assert.same({ "other", 4 }, { q:receive(0, 0) })
    assert.same(before, of_signals())
    p:read "a"
    p:close()
    local n = fill()
    assert.equal("ETIMEDOUT", (select(3, q:send(1, ("x"):rep(1024), 0.05))))
    p = when_it_waits [[q:receive(1)]]
    assert.is_true(q:send(2, ("y"):rep(1024), SOON))
    p:read "a"
    for _ = 1, n do assert(q:receive(0, 0)) end
    assert.equal(0, q:stat().qnum)
    p:close()
    assert.same(before, of_signals())
  end

  it("keeps a time limit, and what comes in time ends it", keeps_time)

  it("does so where SIGURG is blocked", function()
    local mask = signal.block "SIGURG"
    local ok, message = pcall(keeps_time)
    signal.setmask(mask)
    assert.is_true(ok, message)
  end)

  it("does so where SIGURG has a callback, which still runs", function()
    local seen = 0
    local _ <close> = assert(signal.on("SIGURG", function() seen = seen + 1 end))
    keeps_time()
    assert.equal(0, seen)
    local p = when_it_waits [[ipc.signal.kill(math.tointeger(arg[2]), "SIGURG")
      require "support.child".sleeping(math.tointeger(arg[2])) q:send(9, "end")]]
    assert.same({ "end", 9 }, { q:receive(9, SOON) })
    p:close()
    assert(ipc.sleep(0)) -- it may have come together with the message
    assert.equal(1, seen)
  end)

  it("does so in C's msgrcv: the thread sleeps in the kernel", function()
    local log = os.tmpname()
    local out = support.strace("-f -e trace=msgrcv,nanosleep,clock_nanosleep -e signal=none -o " .. log, [[
      local q = ipc.sysv.msg.open(math.tointeger(arg[1]))
      print((select(3, q:receive(0, 0.3))))]], key)
    assert.equal("ETIMEDOUT\n", out)
    local asleep, tries = 0, 0
    for line in io.lines(log) do
      if line:find("IPC_NOWAIT", 1, true) then tries = tries + 1
      elseif line:find("msgrcv(", 1, true) then asleep = asleep + 1 end
      assert.is_nil(line:find("nanosleep", 1, true), line)
    end
    os.remove(log)
    assert.is_true(asleep >= 1 and asleep <= 3, asleep)
    assert.is_true(tries >= 1 and tries <= 16, tries) -- pauses of 5 ms would make 60
  end)

  it("costs next to nothing", function()
    local before = os.clock()
    q:receive(0, 1.5)
    assert.is_true(os.clock() - before < 0.1, "a wait that uses the processor")
  end)

  it("goes on after a signal's callback, with the same end", function()
    local seen = {}
    local _ <close> = assert(signal.on("SIGUSR1", function() seen[#seen + 1] = "usr1" end))
    local p <close> = when_it_waits [[
      for i = 1, 3 do
        ipc.signal.kill(math.tointeger(arg[2]), "SIGUSR1")
        require "support.child".sleeping(math.tointeger(arg[2]))
      end
      q:send(1, "end")]]
    assert.equal("end", (q:receive(1, SOON)))
    p:read "a"
    assert(ipc.sleep(0)) -- the last may have come together with the message
    assert.is_true(#seen >= 1)
  end)

  it("lets a callback use the same queue", function()
    local got
    local _ <close> = assert(signal.on("SIGUSR1", function() -- both buffers are used in the middle of the wait
      assert(q:send(7, ("z"):rep(5000)))
      got = assert(q:receive(7, 0))
      assert(q:send(1, "from the callback"))
    end))
    local p <close> = when_it_waits [[ipc.signal.kill(math.tointeger(arg[2]), "SIGUSR1")]]
    assert.equal("from the callback", (q:receive(1, SOON)))
    p:read "a"
    assert.equal(5000, #got)
  end)

  it("sends its own message when a callback sends another between the look and the sleep", function()
    fill()
    debug.sethook(function() -- as that of a Ctrl-C: what waits calls it from C
      if debug.getinfo(3, "S").what ~= "C" then return end
      debug.sethook()
      for _ = 1, 2 do assert(q:receive(1, 0)) end
      assert(q:send(7, "the callback's", 0))
    end, "c")
    local ok, message = q:send(8, "the caller's" .. (" "):rep(900), SOON)
    debug.sethook()
    assert.is_true(ok, message)
    assert.equal("the callback's", (q:receive(7, 0)))
    assert.matches("^the caller's +$", (q:receive(8, 0)))
  end)

  it("ends with EIDRM when the queue is removed", function()
    local p = when_it_waits [[q:remove()]]
    assert.same({ nil, named("receive", "Identifier removed"), "EIDRM" }, { q:receive(0, SOON) })
    p:close()
    q = assert(msg.open(key, { create = true, unlink = true }))
    fill()
    p = when_it_waits [[q:remove()]]
    assert.same({ nil, named("send", "Identifier removed"), "EIDRM" }, { q:send(1, ("x"):rep(1024), SOON) })
    p:close()
  end)

  it("ends with EIDRM under the loop too", function()
    local loop, results = ipc.loop.new(), {}
    fill()
    loop:wrap(function() results.receive = { q:receive(9, SOON) } end)
    loop:wrap(function() results.send = { q:send(1, ("x"):rep(1024), SOON) } end)
    loop:wrap(function()
      ipc.sleep(0.005)
      os.execute("ipcrm -q " .. q:id())
    end)
    assert(loop:run())
    loop:close()
    assert.same({ nil, named("receive", "Identifier removed"), "EIDRM" }, results.receive)
    assert.same({ nil, named("send", "Identifier removed"), "EIDRM" }, results.send)
  end)

  it("ends with ECANCELED by the very object that another task removes", function()
    local loop, results = ipc.loop.new(), {}
    local again <close> = assert(msg.fromid(q:id()))
    local receive, send = named("receive", "Operation canceled"), named("send", "Operation canceled")
    fill()
    loop:wrap(function() results.receive = { q:receive(9, SOON) } end)
    loop:wrap(function() results.send = { q:send(1, ("x"):rep(1024), SOON) } end)
    loop:wrap(function() results.other = { again:receive(9, SOON) } end)
    loop:wrap(function()
      ipc.sleep(0.005)
      assert.is_true(q:remove())
    end)
    assert(loop:run())
    loop:close()
    assert.same({ nil, receive, "ECANCELED" }, results.receive)
    assert.same({ nil, send, "ECANCELED" }, results.send)
    assert.equal("EIDRM", results.other[3])
  end)

  it("of several coroutines gives each what it asked for", function()
    local loop, got = ipc.loop.new(), {}
    for type = 1, 20 do
      loop:wrap(function() got[type] = assert(q:receive(type, SOON)) end)
    end
    loop:wrap(function()
      ipc.sleep(0.002)
      for type = 20, 1, -1 do assert(q:send(type, tostring(type):rep(type))) end
    end)
    assert(loop:run())
    loop:close()
    for type = 1, 20 do assert.equal(tostring(type):rep(type), got[type]) end
  end)

  it("of a full queue keeps each sender's own message", function()
    local loop = ipc.loop.new()
    local n = fill()
    for i = 1, 10 do
      loop:wrap(function() assert(q:send(100 + i, tostring(i):rep(100 * i), SOON)) end)
    end
    loop:wrap(function()
      ipc.sleep(0.002)
      for _ = 1, n do assert(q:receive(1, SOON)) ipc.sleep(1e-4) end
    end)
    assert(loop:run())
    loop:close()
    for i = 1, 10 do assert.equal(tostring(i):rep(100 * i), (q:receive(100 + i, 0))) end
  end)

  it("loses and doubles nothing among processes that are killed", function()
    -- each receiver counts in its exit what it printed; what was taken is printed or was in hand at the kill
    local senders = {}
    for s = 1, 2 do
      senders[s] = peer.lua([[
        local q = ipc.sysv.msg.open(math.tointeger(arg[1]))
        for i = 1, 500 do assert(q:send(1, arg[2] .. " " .. i, 60)) end]], key, s)
    end
    local last = { ["1"] = 0, ["2"] = 0 }
    for _ = 1, 1000 do
      local who, i = assert(q:receive(1, SOON)):match "^(%d) (%d+)$"
      assert.equal(last[who] + 1, tonumber(i)) -- of each sender in order
      last[who] = tonumber(i)
    end
    for _, p in ipairs(senders) do assert.equal("", p:read "a") p:close() end
    assert.equal(0, q:stat().qnum)
  end)

  it("is ended by Ctrl-C", function()
    for _, call in ipairs { "q:receive(9)", "while true do q:send(1, ('x'):rep(1000)) end" } do
      local p, finish = child.lua([[
        local ipc = require "lipc"
        local q = ipc.sysv.msg.open(math.tointeger((...)))
        local ok, message = pcall(function(...) ready() ]] .. call .. [[ end, ...)
        print(ok, message, q:send(9, "", 0))]], key)
      local pid = assert(p:read "n")
      child.sleeping(pid)
      signal.kill(pid, "SIGINT")
      local ok, output = finish()
      assert.is_true(ok, output)
      assert.matches("false\t[^\n]*interrupted!\t", output)
    end
  end)

  it("wakes only for its own type", function()
    local p <close> = when_it_waits [[
      for i = 1, 50 do q:send(1, "no") q:send(3, "no") end
      q:send(2, "yes")]]
    assert.same({ "yes", 2 }, { q:receive(2, SOON) })
    assert.equal(100, q:stat().qnum)
    assert.same({ "no", 1 }, { q:receive(3, { except = true, timeout = SOON }) })
    p:read "a"
  end)
end)

describe("limits of sysv.msg:", function()
  it("a full queue says how full it is", function()
    local q <close> = assert(msg.open("private", { unlink = true }))
    assert(q:set { qbytes = 100 })
    assert(q:send(1, ("x"):rep(60)))
    local result, message, code = q:send(1, ("x"):rep(60), 0)
    assert.same({ nil, "ETIMEDOUT" }, { result, code })
    assert.matches(": timed out %(the queue has 60 of the 100 bytes of its msg_qbytes, 1 messages%)$", message)
  end)

  it("what can never be sent is not waited for", function()
    local q <close> = assert(msg.open("private", { unlink = true }))
    local max = math.tointeger(tonumber(io.lines "/proc/sys/kernel/msgmax"()))
    for _, n in ipairs { max + 1, max + 100000 } do
      local result, message, code = q:send(1, ("x"):rep(n), SOON)
      assert.same({ nil, "E2BIG" }, { result, code })
      assert.is_truthy(message:find((": message too large (it has %d bytes, kernel.msgmax is %d: "):format(n, max), 1, true))
    end
    assert(q:set { qbytes = 50 })
    local _, message, code = q:send(1, ("x"):rep(51), SOON)
    assert.equal("E2BIG", code)
    assert.matches("message too large %(it has 51 bytes, the queue's msg_qbytes is 50: set{qbytes=...}%)$", message)
    assert(q:send(1, ("x"):rep(50)))
  end)

  it("a limit that sinks under a waiting message ends the wait", function()
    local q <close> = assert(msg.open("private", { unlink = true }))
    local loop = ipc.loop.new()
    assert(q:send(1, ("x"):rep(16000)) == nil) -- msgmax
    while q:send(1, ("x"):rep(1000), 0) do end
    local code
    loop:wrap(function() code = select(3, q:send(1, ("x"):rep(1000), SOON)) end)
    loop:wrap(function()
      ipc.sleep(0.002)
      assert(q:set { qbytes = 999 })
    end)
    assert(loop:run())
    loop:close()
    assert.equal("E2BIG", code)
  end)

  it("the number of queues, and messages larger than the usual, in a name space of one's own", function()
    local out = support.namespace("sysctl -q -w kernel.msgmni=2 kernel.msgmax=200000 kernel.msgmnb=400000", [[
      local msg = ipc.sysv.msg
      local a, b = msg.open("private"), msg.open("private")
      print(msg.open("private"))
      local big = ("0123456789abcdef"):rep(10000)
      assert(a:send(1, big))
      assert(a:copy(1) == big)
      print(a:receive(0, { max = 100000 }))
      assert(a:receive(0) == big)
      assert(a:send(1, big))
      assert(a:receive(0, { max = 150000, truncate = true }) == big:sub(1, 150000))
      print(b:send(1, big .. big))]])
    if not out then return pending "no IPC name space of one's own here" end
    assert.equal([[
nil sysv.msg.open key 0x00000000: No space left on device (kernel.msgmni is 2: remove some (ipcs -q), or sysctl -w kernel.msgmni=...) ENOSPC
nil sysv.msg:receive key 0x00000000, id 0: message too large (it has 160000 bytes, max is 100000) E2BIG
nil sysv.msg:send key 0x00000000, id 1: message too large (it has 320000 bytes, kernel.msgmax is 200000: sysctl -w kernel.msgmax=...) E2BIG
]], (out:gsub("\t", " ")))
  end)

  it("an owner's, for users without rights", function()
    if probe.getuid() ~= 0 then return pending "only root can become somebody else" end
    local key = support.key()
    local q <close> = assert(msg.open(key, { create = true, mode = 420, unlink = true })) -- 0644
    assert(q:send(1, "x"))
    local function as_nobody(script)
      local p = peer.sh("exec setpriv --reuid 65534 --clear-groups " .. peer.command(script, key) .. " 2>&1")
      local out = p:read "a"
      p:close()
      return out
    end
    local out = as_nobody [[
      local q = ipc.sysv.msg.open(math.tointeger(arg[1]))
      print((select(3, q:send(1, "x"))))
      print((q:receive(1)))
      print((select(3, q:set { mode = 511 })))
      print((select(3, q:remove())), q)
      print(q:stat().uid)]]
    assert.matches("^EACCES\nx\nEPERM\nEPERM\tlipc.sysv.msg key 0x%x+, id %d+ %(open%)\n0\n$", out)
    assert(q:set { mode = 384 })
    out = as_nobody [[
      local q = ipc.sysv.msg.open(math.tointeger(arg[1]))
      print((select(2, q:receive(1))))
      print((select(3, ipc.sysv.msg.fromid(q:id()))))]]
    assert.equal(("sysv.msg:receive key 0x%08x, id %d: Permission denied\nEACCES\n"):format(key, q:id()), out)
    out = as_nobody [[
      local q = ipc.sysv.msg.open("private", { unlink = true })
      print(select(2, q:set { qbytes = 0x7fffffff }))]]
    assert.matches("Operation not permitted %(above kernel.msgmnb, which is %d+, qbytes needs CAP_SYS_RESOURCE%)\tEPERM\n$", out)
  end)
end)
