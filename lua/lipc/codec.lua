--- ipc.codec: Lua values as bytes and back, in formats that have names.  MessagePack is the one that is always there;
-- others are registered.
local codec = {}

local builtin = { msgpack = "lipc.codec.msgpack" } -- loaded when first named
local registered = {}

codec.default = "msgpack"

function codec.names()
  local list = {}
  for name in pairs(builtin) do list[#list + 1] = name end
  for name in pairs(registered) do list[#list + 1] = name end
  table.sort(list)
  return list
end

local function find(name, arg, caller)
  if name == nil then name = codec.default end
  if type(name) ~= "string" then
    error(("bad argument #%d to '%s' (string expected, got %s)"):format(arg, caller, type(name)), 3)
  end
  local found = registered[name] or builtin[name] and require(builtin[name])
  if not found then
    error(("bad argument #%d to '%s' (no codec '%s'; there are: %s)"):format(arg, caller, name,
      table.concat(codec.names(), ", ")), 3)
  end
  return found
end

function codec.get(name)
  return find(name, 1, "get")
end

function codec.encode(value, name)
  return find(name, 2, "encode").encode(value)
end

function codec.decode(bytes, name)
  return find(name, 2, "decode").decode(bytes)
end

function codec.register(name, new)
  if type(name) ~= "string" or name == "" then
    error(("bad argument #1 to 'register' (name expected, got %s)"):format(type(name)), 2)
  end
  if builtin[name] or registered[name] then
    error(("bad argument #1 to 'register' (there is a codec '%s' already)"):format(name), 2)
  end
  if type(new) ~= "table" then
    error(("bad argument #2 to 'register' (table expected, got %s)"):format(type(new)), 2)
  end
  for _, field in ipairs { "encode", "decode" } do
    if type(new[field]) ~= "function" then
      error(("bad argument #2 to 'register' (field '%s': function expected, got %s)"):format(field, type(new[field])), 2)
    end
  end
  registered[name] = new
  return new
end

return codec
