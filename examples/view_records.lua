-- A table of records in shared memory: each process fills in its own, laid out as this struct in C, each
-- in a cache line of its own so that they do not slow each other down.
--   struct worker { uint32_t pid; uint32_t items; double mean; char state[16]; };
local ipc = require "lipc"

local worker = ipc.view.layout {
  { "pid", "u32" },
  { "items", "u32" },
  { "mean", "f64" },
  { "state", "char", 16 },
  pad = "cacheline",
}
local N = 3
local memory <close> = assert(ipc.mmap.anonymous(N * worker:size()))
local workers = memory:view(worker)

local function work(i)
  local mine = workers[i] -- shows the record: what is assigned is seen by all
  mine.pid, mine.state = ipc.signal.getpid(), "working"
  local sum = 0
  for item = 1, i * 10 do
    sum = sum + item
    mine.items, mine.mean = item, sum / item
  end
  mine.state = "done"
end

local all = {}
for i = 1, N do all[i] = assert(ipc.process.fork(function() work(i) end)) end
for i, p in ipairs(all) do
  assert(p:wait())
  assert(workers[i].pid == p:pid())
end

for i, w in workers:ipairs() do print(i, w.state, w.items, w.mean) end
-- one field of all records is an array
local items = workers:field "items"
print("items", table.concat(items:totable(), " "))
