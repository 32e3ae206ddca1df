-- nats_server.lua - a NATS server without its sockets: sessions take bytes from clients and gather bytes for them.
-- A broker makes a server, a session per connection, feeds each what it read and writes what each has to say:
--   session:feed(data)                  what was read
--   server:take_dirty()                 the sessions that have something new to write since the last time
--   session:take_pieces() -> n, string...  the next n bytes of that, in one piece or a few, to be written in one go;
--                                          session.count is 0 when there are no more
--   session:wrote(n)                    n bytes of what was taken went
--   session.closing                     why the connection is to be closed once its output is written; nil while open
--   session.paused                      not 0: stop reading from this client, a subscriber of its messages lags
--   session:close(reason)               the connection is gone
-- Pure: no I/O, no clock; the random function for queue groups is given in.    SPDX-License-Identifier: MIT

local json = require "lipc.proto.json"
local nats_session = require "lipc.proto.nats_session"
local records = require "lipc.proto.records"
local router = require "lipc.proto.nats_router"
local sublist = require "lipc.proto.sublist"

local INFO_ORDER = {
  "server_id", "server_name", "version", "proto", "host", "port", "headers", "auth_required", "max_payload", "client_id",
  "client_ip", "connect_urls",
}

---@class lipc.proto.ServerOptions
---@field info? table                  further members of INFO: server_id, server_name, host, port ...
---@field random? fun(n: integer): integer  from 1 to n; math.random when absent
---@field now? fun(): number           seconds, for permissions to answer that expire; absent: they do not
---@field records? table              as records.lua, which is taken when absent
---@field authenticate? fun(session: lipc.proto.Session, options: table): lipc.proto.Permissions|boolean, string?
---  Asked at every CONNECT: true or what the client may do; false and a text, "Authorization Violation" when absent, refuses.
---  While it is there, a client must send CONNECT first.
---@field max_payload? integer         bytes of a message with its headers (1 MiB)
---@field max_control_line? integer    bytes of the arguments of a control line (4096)
---@field max_subscriptions? integer   of one session (65536)
---@field max_subscription_tokens? integer  of one subject subscribed to (128)
---@field max_subscription_memory? integer  of one session, roughly in bytes (64 MiB)
---@field high_water? integer          pending bytes above which a session's publishers are paused (4 MiB)
---@field max_pending? integer         pending bytes above which a session is cut as a slow consumer (64 MiB)
---@field on_resume? fun(session: lipc.proto.Session)  a paused session may be read from again; may come in the middle of
---  another's feed, so take note and feed later
---@field on_close? fun(session: lipc.proto.Session, reason: string)  the session is closing: its subscriptions are gone

---What a client may do; nil: everything.  nats_permissions.lua makes it from a configuration.
---@class lipc.proto.Permissions
---@field publish? fun(subject: string): boolean
---@field subscribe? fun(subject: string, queue: string?): boolean
---@field filter? fun(pattern: string, queue: string?): (fun(subject: string): boolean)?  what a subscription asks before it
---  is given a message; nil: nothing
---@field responses? { max: integer, expires: number }  answers that may be given although publish says no

---@class lipc.proto.Server
---@field subscriptions lipc.proto.Sublist
---@field sessions table<lipc.proto.Session, true>
---@field session_count integer
---@field messages_in integer
---@field messages_out integer
local Server = {}
Server.__index = Server

local DEFAULTS = {
  max_payload = 1 << 20,
  max_control_line = 4096,
  max_subscriptions = 1 << 16,
  max_subscription_tokens = 128,
  max_subscription_memory = 64 << 20,
  high_water = 4 << 20,
  max_pending = 64 << 20,
  records = records,
  random = math.random,
  now = function () return 0 end,
}

---@param options? lipc.proto.ServerOptions
---@return lipc.proto.Server
local function new(options)
  options = options or {}
  local self = {
    subscriptions = sublist.new(),
    sessions = {},
    session_count = 0,
    last_id = 0,
    messages_in = 0,
    messages_out = 0,
    dirty = {},
    dirty_count = 0,
    authenticate = options.authenticate,
    on_resume = options.on_resume or function () end,
    on_close = options.on_close or function () end,
  }
  for name, default in pairs(DEFAULTS) do
    self[name] = options[name] or default
  end
  self.low_water = self.high_water // 2
  self.info = {
    server_id = "lipc", server_name = "lipc", version = "2.9.0", proto = 1, host = "localhost", port = 0,
    headers = true, auth_required = options.authenticate and true or nil, max_payload = self.max_payload,
  }
  for name, value in pairs(options.info or {}) do
    self.info[name] = value
  end
  return setmetatable(self, Server)
end

---Changes who may do what, for those who are there as well.
---@param authenticate? fun(session: lipc.proto.Session, options: table): lipc.proto.Permissions|boolean, string?
function Server:set_authenticate(authenticate)
  self.authenticate = authenticate
  self.info.auth_required = authenticate and true or nil
  local sessions = {}
  for session in pairs(self.sessions) do sessions[#sessions + 1] = session end
  for _, session in ipairs(sessions) do session:recheck() end
end

---Makes the session of a new connection; its INFO is ready to be written.
---@param details? table  further members of its INFO (client_ip); auth_required = false: who it is, is known without CONNECT
---@param peer? table  what else is known of it, kept in session.peer for authenticate
---@return lipc.proto.Session
function Server:session(details, peer)
  self.last_id = self.last_id + 1
  local session = nats_session.new(self, self.last_id, details or {}, peer or {})
  self.sessions[session] = true
  self.session_count = self.session_count + 1
  local info = { client_id = session.id }
  for _, members in ipairs { self.info, details or {} } do
    for name, value in pairs(members) do
      info[name] = value
    end
  end
  session:send("INFO " .. json.encode(info, INFO_ORDER) .. "\r\n")
  return session
end

---The sessions that have something new to write since the last call.
---@return lipc.proto.Session[] sessions
---@return integer count
function Server:take_dirty()
  local dirty, count = self.dirty, self.dirty_count
  for i = 1, count do
    dirty[i].marked = false
  end
  self.dirty, self.dirty_count = {}, 0
  return dirty, count
end

---Subscribes the server's own code.
---@param subject string   a valid pattern
---@param queue string?
---@param handler fun(subject: string, reply: string?, data: string, header: string?, from: lipc.proto.Session?)
---@return table subscription  for unsubscribe
function Server:subscribe(subject, queue, handler)
  local subscription = { subject = subject, queue = queue, handler = handler, received = 0 }
  self.subscriptions:insert(subscription)
  return subscription
end

---@param subscription table
function Server:unsubscribe(subscription)
  subscription.handler = nil
  self.subscriptions:remove(subscription)
end

---Publishes for the server's own code.
---@param subject string  not checked: without blanks
---@param reply string?
---@param data string
---@param header? string  an encoded header block
---@return boolean delivered  false when nobody has got it
function Server:publish(subject, reply, data, header)
  local prefix = reply and reply .. " " or ""
  if not header then
    local tail = prefix .. #data .. "\r\n" .. data .. "\r\n"
    return router.route(self, nil, nil, subject, reply, tail, #data)
  end
  local size = #header + #data
  local tail = prefix .. #header .. " " .. size .. "\r\n" .. header .. data .. "\r\n"
  return router.route(self, nil, nil, subject, reply, tail, size, #header)
end

return { new = new }
