-- The Lua side of bench/view.lua: nanoseconds of processor time for each operation.
--   peer_view.lua call|element|add|addlocal COUNT
--   peer_view.lua totable|fromtable COUNT           of ranges of 1,000,000 f64: for each element
--   peer_view.lua out|in SIZE COUNT                 strings
--   peer_view.lua count DISTANCE COUNT              as twin_view count
local ipc = require "lipc"

local what, a, b = arg[1], tonumber(arg[2]), tonumber(arg[3])
local MILLION = 1000000
local measures = {}

local function view(type, size) return assert(ipc.mmap.anonymous(size)):view(type) end

function measures.call(n) -- an empty checked method call
  local e = assert(ipc.eventfd.open())
  local t = os.clock()
  for _ = 1, n do e:fd() end
  return t, n
end

function measures.element(n)
  local v = view("i32", 4096)
  local t = os.clock()
  for _ = 1, n do v[7] = v[7] end
  return t, n
end

function measures.add(n)
  local v = view("i32", 4096)
  local t = os.clock()
  for _ = 1, n do v:add(7, 1) end
  return t, n
end

function measures.addlocal(n)
  local v = view("i32", 4096)
  local add = v.add
  local t = os.clock()
  for _ = 1, n do add(v, 7, 1) end
  return t, n
end

-- The collector's work, which all that is made causes, is outside the clock.
function measures.totable(n)
  local v = view("f64", 8 * MILLION):fill(0.5)
  local spent = 0
  collectgarbage "stop"
  for _ = 1, n do
    local t = os.clock()
    local list = v:totable()
    spent = spent + os.clock() - t
    if list[MILLION] ~= 0.5 then error "wrong" end
    list = nil -- luacheck: ignore
    collectgarbage()
  end
  return os.clock() - spent, n * MILLION
end

function measures.fromtable(n)
  local v = view("f64", 8 * MILLION)
  local list = {}
  for i = 1, MILLION do list[i] = i + 0.5 end
  local t = os.clock()
  for _ = 1, n do v:set(1, list) end
  if v[MILLION] ~= MILLION + 0.5 then error "wrong" end
  return t, n * MILLION
end

-- As above; so many strings at a time are kept.
measures["out"] = function(size, n)
  local v = view("bytes", size):fill(120)
  local batch, spent, all = math.max(1, MILLION * 4 // size), 0, {}
  collectgarbage "stop"
  for done = 0, n - 1, batch do
    local t = os.clock()
    for i = 1, math.min(batch, n - done) do all[i] = v:string() end
    spent = spent + os.clock() - t
    if #all[1] ~= size then error "wrong" end
    all = {}
    collectgarbage()
  end
  return os.clock() - spent, n
end

measures["in"] = function(size, n)
  local v = view("bytes", size):fill(120)
  local s = ("y"):rep(size)
  local t = os.clock()
  for _ = 1, n do v:setstring(1, s) end
  return t, n
end

function measures.count(distance, n)
  local v = assert(ipc.shm.open(os.getenv "SHM")):view "i64"
  local mine = 129 + v:add(1, 1) * (distance // 8)
  local chunks, clock, add = {}, ipc.now, v.add
  while v:load(1) < 2 do end
  for c = 1, n // 500 do
    local t = clock()
    for _ = 1, 500 do add(v, mine, 1) end
    chunks[c] = clock() - t
  end
  if v[mine] ~= n // 500 * 500 then error "wrong" end
  table.sort(chunks)
  if os.getenv "PRINTS" then print(chunks[#chunks * 9 // 10] / 500 * 1e9) end
  os.exit()
end

local t, n = measures[what](a, b)
print((os.clock() - t) / n * 1e9)
