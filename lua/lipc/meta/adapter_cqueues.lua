---@meta lipc.adapter.cqueues

--- lipc under cqueues.
---@class lipc.adapter.cqueues.module
local adapter = {}

--- As cq:wrap, and waits of lipc in that coroutine suspend it in its controller. A whole lipc loop runs
--- beside others so: `adapter.wrap(cq, function() loop:run() end)`.
---@param cq userdata what cqueues.new returned
---@param fn function
---@param ... any its arguments
---@return userdata cq
function adapter.wrap(cq, fn, ...) end

return adapter
