-- A bounded buffer in shared memory: two producers, two consumers, 4 places. A mutex protects it, one condition says
-- that it is not full, another that it is not empty.
local ipc = require "lipc"
local sync = ipc.sync

local PLACES, ITEMS = 4, tonumber(arg[1]) or 500

local map <close> = assert(ipc.mmap.anonymous(4096))
local mutex <close> = assert(sync.mutex(map, 0, { create = true }))
local not_full <close> = assert(sync.cond(map, 128, { create = true }))
local not_empty <close> = assert(sync.cond(map, 192, { create = true }))
local buffer = map:view("i64", 256, PLACES)
local state = map:view("i64", 512, 4)
local FIRST, COUNT, TAKEN, SUM = 1, 2, 3, 4

local function put(item)
  mutex:with(function()
    while state[COUNT] == PLACES do assert(not_full:wait(mutex)) end -- a wait may end early: look again
    buffer[(state[FIRST] + state[COUNT]) % PLACES + 1] = item
    state[COUNT] = state[COUNT] + 1
    not_empty:signal()
  end)
end

local function take()
  return mutex:with(function()
    while state[COUNT] == 0 do
      if state[TAKEN] == 2 * ITEMS then return nil end
      assert(not_empty:wait(mutex))
    end
    local item = buffer[state[FIRST] + 1]
    state[FIRST] = (state[FIRST] + 1) % PLACES
    state[COUNT] = state[COUNT] - 1
    state[TAKEN] = state[TAKEN] + 1
    state[SUM] = state[SUM] + item
    not_full:signal()
    if state[TAKEN] == 2 * ITEMS then not_empty:broadcast() end -- the other consumer may go home
    return item
  end)
end

local workers = {}
for _ = 1, 2 do
  workers[#workers + 1] = assert(ipc.process.fork(function()
    for i = 1, ITEMS do put(i) end
  end))
  workers[#workers + 1] = assert(ipc.process.fork(function()
    repeat until not take()
  end))
end
for _, w in ipairs(workers) do assert(w:wait().ok) end
print(("%d items taken, sum %d"):format(state[TAKEN], state[SUM]))
