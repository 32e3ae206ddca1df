-- nats_server_parser.lua - the operations that a NATS server receives.
-- Events, as methods of the handler (a reply or queue that is absent is nil):
--   connect(json)  sub(subject, queue, sid)  unsub(sid, max)  ping()  pong()  fail(text)
--   pub(subject, reply, tail, size)  hpub(subject, reply, tail, size, header_size)
--   run(subject, buffer, from, line, sizes, size) -> count
-- `tail` is what follows "MSG subject sid " in the message to a subscriber: reply, size, line end, payload, line end.  It is
-- one piece of the receive buffer, so that routing copies a payload once, however many subscribers there are.
-- A publisher that sends message after message with one and the same line is served faster: run() may take as many messages
-- of the buffer as have it, and says how many these were.  They begin at `from`, each `line`, `size` bytes and a line end;
-- sizes is the end of the line, "128\r\n".
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local parser = require "lipc.proto.nats_parser"

local parse_size, split_args = parser.parse_size, parser.split_args
local PARSER_ERROR = parser.PARSER_ERROR
local byte, find, gsub, sub, unpack = string.byte, string.find, string.gsub, string.sub, table.unpack
local tonumber = tonumber

local CR, LF, H = 13, 10, 72

-- The usual forms; every other goes to Parser:control, which understands them all and says what is wrong.
local PUB = "^PUB (%S+) ()(%d+)\r\n"
local PUB_REPLY = "^PUB (%S+) ()(%S+) (%d+)\r\n"
local HPUB = "^HPUB (%S+) ()(%d+) (%d+)\r\n"
local HPUB_REPLY = "^HPUB (%S+) ()(%S+) (%d+) (%d+)\r\n"
-- What such a line has beside its arguments, less one.
local PUB_EXTRA = #"PUB " + #"\r\n" - 1

-- So many messages must have had the same line before a run is looked for.
local STREAK = 8

---@param self lipc.proto.Parser
local function scan(self, buffer, from)
  local handler = self.handler
  local longest, max_payload = self.max_control_line + PUB_EXTRA, self.max_payload
  local length = #buffer
  -- A line that came twice in a row is likely to come again: comparing it is cheaper than taking it apart.
  local line, width, line_tail, line_subject, line_size = nil, 0, 0, nil, 0
  local last_subject, last_digits
  local streak, ran = 0, self.ran
  if ran then -- the end of the last buffer may have cut it
    line, width, line_tail, line_subject, line_size = unpack(ran, 1, 5)
    streak = STREAK - 1
  end
  while from and from <= length and not self.stopped do
    local last = from + width + line_size + 1
    if line and last <= length and sub(buffer, from, from + width - 1) == line then
      streak = streak + 1
      local count = 0
      if streak == STREAK then
        streak = 0
        count = handler:run(line_subject, buffer, from, line, sub(line, line_tail + 1), line_size)
      end
      if count > 0 then
        from = from + count * (width + line_size + 2)
        ran = ran or { line, width, line_tail, line_subject, line_size }
      else
        local cr, lf = byte(buffer, last - 1, last)
        if cr ~= CR or lf ~= LF then return self:fail(parser.UNKNOWN_OPERATION) end
        handler:pub(line_subject, nil, sub(buffer, from + line_tail, last), line_size)
        from = last + 1
      end
    else
      local start, stop, subject, tail, digits = find(buffer, PUB, from)
      local reply, header_digits
      if not start and byte(buffer, from) ~= H then
        start, stop, subject, tail, reply, digits = find(buffer, PUB_REPLY, from)
      elseif not start then
        start, stop, subject, tail, header_digits, digits = find(buffer, HPUB, from)
        if not start then
          start, stop, subject, tail, reply, header_digits, digits = find(buffer, HPUB_REPLY, from)
        end
      end
      local size = start and tonumber(digits)
      last = size and stop + size + 2
      if size and size <= max_payload and last <= length and stop - start <= longest and #digits <= 9
        and (not header_digits or #header_digits <= 9 and tonumber(header_digits) <= size) then
        local cr, lf = byte(buffer, last - 1, last)
        if cr ~= CR or lf ~= LF then return self:fail(parser.UNKNOWN_OPERATION) end
        if header_digits then
          line, width, line_size, last_subject = nil, 0, 0, nil
        elseif subject == last_subject and digits == last_digits and not reply then
          line, width, line_tail = sub(buffer, start, stop), stop - start + 1, tail - start
          line_subject, line_size = subject, size
        else
          line, width, line_size = nil, 0, 0
          last_subject, last_digits = not reply and subject, digits
        end
        streak, ran = 0, nil
        if header_digits then
          handler:hpub(subject, reply, sub(buffer, tail, last), size, tonumber(header_digits))
        else
          handler:pub(subject, reply, sub(buffer, tail, last), size)
        end
        from = last + 1
      else
        line, width, line_size, last_subject = nil, 0, 0, nil
        from = self:control(buffer, from)
        if from then ran = nil end
      end
    end
  end
  self.ran = ran
end

---@param self lipc.proto.Parser
local function finish(self, whole)
  local handler, header_size = self.handler, self.header_size
  if not header_size then return handler:pub(self.subject, self.reply, whole, self.size) end
  return handler:hpub(self.subject, self.reply, whole, self.size, header_size)
end

local function message(self, subject, reply, sizes, size, header_size, buffer, from)
  self.subject, self.reply, self.size, self.header_size = subject, reply, size, header_size
  local prefix = (reply and reply .. " " or "") .. sizes .. "\r\n"
  return self:payload(buffer, from, prefix, size)
end

local ops = {}

---@type lipc.proto.Operation
function ops.PUB(self, args, buffer, from)
  local count, subject, reply, digits = split_args(args, 3)
  if count == 2 then reply, digits = nil, reply end
  local size = parse_size(digits)
  if count < 2 or count > 3 or not size then return self:fail(PARSER_ERROR) end
  return message(self, subject, reply, digits, size, nil, buffer, from)
end

---@type lipc.proto.Operation
function ops.HPUB(self, args, buffer, from)
  local count, subject, reply, header_digits, digits = split_args(args, 4)
  if count == 3 then reply, header_digits, digits = nil, reply, header_digits end
  local header_size, size = parse_size(header_digits), parse_size(digits)
  if count < 3 or count > 4 or not header_size or not size or header_size > size then return self:fail(PARSER_ERROR) end
  return message(self, subject, reply, header_digits .. " " .. digits, size, header_size, buffer, from)
end

-- As nats-server has it, a CR inside the line separates the arguments of SUB and UNSUB, and belongs to those of PUB and HPUB.
local function split_at_cr(args, most)
  return split_args((gsub(args, "\r", " ")), most)
end

---@type lipc.proto.Operation
function ops.SUB(self, args, _, from)
  local count, subject, queue, sid = split_at_cr(args, 3)
  if count == 2 then queue, sid = nil, queue end
  if count < 2 or count > 3 then return self:fail(PARSER_ERROR) end
  self.handler:sub(subject, queue, sid)
  return from
end

---@type lipc.proto.Operation
function ops.UNSUB(self, args, _, from)
  local count, sid, max = split_at_cr(args, 2)
  if count < 1 or count > 2 then return self:fail(PARSER_ERROR) end
  -- A number that is none unsubscribes at once, as nats-server has it.
  self.handler:unsub(sid, parse_size(max))
  return from
end

-- Servers take these from each other; from a client the first means nothing and the second is the end.
---@type lipc.proto.Operation
function ops.INFO(_, _, _, from)
  return from
end

ops["-ERR"] = function (self)
  return self:fail(PARSER_ERROR)
end

local loose = {}

---@type lipc.proto.Operation
function loose.CONNECT(self, args, _, from)
  self.handler:connect(args)
  return from
end

---@type lipc.proto.Operation
function loose.PING(self, _, _, from)
  self.handler:ping()
  return from
end

---@type lipc.proto.Operation
function loose.PONG(self, _, _, from)
  self.handler:pong()
  return from
end

loose["+OK"] = ops.INFO

return {
  ---@type fun(handler: table, limits?: lipc.proto.ParserLimits): lipc.proto.Parser
  new = parser.define { scan = scan, finish = finish, ops = ops, loose = loose },
}
