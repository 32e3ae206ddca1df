-- A worker is killed while it holds a lock, in the middle of a change. The next one gets the lock, is told, repairs what
-- the dead one left, and says so.
local ipc = require "lipc"

local map <close> = assert(ipc.mmap.anonymous(4096))
local mutex <close> = assert(ipc.sync.mutex(map, 0, { create = true }))
local accounts = map:view("i64", 256, 2) -- their sum is always 100
accounts:set(1, 100, 0)

local worker = assert(ipc.process.fork(function()
  mutex:lock()
  accounts[1] = accounts[1] - 30
  ipc.signal.kill(ipc.signal.getpid(), "SIGKILL") -- before the other account has it
end))
print("the worker ended by " .. tostring(worker:wait()))

mutex:with(function(_, dead)
  print("locked:", dead)
  if dead then
    print("found:", accounts[1], accounts[2])
    accounts[2] = 100 - accounts[1]
    assert(mutex:consistent()) -- else nobody would get it any more
  end
end)

print("now:", accounts[1], accounts[2], mutex:lock())
