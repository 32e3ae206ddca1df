-- Runs of messages with one line, which the server takes several at a time: nobody may see a difference.
local nats_server = require "lipc.proto.nats_server"
local support = require "proto_support"

local core_records = require("lipc.core").records()

local QUIET = 'CONNECT {"verbose":false,"pedantic":false,"echo":%s}\r\n'

describe("proto.nats_runs", function ()
  -- A publisher that is subscribed itself, and others; what they get and how the server counts, for input that comes in
  -- pieces of `step` bytes.
  local function serve(subscriptions, input, step, options, echo)
    local server = nats_server.new(options)
    local function open(text, connect)
      local session = server:session()
      session:feed((connect or QUIET:format "true") .. text)
      session:wrote(#session:take())
      return session
    end
    local publisher = open("SUB a.b own\r\n", QUIET:format(echo == false and "false" or "true"))
    local sessions = { publisher }
    for i, text in ipairs(subscriptions) do sessions[i + 1] = open(text) end
    support.feed_cut(publisher, input, step)
    local seen = { messages_in = server.messages_in, messages_out = server.messages_out, paused = publisher.paused }
    for i, session in ipairs(sessions) do
      local messages = (session.taken + session.count - session.lines) // 2
      local data = session:take()
      seen[i] = { data = data, closing = session.closing, messages = not session.closing and messages or nil }
      if not session.closing then
        assert.equal(#data, session.pending)
        for sid, subscription in pairs(session.subscriptions) do seen[i][sid] = subscription.received end
      end
    end
    return seen, server
  end

  local function pub(subject, data)
    return ("PUB %s %d\r\n%s\r\n"):format(subject, #data, data)
  end

  local function many(count, subject, size)
    local list = {}
    for i = 1, count do list[i] = pub(subject, ("%06d"):format(i):rep(size // 6 + 1):sub(1, size)) end
    return table.concat(list)
  end

  -- Counts the messages that came in runs.
  local function with_counting(run)
    local server_parser, count = require "lipc.proto.nats_session", 0
    local new = server_parser.new
    server_parser.new = function (...)
      local session = new(...)
      local class = getmetatable(session)
      session.run = function (self, ...)
        local taken = class.run(self, ...)
        count = count + taken
        return taken
      end
      return session
    end
    local ok, problem = pcall(run)
    server_parser.new = new
    assert(ok, problem)
    return count
  end

  local function same(subscriptions, input, options, echo)
    local expected = serve(subscriptions, input, 7, options, echo)
    local got
    local in_runs = with_counting(function () got = serve(subscriptions, input, #input, options, echo) end)
    assert.same(expected, got)
    assert.same(expected, serve(subscriptions, input, 4096, options, echo)) -- runs that are cut
    -- the same, with the records taken in C
    options = setmetatable({ records = core_records }, { __index = options })
    assert.same(expected, serve(subscriptions, input, #input, options, echo))
    return in_runs, got
  end

  local PLAIN = { "SUB a.b 1\r\n", "SUB a.* 22\r\n", "SUB > 333\r\n", "SUB other 1\r\n" }

  it("gives every message to everyone, in order", function ()
    for _, size in ipairs { 0, 1, 6, 128, 1000 } do
      assert.is_true(same(PLAIN, many(500, "a.b", size)) > 400)
    end
    assert.is_true(same(PLAIN, many(500, "a.b", 128), nil, false) > 400)
    assert.is_true(same(PLAIN, many(500, "nobody.here", 128)) > 400)
    assert.is_true(same(PLAIN, many(500, ("long"):rep(30), 128)) > 400)
  end)

  it("leaves to themselves those who do not get every message", function ()
    for _, one in ipairs { "SUB a.b group 1\r\n", "SUB a.b 1\r\nUNSUB 1 777\r\n", "SUB a.b 1\r\nSUB > 2\r\n" } do
      assert.equal(0, same({ one }, many(100, "a.b", 128)))
    end
    -- once it has ended, nothing is in the way
    assert.is_true(same({ "SUB a.b 1\r\nUNSUB 1 77\r\n" }, many(500, "a.b", 128)) > 200)
  end)

  it("is for who wants no answers and may publish everything", function ()
    local function permissions()
      return { publish = function (subject) return subject == "a.b" end }
    end
    assert.equal(0, same(PLAIN, many(100, "a.b", 128), { authenticate = permissions }))
    assert.equal(0, same(PLAIN, 'CONNECT {"verbose":true}\r\n' .. many(100, "a.b", 128)))
    assert.equal(0, same(PLAIN, many(100, "a.b", 128), { authenticate = function () return false end }))
  end)

  it("finds a wrong line end wherever it is", function ()
    for bad = 1, 200 do
      local list = {}
      for i = 1, 200 do list[i] = pub("a.b", ("%05d"):format(i)) end
      list[bad] = list[bad]:gsub("\r\n$", "\rx")
      local _, got = same(PLAIN, table.concat(list))
      assert.equal("Unknown Protocol Operation", got[1].closing)
      assert.equal(bad - 1, got.messages_in)
    end
  end)

  it("is not deceived by payloads that look like lines", function ()
    local line = "\r\nPUB a.b 20\r\n"
    local payloads = { ("x"):rep(20), line .. "123456", "1234" .. line .. "56", "123456" .. line, line:sub(3) .. "12345678" }
    local list = {}
    for i = 1, 2000 do list[i] = pub("a.b", payloads[i % #payloads + 1]) end
    assert.is_true(same(PLAIN, table.concat(list)) > 100)
  end)

  it("cuts and holds back who lags, as otherwise", function ()
    local options = { high_water = 20000, max_pending = 1 << 20 }
    local seen = serve(PLAIN, many(1000, "a.b", 128), 1 << 20, options)
    assert.equal(3, seen.paused) -- the publisher itself holds back nobody
    seen = serve(PLAIN, many(1000, "a.b", 128), 1 << 20, { high_water = 20000, max_pending = 50000 })
    for i = 1, 4 do
      assert.equal("Slow Consumer", seen[i].closing)
      assert.equal("-ERR 'Slow Consumer'\r\n", seen[i].data)
    end
    assert.is_nil(seen[5].closing)
  end)

  it("sees no difference in streams of any kind", function ()
    support.seed "runs fuzz"
    local random = math.random
    local function subscriptions()
      local list = {}
      for i = 1, random(0, 4) do
        local text = ""
        for sid = 1, random(4) > 1 and 1 or random(3) do
          local kinds = { "a.b", "a.*", ">", "c", "a.b group" }
          text = text .. ("SUB %s %d\r\n"):format(kinds[random(#kinds - (random(4) > 1 and 1 or 0))], sid)
          if random(6) == 1 then text = text .. ("UNSUB %d %d\r\n"):format(sid, random(300)) end
        end
        list[i] = text
      end
      return list
    end
    for _ = 1, 60 do
      local list = {}
      for _ = 1, random(8) do
        local subject, size = random(3) == 1 and "c" or "a.b", random(0, 40)
        list[#list + 1] = many(random(120), subject, size)
        if random(3) == 1 then list[#list + 1] = "PING\r\n" end
        if random(5) == 1 then list[#list + 1] = ("pub\ta.b  3 \r\nxyz\r\n"):rep(random(3)) end
        if random(5) == 1 then list[#list + 1] = ("PUB a.b c 3\r\nxyz\r\n"):rep(random(20)) end
        if random(5) == 1 then list[#list + 1] = "SUB c new\r\n" end
        if random(9) == 1 then list[#list + 1] = "UNSUB own\r\n" end
      end
      local input = table.concat(list)
      if random(4) == 1 then
        local at = random(#input)
        input = input:sub(1, at - 1) .. string.char(random(0, 255)) .. input:sub(at + 1)
      end
      local subscribed = subscriptions()
      local options = random(2) == 1 and { records = core_records } or nil
      math.randomseed(1)
      local expected = serve(subscribed, input, 7)
      math.randomseed(1)
      local got = serve(subscribed, input, #input, options)
      assert.same(expected, got)
      math.randomseed(#input, _)
    end
  end)
end)
