-- nats_backoff.lua - how long a client waits between two attempts to connect.  The pauses grow, so that a server that is down for
-- long costs little, and differ, so that a server that comes back does not get all its clients in one moment.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

---@class lipc.proto.Backoff
---@field first number    seconds
---@field longest number  seconds
---@field random fun(): number  from 0 to 1
---@field pause number    the longest that the next one can be
local Backoff = {}
Backoff.__index = Backoff

---@param first number
---@param longest number
---@param random fun(): number
---@return lipc.proto.Backoff
local function new(first, longest, random)
  return setmetatable({ first = first, longest = longest, random = random }, Backoff):reset()
end

---A connection was made: begins anew.
---@return lipc.proto.Backoff self
function Backoff:reset()
  self.pause = math.min(self.first, self.longest)
  return self
end

---The next pause: of half of what it can be to all of it.
---@return number seconds
function Backoff:next()
  local pause = self.pause
  self.pause = math.min(2 * pause, self.longest)
  return pause * (0.5 + self.random() / 2)
end

return { new = new }
