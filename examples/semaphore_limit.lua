-- A counting semaphore limits how many processes do something at the same time.
-- lua semaphore_limit.lua [processes] [limit]
local ipc = require "lipc"
local processes, limit = tonumber(arg[1] or 8), tonumber(arg[2] or 3)
local name = ("/lipc-example-limit-%d"):format(ipc.signal.getpid())

local slots = assert(ipc.semaphore.open(name, { create = true, exclusive = true, unlink = true, initial = limit }))
local report, reports = assert(ipc.pipe.open())

local children = {}
for i = 1, processes do
  children[i] = assert(ipc.process.fork(function()
    for _ = 1, 5 do
      slots:with(function()
        assert(reports:write "+\n") -- short writes to a pipe are never mixed
        ipc.sleep(0.002) -- the work
        assert(reports:write "-\n")
      end)
    end
  end))
end
reports:close()

local now, most, all = 0, 0, 0
for line in report:lines() do -- until the last child has ended
  now = now + (line == "+" and 1 or -1)
  most = math.max(most, now)
  if line == "+" then all = all + 1 end
end
for _, child in ipairs(children) do assert(child:wait()) end
assert(most <= limit, "more than the limit")
print(("%d pieces of work, never more than %d at a time; %d slots are free again"):format(all, limit, slots:value()))
slots:close()
