---@meta lipc.timer

--- Timers behind a descriptor, for pollers and loops. Linux. -- see timerfd_create(2)
---@class lipc.timer.module
local timer = {}

---@alias lipc.timer.clock "monotonic"|"realtime"|"boottime"

---@class lipc.timer.options
---@field clock? lipc.timer.clock "monotonic" (the default, that of ipc.now; stands still while the machine sleeps), "boottime" (does not), "realtime" (can be set)

--- Makes a timer, disarmed. -- see timerfd_create(2)
---@param opts? lipc.timer.options
---@return lipc.timer? timer, string? message, string? code "EMFILE", "ENFILE", "ENOMEM", "ENOSYS"
function timer.open(opts) end

--- Takes over a timerfd that somebody else made; it keeps its flags and is closed with the object. A descriptor that is not
--- open or no timer is misuse.
---@param fd integer
---@return lipc.timer timer
function timer.fromfd(fd) end

--- The time on a clock, for absolute timers. -- see clock_gettime(2)
---@param clock? lipc.timer.clock default "monotonic"
---@return number? seconds, string? message, string? code
function timer.now(clock) end

--- A timer. After a fork both processes share it.
---@class lipc.timer : lipc.object
local Timer = {}

---@class lipc.timer.set_options
---@field interval? number seconds from each expiration to the next; default 0: once
---@field absolute? boolean the first expiration is a time on the timer's clock
---@field cancel? boolean with absolute on "realtime": when somebody sets the clock, wait fails with "ECANCELED", once

--- Arms it, instead of what it was set to; expirations that nobody waited for are forgotten. -- see timerfd_settime(2)
---@param seconds number from now, or a time on its clock; what is over fires at once
---@param opts? lipc.timer.set_options
---@return lipc.timer? self, string? message, string? code
function Timer:set(seconds, opts) end

--- Disarms it; expirations that nobody waited for are forgotten.
---@return lipc.timer? self, string? message, string? code
function Timer:disarm() end

--- What it is set to. -- see timerfd_gettime(2)
---@return number? left seconds until it fires next, 0 when disarmed, number|string interval_or_message seconds, 0 for once, string? code
function Timer:get() end

--- Waits until it has fired, and says how often since the last wait or set.
---@param timeout? number seconds
---@return integer? expirations, string? message, string? code "ETIMEDOUT"; "ECANCELED" when the clock was set (cancel) or the timer closed meanwhile
function Timer:wait(timeout) end
