-- Tasks: coroutines that wait side by side.  Results, errors, cancellation, and a generator that waits.
local ipc = require "lipc"
local loop = assert(ipc.loop.new())
local r, w = assert(ipc.pipe.open())

-- Two tasks and a pipe between them: each waits for the other, nobody blocks.
local sum = loop:wrap(function()
  local n = 0
  for line in r:lines() do n = n + tonumber(line) end
  return n
end)
loop:wrap(function()
  for i = 1, 10 do
    w:write(i, "\n")
    ipc.sleep(0.001)
  end
  w:close()
end)

-- One that would sleep for an hour.
local sleeper = loop:wrap(function()
  local bed <close> = setmetatable({}, { __close = function() print "the bed is made" end }) -- luacheck: ignore
  ipc.sleep(3600)
end)

loop:run(function()
  print("the sum is", select(2, sum:join()))
  sleeper:cancel "it is morning"
  print("the sleeper:", sleeper:join())

  local broken = loop:wrap(function() error("this went wrong", 0) end)
  print("the broken one:", (select(2, broken:join())))

  -- coroutine.wrap would refuse a wait inside; wrapgen passes it on to the loop
  for word in ipc.loop.wrapgen(function()
    for _, word in ipairs { "tick", "tock" } do
      ipc.sleep(0.001)
      coroutine.yield(word)
    end
  end) do
    print(word)
  end
end)
r:close()
loop:close()
