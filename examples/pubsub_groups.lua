-- Publish and subscribe in one script: wildcards, and a queue group whose members share the messages: lua pubsub_groups.lua [url]
-- Without a URL it brings its own broker.  With that of a nats-server it is the same program there:
--   lua pubsub_groups.lua nats://127.0.0.1:4222
local ipc = require "lipc"

local url, broker = arg[1], nil
if not url then
  broker = assert(ipc.broker.start { path = ("%s/groups-%d.sock"):format(assert(ipc.socket.runtimedir()), ipc.signal.getpid()) })
  url = broker:url()
end

local c <close> = assert(ipc.connect(url))

-- * stands for one token, > at the end for all that follow
local one, all = assert(c:subscribe "sensors.*.temp"), assert(c:subscribe "sensors.>")

-- of a queue group one member gets each message; they could be processes on several machines
local done = { 0, 0, 0 }
for i = 1, 3 do
  assert(c:subscribe("jobs", { queue = "workers" }, function() done[i] = done[i] + 1 end))
end

for id = 7, 8 do assert(c:publish(("sensors.%d.temp"):format(id), 20 + id)) end
assert(c:publish("sensors.7.fan.speed", "1200", { headers = { Unit = "rpm" } }))
for i = 1, 30 do assert(c:publish("jobs", i)) end
assert(c:drain()) -- everything has arrived and was handed out

for msg in one:messages() do print("one", msg.subject, msg.data) end
for msg in all:messages() do print("all", msg.subject, msg.data, msg.headers and msg.headers.Unit) end
print("jobs", done[1] + done[2] + done[3], done[1] > 0 and done[2] > 0 and done[3] > 0)
if broker then broker:stop() end
