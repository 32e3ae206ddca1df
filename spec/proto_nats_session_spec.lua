local nats_permissions = require "lipc.proto.nats_permissions"
local nats_server = require "lipc.proto.nats_server"
local support = require "spec.proto_support"
local recorded = require "spec.proto_transcripts"

-- The configurations of the transcripts, for ours.
local CONFIGURATIONS = {
  plain = {},
  limits = { max_payload = 64, max_subscriptions = 2, max_subscription_tokens = 4 },
  line = { max_control_line = 64 },
  token = { authenticate = function (_, options) return options.auth_token == "s3cret" end },
  user = {
    authenticate = function (_, options)
      return options.user == "u" and options.pass == "p" and nats_permissions.new(recorded.permissions)
    end,
  },
}

-- The frames of an output in an order of their own: each message with its payload.
local function sorted_frames(output)
  local frames = {}
  for line in output:gmatch "[^\n]*\n" do
    if line:find "^H?MSG" or #frames == 0 then
      frames[#frames + 1] = line
    else
      frames[#frames] = frames[#frames] .. line
    end
  end
  table.sort(frames)
  return table.concat(frames)
end

local QUIET = 'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n'

describe("proto.nats_session", function ()
  local server
  before_each(function () server = nats_server.new() end)

  local function open(input)
    local session = server:session()
    session:wrote(#session:take())
    session:feed(QUIET .. (input or ""))
    return session
  end

  local function message(text, data)
    return ("PUB %s %d\r\n%s\r\n"):format(text, #data, data)
  end

  it("cuts off who asks and does not take the answers", function ()
    server = nats_server.new { max_pending = 10000 }
    for _, line in ipairs { "PING\r\n", "SUB a..b 1\r\n", "SUB mine 1\r\nPUB mine 0\r\n\r\n" } do
      local session, times = open(), 0
      while session:feed(line) and times < 2000 do times = times + 1 end
      assert.equal("Slow Consumer", session.closing, line)
      assert.is_true(times > 100)
      assert.equal("-ERR 'Slow Consumer'\r\n", session:take())
      -- who takes them may go on asking
      session = open()
      for _ = 1, 2000 do
        session:feed(line)
        session:wrote(#session:take())
      end
      assert.is_nil(session.closing)
    end
  end)

  it("denies a subject to every queue group, whatever else is denied to one of them", function ()
    local permissions = nats_permissions.new { subscribe = { deny = { "admin.>", "> internal" } } }
    for _, row in ipairs {
      { "admin.x", nil, false }, { "admin.x", "internal", false }, { "admin.x", "other", false }, { "jobs", "internal", false },
      { "jobs", "other", true }, { "jobs", nil, true },
    } do
      assert.equal(row[3], permissions.subscribe(row[1], row[2]), row[1] .. " " .. tostring(row[2]))
    end
    assert.is_false(permissions.filter("*.x", "other") "admin.x")
  end)

  it("answers as nats-server does", function ()
    assert.is_true(#recorded.transcripts > 200)
    for _, transcript in ipairs(recorded.transcripts) do
      local name, configuration, input, answer = table.unpack(transcript)
      for _, step in ipairs { #input, 1, 7 } do
        local session = nats_server.new(CONFIGURATIONS[configuration]):session()
        session:take()
        support.feed_cut(session, input, step)
        local output = session:take()
        if transcript.any then output, answer = sorted_frames(output), sorted_frames(answer) end
        assert.equal(answer, output, name)
        assert.equal(transcript.closed or false, session.closing ~= nil, name)
      end
    end
  end)

  it("answers the same wherever the input is cut", function ()
    for _, transcript in ipairs(recorded.transcripts) do
      local name, configuration, input, answer = table.unpack(transcript)
      for at = 1, #input <= 200 and #input - 1 or 0 do
        local session = nats_server.new(CONFIGURATIONS[configuration]):session()
        session:take()
        session:feed(input:sub(1, at))
        session:feed(input:sub(at + 1))
        local output = session:take()
        if transcript.any then output, answer = sorted_frames(output), sorted_frames(answer) end
        assert.equal(answer, output, name .. ", cut at " .. at)
      end
    end
  end)

  it("gives the transcripts a difference only where nats-server closes without a word or bounds nothing", function ()
    for _, transcript in ipairs(recorded.transcripts) do
      if transcript.said then
        assert.is_true(transcript.why ~= nil or transcript[4]:sub(1, #transcript.said) == transcript.said, transcript[1])
        assert.is_true(transcript.closed or transcript.why ~= nil, transcript[1])
      end
    end
  end)

  it("affects nobody else when it fails", function ()
    local bad, good, other = open "SUB a 1\r\n", open "SUB a 1\r\n", open()
    bad:feed "PUB x\r\n"
    assert.equal("Parser Error", bad.closing)
    assert.equal("-ERR 'Parser Error'\r\n", bad:take())
    other:feed(message("a", "hi"))
    assert.equal("", bad:take())
    assert.equal("MSG a 1 2\r\nhi\r\n", good:take())
    assert.is_nil(good.closing)
    assert.is_false(bad:feed(message("a", "hi")))
    assert.equal("", good:take())
  end)

  it("leaves nothing behind when it is closed", function ()
    local closed = {}
    server = nats_server.new { on_close = function (session, reason) closed[session] = reason end }
    local session = open "SUB a 1\r\nSUB b.* g 2\r\nSUB c.> 3\r\n"
    assert.equal(3, server.subscriptions.count)
    session:close "gone"
    session:close "again"
    session:fail "again"
    assert.equal("gone", closed[session])
    assert.equal(0, server.subscriptions.count)
    assert.equal(0, server.subscriptions.nodes)
    assert.equal(0, server.session_count)
    assert.is_nil(next(server.sessions))
    assert.equal("", session:take())
  end)

  it("counts what is pending", function ()
    local session, publisher = open "SUB a 1\r\n", open()
    publisher:feed(message("a", "hi"):rep(3))
    local initial = session.pending
    local output = session:take()
    assert.equal(("MSG a 1 2\r\nhi\r\n"):rep(3), output)
    assert.equal(initial, session.pending)
    session:wrote(#output)
    publisher:feed(message("a", "hi"))
    assert.equal(initial - #output + #"MSG a 1 2\r\nhi\r\n", session.pending)
  end)

  it("forgets no output and keeps no old one, however much there is", function ()
    local session, publisher = open "SUB a 1\r\n", open()
    for _, count in ipairs { 1, 10, 5000, 3, 1 } do
      publisher:feed(message("a", "hi"):rep(count))
      assert.equal(("MSG a 1 2\r\nhi\r\n"):rep(count), session:take())
      assert.is_nil(session.out[1])
    end
  end)

  it("hands out much in portions of whole messages, and keeps the order of what comes meanwhile", function ()
    for _, size in ipairs { 13, 1500, 300000 } do -- the first portion would end after a head with 13
      local session, publisher = open "SUB a 1\r\n", open()
      local sent, got, portions = 0, {}, 0
      local function publish(count)
        for _ = 1, count do
          sent = sent + 1
          publisher:feed(message("a", ("%0" .. math.min(size, 90) .. "d"):format(sent) .. ("x"):rep(size - 90)))
        end
      end
      publish(2000000 // (size + 20))
      while session.count > 0 do
        local bytes, first, more = session:take_pieces()
        local portion = first .. (more or "")
        assert.equal(bytes, #portion)
        assert.is_true(bytes < 700000, bytes)
        assert.equal("MSG a 1 ", portion:sub(1, 8))
        assert.equal("\r\n", portion:sub(-2))
        got[#got + 1] = portion
        session:wrote(bytes)
        portions = portions + 1
        if portions % 2 == 0 and portions < 20 then publish(100000 // (size + 200)) end
      end
      assert.is_true(portions >= 3)
      assert.equal(0, session.pending)
      local number = 0
      for text in table.concat(got):gmatch "MSG a 1 %d+\r\n(%d+)x*\r\n" do
        number = number + 1
        assert.equal(number, tonumber(text))
      end
      assert.equal(sent, number)
      assert.equal(sent, (session.taken + session.count - session.lines) // 2)
    end
  end)

  it("pauses the publishers of a session that lags, until it has caught up", function ()
    local resumed = {}
    server = nats_server.new { high_water = 1000, on_resume = function (session) resumed[session] = (resumed[session] or 0) + 1 end }
    local slow, other = open "SUB a 1\r\n", open "SUB b 1\r\n"
    local publisher, bystander = open(), open()
    publisher:feed(message("a", ("x"):rep(600)))
    assert.equal(0, publisher.paused)
    publisher:feed(message("a", ("x"):rep(600)):rep(2))
    bystander:feed(message("b", ("x"):rep(600)))
    assert.equal(1, publisher.paused)
    assert.equal(0, bystander.paused)
    local bytes = #slow:take()
    slow:wrote(bytes - 700)
    assert.is_nil(resumed[publisher])
    slow:wrote(700)
    assert.equal(1, resumed[publisher])
    assert.equal(0, publisher.paused)
    assert.is_nil(resumed[bystander])
    assert.is_nil(other.closing)
  end)

  it("resumes publishers when the one that lagged is gone", function ()
    local resumed = 0
    server = nats_server.new { high_water = 1000, on_resume = function () resumed = resumed + 1 end }
    local slow, publisher = open "SUB a 1\r\n", open()
    publisher:feed(message("a", ("x"):rep(2000)))
    assert.equal(1, publisher.paused)
    slow:close "gone"
    assert.equal(0, publisher.paused)
    assert.equal(1, resumed)
  end)

  it("never pauses a session for its own messages", function ()
    server = nats_server.new { high_water = 1000 }
    local session = open "SUB a 1\r\n"
    session:feed(message("a", ("x"):rep(2000)):rep(3))
    assert.equal(0, session.paused)
  end)

  it("cuts a slow consumer, without what it would not read", function ()
    server = nats_server.new { high_water = 1000, max_pending = 5000 }
    local slow, publisher = open "SUB a 1\r\nSUB > 2\r\n", open()
    local good = open "SUB a 1\r\n"
    for _ = 1, 10 do
      publisher:feed(message("a", ("x"):rep(900)))
      good:wrote(#good:take())
    end
    assert.equal("Slow Consumer", slow.closing)
    local dirty, count = server:take_dirty()
    local times = 0
    for i = 1, count do
      if dirty[i] == slow then times = times + 1 end
    end
    assert.equal(1, times)
    assert.equal("-ERR 'Slow Consumer'\r\n", slow:take())
    assert.is_nil(good.closing)
    assert.is_nil(publisher.closing)
    assert.equal(0, publisher.paused)
    assert.is_true(slow.pending < 5000)
  end)

  it("counts PINGs without an answer", function ()
    local session = open()
    session:send_ping()
    session:send_ping()
    assert.equal(2, session.pings_out)
    session:feed "PONG\r\n"
    assert.equal(0, session.pings_out)
    assert.equal("PING\r\nPING\r\n", session:take())
  end)

  it("bounds what subscriptions take", function ()
    server = nats_server.new { max_subscription_memory = 100000 }
    local session = open()
    for i = 1, 300 do
      session:feed(("SUB %s 1%d\r\n"):format(("a.b"):rep(i % 20 + 1, "."), i))
    end
    assert.is_true(server.subscriptions.count < 100)
    assert.matches("maximum subscriptions exceeded", session:take())
    for i = 1, 300 do
      session:feed(("UNSUB 1%d\r\n"):format(i))
    end
    assert.equal(0, server.subscriptions.count)
    assert.equal(0, session.subscription_memory)
    assert.equal(0, session.subscription_count)
  end)

  it("asks before it delivers to a wildcard, when it is told to", function ()
    server = nats_server.new {
      authenticate = function () return { filter = function () return function (text) return text ~= "a.secret" end end } end,
    }
    local session, publisher = open "SUB a.* 1\r\nSUB a.* g 2\r\n", open()
    publisher:feed(message("a.secret", "no") .. message("a.open", "yes"))
    assert.equal("MSG a.open 1 3\r\nyes\r\nMSG a.open 2 3\r\nyes\r\n", session:take())
  end)

  it("never raises, whatever comes, and always closes with a reason", function ()
    local seed = support.seed "session fuzz"
    local bits = {
      "PUB a 2\r\nhi\r\n", "PUB a r 2\r\nhi\r\n", "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "SUB a 1\r\n", "SUB a.* g 2\r\n", "SUB > 3\r\n", "SUB r 4\r\n",
      "UNSUB 1\r\n",
      "UNSUB 2 1\r\n", "UNSUB 3 2\r\n", "PING\r\n", "PONG\r\n", "CONNECT {}\r\n", "SUB a..b 1\r\n", QUIET, "PUB > 0\r\n\r\n",
      'CONNECT {"echo":false,"headers":true}\r\n', 'CONNECT {"headers":1}\r\n', 'CONNECT {"a"}\r\n', "HPUB a 0 0\r\n\r\n", "HPUB a r 0 2\r\nhi\r\n",
    }
    local closed = 0
    for round = 1, 2000 do
      local parts = {}
      for i = 1, math.random(15) do
        local bit = bits[math.random(#bits)]
        if math.random(20) == 1 then
          local at = math.random(#bit)
          bit = bit:sub(1, at - 1) .. string.char(math.random(0, 255)) .. bit:sub(at + 1)
        end
        parts[i] = bit
      end
      local session, input = server:session(), table.concat(parts)
      local ok, problem = pcall(support.feed_cut, session, input, math.random(2) == 1 and #input or -20)
      assert.is_true(ok, ("seed %d round %d: %s"):format(seed, round, problem))
      if session.closing then
        closed = closed + 1
        assert.matches("%-ERR '[^\n]*'\r\n$", session:take())
      end
      session:close "done"
    end
    assert.is_true(closed > 100)
    assert.equal(0, server.subscriptions.count)
    assert.equal(0, server.session_count)
  end)
end)
