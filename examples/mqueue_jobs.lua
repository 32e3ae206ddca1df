-- A job queue with priorities: some processes put jobs in, others take them out.
--   lua mqueue_jobs.lua submit [priority] job...      lua mqueue_jobs.lua work
--   lua mqueue_jobs.lua remove                        lua mqueue_jobs.lua        shows it all at once
-- An empty job tells one worker to go home.
local ipc = require "lipc"

local name = os.getenv "JOBS" or "/lipc-example-jobs"

local function open(access)
  return assert(ipc.mqueue.open(name, { access = access, create = true, maxmsg = 10, msgsize = 256 }))
end

local function submit(job, priority)
  local q <close> = open "w"
  -- full: waits until a worker has taken one, but not for ever
  assert(q:send(job, { priority = priority, timeout = 10 }))
end

-- As many of these as there are processors, say.
local function work()
  local q <close> = open "r"
  while true do
    local job, priority = q:receive()
    assert(job, priority) -- of a failure it is the message
    if job == "" then return end
    print(("%s (priority %d)"):format(job, priority))
    io.stdout:flush()
  end
end

if arg[1] == "submit" then
  local priority = math.tointeger(tonumber(arg[2]))
  for i = priority and 3 or 2, #arg do submit(arg[i], priority or 0) end
elseif arg[1] == "work" then
  work()
elseif arg[1] == "remove" then
  assert(ipc.mqueue.unlink(name))
else
  submit("tidy up", 0)
  submit("answer the mail", 1)
  submit("put out the fire", 9)
  submit("water the plants", 0)
  submit("", 0)
  local worker = assert(ipc.process.fork(work)) -- finds them in the order of their priorities
  print("worker: " .. tostring(worker:wait()))

  local two = { assert(ipc.process.fork(work)), assert(ipc.process.fork(work)) }
  submit("one more", 5) -- goes to either of them
  submit("", 0)
  submit("", 0)
  print("workers: " .. tostring(two[1]:wait()) .. ", " .. tostring(two[2]:wait()))
  assert(ipc.mqueue.unlink(name))
end
