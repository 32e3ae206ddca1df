-- Loading the module, with every mechanism it has.
local core = require "lipc.core"
for _, open in pairs(core) do
  if type(open) == "function" then open() end
end
require "lipc"
