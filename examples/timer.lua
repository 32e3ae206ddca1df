-- A timer behind a descriptor: five beats, and what a slow reader misses is counted, not lost.
local ipc = require "lipc"

local t <close> = assert(ipc.timer.open())
t:set(0.01, { interval = 0.02 })
for beat = 1, 3 do print("beat " .. beat, t:wait()) end
ipc.sleep(0.07)
print(t:wait() > 1 and "some beats went by meanwhile" or "no beat went by")
t:disarm()
print(t:wait(0.05)) -- nil, "timer:wait: timed out", "ETIMEDOUT"

-- at a time of day; setting the clock meanwhile would wake it with ECANCELED
local at <close> = assert(ipc.timer.open { clock = "realtime" })
at:set(ipc.timer.now "realtime" + 0.05, { absolute = true, cancel = true })
print(at:wait(5))
