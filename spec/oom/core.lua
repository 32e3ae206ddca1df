-- Loading the module, with every mechanism it has.
local ipc = require "lipc.core"
assert(type(ipc) == "table")
