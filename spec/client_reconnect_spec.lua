-- The client when its connection is lost: it finds the broker again, or another one.
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"
local peer = require "support.peer"

local SECONDS = 30

describe("client, when the broker goes,", function()
  local clients = {}

  local function connect(url, options)
    options = options or {}
    options.timeout = options.timeout or SECONDS -- two seconds are not much where everything stands still
    local c = assert(ipc.connect(url, options))
    clients[#clients + 1] = c
    return c
  end
  after_each(function()
    for _, c in ipairs(clients) do c:close() end
    clients = {}
  end)

  -- The same test as a plain script and in a task.
  local function both(name, fn)
    it(name .. ", in a plain script", function() fn() end)
    it(name .. ", in a task", function()
      local loop <close> = assert(ipc.loop.new())
      loop:wrap(fn)
      assert.is_true(loop:run())
    end)
  end

  it("waits for a time of its own between two attempts", function()
    local broker = assert(ipc.broker.start { path = names.path ".sock" })
    local LONG = 1e6 -- so that the time that passes here is nothing
    local seen, count, list = {}, 0, {}
    for i = 1, 20 do list[i] = connect(broker:url(), { reconnect_wait = LONG, reconnect_max_wait = 8 * LONG }) end
    broker:stop()
    for i, c in ipairs(list) do
      local longest = LONG
      repeat c:run(0) until c:status() == "reconnecting" and c:timeout() > 0
      for _ = 1, i == 1 and 6 or 1 do
        local pause = c:timeout()
        assert.is_true(pause > longest / 2 - 1000 and pause <= longest, pause)
        if not seen[pause // 10] then count = count + 1 end
        seen[pause // 10] = true
        c.next_attempt = 0 -- it is time
        c:run(0)
        longest = math.min(2 * longest, 8 * LONG)
      end
    end
    assert.is_true(count > 20, count) -- of 25: two may be the same by chance
    broker:close()
  end)

  it("waits for a server that takes it only to drop it again", function()
    local LONG = 1000000
    local path = names.path ".sock"
    local listener <close> = assert(ipc.socket.listen { path = path })
    local server <close> = assert(ipc.process.fork(function()
      for _ = 1, 4 do
        local socket <close> = assert(listener:accept(SECONDS))
        socket:settimeout(SECONDS)
        assert(socket:write "INFO {}\r\n")
        repeat local line = assert(socket:read "L") until line == "PING\r\n"
        assert(socket:write "PONG\r\n")
      end
    end, { kill_on_close = true }))
    local c = connect("unix://" .. path, { reconnect_wait = LONG, reconnect_max_wait = 8 * LONG })
    repeat c:run(0.01) until c:stats().disconnects >= 2 -- to be dropped once may be chance
    for times = 2, 3 do
      assert.equal(times, c:stats().disconnects)
      local pause, longest = c:timeout(), LONG << times - 2
      assert.is_true(pause > longest / 2 - 1000 and pause <= longest, pause)
      c.next_attempt = 0 -- it is time
      repeat c:run(0.01) until c:stats().disconnects > times
    end
    assert.is_true(assert(server:wait(SECONDS)).ok)
    c:close()
  end)

  both("connects again, subscribes again, and sends what was published meanwhile", function()
    local path = names.path ".sock"
    local first = assert(ipc.broker.start { path = path })
    local lost = 0
    local c = connect(first:url(), { onerror = function(_, code) if code == "ECONNRESET" then lost = lost + 1 end end })
    local sub = assert(c:subscribe "a")
    assert.is_true(c:flush(SECONDS))
    first:stop()
    assert.same({ 0, 0 }, { c:stats().disconnects, c:stats().reconnects })
    local none, message, code = sub:next(SECONDS)
    assert.is_nil(none)
    assert.equal(
      "subscription:next a: connection lost, messages may be missing (the server closed the connection)", message)
    assert.equal("ECONNRESET", code)
    assert.equal("reconnecting", c:status())
    assert.equal("ENOTCONN", (select(3, c:pollfd())))
    assert.is_number(c:timeout())
    assert.is_string(c:stats().last_error)
    assert.equal(1 << 20, c:stats().max_payload)
    assert.equal("EMSGSIZE", (select(3, c:publish("a", ("x"):rep(2 << 20))))) -- it would cost the next connection
    assert(c:publish("a", "meanwhile"))
    local second = assert(ipc.broker.start { path = path, max_payload = 4096 })
    assert.equal("meanwhile", assert(sub:next(SECONDS)).data)
    assert.equal(4096, c:stats().max_payload)
    assert.equal("connected", c:status())
    assert.is_true(c:flush(SECONDS))
    assert.equal(1, lost)
    assert.same({ 1, 1 }, { c:stats().disconnects, c:stats().reconnects })
    c:close()
    second:close()
    first:close()
  end)

  both("says by flush what has become of the connection, where there is no handler", function()
    local path = names.path ".sock"
    local first = assert(ipc.broker.start { path = path })
    local c = connect(first:url())
    local sub = assert(c:subscribe "a")
    assert(c:publish("a", "1"))
    assert(sub:next(SECONDS))
    first:stop()
    while sub:next(0.01) or c:status() == "connected" do end
    local second = assert(ipc.broker.start { path = path })
    local ok, message, code = c:flush(SECONDS)
    assert.same({ nil, ("client:flush unix://%s: connection lost, what was published before may be lost "
      .. "(the server closed the connection)"):format(path), "ECONNRESET" }, { ok, message, code })
    assert.is_true(c:flush(SECONDS))
    c:close()
    second:close()
  end)

  both("says by flush, once, that what was published before may be lost", function()
    local path = names.path ".sock"
    local first = assert(ipc.broker.start { path = path })
    local c = connect(first:url(), { onerror = function() end })
    local sub = assert(c:subscribe "a")
    assert.is_true(c:publish("a", "1") and c:flush(SECONDS))
    assert(c:publish("a", "2"))
    first:stop()
    while sub:next(0.01) or c:status() == "connected" do end
    assert(c:publish("a", "3"))
    local second = assert(ipc.broker.start { path = path })
    local ok, message, code = c:flush(SECONDS)
    assert.same({ nil, "client:flush unix://" .. path .. ": connection lost, what was published before may be lost", "ECONNRESET" },
      { ok, message, code })
    assert.is_true(c:flush(SECONDS))
    -- a loss that took nothing is none
    second:stop()
    while sub:next(0.01) or c:status() == "connected" do end
    local third = assert(ipc.broker.start { path = path })
    assert.is_true(c:flush(SECONDS))
    c:close()
    for _, broker in ipairs { first, second, third } do broker:close() end
  end)

  both("does not make a subscription again that is being drained", function()
    local path = names.path ".sock"
    local first = assert(ipc.broker.start { path = path })
    local c = connect(first:url(), { onerror = function() end })
    local sub = assert(c:subscribe "a")
    assert.is_true(c:flush(SECONDS))
    first:stop()
    assert.equal("ETIMEDOUT", (select(3, sub:drain(0.05))))
    local second = assert(ipc.broker.start { path = path })
    assert.is_true(c:flush(SECONDS))
    local raw = nats.open(second:url())
    assert(raw:write "PUB a 1\r\nx\r\n")
    nats.sync(raw)
    assert.is_true(c:flush(SECONDS))
    assert.equal(0, sub:pending())
    raw:close()
    assert.is_true(sub:drain(SECONDS))
    c:close()
    first:close()
    second:close()
  end)

  both("goes to the next of several", function()
    local a = assert(ipc.broker.start { path = names.path ".sock" })
    local b = assert(ipc.broker.start { path = names.path ".sock" })
    local c = connect("unix:///nonexistent/x.sock, " .. a:url() .. "," .. b:url())
    assert.equal(a:url(), c:url())
    local sub = assert(c:subscribe "a")
    assert.is_true(c:flush(SECONDS))
    a:stop()
    local raw = nats.open(b:url())
    local msg
    repeat -- until it has arrived there
      assert(raw:write "PUB a 1\r\nx\r\n")
      msg = sub:next(0.01)
    until msg
    assert.equal(b:url(), c:url())
    raw:close()
    c:close()
    a:close()
    b:close()
  end)

  -- What was held when the connection broke comes first, then the gap, then what comes after it.
  both("says once, in its place, that messages may be missing", function()
    local path = names.path ".sock"
    local first = assert(ipc.broker.start { path = path })
    local c = connect(first:url())
    local sub, other = assert(c:subscribe "a"), assert(c:subscribe "b")
    local called = 0
    assert(c:subscribe("c", function() called = called + 1 end))
    for _, data in ipairs { "1", "2" } do assert(c:publish("a", data)) end
    assert.is_true(c:flush(SECONDS))
    first:stop()
    assert.equal("ECONNRESET", (select(3, other:next(SECONDS))))
    assert.equal(2, sub:pending())
    local second = assert(ipc.broker.start { path = path })
    assert(c:publish("a", "3"))
    local none, _, code = other:next(0.01)
    while not none and code == "ETIMEDOUT" and c:status() ~= "connected" do none, _, code = other:next(0.01) end
    assert.equal("ETIMEDOUT", code)
    assert.equal("1", assert(sub:next(SECONDS)).data)
    assert.equal("2", assert(sub:next(SECONDS)).data)
    local missing, message
    missing, message, code = sub:next(SECONDS)
    assert.is_nil(missing)
    assert.equal("ECONNRESET", code, message)
    assert.equal("3", assert(sub:next(SECONDS)).data)
    assert.equal(0, sub:pending())
    assert.is_true(c:publish("c", "x") and sub:unsubscribe())
    local _, lost, why = c:flush(SECONDS) -- nobody had set onerror
    assert.equal("ECONNRESET", why)
    assert.equal(("client:flush unix://%s: connection lost: the server closed the connection"):format(path), lost)
    assert.is_true(c:flush(SECONDS))
    assert.equal(0, c:stats().messages_held - (1 - called))
    second:stop()
    assert.has_error(function() for _ in other:messages(SECONDS) do error "a message" end end,
      "subscription:next b: connection lost, messages may be missing (the server closed the connection)")
    c:close()
    first:close()
    second:close()
  end)

  it("warns where there is no handler", function()
    local out = peer.run([[
      warn = function(...) print(...) end
      local broker = assert(ipc.broker.start { path = arg[1] })
      local c = assert(ipc.connect(broker:url()))
      c:subscribe("a", print)
      broker:stop()
      c:run(0.01)
      while c:status() == "connected" do c:run(0.01) end
      c:close()
    ]], names.path ".sock")
    assert.matches("^lipc%.client \tunix://[^\t]*\t: \tthe server closed the connection\n$", out)
  end)

  -- One process: the reader starts when the broker has just lost its patience, and so in time for the last word.
  it("learns that it was too slow, after every message that came before", function()
    local loop <close> = assert(ipc.loop.new())
    local broker = assert(ipc.broker.new { path = names.path ".sock", write_deadline = 0.1 }:wrap(loop))
    local heard, got = {}, 0
    loop:wrap(function()
      local c = connect(broker:url(), { onerror = function(...) heard[#heard + 1] = { ... } end })
      local publisher = connect(broker:url())
      local sub = assert(c:subscribe "a")
      assert.is_true(c:flush(SECONDS))
      local writer = loop:wrap(function()
        for i = 1, 200 do assert(publisher:publish("a", ("%010d"):format(i):rep(1000), { headers = { N = i } })) end
        assert.is_true(publisher:flush(SECONDS))
      end)
      while broker:stats().slow_consumers == 0 do ipc.sleep(0.001) end
      assert(broker:reload { write_deadline = SECONDS }) -- once is enough
      local msg, message, code = sub:next(SECONDS)
      while msg do
        got = got + 1
        assert.equal(tostring(got), msg.headers.N)
        msg, message, code = sub:next(SECONDS)
      end
      assert.equal("subscription:next a: connection lost, messages may be missing (Slow Consumer)", message)
      assert.equal("ECONNRESET", code)
      assert(writer:join())
      assert(publisher:publish("a", "after"))
      assert.is_true(publisher:flush(SECONDS))
      assert.is_true(c:flush(SECONDS))
      assert(publisher:publish("a", "last"))
      repeat msg = assert(sub:next(SECONDS)) until msg.data == "last"
      assert.same({ 1, 1 }, { c:stats().disconnects, c:stats().reconnects })
      assert.equal(1, broker:stats().slow_consumers)
      c:close()
      publisher:close()
      broker:stop()
    end)
    assert.is_true(loop:run())
    assert.is_true(got > 0 and got < 200, got)
    assert.same({ { "Slow Consumer", "ENOBUFS" } }, heard)
  end)

  both("gives up where it is told to", function()
    local a = assert(ipc.broker.start { path = names.path ".sock" })
    local c = connect(a:url(), { reconnect = false })
    local d = connect(a:url(), { max_reconnects = 2, reconnect_wait = 0.001 })
    local sub = assert(c:subscribe "a")
    a:stop()
    local none, message, code = sub:next(SECONDS)
    assert.is_nil(none)
    assert.equal("ECONNRESET", code)
    assert.matches("closed the connection", message)
    assert.equal("closed", c:status())
    assert.equal("ECONNRESET", (select(3, c:publish("a", "x")))) -- nobody had closed it: no misuse
    assert.is_true(c:close())
    assert.has_error(function() c:publish("a", "x") end, "bad argument #1 to 'publish' (closed client)")
    none, message, code = d:flush(SECONDS)
    assert.is_nil(none)
    assert.equal("ENOENT", code, message)
    a:close()
  end)

  both("gathers so much and no more", function()
    local a = assert(ipc.broker.start { path = names.path ".sock" })
    local c = connect(a:url(), { reconnect_buffer = 10000 })
    local sub = assert(c:subscribe "a")
    a:stop()
    repeat sub:next(0.001) until c:status() == "reconnecting"
    local count = 0
    local ok, message, code -- luacheck: ignore
    repeat
      ok, message, code = c:publish("a", ("x"):rep(1000))
      if ok then count = count + 1 end
    until not ok
    assert.equal("ENOBUFS", code)
    assert.matches("^client:publish a: ", message)
    assert.is_true(count > 5 and count < 10, count)
    ok, message, code = c:close()
    assert.is_nil(ok)
    assert.matches("not everything could be sent", message)
    assert.is_string(code)
    a:close()
  end)
end)
