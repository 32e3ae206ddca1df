-- System V queues and segments: made, used in each way, removed.  A message that was taken from the kernel is not lost
-- when there is no memory to hand it out.
local ipc = require "lipc"
local sysv = ipc.sysv
local function try(ok, message, code, ...)
  if not ok and code == "ENOMEM" then error("not enough memory", 0) end
  return ok, message, code, ...
end
-- Without room for a message that is there: another one can be had first, and it comes after that.
local function receive(q)
  local ok, data, code = pcall(q.receive, q, 1, 0)
  if ok then return try(data, code) end
  assert(q:receive(2, 0) == "y")
  assert(select(3, q:receive(3, 0)) == "ETIMEDOUT")
  data = q:receive(1, { max = 50, truncate = true, timeout = 0 })
  assert(data and #data == 50)
  assert(select(3, q:receive(0, 0)) == "ETIMEDOUT")
  error("not enough memory", 0)
end

try(sysv.ftok "/")
try(sysv.list())
local q <close> = try(sysv.msg.open("private", { create = true, mode = 384, unlink = true }))
try(sysv.msg.fromid(q:id())):close()
tostring(q)
try(q:send(1, ("x"):rep(100)))
try(q:send(2, "y"))
try(q:copy(1))
assert(#receive(q) == 100)
try(q:receive(0, { max = 0, timeout = 0 }))
assert(try(q:receive(1, { except = true, timeout = 0 })) == "y")
q:receive(0, 0.001)
try(q:stat())
try(q:set { mode = 384 })
local loop = ipc.loop.new()
loop:wrap(function() try(q:receive(3, 5)) end)
loop:wrap(function() try(q:send(3, "z")) end)
try(loop:run())
loop:close()
local s <close> = try(sysv.shm.open("private", { size = 100, unlink = true }))
try(s:attach { readonly = false })
try(s:write(0, ("x"):rep(100)))
assert(#s:read(0, 100) == 100)
try(s:stat())
try(s:set { mode = 384 })
try(s:size())
try(s:remove())
try(q:remove())
