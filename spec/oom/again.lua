-- A mechanism whose first use failed for want of memory is whole the next time.
local ipc = require "lipc"

local function again(name)
  if pcall(function() return ipc[name] end) then return ipc[name] end
  return ipc[name] -- fails as a whole only when there is still no memory
end

local function whole(o, message, code, ...)
  if not o then
    if code == "ENOMEM" then error("not enough memory", 0) end
    error(message)
  end
  assert(getmetatable(o) == "locked" and o.close)
  o:close()
  if message then return whole(message, code, ...) end
end

whole(again("pipe").open())
whole(again("eventfd").open())
whole(again("timer").open())
whole(again("poll").open())
whole(again("socket").pair())
whole(again("signal").on("SIGUSR1", print))

local path = os.tmpname()
os.remove(path)
local ok, err = pcall(function() whole(again("fifo").open(path, "rw", { create = true, unlink = true })) end)
os.remove(path)
if not ok then error(err, 0) end
