-- ipc.connect: the client, in plain scripts and in the tasks of a loop.
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"
local peer = require "support.peer"

local SECONDS = 30

describe("client", function()
  local handle, url
  local clients = {}

  setup(function()
    handle = assert(ipc.broker.start { path = names.path ".sock", tcp = "127.0.0.1:0", auth_timeout = SECONDS })
    url = handle:url()
  end)
  teardown(function() handle:close() end)

  local function connect(where, options)
    options = options or {}
    options.timeout = options.timeout or SECONDS -- two seconds are not much where everything stands still
    local c = assert(ipc.connect(where or url, options))
    clients[#clients + 1] = c
    return c
  end
  after_each(function()
    for _, c in ipairs(clients) do c:close() end
    clients = {}
  end)

  local function in_loop(fn)
    local loop <close> = assert(ipc.loop.new())
    loop:wrap(function()
      fn(loop)
      for _, c in ipairs(clients) do c:close() end
    end)
    assert.is_true(loop:run())
  end

  -- The same test as a plain script and in a task.
  local function both(name, fn)
    it(name .. ", in a plain script", function() fn() end)
    it(name .. ", in a task", function() in_loop(fn) end)
  end

  both("publishes and subscribes", function()
    local c = connect()
    local sub = assert(c:subscribe "sensors.*.temp")
    assert.is_true(c:publish("sensors.7.temp", "21.5"))
    assert.is_true(c:publish("sensors.7.humidity", "40"))
    assert.is_true(c:publish("sensors.8.temp", 22))
    local msg = assert(sub:next(SECONDS))
    assert.same({ "sensors.7.temp", "21.5" }, { msg.subject, msg.data })
    assert.is_nil(msg.reply)
    assert.is_nil(msg.headers)
    assert.equal("22", assert(sub:next(SECONDS)).data)
    local none, message, code = sub:next(0)
    assert.is_nil(none)
    assert.equal("subscription:next sensors.*.temp: timed out", message)
    assert.equal("ETIMEDOUT", code)
  end)

  both("works over TCP with the token of the URL", function()
    local c = connect(handle:url "tcp")
    local sub = assert(c:subscribe "a.>")
    c:publish("a.b.c", "x")
    assert.equal("a.b.c", assert(sub:next(SECONDS)).subject)
    assert.matches("^nats://127%.0%.0%.1:%d+$", c:url()) -- nothing secret in it
  end)

  both("carries headers", function()
    local c = connect()
    local sub = assert(c:subscribe "h")
    c:publish("h", "data", { headers = { Trace = "1", Many = { "a", "b" } }, reply = "r" })
    local msg = assert(sub:next(SECONDS))
    assert.same({ Trace = "1", Many = { "a", "b" } }, msg.headers)
    assert.equal("data", msg.data)
    assert.equal("r", msg.reply)
  end)

  both("asks and answers", function()
    local c = connect()
    assert(c:subscribe("double", { queue = "workers" }, function(msg) assert(msg:respond(2 * msg.data)) end))
    for i = 1, 50 do assert.equal(tostring(2 * i), assert(c:request("double", tostring(i), SECONDS)).data) end
  end)

  both("tells when nobody answers", function()
    local c = connect()
    local answer, message, code = c:request("nobody", "x", SECONDS)
    assert.is_nil(answer)
    assert.equal("client:request nobody: no responders", message)
    assert.equal("ENORESPONDERS", code)
    assert(c:subscribe "silent")
    answer, message, code = c:request("silent", "x", 0.01)
    assert.is_nil(answer)
    assert.equal("client:request silent: timed out", message)
    assert.equal("ETIMEDOUT", code)
    answer, message, code = c:request("silent", "x", { timeout = 0 })
    assert.is_nil(answer)
    assert.equal("ETIMEDOUT", code, message)
  end)

  both("ends a subscription after so many messages", function()
    local c = connect()
    local sub = assert(c:subscribe "a")
    assert.is_true(sub:unsubscribe(3))
    local other = assert(c:subscribe("a", { max = 2 }))
    for i = 1, 5 do c:publish("a", tostring(i)) end
    local got = {}
    for msg in sub:messages(SECONDS) do got[#got + 1] = msg.data end
    assert.same({ "1", "2", "3" }, got)
    got = {}
    for msg in other:messages(SECONDS) do got[#got + 1] = msg.data end
    assert.same({ "1", "2" }, got)
    local none, message, code = sub:next(0)
    assert.is_nil(none)
    assert.equal("EOF", code)
    assert.matches("no more messages", message)
  end)

  both("takes back a subscription", function()
    local c = connect()
    local sub = assert(c:subscribe "a")
    c:publish("a", "1")
    assert.is_true(c:flush(SECONDS))
    assert.equal(1, sub:pending())
    assert.is_true(sub:unsubscribe())
    assert.is_true(sub:unsubscribe())
    local none, _, code = sub:next(SECONDS)
    assert.is_nil(none)
    assert.equal("EOF", code)
    c:publish("a", "2")
    assert.is_true(c:flush(SECONDS))
  end)

  both("gives a function its messages in order, one after the other", function()
    local c = connect()
    local got, inside, most = {}, 0, 0
    assert(c:subscribe("a", function(msg)
      inside = inside + 1
      most = math.max(most, inside)
      if #got < 3 then -- it waits, and more of its messages come meanwhile
        ipc.sleep(0.001)
        assert(c:flush(SECONDS))
      end
      got[#got + 1] = tonumber(msg.data)
      inside = inside - 1
      if #got == 1000 then c:stop() end
    end))
    for i = 1, 1000 do assert(c:publish("a", tostring(i))) end
    assert.is_true(c:run(SECONDS))
    assert.equal(1000, #got)
    for i = 1, 1000 do assert.equal(i, got[i]) end
    assert.equal(1, most)
  end)

  both("lets a function ask in its turn", function()
    local c = connect()
    assert(c:subscribe("inner", function(msg) msg:respond("<" .. msg.data .. ">") end))
    assert(c:subscribe("outer", function(msg) msg:respond(assert(c:request("inner", msg.data, SECONDS)).data) end))
    assert.equal("<x>", assert(c:request("outer", "x", SECONDS)).data)
  end)

  both("moves a megabyte at a time both ways at once", function()
    local c = connect()
    local sub = assert(c:subscribe "big")
    local data = ("0123456789abcdef"):rep(65536 - 64)
    for _ = 1, 20 do assert(c:publish("big", data)) end
    for _ = 1, 20 do assert.is_true(assert(sub:next(SECONDS)).data == data) end
    local ok, message, code = c:publish("big", data .. data)
    assert.is_nil(ok)
    assert.equal("EMSGSIZE", code)
    assert.matches("max_payload", message)
  end)

  both("drains inside a function, which gets the rest before the client closes", function()
    local c, other, got = connect(), connect(), {}
    local function take(msg)
      got[#got + 1] = msg.data
      if msg.data == "1" then
        while #got + c:stats().messages_held < 4 do assert(c:flush(SECONDS)) end
        assert.is_true(c:drain(SECONDS))
        assert.equal("draining", c:status())
      elseif msg.data == "3" then
        error { "the client goes on" }
      end
    end
    c:onerror(function() end)
    assert(c:subscribe("a", take))
    assert(c:subscribe("b", take))
    assert.is_true(c:flush(SECONDS))
    for i, subject in ipairs { "a", "a", "a", "b" } do assert(other:publish(subject, i)) end
    assert.is_true(c:run(SECONDS))
    table.sort(got)
    assert.same({ "1", "2", "3", "4" }, got)
    assert.equal("closed", c:status())
    other:close()
  end)

  both("drains: what has come is still handed out, then it is closed", function()
    local c, other = connect(), connect()
    local got = 0
    assert(c:subscribe("a", function() got = got + 1 end))
    assert.is_true(c:flush(SECONDS))
    for _ = 1, 500 do other:publish("a", "x") end
    assert.is_true(other:flush(SECONDS))
    assert.is_true(c:drain(SECONDS))
    assert.equal(500, got)
    assert.equal("closed", c:status())
  end)

  both("says what is the matter when it is closed", function()
    local c = connect()
    local sub = assert(c:subscribe "a")
    assert.equal("connected", c:status())
    assert(c:publish("a", "x", { reply = "b" }))
    local msg = assert(sub:next(SECONDS))
    assert.is_true(c:close())
    assert.is_true(c:close())
    assert.equal("closed", c:status())
    for name, arguments in pairs {
      publish = { "a", "x" }, subscribe = { "a" }, request = { "a", "x", 1 }, flush = { 1 }, run = { 1 }, inbox = {},
      setvbuf = { "no" }, fd = {}, pollfd = {}, events = {}, timeout = {},
    } do
      assert.has_error(function() c[name](c, table.unpack(arguments)) end,
        ("bad argument #1 to '%s' (closed client)"):format(name == "pollfd" and "fd" or name))
    end
    assert.is_true(c:stop() and c:drain())
    local answered, _, why = msg:respond "x" -- the function of a subscription cannot know
    assert.is_nil(answered)
    assert.equal("ECANCELED", why)
    assert.equal(c, c:settimeout(1):onerror())
    -- a reader sees the end
    local none, _, code = sub:next(1)
    assert.is_nil(none)
    assert.equal("ECANCELED", code)
    for _ in sub:messages() do error "a message" end
    assert.is_true(sub:close())
    assert.matches("^lipc%.client %(unix://.*, closed%)$", tostring(c))
  end)

  it("ends the waits of others when it is closed", function()
    local loop <close> = assert(ipc.loop.new())
    loop:wrap(function()
      local c = connect()
      local sub = assert(c:subscribe "a")
      local waits = {
        function() return sub:next(SECONDS) end, function() return c:request("a", "x", SECONDS) end,
      }
      for i, wait in ipairs(waits) do waits[i] = loop:wrap(function() return wait() end) end
      local runner = loop:wrap(function() return c:run(SECONDS) end)
      assert.equal("x", assert(sub:next(SECONDS)).data)
      c:close()
      for _, task in ipairs(waits) do
        local _, none, _, code = task:join()
        assert.is_nil(none)
        assert.equal("ECANCELED", code)
      end
      assert.is_true((select(2, runner:join())))
    end)
    assert.is_true(loop:run())
  end)

  both("subscriptions have a timeout and an end of their own", function()
    local c = connect():settimeout(SECONDS)
    local sub = assert(c:subscribe "a")
    assert.equal(sub, sub:settimeout(0.01))
    assert.equal("ETIMEDOUT", (select(3, sub:next())))
    assert.has_error(function() sub:settimeout(-1) end, "bad argument #1 to 'settimeout' (timeout in seconds expected)")
    do
      local inside <close> = sub
      c:publish("a", "x")
      assert.equal("x", assert(inside:next(SECONDS)).data)
    end
    assert.equal("EOF", (select(3, sub:next(SECONDS))))
    assert.is_true(sub:close())
    assert.is_true(sub:close())
  end)

  it("goes into a set of descriptors", function()
    local set <close> = assert(ipc.poll.open())
    local c, other = connect(), connect()
    local got = 0
    assert(c:subscribe("a", function() got = got + 1 end))
    local sub = assert(c:subscribe "b")
    assert.is_true(c:flush(SECONDS))
    assert.is_nil(c:timeout())
    assert.equal(c:fd(), c:pollfd())
    assert.equal("r", c:events())
    assert(set:add(c:pollfd(), c:events()))
    assert.equal("ETIMEDOUT", (select(3, set:wait(0))))
    other:publish("a", "1")
    other:publish("b", "2")
    while got == 0 or sub:pending() == 0 do
      assert.equal(1, set:wait(SECONDS))
      assert.equal(c:fd(), (set:ready(1)))
      assert.is_true(c:run(0))
    end
    assert.equal(0, c:timeout()) -- the other one waits to be taken
    assert.equal("2", assert(sub:next(0)).data)
    assert.is_nil(c:timeout())
  end)

  it("closes at the end of its block, also by an error", function()
    local c
    local ok, problem = pcall(function()
      local inside <close> = assert(ipc.connect(url))
      c = inside
      error("out", 0)
    end)
    assert.is_false(ok)
    assert.equal("out", problem)
    assert.equal("closed", c:status())
  end)

  describe("errors of functions", function()
    it("are raised by the call that waits, with a traceback, in a plain script; the others get theirs", function()
      local c = connect()
      local got = {}
      assert(c:subscribe("a", function(msg)
        if msg.data == "bad" then error "oops" end
        got[#got + 1] = msg.data
        if msg.data == "last" then c:stop() end
      end))
      for _, data in ipairs { "1", "bad", "2", "last" } do c:publish("a", data) end
      local ok, problem = pcall(c.run, c, SECONDS)
      assert.is_false(ok)
      assert.matches("client_spec.lua:%d+: oops\nstack traceback:", problem)
      if got[#got] ~= "last" then assert.is_true(c:run(SECONDS)) end
      assert.same({ "1", "2", "last" }, got)
    end)

    it("are raised by the loop in a task", function()
      local loop <close> = assert(ipc.loop.new())
      local got
      loop:wrap(function()
        local c = connect()
        c:subscribe("a", function(msg)
          if msg.data == "bad" then error "oops" end
          got = msg.data
          c:close()
        end)
        c:publish("a", "bad")
        c:publish("a", "good")
      end)
      local ok, problem = pcall(loop.run, loop)
      assert.is_false(ok)
      assert.matches("client_spec.lua:%d+: oops\nstack traceback:", problem)
      assert.is_true(loop:run())
      assert.equal("good", got)
    end)

    both("go to the error handler where there is one", function()
      local c = connect(nil, { onerror = function() error "replaced" end })
      local heard
      c:onerror(function(message, code) heard = { message, code } end)
      c:subscribe("a", function(msg)
        if msg.data == "bad" then error "oops" end
        c:stop()
      end)
      c:publish("a", "bad")
      c:publish("a", "good")
      assert.is_true(c:run(SECONDS))
      assert.is_true(c:flush(SECONDS))
      assert.matches("oops\nstack traceback:", heard[1])
      assert.equal("ERROR", heard[2])
    end)
  end)

  it("loses nothing that a script published which just ends", function()
    local c = connect() -- less than what would make the broker hold the publisher back
    local sub = assert(c:subscribe "bulk")
    assert.is_true(c:flush(SECONDS))
    for _, where in ipairs { url, handle:url "tcp" } do
      local out = peer.run([[
        local c = assert(ipc.connect(arg[1], { timeout = 60 })):setvbuf "full" -- also how long it waits at the end
        local own = c:subscribe "bulk"  -- what comes back to it is never read
        for i = 1, 5000 do assert(c:publish("bulk", ("%06d"):format(i) .. ("x"):rep(100))) end
      ]], where)
      assert.equal("", out)
      for i = 1, 5000 do
        local msg = assert(sub:next(SECONDS))
        assert.equal(i, tonumber(msg.data:sub(1, 6)))
      end
    end
  end)

  it("sends at once in a plain script, and later where setvbuf says so", function()
    local c, raw = connect(), nats.open(url)
    assert(raw:write "SUB a 1\r\n")
    nats.sync(raw)
    assert(c:publish("a", "1"))
    assert.equal("MSG a 1 1\r\n", raw:read "L")
    assert.equal("1\r\n", raw:read "L")
    c:setvbuf "full"
    assert(c:publish("a", "2"))
    nats.sync(raw)
    assert(c:setvbuf "no")
    assert.equal("MSG a 1 1\r\n", raw:read "L")
    assert.equal("2\r\n", raw:read "L")
    raw:close()
  end)

  it("wakes two that wait for one subscription, each with a message of its own", function()
    local got = {}
    in_loop(function(loop)
      local c = connect()
      local sub = assert(c:subscribe "a")
      local waiters = {}
      for i = 1, 2 do
        waiters[i] = loop:wrap(function()
          local msg = assert(sub:next(SECONDS))
          got[#got + 1] = msg.data
        end)
      end
      ipc.sleep(0)
      c:publish("a", "1")
      c:publish("a", "2")
      for i = 1, 2 do assert(waiters[i]:join()) end
    end)
    table.sort(got)
    assert.same({ "1", "2" }, got)
  end)

  it("asks many things at once in a loop", function()
    local sum = 0
    in_loop(function(loop)
      local c, server = connect(), connect()
      server:subscribe("inc", function(msg) msg:respond(msg.data + 1) end)
      assert.is_true(server:flush(SECONDS))
      local tasks = {}
      for i = 1, 100 do
        tasks[i] = loop:wrap(function()
          local answer = assert(c:request("inc", tostring(i), SECONDS))
          sum = sum + answer.data
        end)
      end
      for i = 1, 100 do assert(tasks[i]:join()) end
    end)
    assert.equal(5150, sum)
  end)

  it("lets the loop end when nobody waits for messages any more", function()
    local loop <close> = assert(ipc.loop.new())
    local c
    loop:wrap(function()
      c = connect()
      c:publish("a", "x")
    end)
    assert.is_true(loop:run()) -- although it is not closed
    assert.equal("connected", c:status())
    assert.is_true(c:flush(SECONDS)) -- and works on without the loop
  end)

  it("is not the child's after a fork", function()
    local c = connect()
    local sub = assert(c:subscribe "a")
    local process = assert(ipc.process.fork(function()
      local ok, message, code = c:publish("a", "child")
      assert(ok == nil and code == "ENOTCONN", message)
      ok, message, code = c:request("a", "child", 1)
      assert(ok == nil and code == "ENOTCONN", message)
      assert(c:close())
      local own <close> = assert(ipc.connect(url))
      assert(own:publish("a", "own"))
    end))
    local status = assert(process:wait(SECONDS))
    assert.is_true(status.ok, status.error)
    process:close()
    assert.equal("own", assert(sub:next(SECONDS)).data)
    c:publish("a", "parent")
    assert.equal("parent", assert(sub:next(SECONDS)).data)
  end)
end)
