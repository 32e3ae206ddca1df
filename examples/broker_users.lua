-- A broker with users who may do different things: lua broker_users.lua
-- The options could as well lie in a file, `ipc.broker.run { config = "broker.lua" }`; SIGHUP reads it again.
local ipc = require "lipc"

local broker <close> = assert(ipc.broker.start {
  path = false,
  tcp = "127.0.0.1:0",
  users = {
    { user = "sensor", password = "s3nsor", permissions = { publish = "sensors.>", subscribe = { deny = ">" } } },
    { user = "screen", password = "scr33n", permissions = { publish = { deny = ">" }, subscribe = "sensors.>" } },
    { user = "clock", password = "cl0ck", permissions = { subscribe = "time", allow_responses = true } },
    { user = "admin", password = "adm1n" },
  },
})

local function connect(login)
  return ipc.connect((broker:url():gsub("//", "//" .. login .. "@")), { reconnect = false })
end

print("a stranger:", select(3, connect "sensor:guess"))

local screen <close> = assert(connect "screen:scr33n")
local temperatures = assert(screen:subscribe "sensors.*.temp")
assert(screen:flush(5))
screen:subscribe ">"
print("the screen, all subjects:", select(3, screen:flush(5)))

local sensor <close> = assert(connect "sensor:s3nsor")
sensor:publish("sensors.7.temp", "21.5")
assert(sensor:flush(5))
sensor:publish("alarm", "fire!")
print("the sensor, an alarm:", select(3, sensor:flush(5)))
print("the screen:", assert(temperatures:next(5)).data)

-- The clock may answer who asks it, and say nothing else.
local clock = assert(ipc.process.fork(function()
  local c = assert(connect "clock:cl0ck")
  c:subscribe("time", function(msg)
    msg:respond "noon"
    c:stop()
  end)
  c:run()
end))
local admin <close> = assert(connect "admin:adm1n")
local answer, _, code
repeat answer, _, code = admin:request("time", "", 5) until answer or code ~= "ENORESPONDERS"
print("the clock:", answer and answer.data or code)
clock:wait(5)
