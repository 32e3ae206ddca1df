-- Timers.
local ipc = require "lipc"
local adopt = require "support.adopt"
local t <close>, message, code = ipc.timer.open { clock = "boottime" }
if not t then return nil, message, code end
t:set(0.0001, { interval = 0.0001, absolute = false })
assert(t:wait() >= 1)
t:get()
t:disarm()
t:wait(0.001)
ipc.timer.now "realtime"
local again <close> = adopt(ipc.timer.fromfd, t:fd())
again:set(0)
again:wait()
