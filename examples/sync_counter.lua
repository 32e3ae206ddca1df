-- One counter in shared memory, incremented by 8 processes: under a semaphore, under a mutex, and by an atomic
-- addition. Each gives the exact total; without any of them increments would be lost.
local ipc = require "lipc"
local sync = ipc.sync

local WORKERS, TIMES = 8, tonumber(arg[1]) or 10000

local map <close> = assert(ipc.mmap.anonymous(4096)) -- the children inherit it
local counter = map:view("i64", 0, 1)
local semaphore <close> = assert(sync.semaphore(map, 64, { create = true, initial = 1 }))
local mutex <close> = assert(sync.mutex(map, 128, { create = true }))

local ways = {
  { "semaphore", function()
    assert(semaphore:wait())
    counter[1] = counter[1] + 1
    assert(semaphore:post())
  end },
  { "mutex", function()
    assert(mutex:lock())
    counter[1] = counter[1] + 1
    assert(mutex:unlock())
  end },
  { "atomic", function() counter:add(1, 1) end },
}

for _, way in ipairs(ways) do
  local name, increment = table.unpack(way)
  counter[1] = 0
  local workers = {}
  for i = 1, WORKERS do
    workers[i] = assert(ipc.process.fork(function()
      for _ = 1, TIMES do increment() end
    end))
  end
  for _, w in ipairs(workers) do assert(w:wait().ok) end
  print(name, counter[1])
end
