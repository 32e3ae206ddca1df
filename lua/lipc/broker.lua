--- ipc.broker: a message broker that speaks the NATS client protocol, in this process or a child.
-- `run` is the whole program of a broker; `start` puts one beside a script; `new` gives one for a loop of the caller's own.
-- SPDX-License-Identifier: MIT

local ipc = require "lipc"
local Connection = require "lipc.broker.connection"
local access = require "lipc.broker.access"
local child = require "lipc.broker.child"
local credentials = require "lipc.broker.credentials"
local listener = require "lipc.broker.listener"
local log = require "lipc.broker.log"
local monitor = require "lipc.broker.monitor"
local nats_server = require "lipc.proto.nats_server"
local options_reader = require "lipc.broker.options"
local serve = require "lipc.broker.serve"

local core = require "lipc.core"
local forks = core.wait().forks
local now = ipc.now

-- A publisher is paused when a subscriber has so much to read yet; less where max_pending is small.  Not less in general: what a
-- paused client has written may be lost when it closes with SO_LINGER 0, as libnats does.
local HIGH_WATER = 4 << 20

local Broker = {}
Broker.__index = Broker
Broker.__name = "lipc.broker"

local function check(self, name)
  if getmetatable(self) ~= Broker then
    error(("bad argument #1 to '%s' (lipc.broker expected, got %s)"):format(name, type(self)), 3)
  end
  if self.stopped then error(("bad argument #1 to '%s' (stopped broker)"):format(name), 3) end
end

local function make(options)
  return setmetatable({
    options = options,
    log = log.new(options),
    generation = forks(),
    connections = {},
    closers = {}, -- what ends with the broker
    connection_count = 0,
    connections_ever = 0,
    slow_consumers = 0,
    accept_pauses = 0,
    errors = 0,
  }, Broker)
end

-- The protocol's side, when it is known who may connect.
local function make_server(self, id)
  local options = self.options
  local tcp
  for _, one in ipairs(self.listeners) do
    if one.kind == "tcp" then tcp = tcp or one end
  end
  self.server = nats_server.new {
    authenticate = access.new(options),
    now = now,
    records = core.records(),
    max_payload = options.max_payload,
    max_control_line = options.max_control_line,
    max_subscriptions = options.max_subscriptions,
    max_subscription_tokens = options.max_subscription_tokens,
    max_pending = options.max_pending,
    high_water = math.max(1, math.min(HIGH_WATER, options.max_pending // 4)),
    on_resume = function (session) session.connection:wake() end,
    on_close = function (session, reason)
      if reason == "Slow Consumer" then self.slow_consumers = self.slow_consumers + 1 end
      if session.connection then session.connection:ended(reason) end
    end,
    info = {
      server_id = id, server_name = options.name or "lipc", host = tcp and tcp.host,
      port = tcp and tcp.port, connect_urls = options.connect_urls,
    },
  }
  monitor.attach(self)
end

function Broker:listen()
  check(self, "listen")
  if self.listeners then return self end
  local ok, message, code = log.check(self.options)
  if not ok then return nil, "broker.listen " .. message, code end
  local uid
  uid, message, code = credentials.uid()
  if not uid then return nil, message, code end
  self.uid = uid
  local id, list
  id, message, code = credentials.random(12)
  if not id then return nil, "broker.listen " .. message, code end
  list, message, code = listener.open(self)
  if not list then return nil, message, code end
  self.listeners = list
  make_server(self, id)
  self.log.notice("Starting lipc broker%s", self.options.name and " " .. self.options.name or "")
  for _, one in ipairs(list) do
    self.log.notice("Listening for client connections on %s", listener.address(one))
    if one.token_file then self.log.notice("Clients there need the token in %s", one.token_file) end
  end
  self.log.notice "Server is ready"
  return self
end

function Broker:reload(given)
  check(self, "reload")
  local options, message, code = options_reader.reread(self.options, given, "reload")
  if options then
    local ok, problem
    ok, problem, code = log.check(options)
    if not ok then options, message = nil, "broker.reload " .. problem end
  end
  if not options then
    self.log.error("Failed to reload: %s", (message:gsub("^broker%.reload:? ", "")))
    return nil, message, code
  end
  options.token = options.token or self.made_token
  local server = self.server
  -- who was let in by insecure alone is asked from now on, although there may be nothing that he could show
  local asks = server and server.authenticate ~= nil or self.options.insecure and not options.insecure
  local authenticate = server and access.new(options, asks)
  self.options, self.log = options, log.new(options)
  if server then
    server:set_authenticate(authenticate)
    if self.loop then
      self:_kick()
      self.loop.wake(self.pinger)
    end
  end
  self.log.notice "Reloaded"
  return self
end

-- One of the connections' tasks has made something to be written.
function Broker:_kick()
  self.loop.wake(self.flusher)
end

-- Writes once a turn of the loop what all have to say.
local function flush(self)
  local server, wait = self.server, self.loop.wait
  self.flusher = self.loop.current
  while not self.stopped do
    if server.dirty_count == 0 then
      wait(nil, nil, nil)
    else
      local dirty, count = server:take_dirty()
      for i = 1, count do
        dirty[i].connection:flush()
      end
    end
  end
end

-- Asks clients on the network whether they are there.  The others' end the kernel reports.
local function ping(self)
  local server, wait = self.server, self.loop.wait
  self.pinger = self.loop.current
  local last = now()
  while not self.stopped do
    wait(nil, nil, last + self.options.ping_interval)
    local options = self.options
    if now() >= last + options.ping_interval then
      last = now()
      for session in pairs(server.sessions) do
        if session.peer.ip then
          if session.pings_out >= options.ping_max then session:fail "Stale Connection" else session:send_ping() end
        end
      end
      self:_kick()
    end
  end
end

function Broker:wrap(loop)
  check(self, "wrap")
  local mt = type(loop) == "table" and getmetatable(loop)
  if not mt or mt.__name ~= "lipc.loop" then
    error(("bad argument #1 to 'wrap' (lipc.loop expected, got %s)"):format(type(loop)), 2)
  end
  if self.loop then error("bad argument #1 to 'wrap' (broker runs already)", 2) end
  local ok, message, code = self:listen()
  if not ok then return nil, message, code end
  self.loop = loop
  self.tasks = { loop:wrap(flush, self), loop:wrap(ping, self) }
  self.flusher, self.pinger = self.tasks[1], self.tasks[2]
  for _, one in ipairs(self.listeners) do
    self.tasks[#self.tasks + 1] = loop:wrap(listener.run, one, self)
  end
  return self
end

-- A client has come that may.  Of `peer`: trusted, whether it is of the broker's own user; uid; ip and port on the network.
function Broker:_admit(socket, peer)
  local server = self.server
  local details = { client_ip = peer.ip }
  if server.authenticate and not access.needs_login(self.options, peer) then details.auth_required = false end
  local connection = Connection.new(self, socket, server:session(details, peer))
  self.connections[connection] = true
  self.connection_count = self.connection_count + 1
  self.connections_ever = self.connections_ever + 1
  connection.reader = self.loop:wrap(connection.run, connection)
  self:_kick()
end

function Broker:stop()
  if getmetatable(self) ~= Broker then check(self, "stop") end
  if self.stopped then return true end
  self.stopped = true
  self.log.notice "Shutting down"
  local mine = self.generation == forks() -- else it goes on serving in the process that this one was forked from
  for _, one in ipairs(self.listeners or {}) do listener.close(one, mine) end
  local open = {}
  for connection in pairs(self.connections) do open[#open + 1] = connection end
  for _, connection in ipairs(open) do
    if mine then connection:flush() end
    connection:close()
  end
  for _, object in ipairs(self.closers) do object:close() end
  for _, task in ipairs(mine and self.tasks or {}) do self.loop.wake(task) end
  return true
end

Broker.close = Broker.stop
Broker.__close = Broker.stop

function Broker:urls()
  check(self, "urls")
  local list = {}
  for i, one in ipairs(self.listeners or {}) do list[i] = listener.url(one, self.options) end
  return list
end

function Broker:url(kind)
  check(self, "url")
  for _, one in ipairs(self.listeners or {}) do
    if kind == nil or one.kind == kind then return listener.url(one, self.options) end
  end
  return nil
end

function Broker:stats()
  check(self, "stats")
  local server = self.server
  local pending = 0
  for session in pairs(server and server.sessions or {}) do pending = pending + session.pending end
  return {
    connections = self.connection_count,
    connections_ever = self.connections_ever,
    subscriptions = server and server.subscriptions.count - monitor.COUNT or 0,
    messages_in = server and server.messages_in or 0,
    messages_out = server and server.messages_out or 0,
    pending = pending,
    slow_consumers = self.slow_consumers,
    accept_pauses = self.accept_pauses,
    errors = self.errors,
    last_error = self.last_error,
  }
end

function Broker:__tostring()
  if self.stopped then return "lipc.broker (stopped)" end
  local urls = self:urls()
  for i, url in ipairs(urls) do urls[i] = listener.public(url) end
  return ("lipc.broker (%s, %d connections)"):format(table.concat(urls, ", "), self.connection_count)
end

-- ---- functions ----

local broker = {}

function broker.new(options)
  local read, message, code = options_reader.read(options, "new")
  if not read then return nil, message, code end
  return make(read)
end

function broker.run(options)
  local read, message, code = options_reader.read(options, "run")
  if not read then return nil, message, code end
  return serve(make(read))
end

function broker.start(options)
  local read, message, code = options_reader.read(options, "start")
  if not read then return nil, message, code end
  return child.start(function (listening) return serve(make(read), listening) end, read.given.config ~= nil)
end

function broker.default_path()
  return listener.default_path()
end

return broker
