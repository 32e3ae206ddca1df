-- Counters.
local ipc = require "lipc"
local adopt = require "support.adopt"
local e <close>, message, code = ipc.eventfd.open { initial = 1, semaphore = false }
if not e then return nil, message, code end
e:add(2)
assert(e:take() == 3)
e:take(0.001)
local again <close> = adopt(ipc.eventfd.fromfd, e:fd())
again:add(1)
again:settimeout(0)
tostring(again)
