-- Two writers in one file, each in its own half, and a total that both change: lua flock_ranges.lua [path] [rounds]
-- A range of bytes is locked, not the file, so that they hold each other off only where they meet.
local ipc = require "lipc"
local path = arg[1] or os.tmpname()
local rounds = tonumber(arg[2] or 200)

local RECORD = 8 -- bytes: a number each; the total is the first, then one record for each writer

local file = assert(io.open(path, "w"))
file:write(("%8d"):rep(3):format(0, 0, 0))
file:close()

local function add_one(data, record)
  data:seek("set", record * RECORD)
  local n = tonumber(data:read(RECORD))
  data:seek("set", record * RECORD)
  data:write(("%8d"):format(n + 1))
end

local function writer(number)
  local data <close> = assert(io.open(path, "r+"))
  data:setvbuf "no" -- what is buffered would be read before the lock is there, and written after it is gone
  local lock <close> = assert(ipc.flock.open(path)) -- its own open file description
  local total, own = lock:range(0, RECORD), lock:range(number * RECORD, RECORD)
  for _ = 1, rounds do
    assert(own:lock "exclusive")
    add_one(data, number)
    own:unlock()
    total:with("exclusive", function() add_one(data, 0) end)
  end
end

local writers = {}
for i = 1, 2 do
  writers[i] = assert(ipc.process.fork(function() writer(i) end))
end
for _, p in ipairs(writers) do assert(p:wait()) end

for line in io.lines(path) do
  print("total " .. line:sub(1, 8):gsub(" ", "") .. ", first " .. line:sub(9, 16):gsub(" ", "") ..
    ", second " .. line:sub(17, 24):gsub(" ", ""))
end
if not arg[1] then os.remove(path) end
