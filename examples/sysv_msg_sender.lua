-- The first of two unrelated scripts: lua sysv_msg_sender.lua [path] [line ...]; see sysv_msg_receiver.lua
-- Both make the key of the same file, which must be there, and whoever comes first makes the queue.
local ipc = require "lipc"
local path = arg[1] or "."

local key = assert(ipc.sysv.ftok(path, "A"))
local q = assert(ipc.sysv.msg.open(key, { create = true }))
for i = 2, math.max(#arg, 2) do
  local ok, message = q:send(1, arg[i] or "hello", 30) -- waits while the queue is full, as it may for ever
  if not ok then
    io.stderr:write(message, "\n")
    os.exit(1)
  end
end
assert(q:send(2, "")) -- another type: the end
print("sent", #arg > 1 and #arg - 1 or 1)
