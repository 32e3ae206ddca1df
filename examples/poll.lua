-- Waits for several things at once, without a loop: whichever comes first is dealt with.
local ipc = require "lipc"

local p = assert(ipc.poll.open())
local r, w = assert(ipc.pipe.open())
local done = assert(ipc.eventfd.open())
p:add(r, "r")
p:add(done, "r")

w:write "a message\n"
done:add(1)

local open = 2
while open > 0 do
  local n = assert(p:wait(10)) -- nil, "poll:wait: timed out", "ETIMEDOUT" after ten seconds
  for i = 1, n do
    local what, events = p:ready(i)
    if what == r then
      print("the pipe is ready for " .. events .. ": " .. r:read "l")
    else
      print("the counter is at " .. what:take())
    end
    p:remove(what)
    open = open - 1
  end
end
