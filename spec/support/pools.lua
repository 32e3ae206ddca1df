-- What the specs of pools share.
local hoststate = require "support.hoststate"
local probe = require "support.probe"

local pools = {}

-- What stays behind in this process, at the latest after so many seconds; other names in the system are everybody's.
function pools.left(before, patience)
  local deadline = probe.now() + (patience or 0)
  while true do
    collectgarbage()
    collectgarbage()
    local found = {}
    for _, what in ipairs(hoststate.diff(before, hoststate.take())) do
      if not what:find "System V" then found[#found + 1] = what end
    end
    if #found == 0 or probe.now() > deadline then return found end
    probe.pause(0.01)
  end
end

-- The list 1 to n.
function pools.numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

return pools
