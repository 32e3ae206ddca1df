local nats_server_parser = require "lipc.proto.nats_server_parser"
local support = require "spec.proto_support"

local function events_of(input, step)
  local handler, events = support.recorder()
  support.feed_cut(nats_server_parser.new(handler), input, step or #input)
  return events
end

local function event(name, ...)
  local handler, events = support.recorder()
  handler[name](handler, ...)
  return events[1]
end

local SESSION = 'CONNECT {"verbose":false}\r\nPUB a 2\r\nhi\r\nPUB a.b r.1 3\r\n\r\nx\r\nPUB a 0\r\n\r\nHPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n'
  .. "hpub\ta  r\t12 12 \r\nNATS/1.0\r\n\r\n\r\nSUB a.> 1\r\nsub a q  2\r\nUNSUB 1\r\nunsub 2 10\r\nUNSUB 3 x\r\nPING\r\nping \nPONG\r\n"
  .. "pub  a \t 2\r\nho\r\nPUB a 002\nhi\r\n+OK\r\nINFO {}\r\nPUB a\vb 1\r\nx\r\n"

local EXPECTED = {
  event("connect", '{"verbose":false}'),
  event("pub", "a", nil, "2\r\nhi\r\n", 2),
  event("pub", "a.b", "r.1", "r.1 3\r\n\r\nx\r\n", 3),
  event("pub", "a", nil, "0\r\n\r\n", 0),
  event("hpub", "a", nil, "12 14\r\nNATS/1.0\r\n\r\nhi\r\n", 14, 12),
  event("hpub", "a", "r", "r 12 12\r\nNATS/1.0\r\n\r\n\r\n", 12, 12),
  event("sub", "a.>", nil, "1"),
  event("sub", "a", "q", "2"),
  event("unsub", "1", nil),
  event("unsub", "2", 10),
  event("unsub", "3", nil),
  event "ping",
  event "ping",
  event "pong",
  event("pub", "a", nil, "2\r\nho\r\n", 2),
  event("pub", "a", nil, "002\r\nhi\r\n", 2),
  event("pub", "a\vb", nil, "1\r\nx\r\n", 1),
}

describe("proto.nats_server_parser", function ()
  it("takes lines that come again and again for what they are", function ()
    local payloads = { "aa", "bb", "\r\n", "cc", "P ", "dd" }
    local input, expected = {}, {}
    local function add(subject, reply, data)
      input[#input + 1] = ("PUB %s %s%d\r\n%s\r\n"):format(subject, reply and reply .. " " or "", #data, data)
      expected[#expected + 1] = event("pub", subject, reply,
        ("%s%d\r\n%s\r\n"):format(reply and reply .. " " or "", #data, data), #data)
    end
    for _, data in ipairs(payloads) do add("a", nil, data) end
    add("a", nil, "ccc")
    add("a", "2", "x") -- begins as the line before
    add("a", nil, "ddd")
    for _ = 1, 3 do add("ab", nil, "ee") end
    for _ = 1, 3 do add("a", "r", "ee") end
    for _ = 1, 3 do add("a", nil, "") end
    input = table.concat(input)
    for step = 1, #input do assert.same(expected, events_of(input, step)) end
    local good = ("PUB a 2\r\nhi\r\n"):rep(4)
    for _, bad in ipairs { "PUB a 2\r\nhixx", "PUB a 2\r\nhi\rx", "PUB a 2\r\nhi\n\n" } do
      local events = events_of(good .. bad .. good)
      assert.equal(5, #events)
      assert.equal(event("fail", "Unknown Protocol Operation"), events[5])
    end
  end)

  it("gives every operation, in any spelling", function ()
    assert.same(EXPECTED, events_of(SESSION))
  end)

  it("gives the same for every two pieces, and for pieces of every size", function ()
    for at = 1, #SESSION - 1 do
      local handler, events = support.recorder()
      local parser = nats_server_parser.new(handler)
      parser:feed(SESSION:sub(1, at))
      parser:feed(SESSION:sub(at + 1))
      assert.same(EXPECTED, events, "cut after " .. at)
    end
    for step = 1, #SESSION do
      assert.same(EXPECTED, events_of(SESSION, step), "pieces of " .. step)
    end
  end)

  it("refuses wrong numbers of arguments and sizes that are none", function ()
    for _, line in ipairs {
      "PUB ", "PUB a", "PUB a b c 1", "PUB a x", "PUB a -1", "PUB a +1", "PUB a 0x1", "PUB a 1e1", "PUB a 1.0", "PUB a 0000000001", "SUB ", "SUB a",
      "SUB a b c d", "UNSUB ", "UNSUB 1 2 3", "HPUB ", "HPUB a 1", "HPUB a 2 1", "HPUB a x 1", "HPUB a b c 1 2", "-ERR 'x'",
    } do
      assert.same({ 'fail("Parser Error")' }, events_of(line .. "\r\n"), line)
    end
  end)

  it("refuses what is no operation of a client", function ()
    for _, line in ipairs { "", " PING", "MSG a 1 0", "HMSG a 1 0 0", "PUB", "SUBa 1", "RS+ a", "GET / HTTP/1.1", "\0", "PIN", "INFOx" } do
      assert.same({ 'fail("Unknown Protocol Operation")' }, events_of(line .. "\r\n"), line)
    end
  end)

  it("refuses at once a line that can become no operation", function ()
    for _, begun in ipairs { "X", "PX", "HPUC", "PUBX", "PUBLISH", "SUBSCRIBE a", "\255", " " } do
      assert.same({ 'fail("Unknown Protocol Operation")' }, events_of(begun), begun)
    end
    for _, begun in ipairs { "P", "hp", "PINGx", "CONNECT{", "+", "-ERR", "unsub 1", "PUB a 1\r" } do
      assert.same({}, events_of(begun), begun)
    end
  end)

  it("copies a message once", function ()
    local parser = nats_server_parser.new(setmetatable({}, { __index = function () return function () return 0 end end }))
    local input = ("PUB a 1000\r\n" .. ("x"):rep(1000) .. "\r\n"):rep(50)
    local allocated = support.allocated(function () parser:feed(input) end)
    assert.is_true(allocated < 1.2 * #input, allocated)
  end)
end)
