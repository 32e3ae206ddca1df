-- Pools and bars.  Memory may be short in the worker, which counts its allocations from the fork on: then that is told,
-- and the script goes on.
local ipc = require "lipc"

local function in_worker(message) return message:find "worker" or message:find "item %d" or message:find "^pool%.%a+: not enough" end

local pool <close> = ipc.pool { workers = 1, retry = 0 }
local r, message, code = pool:map(function(x) return x == 2 and { x } or x end, { 1, 2, "three" })
if r then
  assert(r[1] == 1 and r[2][1] == 2 and r[3] == "three")
elseif not in_worker(message) then
  return nil, message, code
end
r, message, code = pool:apply(function(x) return x end, 5)
if r then
  assert(r == 5 and pool:stat().workers == 1)
elseif not in_worker(message) then
  return nil, message, code
end
local bar <close> = ipc.progress.bar { total = 3, label = "x" }
bar(1)
pool:close()
