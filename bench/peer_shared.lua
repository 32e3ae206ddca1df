-- What bench/shared.lua measures of lipc.shared: prints nanoseconds for each operation.
--   peer_shared.lua call|add|update|get|set COUNT        an empty checked method call; of a shared value
--   peer_shared.lua dict|table get|set|add ORDER KEYS COUNT      of a dictionary or a table of Lua with that many keys,
--                                                     which are asked for in order or across ("order", "random")
local ipc = require "lipc"

local function report(started, count) print(("%.1f"):format((ipc.now() - started) / count * 1e9)) end

local values = {}

function values.call(n)
  local e = assert(ipc.eventfd.open())
  local t = ipc.now()
  for _ = 1, n do e:fd() end
  report(t, n)
end

function values.add(n)
  local v = assert(ipc.shared.value("i64", 0))
  local t = ipc.now()
  for _ = 1, n do v:add(1) end
  report(t, n)
  assert(v:get() == n)
end

function values.update(n)
  local v = assert(ipc.shared.value("i64", 0))
  local function increment(x) return x + 1 end
  local t = ipc.now()
  for _ = 1, n do v:update(increment) end
  report(t, n)
  assert(v:get() == n)
end

function values.get(n)
  local v = assert(ipc.shared.value("i64", 0))
  local t = ipc.now()
  for _ = 1, n do v:get() end
  report(t, n)
end

function values.set(n)
  local v = assert(ipc.shared.value("i64", 0))
  local t = ipc.now()
  for _ = 1, n do v:set(1) end
  report(t, n)
end

local dicts = { dict = {}, table = {} }

function dicts.dict.get(d, keys, jump, n)
  local k, size = 0, #keys
  for _ = 1, n do
    d:get(keys[k + 1])
    k = (k + jump) % size
  end
end

function dicts.dict.set(d, keys, jump, n)
  local k, size = 0, #keys
  for i = 1, n do
    d:set(keys[k + 1], i)
    k = (k + jump) % size
  end
end

function dicts.dict.add(d, keys, jump, n)
  local k, size = 0, #keys
  for _ = 1, n do
    d:add(keys[k + 1], 1)
    k = (k + jump) % size
  end
end

function dicts.table.get(d, keys, jump, n)
  local k, size, got = 0, #keys, nil
  for _ = 1, n do
    got = d[keys[k + 1]]
    k = (k + jump) % size
  end
  return got
end

local what = arg[1]
if values[what] then
  values[what](tonumber(arg[2]))
else
  local operation, order, size, count = arg[2], arg[3], tonumber(arg[4]), tonumber(arg[5])
  local dict, keys = {}, {}
  if what == "dict" then dict = assert(ipc.shared.dict { capacity = 100000 }) end
  for i = 1, size do
    keys[i] = "key" .. i
    if what == "dict" then assert(dict:set(keys[i], i)) else dict[keys[i]] = i end
  end
  local jump = order == "random" and 7919 or 1
  dicts[what][operation](dict, keys, jump, size) -- once, so that all of it has been there
  local t = ipc.now()
  dicts[what][operation](dict, keys, jump, count)
  report(t, count)
end
