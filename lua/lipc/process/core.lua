--- Internal: the part of ipc.process that is written in C, given what it needs to make pipes.
local core = require "lipc.core"
return core.process(core.pipe().open)
