-- What bench/twin_map.c does, by lipc: microseconds on standard output.
--   peer_map.lua create NAME BYTES ROUNDS
local ipc = require "lipc"

local measure = {}

function measure.create(name, size, rounds)
  for _ = 1, rounds do
    local s = assert(ipc.shm.open(name, { create = true, exclusive = true, unlink = true, size = size, reserve = false }))
    s:write(0, "\1")
    s:write(size - 1, "\1")
    s:close()
  end
end

local name, size, rounds = arg[2], math.tointeger(arg[3]), math.tointeger(arg[4])
local start = ipc.now()
measure[arg[1]](name, size, rounds)
print(("%.3f"):format((ipc.now() - start) / rounds * 1e6))
