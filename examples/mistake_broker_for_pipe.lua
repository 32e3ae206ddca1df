-- A classic mistake: a broker where a pipe would do.  Two processes of one machine, one that writes and one that reads, need
-- nobody between them.  Both ways move the same lines here; see what the second costs.
-- A broker pays where there are several readers or writers that come and go, subjects to choose from, work to share, answers
-- to wait for, or another machine.    lua mistake_broker_for_pipe.lua [count]
local ipc = require "lipc"

local count = math.tointeger(tonumber(arg[1] or 100000))
local text = ("%08d a line of sixty-four bytes, as programs write them......\n"):format(0)

local function check(data)
  if data ~= text then error "not what was sent" end
end

-- Measures what `receive` does while `send` runs in a child.
local function measure(name, send, receive)
  local start = ipc.now()
  local child = assert(ipc.process.fork(send))
  receive()
  local seconds = ipc.now() - start
  local status = child:wait()
  assert(status.ok, status.error)
  print(("%-30s %9.0f lines a second"):format(name, count / seconds))
  return seconds
end

-- Right: a pipe.
local r, w = assert(ipc.pipe.open())
local by_pipe = measure("a pipe", function()
  r:close()
  w:setvbuf "full"
  for _ = 1, count do assert(w:write(text)) end
  assert(w:close())
end, function()
  w:close()
  local n = 0
  for line in r:lines "L" do
    check(line)
    n = n + 1
  end
  assert(n == count)
end)

-- The mistake: one more process, and every line goes through it.
local path = ("%s/example-%d.sock"):format(assert(ipc.socket.runtimedir()), ipc.signal.getpid())
local broker <close> = assert(ipc.broker.start { path = path })
local c <close> = assert(ipc.connect(broker:url()))
local sub = assert(c:subscribe "lines")
assert(c:flush())
local by_broker = measure("a broker", function()
  local p = assert(ipc.connect(broker:url())):setvbuf "full"
  for _ = 1, count do assert(p:publish("lines", text)) end
  assert(p:close(60))
end, function()
  for _ = 1, count do check(assert(sub:next(60)).data) end
end)

print(("the broker took %.1f times as long, and a process"):format(by_broker / by_pipe))
