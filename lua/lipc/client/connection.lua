-- connection.lua - the client's connection: finds a server, moves bytes, finds another one when it is lost; internal.
-- In a task of a loop a reading task and a writing task do the work while there is something to wait for; elsewhere whoever
-- calls does it.  A connection belongs to the process that made it.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local greeting = require "lipc.client.greeting"
local servers = require "lipc.client.servers"
local waiting = require "lipc.loop.waiting"

local managed = waiting.managed
local try, last_words, GONE = greeting.try, greeting.last_words, greeting.GONE
local forks = require("lipc.core").wait().forks
local now, huge = ipc.now, math.huge
local current_loop = ipc.loop.current
local running, isyieldable = coroutine.running, coroutine.isyieldable

local READ_SIZE = 65536
local WRITE_SIZE = 1 << 18

-- Above so many bytes gathered they are written at once, and above the second bound the publisher waits.
local GATHER = 32768
local HIGH_WATER = 1 << 18

-- A plain script that cannot write looks so often whether there is something to read: the server may wait for just that.
local SLICE = 0.02

local connection = {}

---The running task, when this may wait as one.
---@return table? task
function connection.current_task()
  local co = running()
  local task = managed[co]
  if task and task.loop.current == task and isyieldable() then return task end
  return nil
end
local current_task = connection.current_task

-- The tasks wait for the descriptor themselves: by this the socket learns that it has to tell when it is closed.
local function introduce(self, loop)
  local socket = self.socket
  if not socket or not loop.poller or self.known_socket == socket and self.known_loop == loop then return end
  self.known_socket, self.known_loop = socket, loop
  loop.poller:add(socket, "r")
  loop.poller:add(self.number, "r")
end

-- Establishing

local function note(self, message, code)
  self.last_error, self.last_code = message, code
end

---Connects to the first server that answers; each that was tried goes to the end of the list.
function connection.establish(self)
  self.connecting = true
  local ok, message, code
  for _, server in ipairs(servers.round(self)) do
    servers.tried(self, server)
    ok, message, code = try(self, server, now() + self.options.timeout)
    if ok or self.state == "closed" then break end
  end
  self.connecting = false
  if ok and self.state == "closed" then -- closed while it was being made
    self.socket:close()
    self.socket = nil
    return nil, "closed", "ECANCELED"
  end
  if ok then
    -- At the end of the state finalisers run in the reverse order of creation: this one while the socket still lives.
    self.guard = setmetatable({}, { __gc = function () connection.last_flush(self) end })
    self.attempts = 0
    self.since = now()
    if self.connected_before then self.reconnects = self.reconnects + 1 end
    self.connected_before = true
    if self.watcher_loop then introduce(self, self.watcher_loop) end
    self:_status("connected", self.server.name)
    if self.proto.count > 0 then connection.schedule(self) end
    return true
  end
  return nil, message, code
end

-- How long to wait before the first attempt after a loss: not at all, unless the servers take this client only to drop it again.
local function grace(self)
  local backoff, brief = self.backoff, self.brief
  self.brief = now() - self.since < backoff.pause
  if not self.brief then backoff:reset() end
  return brief and self.brief and backoff:next() or 0
end

---The connection is of no use any more.
function connection.lost(self, message, code)
  local socket = self.socket
  if not socket then return end
  if GONE[code] and self.state ~= "closed" then
    message, code = last_words(self, socket)
    if self.socket ~= socket then return end
  end
  self.socket, self.number, self.chunk, self.known_socket = nil, nil, nil, nil
  socket:close()
  if self.state == "closed" then return end
  self.disconnects = self.disconnects + 1
  if self.published then self.published, self.doubt = false, true end
  note(self, message, code)
  self:_status("disconnected", message, code)
  if not self.options.reconnect then return connection.finish(self, message, code) end
  self.state = "reconnecting"
  self.attempts = 0
  self.next_attempt = now() + grace(self)
  self.proto:reset()
  self:_deliver()
  self:_gap("connection lost, messages may be missing (" .. message .. ")")
  self:_report(message, code, "connection lost")
end

---The end of the client, once.
function connection.finish(self, message, code)
  if self.state == "closed" then return end
  self.state = "closed"
  local socket = self.socket
  self.socket, self.number, self.chunk, self.guard = nil, nil, nil, nil
  if socket then socket:close() end
  self.close_message, self.close_code = message, code
  self.proto:close(message)
  self:_status("closed", message, code)
  self:_ended()
end

-- One more attempt, when its time has come.  Returns when to come again, or nil when there is nothing more to try.
local function attempt(self)
  local options = self.options
  if now() < self.next_attempt then return self.next_attempt end
  self.attempts = self.attempts + 1
  self:_status("reconnecting", self.last_error, self.last_code)
  local ok, message, code = connection.establish(self)
  if ok or self.state == "closed" then return nil end
  note(self, message, code)
  if self.attempts >= options.max_reconnects then
    connection.finish(self, message, code)
    return nil
  end
  self.next_attempt = now() + self.backoff:next()
  return self.next_attempt
end

-- Writing

---Writes what is gathered as far as it goes.
---@return boolean? all  nil: the connection is lost
function connection.write_some(self)
  local proto = self.proto
  while true do
    local chunk = self.chunk
    if not self.socket then return nil end
    if not chunk then
      if proto.count == 0 then return true end
      chunk = proto:take()
      self.offset = 0
    end
    local offset, length = self.offset, #chunk
    local piece = chunk
    if offset > 0 or length > WRITE_SIZE then piece = chunk:sub(offset + 1, offset + WRITE_SIZE) end
    local ok, message, code, written = self.socket:write(piece)
    if ok then
      offset = offset + #piece
      proto:wrote(#piece)
      self.chunk, self.offset = offset < length and chunk or nil, offset
    elseif code == "ETIMEDOUT" then
      proto:wrote(written)
      self.chunk, self.offset = chunk, offset + written
      return false
    else
      connection.lost(self, message, code)
      return nil
    end
  end
end
local write_some = connection.write_some

-- The task that writes once a turn of the loop, while there is something to write.
local function write_task(self)
  local loop, me = ipc.loop.current()
  while self.state ~= "closed" and self.writer == me do
    if self.socket then
      local all = write_some(self)
      if all then break end
      if all == false then loop.wait(self.number, "w", nil) end
    elseif self.connecting or self.reader then
      break -- whoever connects calls us again
    else
      local at = attempt(self)
      if at then loop.wait(nil, nil, at) end
    end
  end
  if self.writer == me then self.writer = nil end
end

local function want_writer(self, loop)
  local writer = self.writer
  if writer and writer.loop == loop and writer.state ~= "done" then return end
  introduce(self, loop)
  self.writer = loop:wrap(write_task, self)
end

---There is something to write: a task of a loop leaves it to the end of the turn, a plain script writes at once.
function connection.schedule(self)
  if self.connecting or self.state == "closed" then return end
  self.unflushed = true
  local loop = current_loop()
  if loop and loop.busy then
    self.threshold = GATHER
    want_writer(self, loop)
  else
    self.threshold = self.buffered or 0
  end
end

-- In slices: what the server wants to say must be heard, or it may never listen.
local function write_slice(self)
  local socket, chunk = self.socket, self.chunk
  local piece = chunk:sub(self.offset + 1, self.offset + WRITE_SIZE)
  socket:settimeout(SLICE)
  local ok, message, code, written = socket:write(piece)
  if self.socket ~= socket then return end
  socket:settimeout(0)
  if not ok and code ~= "ETIMEDOUT" then return connection.lost(self, message, code) end
  if ok then written = #piece end
  self.proto:wrote(written)
  self.offset = self.offset + written
  if self.offset == #chunk then self.chunk = nil end
  if not ok then connection.read_some(self, 0) end
end

---More is gathered than should be: it is written, or little enough of it is left to a task.
---@param deadline number
---@return true? ok, string? message, string? code
function connection.push(self, deadline)
  local proto = self.proto
  if self.generation ~= forks() then return connection.abandon(self) end
  local task = current_task()
  while self.state ~= "closed" do
    if not self.socket then return true end -- goes when there is a connection again
    local all = write_some(self)
    if all then return true end
    if all == false then
      if now() >= deadline then return nil, "timed out", "ETIMEDOUT" end
      if not task then
        write_slice(self)
      elseif proto.pending <= HIGH_WATER then
        want_writer(self, task.loop)
        return true
      else
        task.loop.wait(self.number, "w", deadline < huge and deadline or nil)
      end
    end
  end
  return nil, self.close_message, self.close_code
end

---Waits until there is room for more to be gathered.
---@param deadline number
---@return true? ok, string? message, string? code
function connection.make_room(self, deadline)
  if self.proto.pending <= HIGH_WATER or not self.socket then return true end
  return connection.push(self, deadline)
end

---Without a connection so much can be gathered, no more.
---@param bytes integer
---@return true? ok, string? message, string? code
function connection.offline(self, bytes)
  if self.generation ~= forks() then return connection.abandon(self) end
  if not self.connecting and not current_task() then attempt(self) end
  if self.state == "closed" then return nil, self.close_message, self.close_code end
  if not self.socket and self.proto.pending + bytes > self.options.reconnect_buffer then
    return nil, "no connection, and the buffer is full", "ENOBUFS"
  end
  return true
end

-- Reading

---Reads once and hands over what came.
---@param timeout number
---@return boolean something
function connection.read_some(self, timeout)
  local socket, proto = self.socket, self.proto
  local data, message, code = socket:readsome(READ_SIZE, timeout)
  if self.socket ~= socket then return true end
  if data then
    if not proto:feed(data) then
      connection.lost(self, tostring(proto.failure), proto.failure_code or "EPROTO")
    end
    self:_deliver()
    return true
  elseif code ~= "ETIMEDOUT" then
    connection.lost(self, message, code)
    return true
  end
  return false
end

-- The task that reads while anybody waits for messages.
local function read_task(self)
  local loop, options, proto = self.watcher_loop, self.options, self.proto
  local next_ping = now() + options.ping_interval
  while self.state ~= "closed" and self:_interested() do
    if not self.socket then
      local at = not self.connecting and attempt(self) or self.connecting and now() + SLICE
      if at then loop.wait(nil, nil, at) end
    elseif self:_full() then
      loop.wait(nil, nil, nil) -- who takes messages wakes us
    else
      loop.wait(self.number, "r", next_ping)
      if self.socket and self:_interested() then
        connection.read_some(self, 0)
        if now() >= next_ping then
          next_ping = now() + options.ping_interval
          if proto.pings_out >= options.ping_max then
            connection.lost(self, "the server does not answer", "ETIMEDOUT")
          else
            proto:send_ping()
          end
        end
      end
    end
  end
end

---Sees to it that somebody reads while a task waits, or messages are to be handed to functions.
function connection.watch(self, loop)
  if self.reader and self.watcher_loop == loop and self.reader.state ~= "done" then return end
  if self.reader and self.reader.state ~= "done" then self.reader:cancel() end
  self.watcher_loop = loop
  introduce(self, loop)
  self.reader = loop:wrap(function ()
    local me = loop.current
    local _ <close> = setmetatable({}, { __close = function ()
      if self.reader == me then self.reader = nil end
    end })
    read_task(self)
  end)
end

---The reading task looks whether it is still wanted.
function connection.nudge(self)
  local reader = self.reader
  if reader then reader.loop.wake(reader) end
end

---One step of a plain script's wait.
---@param deadline number
function connection.pump(self, deadline)
  if self.generation ~= forks() then return connection.abandon(self) end
  if not self.socket then
    if self.connecting then
      ipc.sleep(SLICE)
      return
    end
    local at = attempt(self)
    if at then ipc.sleep(math.max(0, math.min(at, deadline) - now())) end
    return
  end
  if self.pumping then -- a coroutine of another scheduler is inside: its turn first
    ipc.sleep(SLICE / 4)
    return
  end
  local all = write_some(self)
  if all == nil then return end
  local timeout = deadline == huge and huge or math.max(0, deadline - now())
  if all == false and timeout > SLICE then timeout = SLICE end
  self.pumping = true
  local ok, problem = pcall(connection.read_some, self, timeout)
  self.pumping = false
  if not ok then error(problem, 0) end
  if self.socket then write_some(self) end
end

-- The end

---This process was forked from the one the connection belongs to.
function connection.abandon(self)
  if self.state ~= "closed" then
    local socket = self.socket
    self.socket, self.number, self.chunk, self.guard = nil, nil, nil, nil
    self.reader, self.writer, self.watcher_loop = nil, nil, nil
    if socket then socket:close() end
    self.state = "closed"
    self.close_message, self.close_code = "the connection belongs to the parent process", "ENOTCONN"
    self.proto:close(self.close_message)
    self:_ended()
  end
  return nil, self.close_message, self.close_code
end

---Writes all that is to be written and, over a network, waits until the server has seen it: closing a socket with unread
---data would make TCP throw away what is on its way.
---@param deadline number
---@return boolean done
function connection.finish_writing(self, deadline)
  local done = self.server and self.server.path ~= nil
  if not done then
    self.proto:send_ping(function (ok) done = ok or false end)
  end
  while self.socket and now() < deadline do
    local all = write_some(self)
    if all and done then return true end
    local task = current_task()
    if all ~= nil and task then
      task.loop.wait(self.number, all and "r" or "rw", deadline)
      if self.socket and not (all and done) then connection.read_some(self, 0) end
    elseif all ~= nil then
      connection.read_some(self, math.min(SLICE, math.max(0, deadline - now())))
    end
  end
  return false
end

---Collected, or the program ends: what was published must not be lost.
function connection.last_flush(self)
  if self.state == "closed" or not self.socket or self.generation ~= forks() then return end
  if not self.unflushed and self.proto.pending == 0 then return end
  local loop = current_loop()
  if loop and loop.busy then
    write_some(self) -- the server may live in this very loop
  else
    pcall(connection.finish_writing, self, now() + self.options.timeout)
  end
end

return connection
