-- headers.lua - the header block of NATS messages: a version line, which may carry a status, then `Name: value` lines and an
-- empty line.  Names keep their case and are told apart by it; a name may have several values.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local find, gsub, match, sub = string.find, string.gsub, string.match, string.sub
local concat, insert, sort = table.concat, table.insert, table.sort

local VERSION = "NATS/1.0"
local BLANKS_AROUND = "^[ \t]*(.-)[ \t]*$"

---@alias lipc.proto.Fields table<string, string[]>

---The status of a header block and nothing else: one look at its first line.
---@param block string
---@return string? status  three digits
---@return string? description  "" when there is none
local function status(block)
  local code, description = match(block, "^NATS/1%.0[ \t]+(%d%d%d)([^\r\n]*)\r\n")
  if not code then return nil end
  return code, match(description, BLANKS_AROUND)
end

---Decodes a header block.
---@param block string
---@return lipc.proto.Fields? fields  every value is a list; nil and a message when the block is malformed
---@return string? status_or_message
---@return string? description
local function decode(block)
  if not find(block, "^NATS/1%.0[ \t\r]") then return nil, "headers do not begin with NATS/1.0" end
  if sub(block, -4) ~= "\r\n\r\n" then return nil, "headers do not end with an empty line" end
  local first = find(block, "\r\n", 1, true)
  if sub(block, #VERSION + 1, first - 1):find "[^ \t]" and not status(block) then return nil, "malformed status line" end

  local fields = {}
  local at, last = first + 2, #block - 2
  while at <= last do
    local stop = find(block, "\r\n", at, true)
    local name, value = match(sub(block, at, stop - 1), "^([^: \t\r\n][^:\r\n]*):([^\r\n]*)$")
    if not name then return nil, "malformed header line" end
    value = match(value, BLANKS_AROUND)
    if fields[name] then
      insert(fields[name], value)
    else
      fields[name] = { value }
    end
    at = stop + 2
  end
  return fields, status(block)
end

local function check_name(name)
  if type(name) ~= "string" or name == "" or find(name, "[%c: ]") then
    error(("bad header name %q"):format(tostring(name)), 0)
  end
  return name
end

local function check_value(name, value)
  if type(value) == "number" then value = tostring(value) end
  if type(value) ~= "string" or find(value, "[\r\n]") then
    error(("bad value of header %s: a string without line ends expected"):format(name), 0)
  end
  return value
end

local function append(lines, name, value)
  check_name(name)
  if type(value) == "table" then
    for key in pairs(value) do
      if math.type(key) ~= "integer" or key < 1 or key > #value then
        error(("bad value of header %s: a string or a list of strings expected"):format(name), 0)
      end
    end
  end
  for _, one in ipairs(type(value) == "table" and value or { value }) do
    insert(lines, name .. ": " .. check_value(name, one))
  end
end

---Encodes a header block.  A value is a string, a number or a list of these.  Names are written in alphabetical order, after
---the pairs in the list part (`{ {"B", "1"}, {"A", "2"} }`), which keep theirs.  A bad name or value raises an error.
---@param fields? table
---@param code? string|integer     status, three digits
---@param description? string
---@return string block
local function encode(fields, code, description)
  local version = VERSION
  if code then
    code = tostring(code)
    if not find(code, "^%d%d%d$") then error("bad status: three digits expected", 0) end
    version = version .. " " .. code
    if description and description ~= "" then version = version .. " " .. gsub(description, "[\r\n]+", " ") end
  end
  local lines = { version }
  local names = {}
  for name in pairs(fields or {}) do
    if math.type(name) ~= "integer" then insert(names, check_name(name)) end
  end
  for i, pair in ipairs(fields or {}) do
    if type(pair) ~= "table" then error(("bad header %d: { name, value } expected"):format(i), 0) end
    append(lines, pair[1], pair[2])
  end
  sort(names)
  for _, name in ipairs(names) do
    append(lines, name, fields[name])
  end
  insert(lines, "\r\n")
  return concat(lines, "\r\n")
end

return {
  status = status,
  decode = decode,
  encode = encode,
}
