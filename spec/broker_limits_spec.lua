-- ipc.broker: its limits, and what it does at them.
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"

local SECONDS = 30

describe("broker", function()
  local handle
  local open = {}

  local function start(options)
    options.path = names.path ".sock"
    handle = assert(ipc.broker.start(options))
    return handle
  end

  local function connect()
    local socket = nats.open(handle:url())
    open[#open + 1] = socket
    return socket
  end

  after_each(function()
    for _, socket in ipairs(open) do socket:close() end
    open = {}
    if handle then handle:close() end
    handle = nil
  end)

  describe("with a subscriber that does not read", function()
    it("cuts it after the write deadline, and the publisher goes on", function()
      start { write_deadline = 0.2 }
      local lazy, publisher, good = connect(), connect(), connect()
      assert(lazy:write "SUB a 1\r\n")
      assert(good:write "SUB done 1\r\n")
      nats.sync(lazy)
      nats.sync(good)
      local message = ("PUB a 10000\r\n%s\r\n"):format(("x"):rep(10000))
      for _ = 1, 2000 do assert(publisher:write(message)) end
      assert(publisher:write "PUB done 0\r\n\r\n")
      assert.equal("MSG done 1 0\r\n", good:read "L")
      nats.rest(lazy)
    end)

    it("cuts one that takes what waits for it too slowly", function()
      start { write_deadline = 0.5 }
      local slow, publisher, good = connect(), connect(), connect()
      assert(slow:write "SUB a 1\r\n")
      assert(good:write "SUB done 1\r\n")
      nats.sync(slow)
      nats.sync(good)
      local message = ("PUB a 10000\r\n%s\r\n"):format(("x"):rep(10000))
      local writer <close> = assert(ipc.process.fork(function()
        for _ = 1, 2000 do assert(publisher:write(message)) end
        assert(publisher:write "PUB done 0\r\n\r\n")
        nats.sync(publisher)
      end, { kill_on_close = true }))
      -- 4 MiB wait soon, and 0.5 s of reading like this takes two fifths of that
      local last = ""
      repeat
        local data = slow:readsome(16384)
        if data then last = (last .. data):sub(-100) end
        ipc.sleep(0.005)
      until not data
      assert.matches("%-ERR 'Slow Consumer'\r\n$", last)
      assert.equal("MSG done 1 0\r\n", good:read "L")
      assert.is_true(assert(writer:wait(SECONDS)).ok)
    end)

    it("cuts it between two messages, whatever these look like", function()
      start { write_deadline = 0.2 }
      for _, line in ipairs { "MSG x 1 99999999999999999999999\r\n", "MSG x 1 5\r\n", "\r\n", "x" } do
        local lazy, publisher = connect(), connect()
        assert(lazy:write "SUB a.> 1\r\n")
        nats.sync(lazy)
        local payload = line:rep(300000 // #line)
        -- so much that the publisher is paused until the other is cut
        for _ = 1, 20 do assert(publisher:write(("PUB a.\rb %d\r\n%s\r\n"):format(#payload, payload))) end
        nats.sync(publisher)
        local rest, at = nats.rest(lazy), 1
        while rest:find("MSG", at, true) == at do
          local stop = select(2, assert(rest:find(("MSG a.\rb 1 %d\r\n"):format(#payload), at, true)))
          assert.is_true(payload == rest:sub(stop + 1, stop + #payload))
          assert.equal("\r\n", rest:sub(stop + #payload + 1, stop + #payload + 2))
          at = stop + #payload + 3
        end
        assert.is_true(at > 1)
        assert.equal("-ERR 'Slow Consumer'\r\n", rest:sub(at))
      end
    end)

    it("keeps nothing for those that went away while they held each other up", function()
      local loop = assert(ipc.loop.new())
      local broker = assert(ipc.broker.new { path = names.path ".sock", write_deadline = SECONDS }:wrap(loop))
      loop:wrap(function()
        local a, b = nats.open(broker:url()), nats.open(broker:url())
        assert(a:write "SUB a 1\r\n")
        assert(b:write "SUB b 1\r\n")
        nats.sync(a)
        nats.sync(b)
        local sent, message = 0, ("x"):rep(10000)
        for to, socket in pairs { b = a, a = b } do
          loop:wrap(function()
            repeat
              local ok = socket:write(("PUB %s %d\r\n%s\r\n"):format(to, #message, message))
              sent = sent + 1
            until not ok
          end)
        end
        local paused, last
        repeat
          last = sent
          for _ = 1, 20 do ipc.sleep(0.001) end
          paused = 0
          for connection in pairs(broker.connections) do paused = paused + connection.session.paused end
        until paused == 2 and sent == last
        a:close()
        b:close()
        repeat ipc.sleep(0.001) until broker:stats().connections == 0
        assert.equal(0, broker:stats().pending)
        broker:stop()
      end)
      loop:run()
      loop:close()
    end)

    it("cuts none that was waiting for the broker", function()
      local loop = assert(ipc.loop.new())
      local broker = assert(ipc.broker.new { path = names.path ".sock", write_deadline = SECONDS }:wrap(loop))
      local subscribed, say = assert(ipc.pipe.open())
      local hear, read = assert(ipc.pipe.open())
      local process <close> = assert(ipc.process.fork(function()
        local reader = nats.open(broker:url())
        assert(reader:write "SUB a 1\r\n")
        nats.sync(reader)
        assert(say:write "subscribed\n")
        assert(hear:read "l" == "read")
        for _ = 1, 300 do assert(#reader:read(#"MSG a 1 10000\r\n" + 10002) == 10017) end
        assert(reader:write "PUB done 0\r\n\r\n")
        nats.rest(reader)
      end, { kill_on_close = true }))
      loop:wrap(function()
        assert.equal("subscribed", subscribed:read "l")
        local publisher = nats.open(broker:url())
        assert(publisher:write "SUB done 1\r\n")
        for _ = 1, 300 do assert(publisher:write(("PUB a 10000\r\n%s\r\n"):format(("x"):rep(10000)))) end
        nats.sync(publisher)
        -- as if nobody had been served for much longer than the deadline
        local late = 0
        for connection in pairs(broker.connections) do
          if connection.due then
            connection.deadline = ipc.now() - SECONDS
            late = late + 1
          end
        end
        assert.equal(1, late)
        assert(read:write "read\n")
        assert.equal("MSG done 1 0\r\n", publisher:read "L")
        assert.equal(0, broker:stats().slow_consumers)
        publisher:close()
        broker:stop()
      end)
      loop:run()
      loop:close()
      for _, stream in ipairs { subscribed, say, hear, read } do stream:close() end
      assert.is_true(assert(process:wait(SECONDS)).ok)
    end)

    it("pauses the publisher meanwhile, so that memory stays bounded", function()
      local loop = assert(ipc.loop.new())
      local broker = assert(ipc.broker.new { path = names.path ".sock", write_deadline = SECONDS }:wrap(loop))
      local highest, sent, received = 0, 0, 0
      local message = ("PUB a 10000\r\n%s\r\n"):format(("x"):rep(10000))
      local total = 3000 * #message
      loop:wrap(function()
        local lazy, publisher = nats.open(broker:url()), nats.open(broker:url())
        assert(lazy:write "SUB a 1\r\n")
        nats.sync(lazy)
        local writer = loop:wrap(function()
          for _ = 1, 3000 do
            assert(publisher:write(message))
            sent = sent + #message
          end
        end)
        -- it goes no further when two looks with some turns of the loop between show the same
        local last
        repeat
          last = sent
          for _ = 1, 20 do ipc.sleep(0.001) end
          highest = math.max(highest, broker:stats().pending)
        until sent == last and sent > 1 << 20
        assert.is_true(sent < total)
        while received < 3000 * (#message - 1) do
          received = received + #assert(lazy:readsome(65536, SECONDS))
          highest = math.max(highest, broker:stats().pending)
        end
        writer:join()
        lazy:close()
        publisher:close()
        broker:stop()
      end)
      loop:run()
      loop:close()
      assert.equal(total, sent)
      assert.is_true(highest < 8 << 20, "pending " .. highest)
    end)

    it("cuts one with more pending than max_pending, whoever publishes", function()
      start { max_pending = 100000 }
      local lazy = connect()
      assert(lazy:write "SUB a 1\r\n")
      nats.sync(lazy)
      -- its own messages come back to it, and it does not read them
      local message = ("PUB a 10000\r\n%s\r\n"):format(("x"):rep(10000))
      local ok
      repeat ok = lazy:write(message:rep(10)) until not ok
      nats.rest(lazy)
      nats.sync(connect())
    end)
  end)

  describe("limits", function()
    it("the connections", function()
      start { max_connections = 2 }
      local a, _ = connect(), connect()
      local c = nats.connect(handle:url())
      assert.equal("-ERR 'maximum connections exceeded'\r\n", nats.rest(c))
      c:close()
      a:close()
      local d
      repeat -- until the first one's end is noticed
        if d then d:close() end
        d = nats.connect(handle:url())
        local line = d:read "L"
      until line and line:find "^INFO"
      d:close()
    end)

    it("pauses accepting while descriptors are short, and serves those that it has", function()
      local path = names.path ".sock"
      local said, say = assert(ipc.pipe.open())
      local life_child, life = assert(ipc.pipe.open())
      local process <close> = assert(ipc.process.fork(function()
        said:close()
        life:close()
        local loop <close> = assert(ipc.loop.new())
        local broker = assert(ipc.broker.new { path = path }:wrap(loop))
        assert(say:write "listening\n")
        loop:wrap(function()
          local before -- the last look at which there was no pause yet
          local patience = ipc.now() + SECONDS / 2
          while broker:stats().accept_pauses == 0 do
            assert(ipc.now() < patience, "no pause")
            before = ipc.now()
            ipc.sleep(0.001)
          end
          local deadline = ipc.now() + SECONDS / 2
          while broker:stats().accept_pauses < 4 and ipc.now() < deadline do ipc.sleep(0.001) end
          -- each is twice as long as the one before: three have passed
          assert(ipc.now() - before >= 0.02 + 0.04 + 0.08, "no pauses, but a busy loop")
          assert(say:write "paused\n")
          life_child:readsome(1)
          broker:stop()
        end)
        loop:run()
      end, { limits = { nofile = 48 }, pdeathsig = "SIGKILL", kill_on_close = true }))
      say:close()
      life_child:close()
      said:settimeout(SECONDS)
      assert.equal("listening", said:read())
      local first = nats.open("unix://" .. path)
      local others = {}
      for i = 1, 60 do others[i] = assert(ipc.socket.connect { path = path, timeout = SECONDS }) end
      assert.equal("paused", said:read())
      nats.sync(first)
      for _, socket in ipairs(others) do socket:close() end
      nats.sync(first)
      local last = nats.open("unix://" .. path)
      nats.sync(last)
      first:close()
      last:close()
      life:close()
      said:close()
      local status = assert(process:wait(SECONDS))
      assert.is_true(status.ok, status.error)
    end)

    it("its own descriptors: what cannot be opened is reported by code", function()
      start {}
      local process <close> = assert(ipc.process.fork(function()
        local attempts = {
          connect = function() return ipc.connect(handle:url()) end,
          listen = function() return ipc.broker.new { path = names.path ".sock", tcp = "127.0.0.1:0" }:listen() end,
          run = function() -- where it succeeds it would not return
            local loop <close>, message, code = ipc.loop.new()
            if not loop then return nil, message, code end
            return ipc.broker.run { path = "/nonexistent/x" }
          end,
          start = function() return ipc.broker.start { path = names.path ".sock", tcp = "127.0.0.1:0" } end,
        }
        for name, attempt in pairs(attempts) do -- everything is loaded
          local object = attempt()
          if object then object:close() end
          local held, failures = {}, 0
          local one = ipc.eventfd.open()
          while one do
            held[#held + 1] = one
            one = ipc.eventfd.open()
          end
          repeat
            local ok, result, message, code = pcall(attempt)
            assert(ok, name .. ": " .. tostring(result))
            if result then
              result:close()
            elseif code ~= "ENOENT" then
              assert(code == "EMFILE" and message:find "Too many open files", name .. ": " .. tostring(message))
              failures = failures + 1
            end
            if result or code == "ENOENT" then break end
            table.remove(held):close()
          until false
          assert(failures > 0, name)
          for _, rest in ipairs(held) do rest:close() end
        end
      end, { limits = { nofile = 64 } }))
      local status = assert(process:wait(SECONDS))
      assert.is_true(status.ok, status.error)
    end)

    it("the payload, the line and the subscriptions", function()
      start { max_payload = 10, max_control_line = 64, max_subscriptions = 1, max_subscription_tokens = 3 }
      local a = connect()
      assert(a:write "SUB a 1\r\nSUB b 2\r\nPING\r\n")
      assert.equal("-ERR 'maximum subscriptions exceeded'\r\n", a:read "L")
      assert.equal("PONG\r\n", a:read "L")
      assert(a:write "PUB a 11\r\n")
      assert.equal("-ERR 'Maximum Payload Violation'\r\n", nats.rest(a))
      local b = connect()
      assert(b:write("SUB ", ("x"):rep(100), " 1\r\n"))
      assert.equal("-ERR 'maximum control line exceeded'\r\n", nats.rest(b))
    end)

    it("survives a shortage of descriptors", function()
      local path = names.path ".sock"
      local process = assert(ipc.process.fork(function()
        assert(ipc.broker.run { path = path })
      end, { limits = { nofile = 32 } }))
      local clients, served = {}, 0
      repeat clients[1] = ipc.socket.connect { path = path } until clients[1] or process:status() ~= false
      for i = 2, 60 do clients[i] = assert(ipc.socket.connect { path = path, timeout = SECONDS }) end
      -- one after the other they get their turn as others leave
      for _, socket in ipairs(clients) do
        socket:settimeout(SECONDS)
        assert.matches("^INFO", (assert(socket:read "L")))
        served = served + 1
        socket:close()
      end
      assert.equal(60, served)
      assert(process:kill "SIGTERM")
      assert.is_true(assert(process:wait(SECONDS)).ok)
      process:close()
    end)
  end)

  it("takes less from a client in a turn of the loop when that goes to many", function()
    local loop <close> = assert(ipc.loop.new())
    local broker = assert(ipc.broker.new { path = names.path ".sock", max_pending = 1 << 30 }:wrap(loop))
    local ended, most = false, 0
    loop:wrap(function()
      local reader, publisher = nats.open(broker:url()), nats.open(broker:url())
      local subs = {}
      for i = 1, 1000 do subs[i] = ("SUB f %d\r\n"):format(i) end
      assert(reader:write(table.concat(subs)))
      nats.sync(reader)
      loop:wrap(function()
        while not ended do
          if not reader:readsome(1 << 20) then break end
        end
      end)
      loop:wrap(function()
        local flood = ("PUB f 0\r\n\r\n"):rep(6000)
        while not ended and publisher:write(flood) do end
      end)
      local turns, last = 0, 0
      repeat
        ipc.sleep(0)
        local out = broker:stats().messages_out
        if out > last then turns = turns + 1 end
        if turns > 6 then most = math.max(most, out - last) end -- by then it knows
        last = out
      until turns > 20
      ended = true
      broker:stop()
      reader:close()
      publisher:close()
    end)
    loop:run()
    -- what 512 bytes can say, to a thousand
    assert.is_true(most <= 512 // 11 * 1000 + 1000, most)
  end)

  it("answers a PING while a publisher floods", function()
    start {}
    local publishers = {}
    for i = 1, 2 do
      publishers[i] = assert(ipc.process.fork(function()
        local s = nats.open(handle:url())
        local flood = ("PUB flood 2\r\nhi\r\n"):rep(4000)
        while s:write(flood) do end
      end))
    end
    local reader, other = connect(), connect()
    assert(reader:write "SUB flood 1\r\n")
    for _ = 1, 50 do
      assert(assert(reader:read "L"):find "^MSG flood 1 2\r\n$") -- they still do
      assert.equal("hi\r\n", reader:read "L")
      nats.sync(other)
    end
    for _, process in ipairs(publishers) do
      assert.is_false(process:status())
      assert(process:kill "SIGKILL")
      assert(process:wait(SECONDS))
      process:close()
    end
  end)
end)
