-- collector.lua - the garbage collector of a process that is a broker's alone; internal.
-- A broker makes short-lived strings, large ones, and keeps much for its clients that hardly changes.  By default all of that is
-- looked at again whenever the memory in use has doubled, which costs a broker with 1,000 idle clients a third of its time: it
-- may grow to two and a half times.  That is of what was in use at the last such look; so there is one when a client that was too
-- slow is cut, and with it much that was pending.    SPDX-License-Identifier: MIT

local now = require("lipc").now

local collector = {}

-- Seconds between two looks that are asked for, at least.
local PAUSE = 1

local own, last = false, nil

---This process is a broker's from now on.
function collector.own()
  own, last = true, now()
  collectgarbage("generational", 50, 150)
end

---Much of what was in use is not any more.
function collector.collect()
  if not own or now() < last + PAUSE then return end
  collectgarbage()
  last = now()
end

return collector
