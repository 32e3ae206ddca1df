-- The Lua side of bench/twin.c: the same roles by lipc.  Run by bench/run.lua with fd 3 (and 4).
--   peer.lua send|recv|ping|pong COUNT SIZE   ·   putlines|getlines COUNT   ·   spawn COUNT [MB]
-- Messages are checked for content and order by the receiver.
local ipc = require "lipc"

local role, count, size = arg[1], tonumber(arg[2]), tonumber(arg[3] or 64)

-- Messages, each begun by its number, as in twin.c; and what to mask the count with.
local function messages()
  local n = 256
  while n > 4 and n * size > 65536 do n = n // 2 end
  local list = {}
  for i = 0, n - 1 do
    local head = ("%03d "):format(i)
    list[i] = head .. ("x"):rep(size - #head)
  end
  return list, n - 1
end

local function adopt(fd)
  local ok, pipe = pcall(ipc.pipe.fromfd, fd)
  if ok then return pipe, false end
  return ipc.socket.fromfd(fd), true
end

-- A message that one read did not give whole: the rest of it, and what it must be.
local function complete(r, got, want)
  while #got < #want do got = got .. r:readsome(size - #got) end
  if got ~= want then error("message is not the one expected: " .. got:sub(1, 4)) end
end

local roles = {}

function roles.send()
  local w, all, mask = adopt(3), messages()
  for i = 0, count - 1 do w:write(all[i & mask]) end
end

function roles.recv()
  local r, all, mask = adopt(3), messages()
  complete(r, "", all[0])
  local t = ipc.now()
  for i = 1, count - 1 do
    local got, want = r:readsome(size), all[i & mask]
    if got ~= want then complete(r, got, want) end
  end
  print(("%.0f"):format((count - 1) / (ipc.now() - t)))
end

local function both()
  local a, is_socket = adopt(3)
  return a, is_socket and a or adopt(4)
end

function roles.ping()
  local all, mask = messages()
  local w, r = both()
  local t = ipc.now()
  for i = 0, count - 1 do
    local m = all[i & mask]
    w:write(m)
    local got = r:readsome(size)
    if got ~= m then complete(r, got, m) end
  end
  print(("%.3f"):format((ipc.now() - t) / count * 1e6))
end

function roles.pong()
  local r, w = both()
  for _ = 1, count do
    local got = r:readsome(size)
    while #got < size do got = got .. r:readsome(size - #got) end
    w:write(got)
  end
end

-- 256 lines with their number in front, as in twin.c.
local function lines()
  local list = {}
  for i = 0, 255 do list[i] = ("%03d a line of text neither too long nor too short\n"):format(i) end
  return list
end

function roles.putlines()
  local w, all = adopt(3), lines()
  w:setvbuf "full"
  for i = 0, count - 1 do w:write(all[i & 255]) end
  w:close()
end

function roles.getlines()
  local all, i, t = lines(), 0, nil
  for line in adopt(3):lines "L" do
    t = t or ipc.now()
    if line ~= all[i & 255] then error("wrong line: " .. line) end
    i = i + 1
  end
  assert(i == count)
  print(("%.0f"):format((count - 1) / (ipc.now() - t)))
end

function roles.spawn()
  local ballast = arg[3] and ("x"):rep(tonumber(arg[3]) << 20) -- luacheck: ignore
  local spawn, times = ipc.process.spawn, {}
  for i = 1, count do
    local t = ipc.now()
    local p = assert(spawn { "/bin/true" })
    p:wait()
    times[i] = ipc.now() - t
    p:close()
  end
  table.sort(times)
  print(("%.2f"):format(times[count // 2 + 1] * 1e6))
end

roles[role]()
