-- A counter behind a descriptor: cheap "something has happened" between processes, threads and loops.
local ipc = require "lipc"

local e = assert(ipc.eventfd.open())
e:add(2)
e:add(3)
print(e:take()) -- all of it, and it is zero again
print(e:take(0.1)) -- nil, "eventfd:take: timed out", "ETIMEDOUT"

-- as a semaphore each take gives one: three jobs, whoever takes
local jobs = assert(ipc.eventfd.open { initial = 3, semaphore = true })
while jobs:take(0) do print "a job" end
