--- ipc.broker: a message broker that speaks the NATS client protocol, in this process or a child.
-- `run` is the whole program of a broker; `start` puts one beside a script; `new` gives one for a loop of the caller's own.
-- SPDX-License-Identifier: MIT

local ipc = require "lipc"
local Connection = require "lipc.broker.connection"
local child = require "lipc.broker.child"
local credentials = require "lipc.broker.credentials"
local listener = require "lipc.broker.listener"
local nats_server = require "lipc.proto.nats_server"
local read_options = require("lipc.broker.options").read

local forks = require("lipc.core").wait().forks
local now = ipc.now

-- A publisher is paused when a subscriber has so much to read yet; less where max_pending is small.
local HIGH_WATER = 1 << 20

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
    if one.kind == "tcp" then tcp = one end
  end
  local server = nats_server.new {
    authenticate = credentials.checker(options),
    max_payload = options.max_payload,
    max_control_line = options.max_control_line,
    max_subscriptions = options.max_subscriptions,
    max_subscription_tokens = options.max_subscription_tokens,
    max_pending = options.max_pending,
    high_water = math.max(1, math.min(HIGH_WATER, options.max_pending // 4)),
    on_resume = function (session) session.connection:wake() end,
    on_close = function (session, reason)
      if reason == "Slow Consumer" then self.slow_consumers = self.slow_consumers + 1 end
      if session.connection then session.connection:wake() end
    end,
    info = {
      server_id = id, server_name = options.name or "lipc", host = tcp and tcp.host,
      port = tcp and tcp.port,
    },
  }
  self.server = server
end

function Broker:listen()
  check(self, "listen")
  if self.listeners then return self end
  local uid, message, code = credentials.uid()
  if not uid then return nil, message, code end
  self.uid = uid
  local id, list
  id, message, code = credentials.random(12)
  if not id then return nil, "broker.listen " .. message, code end
  list, message, code = listener.open(self.options)
  if not list then return nil, message, code end
  self.listeners = list
  make_server(self, id)
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
  local server, wait, options = self.server, self.loop.wait, self.options
  self.pinger = self.loop.current
  local deadline = now() + options.ping_interval
  while not self.stopped do
    wait(nil, nil, deadline)
    if now() >= deadline then
      deadline = now() + options.ping_interval
      for session in pairs(server.sessions) do
        if session.on_network then
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
    error(("bad argument #2 to 'wrap' (lipc.loop expected, got %s)"):format(type(loop)), 2)
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

-- A client has come that may.
function Broker:_admit(socket, trusted, kind)
  local server = self.server
  local session = server:session(server.authenticate and trusted and { auth_required = false } or nil)
  session.trusted, session.on_network = trusted, kind == "tcp"
  local connection = Connection.new(self, socket, session)
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
  for i, one in ipairs(self.listeners or {}) do list[i] = one.url end
  return list
end

function Broker:url(kind)
  check(self, "url")
  for _, one in ipairs(self.listeners or {}) do
    if kind == nil or one.kind == kind then return one.url end
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
    subscriptions = server and server.subscriptions.count or 0,
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
  return make(read_options(options, "new"))
end

-- Serves until told to stop.  listening(self) is called when clients can connect.
local function serve(options, listening)
  local self = make(options)
  local loop <close>, problem, why = ipc.loop.new()
  if not loop then return nil, problem, why end
  local ok, message, code = self:wrap(loop)
  if not ok then return nil, message, code end
  -- The callback of a signal may come while the loop sleeps: a descriptor wakes it.
  local stopper
  stopper, message, code = ipc.eventfd.open()
  if not stopper then
    self:stop()
    return nil, message, code
  end
  self.closers[1] = stopper
  loop:wrap(function ()
    stopper:take()
    self:stop()
  end)
  local registrations = {}
  for i, name in ipairs { "SIGTERM", "SIGINT" } do
    registrations[i], message, code = ipc.signal.on(name, function ()
      if not self.stopped then stopper:add(1) end
    end)
  end
  local run = true
  if #registrations == 2 then
    message, code = nil, nil
    run, problem = xpcall(function ()
      if listening then listening(self, loop) end
      loop:run()
    end, debug.traceback)
  end
  self:stop()
  for _, registration in pairs(registrations) do registration:close() end
  if code then return nil, message, code end
  if not run then error(problem, 0) end
  return true
end

function broker.run(options)
  return serve(read_options(options, "run"))
end

function broker.start(options)
  return child.start(read_options(options, "start"), serve)
end

function broker.default_path()
  return listener.default_path()
end

return broker
