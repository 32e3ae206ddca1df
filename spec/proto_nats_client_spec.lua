local headers = require "lipc.proto.headers"
local nats_client = require "lipc.proto.nats_client"
local nats_server = require "lipc.proto.nats_server"

local INFO = 'INFO {"server_id":"x","headers":true,"max_payload":1000}\r\n'

describe("proto.nats_client", function ()
  local errors
  before_each(function () errors = {} end)

  local function new(options)
    options = options or {}
    options.unique = options.unique or "me"
    options.on_error = function (_, text, code, fatal) table.insert(errors, { text, code, fatal }) end
    return nats_client.new(options)
  end

  local function ready(options)
    local client = new(options)
    client:feed(INFO)
    client:take()
    client:feed "PONG\r\n"
    return client
  end

  it("greets when it has got INFO, and is ready at the answer", function ()
    local told = {}
    local client = new {
      name = "n", user = "u", pass = "p",
      on_ready = function () table.insert(told, "ready") end,
      on_info = function (_, info) table.insert(told, info.server_id) end,
    }
    assert.equal("", client:take())
    client:feed(INFO)
    assert.equal("greeting", client.state)
    assert.equal('CONNECT {"verbose":false,"pedantic":false,"echo":true,"headers":true,"no_responders":true,"protocol":1,"name":"n",'
      .. '"lang":"lua","version":"0","user":"u","pass":"p"}\r\nPING\r\n', client:take())
    assert.equal("", client:take())
    client:feed "+OK\r\nPONG\r\n"
    assert.equal("ready", client.state)
    client:feed(INFO:gsub('"x"', '"y"'))
    assert.equal("", client:take())
    assert.same({ "x", "ready", "y" }, told)
  end)

  it("asks for no headers from a server that has none", function ()
    local client = new()
    client:feed 'INFO {}\r\n'
    assert.matches('"headers":false,"no_responders":false', client:take())
    client:feed "PONG\r\n"
    assert.same({ nil, "the server does not take headers", "ENOTSUP" }, { client:publish("a", "x", nil, headers.encode {}) })
    assert.is_true(client:publish("a", "x"))
  end)

  it("encodes what it publishes", function ()
    local client = ready()
    local block = headers.encode { A = "b" }
    assert.is_true(client:publish("a.b", "hi"))
    assert.is_true(client:publish("a.b", "", "r"))
    assert.is_true(client:publish("a.b", "hi", nil, block))
    assert.is_true(client:publish("a.b", "hi", "r", block))
    local expected = "PUB a.b 2\r\nhi\r\nPUB a.b r 0\r\n\r\nHPUB a.b 18 20\r\n" .. block .. "hi\r\nHPUB a.b r 18 20\r\n" .. block .. "hi\r\n"
    local before = client.pending
    assert.equal(expected, client:take())
    client:wrote(#expected)
    assert.equal(before - #expected, client.pending)
  end)

  it("refuses what the server would not take", function ()
    local client = ready()
    local bytes = client.pending
    for _, bad in ipairs { "", "a..b", "a b", "a.*", ">", "a\r\nPUB b", "a\n" } do
      local ok, message, code = client:publish(bad, "x")
      assert.is_nil(ok, bad)
      assert.is_string(message)
      assert.equal("EINVAL", code)
    end
    assert.equal("EINVAL", select(3, client:publish("a", "x", "r r")))
    assert.equal("EINVAL", select(3, client:subscribe("a..b", nil, print)))
    assert.equal("EINVAL", select(3, client:subscribe("a", "g g", print)))
    assert.same({ nil, "a queue's name is empty or has blanks", "EINVAL" }, { client:subscribe("a", "", print) })
    assert.equal("EMSGSIZE", select(3, client:publish("a", ("x"):rep(1001))))
    assert.is_true(client:publish("a", ("x"):rep(1000)))
    assert.equal("PUB a 1000\r\n" .. ("x"):rep(1000) .. "\r\n", client:take())
    assert.is_true(client.pending > bytes)
    client:reset()
    assert.equal("EMSGSIZE", select(3, client:publish("a", ("x"):rep(1001))))
    client:feed(INFO:gsub("1000", "2000"))
    assert.is_true(client:publish("a", ("x"):rep(1001)))
  end)

  it("remembers a bounded number of subjects", function ()
    local client = ready()
    for i = 1, 3000 do
      assert.is_true(client:publish("s." .. i, ""))
    end
    local known = 0
    for _ in pairs(client.subjects) do known = known + 1 end
    assert.is_true(known <= 1024)
    assert.matches("^PUB s.1 0\r\n\r\n.*PUB s.3000 0\r\n\r\n$", client:take())
  end)

  it("subscribes and hands out messages", function ()
    local client, got = ready(), {}
    local function note(...) got[#got + 1] = { ... } end
    client:subscribe("a.*", nil, note)
    local second = client:subscribe("b", "g", note)
    assert.equal("SUB a.* 1\r\nSUB b g 2\r\n", client:take())
    client:feed "MSG a.x 1 2\r\nhi\r\nMSG b 2 r 2\r\nho\r\nHMSG b 2 12 13\r\nNATS/1.0\r\n\r\n!\r\nMSG z 9 0\r\n\r\n"
    assert.same({ { "a.x", nil, "hi" }, { "b", "r", "ho" }, { "b", nil, "!", "NATS/1.0\r\n\r\n" } }, got)
    client:unsubscribe(second)
    client:unsubscribe(second)
    assert.equal("UNSUB 2\r\n", client:take())
    client:feed "MSG b 2 2\r\nhi\r\n"
    assert.equal(3, #got)
  end)

  it("ends a subscription after its maximum", function ()
    local client, got = ready(), 0
    local one = client:subscribe("a", nil, function () got = got + 1 end, 2)
    assert.equal("SUB a 1\r\nUNSUB 1 2\r\n", client:take())
    client:feed(("MSG a 1 0\r\n\r\n"):rep(3))
    assert.equal(2, got)
    assert.is_nil(next(client.subscriptions))
    client:unsubscribe(one)
    assert.equal("", client:take())
    local other = client:subscribe("a", nil, function () got = got + 1 end)
    client:feed(("MSG a 2 0\r\n\r\n"):rep(3))
    client:unsubscribe(other, 3)
    assert.equal("SUB a 2\r\nUNSUB 2\r\n", client:take())
  end)

  it("subscribes again on a new connection, before what was published meanwhile", function ()
    local client, got = new(), 0
    client:subscribe("early", nil, function () end)
    client:publish("p", "0")
    assert.equal("", client:take())
    client:feed(INFO)
    assert.matches("^CONNECT [^\n]*\nPING\r\n$", client:take())
    assert.equal("", client:take())
    client:feed "PONG\r\n"
    assert.equal("SUB early 1\r\nPUB p 1\r\n0\r\n", client:take())

    local limited = client:subscribe("limited", "g", function () got = got + 1 end, 3)
    local gone = client:subscribe("gone", nil, function () end)
    client:take()
    client:feed "MSG limited 2 0\r\n\r\nMSG limi"
    client:publish("p", "1")
    client:reset()
    assert.equal("waiting", client.state)
    client:unsubscribe(gone)
    client:publish("p", "2")
    local late = client:subscribe("late", nil, function () end)
    client:feed(INFO)
    client:take()
    client:feed "PONG\r\n"
    assert.equal("SUB early 1\r\nSUB limited g 2\r\nUNSUB 2 2\r\nSUB late 4\r\nPUB p 1\r\n1\r\nPUB p 1\r\n2\r\n", client:take())
    client:feed(("MSG limited 2 0\r\n\r\n"):rep(3))
    assert.equal(3, got)
    assert.is_nil(client.subscriptions[limited.sid])
    assert.equal(late, client.subscriptions[late.sid])
  end)

  it("counts what is pending over a new connection", function ()
    local client = ready()
    client:publish("a", "1234")
    client:take()
    client:publish("a", "1234")
    client:reset()
    assert.equal(#"PUB a 4\r\n1234\r\n", client.pending)
    client:feed(INFO)
    client:wrote(#client:take())
    client:feed "PONG\r\n"
    client:wrote(#client:take())
    assert.equal(0, client.pending)
  end)

  it("answers PING in any state, and knows which PONG is whose", function ()
    local client, answered = new(), {}
    client:feed(INFO .. "PING\r\n")
    assert.matches("PONG\r\n$", client:take())
    client:feed "PONG\r\nPING\r\n"
    client:send_ping(function (ok) table.insert(answered, ok and 1) end)
    client:send_ping()
    client:send_ping(function (ok, message, code) table.insert(answered, { ok or false, message, code }) end)
    assert.equal("PONG\r\nPING\r\nPING\r\nPING\r\n", client:take())
    assert.equal(3, client.pings_out)
    client:feed "PONG\r\nPONG\r\n"
    assert.same({ 1 }, answered)
    assert.equal(1, client.pings_out)
    client:reset()
    assert.same({ 1, { false, "connection lost", "ECONNRESET" } }, answered)
    assert.equal(0, client.pings_out)
    client:feed(INFO .. "PONG\r\nPONG\r\n")
    assert.equal("ready", client.state)
    assert.equal(0, client.pings_out)
  end)

  it("tells the next connection what is left of a maximum, not what was to be told to the last", function ()
    local client = ready()
    local sub = assert(client:subscribe("a", "q", function () end))
    client:wrote(#client:take())
    client:feed(("MSG a 1 1\r\nx\r\n"):rep(4))
    client:unsubscribe(sub, 10)
    assert(client:subscribe("b", nil, function () end))
    assert(client:publish("c", "UNSUB 1\r\n"))
    client:reset()
    client:feed(INFO)
    client:wrote(#client:take())
    client:feed "PONG\r\n"
    local lines = client:take()
    assert.equal("SUB a q 1\r\nUNSUB 1 6\r\nSUB b 2\r\nPUB c 9\r\nUNSUB 1\r\n\r\n", lines)
    client:wrote(#lines)
    assert.equal(0, client.pending)
  end)

  it("does not take the answer to a PING of the last connection for another's", function ()
    local client, answered = ready(), {}
    client:send_ping(function (ok) table.insert(answered, ok or "lost") end)
    client:reset()
    client:feed(INFO)
    client:take()
    client:feed "PONG\r\n"
    client:send_ping(function (ok) table.insert(answered, ok or "lost") end)
    assert.equal("PING\r\nPING\r\n", client:take())
    client:feed "PONG\r\n"
    assert.same({ "lost" }, answered)
    client:feed "PONG\r\n"
    assert.same({ "lost", true }, answered)
  end)

  it("sends all requests' answers to one inbox", function ()
    local client, got = ready(), {}
    local function note(...) got[#got + 1] = { n = select("#", ...), ... } end
    local first = client:request("svc", "1", nil, note)
    local second = client:request("svc", "2", headers.encode { A = "b" }, note)
    client:request("svc", "3", nil, note)
    assert.equal("SUB _INBOX.me.* 1\r\nPUB svc _INBOX.me.1 1\r\n1\r\nHPUB svc _INBOX.me.2 18 19\r\nNATS/1.0\r\nA: b\r\n\r\n2\r\n"
      .. "PUB svc _INBOX.me.3 1\r\n3\r\n", client:take())
    client:forget(first)
    client:feed "MSG _INBOX.me.1 1 4\r\nlate\r\nHMSG _INBOX.me.3 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\nMSG _INBOX.me.2 1 back 3\r\nyes\r\n"
    client:feed "MSG _INBOX.me.2 1 5\r\nagain\r\nMSG _INBOX.me.99 1 0\r\n\r\n"
    assert.same({ { n = 3, nil, "no responders", "ENORESPONDERS" }, { n = 4, "_INBOX.me.2", "back", "yes", nil } }, got)
    assert.equal("string", type(second))
    assert.is_nil(next(client.requests))
    assert.equal("EINVAL", select(3, client:request("a..b", "", nil, note)))
    assert.is_nil(next(client.requests))
  end)

  it("tells of what the server refuses whoever had asked for it", function ()
    local client, got = ready(), {}
    local function ask(subject, name)
      client:request(subject, "", nil, function (...) got[#got + 1] = table.concat({ name, tostring((...)), select(2, ...) }, "|") end)
    end
    local function refuse(what) client:feed("-ERR 'Permissions Violation for " .. what .. "'\r\n") end
    for i = 1, 11 do ask("no", i) end
    ask("yes", "y")
    ask('q"\u{e4}', "quoted")
    client:publish("no", "")
    refuse 'Publish to "no"'
    assert.same({ '1|nil|Permissions Violation for Publish to "no"|EPERM' }, got)
    for _ = 2, 11 do refuse 'Publish to "no"' end
    assert.same({ 11, '11|nil|Permissions Violation for Publish to "no"|EPERM' }, { #got, got[11] }) -- in the order of numbers
    assert.same({}, errors)
    refuse 'Publish to "no"' -- that was no request
    refuse 'Publish to "q"'
    assert.same({ 'Permissions Violation for Publish to "no"', 'Permissions Violation for Publish to "q"' },
      { errors[1][1], errors[2][1] })
    refuse 'Publish to "q\\"\u{e4}"'
    assert.matches("^quoted|nil|", got[12])
    ask("no", "again")
    refuse 'Publish to "no"'
    assert.matches("^again|nil|", got[13])
    assert.equal(2, #errors)

    -- the inbox: nobody can be answered
    client:take()
    refuse 'Subscription to "_INBOX.me.*"'
    assert.equal('y|nil|Permissions Violation for Subscription to "_INBOX.me.*", so that no answer can come|EPERM', got[14])
    ask("yes", "y2")
    assert.matches("^SUB _INBOX%.me%.%* 2\r\nPUB yes _INBOX%.me%.", client:take())
    refuse 'Subscription to "_INBOX.me.*"'
    assert.matches("^y2|nil|", got[15])
    assert.is_nil(next(client.requests) or next(client.asked) or next(client.subscriptions))
    assert.equal(2, #errors)
    client:new_inbox()
    refuse 'Subscription to "_INBOX.me.*"'
    assert.equal(3, #errors) -- nobody has asked

    -- subscriptions, by subject and group, or by number
    got = {}
    local function listen(subject, queue, told)
      client:subscribe(subject, queue, print).refused = function (text, code)
        got[#got + 1] = subject .. (queue or "") .. text:match "[^ ]*$" .. code
        return told
      end
    end
    listen("a", nil, false)
    listen("a", "g", true)
    refuse 'Subscription to "a"'
    assert.equal(4, #errors)
    refuse 'Subscription to "a" using queue "g"'
    assert.equal(4, #errors)
    refuse 'Subscription to "a" using queue "h"'
    refuse 'Subscription to "a" (sid "4")'
    refuse 'Subscription to "b"'
    refuse 'Dancing'
    assert.same({ 'a"a"EPERM', 'ag"g"EPERM', 'a"4")EPERM' }, got)
    assert.equal(8, #errors)
  end)

  it("tells whoever waits that it is closed, and takes nothing more", function ()
    local client, told = ready(), {}
    client:request("svc", "1", nil, function (...) table.insert(told, { ... }) end)
    client:send_ping(function (...) table.insert(told, { ... }) end)
    client:close "bye"
    client:close "bye"
    assert.same({ { nil, "bye", "ECONNRESET" }, { nil, "bye", "ECONNRESET" } }, told)
    assert.equal("ECONNRESET", select(3, client:publish("a", "")))
    assert.equal("ECONNRESET", select(3, client:subscribe("a", nil, print)))
    assert.is_false(client:feed "PING\r\n")
    assert.equal("", client:take())
    assert.equal(0, client.pending)
  end)

  it("needs a name for its inbox", function ()
    assert.has_error(function () nats_client.new():request("a", "", nil, print) end)
    assert.has_error(function () nats_client.new({ unique = "a b" }):new_inbox() end)
    assert.are_not.equal(ready():new_inbox(), ready({ unique = "you" }):new_inbox())
  end)

  it("tells errors that are the end from others", function ()
    local cases = {
      { "Permissions Violation for Publish to \"a\"", "EPERM", false }, { "Invalid Subject", "EINVAL", false },
      { "maximum subscriptions exceeded", "ENOBUFS", false }, { "Invalid Publish Subject", "EINVAL", false },
      { "Authorization Violation", "EACCES", true }, { "Authorization Timeout", "EACCES", true }, { "Stale Connection", "ETIMEDOUT", true },
      { "Unknown Protocol Operation", "EPROTO", true }, { "maximum control line exceeded", "EMSGSIZE", true },
      { "Maximum Payload Violation", "EMSGSIZE", true }, { "Slow Consumer", "ENOBUFS", true }, { "who knows", "EPROTO", true },
    }
    for _, case in ipairs(cases) do
      errors = {}
      local client = ready()
      assert.equal(not case[3], client:feed("-ERR '" .. case[1] .. "'\r\n"))
      assert.same({ case }, errors)
      assert.equal(case[3] and case[1] or nil, client.failure)
    end
  end)

  it("survives a server that does not speak the protocol", function ()
    for _, input in ipairs { "SSH-2.0\r\n", "INFO [\r\n", "INFO 7\r\n", 'INFO {"a"}\r\n', "MSG a\r\n", "HMSG a 1 9 1\r\n" } do
      errors = {}
      local client = new()
      assert.is_false(client:feed(input), input)
      assert.equal(1, #errors)
      assert.equal("EPROTO", client.failure_code)
      client:reset()
      assert.is_true(client:feed(INFO))
    end
    local client = new()
    client:feed 'INFO {"max_payload":"x","headers":7}\r\nPONG\r\n'
    assert.is_true(client:publish("a", "x"))
  end)

  it("says when there is something to write", function ()
    local said = 0
    local client = ready { on_data = function () said = said + 1 end }
    said = 0
    client:publish("a", "x")
    client:publish("a", "x")
    assert.equal(1, said)
    client:take()
    client:subscribe("a", nil, print)
    assert.equal(2, said)
    client:reset()
    client:publish("b", "x")
    client:subscribe("b", nil, print)
    assert.equal(2, said)
    client:feed(INFO)
    assert.equal(3, said)
    client:take()
    client:feed "PONG\r\n"
    assert.equal(4, said)
  end)

  it("works with the server: publish, groups, requests, nobody there", function ()
    local server = nats_server.new()
    local pairs_of = {}
    local function connect(name)
      local client, session = new { unique = name }, server:session()
      pairs_of[#pairs_of + 1] = { client, session }
      return client
    end
    -- Moves bytes until all is quiet.
    local function settle()
      repeat
        local moved = false
        for _, pair in ipairs(pairs_of) do
          local client, session = pair[1], pair[2]
          local down = session:take()
          session:wrote(#down)
          if down ~= "" then client:feed(down) end
          local up = client:take()
          client:wrote(#up)
          if up ~= "" then session:feed(up) end
          moved = moved or down ~= "" or up ~= ""
        end
      until not moved
    end
    local asker, workers, worked = connect "asker", {}, 0
    for i = 1, 3 do
      workers[i] = connect("worker" .. i)
      workers[i]:subscribe("jobs.*", "workers", function (_, reply, data)
        worked = worked + 1
        workers[i]:publish(reply, data:upper())
      end)
    end
    settle()
    local answers = {}
    for i = 1, 50 do
      asker:request("jobs.add", "job" .. i, nil, function (_, _, data) answers[i] = data end)
    end
    local refused
    asker:request("nobody", "x", nil, function (_, _, code) refused = code end)
    settle()
    assert.equal(50, worked)
    for i = 1, 50 do
      assert.equal("JOB" .. i, answers[i])
    end
    assert.equal("ENORESPONDERS", refused)
    assert.same({}, errors)
    for _, pair in ipairs(pairs_of) do
      assert.equal(0, pair[1].pending)
      assert.equal(0, pair[2].pending)
    end
  end)
end)
