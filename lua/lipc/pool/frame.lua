--- Internal: what goes between a pool and its workers.  A frame is a head of fixed size and a body, most often a list
-- of values.  Lists of integers, of floats and of strings go as C would write them, many times faster; whatever else
-- goes through lipc.codec.  Both ends are the same program on the same machine.
local msgpack = require "lipc.codec.msgpack"

local pack, unpack, move, mathtype = string.pack, string.unpack, table.move, math.type

-- body's length, number of the chunk, number of the function, items, type, layout of the list, seconds
local HEAD = "<I8I8I8I8c1c1d"
local SIZE = string.packsize(HEAD)

local BLOCK = 100 -- values in one call of string.pack

local formats = {} -- layout -> count -> format
for _, layout in ipairs { "j", "n", "s" } do formats[layout] = { [BLOCK] = layout:rep(BLOCK) } end

local function format_of(layout, n)
  local f = formats[layout][n]
  if not f then
    f = layout:rep(n)
    formats[layout][n] = f
  end
  return f
end

local layouts = { integer = "j", float = "n", string = "s" }

local function kind(v)
  return mathtype(v) or type(v)
end

-- list[from] to list[from + n - 1] as bytes: layout, bytes.  Raises for what cannot be serialised.
local function pack_list(list, from, n)
  local first = n > 0 and kind(list[from])
  local layout = layouts[first]
  if layout == "s" then
    for i = from, from + n - 1 do
      if type(list[i]) ~= "string" then
        layout = nil
        break
      end
    end
  elseif layout then
    for i = from, from + n - 1 do
      if mathtype(list[i]) ~= first then
        layout = nil
        break
      end
    end
  end
  if not layout then
    local copy = move(list, from, from + n - 1, 1, {})
    return "m", msgpack.encode(copy)
  end
  if n == 1 then return layout, pack(layout, list[from]) end
  local out = {}
  for i = 0, n - 1, BLOCK do
    local count = n - i < BLOCK and n - i or BLOCK
    out[#out + 1] = pack(format_of(layout, count), table.unpack(list, from + i, from + i + count - 1))
  end
  return layout, table.concat(out)
end

-- The n values in bytes from position at to stop go to list[from] and on.  Raises when the bytes are bad.
local function unpack_list(layout, bytes, at, stop, list, from, n)
  if layout == "m" then
    local t, message = msgpack.decode(bytes:sub(at, stop))
    if type(t) ~= "table" then error(message or "a list expected", 0) end
    move(t, 1, n, from, list)
    return list
  end
  if not formats[layout] then error("unknown layout", 0) end
  for i = 0, n - 1, BLOCK do
    local count = n - i < BLOCK and n - i or BLOCK
    local block = { unpack(format_of(layout, count), bytes, at) }
    at = block[count + 1]
    move(block, 1, count, from + i, list)
  end
  if at ~= stop + 1 then error("a list of another length", 0) end
  return list
end

local function head(length, chunk, fn, n, what, layout, seconds)
  return pack(HEAD, length, chunk, fn, n, what, layout, seconds)
end

local function parse(bytes, at)
  return unpack(HEAD, bytes, at)
end

return {
  SIZE = SIZE, head = head, parse = parse, pack_list = pack_list, unpack_list = unpack_list,
}
