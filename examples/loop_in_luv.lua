-- A program that runs on libuv uses lipc: single operations, and a whole lipc loop.
local uv = require "luv"
local ipc = require "lipc"
local adapter = require "lipc.adapter.luv"

local r, w = assert(ipc.pipe.open())

local function write_later(line)
  local timer = uv.new_timer()
  timer:start(10, 0, function()
    w:write(line, "\n")
    timer:close()
  end)
end

adapter.wrap(function() -- waits in here suspend this coroutine only
  print("luv: " .. r:read "l")
end)
write_later "a line through a pipe"
uv.run()

local loop = assert(ipc.loop.new())
loop:wrap(function()
  print("lipc's loop: " .. r:read "l")
end)
adapter.wrap(function() loop:run() end)
write_later "another line"
uv.run()

loop:close()
r:close()
w:close()
uv.run() -- lets luv close its handles
