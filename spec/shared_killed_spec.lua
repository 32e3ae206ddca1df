-- Processes that are killed while they change a shared value or dictionary: at random instants, hundreds of times
-- (thousands in `make chaos`), and at each step inside, one after the other.  Nothing is lost or torn, nobody
-- waits for the dead.
local ipc = require "lipc"
local child = require "support.child"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"

local shared = ipc.shared
local KILLS = tonumber(os.getenv "LIPC_CHAOS") or ({ asan = 150, valgrind = 10 })[os.getenv "LIPC_SPEC_MODE"] or 400

local nursery = [[
local ipc = require "lipc"
local kills, seed, name = tonumber(arg[1]), tonumber(arg[2]), arg[3]
math.randomseed(seed)
local shared = ipc.shared
local WORKERS, KEYS = 3, 20

-- What each worker knows to be done, which nobody else writes: adds, updates, texts, the last turn of each key.
local known = assert(shared.array("i64", WORKERS * (3 + KEYS)))
local function at(worker, what) return (worker - 1) * (3 + KEYS) + what end

local options = { name = name .. "v", create = true, exclusive = true, unlink = true }
local counter = assert(shared.value("i64", 0, options))
local updated = assert(shared.value("i64", 0))
local text = assert(shared.value("string", "", { capacity = 20000 }))
options.name, options.capacity, options.bytes = name .. "d", KEYS * WORKERS, KEYS * WORKERS * 40000
local dict = assert(shared.dict(options))

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

for kill = 1, kills do
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
end
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
local repairs = dict:stat().repairs
dict:close()
counter:close()
print(("%d kills, %d of them inside the lock of the dictionary"):format(killed, repairs))
]]

describe("a process that is killed at a random instant", function()
  it(("leaves shared values and dictionaries whole, %d times"):format(KILLS), function()
    local seed = tonumber(os.getenv "SEED") or string.unpack("I3", assert(io.open("/dev/urandom", "rb")):read(3))
    local name = "/" .. names.new()
    local p, finish = child.lua(nursery, KILLS, seed, name)
    local line = p:read "l"
    local ok, rest = finish()
    for _, which in ipairs { "v", "d" } do os.remove("/dev/shm" .. name .. which) end
    assert.is_true(ok, ("seed %d: %s\n%s"):format(seed, line, rest))
    local kills, hits = line:match "^(%d+) kills, (%d+) of them inside"
    assert.is_truthy(kills, line)
    assert.is_true(tonumber(hits) >= tonumber(kills) * 0.02, line)
    print(("shared_killed_spec: seed %d, %s"):format(seed, line))
  end)
end)

-- Runs a script with the library that stops at a step, until it has stopped there; kills it.
local function kill_at(step, script, ...)
  local command = peer.command("local function pid() print(ipc.signal.getpid()) io.stdout:flush() end\n" .. script, ...)
  local p = assert(io.popen(("LUA_CPATH='build/steps/lib/?.so;'\"$LUA_CPATH\" LIPC_STEP=%s exec timeout --foreground -s KILL 100 %s 2>&1")
    :format(step, command)))
  local first = p:read "l"
  local pid = assert(tonumber(first), first)
  local deadline = probe.now() + 60
  local state
  repeat
    local f = io.open(("/proc/%d/stat"):format(pid))
    state = f and f:read "a":match "%) (%a)" or "gone"
    if f then f:close() end
    if state ~= "T" then probe.pause(0.001) end
  until state == "T" or state == "gone" or state == "Z" or probe.now() > deadline
  assert(ipc.signal.kill(pid, "SIGKILL") or state == "gone")
  local rest = p:read "a"
  p:close()
  assert.equal("T", state, ("%s was not reached: %s"):format(step, rest))
end

describe("a process that is killed at the step", function()
  local name, d, long
  before_each(function()
    name, long = "/" .. names.new(), ("old"):rep(100)
    d = assert(shared.dict { name = name, create = true, unlink = true, capacity = 8, bytes = 2000 })
    assert(d:set("a", long))
    assert(d:set("b", 1))
    assert(d:set("c", 2))
    assert(d:delete "c")
  end)
  after_each(function() d:close() end)

  -- The dictionary is one of these, by the rest of the key in question, and is as good as new.
  local function check(...)
    local got = assert(d:snapshot(10))
    local fits = false
    for _, expected in ipairs { ... } do fits = fits or pcall(assert.same, expected, got) end
    assert.is_true(fits)
    local fresh <close> = assert(shared.dict { capacity = 8, bytes = 2000 })
    local n = 0
    for k, v in pairs(got) do
      n = n + 1
      assert(fresh:set(k, v))
    end
    assert.equal(n, d:count())
    assert.equal(fresh:stat().used, d:stat().used)
    -- all blocks are there to be used
    local function fill(o)
      assert(o:clear())
      for i = 1, 8 do assert(o:set("k" .. i, "")) end
      local most = 0
      for size = 1, 5000, 30 do
        if not o:set("k1", ("f"):rep(size)) then break end
        most = size
      end
      return most
    end
    assert.equal(fill(fresh), fill(d))
  end

  local open = [[local d = assert(ipc.shared.open(arg[1])) pid() ]]
  local function old() return { a = long, b = 1 } end
  local function with(k, v)
    local t = old()
    t[k] = v
    return t
  end
  local new = ("new"):rep(150)

  local cases = {}
  for _, step in ipairs { "word.announced", "word.taken", "dict.taken", "dict.written", "dict.published", "dict.set",
    "word.unlocking", "word.free", "word.woken" } do
    cases[#cases + 1] = { step, 'd:set("c", ("new"):rep(150))', function() return old(), with("c", new) end }
    cases[#cases + 1] = { step, 'd:set("a", ("new"):rep(150))', function() return old(), with("a", new) end }
    cases[#cases + 1] = { step, 'd:add("b", 1)', function() return old(), with("b", 2) end }
  end
  cases[#cases + 1] = { "dict.freeing", 'd:set("a", ("new"):rep(150))', function() return old(), with("a", new) end }
  for _, step in ipairs { "dict.unlinked", "dict.freeing", "dict.deleted" } do
    cases[#cases + 1] = { step, 'd:delete "a"', function() return old(), { b = 1 } end }
  end
  for _, step in ipairs { "dict.clearing", "dict.emptied", "dict.cleared" } do
    cases[#cases + 1] = { step, "d:clear()", function() return old(), {} end }
  end
  for _, step in ipairs { "holder.named", "holder.held", "holder.free" } do
    cases[#cases + 1] = { step, 'd:update("b", function(x) return x + 1 end)', function() return old(), with("b", 2) end }
  end
  for _, case in ipairs(cases) do
    local step, operation, results = table.unpack(case)
    it(step .. " in " .. operation .. " leaves what was, or what it wanted", function()
      kill_at(step, open .. operation, name)
      check(results())
    end)
  end

  for _, step in ipairs { "dict.unsure", "dict.marked", "dict.relisted", "dict.repaired" } do
    it(step .. " while it mends what another one left, leaves it to the next", function()
      kill_at("dict.taken", open .. 'd:set("c", ("new"):rep(150))', name)
      kill_at(step, open .. 'd:get "a"', name)
      check(old())
    end)
  end
  for _, step in ipairs { "dict.clearing", "dict.emptied", "dict.cleared" } do
    it(step .. " while it goes on with the clearing of another one", function()
      kill_at("dict.emptied", open .. "d:clear()", name)
      kill_at(step, open .. 'd:get "a"', name)
      check({})
    end)
  end

  local function value_case(step, kind, initial, operation, ...)
    local results = { ... }
    it(step .. " in " .. operation .. " leaves what was, or what it wanted", function()
      local own = "/" .. names.new()
      local v <close> = assert(shared.value(kind, initial,
        { name = own, create = true, unlink = true, capacity = kind == "string" and 5000 or nil }))
      kill_at(step, "local v = assert(ipc.shared.open(arg[1])) pid() " .. operation, own)
      local got, fits = assert(v:get(10)), false
      for _, expected in ipairs(results) do fits = fits or got == expected end
      assert.is_true(fits, tostring(got):sub(1, 20))
      assert.is_true(v:set(initial, 10))
      assert.equal(initial, v:get())
    end)
  end
  for _, step in ipairs { "word.announced", "word.taken", "word.unlocking", "word.free", "word.woken" } do
    value_case(step, "i64", 5, "v:add(1)", 5, 6)
  end
  value_case("value.added", "i64", 5, "v:add(1)", 6)
  value_case("value.set", "i64", 5, "v:set(7)", 7)
  value_case("value.written", "string", "old", 'v:set(("x"):rep(4000))', "old")
  value_case("value.set", "string", "old", 'v:set(("x"):rep(4000))', ("x"):rep(4000))
  for _, step in ipairs { "holder.named", "holder.held", "holder.free" } do
    value_case(step, "i64", 5, "v:update(function(x) return x + 1 end)", 5, 6)
  end
end)
