-- Requests with many answers, status callbacks, limits and the drain of one subscription; without a loop and in one.
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"

local SECONDS = 30

describe("client", function()
  local broker, clients
  setup(function() broker = assert(ipc.broker.start { path = names.path ".sock" }) end)
  teardown(function() broker:close() end)
  before_each(function() clients = {} end)
  after_each(function()
    for _, c in ipairs(clients) do c:close() end
  end)

  local function connect(url, options)
    options = options or {}
    options.timeout = options.timeout or SECONDS -- two seconds are not much where everything stands still
    local c = assert(ipc.connect(url or broker:url(), options))
    clients[#clients + 1] = c
    return c
  end

  local function in_loop(fn)
    local loop <close> = assert(ipc.loop.new())
    loop:wrap(function()
      fn()
      for _, c in ipairs(clients) do c:close() end -- a client with functions keeps the loop busy
    end)
    assert.is_true(loop:run())
  end
  local function both(name, fn)
    it(name .. ", in a plain script", function() fn() end)
    it(name .. ", in a task", function() in_loop(fn) end)
  end

  local function responders(c, count)
    for i = 1, count do
      assert(c:subscribe("who", function(msg) msg:respond(tostring(i), { headers = { N = { "a", i } } }) end))
    end
    assert.is_true(c:flush(SECONDS))
  end

  describe("requestmany", function()
    both("hands out so many answers, then ends", function()
      local c = connect()
      responders(c, 5)
      local answers = assert(c:requestmany("who", "", { max = 3, timeout = SECONDS }))
      local got = {}
      for answer in answers do got[#got + 1] = answer.data end
      table.sort(got)
      assert.equal(3, #got)
      local none, message, code = answers:next()
      assert.same({ nil, "client:requestmany who: no more answers", "EOF" }, { none, message, code })
      assert.equal(0, c:stats().messages_held)
      assert.equal("lipc.answers (who, 3)", tostring(answers))
    end)

    both("ends when no more come", function()
      local c = connect()
      local raw = nats.open(broker:url(), '{"verbose":false,"headers":true}')
      assert(raw:write "SUB who 1\r\n")
      nats.sync(raw)
      local function answer_thrice(answers) -- in one piece, which comes in one
        local inbox = assert(raw:read "L"):match "^MSG who 1 (%S+) 0\r\n$"
        assert.equal("\r\n", raw:read "L")
        assert(raw:write((("PUB %s 1\r\nx\r\n"):format(inbox):rep(3))))
        nats.sync(raw)
        return answers
      end
      local n = 0
      for answer in answer_thrice(assert(c:requestmany("who", "", { stall = 0.05, timeout = SECONDS }))) do
        n = n + 1
        assert.equal("x", answer.data)
      end
      assert.equal(3, n)
      raw:close()
      responders(c, 3)
      n = 0
      local began = ipc.now()
      for answer in assert(c:requestmany("who", "", { timeout = 0.1 })) do -- those who are in time
        n = n + 1
        assert.same({ "a", answer.data }, answer.headers.N)
      end
      assert.is_true(n <= 3 and ipc.now() - began >= 0.1)
      began, n = ipc.now(), 0
      for _ in assert(c:requestmany("who", "", 0.1)) do n = n + 1 end -- the seconds alone
      assert.is_true(n <= 3 and ipc.now() - began >= 0.1)
    end)

    both("says at once that nobody is there", function()
      local c = connect()
      local answers = assert(c:requestmany("nobody", "x", { timeout = SECONDS }))
      local none, message, code = answers()
      assert.same({ nil, "client:requestmany nobody: no responders", "ENORESPONDERS" }, { none, message, code })
    end)

    both("ends with the loop that is left, and with the client", function()
      local c = connect()
      responders(c, 4)
      for answer in assert(c:requestmany("who", "", { timeout = SECONDS })) do
        if answer then break end
      end
      assert.is_true(c:flush(SECONDS))
      assert.equal(0, c:stats().messages_held)
      local answers = assert(c:requestmany("nobody.yet", "", {}))
      c:close()
      assert.equal("ECANCELED", (select(3, answers:next())))
    end)

    it("hands its answers to several tasks", function()
      in_loop(function()
        local c = connect()
        responders(c, 6)
        local answers = assert(c:requestmany("who", "", { max = 6, timeout = SECONDS }))
        local got, tasks = 0, {}
        for i = 1, 3 do
          tasks[i] = ipc.loop.current():wrap(function()
            for _ in answers do
              got = got + 1
              ipc.sleep(0.001)
            end
          end)
        end
        for _, task in ipairs(tasks) do assert(task:join()) end
        assert.equal(6, got)
      end)
    end)

    it("is forgotten when collected", function()
      local c = connect()
      responders(c, 1)
      assert(c:requestmany("who", "", {}))
      collectgarbage()
      collectgarbage()
      assert.is_true(c:flush(SECONDS))
      assert.is_nil(next(c.proto.requests))
      assert.equal(0, c:stats().messages_held)
    end)

    it("checks its arguments", function()
      local c = connect()
      for _, case in ipairs {
        { { max = 0 }, "option 'max': positive integer expected" },
        { -1, "timeout in seconds expected" },
        { "1", "table expected, got string" },
        { { stall = "x" }, "option 'stall': number, not negative, expected, got string" },
        { { foo = 1 }, "unknown option 'foo'" },
      } do
        assert.has_error(function() c:requestmany("a", "", case[1]) end, "bad argument #3 to 'requestmany' (" .. case[2] .. ")")
      end
      c:close()
      assert.has_error(function() c:requestmany("a", "") end, "bad argument #1 to 'requestmany' (closed client)")
    end)
  end)

  describe("limits of a subscription", function()
    both("drop what is too much, say so in its place, and count", function()
      local c, other = connect(), connect()
      local sub = assert(c:subscribe("a", { pending_messages = 3 }))
      local free = assert(c:subscribe "a")
      assert.is_true(c:flush(SECONDS))
      for i = 1, 5 do assert(other:publish("a", i)) end
      assert.is_true(other:flush(SECONDS))
      assert.is_true(c:flush(SECONDS))
      assert.same({ 3, 5, 2, 0 }, { sub:pending(), free:pending(), sub:dropped(), free:dropped() })
      for i = 1, 3 do assert.equal(tostring(i), assert(sub:next(SECONDS)).data) end
      local none, message, code = sub:next(SECONDS)
      assert.same({ nil, "subscription:next a: too slow, messages were dropped", "ENOBUFS" }, { none, message, code })
      assert(other:publish("a", "6"))
      assert.equal("6", assert(sub:next(SECONDS)).data)
    end)

    both("count bytes, and let one message pass", function()
      local c, other = connect(), connect()
      local sub = assert(c:subscribe("a", { pending_bytes = 10, overflow = "drop" }))
      assert.is_true(c:flush(SECONDS))
      for _, size in ipairs { 100, 1, 5 } do assert(other:publish("a", ("x"):rep(size))) end
      assert.is_true(other:flush(SECONDS))
      assert.is_true(c:flush(SECONDS))
      assert.equal(100, #assert(sub:next(SECONDS)).data)
      assert.equal(2, sub:dropped())
      assert.equal("ENOBUFS", (select(3, sub:next(SECONDS))))
      for _ = 1, 3 do assert(other:publish("a", "12345")) end
      assert.is_true(other:flush(SECONDS))
      assert.is_true(c:flush(SECONDS))
      assert.same({ 2, 3 }, { sub:pending(), sub:dropped() })
    end)

    it("tell the error handler, where a function gets the messages", function()
      in_loop(function()
        local heard, got = {}, 0
        local c = connect(nil, { onerror = function(...) heard[#heard + 1] = { ... } end })
        local other = connect()
        local go = false
        local sub = assert(c:subscribe("a", { pending_messages = 2 }, function()
          got = got + 1
          while not go do ipc.sleep(0.001) end
        end))
        assert.is_true(c:flush(SECONDS))
        for i = 1, 20 do assert(other:publish("a", i)) end
        assert.is_true(other:flush(SECONDS))
        assert.is_true(c:flush(SECONDS))
        go = true
        assert.is_true(sub:drain(SECONDS))
        assert.same({ { "subscription a: too slow, messages were dropped", "ENOBUFS" } }, heard)
        assert.equal(20, got + sub:dropped())
      end)
    end)

    it("hold up the connection, and nothing is lost", function()
      in_loop(function()
        local c, other = connect(), connect()
        local sub = assert(c:subscribe("a", { pending_messages = 10, overflow = "hold" }))
        local all = assert(c:subscribe "b") -- somebody always wants to read
        assert.is_true(c:flush(SECONDS))
        local writer = ipc.loop.current():wrap(function()
          for i = 1, 60 do assert(other:publish("a", ("%099d"):format(i) .. ("x"):rep(100000))) end
          assert(other:publish("b", "end"))
          assert.is_true(other:flush(SECONDS))
        end)
        local patience = ipc.now() + SECONDS
        while sub:pending() < 10 and ipc.now() < patience do assert.equal("ETIMEDOUT", (select(3, all:next(0.01)))) end
        assert.equal("ETIMEDOUT", (select(3, all:next(0.3))))
        assert.equal(10, sub:pending()) -- a message is more than one read
        for i = 1, 60 do assert.equal(i, tonumber(assert(sub:next(SECONDS)).data:sub(1, 99))) end
        assert.equal("end", assert(all:next(SECONDS)).data)
        assert.equal(0, sub:dropped())
        assert(writer:join())
      end)
    end)

    it("are checked", function()
      local c = connect()
      for _, case in ipairs {
        { { pending_messages = 0 }, "option 'pending_messages': positive integer expected" },
        { { pending_bytes = 1.5 }, "option 'pending_bytes': positive integer expected" },
        { { overflow = "x" }, "option 'overflow': \"drop\" or \"hold\" expected" },
      } do
        assert.has_error(function() c:subscribe("a", case[1]) end, "bad argument #2 to 'subscribe' (" .. case[2] .. ")")
      end
    end)
  end)

  describe("subscription:drain", function()
    both("loses nothing that has been sent, and ends", function()
      local c, other = connect(), connect()
      local sub = assert(c:subscribe "a")
      local got = {}
      local called = assert(c:subscribe("a", function(msg) got[#got + 1] = msg.data end))
      assert.is_true(c:flush(SECONDS))
      for i = 1, 100 do assert(other:publish("a", i)) end
      assert.is_true(other:flush(SECONDS))
      assert.is_true(called:drain(SECONDS))
      assert.equal(100, #got)
      assert.is_true(sub:drain(SECONDS))
      assert.is_true(sub:drain(SECONDS))
      assert(other:publish("a", "late"))
      assert.is_true(other:flush(SECONDS))
      for i = 1, 100 do assert.equal(tostring(i), assert(sub:next(SECONDS)).data) end
      local none, message, code = sub:next(SECONDS)
      assert.same({ nil, "subscription:next a: no more messages", "EOF" }, { none, message, code })
      assert.equal(100, #got)
      assert.equal("connected", c:status())
    end)

    it("may be asked for by the function itself", function()
      local c = connect()
      local got, sub = 0, nil
      sub = assert(c:subscribe("a", function()
        got = got + 1
        assert.is_true(sub:drain(SECONDS))
      end))
      for _ = 1, 3 do assert(c:publish("a", "")) end
      assert.is_true(c:flush(SECONDS))
      assert.is_true(sub:drain(SECONDS))
      assert.equal(3, got)
    end)

    it("says so when the server does not answer", function()
      local path = names.path ".sock"
      local deaf <close> = assert(ipc.socket.listen { path = path })
      local c
      in_loop(function()
        ipc.loop.current():wrap(function()
          local peer = deaf:accept(SECONDS)
          assert(peer:write('INFO {"server_id":"x","max_payload":1024,"headers":true}\r\n'))
          assert(peer:read "L")
          assert.equal("PING\r\n", peer:read "L")
          assert(peer:write "PONG\r\n")
          peer:read "a"
          peer:close()
        end)
        c = connect("unix://" .. path)
        local sub = assert(c:subscribe "a")
        local ok, message, code = sub:drain(0.01)
        assert.same({ nil, "subscription:drain a: timed out", "ETIMEDOUT" }, { ok, message, code })
        c:close()
      end)
    end)
  end)

  describe("onstatus", function()
    both("tells how the connection fares", function()
      local path = names.path ".sock"
      local first = assert(ipc.broker.start { path = path })
      local heard = {}
      local function status(what, detail, code)
        if what ~= "reconnecting" or heard[#heard][1] ~= what then heard[#heard + 1] = { what, detail, code } end
      end
      local c = connect(first:url(), { onstatus = status, onerror = function() end })
      assert.is_true(c:flush(SECONDS))
      first:close()
      while c:status() == "connected" do c:run(0.01) end
      local second = assert(ipc.broker.start { path = path })
      assert.is_true(c:flush(SECONDS))
      second:close()
      while c:status() == "connected" do c:run(0.01) end
      c:close()
      while heard[#heard][1] ~= "closed" do ipc.sleep(0.001) end
      local url, gone = "unix://" .. path, "the server closed the connection"
      assert.equal("closed", heard[#heard][1])
      assert.equal("ECANCELED", heard[#heard][3])
      local seen = {}
      for i, entry in ipairs(heard) do seen[i] = entry[1] end
      assert.same({ "connected", "disconnected", "reconnecting", "connected", "disconnected" }, table.move(seen, 1, 5, 1, {}))
      assert.same({ { "connected", url }, { "disconnected", gone, "ECONNRESET" } }, table.move(heard, 1, 2, 1, {}))
      assert.same({ "reconnecting", gone, "ECONNRESET" }, heard[3])
    end)

    it("is told when there are no more attempts", function()
      local first = assert(ipc.broker.start { path = names.path ".sock" })
      local heard = {}
      local c = connect(first:url(), { max_reconnects = 2, reconnect_wait = 0.001 })
      c:onstatus(function(what, _, code) heard[#heard + 1] = what .. (code and " " .. code or "") end)
      first:close()
      assert.is_nil((c:flush(SECONDS)))
      c:close()
      assert.same({ "disconnected ECONNRESET", "reconnecting ECONNRESET", "reconnecting ENOENT", "closed ENOENT" }, heard)
    end)

    it("hears of a server that will end, and of the others in its cluster", function()
      local listener <close> = assert(ipc.socket.listen { host = "127.0.0.1", port = 0 })
      local port = listener:getsockname().port
      in_loop(function()
        local peer
        local INFO = '{"server_id":"x","max_payload":1024,"headers":true,"connect_urls":["127.0.0.1:%d","10.0.0.1:1","[::1]:2",3,"a b"]%s}'
        ipc.loop.current():wrap(function()
          peer = listener:accept(SECONDS)
          peer:settimeout(SECONDS)
          assert(peer:write("INFO ", INFO:format(port, ""), "\r\n"))
          assert.matches('"auth_token":"tok"', assert(peer:read "L"))
          assert.equal("PING\r\n", peer:read "L")
          assert(peer:write "PONG\r\n")
          assert.equal("PING\r\n", peer:read "L")
          assert(peer:write("PONG\r\nINFO ", INFO:format(port, ',"ldm":true'), "\r\n"))
        end)
        local heard = {}
        local c = connect(("nats://tok@127.0.0.1:%d"):format(port), {
          onstatus = function(what, detail) heard[#heard + 1] = what .. " " .. detail end,
        })
        local url = ("nats://127.0.0.1:%d"):format(port)
        local known = c:servers()
        table.sort(known)
        assert.same({ "nats://10.0.0.1:1", url, "nats://[::1]:2" }, known)
        assert.is_true(c:flush(SECONDS))
        while #heard < 2 do c:run(0.001) end
        assert.same({ "connected " .. url, "lame duck " .. url }, heard)
        peer:close()
        c:close()
      end)
    end)
  end)

  describe("the list of servers", function()
    it("is taken in order, or in any", function()
      local firsts = {}
      local url = broker:url()
      local other <close> = assert(ipc.broker.start { path = names.path ".sock" })
      for _ = 1, 64 do
        local c = assert(ipc.connect(url .. "," .. other:url(), { randomize = true }))
        firsts[c:url()] = (firsts[c:url()] or 0) + 1
        c:close()
        c = assert(ipc.connect(url .. "," .. other:url()))
        assert.equal(url, c:url())
        assert.same({ other:url(), url }, c:servers())
        c:close()
      end
      assert.is_truthy(firsts[url])
      assert.is_truthy(firsts[other:url()])
    end)

    it("takes user and password from each URL, and keeps them out of what it says", function()
      local strict <close> = nats.start "authorization { user: u, password: \"p:@ %\" }"
      local c = connect(("nats://x:y@127.0.0.1:1,nats://u:p%%3A%%40%%20%%25@127.0.0.1:%d"):format(strict.port))
      assert.is_true(c:flush(SECONDS))
      assert.same({ "nats://127.0.0.1:1", "nats://127.0.0.1:" .. strict.port }, c:servers())
    end)

    it("leaves the host's random numbers alone", function()
      math.randomseed(42)
      local expected = { math.random(1000), math.random(1000) }
      math.randomseed(42)
      local first = math.random(1000)
      connect(nil, { randomize = true }):close()
      assert.same(expected, { first, math.random(1000) })
    end)
  end)
end)
