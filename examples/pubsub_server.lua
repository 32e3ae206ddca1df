-- A message broker: lua pubsub_server.lua [path]; beside it pubsub_subscriber.lua and pubsub_publisher.lua.  Ctrl-C ends it.
local ipc = require "lipc"
assert(ipc.broker.run { path = arg[1] })
