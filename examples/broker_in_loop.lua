-- A broker inside an application, in the loop that the application has anyway: lua broker_in_loop.lua [path]
-- Other processes join by its URL; the application itself is a client like them.
local ipc = require "lipc"

local loop <close> = assert(ipc.loop.new())
local path = arg[1] or ("%s/app-%d.sock"):format(assert(ipc.socket.runtimedir()), ipc.signal.getpid())
local broker = assert(ipc.broker.new { path = path })
assert(broker:wrap(loop))

loop:wrap(function() -- the application's part
  local c <close> = assert(ipc.connect(broker:url()))
  assert(c:subscribe("app.add", function(msg)
    local a, b = msg.data:match "^(%d+) (%d+)$"
    msg:respond(a and math.tointeger(a) + math.tointeger(b) or "two numbers, please")
  end))
  assert(c:flush(5))

  local child <close> = assert(ipc.process.spawn { -- another program
    os.getenv "LUA" or arg[-1], "-e", [[
      local c = assert(require("lipc").connect(os.getenv "BROKER"))
      print(assert(c:request("app.add", "40 2", 5)).data, assert(c:request("app.add", "x", 5)).data)
    ]], env_add = { BROKER = broker:url() }, stdout = "pipe",
  })
  print(child.stdout:read "l")
  child:wait()
  print(("%d connections, %d messages"):format(broker:stats().connections_ever, broker:stats().messages_in))
  c:close()
  broker:stop()
end)

loop:wrap(function() -- and everything else that it does
  for i = 1, 3 do
    ipc.sleep(0.001)
    print("tick", i)
  end
end)

assert(loop:run())
