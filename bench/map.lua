-- The benches of mappings, for bench/run.lua: bench/peer_map.lua against bench/twin_map.c and Python.
return function(tools)
  local TWIN, PEER = "build/bench/twin_map", tools.lua .. " bench/peer_map.lua"

  local PYTHON = [[python3 -c '
import sys, time
from multiprocessing.shared_memory import SharedMemory
name, size, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
start = time.monotonic()
for i in range(rounds):
    s = SharedMemory(name, create=True, size=size)
    s.buf[0] = s.buf[size - 1] = 1
    s.close()
    s.unlink()
print((time.monotonic() - start) / rounds * 1e6)' ]]

  local function create(name)
    local args = ("/lipc-bench-%x %d 300"):format(os.time(), 1 << 30)
    local medians, values = tools.rounds_of {
      lua = PEER .. " create " .. args, c = TWIN .. " create " .. args, python = PYTHON .. args,
    }
    local ms = {}
    for i, us in ipairs(values.lua) do ms[i] = us / 1000 end
    tools.report(name, "us", medians, tools.median(ms), { at_most = 1 }, nil, "ms")
    print(("%-34s us: Python's SharedMemory %.1f; lipc / C %.2f"):format("", medians.python,
      tools.ratio_of(values, "lua", "c")))
  end

  return { { "shm of 1 GiB, made and mapped", create } }
end
