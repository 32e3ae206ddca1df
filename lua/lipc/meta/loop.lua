---@meta lipc.loop

--- Coroutines that wait side by side. A task is a coroutine of a loop; any operation of lipc that waits
--- in it suspends this task alone. Where the loop cannot be reached (in a coroutine that is not a task,
--- in callbacks of sort and gsub, in require, tostring, finalisers), a wait with a timeout blocks the
--- thread and one for ever raises "cannot wait here".
---@class lipc.loop.module
local loop = {}

--- Makes a loop.
---@param opts? lipc.loop.options
---@return lipc.loop? loop, string? message, string? code
function loop.new(opts) end

---@class lipc.loop.options
---@field onerror? fun(err: any, traceback: string, task: lipc.loop.task) as lipc.loop:onerror
---@field backend? "epoll"|"poll" as that of ipc.poll.open

--- The loop and the task in which this is called.
---@return lipc.loop? loop nil: in no task
---@return lipc.loop.task? task
function loop.current() end

--- As coroutine.wrap, but waits inside the generator suspend the task that calls it, instead of being
--- refused.
---@param fn function
---@return function
function loop.wrapgen(fn) end

--- Whether an error is that of a cancelled task.
---@param err any
---@return boolean cancelled
---@return any reason what was given to cancel
function loop.cancelled(err) end

--- Tasks, what they wait for, and their deadlines. After fork the child's is empty and does not run.
--- It can be polled in another loop as long as `backend` has a descriptor: wait for `pollfd()` or
--- `timeout()`, then `step(0)`; or just call `run` in a coroutine of that other loop.
---@class lipc.loop
local Loop = {}

--- Makes a task. It begins in the next turn of the loop.
---@param fn function
---@param ... any its arguments
---@return lipc.loop.task
function Loop:wrap(fn, ...) end

--- Runs until all tasks have ended, or `stop`. An error in a task that nobody joins is raised here at
--- the end of the turn, strings with the task's traceback; the other tasks stay, run again to go on.
---@param ... function these become tasks first
---@return boolean done false: stopped
function Loop:run(...) end

--- One turn: waits until a task can go on, but no longer than that, and lets each that can run until its
--- next wait. Errors as in `run`.
---@param timeout? number seconds; default: for ever
---@return boolean more whether there are tasks left
function Loop:step(timeout) end

--- Makes `run` return after this turn. The tasks stay.
---@return lipc.loop self
function Loop:stop() end

--- The same as ipc.sleep.
---@param seconds number
---@return true? ok, string? message, string? code
function Loop:sleep(seconds) end

--- Sets who gets the errors of tasks that nobody joins.
---@param fn? fun(err: any, traceback: string, task: lipc.loop.task) nil: run and step raise them
---@return lipc.loop self
function Loop:onerror(fn) end

--- The descriptor that becomes readable when something waited for is ready.
---@return integer? fd, string? message, string? code
function Loop:pollfd() end

--- What to wait for on it.
---@return "r"
function Loop:events() end

--- How long a host may wait for `pollfd` before it has to call `step`.
---@return number? seconds nil: for ever
function Loop:timeout() end

--- Closes it. Its tasks end where they wait: their variables are closed, without waiting.
---@return true? ok, string? message, string? code
function Loop:close() end

---@class lipc.loop.task
local Task = {}

--- Cancels it: the wait in which it stands (or its next one) raises an error that `loop.cancelled` knows.
--- A task that has not begun ends at once; one that cancels itself gets the error from here.
---@param reason? any
---@return boolean cancelled false: it had ended already
function Task:cancel(reason) end

--- Waits until it has ended: in a task of the same loop by suspending that, elsewhere by running the loop,
--- which raises the errors of other tasks as `step` does.
---@param timeout? number seconds; default: for ever
---@return true? ok
---@return any ... its results; or the error (of a cancelled one the text), "ERROR", "ECANCELED" or
--- "ETIMEDOUT", and the traceback of an error
function Task:join(timeout) end

--- How it stands.
---@return "ready"|"running"|"waiting"|"done"|"failed"|"cancelled"
function Task:status() end

return loop
