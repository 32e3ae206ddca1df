--- lipc.shared: what processes share as Lua values: a value, an array, a record, a dictionary, each with its lock.
-- The objects are made in C (src/shared*.c); here is where they lie: in memory that forked children inherit, or
-- in a named object, which appears under its name when it is whole.
local lipc = require "lipc.core"
local core, mmap, view = lipc.shared(), lipc.mmap(), lipc.view()
local integer = require "lipc.integer"
local types = require "lipc.shared.types"

local shared = {}

-- Misuse is reported where the user's code is, not in here.
local function misuse(name, arg, problem)
  local level, where = 2, ""
  local info = debug.getinfo(level, "Sl")
  while info and (info.what == "C" or info.short_src:find "lipc/shared%.lua") do
    level = level + 1
    info = debug.getinfo(level, "Sl")
  end
  if info and info.currentline > 0 then where = ("%s:%d: "):format(info.short_src, info.currentline) end
  error(("%sbad argument #%d to '%s' (%s)"):format(where, arg, name, problem), 0)
end

-- Options that say where it lies, for every kind, and their types where shm.open does not see them (true: it does);
-- the argument that has them.
local placed = { name = "string", create = "boolean", exclusive = "boolean", mode = true, unlink = "boolean" }
local options_at = { value = 3, array = 3, struct = 2, dict = 1 }

-- A copy of the options: those of `placed` and the kind's own.
local function check(name, opts, own)
  local arg = options_at[name]
  if opts ~= nil and type(opts) ~= "table" then misuse(name, arg, "table expected, got " .. type(opts)) end
  local copy = {}
  for key, value in pairs(opts or copy) do
    if not placed[key] and not own[key] then misuse(name, arg, ("unknown option '%s'"):format(tostring(key))) end
    local expected = placed[key] or own[key]
    local whole = expected == "integer" and type(value) == "number" and math.tointeger(value)
    if expected ~= true and type(value) ~= expected and not whole then
      misuse(name, arg, ("option '%s': %s expected, got %s"):format(key, expected, type(value)))
    end
    copy[key] = value
  end
  for key in pairs(placed) do
    local needed = key == "create" and "name" or key ~= "name" and "create"
    if copy[key] and needed and not copy[needed] then
      misuse(name, arg, ("option '%s' needs '%s'"):format(key, needed))
    end
  end
  return copy
end

-- What a function of the core says of its arguments, which are those of shared.<name>, or (arg) are all in its
-- options.
local function ask(name, arg, fn, ...)
  local ok, value, message, code = pcall(fn, ...)
  if ok then return value, message, code end
  local n, problem = tostring(value):match "bad argument #(%d+) to '[^']*' %((.*)%)$"
  if not n then error(value, 0) end
  misuse(name, arg or math.tointeger(n), problem)
end

-- What shm.open, or mmap.anonymous, says, as the function of that name says it.
local function said(name, message, code)
  return nil, (message:gsub("^shm%.open", "shared." .. name):gsub("^mmap%.anonymous", "shared." .. name)), code
end

-- The mapping of a named object: what is there, or a new one that `make` has filled.
local function map_named(name, opts, size, make)
  local shm, arg = lipc.shm(), options_at[name]
  local map, message, code
  for _ = 1, 100 do -- another process may make or remove it meanwhile
    if not opts.exclusive then
      map, message, code = ask(name, arg, shm.open, opts.name, { mode = opts.mode }) -- to be right, if of no use
      if map then return map end
      if code ~= "ENOENT" or not opts.create then return said(name, message, code) end
    end
    map, message, code = ask(name, arg, shm.open, opts.name, {
      create = true, exclusive = true, size = size, mode = opts.mode, unlink = opts.unlink,
      init = function(fresh) assert(make(fresh)) end,
    })
    if map then return map end
    if code ~= "EEXIST" or opts.exclusive then break end
  end
  return said(name, message, code)
end

-- The object that `open` makes of the mapping, which goes with it; or the failure, and no mapping.  Zeros under a
-- name are somebody else's.
local function finish(map, open, ...)
  local object, message, code = open(map, ...)
  if object then return core.own(object) end
  map:close()
  if code == "ENOENT" then
    message, code = message:gsub(": [^:]* %(zeros, (.*): the option.*$", ": Protocol error (zeros are there, %1)"), "EPROTO"
  end
  return nil, message, code
end

-- By name, or for this process and its children.
local function place(name, opts, size, make, open, ...)
  local map, message, code
  if opts.name then
    map, message, code = map_named(name, opts, size, make)
  else
    map, message, code = mmap.anonymous(size)
    if not map then return said(name, message, code) end
    local made
    made, message, code = make(map)
    if not made then
      map:close()
      map = nil
    end
  end
  if not map then return nil, message, code end
  return finish(map, open, ...)
end

-- Whether something is made, so that what it is must be said.
local function makes(opts) return opts.create or not opts.name end

function shared.value(kind, initial, options)
  local opts = check("value", options, { capacity = "integer" })
  if not makes(opts) then
    if initial ~= nil then misuse("value", 2, "an initial value needs the option 'create'") end
    if opts.capacity and kind ~= "string" then misuse("value", 3, "the option 'capacity' is for strings") end
    return place("value", opts, nil, nil, core.value.open, kind, opts.capacity)
  end
  local size = ask("value", nil, core.value.size, kind, initial, opts.capacity)
  return place("value", opts, size, function(map) return core.value.make(map, kind, initial, opts.capacity) end,
    core.value.open, kind, opts.capacity)
end

function shared.dict(options)
  local opts = check("dict", options, { capacity = "integer", bytes = "integer" })
  if not makes(opts) then return place("dict", opts, nil, nil, core.dict.open, opts.capacity, opts.bytes) end
  local size = ask("dict", nil, core.dict.size, opts.capacity, opts.bytes)
  return place("dict", opts, size, function(map) return core.dict.make(map, opts.capacity, opts.bytes) end,
    core.dict.open, opts.capacity, opts.bytes)
end

-- ---- arrays and records: an object, and a view of its memory that shows the elements ----

-- open(map) of these, for an object of that name: `expected` are the bytes of a type, n how many; nil: whatever
-- is there.
local function open_elements(which, name, kind, expected, n)
  return function(map)
    local object, bytes, count, itemsize, offset = core[which].open(map)
    if not object then return nil, bytes, count end
    local op = "shared." .. which
    if expected and bytes ~= expected then
      local what, there, asked = types.differ(bytes, expected)
      if what then return core.other(op, name, what, there, asked) end
    end
    if n and n ~= count then return core.other(op, name, "number of elements", count, n) end
    local of, size, problem
    if bytes == expected then of, size = kind, select(2, types.of(kind)) else of, size = types.read(bytes) end
    if not of and not expected then problem = "its layout is not to be told from its header: say what it is"
    elseif expected and bytes ~= expected or size ~= itemsize or (which == "struct" and (count ~= 1 or type(of) == "string")) then
      problem = "its header makes no sense"
    end
    if problem then
      return nil, ("%s %s: Protocol error (%s)"):format(op, name, problem), "EPROTO"
    end
    local elements = view.of(map, of, offset, count)
    return core[which].show(object, which == "struct" and elements[1] or elements)
  end
end

local function elements(which, kind, n, opts)
  local bytes, itemsize = types.of(kind)
  if not bytes then misuse(which, 1, ("unknown type '%s': %s"):format(kind, types.EXPECTED)) end
  local open = open_elements(which, opts.name, kind, bytes, n)
  if not makes(opts) then return place(which, opts, nil, nil, open) end
  local size = ask(which, nil, core[which].size, bytes, n, itemsize)
  return place(which, opts, size, function(map) return core[which].make(map, bytes, n, itemsize) end, open)
end

local function is_layout(value)
  return type(value) == "userdata" and tostring(value):find "^lipc%.view%.layout" ~= nil
end

function shared.array(kind, n, options)
  if type(kind) ~= "string" and not is_layout(kind) then misuse("array", 1, "type or layout expected, got " .. type(kind)) end
  local opts = check("array", options, {})
  local count = integer(n)
  if (n ~= nil or makes(opts)) and not count then
    misuse("array", 2, "integer expected, got " .. (type(n) == "number" and "float" or type(n)))
  end
  return elements("array", kind, count, opts)
end

function shared.struct(fields, options)
  local layout = is_layout(fields) and fields or ask("struct", nil, view.layout, fields)
  for _, field in ipairs(layout:fields()) do
    if core.struct.methods[field.name] then
      misuse("struct", 1, ("field '%s' has the name of a method"):format(field.name))
    end
  end
  return elements("struct", layout, 1, check("struct", options, {}))
end

-- Of each kind: its header says which.
function shared.open(name)
  local map, message, code = ask("open", nil, lipc.shm().open, name)
  if not map then return said("open", message, code) end
  local kind = core.kind(map)
  if not kind then
    map:close()
    return nil, ("shared.open %s: Protocol error (nothing of lipc.shared is there)"):format(name), "EPROTO"
  end
  return finish(map, core[kind].show and open_elements(kind, name) or core[kind].open)
end

-- ---- update: read, call, write, under the lock ----

-- update(object, fn, timeout) or, of what has keys, update(object, key, fn, timeout).  One that died with the lock is told
-- to fn, which sees to it: an update is a step by itself.
local function updater(methods, change, keyed)
  local with, consistent = methods.with, methods.consistent
  return function(self, key, fn, timeout)
    if not keyed then key, fn, timeout = nil, key, fn end
    if keyed and type(key) ~= "string" then misuse("update", 1, "string expected, got " .. type(key)) end
    if type(fn) ~= "function" then misuse("update", keyed and 2 or 1, "function expected, got " .. type(fn)) end
    local value, message, code = with(self, function(_, died)
      local new, problem, reason = change(self, key, fn, died)
      if died then consistent(self) end
      return new, problem, reason
    end, timeout)
    if code == "EDEADLK" then value, message, code = change(self, key, fn) end -- this coroutine holds it already
    if message == nil then return value end
    return value, message:gsub("^([%w.]+):%a+", "%1:update", 1), code
  end
end

-- Stores what the function gave: one that cannot be stored is its mistake.
local function store(arg, set, ...)
  local ok, stored, message, code = pcall(set, ...)
  if ok then return stored, message, code end
  local problem = tostring(stored):match "bad argument #%d+ to '[^']*' %((.*)%)$"
  if not problem then error(stored, 0) end
  misuse("update", arg, "its result: " .. problem)
end

local value = core.value.methods
local get, set = value.get, value.set

value.update = updater(value, function(self, _, fn, died)
  local old, message, code = get(self)
  if old == nil then return nil, message, code end
  local new = fn(old, died)
  local ok
  ok, message, code = store(1, set, self, new)
  if not ok then return nil, message, code end
  return new
end)

local dict = core.dict.methods

dict.update = updater(dict, function(self, key, fn, died)
  local old, message, code = dict.get(self, key)
  if message then return nil, message, code end
  local new = fn(old, died)
  local ok
  if new == nil then ok, message, code = dict.delete(self, key) else ok, message, code = store(2, dict.set, self, key, new) end
  if ok == nil then return nil, message, code end
  return new
end, true)

return shared
