--- Internal: what goes between a pool and its workers.  A frame is a head of fixed size and a body, most often a list
-- of values.  Both ends are the same program on the same machine: lists of numbers, strings, booleans and nil go as C
-- packs them, what has tables in it by lipc.codec.
local native = require("lipc.core").pool()
local msgpack = require "lipc.codec.msgpack"

local pack, unpack, move = string.pack, string.unpack, table.move

-- body's length, number of the chunk, number of the function, items, type, layout of the list, seconds
local HEAD = "<I8I8I8I8c1c1d"
local PLACE = "<I8I8"

local frame = { SIZE = string.packsize(HEAD), room = native.room }

function frame.head(length, chunk, fn, n, what, layout, seconds)
  return pack(HEAD, length, chunk, fn, n, what, layout, seconds)
end

function frame.parse(head)
  return unpack(HEAD, head)
end

-- list[from] to list[from + n - 1] as bytes: layout, bytes.  Raises for what cannot be serialised.
function frame.pack_list(list, from, n)
  if getmetatable(list) == nil then
    local first = list[from]
    if n == 1 and type(first) == "string" then return "s", first end -- it may be large: no copy
    local bytes = native.pack(list, from, n)
    if bytes then return "l", bytes end
  end
  return "m", msgpack.encode(move(list, from, from + n - 1, 1, {}))
end

-- The n values in bytes from position at to stop go to list[from] and on.  Raises when the bytes are bad.
function frame.unpack_list(layout, bytes, at, stop, list, from, n)
  if layout == "l" then
    if not native.unpack(bytes, at, stop, list, from, n) then error("bad bytes", 0) end
  elseif layout == "s" and n == 1 then
    list[from] = bytes:sub(at, stop)
  else
    local t, message = msgpack.decode(bytes:sub(at, stop))
    if layout ~= "m" or type(t) ~= "table" then error(message or "bad bytes", 0) end
    move(t, 1, n, from, list)
  end
end

-- Items that the worker has in its memory already: of call number key, from that one on.
function frame.refer(key, from)
  return "i", pack(PLACE, key, from)
end

function frame.referred(bytes, at)
  return unpack(PLACE, bytes, at)
end

return frame
