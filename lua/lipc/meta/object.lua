---@meta lipc.object

--- What all objects have. Those that stand for what has no descriptor (semaphores, what is System V's, ranges of files) can be
--- closed and have a timeout; `fd`, `pollfd` and `detach` are misuse of them. `unlink = true`, where there is that option,
--- is for close and collection: a process that is killed leaves what it made. So does one that ends by `os.exit(0)`, which collects
--- nothing: close before it, or call `os.exit(0, true)`, which does.
---@class lipc.object
local Object = {}

--- Closes it; a second time does nothing. Whoever waits on it gets "ECANCELED". The descriptor is
--- gone in any case, also when an error is reported. `local x <close>` and collection do the same
--- without waiting. -- see close(2)
---@return true? ok, string? message, string? code
function Object:close() end

--- Gives the descriptor away: the object is closed, the descriptor stays open and is the caller's.
---@return integer fd
function Object:detach() end

--- The descriptor. It stays the object's: do not close it.
---@return integer fd
function Object:fd() end

--- The same, by the name under which pollers of other libraries (cqueues) ask.
---@return integer fd
function Object:pollfd() end

--- What its last wait asked for, as such pollers want to know it.
---@return "r"|"w"|"rw" events
function Object:events() end

--- The poller's question, not the getter of settimeout: 0 while what was read ahead waits to be taken.
---@return number? seconds
function Object:timeout() end

--- Sets the timeout that its operations use when they are given none; initially for ever.
---@generic T
---@param self T
---@param seconds? number nil: for ever
---@return T self
function Object:settimeout(seconds) end

--- What the kernel knows about the descriptor. -- see fstat(2)
---@return lipc.stat? stat, string? message, string? code
function Object:stat() end

---@class lipc.stat
---@field type "fifo"|"socket"|"file"|"directory"|"char device"|"block device"|"other"
---@field dev integer
---@field ino integer
---@field mode integer permission bits
---@field size integer bytes
