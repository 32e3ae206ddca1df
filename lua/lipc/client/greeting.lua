-- greeting.lua - the first and the last words of a connection; internal.    SPDX-License-Identifier: MIT

local ipc = require "lipc"

local now = ipc.now

local READ_SIZE = 65536

-- What the kernel keeps of what is sent on a Unix socket, if it may; its default makes the two ends wake each other up too often.
local SEND_BUFFER = 1 << 20

-- So often a connection that is gone is read from: enough for what the kernel keeps for it.
local LAST_READS = 1024

-- What reading or writing says when the other side is gone.
local GONE = { EOF = true, ECONNRESET = true, EPIPE = true }

-- Of what the socket says, the reason: which server it is about the caller knows better.
local function reason(server, message, code)
  local hint = (code == "ENOENT" or code == "ECONNREFUSED") and " (is a broker running?)" or ""
  return server.name .. ": " .. (message:match "^socket.*: (.-)$" or message) .. hint
end

---The connection is gone: what the server said before may still be there, with its reason at the end.
---@return string message, string code
local function last_words(self, socket)
  local proto = self.proto
  for _ = 1, LAST_READS do
    local data = socket:readsome(READ_SIZE, 0)
    if not data then break end
    if not proto:feed(data) then return tostring(proto.failure), proto.failure_code or "EPROTO" end
  end
  local parser = proto.parser
  local where = (parser.missing > 0 or parser.held > 0) and " in the middle of a message" or ""
  return "the server closed the connection" .. where, "ECONNRESET"
end

-- Speaks with a server until it has accepted us.
local function greet(self, socket, server, deadline)
  local proto = self.proto
  while proto.state ~= "ready" do
    local left = deadline - now()
    if left <= 0 then return nil, server.name .. ": timed out", "ETIMEDOUT" end
    local data, message, code = socket:readsome(READ_SIZE, left)
    if not data then
      if GONE[code] then return nil, server.name .. ": the server closed the connection", "ECONNRESET" end
      return nil, reason(server, message, code), code
    end
    if self.proto ~= proto or proto.state == "closed" then return nil, "closed", "ECANCELED" end
    local open = proto:feed(data)
    if not open then
      code = proto.failure_code or "EPROTO"
      local hint = code == "EPROTO" and " (is that a NATS server?)" or ""
      return nil, server.name .. ": " .. tostring(proto.failure) .. hint, code
    end
    if proto.server_info.tls_required then return nil, server.name .. ": the server wants TLS", "ENOTSUP" end
    if proto.state ~= "ready" then
      local greeting = proto:take()
      if greeting ~= "" then
        socket:settimeout(math.max(0, deadline - now()))
        local ok
        ok, message, code = socket:write(greeting)
        if not ok then return nil, reason(server, message, code), code end
        proto:wrote(#greeting)
      end
    end
  end
  return true
end

local function open_unix(path, left)
  local called, socket, message, code = pcall(ipc.socket.connect, { path = path, sndbuf = SEND_BUFFER, timeout = left })
  if called then return socket, message, code end
  -- the length that a path may have is the system's
  local problem = tostring(socket):match "option 'path': (.*)%)$"
  if not problem then error(socket, 0) end
  return nil, problem, "ENAMETOOLONG"
end

---Tries one server.
---@return true? ok, string? message, string? code
local function try(self, server, deadline)
  local proto, options = self.proto, self.options
  self.trying = server
  proto.options.user = server.user or options.user
  proto.options.pass = server.pass or options.pass
  proto.options.auth_token = server.token or options.token
  local left = math.max(0, deadline - now())
  local socket, message, code
  if server.path then
    socket, message, code = open_unix(server.path, left)
  else
    socket, message, code = ipc.socket.connect { host = server.host, port = server.port, nodelay = true, timeout = left }
  end
  if not socket then return nil, reason(server, message, code), code end
  local ok
  ok, message, code = greet(self, socket, server, deadline)
  if not ok then
    socket:close()
    proto:reset()
    return nil, message, code
  end
  socket:settimeout(0)
  self.socket, self.number = socket, socket:fd()
  self.server = server
  self.state = self.draining and "draining" or "connected"
  return true
end

return { try = try, last_words = last_words, GONE = GONE }
