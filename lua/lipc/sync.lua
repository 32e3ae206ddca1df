--- Locks in shared memory: in a mapping at an offset, or as a shared memory object of their own, by name.
local core = require "lipc.core"

local places = core.sync()
local shm = core.shm()
local semaphore = core.semaphore()

local sync = { ALIGN = places.ALIGN, NATIVE_OFFSET = places.NATIVE_OFFSET, sizeof = places.sizeof }

-- What is of the object in which a named one lies, and what of the lock.
local of_object = { "create", "exclusive", "mode", "unlink" }
local of_lock = {
  mutex = { type = true },
  cond = {},
  rwlock = { slots = true },
  barrier = { parties = true },
  once = {},
  semaphore = { initial = true, binary = true },
}

local function size_of(kind, opts)
  if kind ~= "rwlock" and kind ~= "barrier" then return places.sizeof(kind) end
  return places.sizeof(kind, { slots = opts.slots, parties = opts.parties })
end

-- An object that holds nothing but the lock, and is closed with it.  place(map, offset, opts, owned) makes it.
local function named(kind, place, name, opts)
  local function misuse(what) error(("bad argument #2 to '%s' (%s)"):format(kind, what), 4) end
  if opts ~= nil and type(opts) ~= "table" then misuse("table expected, got " .. type(opts)) end
  local object, lock = {}, {}
  for k, v in pairs(opts or {}) do lock[k] = v end
  for _, k in ipairs(of_object) do object[k], lock[k] = lock[k], nil end
  for k in pairs(lock) do
    if not of_lock[kind][k] then misuse(("unknown option '%s'"):format(tostring(k))) end
  end
  if object.create then
    if kind == "barrier" and not lock.parties then misuse "option 'create' needs 'parties'" end
    local made = { create = true }
    for k, v in pairs(lock) do made[k] = v end
    object.size = size_of(kind, lock)
    function object.init(map) assert(place(map, 0, made)):close() end
    lock = { type = lock.type, binary = lock.binary, parties = lock.parties } -- the rest is for one that is made
  end
  local map, message, code = shm.open(name, object)
  if not map then return nil, (message:gsub("^shm%.open", "sync." .. kind)), code end
  local ok, new, why, errno = pcall(place, map, 0, lock, true)
  if not ok or not new then map:close() end
  if not ok then error(new, 0) end
  return new, why, errno
end

-- The name of the function in messages about arguments is that of the field through which it is called, and not
-- in a tail call.
local function through(...) return ... end

function sync.mutex(where, offset, opts)
  if type(where) == "string" then return named("mutex", places.mutex, where, offset) end
  return through(places.mutex(where, offset, opts))
end

function sync.cond(where, offset, opts)
  if type(where) == "string" then return named("cond", places.cond, where, offset) end
  return through(places.cond(where, offset, opts))
end

function sync.rwlock(where, offset, opts)
  if type(where) == "string" then return named("rwlock", places.rwlock, where, offset) end
  return through(places.rwlock(where, offset, opts))
end

function sync.barrier(where, offset, opts)
  if type(where) == "string" then return named("barrier", places.barrier, where, offset) end
  return through(places.barrier(where, offset, opts))
end

function sync.once(where, offset, opts)
  if type(where) == "string" then return named("once", places.once, where, offset) end
  return through(places.once(where, offset, opts))
end

function sync.semaphore(where, offset, opts)
  if type(where) == "string" then return named("semaphore", semaphore.at, where, offset) end
  return through(semaphore.at(where, offset, opts))
end

return sync
