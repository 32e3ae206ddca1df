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

-- Misuse is reported where sync.<kind> was called: at `level`, counted from who calls this.
local function misuse(level, kind, arg, problem)
  error(("bad argument #%d to '%s' (%s)"):format(arg, kind, problem), level + 1)
end

-- What the core says of its arguments is said of those of sync.<kind>, of which there are `last`.
local function again(level, kind, last, err)
  local arg, problem = tostring(err):match "bad argument #(%d+) to '[^']*' %((.*)%)$"
  if not arg then error(err, 0) end
  misuse(level + 1, kind, math.min(math.tointeger(arg), last), problem)
end

local function ask(level, kind, last, fn, ...)
  local ok, value, message, code = pcall(fn, ...)
  if not ok then again(level + 1, kind, last, value) end
  return value, message, code
end

-- An object that holds nothing but the lock, and is closed with it.  place(map, offset, opts, owned) makes it.
local function named(kind, place, name, opts)
  if opts ~= nil and type(opts) ~= "table" then misuse(3, kind, 2, "table expected, got " .. type(opts)) end
  local object, lock, made = {}, {}, nil
  for k, v in pairs(opts or {}) do lock[k] = v end
  for _, k in ipairs(of_object) do object[k], lock[k] = lock[k], nil end
  for k in pairs(lock) do
    if not of_lock[kind][k] then misuse(3, kind, 2, ("unknown option '%s'"):format(tostring(k))) end
  end
  if object.create then
    if kind == "barrier" and not lock.parties then misuse(3, kind, 2, "option 'create' needs 'parties'") end
    made = { create = true }
    for k, v in pairs(lock) do made[k] = v end
    object.size = ask(3, kind, 2, size_of, kind, lock)
    function object.init(map) assert(place(map, 0, made)):close() end
    lock.initial = nil -- for one that is made
  end
  local map, message, code = ask(3, kind, 2, shm.open, name, object)
  if code == "EINVAL" and object.create then -- smaller than what would be made: see what it is
    local there = shm.open(name)
    if there then map = there end
  end
  if not map then return nil, (message:gsub("^shm%.open", "sync." .. kind)), code end
  if made and not object.exclusive then map:resize() end -- or larger
  local ok, new, why, errno = pcall(place, map, 0, lock, true)
  if ok and made and errno == "ENOENT" then ok, new, why, errno = pcall(place, map, 0, made, true) end -- somebody's zeros
  if ok and new then return new end
  local size = #map
  map:close()
  if ok then return nil, why, errno end
  if not tostring(new):find("out of bounds", 1, true) then again(3, kind, 2, new) end
  return nil, ("sync.%s %s: Protocol error (its %d bytes are too few for a %s)"):format(kind, name, size, kind), "EPROTO"
end

-- sync.<kind>(name, opts) or sync.<kind>(mapping, offset, opts)
local function maker(kind, place)
  return function(where, offset, opts)
    local lock, message, code
    if type(where) == "string" then
      lock, message, code = named(kind, place, where, offset)
    elseif type(where) == "userdata" then
      lock, message, code = ask(2, kind, 3, place, where, offset, opts)
    else
      misuse(2, kind, 1, "name or mapping expected, got " .. type(where))
    end
    if lock then return lock end
    return nil, message, code
  end
end

for _, kind in ipairs { "mutex", "cond", "rwlock", "barrier", "once" } do sync[kind] = maker(kind, places[kind]) end
sync.semaphore = maker("semaphore", semaphore.at)

return sync
