-- POSIX semaphores: opened in each way, taken, given back, removed.
local ipc = require "lipc"
local names = require "support.names"
local name = "/" .. names.new()
local function try(ok, message, code, ...)
  if not ok and code == "ENOMEM" then error("not enough memory", 0) end
  return ok, message, code, ...
end
local function run()
  do
    local s <close> = try(ipc.semaphore.open(name, { create = true, unlink = true, initial = 1 }))
    local again <close> = try(ipc.semaphore.open(name))
    assert(s:wait(0) and s:value() == 0)
    local ok, _, code = s:trywait()
    assert(not ok and code == "ETIMEDOUT")
    ok, _, code = s:wait(0.001)
    assert(not ok and code == "ETIMEDOUT")
    assert(s:post(2))
    local held, message = pcall(again.with, again, function() assert(s:value() == 1) return tostring(s) end, 1)
    assert(s:value() == 2)
    if not held then error(message, 0) end
    assert(s:stat().value == 2)
  end
  do
    local b <close> = try(ipc.semaphore.binary(name, { create = true, unlink = true }))
    local ok, _, code = b:post()
    assert(not ok and code == "EOVERFLOW")
  end
  try(ipc.semaphore.unlink(name))
end
local ok, message = pcall(run)
collectgarbage()
os.remove("/dev/shm/sem." .. name:sub(2))
if not ok then error(message, 0) end
