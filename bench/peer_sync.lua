-- The Lua side of bench/sync.lua: peer_sync.lua mutex|with|sem|rdlock|wrlock|call|contended COUNT prints nanoseconds for each
-- pair of operations.
local ipc = require "lipc"
local sync = ipc.sync
local what, count = arg[1], tonumber(arg[2])
local map = assert(ipc.mmap.anonymous(16384))
local m = assert(sync.mutex(map, 0, { create = true }))
local s = assert(sync.semaphore(map, 128, { create = true, initial = 1 }))
local rw = assert(sync.rwlock(map, 1024, { create = true }))

local run = {}
function run.call() for _ = 1, count do m:timeout() end end
function run.mutex()
  for _ = 1, count do
    m:lock()
    m:unlock()
  end
end
function run.with()
  local function nothing() end
  for _ = 1, count do m:with(nothing) end
end
function run.sem()
  for _ = 1, count do
    s:wait()
    s:post()
  end
end
function run.rdlock()
  for _ = 1, count do
    rw:rdlock()
    rw:unlock()
  end
end
function run.wrlock()
  for _ = 1, count do
    rw:wrlock()
    rw:unlock()
  end
end
function run.contended()
  local v = map:view("i64", 8192, 1)
  local function work()
    for _ = 1, count do
      m:lock()
      v[1] = v[1] + 1
      m:unlock()
    end
  end
  local p = assert(ipc.process.fork(work))
  work()
  assert(p:wait().ok)
  assert(v[1] == 2 * count)
end

local started = ipc.now()
run[what]()
print((ipc.now() - started) / count * 1e9)
