-- One publisher and one subscriber on a broker: the Lua side of the bench "broker" of bench/run.lua.
--   broker.lua serve PATH | HOST:PORT      our broker; ends with its parent's pipe
--   broker.lua sub URL COUNT               prints "ready", then messages a second
--   broker.lua pub URL COUNT
-- Every message is checked for content and order by the subscriber.
local ipc = require "lipc"

local role, where, count = arg[1], arg[2], tonumber(arg[3])

local SIZE, DIFFERENT = 128, 4096

-- Payloads, each begun by its number.
local function payloads()
  local list = {}
  for i = 0, DIFFERENT - 1 do
    local head = ("%06d "):format(i)
    list[i] = head .. ("x"):rep(SIZE - #head)
  end
  return list
end

local roles = {}

function roles.serve()
  local options = where:find "^/" and { path = where } or { path = false, tcp = where, insecure = true }
  local loop = ipc.loop.new()
  local broker = assert(ipc.broker.new(options):wrap(loop))
  io.stdout:write("ready\n")
  io.stdout:flush()
  local life = ipc.pipe.fromfd(0)
  loop:wrap(function()
    life:readsome(1)
    broker:stop()
  end)
  loop:run()
end

function roles.sub()
  local all, loop = payloads(), ipc.loop.new()
  local i, started = 0, nil
  loop:run(function()
    local c = assert(ipc.connect(where))
    c:subscribe("bench.one", function(msg)
      if msg.data ~= all[i % DIFFERENT] then error("message " .. i .. " is not the one expected: " .. msg.data:sub(1, 6)) end
      i = i + 1
      if i == 1 then started = ipc.now() end
      if i == count then
        print(("%.0f"):format((count - 1) / (ipc.now() - started)))
        c:close()
      end
    end)
    assert(c:flush())
    io.stdout:write("ready\n")
    io.stdout:flush()
  end)
end

function roles.pub()
  local all = payloads()
  local c = assert(ipc.connect(where)):setvbuf "full"
  for i = 0, count - 1 do assert(c:publish("bench.one", all[i % DIFFERENT])) end
  assert(c:close(60))
end

roles[role]()
