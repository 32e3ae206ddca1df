-- The Lua side of bench/broker.lua: the clients of our broker and of nats-server.
--   peer_broker.lua sub URL COUNT               prints "ready", then messages a second
--   peer_broker.lua pub URL COUNT
--   peer_broker.lua reply URL                   answers until its input ends
--   peer_broker.lua request URL COUNT           prints microseconds a round trip
--   peer_broker.lua hold URL COUNT              so many subscriptions to other subjects, until its input ends
--   peer_broker.lua idle URL COUNT              so many connections, until its input ends
-- Every message is checked for content and order by the subscriber.
local ipc = require "lipc"

local role, where, count = arg[1], arg[2], tonumber(arg[3])

local SIZE, DIFFERENT = 128, 4096

-- More would be above what the broker allows one client.
local SUBSCRIPTIONS_A_CLIENT = 20000

-- Payloads, each begun by its number.
local function payloads()
  local list = {}
  for i = 0, DIFFERENT - 1 do
    local head = ("%06d "):format(i)
    list[i] = head .. ("x"):rep(SIZE - #head)
  end
  return list
end

local function check(all, i, data)
  if data ~= all[i % DIFFERENT] then error("message " .. i .. " is not the one expected: " .. data:sub(1, 6)) end
end

local function ready()
  io.stdout:write "ready\n"
  io.stdout:flush()
end

local function input_ends()
  ipc.pipe.fromfd(0):readsome(1)
end

local roles = {}

function roles.sub()
  local all, loop = payloads(), ipc.loop.new()
  local i, started = 0, nil
  loop:run(function()
    local c = assert(ipc.connect(where))
    c:subscribe("bench.one", function(msg)
      check(all, i, msg.data)
      i = i + 1
      if i == 1 then started = ipc.now() end
      if i == count then
        print(("%.0f"):format((count - 1) / (ipc.now() - started)))
        c:close()
      end
    end)
    assert(c:flush())
    ready()
  end)
end

function roles.pub()
  local all = payloads()
  local c = assert(ipc.connect(where)):setvbuf "full"
  for i = 0, count - 1 do assert(c:publish("bench.one", all[i % DIFFERENT])) end
  assert(c:close(60))
end

function roles.reply()
  local loop = ipc.loop.new()
  loop:run(function()
    local c = assert(ipc.connect(where))
    c:subscribe("bench.ask", function(msg) msg:respond(msg.data) end)
    assert(c:flush())
    ready()
    input_ends()
    c:close()
  end)
end

function roles.request()
  local all, c = payloads(), assert(ipc.connect(where))
  local began = ipc.now()
  for i = 0, count - 1 do check(all, i, assert(c:request("bench.ask", all[i % DIFFERENT], 60)).data) end
  print(("%.3f"):format((ipc.now() - began) / count * 1e6))
  c:close()
end

-- Of every kind: literal, and with a wildcard at the end and in the middle, below the first token that is published to.
local KINDS = { "bench.%d", "bench.%d.>", "bench.*.%d", "other.%d.*", "*.other.%d" }

function roles.hold()
  local clients = {}
  for first = 1, count, SUBSCRIPTIONS_A_CLIENT do
    local c = assert(ipc.connect(where)):setvbuf "full"
    clients[#clients + 1] = c
    for i = first, math.min(count, first + SUBSCRIPTIONS_A_CLIENT - 1) do
      assert(c:subscribe(KINDS[i % #KINDS + 1]:format(i), function() error "not for this one" end))
    end
    assert(c:flush(60))
  end
  ready()
  input_ends()
  for _, c in ipairs(clients) do c:close() end
end

function roles.idle()
  local clients = {}
  for i = 1, count do clients[i] = assert(ipc.connect(where)) end
  ready()
  input_ends()
  for _, c in ipairs(clients) do c:close() end
end

roles[role]()
