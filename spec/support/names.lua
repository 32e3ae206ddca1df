-- Names for what lives in the kernel or the file system during a spec: no two runs on one machine
-- get the same, and the leak check knows whose they are.
local probe = require "support.probe"

local names = {}
local count = 0

-- A process id comes again, and a run that was killed leaves things behind.
local random = io.open("/dev/urandom", "rb")
local run = ("%x"):format(string.unpack("I4", random:read(4)))
random:close()

-- names.new() -> "lipc-<pid>-<run>-<n>"; put a "/" before it for shm and mqueue names
function names.new()
  count = count + 1
  return ("lipc-%d-%s-%d"):format(probe.getpid(), run, count)
end

-- names.path([suffix]) -> a path in the temporary directory that does not exist yet
function names.path(suffix)
  return (os.getenv "TMPDIR" or "/tmp") .. "/" .. names.new() .. (suffix or "")
end

return names
