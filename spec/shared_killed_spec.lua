-- Processes that are killed while they change a shared value or dictionary: at random instants, hundreds of times
-- (thousands by spec/chaos/shared.lua), and at each step inside, one after the other.  Nothing is lost or torn, nobody
-- waits for the dead.
local ipc = require "lipc"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"

local shared = ipc.shared
local KILLS = ({ asan = 150, valgrind = 10 })[os.getenv "LIPC_SPEC_MODE"] or 400

describe("a process that is killed at a random instant", function()
  it(("leaves shared values and dictionaries whole, %d times"):format(KILLS), function()
    local seed = tonumber(os.getenv "SEED") or string.unpack("I3", assert(io.open("/dev/urandom", "rb")):read(3))
    local p = peer.sh(("%s spec/chaos/shared.lua %d %d 2>&1"):format(os.getenv "LUA", KILLS, seed))
    local out = p:read "a"
    assert.is_true(p:close(), ("seed %d: %s"):format(seed, out))
    local kills, hits = out:match "(%d+) killed, (%d+) of them inside the dictionary"
    assert.is_truthy(kills, out)
    assert.is_true(tonumber(hits) >= tonumber(kills) * 0.02, out)
    print("shared_killed_spec: " .. out:match "[^\n]*")
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
  for _, step in ipairs { "sync.described", "sync.made", "dict.clearing", "dict.emptied", "dict.cleared" } do
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

  for _, step in ipairs { "word.inherited", "dict.unsure", "dict.marked", "dict.relisted", "dict.repaired" } do
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
