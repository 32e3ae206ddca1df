---@meta lipc.adapter.luv

--- lipc under luv. libuv has one uv_poll for each descriptor: do not watch descriptors of lipc's objects
--- by uv.new_poll as well while coroutines wait for them.
---@class lipc.adapter.luv.module
local adapter = {}

--- Makes a coroutine that begins when uv.run does, and whose waits uv.run drives. A whole lipc loop runs
--- beside others so: `adapter.wrap(function() loop:run() end)`.
---@param fn function
---@param ... any its arguments
---@return thread
function adapter.wrap(fn, ...) end

--- Sets who gets the errors of these coroutines. Without it they are raised from luv's callback, and luv
--- prints them and ends the process. Returns nothing.
---@param fn? fun(err: any, traceback: string)
function adapter.onerror(fn) end

return adapter
