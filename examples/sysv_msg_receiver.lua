-- The second of two unrelated scripts: lua sysv_msg_receiver.lua [path]; see sysv_msg_sender.lua
local ipc = require "lipc"
local path = arg[1] or "."

local key = assert(ipc.sysv.ftok(path, "A"))
local q = assert(ipc.sysv.msg.open(key, { create = true }))
while true do
  local data, type, code = q:receive(0, 30)
  if not data then
    io.stderr:write(type, "\n") -- "sysv.msg:receive ...: timed out" (code "ETIMEDOUT"), "Identifier removed" ("EIDRM") ...
    os.exit(code == "EIDRM" and 0 or 1)
  end
  if type == 2 then break end
  print(("type %d: %s"):format(type, data))
end
q:remove() -- it would stay, with nobody there
