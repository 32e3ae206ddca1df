-- The second of two unrelated scripts: lua fifo_reader.lua [path]; see fifo_writer.lua
local ipc = require "lipc"
local path = arg[1] or (os.getenv "XDG_RUNTIME_DIR" or "/tmp") .. "/lipc-example.fifo"

local r, message = ipc.fifo.open(path, "r", { create = true, timeout = 30 })
if not r then
  io.stderr:write(message, "\n")
  os.exit(1)
end
for line in r:lines() do print("got " .. line) end
print "the writer has closed"
r:close()
ipc.fifo.unlink(path)
