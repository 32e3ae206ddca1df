-- A pipe in this process, and one from a program: the same methods as on Lua's files, with deadlines.
local ipc = require "lipc"

local r, w = assert(ipc.pipe.open())
assert(w:write("first line\n", "second ", 2, "\n"))
print(r:read())
print(r:read("n")) -- "second" is no number: nil, what happened, the code
print(r:read())

-- nothing there: no wait without an end
print(r:readsome(100, 0.1))

-- what is written is sent at once, unless setvbuf asks to gather
w:setvbuf "full"
for i = 1, 1000 do assert(w:write(i, "\n")) end
w:close() -- sends the rest; the reader now meets the end
local sum = 0
for line in r:lines() do sum = sum + tonumber(line) end
print(sum)
print(r:read())
r:close()
