-- What the specs of pools share.
local pools = {}

-- The list 1 to n.
function pools.numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

return pools
