-- What is in a structure of ipc.sync is overwritten by others: errors, waits that end; never a crash, never a wait beyond
-- its time. Not for the mutex and the semaphore, which are the C library's: it trusts what is in its memory (a robust mutex
-- has pointers there), and so whoever can write to one is trusted, as doc/design.md says.
local ipc = require "lipc"
local child = require "support.child"

local kinds = { "cond", "rwlock", "barrier", "once" }
local ROUNDS = 1

local script = [[
local ipc = require "lipc"
local sync = ipc.sync
local kind, seed = ...
math.randomseed(tonumber(seed))
local map = assert(ipc.mmap.anonymous(65536))
local m = assert(sync.mutex(map, 32768, { create = true }))
local made = { parties = kind == "barrier" and 2 or nil, slots = kind == "rwlock" and 3 or nil }
local size = sync.sizeof(kind, made)
made.create = true
local words, bytes = map:view("u32", 0, size // 4), map:view("u8", 0, size)

-- What an operation may come to: results, or a failure that says what; raising is for misuse.
local function try(f, ...)
  local ok, message, code = pcall(f, ...)
  assert(ok, message)
  assert(message ~= nil or type(code) == "string")
end

local T = 0.003
local operations = {
  cond = function(o)
    try(o.signal, o)
    try(o.broadcast, o)
    assert(m:lock(1))
    try(o.wait, o, m, T)
    assert(m:unlock())
    try(o.stat, o)
  end,
  rwlock = function(o)
    try(o.rdlock, o, T)
    try(o.unlock, o)
    try(o.wrlock, o, T)
    try(o.consistent, o)
    try(o.unlock, o)
    try(o.tryrdlock, o)
    try(o.trywrlock, o)
    try(o.unlock, o)
    try(o.with, o, "read", function() return true end, T)
    try(o.with, o, "write", function() return true end, T)
    try(o.stat, o)
  end,
  barrier = function(o)
    try(o.wait, o, T)
    try(o.reset, o)
    try(o.wait, o, 0)
    try(o.stat, o)
  end,
  once = function(o)
    try(o.call, o, function() end, T)
    try(o.done, o)
    try(o.stat, o)
  end,
}
local run = operations[kind]

local function with_word(i, value, when)
  bytes:fill(0)
  local o = assert(sync[kind](map, 0, made))
  local held = when == "held" and (kind == "rwlock" and o:wrlock(1) or kind == "once")
  if held and kind == "once" then
    try(o.call, o, function() words[i] = value end, T)
  end
  words[i] = value
  try(sync[kind], map, 0)
  try(sync[kind], map, 0, made)
  if held and kind == "rwlock" then o:unlock() end
  run(o)
  assert(o:close())
end

for i = 1, size // 4 do
  for _, value in ipairs { 0, 1, 0x7fffffff, 0xffffffff, math.random(0, 0xffffffff), ipc.signal.getpid() } do
    with_word(i, value)
    if kind == "rwlock" or kind == "once" then with_word(i, value, "held") end
  end
end

-- everything at once, while it is used
for _ = 1, 20 do
  bytes:fill(0)
  local o = assert(sync[kind](map, 0, made))
  for i = 1, size // 4 do words[i] = math.random(0, 0xffffffff) end
  run(o)
  o:close()
  try(sync[kind], map, 0)
  try(sync[kind], map, 0, made)
end
print "survived"
]]

describe("overwritten words of", function()
  for _, kind in ipairs(kinds) do
    for round = 1, ROUNDS do
      it(("a %s do no harm, %d"):format(kind, round), function()
        local seed = ipc.signal.getpid() * 100 + round
        local p, ended = child.lua(script, kind, seed)
        assert.equal("survived", p:read "l", "seed " .. seed)
        assert.is_true(ended())
      end)
    end
  end

  it("a rwlock are met while another process goes on writing random bytes", function()
    local shared = require "support.shared"
    local map <close> = assert(ipc.mmap.anonymous(65536))
    local rw <close> = assert(ipc.sync.rwlock(map, 0, { create = true, slots = 4 }))
    local words = map:view("u32", 0, ipc.sync.sizeof("rwlock", { slots = 4 }) // 4)
    local p = shared.child(function()
      while true do
        words[math.random(#words)] = math.random(0, 0xffffffff)
        for _ = 1, 200 do end -- luacheck: ignore
      end
    end)
    for _ = 1, 60 do
      local ok = rw:rdlock(0.002)
      if ok then rw:unlock() end
      ok = rw:wrlock(0.002)
      if ok then rw:unlock() end
    end
    p:kill "SIGKILL"
    p:wait(60)
    p:close()
  end)
end)
