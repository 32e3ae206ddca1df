local nats_server = require "lipc.proto.nats_server"

local QUIET = 'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n'
local BARE = 'CONNECT {"verbose":false,"pedantic":false}\r\n'
local HEADER = "NATS/1.0\r\nA: b\r\n\r\n"

describe("proto.nats_router", function ()
  local server
  before_each(function () server = nats_server.new() end)

  local function open(input, connect)
    local session = server:session()
    session:wrote(#session:take())
    session:feed((connect or QUIET) .. (input or ""))
    return session
  end

  local function hpub(subject, reply, data)
    return ("HPUB %s %s%d %d\r\n%s%s\r\n"):format(subject, reply and reply .. " " or "", #HEADER, #HEADER + #data, HEADER, data)
  end

  it("gives a message to every plain subscription, one piece shared by all", function ()
    local first, second = open "SUB a 1\r\nSUB * 2\r\n", open "SUB > x\r\n"
    open():feed "PUB a r 5\r\nhello\r\n"
    assert.equal(first.out[2], second.out[2])
    assert.equal("r 5\r\nhello\r\n", first.out[2])
    assert.equal("MSG a x r 5\r\nhello\r\n", second:take())
    assert.equal(server.messages_in, 1)
    assert.equal(server.messages_out, 3)
  end)

  it("gives a message to one member of each group", function ()
    local picks = {}
    server = nats_server.new { random = function (n) return table.remove(picks, 1) % n + 1 end }
    local members = {}
    for i = 1, 3 do
      members[i] = open("SUB a g " .. i .. "\r\n")
    end
    picks = { 0, 1, 2, 2 }
    open():feed(("PUB a 1\r\nx\r\n"):rep(4))
    assert.equal("MSG a 1 1\r\nx\r\n", members[1]:take())
    assert.equal("MSG a 2 1\r\nx\r\n", members[2]:take())
    assert.equal(("MSG a 3 1\r\nx\r\n"):rep(2), members[3]:take())
    assert.same({}, picks)
  end)

  it("spreads over a group evenly enough", function ()
    local members, count = {}, 4000
    for i = 1, 4 do
      members[i] = open "SUB a.* g 1\r\n"
    end
    open():feed(("PUB a.b 0\r\n\r\n"):rep(count))
    local total = 0
    for i = 1, 4 do
      local _, got = members[i]:take():gsub("MSG", "")
      assert.is_true(got > count / 8 and got < count / 2, got)
      total = total + got
    end
    assert.equal(count, total)
  end)

  it("gives a group's message to another member when one may not have it", function ()
    local quiet = 'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\n'
    local publisher, other = open("SUB a g 1\r\n", quiet), open "SUB a g 1\r\n"
    publisher:feed(("PUB a 0\r\n\r\n"):rep(20))
    assert.equal(("MSG a 1 0\r\n\r\n"):rep(20), other:take())
    assert.equal("", publisher:take())
  end)

  it("prefers members of a group that do not lag", function ()
    server = nats_server.new { high_water = 100 }
    local slow, quick = open "SUB a g 1\r\nSUB only 2\r\n", open "SUB a g 1\r\n"
    local publisher = open()
    publisher:feed("PUB only 200\r\n" .. ("x"):rep(200) .. "\r\n")
    slow:take()
    for _ = 1, 20 do
      publisher:feed "PUB a 0\r\n\r\n"
      quick:wrote(#quick:take())
    end
    assert.equal("", slow:take())
    quick:close "gone"
    publisher:feed "PUB a 0\r\n\r\n"
    assert.equal("MSG a 1 0\r\n\r\n", slow:take())
  end)

  it("pauses the publisher whatever way a message takes to who lags", function ()
    server = nats_server.new { high_water = 100 }
    open "SUB group g 1\r\nSUB plain 2\r\n"
    for _, input in ipairs { "PUB group 200\r\n" .. ("x"):rep(200) .. "\r\n", hpub("plain", nil, ("x"):rep(200)), hpub("group", "r", "") } do
      local publisher = open(input)
      assert.equal(1, publisher.paused, input)
    end
  end)

  it("gives headers only to who understands them", function ()
    local with, without = open "SUB a 1\r\nSUB a g 2\r\n", open("SUB a 1\r\n", BARE)
    open():feed(hpub("a", nil, "hi") .. hpub("a", "r", ""))
    local sizes = "18 20\r\n" .. HEADER .. "hi\r\n"
    local empty = "r 18 18\r\n" .. HEADER .. "\r\n"
    assert.equal("HMSG a 1 " .. sizes .. "HMSG a 2 " .. sizes .. "HMSG a 1 " .. empty .. "HMSG a 2 " .. empty, with:take())
    assert.equal("MSG a 1 2\r\nhi\r\nMSG a 1 r 0\r\n\r\n", without:take())
  end)

  it("gives the server's own code what it asks for", function ()
    local got = {}
    local function note(...) got[#got + 1] = { n = select("#", ...), ... } end
    local first = server:subscribe("a.*", nil, note)
    local second = server:subscribe("a.b", "g", note)
    local publisher = open()
    publisher:feed("PUB a.b 2\r\nhi\r\n" .. hpub("a.b", "r", "ho"))
    for _, call in ipairs(got) do -- and who has sent it
      assert.equal(publisher, call[5])
      call[5] = nil
    end
    assert.same({
      { n = 5, "a.b", nil, "hi", nil }, { n = 5, "a.b", nil, "hi", nil },
      { n = 5, "a.b", "r", "ho", HEADER }, { n = 5, "a.b", "r", "ho", HEADER },
    }, got)
    server:unsubscribe(first)
    server:unsubscribe(second)
    publisher:feed "PUB a.b 2\r\nhi\r\n"
    assert.equal(4, #got)
    assert.equal(0, server.subscriptions.count)
  end)

  it("publishes for the server's own code", function ()
    local session = open "SUB a 1\r\n"
    assert.is_true(server:publish("a", nil, "hi"))
    assert.is_true(server:publish("a", "r", "hi", HEADER))
    assert.is_false(server:publish("b", nil, "hi"))
    assert.equal("MSG a 1 2\r\nhi\r\nHMSG a 1 r 18 20\r\n" .. HEADER .. "hi\r\n", session:take())
  end)

  it("may be called by a handler of its own", function ()
    server:subscribe("ask", nil, function (_, reply, data) server:publish(reply, nil, data:upper()) end)
    local session = open "SUB r 1\r\n"
    session:feed "PUB ask r 2\r\nhi\r\n"
    assert.equal("MSG r 1 2\r\nHI\r\n", session:take())
  end)

  it("ends a subscription at its maximum among the others, also in a group", function ()
    local session, other = open "SUB a 1\r\nSUB a g 2\r\nUNSUB 1 2\r\nUNSUB 2 1\r\n", open "SUB a 1\r\n"
    open():feed(("PUB a 0\r\n\r\n"):rep(4))
    local output = session:take()
    assert.equal(2, select(2, output:gsub("MSG a 1", "")))
    assert.equal(1, select(2, output:gsub("MSG a 2", "")))
    assert.equal(("MSG a 1 0\r\n\r\n"):rep(4), other:take())
    assert.equal(1, server.subscriptions.count)
  end)

  it("costs no more memory than is pending when who is subscribed a thousand times is cut", function ()
    server = nats_server.new { max_pending = 100000 }
    local lines = {}
    for i = 1, 10000 do lines[i] = "SUB > " .. i .. "\r\n" end
    local session = open(table.concat(lines))
    collectgarbage()
    collectgarbage "stop"
    local before = collectgarbage "count"
    open():feed("PUB " .. ("x"):rep(4000) .. " 0\r\n\r\n")
    local kilobytes = collectgarbage "count" - before
    collectgarbage "restart"
    assert.equal("Slow Consumer", session.closing)
    assert.is_true(kilobytes < 10000, kilobytes) -- the lines to all of them are 40 MB
  end)

  it("gives nothing more to who is cut in the middle of a delivery", function ()
    server = nats_server.new { max_pending = 1000, high_water = 500 }
    local lines = {}
    for sid = 1, 20 do
      lines[sid] = "SUB a " .. sid .. "\r\n"
    end
    local session = open(table.concat(lines))
    local other = open "SUB a 1\r\n"
    open():feed("PUB a 100\r\n" .. ("x"):rep(100) .. "\r\n")
    assert.equal("-ERR 'Slow Consumer'\r\n", session:take())
    assert.equal("MSG a 1 100\r\n" .. ("x"):rep(100) .. "\r\n", other:take())
  end)
end)
