-- A record by name: a writer that changes it under the lock, readers that see all of it or nothing of a change.
-- lua shared_named.lua [rounds]
local ipc = require "lipc"
local rounds = tonumber(arg[1] or 1000)
local name = ("/lipc-example-shared-%d"):format(ipc.signal.getpid())

local point = assert(ipc.shared.struct({ { "x", "f64" }, { "y", "f64" } }, { name = name, create = true, unlink = true }))

local writer = assert(ipc.process.fork(function()
  local p = assert(ipc.shared.open(name)) -- as a program of its own would
  for i = 1, rounds do
    p:with(function() p.x, p.y = i, -i end)
  end
end))

local seen, last = 0, 0
repeat
  local x, y = point:with(function(p) return p.x, p.y end)
  assert(x == -y, "half of a change")
  if x ~= last then seen, last = seen + 1, x end
until x == rounds
assert(writer:wait())
print(("the last of %d points is %d, %d"):format(rounds, point.x, point.y))
assert(seen > 0)
point:close()
