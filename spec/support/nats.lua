-- Servers and bare connections for the specs of brokered messaging.
local assert = require "luassert"
local ipc = require "lipc"
local names = require "support.names"

local nats = {}

-- Generous: nothing below takes long unless it is broken.
local SECONDS = 30

-- start([configuration[, port]]) -> server: Debian's nats-server on the loopback, on a free port unless said, when it is ready.
--   server.port, server.url, server:drain(), server:reload(configuration), server:stop()
function nats.start(configuration, port)
  local path = names.path ".conf"
  local function configure(text)
    local file = assert(io.open(path, "w"))
    file:write(text or "", "\n")
    file:close()
  end
  configure(configuration)
  local process = assert(ipc.process.spawn {
    "nats-server", "-a", "127.0.0.1", "-p", tostring(port or -1), "-c", path, stdin = "null", stdout = "null", stderr = "pipe",
    pdeathsig = "SIGKILL",
  })
  local log = process.stderr:settimeout(SECONDS)
  local said = {}
  local server = { process = process, log = log, said = said }
  repeat
    local line = log:read "l"
    if not line then error("nats-server did not start:\n" .. table.concat(said, "\n"), 2) end
    said[#said + 1] = line
    server.port = server.port or math.tointeger(tonumber(line:match "Listening for client connections on 127%.0%.0%.1:(%d+)"))
  until line:find "Server is ready"
  os.remove(path)
  server.url = "nats://127.0.0.1:" .. server.port

  -- What it writes to its log must not fill the pipe.
  function server:drain()
    while log:readsome(65536, 0) do end
  end

  function server:reload(text)
    configure(text)
    assert(process:kill "SIGHUP")
    repeat
      local line = assert(log:read "l")
      assert(not line:find "Failed to reload", line)
    until line:find "Reloaded server configuration"
    os.remove(path)
  end

  function server:stop()
    if self.stopped then return end
    self.stopped = true
    process:kill "SIGKILL"
    assert(process:wait(SECONDS))
    log:close()
    process:close()
  end
  return setmetatable(server, { __close = server.stop })
end

-- connect(url) -> socket: a bare connection; nothing is said yet.
function nats.connect(url)
  local path = url:match "^unix://(.*)$"
  local socket
  if path then
    socket = assert(ipc.socket.connect { path = path, timeout = SECONDS })
  else
    local host, port = url:match "^nats://([^:@]*):(%d+)$"
    if not host then host, port = url:match "@(.*):(%d+)$" end
    socket = assert(ipc.socket.connect { host = host, port = math.tointeger(port), timeout = SECONDS })
  end
  return socket:settimeout(SECONDS)
end

-- line(socket) -> what comes next, as socket:read "L".  nats-server asks each client two seconds after it came whether it
-- lives: that is answered here.
function nats.line(socket)
  while true do
    local line, message, code = socket:read "L"
    if line ~= "PING\r\n" then return line, message, code end
    assert(socket:write "PONG\r\n")
  end
end

-- open(url[, connect]) -> socket: has read INFO, sent a CONNECT that asks for no answers, and been accepted.
function nats.open(url, options)
  local socket = nats.connect(url)
  assert(assert(socket:read "L"):find "^INFO {")
  assert(socket:write("CONNECT ", options or '{"verbose":false,"pedantic":false}', "\r\nPING\r\n"))
  assert.equal("PONG\r\n", assert(nats.line(socket)))
  return socket
end

-- sync(socket): the server has handled everything that was sent; nothing else came meanwhile.
function nats.sync(socket)
  assert(socket:write "PING\r\n")
  assert.equal("PONG\r\n", assert(nats.line(socket)))
end

-- rest(socket) -> what comes until the server closes
function nats.rest(socket)
  local parts = {}
  while true do
    local data, _, code = socket:readsome(65536)
    if not data then
      assert.is_true(code == "EOF" or code == "ECONNRESET", code)
      return table.concat(parts)
    end
    parts[#parts + 1] = data
  end
end

return nats
