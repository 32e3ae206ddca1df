-- The codec: there and back.
local ipc = require "lipc"
local codec = ipc.codec
local bytes = codec.encode { 1, 2.5, "three", { x = { true, false } }, ("z"):rep(300) }
local value = codec.decode(bytes)
assert(value[4].x[1] == true and #value[5] == 300)
assert(not pcall(codec.encode, { print }))
assert(select(3, codec.decode "\xc1") == "EBADMSG")
