---@meta lipc.eventfd

--- Counters behind a descriptor: to wake another thread, process or loop. Linux, FreeBSD 13. -- see eventfd(2)
---@class lipc.eventfd.module
local eventfd = {}

---@class lipc.eventfd.options
---@field initial? integer 0 to 2^32-1, default 0
---@field semaphore? boolean take gives 1 at a time

--- Makes a counter. -- see eventfd(2)
---@param opts? lipc.eventfd.options
---@return lipc.eventfd? eventfd, string? message, string? code "EMFILE", "ENFILE", "ENOMEM", "ENOSYS"
function eventfd.open(opts) end

--- Takes over an eventfd that somebody else made; it keeps its flags and is closed with the object. A descriptor that is not
--- open or no eventfd is misuse. One in blocking mode keeps every deadline too.
---@param fd integer
---@return lipc.eventfd eventfd
function eventfd.fromfd(fd) end

--- A counter. After a fork both processes share it.
---@class lipc.eventfd : lipc.object
local Eventfd = {}

--- Adds n, waiting while the sum would pass 2^64-2. -- see eventfd(2), write
---@param n integer not negative
---@param timeout? number seconds
---@return true? ok, string? message, string? code
function Eventfd:add(n, timeout) end

--- Waits until the counter is not zero, then gives it and sets it to zero; a semaphore gives 1 and takes 1. A count above
--- 2^63-1 comes out negative, as unsigned integers do in Lua. -- see eventfd(2), read
---@param timeout? number seconds
---@return integer? count, string? message, string? code
function Eventfd:take(timeout) end
