-- The six steps of System V shared memory: lua sysv_shm_steps.lua
local ipc = require "lipc"

if arg[1] then -- the other process: it knows the key only
  local s = assert(ipc.sysv.shm.open(tonumber(arg[1])))
  assert(s:attach { readonly = true })
  print("5. another process reads: " .. s:read(0, 12))
  os.exit(0, true)
end

local path = os.tmpname() -- a file of one's own, so that nobody else has this key
local key = assert(ipc.sysv.ftok(path))
local s = assert(ipc.sysv.shm.open(key, { create = true, exclusive = true, size = 4096 }))
print("1. made: " .. s:size() .. " bytes")
assert(s:attach())
print("2. attached: " .. s:stat().nattch .. " time")
s:write(0, "Hello, world")
print "3. written"
s:detach()
print("4. detached: " .. s:stat().nattch .. " times")
io.stdout:flush()
assert(ipc.process.spawn { os.getenv "LUA" or arg[-1], arg[0], tostring(key) }):wait(60)
s:remove()
os.remove(path)
print("6. removed: " .. select(3, ipc.sysv.shm.open(key)))
