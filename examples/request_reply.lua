-- Questions and answers through a broker, with three workers that share them: lua request_reply.lua [url]
-- Without a URL it brings its own broker; that of a nats-server does as well.  The workers could as well be programs in another
-- language, on another machine.
local ipc = require "lipc"

local url, broker = arg[1], nil
if not url then
  local path = ("%s/example-%d.sock"):format(assert(ipc.socket.runtimedir()), ipc.signal.getpid())
  broker = assert(ipc.broker.start { path = path })
  url = broker:url()
end

local workers = {}
for i = 1, 3 do
  workers[i] = assert(ipc.process.fork(function()
    local c = assert(ipc.connect(url))
    c:subscribe("square", { queue = "workers" }, function(msg)
      local n = tonumber(msg.data)
      msg:respond(n and tostring(n * n) or "", { headers = { Worker = i, Error = not n and "not a number" or nil } })
    end)
    c:subscribe("stop", function() c:stop() end)
    c:run()
  end))
end

local c <close> = assert(ipc.connect(url))

-- Nobody answers yet, perhaps: that is told at once, not after the timeout.
local answer, message, code
repeat answer, message, code = c:request("square", "1", 5) until answer or code ~= "ENORESPONDERS"
assert(answer, message)

for _, n in ipairs { 2, 3, 4, "x" } do
  answer = assert(c:request("square", n, 5))
  local problem = answer.headers.Error
  print(n, problem or answer.data)
end

print(select(3, c:request("cube", 2, 5))) -- nobody does that
c:publish("stop", "")
c:flush(5)
for _, worker in ipairs(workers) do
  c:publish("stop", "") -- one that had not subscribed yet
  while not worker:wait(0.1) do c:publish("stop", "") end
end
if broker then broker:stop() end
