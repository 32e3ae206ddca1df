-- Locks in shared memory: in a mapping and by name, each operation once.
local ipc = require "lipc"
local names = require "support.names"
local name = "/" .. names.new()
local function try(ok, message, code, ...)
  if not ok and code == "ENOMEM" then error("not enough memory", 0) end
  return ok, message, code, ...
end
-- The function's own memory may run out: pcall, and what was held is given back.
local function held(o, ...)
  local ok, message = pcall(o.with, o, ...)
  if not ok then error(message, 0) end
end
local function run()
  local sync = ipc.sync
  local map <close> = try(ipc.mmap.anonymous(16384))
  do
    local m <close> = try(sync.mutex(map, 0, { create = true, type = "recursive" }))
    local again <close> = try(sync.mutex(map, 0))
    assert(m:lock() and m:lock(0) and m:unlock())
    local ok, _, code = again:trylock()
    assert(not ok and code == "ETIMEDOUT")
    ok, _, code = again:lock(0.001)
    assert(not ok and code == "ETIMEDOUT")
    assert(m:unlock())
    held(m, function() return tostring(m) end)
    assert(again:lock(0) and again:unlock())
    ok, _, code = m:consistent()
    assert(not ok and code == "EPERM")
    assert(m:stat().recursive)
    local c <close> = try(sync.cond(map, 128, { create = true }))
    assert(m:lock())
    ok, _, code = c:wait(m, 0.001)
    assert(not ok and code == "ETIMEDOUT" and m:unlock())
    assert(c:signal() and c:broadcast() and c:stat().signals == 2)
  end
  do
    local a <close> = try(sync.rwlock(map, 1024, { create = true, slots = 4 }))
    local b <close> = try(sync.rwlock(map, 1024))
    local co = coroutine.wrap(function()
      assert(a:rdlock())
      local ok, _, code = b:wrlock(0.001)
      assert(not ok and code == "ETIMEDOUT")
      assert(a:rdlock() and a:unlock() and a:unlock())
    end)
    co()
    held(a, "read", function() return tostring(b) end)
    held(a, "write", function() return tostring(b) end)
    assert(b:trywrlock() and b:unlock())
    local ok, _, code = b:consistent()
    assert(not ok and code == "EPERM")
    local s = a:stat()
    assert(s.readers == 0 and s.waiting == 0 and not s.writer)
  end
  do
    local b <close> = try(sync.barrier(map, 4096, { create = true, parties = 2 }))
    local ok, _, code = b:wait(0.001)
    assert(not ok and code == "ETIMEDOUT" and b:reset())
    assert(b:stat().waiting == 0)
    local o <close> = try(sync.once(map, 8192, { create = true }))
    local done = o:call(function() return tostring(b) end)
    assert(done and o:done() and o:stat().done)
    local s <close> = try(sync.semaphore(map, 9216, { create = true, initial = 1 }))
    assert(s:wait(0) and s:post() and s:value() == 1)
  end
  do
    local n <close> = try(sync.rwlock(name, { create = true, unlink = true }))
    local again <close> = try(sync.rwlock(name))
    assert(n:wrlock() and n:unlock() and again:rdlock(0))
    local _, _, code = try(sync.mutex(name))
    assert(code == "EPROTO")
  end
end
local ok, message = pcall(run)
collectgarbage()
os.remove("/dev/shm" .. name)
if not ok then error(message, 0) end
