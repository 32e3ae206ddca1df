-- ipc.broker: its limits, and what it does at them.
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"

local SECONDS = 30

describe("broker", function()
  local handle
  local open = {}

  local function start(options)
    options.path = names.path ".sock"
    handle = assert(ipc.broker.start(options))
    return handle
  end

  local function connect()
    local socket = nats.open(handle:url())
    open[#open + 1] = socket
    return socket
  end

  after_each(function()
    for _, socket in ipairs(open) do socket:close() end
    open = {}
    if handle then handle:close() end
    handle = nil
  end)

  describe("limits", function()
    it("the connections", function()
      start { max_connections = 2 }
      local a, _ = connect(), connect()
      local c = nats.connect(handle:url())
      assert.equal("-ERR 'maximum connections exceeded'\r\n", nats.rest(c))
      c:close()
      a:close()
      local d
      repeat -- until the first one's end is noticed
        if d then d:close() end
        d = nats.connect(handle:url())
        local line = d:read "L"
      until line and line:find "^INFO"
      d:close()
    end)

    it("its own descriptors: what cannot be opened is reported by code", function()
      start {}
      local process <close> = assert(ipc.process.fork(function()
        local attempts = {
          connect = function() return ipc.connect(handle:url()) end,
          listen = function() return ipc.broker.new { path = names.path ".sock", tcp = "127.0.0.1:0" }:listen() end,
          run = function() -- where it succeeds it would not return
            local loop <close>, message, code = ipc.loop.new()
            if not loop then return nil, message, code end
            return ipc.broker.run { path = "/nonexistent/x" }
          end,
          start = function() return ipc.broker.start { path = names.path ".sock", tcp = "127.0.0.1:0" } end,
        }
        for name, attempt in pairs(attempts) do -- everything is loaded
          local object = attempt()
          if object then object:close() end
          local held, failures = {}, 0
          local one = ipc.eventfd.open()
          while one do
            held[#held + 1] = one
            one = ipc.eventfd.open()
          end
          repeat
            local ok, result, message, code = pcall(attempt)
            assert(ok, name .. ": " .. tostring(result))
            if result then
              result:close()
            elseif code ~= "ENOENT" then
              assert(code == "EMFILE" and message:find "Too many open files", name .. ": " .. tostring(message))
              failures = failures + 1
            end
            if result or code == "ENOENT" then break end
            table.remove(held):close()
          until false
          assert(failures > 0, name)
          for _, rest in ipairs(held) do rest:close() end
        end
      end, { limits = { nofile = 64 } }))
      local status = assert(process:wait(SECONDS))
      assert.is_true(status.ok, status.error)
    end)

    it("the payload, the line and the subscriptions", function()
      start { max_payload = 10, max_control_line = 64, max_subscriptions = 1, max_subscription_tokens = 3 }
      local a = connect()
      assert(a:write "SUB a 1\r\nSUB b 2\r\nPING\r\n")
      assert.equal("-ERR 'maximum subscriptions exceeded'\r\n", a:read "L")
      assert.equal("PONG\r\n", a:read "L")
      assert(a:write "PUB a 11\r\n")
      assert.equal("-ERR 'Maximum Payload Violation'\r\n", nats.rest(a))
      local b = connect()
      assert(b:write("SUB ", ("x"):rep(100), " 1\r\n"))
      assert.equal("-ERR 'maximum control line exceeded'\r\n", nats.rest(b))
    end)

    it("survives a shortage of descriptors", function()
      local path = names.path ".sock"
      local process = assert(ipc.process.fork(function()
        assert(ipc.broker.run { path = path })
      end, { limits = { nofile = 32 } }))
      local clients, served = {}, 0
      repeat clients[1] = ipc.socket.connect { path = path } until clients[1] or process:status() ~= false
      for i = 2, 60 do clients[i] = assert(ipc.socket.connect { path = path, timeout = SECONDS }) end
      -- one after the other they get their turn as others leave
      for _, socket in ipairs(clients) do
        socket:settimeout(SECONDS)
        assert.matches("^INFO", (assert(socket:read "L")))
        served = served + 1
        socket:close()
      end
      assert.equal(60, served)
      assert(process:kill "SIGTERM")
      assert.is_true(assert(process:wait(SECONDS)).ok)
      process:close()
    end)
  end)
end)
