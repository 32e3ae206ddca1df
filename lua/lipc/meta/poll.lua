---@meta lipc.poll

--- Sets of descriptors that are waited for together: epoll(7), where there is one, else poll(2). The
--- loop stands on it; scripts with a loop of their own may use it directly.
---@class lipc.poll.module
local poll = {}

--- Makes an empty set. -- see epoll_create1(2)
---@param opts? lipc.poll.options
---@return lipc.poller? poller, string? message, string? code
function poll.open(opts) end

---@class lipc.poll.options
---@field backend? "epoll"|"poll" default: the best that the system has

--- What can be added to a set. An lipc.loop, or whatever has a method `pollfd` that gives its descriptor, is ready when
--- its `step(0)` is due; but it may be due without that, by the time: wait no longer than its `timeout()`.
---@alias lipc.pollable lipc.object|lipc.loop|file*|integer|{ pollfd: fun(self): integer }

--- A set of descriptors, level-triggered: what is not dealt with is reported again. lipc objects leave
--- it when they are closed; take descriptors, files and loops out before that. What a stream has read
--- ahead the kernel does not know: read until a read would wait. After fork the child has a set of its
--- own with the same members.
---@class lipc.poller : lipc.object
local Poller = {}

--- Adds a member, or changes what is wanted of it; the set keeps it alive. Costs no system call when
--- nothing changes. Regular files are taken and count as always ready. -- see epoll_ctl(2)
---@param what lipc.pollable
---@param events "r"|"w"|"rw"
---@return true? ok, string? message, string? code "EBADF": not an open descriptor
function Poller:add(what, events) end

--- Changes what is wanted of a member. -- see epoll_ctl(2)
---@param what lipc.pollable
---@param events "r"|"w"|"rw"
---@return true? ok, string? message, string? code "ENOENT": it is no member
function Poller:modify(what, events) end

--- Takes a member out; what is no member, or closed already, is no error.
---@param what lipc.pollable
---@return true
function Poller:remove(what) end

--- Waits until members are ready; `ready(1)` to `ready(n)` say which. At most 256 at a time; the others
--- come with the next wait. -- see epoll_wait(2), poll(2)
---@param timeout? number seconds
---@return integer? n, string? message, string? code n is 0 when `wake` ended it
function Poller:wait(timeout) end

--- Ends the wait that is under way (the caller is a signal callback, then, or another coroutine), else
--- the next one: it returns 0.
---@return true
function Poller:wake() end

--- What the last wait found. A hang-up or an error counts as ready in every direction asked for.
---@param i integer 1 to what wait returned
---@return lipc.pollable? what what was added; nil: it was removed or closed since, or i is too large
---@return "r"|"w"|"rw"|nil events
function Poller:ready(i) end

--- The descriptor, which is readable when a member is ready: a set can be a member of another, or of a
--- host's. The backend "poll" has none (misuse).
---@return integer? fd, string? message, string? code
function Poller:fd() end

--- The same, by the name under which pollers of other libraries ask.
---@return integer? fd, string? message, string? code
function Poller:pollfd() end

--- What it is made of and how many members it has.
---@return {backend: "epoll"|"poll", count: integer}
function Poller:stat() end

return poll
