-- What another process writes into shared objects: each word of them, to each of some values, and bytes at
-- random.  Then every operation: a result or an error, never a crash or a loop without end, which is what the
-- limit on the process that does it would end.
local ipc = require "lipc"
local child = require "support.child"
local names = require "support.names"

local SOON = 30 -- seconds: longer than anything here takes

local script = [[
local ipc = require "lipc"
local name, what, seed, rounds = ...
math.randomseed(tonumber(seed))
local shared = ipc.shared
local SHORT = 0.002

local make = {
  value = function() return shared.value("i64", 5, { name = name, create = true, exclusive = true }) end,
  string = function()
    return shared.value("string", "abc", { name = name, create = true, exclusive = true, capacity = 20 })
  end,
  array = function() return shared.array("i32", 4, { name = name, create = true, exclusive = true }) end,
  struct = function()
    return shared.struct({ { "x", "f64" }, { "n", "i32", 3 } }, { name = name, create = true, exclusive = true })
  end,
  dict = function()
    local d, message = shared.dict { name = name, create = true, exclusive = true, capacity = 6, bytes = 400 }
    if not d then return d, message end
    for i = 1, 5 do assert(d:set("key" .. i, i % 2 == 0 and i or ("v"):rep(70 * i))) end
    assert(d:delete "key1")
    return d
  end,
}

-- Each operation of such an object; those that have no place for a failure raise it.
local common = {
  function(o) return o:lock(SHORT) end,
  function(o) return o:unlock() end,
  function(o) return o:trylock() end,
  function(o) return o:consistent() end,
  function(o) return o:unlock() end,
  function(o) return o:with(function(_, died) return not died or o:consistent() end, SHORT) end,
}
local operations = {
  value = {
    function(o) return o:get(SHORT) end,
    function(o) return o:set(3, SHORT) end,
    function(o) return o:add(1, SHORT) end,
    function(o) return o:update(function(x) return x + 1 end, SHORT) end,
  },
  string = {
    function(o) return o:get(SHORT) end,
    function(o) return o:set("x", SHORT) end,
    function(o) return o:update(function(x) return x:sub(1, 3) end, SHORT) end,
  },
  array = { function(o) return o[4] end, function(o) o[1] = 1 return #o end, function(o) return o:stat() end },
  struct = { function(o) return o.x end, function(o) o.n[3] = 1 return o:stat() end },
  dict = {
    function(o) for i = 1, 5 do o:get("key" .. i, SHORT) end return o:get("none", SHORT) end,
    function(o) return o:count(SHORT) end,
    function(o) return o:stat(SHORT) end,
    function(o) return o:snapshot(SHORT) end,
    function(o) return o:set("key2", "longer" .. ("r"):rep(100), SHORT) end,
    function(o) return o:set("key6", 1, SHORT) end,
    function(o) return o:add("key4", 1, SHORT) end,
    function(o) return o:delete("key3", SHORT) end,
    function(o) return o:delete("key5", SHORT) end,
    function(o) return o:update("key2", function() end, SHORT) end,
    function(o) return o:snapshot(SHORT) end,
  },
}
local raising = {
  function(o) return #o end,
  function(o) for k, v in o:pairs(SHORT) do local _ = k, v end return true end,
}

local codes = {
  EPROTO = true, ETIMEDOUT = true, ENOSPC = true, EINVAL = true, ERANGE = true, ENOTRECOVERABLE = true, EDEADLK = true,
  EPERM = true, ENOENT = true,
}

local function look(ok, value, message, code)
  if not ok then error("raised: " .. tostring(value), 0) end
  if value == nil and message then
    if not codes[code] then error("failed otherwise: " .. message, 0) end
    return (code == "EPROTO" or code == "ETIMEDOUT" or code == "ENOTRECOVERABLE") and 1 or 0
  end
  return 0
end

local function use(o)
  local failures = 0
  for _, operation in ipairs(operations[what]) do failures = failures + look(pcall(operation, o)) end
  for _, operation in ipairs(common) do failures = failures + look(pcall(operation, o)) end
  if what == "dict" then
    o:settimeout(SHORT)
    for _, operation in ipairs(raising) do
      local ok, message = pcall(operation, o)
      if not ok then
        if not (message:find "Protocol error" or message:find "timed out" or message:find "not recoverable") then error(message, 0) end
        failures = failures + 1
      end
    end
  end
  return failures
end

local o = assert(make[what]())
local map = assert(ipc.shm.open(name))
local size = o:stat().type == "dict" and 128 + 64 + 64 + 64 + o:stat().bytes or 256
size = math.min(size, map:size()) // 4 * 4
local words = map:view("u32", 0, size // 4)
local bytes = map:view("bytes", 0, size)
local whole = bytes:string()

local cases, failed, refused = 0, 0, 0
local function try(where)
  cases = cases + 1
  local ok, n = pcall(use, o)
  if not ok then error(("%s: %s"):format(where, n), 0) end
  if n > 0 then failed = failed + 1 end
  -- one who comes only now
  local again, message, code = shared.open(name)
  if again then
    again:close()
  else
    if not codes[code] then error(("%s: open: %s"):format(where, message), 0) end
    refused = refused + 1
  end
  if what == "dict" and words[1] == 0 and o:clear(SHORT) then -- which is how it is mended
    if not (o:set("k", "v", SHORT) and o:get("k", SHORT) == "v") then error(where .. ": clear has not mended it", 0) end
    local other = assert(shared.dict { name = name, capacity = 6, bytes = 400 }) -- not what was written there
    if other:get("k", SHORT) ~= "v" or other:count(SHORT) ~= 1 then error(where .. ": clear has not mended it for others", 0) end
    other:close()
  end
  o:close()
  bytes:setstring(1, whole)
  o = assert(shared.open(name))
end

-- Somebody who writes all the time, so that what was looked at is not what is there a moment later.
local scribbler <close> = assert(ipc.process.fork(function()
  while true do
    for _ = 1, 200 do words[math.random(19, #words)] = math.random(0, 0xffffffff) >> math.random(0, 31) end
    bytes:setstring(73, whole:sub(73))
  end
end, { kill_on_close = true }))
for round = 1, tonumber(rounds) do
  local ok, message = pcall(use, o)
  if ok and what == "dict" then ok, message = pcall(function() look(true, o:clear(SHORT)) end) end
  if not ok then error(("racing, round %d: %s"):format(round, message), 0) end
end
assert(not scribbler:wait(0))
scribbler:close()
o:close()
bytes:setstring(1, whole)
o = assert(shared.open(name))

-- of a dict the blocks are all alike: what is behind the first few is left to chance
for i = 1, math.min(#words, 200) do
  for _, x in ipairs { 0, 1, 2, 0x7fffffff, 0xffffffff, math.random(0, 0xffffffff), math.random(0, 20) } do
    words[i] = x
    try(("word %d set to %d"):format(i, x))
  end
end
for round = 1, tonumber(rounds) do
  -- not the lock itself, as a rule: then nothing else would be seen
  for _ = 1, math.random(1, 12) do words[math.random(round % 8 == 0 and 1 or 9, #words)] = math.random(0, 0xffffffff) >> math.random(0, 31) end
  try(("round %d"):format(round))
end
print(("%d cases, %d with failures, %d refused"):format(cases, failed, refused))
]]

describe("what another process has written over all of", function()
  -- these bytes and random ones: zeros, no state of a lock at all, what looks like lengths
  for what, byte in pairs { zeros = "\0", ones = "\1", ["0xff"] = "\xff", ["random bytes"] = false } do
    it("a dict, is mended by its clear, for all: " .. what, function()
      local name = "/" .. names.new()
      local opts = { name = name, create = true, unlink = true, capacity = 7, bytes = 300 }
      local d <close> = assert(ipc.shared.dict(opts))
      local other <close> = assert(ipc.shared.dict(opts))
      local memory <close> = assert(ipc.shm.open(name))
      d:settimeout(SOON)
      other:settimeout(SOON)
      for _ = 1, 3 do
        assert(d:set("old", "value"))
        local bytes = {}
        for i = 1, #memory do bytes[i] = byte or string.char(math.random(5, 255)) end
        memory:write(0, table.concat(bytes))
        if not byte then memory:write(0, "\0\0\0\0") end -- a number there may be that of a thread
        assert.is_nil((ipc.shared.open(name)))
        assert.is_true(d:clear())
        assert.equal(0, #other)
        for i = 1, 7 do assert.is_true(other:set("key" .. i, i)) end
        assert.equal("ENOSPC", select(3, d:set("one more", true)))
        local new <close> = assert(ipc.shared.dict { name = name, capacity = 7, bytes = 300 })
        assert.equal(7, new:get "key7")
        assert.equal("done", new:with(function(dict, died)
          assert.is_nil(died)
          assert(dict:delete "key1")
          return "done"
        end))
      end
    end)
  end
end)

describe("what another process has written into", function()
  for _, what in ipairs { "value", "string", "array", "struct", "dict" } do
    it("a shared " .. what .. " is an error, never a crash or an endless loop", function()
      local seed = tonumber(os.getenv "SEED") or string.unpack("I3", assert(io.open("/dev/urandom", "rb")):read(3))
      local name = "/" .. names.new()
      local p, finish = child.lua(script, name, what, seed, what == "dict" and 500 or 100)
      local line = p:read "l"
      local ok, rest = finish()
      os.remove("/dev/shm" .. name)
      assert.is_true(ok, ("seed %d: %s\n%s"):format(seed, line, rest))
      local cases, failed, refused = line:match "^(%d+) cases, (%d+) with failures, (%d+) refused$"
      assert.is_truthy(cases, ("seed %d: %s\n%s"):format(seed, line, rest))
      assert.is_true(tonumber(failed) > 0 and tonumber(refused) > 0, line)
      print(("shared_scribbled_spec: %s, seed %d: %s"):format(what, seed, line))
    end)
  end
end)
