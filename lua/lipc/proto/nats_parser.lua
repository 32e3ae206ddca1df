-- nats_parser.lua - what both directions of the NATS protocol share: bytes in, cut anywhere, and control lines and payloads out.
-- nats_server_parser.lua and nats_client_parser.lua add the operations of their side: `scan`, the loop over a receive buffer
-- with one string.find for a whole control line, and `ops`, the handlers of lines that the loop left to `control`.
-- Cost is linear in the bytes however they are cut: what is incomplete is kept as pieces and joined once.
-- A parser never raises on what it is fed; it calls handler:fail(text), stops, and ignores the rest.  Handlers must not raise,
-- must not wait, and must not feed the parser that calls them.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local byte, find, gmatch, match, sub, upper = string.byte, string.find, string.gmatch, string.match, string.sub, string.upper
local concat = table.concat

local UNKNOWN_OPERATION = "Unknown Protocol Operation"
local PARSER_ERROR = "Parser Error"
local LINE_EXCEEDED = "maximum control line exceeded"
local PAYLOAD_VIOLATION = "Maximum Payload Violation"

local CR, LF = 13, 10

-- So many pieces are joined into a block: a payload that comes byte by byte then takes little more memory than its size.
local PIECES_A_BLOCK = 512

-- The longest operation, CONNECT, and a blank.
local LONGEST_OPERATION = #"CONNECT "

-- What a line may have beside its arguments: the operation and blanks.
local OPERATION_SLACK = 32

---@class lipc.proto.ParserLimits
---@field max_control_line? integer  bytes of the arguments of a control line (4096)
---@field max_payload? integer       bytes of a message with its headers (1 MiB)

---@class lipc.proto.ParserRole
---@field scan fun(self: lipc.proto.Parser, buffer: string, from: integer)
---@field finish fun(self: lipc.proto.Parser, whole: string)  a payload is there, with its line end
---@field ops table<string, lipc.proto.Operation>    operations whose name a blank must follow
---@field loose table<string, lipc.proto.Operation>  operations whose name anything may follow

---Handles one line; what follows it is at `from`.  Returns where to go on, or nil as Parser:control does.
---@alias lipc.proto.Operation fun(self: lipc.proto.Parser, args: string, buffer: string, from: integer): integer?

---@class lipc.proto.Parser: lipc.proto.ParserRole
---@field handler table           receives the events
---@field stopped boolean         nothing more is parsed: after a failure, or after stop()
---@field max_control_line integer
---@field max_payload integer
---@field missing integer         bytes of the payload yet to come, 0 between messages
---@field held integer            bytes of an unfinished control line, or of an unfinished payload
---@field ran? table              the line of the last run of messages, taken apart, while nothing else has come
---@field method? string          of the handler that gets the unfinished message, and its other arguments
---@field subject? string
---@field sid? string
---@field reply? string
---@field size? integer
---@field header_size? integer
local Parser = {}
Parser.__index = Parser

---Makes the class of one role.
---@param role lipc.proto.ParserRole
---@return fun(handler: table, limits?: lipc.proto.ParserLimits): lipc.proto.Parser
local function define(role)
  local class = setmetatable({}, Parser)
  class.__index = class
  for name, value in pairs(role) do
    class[name] = value
  end
  -- Every beginning of an operation, so that an unfinished line that can become none is refused at once.
  local prefixes = {}
  for _, ops in pairs { role.ops, role.loose } do
    for name in pairs(ops) do
      for length = 1, #name do
        prefixes[sub(name, 1, length)] = true
      end
    end
  end
  class.prefixes = prefixes

  return function (handler, limits)
    limits = limits or {}
    local max_control_line = limits.max_control_line or 4096
    return setmetatable({
      handler = handler,
      stopped = false,
      max_control_line = max_control_line,
      longest_line = max_control_line + OPERATION_SLACK,
      max_payload = limits.max_payload or 1 << 20,
      missing = 0,
      held = 0,
      pieces = {},
      piece_count = 0,
      blocks = {},
    }, class)
  end
end

---Reports a failure and stops.
---@param text string
function Parser:fail(text)
  if self.stopped then return end
  self:stop()
  self.handler:fail(text)
end

---Stops and forgets what is unfinished; feeding is ignored from now on.  May be called by a handler.
function Parser:stop()
  self.stopped = true
  self.missing, self.held, self.piece_count = 0, 0, 0
  self.pieces, self.blocks = {}, {}
end

---Parses what came from the peer.
---@param data string
---@return boolean open  false when the parser has stopped
function Parser:feed(data)
  if self.stopped then return false end
  if data == "" then return true end
  local from = 1
  if self.missing > 0 then
    from = self:continue_payload(data)
  elseif self.held > 0 then
    data = self:continue_line(data)
  end
  if from and data then self:scan(data, from) end
  return not self.stopped
end

-- Pieces

---@package
function Parser:keep(piece)
  local count = self.piece_count + 1
  self.pieces[count] = piece
  self.held = self.held + #piece
  if count == PIECES_A_BLOCK then
    self.blocks[#self.blocks + 1] = concat(self.pieces)
    self.pieces, count = {}, 0
  end
  self.piece_count = count
end

---@package
function Parser:join()
  local blocks, pieces = self.blocks, self.pieces
  local whole = concat(pieces)
  if #blocks > 0 then
    blocks[#blocks + 1] = whole
    whole = concat(blocks)
    self.blocks = {}
  end
  self.pieces, self.piece_count, self.held = {}, 0, 0
  return whole
end

-- Payloads

---Takes the payload at `from`, or waits for the rest of it.  The role has put what the control line said into the parser's
---fields, and gets it back through `finish`.
---@param buffer string
---@param from integer
---@param prefix string  comes before the payload in what `finish` gets
---@param size integer
---@return integer? next
function Parser:payload(buffer, from, prefix, size)
  if size > self.max_payload then return self:fail(PAYLOAD_VIOLATION) end
  local last = from + size + 1
  local missing = last - #buffer
  if missing <= 0 then return self:ended(prefix .. sub(buffer, from, last)) and last + 1 end
  self:keep(prefix)
  self:keep(sub(buffer, from))
  self.missing = missing
end

---@package
function Parser:continue_payload(data)
  local missing = self.missing
  local length = #data
  if length < missing then
    self:keep(data)
    self.missing = missing - length
    return nil
  end
  self:keep(length == missing and data or sub(data, 1, missing))
  self.missing = 0
  return self:ended(self:join()) and missing + 1
end

---@package
function Parser:ended(whole)
  local cr, lf = byte(whole, -2, -1)
  if cr ~= CR or lf ~= LF then return self:fail(UNKNOWN_OPERATION) end
  self:finish(whole)
  return true
end

---The size in a control line: at most nine digits, as nats-server has it.
---@param digits string?
---@return integer?
local function parse_size(digits)
  if digits and #digits <= 9 and not find(digits, "[^0-9]") then return tonumber(digits) end
  return nil
end

-- Control lines

---@package
function Parser:continue_line(data)
  if not find(data, "\n", 1, true) then
    -- So long as its operation may be incomplete, a line is looked at whole.
    if self.held < LONGEST_OPERATION then return self:hold(self:join() .. data) end
    if self.held + #data > self.longest_line + #"\r" then return self:fail(LINE_EXCEEDED) end
    return self:keep(data)
  end
  self:keep(data)
  return self:join()
end

---Keeps an unfinished line, unless it is too long or cannot become an operation.
---@package
function Parser:hold(line)
  local word, after = match(line, "^([^ \t\r]*)(.?)")
  local known = after == "" and self.prefixes[upper(sub(word, 1, LONGEST_OPERATION))] or self:operation(line)
  if not known then return self:fail(UNKNOWN_OPERATION) end
  if #line > self.longest_line + #"\r" then return self:fail(LINE_EXCEEDED) end
  self:keep(line)
end

---The handler of a line, and its arguments.
---@package
function Parser:operation(line)
  local word, args = match(line, "^([^ \t]*)[ \t]+(.*)$")
  local op = word and self.ops[upper(word)]
  if op then return op, args end
  for name, loose in pairs(self.loose) do
    if upper(sub(line, 1, #name)) == name then return loose, match(line, "^[ \t]*(.*)$", #name + 1) end
  end
end

---Handles the control line at `from`, whatever its blanks and case.
---@param buffer string
---@param from integer
---@return integer? next  where to go on; nil when the buffer is used up or parsing has stopped
function Parser:control(buffer, from)
  local stop = find(buffer, "\n", from, true)
  if not stop then return self:hold(sub(buffer, from)) end
  local line = sub(buffer, from, byte(buffer, stop - 1) == CR and stop - 2 or stop - 1)
  local op, args = self:operation(line)
  if not op then return self:fail(UNKNOWN_OPERATION) end
  if #args > self.max_control_line or #line > self.longest_line then return self:fail(LINE_EXCEEDED) end
  return op(self, args, buffer, stop + 1)
end

---Cuts arguments at their blanks.
---@param args string
---@param most integer
---@return integer count  `most` + 1 when there are more
---@return string ...     the first five
local function split_args(args, most)
  local words, count = {}, 0
  for word in gmatch(args, "[^ \t]+") do
    count = count + 1
    if count > most then break end
    words[count] = word
  end
  return count, words[1], words[2], words[3], words[4], words[5]
end

return {
  define = define,
  parse_size = parse_size,
  split_args = split_args,
  UNKNOWN_OPERATION = UNKNOWN_OPERATION,
  PARSER_ERROR = PARSER_ERROR,
  LINE_EXCEEDED = LINE_EXCEEDED,
  PAYLOAD_VIOLATION = PAYLOAD_VIOLATION,
}
