-- What the specs of pools share.
local hoststate = require "support.hoststate"

local pools = {}

-- What stays behind in this process; other names in the system are everybody's.
function pools.left(before, patience)
  local found = {}
  for _, what in ipairs(patience and hoststate.settle(before, patience) or hoststate.diff(before, hoststate.take())) do
    if not what:find "System V" then found[#found + 1] = what end
  end
  return found
end

-- The list 1 to n.
function pools.numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

return pools
