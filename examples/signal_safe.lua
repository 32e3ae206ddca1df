-- A signal handled safely: SIGINT and SIGTERM ask for an orderly end, SIGHUP for reading the configuration
-- again, SIGUSR1 for a word about where we are.  The functions run between two steps of the program
-- (in waits and on entry to lipc calls), never in the middle of one, so they may do anything.
--
--   lua5.4 examples/signal_safe.lua          Ctrl-C ends it; kill -HUP, kill -USR1 from elsewhere
--   lua5.4 examples/signal_safe.lua demo     sends itself all of them
local ipc = require "lipc"
local signal = ipc.signal

local config, stopping = 1, nil
local done = 0

signal.on("SIGHUP", function()
  config = config + 1
  print("configuration " .. config)
end)
signal.on("SIGUSR1", function() print(("%d jobs done"):format(done)) end)
local function stop(name) stopping = name end
signal.on("SIGINT", stop)
signal.on("SIGTERM", stop)

-- The jobs come through a pipe; here the demonstration puts them there.
local jobs, feed = assert(ipc.pipe.open())
if arg[1] == "demo" then
  local me = signal.getpid()
  assert(feed:write "one\ntwo\n")
  assert(signal.kill(me, "SIGHUP"))
  assert(signal.kill(me, "SIGUSR1"))
else
  print("process " .. signal.getpid())
end

-- The program itself looks at its flag where it suits it.
while not stopping do
  local job, message, code = jobs:settimeout(0.2):read "l"
  if job then
    print("job " .. job)
    done = done + 1
    if arg[1] == "demo" and done == 2 then -- from outside, some time later
      assert(ipc.process.spawn { "kill", "-TERM", tostring(signal.getpid()) })
    end
  elseif code ~= "ETIMEDOUT" then
    error(message)
  end
end
print(("%s: %d jobs done, tidying up"):format(stopping, done))
