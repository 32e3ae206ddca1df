-- Comes through every LIPC_STEP of ipc.sync, for spec/sync_steps_spec.lua, which has put into the object of this name
-- what a dead writer, a dead caller of once and a dead waiter of a barrier leave behind.  SPDX-License-Identifier: MIT
local ipc = require "lipc"
local sync = ipc.sync
local map = assert(ipc.shm.open(arg[1]))
local places = { mutex = 0, cond = 256, rwlock = 1024, barrier = 8192, once = 12288, made = 16384 }

local rw = assert(sync.rwlock(map, places.rwlock))
if arg[2] == "lock" then -- comes to the word lock at once
  rw:rdlock(60)
  rw:unlock()
  os.exit(0)
end

local made = assert(sync.rwlock(map, places.made, { create = true }))
made:close()

assert(rw:rdlock(60))
assert(rw:unlock())
local _, dead = assert(rw:wrlock(60))
if dead then assert(rw:consistent()) end
assert(rw:unlock())

local o = assert(sync.once(map, places.once))
assert(o:call(function() end, 60))

local m = assert(sync.mutex(map, places.mutex))
local c = assert(sync.cond(map, places.cond))
assert(c:signal())
assert(m:lock(60))
c:wait(m, 0.05)
assert(m:unlock())

local b = assert(sync.barrier(map, places.barrier))
b:wait(0.05)
assert(b:reset())
