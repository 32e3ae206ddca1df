-- listener.lua - where a broker listens, and who gets in; internal.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local access = require "lipc.broker.access"
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

local function open_unix(place, options)
  local path = place.path
  if not path then
    local default, message, code = listener.default_path()
    if not default then return nil, message, code end
    path = default
  end
  local called, socket, message, code = pcall(ipc.socket.listen, { path = path, mode = options.mode })
  if not called then -- the length that a path may have is the system's
    local reason = tostring(socket):match "option 'path': (.*)%)$"
    if not reason then error(socket, 0) end
    return nil, ("socket.listen %s: %s"):format(path, reason), "ENAMETOOLONG"
  end
  if not socket then return nil, message, code end
  return { socket = socket, kind = "unix", path = path }
end

local function escape(text)
  return (text:gsub("[^%w%-._~]", function (c) return ("%%%02X"):format(c:byte()) end))
end

-- Where nothing was given that clients could show, a token is made up, and lies where its owner can read it.
local function save_token(broker, self)
  local options = broker.options
  if options.insecure or not broker.made_token and access.has_login(options) then return true end
  local directory, message, code
  if not broker.made_token then
    broker.made_token, message, code = credentials.random(16)
    if not broker.made_token then return nil, "broker.listen " .. message, code end
    options.token = broker.made_token
  end
  directory, message, code = ipc.socket.runtimedir()
  if not directory then return nil, message, code end
  self.token_file = ("%s/broker-%d.token"):format(directory, self.port)
  return credentials.save(self.token_file, broker.made_token)
end

local function open_tcp(place, broker)
  local socket, message, code = ipc.socket.listen { host = place.host, port = place.port }
  if not socket then return nil, message, code end
  local address = socket:getsockname()
  local self = { socket = socket, kind = "tcp", host = address.host, port = address.port }
  local saved
  saved, message, code = save_token(broker, self)
  if not saved then
    socket:close()
    return nil, message, code
  end
  return self
end

---Where it listens.
---@return string
function listener.address(self)
  if self.kind == "unix" then return "unix://" .. self.path end
  return ("%s:%d"):format(bracket(self.host), self.port)
end

---The same for clients, with what they have to show.
---@return string
function listener.url(self, options)
  if self.kind == "unix" then return listener.address(self) end
  local login = options.token and escape(options.token) .. "@"
    or options.user and escape(options.user) .. ":" .. escape(options.pass) .. "@" or ""
  return "nats://" .. login .. listener.address(self)
end

---A URL without what is secret in it, for messages.
---@param url string
---@return string
function listener.public(url)
  return (url:gsub("^nats://.*@", "nats://"))
end

---Opens what the options ask for, all or nothing.
---@param broker lipc.broker
---@return table[]? listeners, string? message, string? code
function listener.open(broker)
  local list = {}
  for _, place in ipairs(broker.options.places) do
    local one, message, code
    if place.kind == "unix" then
      one, message, code = open_unix(place, broker.options)
    else
      one, message, code = open_tcp(place, broker)
    end
    if not one then
      for _, open in ipairs(list) do listener.close(open, true) end
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
  local peer = {}
  if self.kind == "unix" then
    local cred = socket:peercred()
    peer.uid, peer.pid = cred and cred.uid, cred and cred.pid
    peer.trusted = cred ~= nil and cred.uid == broker.uid
    if not peer.trusted and not broker.server.authenticate then
      broker.log.error("unix user %s: Authorization Violation", peer.uid or "unknown")
      return refuse(socket, "Authorization Violation")
    end
  else
    local address = socket:getpeername()
    if not address then return socket:close() end -- gone already
    peer.ip, peer.port = address.host, address.port
    socket:setoption("nodelay", true)
  end
  if broker.connection_count >= broker.options.max_connections then
    broker.log.error "maximum connections exceeded"
    return refuse(socket, "maximum connections exceeded")
  end
  broker:_admit(socket, peer)
end

---The task that accepts.
function listener.run(self, broker)
  if broker.stopped then return end -- before its first turn
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
