-- A program that runs once at a time: lua flock_single_instance.lua [path] [seconds]
-- The lock file has the pid in it.  Killed, even with -9, it leaves a stale file, which the next one takes over.
local ipc = require "lipc"
local path = arg[1] or (os.getenv "XDG_RUNTIME_DIR" or "/tmp") .. "/lipc-example.pid"

local instance, message, code = ipc.flock.lockfile(path)
if not instance then
  -- "flock.lockfile /tmp/lipc-example.pid: timed out (held by process 4711)"
  io.stderr:write(code == "ETIMEDOUT" and "it runs already: " or "", message, "\n")
  os.exit(1)
end
if instance:stale() then
  print("process " .. instance:stale() .. " has left its lock file behind")
end

print "running"
io.stdout:flush()
ipc.sleep(tonumber(arg[2] or 0)) -- its work
instance:close() -- removes the file
