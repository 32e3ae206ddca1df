-- ipc.connect against Debian's nats-server, and the recorded transcripts replayed against it and against our broker over real
-- sockets.
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"
local recorded = require "proto_transcripts"

local SECONDS = 60

describe("client with nats-server", function()
  local server
  setup(function() server = nats.start() end)
  teardown(function() server:stop() end)

  local function in_loop(fn)
    local loop <close> = assert(ipc.loop.new())
    loop:wrap(fn)
    assert.is_true(loop:run())
  end
  local function both(name, fn)
    it(name .. ", in a plain script", function() fn() end)
    it(name .. ", in a task", function() in_loop(fn) end)
  end

  both("publishes, subscribes, asks and answers", function()
    local c <close> = assert(ipc.connect(server.url))
    local sub = assert(c:subscribe "a.*.c")
    local all = assert(c:subscribe("a.>", { max = 2 }))
    assert(c:publish("a.b.c", "1", { headers = { Trace = "x" } }))
    assert(c:publish("a.b", "2"))
    assert(c:publish("a.d.c", "3"))
    assert.equal("1", assert(sub:next(SECONDS)).data)
    local msg = assert(sub:next(SECONDS))
    assert.same({ "a.d.c", "3" }, { msg.subject, msg.data })
    local got = {}
    for m in all:messages(SECONDS) do got[#got + 1] = m.subject end
    assert.same({ "a.b.c", "a.b" }, got)

    assert(c:subscribe("double", { queue = "workers" }, function(m) m:respond(2 * m.data, { headers = { By = "us" } }) end))
    local answer = assert(c:request("double", "21", SECONDS))
    assert.equal("42", answer.data)
    assert.same({ By = "us" }, answer.headers)
    local none, _, code = c:request("nobody", "x", SECONDS)
    assert.is_nil(none)
    assert.equal("ENORESPONDERS", code)
    assert.is_true(c:flush(SECONDS))
  end)

  both("shares work in a queue group", function()
    local c <close> = assert(ipc.connect(server.url))
    local members, total = {}, 0
    for i = 1, 3 do members[i] = assert(c:subscribe("jobs", { queue = "workers" })) end
    for _ = 1, 300 do assert(c:publish("jobs", "x")) end
    assert.is_true(c:flush(SECONDS))
    for i = 1, 3 do
      assert.is_true(members[i]:pending() > 0)
      total = total + members[i]:pending()
    end
    assert.equal(300, total)
  end)

  both("moves many messages in order", function()
    local c <close> = assert(ipc.connect(server.url))
    local other <close> = assert(ipc.connect(server.url))
    local sub = assert(c:subscribe "many")
    assert.is_true(c:flush(SECONDS))
    for i = 1, 20000 do assert(other:publish("many", tostring(i))) end
    for i = 1, 20000 do
      local data = assert(sub:next(SECONDS)).data
      if data ~= tostring(i) then assert.equal(tostring(i), data) end
    end
  end)

  both("connects again when the server comes back", function()
    local first <close> = nats.start()
    local second <close> = nats.start()
    local c <close> = assert(ipc.connect(first.url .. "," .. second.url))
    local sub = assert(c:subscribe "a")
    assert.is_true(c:flush(SECONDS))
    first:stop()
    repeat
      c:publish("a", "x")
      local msg = sub:next(0.05)
    until msg
    assert.equal(second.url, c:url())
  end)

  it("learns of a violation that does not end the connection", function()
    local strict <close> = nats.start [[authorization { users: [ { user: u, password: p, permissions: { publish: "ok" } } ] }]]
    local c <close> = assert(ipc.connect("nats://u:p@127.0.0.1:" .. strict.port))
    assert(c:publish("no", "x"))
    local ok, message, code = c:flush(SECONDS)
    assert.is_nil(ok)
    assert.equal("EPERM", code)
    assert.matches("Permissions Violation for Publish", message)
    assert.is_true(c:flush(SECONDS))
    local none, _, why = ipc.connect("nats://u:wrong@127.0.0.1:" .. strict.port)
    assert.is_nil(none)
    assert.equal("EACCES", why)
  end)
end)

describe("transcripts over sockets", function()
  -- Each message with its payload, in an order of their own.
  local function sorted(output)
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

  -- What comes after INFO; where the connection is to stay open, up to the answer to a PING of ours.
  local function play(url, transcript, answer, closed)
    local socket = nats.connect(url)
    assert(assert(socket:read "L"):find "^INFO")
    local output
    if closed then
      socket:write(transcript[3])
      output = nats.rest(socket)
    else
      assert(socket:write(transcript[3], "PING\r\n"))
      local pongs, parts = select(2, answer:gsub("PONG\r\n", "")) + 1, {}
      repeat
        parts[#parts + 1] = assert(nats.line(socket))
        if parts[#parts] == "PONG\r\n" then pongs = pongs - 1 end
      until pongs == 0
      output = table.concat(parts, "", 1, #parts - 1)
    end
    socket:close()
    return output
  end

  -- answer_of(transcript) -> what is expected, whether the connection is closed then
  local function replay(url, configuration, answer_of, each)
    local count = 0
    for _, transcript in ipairs(recorded.transcripts) do
      if transcript[2] == configuration then
        local answer, closed = answer_of(transcript)
        local output = play(url, transcript, answer, closed)
        if transcript.sid then output, answer = output:gsub("(HMSG %S+) %d+", "%1 x"), answer:gsub("(HMSG %S+) %d+", "%1 x") end
        if transcript.any then output, answer = sorted(output), sorted(answer) end
        assert.equal(answer, output, transcript[1])
        count = count + 1
        if each then each() end
      end
    end
    assert.is_true(count > 0)
  end

  for name, text in pairs(recorded.configurations) do
    it("are what nats-server says: " .. name, function()
      local server <close> = nats.start(text)
      replay(server.url, name, function(transcript)
        return transcript.said or transcript[4], transcript.closed and not transcript.why
      end, function() server:drain() end)
    end)
  end

  local OURS = {
    plain = { insecure = true },
    token = { token = "s3cret" },
    user = { users = { { user = "u", password = "p", permissions = recorded.permissions } } },
    limits = { insecure = true, max_payload = 64, max_subscriptions = 2, max_subscription_tokens = 4 },
    line = { insecure = true, max_control_line = 64 },
  }
  local function ours(transcript) return transcript[4], transcript.closed end
  for name, options in pairs(OURS) do
    it("are what our broker says: " .. name, function()
      options.path, options.tcp = names.path ".sock", "127.0.0.1:0"
      local handle <close> = assert(ipc.broker.start(options))
      replay(handle:url "tcp", name, ours)
      if name ~= "token" and name ~= "user" then -- the own user needs none there
        replay(handle:url "unix", name, ours)
      end
    end)
  end
end)
