-- Several processes count with one word of shared memory: none of their additions is lost, without any
-- lock. With "plain" as the argument they read and write in two steps, and lose some.
--   lua examples/view_counter.lua [plain]
local ipc = require "lipc"

local PROCESSES, TIMES = 8, 20000
local memory <close> = assert(ipc.mmap.anonymous(4096))
local counter = memory:view("i64", 0, 1)
local go = memory:view("u32", 64, 1)

local function count()
  go:wait(1, 0) -- all at once
  for _ = 1, TIMES do
    if arg[1] == "plain" then
      counter[1] = counter[1] + 1
    else
      counter:add(1, 1)
    end
  end
end

local all = {}
for i = 1, PROCESSES do all[i] = assert(ipc.process.fork(count)) end
go:store(1, 1)
go:wake(1)
for _, p in ipairs(all) do assert(p:wait()) end

print(("%d of %d"):format(counter[1], PROCESSES * TIMES))
