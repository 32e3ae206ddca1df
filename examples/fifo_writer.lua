-- The first of two unrelated scripts: lua fifo_writer.lua [path] [count]
-- Start it before or after fifo_reader.lua: each makes the FIFO if it is missing, and waits for the other.
local ipc = require "lipc"
local path = arg[1] or (os.getenv "XDG_RUNTIME_DIR" or "/tmp") .. "/lipc-example.fifo"
local count = tonumber(arg[2] or 5)

local w, message = ipc.fifo.open(path, "w", { create = true, timeout = 30 })
if not w then
  io.stderr:write(message, "\n") -- "fifo.open ...: timed out": nobody reads
  os.exit(1)
end
for i = 1, count do assert(w:write("message ", i, "\n")) end
w:close() -- the reader meets the end
