-- Loading the module, with every mechanism it has.
local core = require "lipc.core"
local ipc = require "lipc"
for name in pairs(core) do
  if name ~= "wait" and name ~= "records" then assert(ipc[name]) end -- these are lipc's own
end
