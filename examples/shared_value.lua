-- A value and an array that a child process changes, and its parent sees.
local ipc = require "lipc"

local number = assert(ipc.shared.value("f64", 0.0))
local array = assert(ipc.shared.array("i32", 10))
for i = 1, #array do array[i] = i end

local child = assert(ipc.process.fork(function()
  assert(number:set(3.1415927))
  for i = 1, #array do array[i] = -array[i] end
end))
assert(child:wait())

print(number:get())
print(table.concat(array:totable(), " "))
