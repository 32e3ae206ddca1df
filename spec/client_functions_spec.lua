-- ipc.connect in plain scripts: functions that are slow, fail, end their own subscription, or wait themselves; and subscriptions
-- that nobody keeps.
local child = require "support.child"
local ipc = require "lipc"
local names = require "support.names"

local SECONDS = 30

describe("client in a plain script", function()
  local handle, url
  local clients = {}

  setup(function()
    handle = assert(ipc.broker.start { path = names.path ".sock" })
    url = handle:url()
  end)
  teardown(function() handle:close() end)

  local function connect(options)
    local c = assert(ipc.connect(url, options or { timeout = SECONDS }))
    clients[#clients + 1] = c
    return c
  end
  after_each(function()
    for _, c in ipairs(clients) do c:close() end
    clients = {}
  end)

  -- Another client sends so many messages, and they come; the functions may have got some of them.
  local function send(c, subject, times)
    local p = connect()
    for i = 1, times do assert(p:publish(subject, tostring(i))) end
    assert(p:flush(SECONDS))
    p:close()
    local mark = assert(c:subscribe(subject .. ".mark"))
    assert(c:publish(subject .. ".mark", ""))
    assert(mark:next(SECONDS))
    mark:close()
  end

  describe("calls functions", function()
    for how, stop in pairs {
      ["that end their subscription"] = function(sub) sub:unsubscribe() end,
      ["that close their subscription"] = function(sub) sub:close() end,
      ["that end it and fail"] = function(sub)
        sub:unsubscribe()
        error("on purpose", 0)
      end,
    } do
      it(how .. ", and others afterwards", function()
        local c = connect { onerror = function() end, timeout = SECONDS }
        for _ = 1, 3 do
          local sub
          sub = assert(c:subscribe("once", function() stop(sub) end))
          assert(c:publish("once", "x"))
          assert(c:flush(SECONDS))
        end
        local got = 0
        c:subscribe("jobs", function() got = got + 1 end)
        for i = 1, 5 do
          assert(c:publish("jobs", "x"))
          assert(c:flush(SECONDS))
          assert.equal(i, got)
        end
        assert.equal(0, c:stats().messages_held)
        assert.is_true(c:drain(SECONDS))
      end)
    end

    it("that subscribe and end others' subscriptions", function()
      local c, got = connect(), {}
      local victims = {}
      for i = 1, 20 do victims[i] = assert(c:subscribe("go", function() got[#got + 1] = "victim" end)) end
      c:subscribe("go", function()
        for i = 1, 20 do victims[i]:unsubscribe() end
        for _ = 1, 20 do c:subscribe("again", function() got[#got + 1] = "new" end) end
      end)
      c:subscribe("again", function() got[#got + 1] = "old" end)
      assert(c:publish("go", "x"))
      assert(c:publish("again", "x"))
      assert(c:flush(SECONDS))
      assert(c:publish("again", "x"))
      assert(c:flush(SECONDS))
      local news = 0
      for _, what in ipairs(got) do news = news + (what == "new" and 1 or 0) end
      assert.equal(20, news)
    end)

    it("for as long as the call may take, and for the rest later", function()
      local TOTAL = 2000
      local c, got, pause = connect(), 0, 0.005 -- ten seconds for all of them
      c:subscribe("slow", function()
        got = got + 1
        ipc.sleep(pause)
      end)
      local quiet = assert(c:subscribe "quiet")
      send(c, "slow", TOTAL)
      local before = got
      for name, call in pairs {
        run = function() assert.is_true(c:run(0.02)) end,
        next = function() assert.equal("ETIMEDOUT", (select(3, quiet:next(0.02)))) end,
        flush = function() c:flush(0.02) end,
        request = function() assert.equal("ENORESPONDERS", (select(3, c:request("nobody", "", SECONDS)))) end,
      } do
        call()
        assert.is_true(got > before and got < TOTAL, name .. " " .. got)
        before = got
      end
      assert.is_true(c:stats().messages_held > 0)
      assert.equal(0, c:timeout())
      pause = 0
      c:run(0) -- what is here, without waiting for more
      assert.equal(TOTAL, got)
      assert.equal(0, c:stats().messages_held)
    end)

    it("until they stop the run", function()
      local c, got = connect(), 0
      c:subscribe("s", function()
        got = got + 1
        c:stop()
      end)
      local p = connect()
      for _ = 1, 5 do assert(p:publish("s", "")) end
      for i = 1, 5 do
        assert.is_true(c:run(SECONDS))
        assert.equal(i, got)
      end
    end)

    it("that cause their next message, without staying for ever or forgetting others", function()
      local c, fed, other = connect(), 0, 0
      c:subscribe("feed", function()
        fed = fed + 1
        assert(c:publish("feed", ""))
        assert(c:flush(SECONDS))
      end)
      c:subscribe("other", function() other = other + 1 end)
      assert(c:publish("feed", ""))
      repeat assert.is_true(c:run(0.01)) until fed > 3
      assert(c:publish("other", ""))
      repeat assert.is_true(c:run(0.01)) until other == 1
      local quiet = assert(c:subscribe "quiet")
      assert.equal("ETIMEDOUT", (select(3, quiet:next(0.01))))
      assert.is_true(c:flush(SECONDS))
    end)

    it("and the handler of errors between them", function()
      local seen = {}
      local c = connect { timeout = SECONDS, onerror = function(problem) seen[#seen + 1] = problem:match "^[^\n]*" end }
      c:subscribe("w", function(msg)
        seen[#seen + 1] = msg.data
        if msg.data == "2" then error("two", 0) end
        if msg.data == "3" then error() end -- luacheck: ignore
      end)
      send(c, "w", 4)
      c:run(0)
      assert.same({ "1", "2", "two", "3", "(error object is a nil value)", "4" }, seen)
    end)

    it("and raises what is nobody's at once, keeping the rest", function()
      local c, got = connect(), {}
      c:subscribe("w", function(msg)
        got[#got + 1] = msg.data
        if msg.data == "2" then error("two", 0) end
      end)
      local p = connect()
      for i = 1, 4 do assert(p:publish("w", tostring(i))) end
      assert(p:flush(SECONDS))
      local ok, problem = pcall(function() repeat c:run(0.01) until false end)
      assert.is_false(ok)
      assert.matches("^two", problem)
      assert.same({ "1", "2" }, got)
      c:subscribe("bad", function() error("again", 0) end)
      assert(c:publish("bad", "x"))
      assert.is_false(pcall(c.flush, c, SECONDS))
      assert.equal(0, c.asking)
      repeat c:run(0.01) until #got == 4
    end)
  end)

  for name, work in pairs { ["is busy"] = "while true do end", sleeps = 'require "lipc".sleep(1000)' } do
    it("is ended by Ctrl-C while a function " .. name .. ", handler of errors or not", function()
      local p, finish = child.lua(([[
        local ipc = require "lipc"
        local c = assert(ipc.connect(..., { onerror = function(problem) print("told", problem) end }))
        c:subscribe("w", function(msg)
          ready(msg.data)
          %s
        end)
        for i = 1, 3 do c:publish("w", tostring(i)) end
        c:run()
      ]]):format(work), url)
      local pid, number = assert(p:read "l"):match "^(%d+)%s+(%d+)$"
      assert.equal("1", number)
      assert(ipc.signal.kill(math.tointeger(pid), "SIGINT"))
      local ok, output = finish()
      assert.is_nil(ok)
      assert.matches("^exit 1: .*interrupted!", output)
      assert.not_matches("told", output)
    end)
  end

  it("waits to publish no longer than it was told to", function()
    local broker <close> = assert(ipc.broker.start { path = names.path ".sock" })
    local c = assert(ipc.connect(broker:url(), { timeout = SECONDS }))
    clients[#clients + 1] = c
    local sub = assert(c:subscribe "x")
    assert(c:flush(SECONDS))
    assert(ipc.signal.kill(broker:pid(), "SIGSTOP"))
    c:settimeout(0.01)
    local sent, data = 0, ("x"):rep(100000)
    local ok, message, code
    repeat
      ok, message, code = c:publish("x", data)
      if ok then sent = sent + 1 end
    until not ok or sent == 1000
    assert.equal("client:publish x: timed out", message)
    assert.equal("ETIMEDOUT", code)
    assert.equal("ETIMEDOUT", (select(3, c:flush(0.01))))
    assert(ipc.signal.kill(broker:pid(), "SIGCONT"))
    c:settimeout(SECONDS)
    assert(c:publish("x", "last")) -- what was refused is not sent, what was taken is
    for _ = 1, sent do assert.equal(data, assert(sub:next(SECONDS)).data) end
    assert.equal("last", assert(sub:next(SECONDS)).data)
  end)

  describe("forgets", function()
    it("a subscription that nobody keeps", function()
      local c = connect()
      local sub = assert(c:subscribe "kept")
      do
        local gone = assert(c:subscribe("gone", { queue = "g", max = 1e3, pending_messages = 1e3 })) -- luacheck: ignore
        send(c, "gone", 3)
        assert.equal(3, c:stats().messages_held)
      end
      collectgarbage()
      collectgarbage()
      assert.equal(0, c:stats().messages_held)
      assert(c:flush(SECONDS))
      assert.equal("ENORESPONDERS", (select(3, connect():request("gone", "", SECONDS))))
      assert(c:publish("kept", "x"))
      assert.equal("x", assert(sub:next(SECONDS)).data)
    end)

    it("one that was refused, without a word", function()
      local _, finish = child.lua([[
        warn "@on"
        local c = assert(require "lipc".connect(...))
        print(c:subscribe("a..b"))
        print(c:subscribe("a..b", function() end))
        collectgarbage()
        collectgarbage()
        local got
        c:subscribe("a", function(msg) got = msg.data end)
        c:publish("a", "x")
        c:flush()
        print(got)
      ]], url)
      local ok, output = finish()
      assert.is_true(ok, output)
      assert.matches("^nil\t[^\n]*EINVAL\nnil\t[^\n]*EINVAL\nx\n$", output)
    end)

    it("none with a function", function()
      local c, got = connect(), 0
      c:subscribe("f", function() got = got + 1 end)
      collectgarbage()
      collectgarbage()
      assert(c:publish("f", "x"))
      assert(c:flush(SECONDS))
      assert.equal(1, got)
    end)

    it("what came beyond the number that was wanted", function()
      local c = connect()
      for _, case in ipairs { { taken = 0, max = 2, left = 2 }, { taken = 1, max = 3, left = 2 }, { taken = 3, max = 2, left = 0 } } do
        local sub = assert(c:subscribe "n")
        send(c, "n", 5)
        for _ = 1, case.taken do assert(sub:next(0)) end
        assert.is_true(sub:unsubscribe(case.max + 0.0)) -- as Lua takes it
        assert.equal(case.left, sub:pending())
        for i = 1, case.left do assert.equal(tostring(case.taken + i), assert(sub:next(0)).data) end
        assert.equal("EOF", (select(3, sub:next(0))))
        assert.equal(0, c:stats().messages_held)
      end
    end)
  end)
end)
