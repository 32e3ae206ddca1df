-- What bench/pool.lua measures, in milliseconds; the first round of each is not counted:
--   peer_pool.lua whole N      make a pool, map a trivial function over N integers, close: the median of 5 rounds
--   peer_pool.lua again N      a later map of a pool whose workers are there: the same
--   peer_pool.lua work WORKERS 1,000 items that take 1 ms each
local ipc = require "lipc"

local what, n = arg[1], math.tointeger(tonumber(arg[2]))

local function trivial(x) return x + 1 end

local function busy(x)
  local till = ipc.now() + 0.001
  while ipc.now() < till do end
  return x
end

local function list(count)
  local t = {}
  for i = 1, count do t[i] = i end
  return t
end

local function check(r, count, add)
  assert(#r == count)
  for i = 1, count do assert(r[i] == i + add) end
end

local function median(times)
  table.sort(times)
  return times[#times // 2 + 1]
end

if what == "work" then
  local items = list(1000)
  local pool <close> = ipc.pool { workers = n }
  local t = ipc.now()
  local r = assert(pool:map(busy, items))
  print(("%.1f"):format((ipc.now() - t) * 1e3))
  check(r, 1000, 0)
else
  local items, times, pool = list(n), {}, nil
  for i = 0, 5 do
    local t = ipc.now()
    if what == "whole" or not pool then pool = ipc.pool() end
    local r = assert(pool:map(trivial, items))
    if what == "whole" then pool:close() end
    if i > 0 then times[i] = (ipc.now() - t) * 1e3 end
    check(r, n, 1)
  end
  print(("%.2f"):format(median(times)))
end
