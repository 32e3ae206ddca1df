-- nats_client_parser.lua - the operations that a NATS client receives.
-- Events, as methods of the handler (a reply that is absent is nil):
--   info(json)  msg(subject, sid, reply, data)  hmsg(subject, sid, reply, data, header)  ping()  pong()  ok()  err(text)
--   fail(text)   the server does not speak the protocol, or exceeds the limits
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local parser = require "lipc.proto.nats_parser"

local parse_size, split_args = parser.parse_size, parser.split_args
local PARSER_ERROR = parser.PARSER_ERROR
local byte, find, match, sub = string.byte, string.find, string.match, string.sub
local tonumber = tonumber

local CR, LF = 13, 10

-- A server may be asked for more than a client: INFO lists a whole cluster, and subjects come with a reply and a sid.
local MAX_CONTROL_LINE = 1 << 16
local MAX_PAYLOAD = 64 << 20

-- The usual forms; every other goes to Parser:control, which understands them all and says what is wrong.
local MSG = "^MSG (%S+) (%S+) (%d+)\r\n"
local MSG_REPLY = "^MSG (%S+) (%S+) (%S+) (%d+)\r\n"
-- What such a line has beside its arguments, less one.
local MSG_EXTRA = #"MSG " + #"\r\n" - 1

---@param self lipc.proto.Parser
local function scan(self, buffer, from)
  local handler = self.handler
  local longest, max_payload = self.max_control_line + MSG_EXTRA, self.max_payload
  local length = #buffer
  -- A line that came twice in a row is likely to come again: comparing it is cheaper than taking it apart.
  local line, width, line_subject, line_sid, line_size = nil, 0, nil, nil, 0
  local last_subject, last_sid, last_digits
  while from and from <= length and not self.stopped do
    local last = from + width + line_size + 1
    if line and last <= length and sub(buffer, from, from + width - 1) == line then
      local cr, lf = byte(buffer, last - 1, last)
      if cr ~= CR or lf ~= LF then return self:fail(parser.UNKNOWN_OPERATION) end
      handler:msg(line_subject, line_sid, nil, sub(buffer, from + width, last - 2))
      from = last + 1
    else
      local start, stop, subject, sid, digits = find(buffer, MSG, from)
      local reply
      if not start then
        start, stop, subject, sid, reply, digits = find(buffer, MSG_REPLY, from)
      end
      local size = start and tonumber(digits)
      last = size and stop + size + 2
      if size and size <= max_payload and last <= length and stop - start <= longest and #digits <= 9 then
        local cr, lf = byte(buffer, last - 1, last)
        if cr ~= CR or lf ~= LF then return self:fail(parser.UNKNOWN_OPERATION) end
        if subject == last_subject and sid == last_sid and digits == last_digits and not reply then
          line, width, line_subject, line_sid, line_size = sub(buffer, start, stop), stop - start + 1, subject, sid, size
        else
          line, width, line_size = nil, 0, 0
          last_subject, last_sid, last_digits = not reply and subject, sid, digits
        end
        handler:msg(subject, sid, reply, sub(buffer, stop + 1, last - 2))
        from = last + 1
      else
        line, width, line_size, last_subject = nil, 0, 0, nil
        from = self:control(buffer, from)
      end
    end
  end
end

---@param self lipc.proto.Parser
local function finish(self, whole)
  local handler, header_size = self.handler, self.header_size
  if not header_size then return handler:msg(self.subject, self.sid, self.reply, sub(whole, 1, -3)) end
  return handler:hmsg(self.subject, self.sid, self.reply, sub(whole, header_size + 1, -3), sub(whole, 1, header_size))
end

local ops = {}

---@type lipc.proto.Operation
function ops.MSG(self, args, buffer, from)
  local count, subject, sid, reply, digits = split_args(args, 4)
  if count == 3 then reply, digits = nil, reply end
  local size = parse_size(digits)
  if count < 3 or count > 4 or not size then return self:fail(PARSER_ERROR) end
  self.subject, self.sid, self.reply, self.header_size = subject, sid, reply, nil
  return self:payload(buffer, from, "", size)
end

---@type lipc.proto.Operation
function ops.HMSG(self, args, buffer, from)
  local count, subject, sid, reply, header_digits, digits = split_args(args, 5)
  if count == 4 then reply, header_digits, digits = nil, reply, header_digits end
  local header_size, size = parse_size(header_digits), parse_size(digits)
  if count < 4 or count > 5 or not header_size or not size or header_size > size then return self:fail(PARSER_ERROR) end
  self.subject, self.sid, self.reply, self.header_size = subject, sid, reply, header_size
  return self:payload(buffer, from, "", size)
end

---@type lipc.proto.Operation
function ops.INFO(self, args, _, from)
  self.handler:info(args)
  return from
end

local loose = {}

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

loose["+OK"] = function (self, _, _, from)
  self.handler:ok()
  return from
end

loose["-ERR"] = function (self, args, _, from)
  self.handler:err(match(args, "^'(.*)'[ \t]*$") or args)
  return from
end

local make = parser.define { scan = scan, finish = finish, ops = ops, loose = loose }

---@param handler table
---@param limits? lipc.proto.ParserLimits  defaults: control lines of 64 KiB, messages of 64 MiB
---@return lipc.proto.Parser
local function new(handler, limits)
  return make(handler, {
    max_control_line = limits and limits.max_control_line or MAX_CONTROL_LINE,
    max_payload = limits and limits.max_payload or MAX_PAYLOAD,
  })
end

return { new = new }
