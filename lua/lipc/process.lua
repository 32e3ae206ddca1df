--- Child processes.
local core = require "lipc.core"
return core.process(core.pipe().open)
