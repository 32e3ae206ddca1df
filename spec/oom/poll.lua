-- Sets of descriptors, both backends.
local ipc = require "lipc"
for _, backend in ipairs { "epoll", "poll" } do
  local p, message, code = ipc.poll.open { backend = backend }
  if not p then return nil, message, code end
  local e
  e, message, code = ipc.eventfd.open { initial = 1 }
  if not e then return nil, message, code end
  local ok
  ok, message, code = p:add(e, "r")
  if not ok then return nil, message, code end
  ok, message, code = p:modify(e, "rw")
  if not ok then return nil, message, code end
  assert(p:wait(0) == 1)
  assert(p:ready(1) == e)
  assert(p:stat().count == 1)
  assert(p:remove(e))
  assert(select(3, p:wait(0)) == "ETIMEDOUT")
  assert(p:add(e, "r"))
  e:close()
  assert(select(3, p:wait(0)) == "ETIMEDOUT")
  p:close()
end

local p, message, code = ipc.poll.open()
if not p then return nil, message, code end
local e
e, message, code = ipc.eventfd.open { initial = 1 }
if not e then return nil, message, code end
local thing = { pollfd = function() return e:fd() end }
assert(p:add(thing, "r"))
assert(p:wait(0) == 1 and p:ready(1) == thing)
assert(p:remove(thing))
e:close()
p:close()
