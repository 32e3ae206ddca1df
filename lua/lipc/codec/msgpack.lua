--- Internal: the codec "msgpack", by lua-messagepack: scalars, strings and headers are its work; tables are gone
-- through here, where the depth has a limit and keys are told apart as Lua does.
-- https://github.com/msgpack/msgpack/blob/master/spec.md
local byte, unpack = string.byte, string.unpack

local MAX_DEPTH = 1000

-- ---- the library ----

-- Debian has its build for Lua 5.3, which is good for 5.4, where 5.4 does not look for it.
local DEBIAN = "/usr/share/lua/5.3/?.lua"

-- Its options and packers are fields of the module, changed for everyone who requires it: so this is a
-- second copy of it, of our own, found in the way of `require` but not kept in package.loaded.
local function load_library()
  for _, search in ipairs(package.searchers or {}) do
    local loader, extra = search "MessagePack"
    if type(loader) == "function" then return loader("MessagePack", extra) end
  end
  local path = package.searchpath("MessagePack", DEBIAN)
  if not path then
    error("lipc.codec needs the Lua module MessagePack (Debian package lua-messagepack, "
      .. "or `luarocks install lua-messagepack`)", 0)
  end
  local loader, message = loadfile(path)
  if not loader then error(message, 0) end
  return loader("MessagePack", path)
end

local library = load_library()
if type(library) ~= "table" or not library.full64bits then
  error("lipc.codec: the module MessagePack that was found is not lua-messagepack for 64-bit Lua", 0)
end
local packers, unpack_scalar = library.packers, library.unpack_cursor

-- ---- encoding ----

local BAD = {} -- what a value that has no bytes raises: which one is found out then
local depth

local function refuse() error(BAD, 0) end
packers["function"], packers["userdata"], packers["thread"] = refuse, refuse, refuse

library.set_number "double"
library.set_integer "unsigned"
library.set_string "string"

-- What is not text in UTF-8 goes as binary: other languages keep the two apart and refuse bad text.
local text, binary, is_text = packers.string, packers.binary, utf8.len
function packers.string(buffer, s)
  if is_text(s) then return text(buffer, s) end
  return binary(buffer, s)
end

-- What the table itself holds, whatever its metatable makes of it.
local function plain(t)
  local copy = {}
  for k, v in next, t do copy[k] = v end
  return copy
end

-- An array when the keys are 1 to n, else a map.
function packers.table(buffer, t)
  depth = depth + 1
  if depth > MAX_DEPTH then error(BAD, 0) end
  if getmetatable(t) ~= nil then t = plain(t) end
  local n = 0
  for _ in next, t do n = n + 1 end
  local layout = packers.array
  for i = 1, n do
    if t[i] == nil then
      layout = packers.map
      break
    end
  end
  layout(buffer, t, n)
  depth = depth - 1
end

local function key_name(path, key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" then return path .. "." .. key end
  return ("%s[%s]"):format(path, type(key) == "string" and ("%q"):format(key) or tostring(key))
end

-- Where in the value lies what has no bytes: "value.items[3].callback: function", or nil.
local function find_bad(value, path, above, level)
  local kind = type(value)
  if kind == "function" or kind == "userdata" or kind == "thread" then return path .. ": " .. kind end
  if kind ~= "table" then return nil end
  if above[value] then return path .. ": a table that contains itself" end
  if level > MAX_DEPTH then return (path:match "^[^.%[]*" .. ": more than %d tables inside each other"):format(MAX_DEPTH) end
  above[value] = true
  for k, v in next, value do
    local here = key_name(path, k)
    local bad = find_bad(k, here .. " (key)", above, level + 1) or find_bad(v, here, above, level + 1)
    if bad then return bad end
  end
  above[value] = nil
  return nil
end

-- Why a value cannot be serialised, or nil.
local function why(value, name)
  return find_bad(value, name, {}, 1)
end

local function encode(value)
  depth = 0
  local ok, bytes = pcall(library.pack, value)
  if ok then return bytes end
  if bytes ~= BAD then error(bytes, 0) end
  error(("bad argument #1 to 'encode' (%s cannot be serialised)"):format(why(value, "value") or "value"), 2)
end

-- ---- decoding ----

local function fail(format, ...) error({ format:format(...) }, 0) end

local function underflow() fail "bytes are missing" end
function library.build_ext(tag) fail("extension type %d is not known", tag) end

local value

local function array(c, n, level)
  if level >= MAX_DEPTH then fail("more than %d tables inside each other", MAX_DEPTH) end
  if n > c.j - c.i + 1 then underflow() end -- each takes a byte at least
  local t = {}
  for i = 1, n do t[i] = value(c, level + 1) end
  return t
end

local function map(c, n, level)
  if level >= MAX_DEPTH then fail("more than %d tables inside each other", MAX_DEPTH) end
  if 2 * n > c.j - c.i + 1 then underflow() end
  local t = {}
  for _ = 1, n do
    local k = value(c, level + 1)
    if k == nil then fail "nil as a key" end
    if k ~= k then fail "NaN as a key" end
    t[k] = value(c, level + 1)
  end
  return t
end

-- The count of 2 or 4 bytes that follows.
local function count(c, format, size)
  local at = c.i + 1
  if at + size - 1 > c.j then underflow() end
  c.i = at + size
  return (unpack(format, c.s, at))
end

function value(c, level)
  local b = byte(c.s, c.i)
  if not b then underflow() end
  if b < 0x80 then
    c.i = c.i + 1
    return b
  elseif b < 0x90 then
    c.i = c.i + 1
    return map(c, b & 0x0F, level)
  elseif b < 0xA0 then
    c.i = c.i + 1
    return array(c, b & 0x0F, level)
  elseif b == 0xDC then
    return array(c, count(c, ">I2", 2), level)
  elseif b == 0xDD then
    return array(c, count(c, ">I4", 4), level)
  elseif b == 0xDE then
    return map(c, count(c, ">I2", 2), level)
  elseif b == 0xDF then
    return map(c, count(c, ">I4", 4), level)
  elseif b == 0xC1 then
    fail "byte 0xc1 is never used"
  end
  local v = unpack_scalar(c)
  if b == 0xCF and v < 0 then fail "an integer above 2^63-1" end
  return v
end

local function whole(bytes)
  local c = { s = bytes, i = 1, j = #bytes, underflow = underflow }
  local v = value(c, 0)
  if c.i <= c.j then fail("%d bytes too many", c.j - c.i + 1) end
  return v
end

local function decode(bytes)
  if type(bytes) ~= "string" then
    error(("bad argument #1 to 'decode' (string expected, got %s)"):format(type(bytes)), 2)
  end
  local ok, v = pcall(whole, bytes)
  if ok then return v end
  if type(v) ~= "table" then error(v, 0) end
  return nil, "codec.decode msgpack: " .. v[1], "EBADMSG"
end

return { name = "msgpack", encode = encode, decode = decode, why = why }
