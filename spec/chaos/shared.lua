-- Workers that change shared values and a shared dictionary are killed by SIGKILL at random instants: nothing is lost
-- or torn, and nobody waits for the dead.
--   lua spec/chaos/shared.lua [KILLS [SEED]]
-- Prints how many were killed, how many of them in the middle of a change of the dictionary, and the seed.
-- SPDX-License-Identifier: MIT
local ipc = require "lipc"
local shared = ipc.shared

local kills = tonumber(arg[1] or 1000)
local seed = tonumber(arg[2] or os.time() ~ ipc.signal.getpid())
math.randomseed(seed)
local WORKERS, KEYS = 3, 20

-- What each worker knows to be done, which nobody else writes: adds, updates, texts, the last turn of each key.
local known = assert(shared.array("i64", WORKERS * (3 + KEYS)))
local function at(worker, what) return (worker - 1) * (3 + KEYS) + what end

local counter = assert(shared.value("i64", 0))
local updated = assert(shared.value("i64", 0))
local text = assert(shared.value("string", "", { capacity = 20000 }))
local dict = assert(shared.dict { capacity = KEYS * WORKERS, bytes = KEYS * WORKERS * 40000 })

-- A value that tells by itself whether it is whole; nil for some turns.
local function value_of(worker, key, turn)
  if turn % 7 == 0 then return nil end
  if turn % 3 == 0 then return worker << 40 | key << 32 | turn end
  local one = ("%d:%d:%d;"):format(worker, key, turn)
  return one:rep(turn % 200 * 10 + 1)
end

local function work(worker)
  math.randomseed(seed + worker + ipc.signal.getpid())
  while true do
    local what = math.random(10)
    if what == 1 then
      assert(counter:add(1))
      known[at(worker, 1)] = known[at(worker, 1)] + 1
    elseif what == 2 then
      assert(updated:update(function(x) return x + 1 end))
      known[at(worker, 2)] = known[at(worker, 2)] + 1
    elseif what == 3 then
      assert(text:set((string.char(math.random(65, 90))):rep(math.random(0, 20000))))
    else
      local key = math.random(KEYS)
      local turn = known[at(worker, 3 + key)] + 1
      local value = value_of(worker, key, turn)
      local k = ("%d/%d"):format(worker, key)
      if value == nil then assert(dict:delete(k) ~= nil) else assert(dict:set(k, value)) end
      known[at(worker, 3 + key)] = turn
    end
  end
end

local function start(worker) return assert(ipc.process.fork(function() work(worker) end)) end

local workers = {}
for i = 1, WORKERS do workers[i] = start(i) end

local killed = 0
-- Of a worker that is dead: what it knew, or one step more.
local function check(worker)
  for key = 1, KEYS do
    local k, turn = ("%d/%d"):format(worker, key), known[at(worker, 3 + key)]
    local got, message = dict:get(k, 60)
    assert(not message, message)
    local before, after = value_of(worker, key, turn), value_of(worker, key, turn + 1)
    if got == after and got ~= before then known[at(worker, 3 + key)] = turn + 1
    elseif got ~= before then error(("%s after turn %d is %s"):format(k, turn, tostring(got):sub(1, 40))) end
  end
  local s = assert(text:get(60))
  assert(s == s:sub(1, 1):rep(#s), "a text is torn")
end

repeat
  local i = math.random(WORKERS)
  local instant = ipc.now() + math.random() * 3e-3
  while ipc.now() < instant do end
  local p = workers[i]
  if p:wait(0) then error(p:wait(0).error or "a worker has ended") end
  assert(p:kill "KILL")
  assert(p:wait(60).signal == "SIGKILL")
  p:close()
  killed = killed + 1
  check(i)
  workers[i] = start(i)
  -- how many are inside is chance: it goes on until some were
until killed >= kills and (dict:stat().repairs >= kills / 40 or killed >= 10 * kills)
for i, p in ipairs(workers) do
  assert(p:kill "KILL")
  p:wait()
  p:close()
  killed = killed + 1
  check(i)
end

for what, value in ipairs { counter, updated } do
  local sum = 0
  for i = 1, WORKERS do sum = sum + known[at(i, what)] end
  local got = assert(value:get(60))
  assert(sum <= got and got <= sum + killed, ("%d known, %d counted, %d killed"):format(sum, got, killed))
end
-- No block is lost: what is used is what the entries need.
local expected, n = 0, 0
for k, v in dict:pairs() do
  local size = #k + (type(v) == "string" and #v or 8)
  expected, n = expected + 64 * (size <= 44 and 1 or 1 + (size - 44 + 59) // 60), n + 1
end
assert(dict:count() == n and dict:stat().used == expected, "blocks are lost")
print(("shared: %d killed, %d of them inside the dictionary, seed %d"):format(killed, dict:stat().repairs, seed))
