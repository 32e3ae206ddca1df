-- nats_client.lua - a NATS client without its socket.
-- Whoever has the socket feeds what it reads and writes what it gets:
--   client:feed(data)        what was read
--   client:take() -> string  what is to be written; client:wrote(n) when n bytes of it went
--   client:reset()           the connection is gone, another one is tried: subscriptions are made again on it
--   client:close()           no other one is tried
-- `state` goes from "waiting" (for INFO) by "greeting" (CONNECT is sent) to "ready", and at last to "closed".  Until it is ready
-- only the greeting is given out to be written; what was published meanwhile follows it.
-- Callbacks must not wait and must not raise.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local classify = require "lipc.proto.nats_errors".classify
local go_quote = require "lipc.proto.go_quote"
local json = require "lipc.proto.json"
local nats_client_parser = require "lipc.proto.nats_client_parser"
local nats_requests = require "lipc.proto.nats_requests"
local emptied = require("lipc.proto.pieces").emptied
local subject_rules = require "lipc.proto.subject"

local concat = table.concat
local is_subject, is_pattern = subject_rules.is_subject, subject_rules.is_pattern

-- So many subjects are remembered as valid, with the beginning of their line.
local KNOWN_SUBJECTS = 1024

local REFUSED = "Permissions Violation for Subscription to "

local CONNECT_ORDER = {
  "verbose", "pedantic", "echo", "headers", "no_responders", "protocol", "name", "lang", "version", "user", "pass",
  "auth_token",
}

---@class lipc.proto.ClientOptions
---@field unique? string     names this client's inbox; must be different for every client, needed for request()
---@field name? string
---@field user? string
---@field pass? string
---@field auth_token? string
---@field echo? boolean      whether messages come back to their publisher (true)
---@field verbose? boolean
---@field pedantic? boolean
---@field version? string    of the client
---@field max_payload? integer  of messages received (64 MiB)
---@field on_ready? fun(client: lipc.proto.Client)
---@field on_info? fun(client: lipc.proto.Client, info: table)
---@field on_error? fun(client: lipc.proto.Client, text: string, code: string, fatal: boolean)  -ERR, or not the protocol at all
---@field on_data? fun(client: lipc.proto.Client)  there is something to write where there was nothing

---@alias lipc.proto.MessageCallback fun(subject: string, reply: string?, data: string, header: string?)

---@class lipc.proto.ClientSubscription
---@field subject string
---@field queue? string
---@field sid string
---@field callback lipc.proto.MessageCallback
---@field received integer
---@field max? integer
---@field winding? boolean   the server was told to end it
---@field refused? fun(text: string, code: string): boolean?  the server does not take it; true: on_error need not be told

---@class lipc.proto.Client
---@field state "waiting"|"greeting"|"ready"|"closed"
---@field server_info table   what the server said last
---@field max_payload? integer  of messages sent, as the last server said: the next one would end the connection over a larger one
---@field pending integer     bytes not yet written
---@field pings_out integer   PINGs without an answer
---@field failure? string     why the server ended the connection
---@field failure_code? string
---@field subscriptions table<string, lipc.proto.ClientSubscription>
local Client = {}
Client.__index = Client

local function nothing() end

---@param options? lipc.proto.ClientOptions
---@return lipc.proto.Client
local function new(options)
  options = options or {}
  local self = setmetatable({
    options = options,
    on_ready = options.on_ready or nothing,
    on_info = options.on_info or nothing,
    on_error = options.on_error or nothing,
    on_data = options.on_data or nothing,
    out = {},
    count = 0,
    told = {}, -- which of them are about subscriptions
    greeting = "",
    pending = 0,
    subscriptions = {},
    last_sid = 0,
    last_token = 0,
    pings_unsent = 0,
    requests = {},
    lasting = {}, -- those that take more than one answer
    asked = {}, -- their subjects
    refusals = {}, -- by quoted subject: the requests that the server may refuse next
    subjects = {},
    subject_count = 0,
  }, Client)
  self:begin()
  return self
end

---@package
function Client:begin()
  self.state = "waiting"
  self.server_info = {}
  self.failure, self.failure_code = nil, nil
  self.greeting = ""
  self.pongs, self.pings_out, self.answered = {}, 0, 0
  -- PINGs of the last connection that will go out on this one; nobody waits for their answers.
  self.pongs_to_skip = self.pings_unsent
  self.parser = nats_client_parser.new(self, { max_payload = self.options.max_payload })
end

-- What the owner of the socket calls

---Parses what was read from the server.
---@param data string
---@return boolean open  false when the connection is of no use any more: client.failure says why
function Client:feed(data)
  return self.parser:feed(data)
end

---Takes what is to be written now.
---@return string
function Client:take()
  if self.state ~= "ready" then
    local greeting = self.greeting
    self.greeting = ""
    return greeting
  end
  local out, count = self.out, self.count
  local data = concat(out, "", 1, count)
  self.out, self.count = emptied(out, count), 0
  self.pings_unsent = 0
  if next(self.told) then self.told = {} end
  return data
end

---Reports that so many of the bytes taken were written.
---@param bytes integer
function Client:wrote(bytes)
  self.pending = self.pending - bytes
end

local function untaken(self)
  local bytes = 0
  for i = 1, self.count do
    bytes = bytes + #self.out[i]
  end
  return bytes
end

-- Nobody will answer what was asked on a connection that is gone.
local function abandon_pings(self, reason)
  local pongs, first, last = self.pongs, self.answered + 1, self.answered + self.pings_out
  self.pongs, self.pings_out, self.answered = {}, 0, 0
  for i = first, last do
    if pongs[i] then pongs[i](nil, reason, "ECONNRESET") end
  end
end

---Begins anew on another connection.  What was not taken yet will be sent on it; what was taken counts as gone.  Requests go on
---waiting: their answers find the same inbox.
function Client:reset()
  self.parser:stop()
  self.refusals = {}
  abandon_pings(self, "connection lost")
  -- the next connection is told of all subscriptions anew, with what is left of their maximum
  for i in pairs(self.told) do self.out[i] = "" end
  self.told = {}
  self.pending = untaken(self)
  self:begin()
end

---Ends the client: whoever waits for an answer is told.
---@param reason? string
function Client:close(reason)
  if self.state == "closed" then return end
  self.state = "closed"
  self.parser:stop()
  reason = reason or "closed"
  abandon_pings(self, reason)
  local requests = self.requests
  self.requests, self.lasting, self.asked, self.subscriptions = {}, {}, {}, {}
  self.out, self.count, self.greeting, self.pending = {}, 0, "", 0
  for _, callback in pairs(requests) do
    callback(nil, reason, "ECONNRESET")
  end
end

-- Output

local function send(self, ...)
  local out, count = self.out, self.count
  local pieces, bytes = select("#", ...), 0
  for i = 1, pieces do
    local piece = select(i, ...)
    out[count + i] = piece
    bytes = bytes + #piece
  end
  self.count = count + pieces
  self.pending = self.pending + bytes
  if count == 0 and self.state == "ready" then self:on_data() end
end

-- A line about a subscription.
local function tell(self, line)
  self.told[self.count + 1] = true
  send(self, line)
end

local function greet(self, text)
  self.greeting = self.greeting .. text
  self.pending = self.pending + #text
  self:on_data()
end

-- The answer to a size that comes again and again.
local size_lines = setmetatable({}, {
  __index = function (lines, size)
    local line = size .. "\r\n"
    if size < 4096 then lines[size] = line end
    return line
  end,
})

-- Checks a subject to publish to, and remembers the beginning of its line.
local function learn(self, subject)
  local good, reason = is_subject(subject)
  if not good then return nil, reason end
  if self.subject_count >= KNOWN_SUBJECTS then self.subjects, self.subject_count = {}, 0 end
  local head = "PUB " .. subject .. " "
  self.subjects[subject] = head
  self.subject_count = self.subject_count + 1
  return head
end

---Publishes.
---@param subject string
---@param data string
---@param reply? string
---@param header? string  an encoded header block
---@return true? ok  nil, message, code when it cannot be sent: "EINVAL", "EMSGSIZE", "ENOTSUP", "ECONNRESET"
---@return string? message
---@return string? code
function Client:publish(subject, data, reply, header)
  local head = self.subjects[subject]
  if not head then
    local reason
    head, reason = learn(self, subject)
    if not head then return nil, reason, "EINVAL" end
  end
  if self.state == "closed" then return nil, "closed", "ECONNRESET" end
  local size, max = #data + (header and #header or 0), self.max_payload
  if max and size > max then return nil, ("%d bytes, the server's max_payload is %d"):format(size, max), "EMSGSIZE" end
  if reply or header then return self:publish_more(subject, data, reply, header) end

  local out, count = self.out, self.count
  local line = size_lines[size]
  out[count + 1] = head
  out[count + 2] = line
  out[count + 3] = data
  out[count + 4] = "\r\n"
  self.count = count + 4
  self.pending = self.pending + #head + #line + size + 2
  if count == 0 and self.state == "ready" then self:on_data() end
  return true
end

---@package
function Client:publish_more(subject, data, reply, header)
  if reply then
    local good, reason = is_subject(reply)
    if not good then return nil, "reply: " .. reason, "EINVAL" end
  end
  reply = reply and reply .. " " or ""
  if not header then
    send(self, self.subjects[subject], reply, size_lines[#data], data, "\r\n")
    return true
  end
  if self.state == "ready" and not self.server_info.headers then return nil, "the server does not take headers", "ENOTSUP" end
  local sizes = #header .. " " .. size_lines[#header + #data]
  send(self, "H", self.subjects[subject], reply, sizes, header, data, "\r\n")
  return true
end

-- Subscriptions

local function sub_line(subscription)
  local queue = subscription.queue
  return "SUB " .. subscription.subject .. (queue and " " .. queue or "") .. " " .. subscription.sid .. "\r\n"
end

---Subscribes.
---@param subject string
---@param queue string?
---@param callback lipc.proto.MessageCallback
---@param max? integer  ends after so many messages
---@return lipc.proto.ClientSubscription?  nil, message, code when it cannot be: "EINVAL", "ECONNRESET"
---@return string? message
---@return string? code
function Client:subscribe(subject, queue, callback, max)
  local good, reason = is_pattern(subject)
  if not good then return nil, reason, "EINVAL" end
  if queue and (queue == "" or queue:find "[ \t\r\n]") then return nil, "a queue's name is empty or has blanks", "EINVAL" end
  if self.state == "closed" then return nil, "closed", "ECONNRESET" end
  self.last_sid = self.last_sid + 1
  local subscription = {
    subject = subject, queue = queue, sid = tostring(self.last_sid), callback = callback, received = 0,
  }
  self.subscriptions[subscription.sid] = subscription
  -- Until the client is ready there is nothing to say: becoming ready subscribes to everything.
  if self.state == "ready" then tell(self, sub_line(subscription)) end
  if max then self:unsubscribe(subscription, max) end
  return subscription
end

---Ends a subscription, at once or after it has received `max` messages in all.
---@param subscription lipc.proto.ClientSubscription
---@param max? integer
function Client:unsubscribe(subscription, max)
  local sid = subscription.sid
  if self.subscriptions[sid] ~= subscription then return end
  if max and max > subscription.received then
    subscription.max = max
    if self.state == "ready" then tell(self, "UNSUB " .. sid .. " " .. max .. "\r\n") end
  else
    self.subscriptions[sid] = nil
    if self.state == "ready" and not subscription.winding then tell(self, "UNSUB " .. sid .. "\r\n") end
  end
end

---Tells the server to end a subscription; what it has sent by then still comes.
---@param subscription lipc.proto.ClientSubscription
function Client:wind_down(subscription)
  local sid = subscription.sid
  if self.subscriptions[sid] ~= subscription or subscription.winding then return end
  subscription.winding = true -- on another connection it is not made again
  if self.state == "ready" then tell(self, "UNSUB " .. sid .. "\r\n") end
end

-- Everything subscribed to, for a new connection; a server counts from there.
local function subscribe_again(self)
  local sids, lines = {}, {}
  for sid, subscription in pairs(self.subscriptions) do
    if not subscription.winding then sids[#sids + 1] = sid end
  end
  table.sort(sids, function (a, b) return tonumber(a) < tonumber(b) end)
  for _, sid in ipairs(sids) do
    local subscription = self.subscriptions[sid]
    lines[#lines + 1] = sub_line(subscription)
    if subscription.max then
      lines[#lines + 1] = "UNSUB " .. sid .. " " .. subscription.max - subscription.received .. "\r\n"
    end
  end
  return concat(lines)
end

-- Being alive

---Sends PING; the callback gets true when the answer comes (everything sent before has then been seen by the server), or
---nil, message, code.
---@param callback? fun(ok: true?, message: string?, code: string?)
function Client:send_ping(callback)
  if self.state == "closed" then
    if callback then callback(nil, "closed", "ECONNRESET") end
    return
  end
  self.pings_out = self.pings_out + 1
  self.pongs[self.answered + self.pings_out] = callback or false
  self.pings_unsent = self.pings_unsent + 1
  send(self, "PING\r\n")
end

-- What the parser calls

---@package
function Client:info(text)
  local info, problem = json.decode_object(text)
  if not info then return self.parser:fail("INFO: " .. tostring(problem)) end
  local max = info.max_payload
  info.max_payload = math.type(max) == "integer" and max > 0 and max or nil
  self.max_payload = info.max_payload
  self.server_info = info
  if self.state == "waiting" then
    local options = self.options
    local connect = json.encode({
      verbose = options.verbose or false, pedantic = options.pedantic or false, echo = options.echo ~= false,
      headers = info.headers == true, no_responders = info.headers == true, protocol = 1, name = options.name, lang = "lua",
      version = options.version or "0", user = options.user, pass = options.pass, auth_token = options.auth_token,
    }, CONNECT_ORDER)
    self.state = "greeting"
    greet(self, "CONNECT " .. connect .. "\r\nPING\r\n")
  end
  self:on_info(info)
end

-- The server has accepted CONNECT.
local function become_ready(self)
  self.state = "ready"
  local lines = self.greeting .. subscribe_again(self)
  self.greeting = ""
  if lines ~= "" then
    table.insert(self.out, 1, lines)
    self.count = self.count + 1
    self.pending = self.pending + #lines
  end
  -- The server counts from zero again.
  for _, subscription in pairs(self.subscriptions) do
    if subscription.max then subscription.max = subscription.max - subscription.received end
    subscription.received = 0
  end
  self:on_ready()
  if self.count > 0 then self:on_data() end
end

---@package
function Client:pong()
  if self.state == "greeting" then return become_ready(self) end
  if self.pongs_to_skip > 0 then
    self.pongs_to_skip = self.pongs_to_skip - 1
    return
  end
  if self.pings_out == 0 then return end
  local index = self.answered + 1
  local callback = self.pongs[index]
  self.pongs[index] = nil
  self.answered, self.pings_out = index, self.pings_out - 1
  if callback then callback(true) end
end

---@package
function Client:ping()
  if self.state == "ready" then
    send(self, "PONG\r\n")
  else
    greet(self, "PONG\r\n")
  end
end

---@package
function Client.ok() end

---@package
function Client:msg(subject, sid, reply, data, header)
  local subscription = self.subscriptions[sid]
  if not subscription then return end
  local received = subscription.received + 1
  subscription.received = received
  if received == subscription.max then self.subscriptions[sid] = nil end
  return subscription.callback(subject, reply, data, header)
end

Client.hmsg = Client.msg
nats_requests.extend(Client)

local function failed(self, text, code)
  self.failure, self.failure_code = text, code
  self.parser:stop()
  self:on_error(text, code, true)
end

-- What the server refuses is told to whom it was about, where it can be known.
local function refused(self, text, code)
  local quoted = text:match '^Permissions Violation for Publish to (".*")$'
  if quoted then return self:refuse(quoted, text, code) end
  local sid, about = text:match '%(sid "(%d+)"%)$', {}
  for _, one in pairs(self.subscriptions) do
    if one.refused and (sid == one.sid or not sid and text == REFUSED .. go_quote(one.subject)
      .. (one.queue and " using queue " .. go_quote(one.queue) or "")) then about[#about + 1] = one end
  end
  local told = false
  for _, one in ipairs(about) do told = one.refused(text, code) or told end
  return told
end

---@package
function Client:err(text)
  local fatal, code = classify(text)
  if fatal then return failed(self, text, code) end
  if code ~= "EPERM" or not refused(self, text, code) then self:on_error(text, code, false) end
end

---@package
function Client:fail(text)
  failed(self, text, "EPROTO")
end

return { new = new }
