-- A process is stopped at each internal step of the locks (LIPC_STEP in src), and killed there: the others go on, and
-- what they find is right.
local ipc = require "lipc"
local names = require "support.names"
local shared = require "support.shared"

local sync = ipc.sync
local MAX = tonumber(os.getenv "CHAOS" and 8 or 1) -- times that a step is come to, each of which is one to die at

local AT = { mutex = 0, cond = 256, rwlock = 1024, barrier = 8192, once = 12288, made = 16384 }
local FIRST = 32 -- bytes of header before each structure's own words

-- Every step that the sources name, of what is built here.
local function steps()
  local list = {}
  for _, file in ipairs { "sys_futex.c", "kit_placed.c", "kit_hold.c", "sync_cond.c", "sync_rwslots.c", "sync_barrier.c",
    "sync_once.c" } do
    for line in io.lines("src/" .. file) do
      local name = line:match 'LIPC_STEP%("([^"]+)"%)'
      if name then list[#list + 1] = name end
    end
  end
  return list
end

describe("steps of sync", function()
  if os.getenv "LIPC_SPEC_MODE" == "valgrind" then return end

  local map, name, objects

  before_each(function()
    name = "/" .. names.new()
    map = assert(ipc.shm.open(name, { create = true, exclusive = true, size = 65536, unlink = true }))
    objects = {
      mutex = assert(sync.mutex(map, AT.mutex, { create = true })),
      cond = assert(sync.cond(map, AT.cond, { create = true })),
      rwlock = assert(sync.rwlock(map, AT.rwlock, { create = true })),
      barrier = assert(sync.barrier(map, AT.barrier, { create = true, parties = 2 })),
      once = assert(sync.once(map, AT.once, { create = true })),
    }
    -- what there is to be found: the dead, and somebody who may sleep
    shared.killed(function()
      objects.rwlock:wrlock()
      objects.once:call(function() ipc.signal.kill(ipc.signal.getpid(), "SIGKILL") end)
    end)
    local p = shared.child(function() objects.barrier:wait(600) end)
    while objects.barrier:stat().waiting < 1 do ipc.sleep(0.001) end
    p:kill "SIGKILL"
    p:wait(60)
    p:close()
    for _, kind in ipairs { "cond", "rwlock", "once" } do map:view("u32", AT[kind] + FIRST + 4, 1)[1] = 1 end
  end)
  after_each(function()
    for _, o in pairs(objects) do o:close() end
    map:close()
  end)

  local function state(pid)
    local f = io.open(("/proc/%d/stat"):format(pid))
    local s = f and f:read "a":match "%) (%a)"
    if f then f:close() end
    return s
  end

  -- A process that has stopped at the step; or nil, how it ended.
  local function stopped(step, nth, what)
    local env = { LIPC_STEP = ("%s:%d"):format(step, nth) }
    for _, k in ipairs { "LUA_PATH", "PATH", "LIPC_SPEC_RUN" } do env[k] = os.getenv(k) end
    env.LUA_CPATH = os.getenv "PWD" .. "/build/steps/lib/?.so;" .. os.getenv "LUA_CPATH"
    local p = assert(ipc.process.spawn { os.getenv "LUA", "spec/steps/sync.lua", name, what or "all", env = env,
      kill_on_close = true })
    local deadline = ipc.now() + 60
    while ipc.now() < deadline do
      if state(p:pid()) == "T" then return p end
      local status = p:status()
      if status then
        p:close()
        return nil, status
      end
      ipc.sleep(0.001)
    end
    p:close()
    error("neither stopped nor ended at " .. step)
  end

  local function kill(p)
    assert(p:kill "SIGKILL")
    assert.equal("SIGKILL", assert(p:wait(60)).signal)
    p:close()
  end

  -- All that the locks are for, by those who are left.
  local function works()
    local rw, o, m, c, b = objects.rwlock, objects.once, objects.mutex, objects.cond, objects.barrier
    for _, lock in ipairs { rw, assert(sync.rwlock(map, AT.made, { create = true })) } do
      local _, dead = assert(lock:wrlock(60))
      if dead then assert(lock:consistent()) end
      assert(lock:unlock())
      assert.same({ true }, { lock:rdlock(60) })
      assert(lock:unlock())
      local stat = lock:stat()
      assert.same({ 0, 0, "ok" }, { stat.readers, stat.waiting, stat.state })
      if lock ~= rw then lock:close() end
    end
    assert.is_true((o:call(function() end, 60)))
    assert.is_true(o:done())
    assert.same({ true, false }, { o:call(error, 60) })
    local v = map:view("i64", 32768, 2)
    v[1], v[2] = 0, 0
    local _, dead = assert(m:lock(60))
    if dead then assert(m:consistent()) end
    local p = shared.child(function()
      assert(m:lock(60))
      v[2] = 1
      while v[1] == 0 do assert(c:wait(m, 60)) end
      assert(m:unlock())
    end)
    while v[2] == 0 do assert(c:wait(m, 0.001) or true) end
    v[1] = 1
    assert(c:signal() and m:unlock())
    shared.joined(p)
    p = shared.child(function() assert(b:wait(60)) end)
    assert.is_true((b:wait(60)))
    shared.joined(p)
    assert.equal(0, b:stat().waiting)
  end

  it("are left alone without anybody dying there", function()
    local p, status = stopped("none", 1)
    assert.is_nil(p)
    assert.is_true(status.ok)
    works()
  end)

  local special = { ["word.waiters"] = true, ["word.inherited"] = true, ["word.released"] = true }
  for _, step in ipairs(steps()) do
    if not special[step] then
      for nth = 1, MAX do
        it(("may end at %s, time %d"):format(step, nth), function()
          local p, status = stopped(step, nth)
          if not p and nth > 1 and status.ok then return end -- it does not come there so often
          assert.is_truthy(p, "never came there: " .. tostring(status and (status.error or status)))
          kill(p)
          works()
        end)
      end
    end
  end

  it("may end while it waits for the word of one that stands still", function()
    local first = assert(stopped("word.taken", 1, "lock"))
    local second = assert(stopped("word.waiters", 1, "lock"))
    local rw = objects.rwlock
    assert.equal("ETIMEDOUT", select(3, rw:wrlock(0.05))) -- and nobody hangs meanwhile
    kill(second)
    kill(first)
    works()
  end)

  it("may end when it has just inherited the word of one that died", function()
    kill(assert(stopped("word.taken", 1, "lock")))
    kill(assert(stopped("word.inherited", 1, "lock")))
    works()
  end)
end)
