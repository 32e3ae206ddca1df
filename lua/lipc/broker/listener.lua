-- listener.lua - where a broker listens, and who gets in; internal.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local credentials = require "lipc.broker.credentials"

local listener = {}

-- The most connections taken in one turn of the loop.
local ACCEPTS_A_TURN = 32

-- Accepting stops for so long when descriptors or memory run out; doubled each time.
local FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1

local SHORTAGE = { EMFILE = true, ENFILE = true, ENOBUFS = true, ENOMEM = true }

---The path of the user's own broker.
---@return string? path  nil, message, code
function listener.default_path()
  local directory, message, code = ipc.socket.runtimedir()
  if not directory then return nil, message, code end
  return directory .. "/broker.sock"
end

local function bracket(host)
  return host:find(":", 1, true) and "[" .. host .. "]" or host
end

local function open_unix(options)
  local path = options.path
  if not path then
    local default, message, code = listener.default_path()
    if not default then return nil, message, code end
    path = default
  end
  local socket, message, code = ipc.socket.listen { path = path, mode = options.mode }
  if not socket then return nil, message, code end
  return { socket = socket, kind = "unix", url = "unix://" .. path }
end

local function escape(text)
  return (text:gsub("[^%w%-._~]", function (c) return ("%%%02X"):format(c:byte()) end))
end

local function open_tcp(options)
  local socket, message, code = ipc.socket.listen { host = options.host, port = options.port }
  if not socket then return nil, message, code end
  local address = socket:getsockname()
  local self = { socket = socket, kind = "tcp", host = address.host, port = address.port }
  if not options.insecure and not options.token and not options.user then
    local token, directory, saved
    token, message, code = credentials.random(16)
    if token then
      directory, message, code = ipc.socket.runtimedir()
    else
      message = "broker.listen " .. message
    end
    if directory then
      self.token_file = ("%s/broker-%d.token"):format(directory, address.port)
      saved, message, code = credentials.save(self.token_file, token)
    end
    options.token = token
    if not saved then
      socket:close()
      return nil, message, code
    end
  end
  local login = options.token and escape(options.token) .. "@"
    or options.user and escape(options.user) .. ":" .. escape(options.pass or "") .. "@" or ""
  self.url = ("nats://%s%s:%d"):format(login, bracket(address.host), address.port)
  return self
end

---A URL without what is secret in it, for messages.
---@param url string
---@return string
function listener.public(url)
  return (url:gsub("^nats://.*@", "nats://"))
end

---Opens what the options ask for.
---@param options table
---@return table[]? listeners, string? message, string? code
function listener.open(options)
  local list = {}
  if options.path ~= false then
    local one, message, code = open_unix(options)
    if not one then return nil, message, code end
    list[1] = one
  end
  if options.host then
    local one, message, code = open_tcp(options)
    if not one then
      if list[1] then list[1].socket:close() end
      return nil, message, code
    end
    list[#list + 1] = one
  end
  return list
end

---@param remove boolean  whether names go too: not those of the process that this one was forked from
function listener.close(self, remove)
  self.socket:close()
  if remove and self.token_file then
    os.remove(self.token_file)
    self.token_file = nil
  end
end

local function refuse(socket, text)
  socket:settimeout(0)
  socket:write("-ERR '" .. text .. "'\r\n")
  socket:close()
end

-- Looks at who has come.
local function admit(broker, self, socket)
  local options = broker.options
  local trusted
  if self.kind == "unix" then
    local cred = socket:peercred()
    trusted = cred ~= nil and cred.uid == broker.uid
    if not trusted and not broker.server.authenticate then return refuse(socket, "Authorization Violation") end
  else
    trusted = options.insecure == true
    socket:setoption("nodelay", true)
  end
  if broker.connection_count >= options.max_connections then return refuse(socket, "maximum connections exceeded") end
  broker:_admit(socket, trusted, self.kind)
end

---The task that accepts.
function listener.run(self, broker)
  local wait, socket = broker.loop.wait, self.socket
  local fd = socket:fd()
  broker.loop.poller:add(socket, "r")
  broker.loop.poller:add(fd, "r")
  local pause = FIRST_PAUSE
  while not broker.stopped do
    wait(fd, "r", nil)
    for _ = 1, ACCEPTS_A_TURN do
      if broker.stopped then return end
      local client, _, code = socket:accept(0)
      if client then
        pause = FIRST_PAUSE
        admit(broker, self, client)
      elseif SHORTAGE[code] then
        broker.accept_pauses = broker.accept_pauses + 1
        wait(nil, nil, ipc.now() + pause)
        pause = math.min(2 * pause, LONGEST_PAUSE)
        break
      elseif code == "ETIMEDOUT" then
        break
      end
    end
  end
end

return listener
