--- ipc.connect: a client of a message broker, ipc.broker or any NATS server.
-- In the tasks of an ipc.loop every wait suspends the task alone, and messages go to functions by themselves; in a plain
-- script messages are handed out while a call waits, or in client:run().
-- SPDX-License-Identifier: MIT

local ipc = require "lipc"
local messages = require "lipc.client.message"
local arguments = require "lipc.client.check"
local connection = require "lipc.client.connection"
local credentials = require "lipc.broker.credentials"
local nats_backoff = require "lipc.proto.nats_backoff"
local nats_client = require "lipc.proto.nats_client"
local parse_url = require("lipc.client.url").parse
local requests = require "lipc.client.requests"
local servers = require "lipc.client.servers"
local subscription = require "lipc.client.subscription"
local waiting = require "lipc.client.waiting"

local forks = require("lipc.core").wait().forks
local now, huge = ipc.now, math.huge
local current_task = connection.current_task
local fail = arguments.fail
local check_timeout, check_string, check_options = arguments.timeout, arguments.string, arguments.options

-- The size of the buffer that setvbuf("full") makes.
local BUFFER = 32768

local Client = {}
Client.__index = Client
Client.__name = "lipc.client"
waiting.extend(Client)
requests.extend(Client)
local call_handlers = waiting.call_handlers

local function check(self, name)
  if getmetatable(self) == Client then return end
  error(("bad argument #1 to '%s' (lipc.client expected, got %s)"):format(name, type(self)), 3)
end

-- Closed by its user, it is of no use any more; one that lost its last connection still says so.
local function check_open(self, name)
  if getmetatable(self) == Client then
    if not self.closed_by_caller then return end
    error(("bad argument #1 to '%s' (closed client)"):format(name), 3)
  end
  error(("bad argument #1 to '%s' (lipc.client expected, got %s)"):format(name, type(self)), 3)
end

-- ---- publishing ----

local PUBLISH_OPTIONS, encode_headers = arguments.PUBLISH_OPTIONS, arguments.headers

function Client:publish(subject, data, options)
  if getmetatable(self) ~= Client then check(self, "publish") end
  if type(subject) ~= "string" then subject = check_string(subject, 1, "publish") end
  if type(data) ~= "string" then data = check_string(data, 2, "publish") end
  local reply, block
  if options then
    check_options(options, 3, "publish", PUBLISH_OPTIONS)
    reply, block = options.reply, encode_headers(options.headers, 3, "publish")
  end
  if not self.socket and self.state ~= "closed" then
    local ok, message, code = connection.offline(self, #data + #subject + 16)
    if not ok then return fail("publish", subject, message, code) end
  end
  local proto, deadline = self.proto, huge
  if self.default_timeout < huge then
    deadline = now() + self.default_timeout
    local _, problem, why = connection.make_room(self, deadline)
    if why == "ETIMEDOUT" then return fail("publish", subject, problem, why) end
  end
  local ok, message, code = proto:publish(subject, data, reply, block)
  if not ok then
    check_open(self, "publish")
    if self.state == "closed" then message, code = self.close_message, self.close_code end
    return fail("publish", subject, message, code)
  end
  self.published = true
  if proto.pending > self.threshold then
    ok, message, code = connection.push(self, deadline)
    -- what does not go by the deadline goes with the next
    if not ok and (code ~= "ETIMEDOUT" or self.state == "closed") then return fail("publish", subject, message, code) end
  end
  return true
end

function Client:setvbuf(mode, size)
  check_open(self, "setvbuf")
  if mode ~= "no" and mode ~= "full" then error("bad argument #1 to 'setvbuf' (\"no\" or \"full\" expected)", 2) end
  if size ~= nil then
    size = arguments.count(size) or error("bad argument #2 to 'setvbuf' (positive integer expected)", 2)
  end
  self.buffered = mode == "full" and (size or BUFFER) or nil
  self.threshold = self.buffered or 0
  if self.state ~= "closed" then
    local ok, message, code = connection.push(self, self:_deadline())
    if not ok then return fail("setvbuf", self.server.name, message, code) end
  end
  return self
end

-- ---- subscribing ----

local SUBSCRIBE_OPTIONS = {
  queue = "string", max = "number", pending_messages = "number", pending_bytes = "number", overflow = "string",
}

function Client:subscribe(subject, options, fn)
  check_open(self, "subscribe")
  subject = check_string(subject, 1, "subscribe")
  if fn == nil and type(options) == "function" then options, fn = nil, options end
  options = check_options(options, 2, "subscribe", SUBSCRIBE_OPTIONS)
  if fn ~= nil and type(fn) ~= "function" then
    error(("bad argument #3 to 'subscribe' (function expected, got %s)"):format(type(fn)), 2)
  end
  local counts = {}
  for _, name in ipairs { "max", "pending_messages", "pending_bytes" } do
    counts[name] = arguments.count(options[name])
    if options[name] and not counts[name] then
      error(("bad argument #2 to 'subscribe' (option '%s': positive integer expected)"):format(name), 2)
    end
  end
  local overflow = options.overflow
  if overflow and overflow ~= "drop" and overflow ~= "hold" then
    error("bad argument #2 to 'subscribe' (option 'overflow': \"drop\" or \"hold\" expected)", 2)
  end
  if self.generation ~= forks() then connection.abandon(self) end
  if self.state ~= "connected" and self.state ~= "reconnecting" then
    return fail("subscribe", subject, self.close_message or self.state, self.close_code or "ECANCELED")
  end
  local sub = subscription.new(self, subject, fn)
  local inner
  local subscriptions, Message = self.subscriptions, self.message_class
  local bounded = counts.pending_messages or counts.pending_bytes
  if bounded then subscription.bound(sub, counts.pending_messages, counts.pending_bytes, overflow) end
  local function receive(to, reply, data, block)
    local own = subscriptions[inner]
    if not own then return end -- collected
    if not bounded or subscription.admit(own, #data) then
      local tail = own.tail + 1
      own.tail = tail
      local msg = { subject = to, data = data, reply = reply }
      if block then msg.header_block = block end
      own[tail] = setmetatable(msg, Message)
      self.held = self.held + 1
      self.held_bytes = self.held_bytes + #data
      if not own.marked then
        own.marked = true
        local count = self.ready_count + 1
        self.ready_count = count
        self.ready[count] = own
      end
    end
    local max = inner.max
    if max and inner.received >= max then subscription.complete(own) end
  end
  local message, code
  inner, message, code = self.proto:subscribe(subject, options.queue, receive, counts.max)
  if not inner then return fail("subscribe", subject, message, code) end
  sub.inner = inner
  subscriptions[inner] = sub
  if not fn then
    inner.refused = function (...)
      local refused = subscriptions[inner]
      if refused then subscription.gap(refused, ...) end
    end
  end
  if fn then
    self.functions = self.functions + 1
    self.with_function[sub] = true
    local task = current_task()
    if task then connection.watch(self, task.loop) end
  end
  self:_send()
  return sub
end

-- ---- the whole ----

function Client:flush(timeout)
  check_open(self, "flush")
  timeout = check_timeout(timeout, 1, "flush") or self.default_timeout
  local deadline = timeout == huge and huge or now() + timeout
  local ok, why = self:_sync(deadline)
  if not ok then
    return fail("flush", self.server.name, why == "ETIMEDOUT" and "timed out" or self.close_message or "closed", why)
  end
  local message, code = self.async_message, self.async_code
  local lost = message and message:match "^connection lost: (.*)$"
  if self.doubt and (lost or not message) then
    message = "connection lost, what was published before may be lost" .. (lost and " (" .. lost .. ")" or "")
    code = code or "ECONNRESET"
  end
  self.async_message, self.async_code, self.doubt = nil, nil, nil
  if message then return fail("flush", self.server.name, message, code) end
  return true
end

function Client:run(seconds)
  check_open(self, "run")
  seconds = check_timeout(seconds, 1, "run")
  local deadline = seconds and seconds < huge and now() + seconds or huge
  local waiter = { run = true, zero = seconds == 0 }
  self.runners[waiter] = true
  local _ <close> = setmetatable({}, { __close = function () self.runners[waiter] = nil end })
  self:_wait(waiter, deadline)
  if self.state == "closed" and self.close_code and not self.closed_by_caller then
    return fail("run", self.server.name, self.close_message, self.close_code)
  end
  return true
end

function Client:stop()
  check(self, "stop")
  for waiter in pairs(self.runners) do
    waiter.done = true
    if waiter.task then waiter.task.loop.wake(waiter.task) end
  end
  return true
end

function Client:drain(timeout)
  check(self, "drain")
  timeout = check_timeout(timeout, 1, "drain") or self.default_timeout
  local deadline = timeout == huge and huge or now() + timeout
  if self.state == "closed" then return true end
  self.draining = true
  if self.state == "connected" then self.state = "draining" end
  local subs = {}
  for _, sub in pairs(self.subscriptions) do subs[#subs + 1] = sub end
  for _, sub in ipairs(subs) do self.proto:wind_down(sub.inner) end
  local ok, message, code = self:flush(timeout)
  -- what has come is still handed out
  if ok and not self:_handed_out(subs, deadline) then
    ok, message, code = fail("drain", self.server.name, "timed out", "ETIMEDOUT")
  end
  -- Called by one of these functions: it gets the rest when it returns, and the last one closes.
  if ok and self:_inside(subs) then
    self.close_after = subs
    return true
  end
  local closed, close_message, close_code = self:close()
  if not ok then return nil, message, code end
  return closed, close_message, close_code
end

function Client:status()
  check(self, "status")
  return self.state
end

-- For pollers other than the loop.

function Client:fd()
  check_open(self, "fd")
  if self.number then return self.number end
  return fail("fd", self.server.name, "no connection", "ENOTCONN")
end

Client.pollfd = Client.fd

function Client:events()
  check_open(self, "events")
  return self.proto.pending > 0 and "rw" or "r"
end

-- Not the getter of settimeout.
function Client:timeout()
  check_open(self, "timeout")
  if self.held > 0 or self.calls[1] or self.failures[1] or self.state == "closed" then return 0 end
  if self.socket then return nil end
  return math.max(0, self.next_attempt - now())
end

function Client:stats()
  check(self, "stats")
  return {
    disconnects = self.disconnects, reconnects = self.reconnects, messages_held = self.held, bytes_held = self.held_bytes,
    bytes_pending = self.proto.pending, last_error = self.last_error, last_code = self.last_code,
    max_payload = self.proto.max_payload,
  }
end

function Client:url()
  check(self, "url")
  return self.server and self.server.name
end

function Client:servers()
  check(self, "servers")
  local list = {}
  for i, server in ipairs(self.known_servers) do list[i] = server.name end
  return list
end

function Client:settimeout(seconds)
  check(self, "settimeout")
  self.default_timeout = check_timeout(seconds, 1, "settimeout") or huge
  return self
end

local function check_handler(fn, name)
  if fn ~= nil and type(fn) ~= "function" then
    error(("bad argument #1 to '%s' (function expected, got %s)"):format(name, type(fn)), 3)
  end
  return fn
end

function Client:onerror(fn)
  check(self, "onerror")
  self.error_handler = check_handler(fn, "onerror")
  return self
end

function Client:onstatus(fn)
  check(self, "onstatus")
  self.status_handler = check_handler(fn, "onstatus")
  return self
end

function Client:close(timeout)
  if getmetatable(self) ~= Client then check(self, "close") end
  check_timeout(timeout, 1, "close")
  if self.closed_by_caller then return true end
  if self.state == "closed" or self.generation ~= forks() then
    connection.abandon(self)
    self.closed_by_caller = true
    return true
  end
  local lost = self.proto.pending > 0 and not self.socket
  if self.socket and (self.unflushed or self.proto.pending > 0) then
    lost = not connection.finish_writing(self, now() + (timeout or self.options.timeout))
  end
  self.closed_by_caller = true
  connection.finish(self, "closed", "ECANCELED")
  if not current_task() then call_handlers(self) end
  if lost then return fail("close", self.server.name, "not everything could be sent", self.last_code or "ETIMEDOUT") end
  return true
end

function Client:__close() self:close() end

function Client:__tostring()
  return ("lipc.client (%s, %s)"):format(self.server and self.server.name or "no server", self.state)
end

-- ---- connecting ----

local CONNECT_OPTIONS = {
  name = "string", user = "string", pass = "string", token = "string", echo = "boolean", verbose = "boolean",
  pedantic = "boolean", timeout = "number", reconnect = "boolean", reconnect_wait = "number", reconnect_max_wait = "number",
  max_reconnects = "number", reconnect_buffer = "number", ping_interval = "number", ping_max = "number",
  max_payload = "number", onerror = "function", onstatus = "function", randomize = "boolean",
}

local DEFAULTS = {
  timeout = 2, reconnect = true, reconnect_wait = 0.05, reconnect_max_wait = 2, max_reconnects = 60,
  reconnect_buffer = 8 << 20, ping_interval = 120, ping_max = 2,
}

local client = {}

function client.connect(url, options)
  if type(url) == "table" and options == nil then url, options = nil, url end
  if url ~= nil and type(url) ~= "string" then
    error(("bad argument #1 to 'connect' (URL expected, got %s)"):format(type(url)), 2)
  end
  check_options(options, 2, "connect", CONNECT_OPTIONS)
  local settings = {}
  for name, value in pairs(DEFAULTS) do settings[name] = value end
  for name, value in pairs(options or {}) do settings[name] = value end
  if not url then
    local path, message, code = ipc.broker.default_path()
    if not path then return nil, (message:gsub("^socket%.runtimedir", "connect")), code end
    url = "unix://" .. path
  end
  local list, problem = parse_url(url)
  if not list then error(("bad argument #1 to 'connect' (%s)"):format(problem), 2) end
  local unique, why, code = credentials.random(11)
  if not unique then return nil, "connect " .. why, code end

  local self = setmetatable({
    options = settings, state = "connecting", generation = forks(),
    default_timeout = huge, threshold = 0, held = 0, held_bytes = 0, holding = 0, asking = 0, waiting = 0, functions = 0,
    subscriptions = setmetatable({}, { __mode = "v" }), with_function = {}, collected = {}, turn = 0,
    waiters = {}, runners = {}, ready = {}, ready_count = 0, calls = {}, failures = {}, disconnects = 0, reconnects = 0,
    attempts = 0, next_attempt = 0, since = 0, error_handler = settings.onerror,
    status_handler = settings.onstatus,
  }, Client)
  servers.begin(self, list, unique, settings.randomize)
  self.backoff = nats_backoff.new(settings.reconnect_wait, settings.reconnect_max_wait, function ()
    return servers.random(self)
  end)
  self.proto = nats_client.new {
    unique = unique, name = settings.name, echo = settings.echo, verbose = settings.verbose,
    pedantic = settings.pedantic, version = "0.1.0", max_payload = settings.max_payload,
    on_data = function () connection.schedule(self) end,
    on_info = function (_, info)
      servers.learn(self, info.connect_urls)
      if info.ldm == true and self.socket then self:_status("lame duck", self.server.name) end
    end,
    on_error = function (_, text, kind, fatal)
      if not fatal then self:_report(text, kind) end
    end,
  }
  self.message_class = messages.class(self)
  local ok, message
  ok, message, code = connection.establish(self)
  if not ok then
    self.state = "closed"
    return nil, "connect " .. (message or "no server"), code
  end
  return self
end

return client
