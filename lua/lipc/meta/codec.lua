---@meta lipc.codec

--- Lua values as bytes and back. Codecs have names; "msgpack" is always there, more can be registered.
---
--- "msgpack" is MessagePack by lua-messagepack (Debian package lua-messagepack, rock lua-messagepack): nil, booleans,
--- numbers, strings and tables of these come back equal. Integers stay integers and floats stay floats (1 and 1.0, infinities,
--- NaN, math.mininteger); strings may hold any bytes, and go as text when they are UTF-8, as binary when not; keys may be
--- of any kind that values are. A table whose keys are 1 to n goes as an array, any other, with holes too, as a map.
--- Metatables are not looked at and do not come back; a table that is reached twice comes back as two. What cannot be
--- serialised is misuse, named by its place: "value.items[3].callback: function"; so are a table that contains itself and
--- more than 1000 tables inside each other. Extension types are refused. Decoding trusts nothing: the bytes may be anybody's.
--- -- see https://msgpack.org
---@class lipc.codec.module
---@field default string "msgpack", which is used where no name is given
local codec = {}

--- The codec of that name; an unknown one is misuse.
---@param name? string
---@return lipc.codec.codec codec
function codec.get(name) end

--- A value as bytes.
---@param value any
---@param name? string of the codec
---@return string bytes
function codec.encode(value, name) end

--- The value in the bytes. A nil that was encoded comes without a message.
---@param bytes string
---@param name? string of the codec
---@return any value, string? message, string? code "EBADMSG"
function codec.decode(bytes, name) end

--- Adds a codec, for all of this Lua state. A name that is taken is misuse.
---@param name string
---@param new lipc.codec.codec
---@return lipc.codec.codec new
function codec.register(name, new) end

--- The names that there are, sorted.
---@return string[] names
function codec.names() end

---@class lipc.codec.codec
---@field encode fun(value: any): string raises for what cannot be serialised
---@field decode fun(bytes: string): any, string?, string? value; or nil, message, code

return codec
