-- The loop: tasks that wait, queue for a direction, are cancelled, joined, closed under.
local ipc = require "lipc"
local loop, message, code = ipc.loop.new()
if not loop then return nil, message, code end
local r, w
r, w, code = ipc.pipe.open()
if not r then return nil, w, code end
local big = ("x"):rep(70000)
local a = loop:wrap(function() return assert(w:write(big)) end)
local b = loop:wrap(function() return assert(w:write "end") end)
local reader = loop:wrap(function()
  local n = 0
  while n < #big + 3 do n = n + #assert(r:readsome(65536)) end
  return n
end)
local sleeper = loop:wrap(function() ipc.sleep(3600) end)
local joiner = loop:wrap(function()
  for _, task in ipairs { a, b, reader } do
    local ok, err = task:join()
    if not ok then error(err, 0) end
  end
  sleeper:cancel()
end)
loop:run()
for _, task in ipairs { a, b, reader, joiner } do
  local ok, err = task:join(0)
  if not ok then error(err, 0) end
end
loop:wrap(function() r:read "l" end)
loop:step(0)
r:close()
loop:run()
loop:close()
w:close()
