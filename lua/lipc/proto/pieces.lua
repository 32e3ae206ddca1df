-- pieces.lua - lists of what is to be written, filled and emptied again and again.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

-- Above so many pieces a list is not worth keeping for the next turn.
local REUSABLE_PIECES = 4096

local pieces = {}

---@param list string[]
---@param count integer  pieces in it
---@return string[] empty  the list, or another one
function pieces.emptied(list, count)
  if count > REUSABLE_PIECES then return {} end
  for i = 1, count do list[i] = nil end
  return list
end

return pieces
