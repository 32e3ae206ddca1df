-- The client when its connection is lost: it finds the broker again, or another one.
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"

local SECONDS = 30

describe("client, when the broker goes,", function()
  local clients = {}

  local function connect(url, options)
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

  both("connects again, subscribes again, and sends what was published meanwhile", function()
    local path = names.path ".sock"
    local first = assert(ipc.broker.start { path = path })
    local lost = 0
    local c = connect(first:url(), { onerror = function(_, code) if code == "ECONNRESET" then lost = lost + 1 end end })
    local sub = assert(c:subscribe "a")
    assert.is_true(c:flush(SECONDS))
    first:stop()
    local none, _, code = sub:next(0.01)
    assert.is_nil(none)
    assert.equal("ETIMEDOUT", code)
    assert.equal("reconnecting", c:status())
    assert(c:publish("a", "meanwhile"))
    local second = assert(ipc.broker.start { path = path })
    assert.equal("meanwhile", assert(sub:next(SECONDS)).data)
    assert.equal("connected", c:status())
    assert.is_true(c:flush(SECONDS))
    assert.equal(1, lost)
    c:close()
    second:close()
    first:close()
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
