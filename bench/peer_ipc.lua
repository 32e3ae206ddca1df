-- The Lua side of bench/twin_ipc.c: the same roles by lipc.  Run by bench/run.lua.
--   peer_ipc.lua send|recv|ping|pong mqueue|sysv COUNT SIZE [TIMEOUT]    QUEUE_A, QUEUE_B: the queues
--   peer_ipc.lua call|sem|semop|semundo|flock|range COUNT                nanoseconds for each (pair)
-- Messages are checked for content and order by the receiver.
local ipc = require "lipc"

local role, kind, count, size, timeout = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4]), tonumber(arg[5])

local all = {}
for i = 0, 255 do
  local head = ("%03d "):format(i)
  all[i] = head .. ("x"):rep((size or 4) - #head)
end

local function unexpected(got) error("message is not the one expected: " .. tostring(got):sub(1, 4)) end

local function queue(variable)
  local name = os.getenv(variable)
  if kind == "sysv" then return assert(ipc.sysv.msg.fromid(math.tointeger(tonumber(name)))) end
  return assert(ipc.mqueue.open(name))
end

-- One loop for each kind: what is measured is the method call, not a function around it.
local queues = { mqueue = {}, sysv = {} }

function queues.mqueue.send(a)
  for i = 0, count - 1 do a:send(all[i & 255], timeout) end
end

function queues.sysv.send(a)
  for i = 0, count - 1 do a:send(1, all[i & 255], timeout) end
end

function queues.mqueue.recv(a)
  if a:receive() ~= all[0] then unexpected(all[0]) end
  local t = ipc.now()
  for i = 1, count - 1 do
    local got = a:receive(timeout)
    if got ~= all[i & 255] then unexpected(got) end
  end
  print(("%.0f"):format((count - 1) / (ipc.now() - t)))
end

function queues.sysv.recv(a)
  if a:receive(0) ~= all[0] then unexpected(all[0]) end
  local t = ipc.now()
  for i = 1, count - 1 do
    local got = a:receive(0, timeout)
    if got ~= all[i & 255] then unexpected(got) end
  end
  print(("%.0f"):format((count - 1) / (ipc.now() - t)))
end

function queues.mqueue.ping(a, b)
  local t = ipc.now()
  for i = 0, count - 1 do
    a:send(all[i & 255], timeout)
    local got = b:receive(timeout)
    if got ~= all[i & 255] then unexpected(got) end
  end
  print(("%.3f"):format((ipc.now() - t) / count * 1e6))
end

function queues.sysv.ping(a, b)
  local t = ipc.now()
  for i = 0, count - 1 do
    a:send(1, all[i & 255], timeout)
    local got = b:receive(0, timeout)
    if got ~= all[i & 255] then unexpected(got) end
  end
  print(("%.3f"):format((ipc.now() - t) / count * 1e6))
end

function queues.mqueue.pong(a, b)
  for _ = 1, count do b:send(a:receive(timeout), timeout) end
end

function queues.sysv.pong(a, b)
  for _ = 1, count do
    local got = a:receive(0, timeout)
    b:send(1, got, timeout)
  end
end

-- ---- semaphores and locks ----

local function name() return ("/lipc-%d-bench"):format(ipc.signal.getpid()) end

local function scratch_file()
  local path = os.tmpname()
  local f = assert(ipc.flock.open(path))
  os.remove(path)
  return f
end

local pairs_of = {}

function pairs_of.call(n) -- an empty checked method call
  local e = assert(ipc.eventfd.open())
  for _ = 1, n do e:fd() end
end

function pairs_of.sem(n)
  local s <close> = assert(ipc.semaphore.open(name(), { create = true, exclusive = true, unlink = true }))
  local t = ipc.now()
  for _ = 1, n do
    s:post()
    s:wait()
  end
  return t
end

function pairs_of.semop(n)
  local s = assert(ipc.sysv.sem.open("private", { nsems = 1, create = true, unlink = true }))
  local t = ipc.now()
  for _ = 1, n do
    s:post(1)
    s:wait(1)
  end
  t = ipc.now() - t
  s:close()
  return ipc.now() - t
end

function pairs_of.semundo(n)
  local s = assert(ipc.sysv.sem.open("private", { nsems = 1, create = true, unlink = true }))
  local undo = { undo = true }
  local t = ipc.now()
  for _ = 1, n do
    s:post(1, undo)
    s:wait(1, undo)
  end
  t = ipc.now() - t
  s:close()
  return ipc.now() - t
end

function pairs_of.flock(n)
  local f = scratch_file()
  local t = ipc.now()
  for _ = 1, n do
    f:lock "exclusive"
    f:unlock()
  end
  return t
end

function pairs_of.range(n)
  local r = scratch_file():range(100, 10)
  local t = ipc.now()
  for _ = 1, n do
    r:lock "exclusive"
    r:unlock()
  end
  return t
end

if pairs_of[role] then
  local n = tonumber(kind)
  local started = ipc.now()
  started = pairs_of[role](n) or started
  print(("%.1f"):format((ipc.now() - started) / n * 1e9))
else
  local a, b = queue "QUEUE_A", queue "QUEUE_B"
  queues[kind][role](a, b)
end
