local nats_client_parser = require "lipc.proto.nats_client_parser"
local support = require "spec.proto_support"

local function events_of(input, step)
  local handler, events = support.recorder()
  support.feed_cut(nats_client_parser.new(handler), input, step or #input)
  return events
end

local function event(name, ...)
  local handler, events = support.recorder()
  handler[name](handler, ...)
  return events[1]
end

local SESSION = 'INFO {"a":1} \r\n+OK\r\nMSG a 1 2\r\nhi\r\nMSG a.b 12 r.1 3\r\n\r\nx\r\nMSG a 1 0\r\n\r\nHMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n'
  .. "hmsg\ta 1 r 12 12\r\nNATS/1.0\r\n\r\n\r\nmsg  a 1 2 \r\nho\r\nPING\r\npong\r\n-ERR 'Some Error'\r\n-ERR bare\n+OK\n"

local EXPECTED = {
  event("info", '{"a":1} '),
  event "ok",
  event("msg", "a", "1", nil, "hi"),
  event("msg", "a.b", "12", "r.1", "\r\nx"),
  event("msg", "a", "1", nil, ""),
  event("hmsg", "a", "1", nil, "hi", "NATS/1.0\r\n\r\n"),
  event("hmsg", "a", "1", "r", "", "NATS/1.0\r\n\r\n"),
  event("msg", "a", "1", nil, "ho"),
  event "ping",
  event "pong",
  event("err", "Some Error"),
  event("err", "bare"),
  event "ok",
}

describe("proto.nats_client_parser", function ()
  it("takes lines that come again and again for what they are", function ()
    local input, expected = {}, {}
    local function add(subject, sid, reply, data)
      input[#input + 1] = ("MSG %s %s %s%d\r\n%s\r\n"):format(subject, sid, reply and reply .. " " or "", #data, data)
      expected[#expected + 1] = event("msg", subject, sid, reply, data)
    end
    for _, data in ipairs { "aa", "bb", "\r\n", "cc", "M ", "dd" } do add("a", "1", nil, data) end
    for _ = 1, 3 do add("a", "2", nil, "ee") end
    add("a", "2", "2", "x") -- begins as the line before
    for _ = 1, 3 do add("a", "2", "r", "ff") end
    for _ = 1, 3 do add("ab", "2", nil, "") end
    input = table.concat(input)
    for step = 1, #input do assert.same(expected, events_of(input, step)) end
    local good = ("MSG a 1 2\r\nhi\r\n"):rep(4)
    local events = events_of(good .. "MSG a 1 2\r\nhixx" .. good)
    assert.equal(5, #events)
    assert.matches("^fail", events[5])
  end)

  it("gives every operation, in any spelling", function ()
    assert.same(EXPECTED, events_of(SESSION))
  end)

  it("gives the same for every two pieces, and for pieces of every size", function ()
    for at = 1, #SESSION - 1 do
      local handler, events = support.recorder()
      local parser = nats_client_parser.new(handler)
      parser:feed(SESSION:sub(1, at))
      parser:feed(SESSION:sub(at + 1))
      assert.same(EXPECTED, events, "cut after " .. at)
    end
    for step = 1, #SESSION do
      assert.same(EXPECTED, events_of(SESSION, step), "pieces of " .. step)
    end
  end)

  it("refuses what is malformed", function ()
    for _, line in ipairs { "MSG ", "MSG a 1", "MSG a 1 x", "MSG a b c d 1", "HMSG a 1 2", "HMSG a 1 3 2", "HMSG a 1 r x 1" } do
      assert.same({ 'fail("Parser Error")' }, events_of(line .. "\r\n"), line)
    end
    for _, line in ipairs { "", "PUB a 0", "INFO", "HTTP/1.1 400 Bad Request", "SSH-2.0-x" } do
      assert.same({ 'fail("Unknown Protocol Operation")' }, events_of(line .. "\r\n"), line)
    end
  end)

  it("takes lines and messages that a client would not be allowed", function ()
    local info = '{"connect_urls":["' .. ("x"):rep(60000) .. '"]}'
    assert.same({ event("info", info) }, events_of("INFO " .. info .. "\r\n", 1000))
    local data = ("x"):rep(3 << 20)
    assert.same({ event("msg", "a", "1", nil, data) }, events_of("MSG a 1 " .. #data .. "\r\n" .. data .. "\r\n", 65536))
  end)
end)
