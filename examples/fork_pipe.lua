-- The classic: a pipe made before fork; the parent writes, the child reads.
local ipc = require "lipc"

local r, w = assert(ipc.pipe.open())

local child = assert(ipc.process.fork(function()
  w:close() -- else the end never comes: the child itself could still write
  for line in r:lines() do print("child read: " .. line) end
  return 7
end))

r:close()
w:write("hello\n", "from the parent\n")
w:close()
print("child ended with " .. tostring(child:wait()))
