-- Publishes: lua pubsub_publisher.lua [url [subject data]]
local ipc = require "lipc"
local c = assert(ipc.connect(arg[1]))
assert(c:publish(arg[2] or "sensors.7.temp", arg[3] or "21.5"))
c:close()
