-- Workers that use a lock of ipc.sync are killed by SIGKILL at random instants; those who go on repair what the dead
-- left, and check that nothing is lost, torn or stuck.
--   lua spec/chaos/sync.lua mutex|rwlock|cond|barrier|once [KILLS [SEED]]
-- Prints how many were killed, how many of them inside the critical section, and the seed.
-- SPDX-License-Identifier: MIT
local ipc = require "lipc"
local sync = ipc.sync

local kind, kills = arg[1] or "mutex", tonumber(arg[2] or 1000)
local seed = tonumber(arg[3] or os.time() ~ ipc.signal.getpid())
local WORKERS = kind == "barrier" and 3 or 5
local PATIENCE = 60 -- seconds without progress: stuck

math.randomseed(seed)
local ONCES = 65536
local map = assert(ipc.mmap.anonymous(kind == "once" and 1 << 27 or 65536)) -- taken as it is touched
local v = map:view("i64", 32768, 64)
-- what the lock protects, and what the workers say of themselves
local A, B, HOLDER, PUTS, GETS, ITEMS, PROGRESS, BAD = 1, 2, 3, 4, 5, 6, 7, 8
local OWN, INSIDE = 16, 32 -- one for each worker

local function check(ok)
  if not ok then v:add(BAD, 1) end
end

-- Counts once for worker i: in two numbers, and in its own.
local function count(i)
  v[HOLDER] = i
  v[A] = v[A] + 1
  v[B] = v[B] + 1
  v[OWN + i] = v[OWN + i] + 1
end

local function sum()
  local n = 0
  for i = 1, WORKERS do n = n + v[OWN + i] end
  return n
end

local function repair()
  check(v[A] == v[B] or v[A] == v[B] + 1)
  v[B] = v[A]
  local missing = v[A] - sum()
  check(missing == 0 or missing == 1)
  if missing == 1 then v[OWN + v[HOLDER]] = v[OWN + v[HOLDER]] + 1 end
  v[ITEMS] = v[PUTS] - v[GETS]
end

local function whole() check(v[A] == v[B] and v[A] == sum() and v[ITEMS] == v[PUTS] - v[GETS]) end

local m = assert(sync.mutex(map, 0, { create = true }))
local rw = assert(sync.rwlock(map, 1024, { create = true, slots = 8 }))
local c = assert(sync.cond(map, 512, { create = true }))
local b = assert(sync.barrier(map, 8192, { create = true, parties = 3 }))

local function taken(i, lock, ok, dead)
  if not ok then return check(false) end
  v[INSIDE + i] = 1
  if dead then
    repair()
    check(lock:consistent())
  else
    whole()
  end
end

local function given(i, lock)
  v[INSIDE + i] = 0
  check(lock:unlock())
  v:add(PROGRESS, 1)
end

local steps = {}

function steps.mutex(i)
  taken(i, m, m:lock(PATIENCE))
  count(i)
  given(i, m)
end

function steps.rwlock(i)
  if math.random(3) == 1 then
    taken(i, rw, rw:wrlock(PATIENCE))
    count(i)
    return given(i, rw)
  end
  local ok, dead = rw:rdlock(PATIENCE)
  check(ok)
  v[INSIDE + i] = 1
  if not dead then whole() end
  given(i, rw)
end

function steps.cond(i)
  local full = 3
  taken(i, m, m:lock(PATIENCE))
  local puts = i % 2 == 1
  while (puts and v[ITEMS] >= full) or (not puts and v[ITEMS] == 0) do
    v[INSIDE + i] = 0
    local ok, _, code, dead = c:wait(m, PATIENCE)
    if ok then dead = _ end
    check(ok or code == "ETIMEDOUT")
    taken(i, m, true, dead)
  end
  if puts then v[PUTS] = v[PUTS] + 1 else v[GETS] = v[GETS] + 1 end
  v[ITEMS] = v[PUTS] - v[GETS]
  count(i)
  c:broadcast()
  given(i, m)
end

-- Who was let go has been waited for: nobody is a whole round ahead of those that are alive.
function steps.barrier(i)
  v[INSIDE + i] = 1
  local before = b:stat().generation
  local ok = b:wait(PATIENCE)
  check(ok and b:stat().generation > before)
  v[INSIDE + i] = 0
  v:add(PROGRESS, 1)
end

-- Each round is a place of its own.  Nobody else is inside meanwhile.
function steps.once(i)
  local round, me = v[PROGRESS], ipc.signal.getpid()
  local o <close> = assert(sync.once(map, ONCES + 96 * round, { create = true }))
  check(o:call(function()
    v[HOLDER] = me
    v[INSIDE + i] = 1
    ipc.sleep(0.0002)
    check(v[HOLDER] == me)
    v[INSIDE + i] = 0
  end, PATIENCE))
  check(o:done())
  v:cas(PROGRESS, round, round + 1)
end

local step = assert(steps[kind], "no such kind")

local function start(i)
  v[INSIDE + i] = 0
  return assert(ipc.process.fork(function()
    math.randomseed(seed + ipc.signal.getpid())
    while true do step(i) end
  end, { kill_on_close = true }))
end

local workers, hits, last, changed = {}, 0, -1, ipc.now()
for i = 1, WORKERS do workers[i] = start(i) end

local function stop(i)
  workers[i]:kill "SIGKILL"
  local status = assert(workers[i]:wait(60))
  workers[i]:close()
  return status
end

for n = 1, kills do
  ipc.sleep(math.random() * (kind == "rwlock" and 0.004 or 0.0008)) -- a dead reader is looked for every 100 ms
  local i = math.random(WORKERS)
  local status = stop(i)
  if status.signal ~= "SIGKILL" then
    print(("%s: a worker ended by itself: %s, after %d kills, seed %d"):format(kind, status.error or tostring(status), n, seed))
    os.exit(1, true)
  end
  hits = hits + v[INSIDE + i]
  workers[i] = start(i)
  if v[PROGRESS] ~= last then last, changed = v[PROGRESS], ipc.now() end
  if ipc.now() - changed > PATIENCE then
    print(("%s: stuck after %d kills, seed %d"):format(kind, n, seed))
    os.exit(1, true)
  end
end

-- somebody must still get on
local before, deadline = v[PROGRESS], ipc.now() + PATIENCE
while v[PROGRESS] == before and ipc.now() < deadline do ipc.sleep(0.001) end
local stuck = v[PROGRESS] == before
for i = 1, WORKERS do stop(i) end
if kind == "rwlock" then
  taken(1, rw, rw:wrlock(PATIENCE))
  given(1, rw)
elseif kind == "mutex" or kind == "cond" then
  taken(1, m, m:lock(PATIENCE))
  given(1, m)
end
print(("%s: %d kills, %d of them inside, %d rounds of work, %d wrong%s, seed %d"):format(kind, kills, hits, v[PROGRESS],
  v[BAD], stuck and ", stuck at the end" or "", seed))
os.exit(v[BAD] == 0 and not stuck and 0 or 1, true)
