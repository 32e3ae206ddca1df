-- records.lua - equal records in a string: a head, as many bytes of a body as the others have, and a tail.  src/kit_records.c
-- says the same in C; whoever has it gives it to the server instead of this.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local concat, sub = table.concat, string.sub

local records = {}

---How many whole records stand at `from`, one after the other.
---@param buffer string
---@param from integer
---@param head string
---@param size integer  bytes of the body
---@param tail string
---@return integer
function records.count(buffer, from, head, size, tail)
  local width, body_end = #head + size + #tail, #head + size
  local count, at = 0, from
  while at + width - 1 <= #buffer and sub(buffer, at, at + #head - 1) == head
    and sub(buffer, at + body_end, at + width - 1) == tail do
    count, at = count + 1, at + width
  end
  return count
end

---The records at `from` with another head.
---@param buffer string
---@param from integer
---@param count integer
---@param old integer   bytes of the head they have
---@param rest integer  bytes of what follows it
---@param head string
---@return string
function records.rehead(buffer, from, count, old, rest, head)
  local pieces = {}
  for i = 1, count do
    local body = from + (i - 1) * (old + rest) + old
    pieces[2 * i - 1], pieces[2 * i] = head, sub(buffer, body, body + rest - 1)
  end
  return concat(pieces)
end

return records
