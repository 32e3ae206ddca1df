-- connection.lua - one client of a broker: its socket, and the tasks that move bytes between it and its session; internal.
-- The reading task lives as long as the connection and ends it; a writing task exists only while the client does not take
-- what it is sent.    SPDX-License-Identifier: MIT

local now = require("lipc").now
local collector = require "lipc.broker.collector"
local concat = table.concat
local max = math.max
local quote = require("lipc.broker.log").quote

-- Bytes taken from one client in one turn of the loop: fewer when what it publishes goes to many, so that the others have
-- their turn.
local READ_SIZE, FIRST_READ_SIZE, SMALLEST_READ_SIZE = 65536, 4096, 512
local DELIVERIES_A_TURN = 16384

-- What is written at once of what a client was too slow for, and how often in one turn; portions of what it was not.
local WRITE_SIZE, WRITES_A_TURN, PORTIONS_A_TURN = 65536, 8, 2

-- What the kernel keeps for a client on a Unix socket, if it may: with its default of 208 KiB, two processes that stream wake
-- each other up for every other write.  For TCP it finds a size itself.
local SEND_BUFFER = 1 << 18

-- After the last word a client gets so long, and may send so much, until the socket is closed: closing one with unread
-- data would make TCP throw the last word away.
local LINGER_SECONDS = 2
local LINGER_READS = 64

-- Where so much was written of what a client was too slow for, the end of the half-written message is not looked for.
local LAST_WORD_BYTES = 4 << 20

local Connection = {}
Connection.__index = Connection

local function new(broker, socket, session)
  local self = setmetatable({
    broker = broker,
    loop = broker.loop,
    socket = socket,
    fd = socket:fd(),
    session = session,
    peer = session.peer,
    began = now(),
    messages_in = 0,
    bytes_in = 0,
    bytes_out = 0,
  }, Connection)
  session.connection = self
  broker.log.debug("%s - Client connection created", self)
  socket:settimeout(0)
  if not self.peer.ip then socket:setoption("sndbuf", SEND_BUFFER) end
  -- By this the socket knows that somebody waits for its descriptor, and tells when it is closed.
  self.loop.poller:add(socket, "r")
  self.loop.poller:add(self.fd, "r")
  return self
end

---Who it is, in the log.
function Connection:__tostring()
  local peer = self.peer
  local who = peer.ip and ("%s:%d"):format(peer.ip, peer.port) or ("user %s:process %s"):format(peer.uid, peer.pid)
  return ("%s - cid:%d"):format(who, self.session.id)
end

---The session has ended.
function Connection:ended(reason)
  local log = self.broker.log
  if reason == "Slow Consumer" or reason == "Authorization Violation" then
    log.warn("%s - %s", self, reason)
  else
    log.debug("%s - Client connection closed: %s", self, reason)
  end
  self:wake()
end

---@param what "bytes_in"|"bytes_out"
function Connection:count(what, bytes)
  local broker = self.broker
  self[what], broker[what] = self[what] + bytes, broker[what] + bytes
end

-- Writing

-- So many bytes went, or will not go any more.
local function wrote(self, bytes)
  self.session:wrote(bytes)
  local due = self.due
  if due then self.due = due > bytes and due - bytes or nil end
end

-- A client that is slow must take what waits for it now by the deadline; then there is another for what came meanwhile.
local function set_deadline(self)
  if self.due then return end
  self.due = self.session.pending
  self.deadline = now() + self.broker.options.write_deadline
end

-- Leaves to a task what there is to write, beginning with what of `rest` stands after `offset`.
local function write_later(self, rest, offset)
  self.rest, self.offset = rest, offset
  self.writer = self.loop:wrap(self.protect, self, self.write_rest)
end

-- Writes `bytes` bytes in one piece or several.
local function write(self, bytes, ...)
  self:count("bytes_out", bytes)
  local trace = self.broker.log.trace
  if trace then trace("%s - ->> [%s]", self, quote(concat { ... })) end
  if self.broken then return wrote(self, bytes) end
  local ok, message, code, written = self.socket:write(...)
  if ok then
    wrote(self, bytes)
  elseif code == "ETIMEDOUT" then
    wrote(self, written)
    write_later(self, concat { ... }, written)
  else
    wrote(self, bytes)
    self:fail_write(message)
  end
end

---Writes what the session has to say, as much as goes without waiting and is one client's share of a turn.
function Connection:flush()
  local session, portions = self.session, 0
  while session.count > 0 and not self.rest and not self.closed do
    if portions == PORTIONS_A_TURN then return write_later(self, "", 0) end
    portions = portions + 1
    write(self, session:take_pieces())
  end
end

---The client takes nothing any more.  What it sent before may still be there to be read.
function Connection:fail_write(message)
  self.broken = message
  self.session:discard() -- nobody is to wait for this client
  if self.session.closing then self:wake() end
end

-- Where the message that is half written ends: the first end of a line or payload not before `offset`.  A subject may have a
-- carriage return in it, but no line feed.
local function message_end(data, offset)
  local last = 0
  while last < offset do
    local _, stop, size = data:find("^H?MSG [^\n]* (%d+)\r\n", last + 1)
    if stop then
      last = stop + size + 2
    else
      last = data:find("\n", last + 1, true)
    end
  end
  return last
end

-- The client was too slow.  It gets the rest of the message that it has half, and the reason, if it takes them by the time
-- that the reading task gives a last word.
local function cut(self)
  local session, rest, offset = self.session, self.rest, self.offset
  local last = offset <= LAST_WORD_BYTES and message_end(rest, offset)
  if not last then
    self.broken = "write deadline"
    self.rest = nil
    wrote(self, #rest - offset)
    session:cut()
    return self:wake()
  end
  wrote(self, #rest - last)
  self.rest, self.offset = rest:sub(offset + 1, last), 0
  session:cut()
end

-- The task that writes what the client was too slow for.
function Connection:write_rest()
  local session, socket, wait = self.session, self.socket, self.loop.wait
  while not self.closed do
    local rest, offset = self.rest, self.offset
    if offset == #rest then
      self.rest = nil
      return self:flush_more()
    end
    set_deadline(self)
    wait(self.fd, "w", not session.closing and self.deadline or nil) -- the reading task sets one to the last word
    if self.closed then break end
    local late = now() - self.deadline
    local ok, message, code, written
    local sent = 0
    for _ = 1, WRITES_A_TURN do
      local piece = rest:sub(offset + sent + 1, offset + sent + WRITE_SIZE)
      ok, message, code, written = socket:write(piece)
      sent = sent + (ok and #piece or written)
      if not ok or offset + sent == #rest then break end
    end
    if ok or code == "ETIMEDOUT" then
      offset = offset + sent
      self.offset = offset
      wrote(self, sent)
      if sent > 0 and late > self.broker.options.write_deadline / 2 then
        self.due = nil -- this process came much too late, and the client had made room
      elseif not session.closing and self.due and now() >= self.deadline then
        cut(self)
        if self.broken then return end
      end
    else
      wrote(self, #rest - offset)
      self.rest = nil
      return self:fail_write(message)
    end
  end
end

---What came while the rest was written.
function Connection:flush_more()
  self.writer = nil
  self:flush()
  if not self.rest and self.session.closing then self:wake() end
end

-- Reading

---The reading task looks again at what the matter is.
function Connection:wake()
  if self.reader then self.loop.wake(self.reader) end
end

local function read(self)
  local session, socket, fd = self.session, self.socket, self.fd
  local broker, wait = self.broker, self.loop.wait
  local server = broker.server
  local deadline = session.waiting and now() + broker.options.auth_timeout or nil
  local size = FIRST_READ_SIZE
  while not session.closing do
    if session.paused ~= 0 then
      wait(nil, nil, nil)
    else
      wait(fd, "r", deadline)
      if session.closing or self.closed then break end
      local data, message, code = socket:readsome(size, 0)
      if data then
        local trace = broker.log.trace
        if trace then -- a secret may come in pieces
          trace("%s - <<- [%s]", self, session.waiting and ("%d bytes before it is let in"):format(#data) or quote(data))
        end
        self:count("bytes_in", #data)
        local messages_in, messages_out = server.messages_in, server.messages_out
        session:feed(data)
        self.messages_in = self.messages_in + server.messages_in - messages_in
        if deadline and not session.waiting then deadline = nil end
        if server.messages_out - messages_out > DELIVERIES_A_TURN then
          size = max(size // 2, SMALLEST_READ_SIZE)
        elseif #data == size and size < READ_SIZE then
          size = 2 * size
        end
        if server.dirty_count > 0 then broker:_kick() end
      elseif code ~= "ETIMEDOUT" then
        self.broken = message
        session:close(code == "EOF" and "Client Closed" or message)
      elseif deadline and now() >= deadline then
        session:fail "Authentication Timeout"
      end
    end
  end
end

-- Says the last word and waits until the client has it, within bounds.
local function part(self)
  local socket, wait = self.socket, self.loop.wait
  local deadline = now() + LINGER_SECONDS
  if not self.broken then self:flush() end
  while self.rest and not self.broken and not self.closed and now() < deadline do wait(nil, nil, deadline) end
  if self.broken or self.rest or self.closed then return end
  socket:shutdown("w", 0)
  for _ = 1, LINGER_READS do
    wait(self.fd, "r", deadline)
    if self.closed then return end
    local data, _, code = socket:readsome(READ_SIZE, 0)
    if not data and (code ~= "ETIMEDOUT" or now() >= deadline) then return end
  end
end

---Whatever goes wrong in a task of one client ends this client alone.
function Connection:protect(work)
  local ok, problem = xpcall(work, debug.traceback, self)
  if ok then return end
  local broker = self.broker
  broker.errors, broker.last_error = broker.errors + 1, problem
  self.session:close "Internal Error"
  self:wake()
end

---The task of the connection.
function Connection:run()
  self.reader = self.loop.current
  self:protect(read)
  if not self.closed then pcall(part, self) end
  self:close()
end

---Closes the socket at once; the tasks notice.
function Connection:close()
  if self.closed then return end
  self.closed = true
  self.rest = nil
  local broker = self.broker
  self.session:close "Connection Closed"
  if self.session.closing == "Slow Consumer" then collector.collect() end
  broker.connections[self] = nil
  broker.connection_count = broker.connection_count - 1
  self.socket:close()
end

return { new = new }
