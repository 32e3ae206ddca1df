-- Prints what comes: lua pubsub_subscriber.lua [url [subject [count]]]
local ipc = require "lipc"
local c = assert(ipc.connect(arg[1]))
local sub = assert(c:subscribe(arg[2] or "sensors.*.temp", { max = tonumber(arg[3]) }))
assert(c:flush()) -- from here on nothing is missed
print "listening"
io.stdout:flush()
for msg in sub:messages() do print(msg.subject, msg.data) end
