-- A program that runs on cqueues uses lipc: single operations, and a whole lipc loop.
local cqueues = require "cqueues"
local ipc = require "lipc"
local adapter = require "lipc.adapter.cqueues"

local cq = cqueues.new()
local r, w = assert(ipc.pipe.open())

adapter.wrap(cq, function() -- waits in here suspend this coroutine only
  print("cqueues: " .. r:read "l")
end)
cq:wrap(function()
  cqueues.sleep(0.01)
  w:write "a line through a pipe\n"
end)
assert(cq:loop())

local loop = assert(ipc.loop.new())
loop:wrap(function()
  print("lipc's loop: " .. r:read "l")
end)
adapter.wrap(cq, function() loop:run() end)
cq:wrap(function()
  cqueues.sleep(0.01)
  w:write "another line\n"
end)
assert(cq:loop())

loop:close()
r:close()
w:close()
