-- nats_session.lua - the server's side of one NATS connection.  Its public face is described in nats_server.lua; the methods
-- connect, pub, hpub, sub, unsub, ping, pong and fail are what nats_server_parser.lua calls.
-- A client that sends what cannot be understood gets -ERR and is closed; where nats-server closes without a word, this says
-- 'Parser Error'.  What is refused but understood gets -ERR and the connection goes on.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local go_quote = require "lipc.proto.go_quote"
local json = require "lipc.proto.json"
local nats_server_parser = require "lipc.proto.nats_server_parser"
local output = require "lipc.proto.nats_output"
local parser = require "lipc.proto.nats_parser"
local router = require "lipc.proto.nats_router"
local subject_rules = require "lipc.proto.subject"

local route, run_of, route_run = router.route, router.run_of, router.route_run
local is_literal, is_pattern = subject_rules.is_literal, subject_rules.is_pattern

local OK = "+OK\r\n"
local UNAUTHORIZED = "Authorization Violation"
local NO_RESPONDERS = "16 16\r\nNATS/1.0 503\r\n\r\n\r\n"

-- What a subscription takes in memory beside its strings, and each token of its subject in the trie (rough upper bounds).
local SUBSCRIPTION_MEMORY = 512
local TOKEN_MEMORY = 512

-- What a piece of output takes beside its bytes: a slot in the list.
local PIECE_MEMORY = 16

-- Replies that a client may still be allowed to send; the older ones are forgotten beyond that.
local MOST_REPLIES = 4096

-- The members of CONNECT that mean something, and their types.
local CONNECT_TYPES = {
  verbose = "boolean", pedantic = "boolean", tls_required = "boolean", echo = "boolean", headers = "boolean",
  no_responders = "boolean", protocol = "number", name = "string", lang = "string", version = "string", user = "string",
  pass = "string", auth_token = "string", jwt = "string", nkey = "string", sig = "string",
}

---@class lipc.proto.Session
---@field id integer
---@field peer table             what Server:session was given
---@field options table          what CONNECT said
---@field closing? string        why the connection is to be closed
---@field pings_out integer      PINGs without an answer
---@field waiting? boolean        CONNECT has not been accepted yet, and must be
local Session = {}
Session.__index = Session
for name, method in pairs(output) do Session[name] = method end

local await_connect, choose_path, identify

---@param server lipc.proto.Server
---@param id integer
---@param details table
---@param peer table
---@return lipc.proto.Session
local function new(server, id, details, peer)
  local self = setmetatable({
    server = server,
    id = id,
    peer = peer,
    -- As nats-server has it, a client that says nothing wants every answer and every check.
    options = { verbose = true, pedantic = true, echo = true, protocol = 0 },
    out = {},
    count = 0,
    gone = 0,
    taken = 0, -- pieces; a message is two
    lines = 0, -- pieces that are not of messages, less what a run of messages has fewer than two each
    pending = 0,
    notice = server.high_water,
    paused = 0,
    pings_out = 0,
    subscriptions = {},
    subscription_count = 0,
    subscription_memory = 0,
  }, Session)
  self.parser = nats_server_parser.new(self, server)
  if not server.authenticate or details.auth_required == false and identify(self) then
    choose_path(self)
  else
    await_connect(self)
  end
  return self
end

-- What the broker calls

---Parses what was read from the client.
---@param data string
---@return boolean open
function Session:feed(data)
  local open = self.parser:feed(data)
  -- What the client's own lines have brought it nobody else could be paused for, and many short pieces are more than their bytes.
  if self.pending + PIECE_MEMORY * (self.count - self.gone) > self.server.max_pending then self:cut() end
  return open and not self.closing
end

---Asks the client whether it is alive; its answer sets pings_out to 0.
function Session:send_ping()
  if self.closing then return end
  self.pings_out = self.pings_out + 1
  self:send "PING\r\n"
end

---Ends the session without a word: the connection is gone.
---@param reason string
function Session:close(reason)
  if self.closing then return end
  self.closing = reason
  self.parser:stop()
  for _, subscription in pairs(self.subscriptions) do
    subscription.session = nil
    self.server.subscriptions:remove(subscription)
  end
  self.subscriptions = {}
  self:release()
  self.server.sessions[self] = nil
  self.server.session_count = self.server.session_count - 1
  self.server.on_close(self, reason)
end

---Ends the session with an error that the client is told.
---@param text string
function Session:fail(text)
  if self.closing then return end
  self:error(text)
  self:close(text)
end

---@package
function Session:error(text)
  self:send("-ERR '" .. text .. "'\r\n")
end

-- CONNECT

local function check_connect(options)
  local checked = {}
  for name, value in pairs(options) do
    name = name:lower()
    local wanted = CONNECT_TYPES[name]
    if wanted and type(value) ~= wanted then return nil end
    if wanted == "number" and value % 1 ~= 0 then return nil end
    if wanted then checked[name] = value end
  end
  return checked
end

-- Asks who the client is and what it may do; one that may nothing is closed.
function identify(self)
  local authenticate = self.server.authenticate
  self.permissions = nil
  if not authenticate then return true end
  local permissions, text = authenticate(self, self.options)
  if not permissions then return self:fail(text or UNAUTHORIZED) end
  self.permissions = type(permissions) == "table" and permissions or nil
  return true
end

local function subscribe_violation(subject, rest)
  return "Permissions Violation for Subscription to " .. go_quote(subject) .. rest
end

-- What is asked before a message goes to a subscription; nil: nothing.
local function always() return true end

local function filter_for(permissions, subject, queue)
  if not permissions then return nil end
  return permissions.filter and permissions.filter(subject, queue) or permissions.responses and always or nil
end

-- Ends subscriptions that the client may not have any more.
local function renew_subscriptions(self)
  local permissions = self.permissions
  for sid, subscription in pairs(self.subscriptions) do
    local subject, queue = subscription.subject, subscription.queue
    if permissions and permissions.subscribe and not permissions.subscribe(subject, queue) then
      self:expire(subscription)
      self:error(subscribe_violation(subject, " (sid " .. go_quote(sid) .. ")"))
    else
      subscription.deliver = filter_for(permissions, subject, queue)
    end
  end
end

---Looks again at what the client may do, when the server's mind has changed: one that may no longer connect is closed, what
---it may no longer subscribe to ends.
function Session:recheck()
  if self.closing then return end
  if self.waiting then
    if not self.server.authenticate then choose_path(self) end
    return
  end
  if not identify(self) then return end
  choose_path(self)
  renew_subscriptions(self)
end

---@package
function Session:connect(text)
  local given = json.decode_object(text)
  local checked = given and check_connect(given)
  if not checked then return self:fail(parser.PARSER_ERROR) end
  local options = self.options
  for name, value in pairs(checked) do
    options[name] = value
  end

  if not identify(self) then return end
  if options.protocol ~= 0 and options.protocol ~= 1 then return self:fail "invalid client protocol" end
  if options.no_responders and not options.headers then return self:fail "no responders requires headers support" end
  choose_path(self)
  if self.subscription_count > 0 then renew_subscriptions(self) end
  if self.verbose then self:send(OK) end
end

-- Publishing

---@package
function Session:pub(subject, reply, tail, size, header_size)
  local delivered = route(self.server, self, self.skip, subject, reply, tail, size, header_size)
  if not delivered and reply and self.no_responders then self:tell_no_responders(reply) end
end

---A message asks the client for an answer, which it is allowed to give.
---@package
function Session:expect_answer(reply)
  local replies = self.replies
  if replies.count >= MOST_REPLIES then
    replies = { count = 0, young = {}, old = replies.young }
    self.replies = replies
  end
  replies.count = replies.count + 1
  replies.old[reply] = nil
  replies.young[reply] = { since = self.server.now(), sent = 0 }
end

-- Whether the client was asked for this answer, and has not given it too often or too late.
local function may_answer(self, subject)
  local replies, responses = self.replies, self.permissions.responses
  if not replies then return false end
  local asked = replies.young[subject] or replies.old[subject]
  if not asked then return false end
  asked.sent = asked.sent + 1
  if asked.sent <= responses.max and self.server.now() - asked.since <= responses.expires then return true end
  replies.young[subject], replies.old[subject] = nil, nil
  return false
end

-- Instead of pub, for clients that have checks or answers coming.
local function careful_pub(self, subject, reply, tail, size, header_size)
  if self.pedantic and not is_literal(subject) then self:error "Invalid Publish Subject" end
  local permissions = self.permissions
  if permissions and permissions.publish and not permissions.publish(subject) and not may_answer(self, subject) then
    return self:error("Permissions Violation for Publish to " .. go_quote(subject))
  end
  if self.verbose then self:send(OK) end
  return Session.pub(self, subject, reply, tail, size, header_size)
end

---@package
function Session:hpub(subject, reply, tail, size, header_size)
  if not self.headers then return self:fail "message headers not supported" end
  -- Headers of no length at all are none.
  if header_size == 0 then tail = (reply and reply .. " " or "") .. size .. "\r\n" .. tail:sub(-size - 2) end
  return self:pub(subject, reply, tail, size, header_size > 0 and header_size or nil)
end

---Takes several messages with one line, if what is published to their subject may go several at a time.
---@package
function Session:run(subject, buffer, from, line, sizes, size)
  local server = self.server
  local result = not rawget(self, "pub") and run_of(server, subject)
  local count = result and server.records.count(buffer, from, line, size, "\r\n") or 0
  if count > 0 then route_run(server, self, self.skip, result, buffer, from, count, line, sizes, size) end
  return count
end

-- The client's own subscription that a reply to it finds.
local function own_subscription(self, reply)
  local result = self.server.subscriptions:match(reply)
  for i = 1, result.n do
    if result[i].session == self then return result[i] end
  end
end

---@package
function Session:tell_no_responders(reply)
  local subscription = own_subscription(self, reply)
  if subscription then self:send("HMSG " .. reply .. " " .. subscription.sid .. " ", NO_RESPONDERS) end
end

---Answers a request of this client; nobody else gets it.
---@param reply string
---@param data string
function Session:answer(reply, data)
  local subscription = own_subscription(self, reply)
  if subscription then
    self:send("MSG " .. reply .. " " .. subscription.sid .. " ", #data .. "\r\n" .. data .. "\r\n")
  end
end

-- Subscribing

-- Why a subscription is refused.
local function refusal(self, subject, queue, memory, tokens)
  local server, permissions = self.server, self.permissions
  if permissions and permissions.subscribe and not permissions.subscribe(subject, queue) then
    return subscribe_violation(subject, queue and " using queue " .. go_quote(queue) or "")
  end
  if tokens > server.max_subscription_tokens then
    return subscribe_violation(subject, ", too many tokens")
  end
  if self.subscription_count >= server.max_subscriptions
    or self.subscription_memory + memory > server.max_subscription_memory then
    return "maximum subscriptions exceeded"
  end
  if not is_pattern(subject) then return "Invalid Subject" end
end

---@package
function Session:sub(subject, queue, sid)
  if not self.subscriptions[sid] then
    local _, dots = subject:gsub("%.", "")
    local memory = SUBSCRIPTION_MEMORY + #subject + #(queue or "") + #sid + (dots + 1) * TOKEN_MEMORY
    local text = refusal(self, subject, queue, memory, dots + 1)
    if text then return self:error(text) end
    local subscription = {
      subject = subject, queue = queue, sid = sid, session = self, received = 0, memory = memory,
      deliver = filter_for(self.permissions, subject, queue),
    }
    self.subscriptions[sid] = subscription
    self.subscription_count = self.subscription_count + 1
    self.subscription_memory = self.subscription_memory + memory
    self.server.subscriptions:insert(subscription)
  end
  if self.verbose then self:send(OK) end
end

---Ends a subscription.
---@param subscription lipc.proto.ServerSubscription
function Session:expire(subscription)
  if subscription.session ~= self then return end
  subscription.session = nil
  self.subscriptions[subscription.sid] = nil
  self.subscription_count = self.subscription_count - 1
  self.subscription_memory = self.subscription_memory - subscription.memory
  self.server.subscriptions:remove(subscription)
end

---@package
function Session:unsub(sid, max)
  local subscription = self.subscriptions[sid]
  if subscription then
    if max and max > subscription.received then
      subscription.max = max
    else
      self:expire(subscription)
    end
  end
  if self.verbose then self:send(OK) end
end

-- Being alive

---@package
function Session:ping()
  self:send "PONG\r\n"
end

---@package
function Session:pong()
  self.pings_out = 0
end

-- Ways through a session.  A method that stands in the session itself hides the class's, so that the usual one asks nothing.

local function refuse(self)
  Session.fail(self, UNAUTHORIZED)
end

local function refuse_failure(self, text)
  Session.fail(self, text == parser.UNKNOWN_OPERATION and UNAUTHORIZED or text)
end

local BEFORE_CONNECT = {
  pub = refuse, hpub = refuse, sub = refuse, unsub = refuse, ping = refuse, pong = refuse, fail = refuse_failure,
}

-- Until CONNECT has been accepted, nothing else is.
function await_connect(self)
  self.waiting = true
  for name, method in pairs(BEFORE_CONNECT) do
    self[name] = method
  end
end

-- Applies what CONNECT said.
function choose_path(self)
  self.waiting = nil
  for name in pairs(BEFORE_CONNECT) do
    self[name] = nil
  end
  local options, permissions = self.options, self.permissions
  self.verbose, self.pedantic, self.headers = options.verbose, options.pedantic, options.headers
  self.no_responders = options.no_responders
  self.skip = not options.echo and self or nil
  self.replies = permissions and permissions.responses and (self.replies or { count = 0, young = {}, old = {} }) or nil
  if self.verbose or self.pedantic or permissions and permissions.publish then self.pub = careful_pub end
end

return { new = new }
