-- An array of numbers in shared memory: this makes it, shm_reader.lua (start it next, in another terminal) reads it
-- and changes an element, which this sees.   lua shm_writer.lua [name]
local ipc = require "lipc"
local name = arg[1] or "/lipc-example-numbers"

-- nobody sees the object before init has filled it; it goes when this process closes it
local memory = assert(ipc.shm.open(name, {
  create = true, exclusive = true, unlink = true, size = 5 * 4,
  init = function(m) m:view "i32":set(1, 10, 20, 30, 40, 50) end,
}))
local numbers = memory:view "i32"
print("writer: " .. table.concat(numbers:totable(), " "))
io.stdout:flush()

assert(numbers:wait(3, 30, 60)) -- sleeps while the third is 30, for a minute at most
print("writer: the third has become " .. numbers[3])
memory:close()
