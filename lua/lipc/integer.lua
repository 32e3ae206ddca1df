-- integer.lua - whole numbers among arguments and options: 1e6 is one, as for the functions of Lua's own libraries; internal.
-- SPDX-License-Identifier: MIT

local tointeger = math.tointeger

---@param value any
---@return integer? integer  nil when it is none; a string never is
return function (value)
  if type(value) ~= "number" then return nil end
  return tointeger(value)
end
