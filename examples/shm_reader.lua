-- The other side of shm_writer.lua: reads its numbers and changes the third.   lua shm_reader.lua [name]
local ipc = require "lipc"
local name = arg[1] or "/lipc-example-numbers"

local memory = assert(ipc.shm.open(name))
local numbers = memory:view "i32"
local sum = 0
for i = 1, #numbers do sum = sum + numbers[i] end
print(("reader: %d numbers, %d together"):format(#numbers, sum))

numbers:store(3, 99)
numbers:wake(3)
print "reader: the third is 99 now"
memory:close()
