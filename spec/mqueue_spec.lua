-- POSIX message queues: messages, priorities, waiting, attributes.
local ipc = require "lipc"
local mq = require "support.mqueue"
local peer = require "support.peer"
local probe = require "support.probe"
local child = require "support.child"

local SOON = 30 -- seconds: longer than anything here takes

describe("mqueue", function()
  mq.watch { setup = setup, teardown = teardown, before_each = before_each, after_each = after_each }

  it("gives messages back whole, the highest priority first, the oldest among equals", function()
    local q, name = mq.new { maxmsg = 8 }
    assert.equal(("lipc.mqueue %s (fd %d)"):format(name, q:fd()), tostring(q))
    assert.is_true(q:send "first")
    assert.is_true(q:send("urgent", { priority = 7 }))
    assert.is_true(q:send("second", 0))
    assert.is_true(q:send("most", { priority = ipc.mqueue.PRIO_MAX - 1, timeout = 0 }))
    assert.is_true(q:send("later", { priority = 7, timeout = 5 }))
    assert.is_true(q:send "")
    local got = {}
    for i = 1, 6 do got[i] = { q:receive(0) } end
    assert.same({ { "most", 32767 }, { "urgent", 7 }, { "later", 7 }, { "first", 0 }, { "second", 0 }, { "", 0 } }, got)
    assert.equal("integer", math.type(got[1][2]))
    assert.same({ nil, ("mqueue:receive %s: timed out"):format(name), "ETIMEDOUT" }, { q:receive(0) })
  end)

  it("keeps bytes and sizes exact, zeros and the longest message too", function()
    local all = {}
    for i = 0, 255 do all[#all + 1] = string.char(i) end
    all = table.concat(all)
    local q = mq.new { msgsize = 256 }
    assert.is_true(q:send(all))
    assert.is_true(q:send "\0")
    assert.is_true(q:send(all:sub(1, 255)))
    assert.equal(all, q:receive())
    assert.equal("\0", q:receive())
    assert.equal(all:sub(1, 255), q:receive())
    assert.is_true(q:send(12)) -- as all that takes strings
    assert.equal("12", q:receive())
  end)

  it("waits while it is full, and for the timeout only", function()
    local q, name = mq.new { maxmsg = 2 }
    q:send "a"
    q:send "b"
    local started = ipc.now()
    local full = { nil, ("mqueue:send %s: timed out"):format(name), "ETIMEDOUT" }
    assert.same(full, { q:send("c", 0) })
    assert.same(full, { q:send("c", 0.02) })
    assert.same(full, { q:send("c", { timeout = 0.02 }) })
    q:settimeout(0.02)
    assert.same(full, { q:send "c" })
    assert.same(full, { q:send("c", { priority = 1 }) })
    assert.is_true(ipc.now() - started >= 0.08)
    assert.equal(2, q:getattr().curmsgs)
  end)

  it("says how long a message may be", function()
    local q, name = mq.new { msgsize = 10 }
    assert.is_true(q:send(("x"):rep(10)))
    assert.same({ nil, ("mqueue:send %s: Message too long (11 bytes; msgsize of this queue is 10)"):format(name),
      "EMSGSIZE" }, { q:send(("x"):rep(11)) })
    assert.equal(1, q:getattr().curmsgs)
  end)

  it("tells its attributes, and sets the one that can be set", function()
    local q, name = mq.new { maxmsg = 3, msgsize = 100, mode = tonumber("640", 8) }
    assert.same({ maxmsg = 3, msgsize = 100, curmsgs = 0, nonblock = true }, q:getattr())
    q:send "x"
    assert.same({ maxmsg = 3, msgsize = 100, curmsgs = 1, nonblock = true }, q:getattr())
    assert.equal("0 3 100 1\n", mq.twinout("attr", name)) -- of its own open description
    assert.is_true(q:setattr { nonblock = false })
    assert.is_false(q:getattr().nonblock)
    assert.equal("x", q:receive())
    assert.equal("ETIMEDOUT", select(3, q:receive(0))) -- our waits are as they were
    assert.equal("ETIMEDOUT", select(3, q:receive(0.01)))
    assert.is_true(q:setattr { nonblock = true })
    assert.is_true(q:getattr().nonblock)
    local s = q:stat()
    assert.same({ type = "mqueue", dev = s.dev, ino = s.ino, mode = tonumber("640", 8), maxmsg = 3, msgsize = 100,
      curmsgs = 0 }, s)
    assert.is_true(math.type(s.ino) == "integer" and s.ino > 0)
  end)

  it("exchanges messages with a program in C, in both directions", function()
    local q, name = mq.new { maxmsg = 8 }
    assert.equal("sent\n", mq.twinout("send", name, 1, "00ff00", 32767, mq.hex "high", 3, "", 1, "0d0a00"))
    assert.same({ "high", 32767 }, { q:receive(0) })
    assert.same({ "", 3 }, { q:receive(0) })
    assert.same({ "\0\xff\0", 1 }, { q:receive(0) })
    assert.same({ "\r\n\0", 1 }, { q:receive(0) })
    local p = mq.twin("receive", name, 3)
    assert.matches("^receiving %d+$", p:read "l")
    local sent = { "\0\1\2\0", ("\xfe"):rep(64), "" }
    for i, data in ipairs(sent) do
      assert.is_true(q:send(data, { priority = 9 - i, timeout = SOON }))
      assert.equal(("%d %s"):format(9 - i, mq.hex(data)), p:read "l")
    end
    p:close()
  end)

  it("opens what a program in C has made, and lets it open what lipc has made", function()
    local name = mq.name()
    assert.equal("", mq.twinout("create", name, 5, 77, "600"))
    local q = mq.keep(assert(ipc.mqueue.open(name)))
    assert.same({ maxmsg = 5, msgsize = 77, curmsgs = 0, nonblock = true }, q:getattr())
    assert.equal("mq_open: File exists\n", mq.twinout("create", name, 5, 77, "600"))
    assert.equal("", mq.twinout("unlink", name))
    assert.equal("ENOENT", select(3, ipc.mqueue.open(name)))
    assert.is_true(q:send "still there for who has it open")
    assert.is_truthy(q:receive(0))
  end)

  it("takes a thousand messages from a program in C through four places, in order", function()
    local q, name = mq.new()
    local p = mq.twin("numbers", name, 1000, 64)
    for i = 1, 1000 do
      local data = assert(q:receive(SOON))
      assert(#data == 64 and ("<i4"):unpack(data) == i)
    end
    p:close()
    assert.equal(0, q:getattr().curmsgs)
  end)

  it("lets a sender wait until another process receives", function()
    local q, name = mq.new { maxmsg = 1 }
    q:send "first"
    local p = child.lua([[
      local q = assert(require "lipc".mqueue.open(..., { access = "w" }))
      ready()
      print(q:send("second", 60))]], name)
    child.sleeping(assert(p:read "n")) -- in the kernel, full as it is
    assert.equal("first", q:receive(0))
    assert.equal("\ntrue\n", p:read "a")
    p:close()
    assert.equal("second", q:receive(0))
  end)

  it("is used by both processes after a fork", function()
    local out = peer.run([[
      local q = assert(ipc.mqueue.open(arg[1], { create = true, unlink = true, maxmsg = 2, msgsize = 16 }))
      local p = assert(ipc.process.fork(function()
        for i = 1, 50 do assert(q:send(tostring(i), 60)) end
        q:close() -- made by the parent: the name stays
      end))
      for i = 1, 50 do assert(q:receive(60) == tostring(i)) end
      print(p:wait(60), (ipc.mqueue.open(arg[1])))]], mq.name())
    assert.matches("^exit 0\tlipc.mqueue /lipc%S+ %(fd %d+%)\n$", out)
  end)

  it("wakes every coroutine that waits in it, one for each message", function()
    local q = mq.new()
    local loop, got, waiting = ipc.loop.new(), {}, 0
    for _ = 1, 3 do
      loop:wrap(function()
        waiting = waiting + 1
        local data = assert(q:receive(SOON))
        got[#got + 1] = data
      end)
    end
    loop:wrap(function()
      while waiting < 3 do ipc.sleep(0.001) end
      for _, word in ipairs { "a", "b", "c" } do assert(q:send(word)) end
    end)
    loop:run()
    loop:close()
    table.sort(got)
    assert.same({ "a", "b", "c" }, got)
  end)

  it("is waited for by poll, for room and for messages", function()
    local q = mq.new { maxmsg = 1 }
    local poll <close> = assert(ipc.poll.open())
    assert(poll:add(q, "r"))
    assert.equal("ETIMEDOUT", select(3, poll:wait(0)))
    q:send "x"
    assert.equal(1, poll:wait(SOON))
    assert.same({ q, "r" }, { poll:ready(1) })
    poll:modify(q, "w")
    assert.equal("ETIMEDOUT", select(3, poll:wait(0)))
    q:receive()
    assert.equal(1, poll:wait(SOON))
    assert.same({ q, "w" }, { poll:ready(1) })
    poll:remove(q)
    assert.is_false(probe.readable(q:fd()))
    q:send "y"
    assert.is_true(probe.readable(q:fd()))
  end)

  it("goes on waiting when a signal's callback has run", function()
    local q, name = mq.new()
    local ran = 0
    local on = assert(ipc.signal.on("SIGUSR1", function()
      ran = ran + 1
      if ran == 1 then os.execute(("kill -USR1 %d"):format(probe.getpid()))
      else mq.twin("send", name, 5, "61"):close() end
    end))
    local p = peer.lua([[
      require "support.child".sleeping(tonumber(arg[1]))
      ipc.signal.kill(tonumber(arg[1]), "SIGUSR1")]], probe.getpid())
    assert.same({ "a", 5 }, { q:receive(SOON) })
    assert.equal(2, ran)
    p:close()
    on:close()
  end)

  it("waits without using the processor", function()
    local q = mq.new()
    local before = os.clock()
    assert.equal("ETIMEDOUT", select(3, q:receive(0.5)))
    assert.is_true(os.clock() - before < 0.1)
  end)

  it("asks the kernel for no time on the clock that can be set", function()
    local name = mq.name()
    local trace = os.tmpname()
    os.execute(("strace -f -e trace=mq_timedreceive,mq_timedsend,ppoll,ppoll_time64,mq_timedsend_time64,"
      .. "mq_timedreceive_time64 -o %s %s >/dev/null 2>&1"):format(trace, peer.command([[
      local q = assert(ipc.mqueue.open(arg[1], { create = true, unlink = true, maxmsg = 1, msgsize = 16 }))
      q:receive(0.05)
      q:send "x"
      q:send("y", 0.05)
      q:setattr { nonblock = false }
      q:send("y", 0.05)
      q:receive()
      q:receive(0.05)]], name)))
    local calls, waits = {}, 0
    for line in io.lines(trace) do
      local call = line:match "mq_timed(%a+)"
      if call then
        calls[call] = (calls[call] or 0) + 1
        assert.is_truthy(line:find("{tv_sec=0, tv_nsec=0}", 1, true), line)
      end
      if line:find "ppoll" then waits = waits + 1 end
    end
    os.remove(trace)
    assert.is_true(calls.receive >= 5 and calls.send >= 5, "the calls are not seen")
    assert.is_true(waits >= 4)
  end)

  it("gives a finaliser inside its own receive no message that is on its way", function()
    local q = mq.new { maxmsg = 8, msgsize = 8192 }
    local inner, got, doubled = nil, {}, 0
    local mt = { __gc = function() inner = inner or select(2, pcall(q.receive, q, 0)) end }
    for i = 1, 500 do
      inner = nil
      assert(q:send(("%06d"):format(i) .. ("x"):rep(4000), 5))
      for _ = 1, 5 do setmetatable({}, mt) end
      for _, one in ipairs { (q:receive(0)) or "", inner } do
        local number = tostring(one):match "^%d%d%d%d%d%d"
        if number and got[number] then doubled = doubled + 1 end
        if number then got[number] = true end
      end
    end
    assert.equal(0, doubled)
  end)
end)
