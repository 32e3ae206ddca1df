-- nats_output.lua - what a session has to say to its client: pieces in the order in which they are to be written, counted until
-- they are, and who is held back meanwhile.  The methods become those of nats_session.lua's sessions.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local emptied = require("lipc.proto.pieces").emptied

local concat, move, unpack = table.concat, table.move, table.unpack
local byte = string.byte

-- So many pieces, if they are so large in the mean, are not worth being joined to be written.
local MOST_PIECES, LARGE_PIECE = 16, 1024

-- Of more bytes about so many are taken at a time: what waits for a slow client is not copied as a whole.
local PORTION = 1 << 18

---@class lipc.proto.Session
---@field pending integer        bytes taken or to be taken and not yet written
---@field paused integer         not 0: a subscriber of this client's messages lags, stop reading from it
---@field taken integer          pieces that were in `out`; a message is two
---@field lines integer          pieces that are not of messages, less what a run of messages has fewer than two each
---@field package out string[]
---@field package count integer
---@field package gone integer   of them are taken: false stands in their place
local Output = {}

-- What there is to say

---@param piece string
---@param more? string
function Output:send(piece, more)
  local out, count = self.out, self.count
  if count == 0 then self:mark() end
  out[count + 1] = piece
  self.pending = self.pending + #piece
  if more then
    out[count + 2] = more
    self.pending = self.pending + #more
    count = count + 1
  else
    self.lines = self.lines + 1
  end
  self.count = count + 1
end

---Several messages in one piece.
---@param piece string
---@param messages integer
function Output:send_run(piece, messages)
  local count = self.count
  if count == 0 then self:mark() end
  self.out[count + 1] = piece
  self.count = count + 1
  self.lines = self.lines + 1 - 2 * messages -- whoever counts messages counts two pieces for each
  self.pending = self.pending + #piece
end

---Tells the server that there is something to write.
function Output:mark()
  if self.marked then return end
  self.marked = true
  local server = self.server
  server.dirty_count = server.dirty_count + 1
  server.dirty[server.dirty_count] = self
end

-- What is written

-- Forgets the pieces up to the `last`, and passes on what they became.
local function taken(self, last, ...)
  local out, count = self.out, self.count
  if last == count then
    self.out, self.count, self.gone = emptied(out, count), 0, 0
    self.taken = self.taken + count
  elseif last > count // 2 then
    self.out, self.count, self.gone = move(out, last + 1, count, 1, {}), count - last, 0
    self.taken = self.taken + last
  else
    for i = self.gone + 1, last do out[i] = false end
    self.gone = last
  end
  return ...
end

---Takes everything that is to be written.
---@return string
function Output:take()
  return taken(self, self.count, concat(self.out, "", self.gone + 1, self.count))
end

-- The last piece of a portion, which ends a message or line, and the bytes of all.
local function portion(self)
  local out, count, last, bytes = self.out, self.count, self.gone, 0
  repeat
    last = last + 1
    local piece = out[last]
    bytes = bytes + #piece
  until last == count or bytes >= PORTION and byte(piece, -1) == 10
  return last, bytes
end

---Takes what is to be written next, when all that was taken before is: whole messages, in one string or a few large ones.
---@return integer bytes
---@return string ...
function Output:take_pieces()
  local out, gone, last, bytes = self.out, self.gone, self.count, self.pending
  if bytes > PORTION then last, bytes = portion(self) end
  local count = last - gone
  if count <= MOST_PIECES and bytes >= count * LARGE_PIECE then
    return taken(self, last, bytes, unpack(out, gone + 1, last))
  end
  return taken(self, last, bytes, count == 1 and out[last] or concat(out, "", gone + 1, last))
end

---Reports that so many of the bytes taken were written.
---@param bytes integer
function Output:wrote(bytes)
  self.pending = self.pending - bytes
  if self.holds and self.pending <= self.server.low_water then self:release() end
end

-- What the client is too slow for

---Called when more is pending than the client should let grow: its publisher is paused, and a client that lags too far is cut.
---A session is never paused for its own sake: it could not read what it waits for.
---@param publisher? lipc.proto.Session
function Output:lag(publisher)
  if self.closing then return end
  if self.pending > self.server.max_pending then return self:cut() end
  if not publisher or publisher == self then return end
  local holds = self.holds
  if not holds then
    holds = setmetatable({}, { __mode = "k" })
    self.holds = holds
  end
  if holds[publisher] then return end
  holds[publisher] = true
  publisher.paused = publisher.paused + 1
end

---Ends the session because its client does not take what it is sent: of that it gets no more, but the reason.
function Output:cut()
  if self.closing then return end
  self:discard()
  self:fail "Slow Consumer"
end

---What is not taken yet is not to be written any more.
function Output:discard()
  local bytes = 0
  for i = self.gone + 1, self.count do
    bytes = bytes + #self.out[i]
  end
  self.taken = self.taken + self.count
  self.out, self.count, self.gone = {}, 0, 0
  self:wrote(bytes)
end

---@package
function Output:release()
  local holds = self.holds
  if not holds then return end
  self.holds = nil
  for publisher in pairs(holds) do
    publisher.paused = publisher.paused - 1
    if publisher.paused == 0 and not publisher.closing then self.server.on_resume(publisher) end
  end
end

return Output
