---@meta lipc.pool

--- A function called with many items in several processes.
---
--- ```lua
--- local pool <close> = ipc.pool { workers = 4 }
--- local squares = assert(pool:map(function(x) return x * x end, { 1, 2, 3 }))
--- ```
---
--- Workers are forked when a call needs them: they have the function, with what it sees from outside, as it is at the
--- moment of the call, and the list too, so that items may be whatever Lua has. They stay for later calls. A function
--- they know is not sent again: when the variables it uses (and those of local functions it calls) have other values than
--- then, new workers are forked; what changed inside of tables and in globals they see only with `fresh = true`. Items for
--- workers that stay, arguments, and all results go through pipes: nil, booleans, numbers, strings and tables of these
--- (see lipc.codec); what cannot be sent is named, "item[3].callback: function"; items of a list that cannot are given to new workers instead.
---
--- An item fails by an error, or by `nil, message[, code]`. A worker that dies is replaced, and the item that it worked at
--- is run again, `retry` times at most: an item may run twice, its result counts once. With `retry = 0` nothing runs
--- twice. When a call is over, nothing of it runs any more: workers that still do are killed.
---
--- Work goes on while some coroutine waits in a call of the pool; under a loop only that one waits. A forked child that
--- uses the pool has workers of its own. Workers have /dev/null as standard input, and die with the thread that started them.
--- What they write to standard output is flushed before their results are sent.
---@class lipc.pool.module
---@overload fun(options?: lipc.pool.options): lipc.pool
local pool = {}

--- Makes a pool; `ipc.pool{...}` is the same. No process is started yet.
---@param options? lipc.pool.options
---@return lipc.pool pool
function pool.open(options) end

--- The number of processors that this process may use. -- see sched_setaffinity(2)
---@return integer n
function pool.processors() end

---@class lipc.pool.options
---@field workers? integer default: the number of processors
---@field start? "fork"|"spawn" "fork", the default, needs a process with a single thread ("ENOTSUP" else); "spawn": each worker is a new Lua interpreter, functions are named fields of `module`, and items are sent
---@field module? string name for `require`: a table whose functions can be given to map, imap, apply and submit by name; package.path and package.cpath are those of this state
---@field lua? string the interpreter for "spawn"; default: the one that runs this script, as far as `arg` tells, else lua5.4
---@field init? fun(number: integer)|string called first in each worker (a name: of the module); if it fails, as an item does, so do the calls
---@field retry? integer how often an item whose worker died is run again; default 1
---@field chunk? integer items that a worker is given at once; default: as many as take about 10 ms, and one with `retry = 0`, where otherwise all of a dead worker's chunk fail
---@field max_pending? integer items taken from an iterator, or not yet taken by the consumer of imap; default: a few chunks for each worker

---@class lipc.pool.call
---@field timeout? number seconds for the whole; default as settimeout says
---@field chunk? integer
---@field retry? integer
---@field max_pending? integer
---@field fresh? boolean fork new workers, which see everything as it is now
---@field errors? "stop"|"collect" "collect": go on after an item has failed
---@field progress? fun(done: integer, total: integer?) called by the coroutine that called, as items are done; an lipc.progress.bar, which is closed in the end

---@class lipc.pool.imap : lipc.pool.call
---@field ordered? boolean false: results as they come

--- What became of an item. tostring gives the message, and the traceback in the worker.
---@class lipc.pool.failure
---@field item? integer its place
---@field message string "pool.map item 3: work.lua:7: no such luck"
---@field code string "ERROR"; what the function gave with nil and a message; or of a worker that died, the name of the signal or "EXIT"
---@field error any the error, a table too if it can be serialised
---@field traceback? string

---@class lipc.pool
local Pool = {}

--- Calls fn with each item and gives the (first) results, in order. A result may be nil. Items come from a list, or from a
--- function that is called until it gives nil.
---@param fn function|string
---@param list any[]|fun(): any
---@param options? lipc.pool.call|number or the timeout
---@return any[]? results
---@return string|table<integer, lipc.pool.failure>|nil message with errors = "collect": the failures by item
---@return string? code as in the failure; "ETIMEDOUT", "ECANCELED": the pool was closed; "ENOTSUP", "EAGAIN" ...: no worker could be started
---@return lipc.pool.failure? failure
function Pool:map(fn, list, options) end

--- As map, one result after the other: `for i, result, failure in pool:imap(fn, list) do`. An error there raises the failure,
--- after the results before it. Leaving the loop ends the call.
---@param fn function|string
---@param list any[]|fun(): any
---@param options? lipc.pool.imap|number
---@return fun(): integer?, any, lipc.pool.failure? next
---@return nil
---@return nil
---@return table guard
function Pool:imap(fn, list, options) end

--- Calls fn(...) in a worker: what it returns; or nil, message, code, failure.
---@param fn function|string
---@param ... any
---@return any ...
function Pool:apply(fn, ...) end

--- The same without waiting. In a plain script it goes on, from its start, while the script is in a call of the pool or of a future.
---@param fn function|string
---@param ... any
---@return lipc.pool.future future
function Pool:submit(fn, ...) end

--- Sets the timeout of calls that have none of their own; initially for ever.
---@param seconds? number nil: for ever
---@return lipc.pool self
function Pool:settimeout(seconds) end

--- How it stands. started and lost: workers, since it was opened.
---@return { workers: integer, pids: integer[], busy: integer, pending: integer, started: integer, lost: integer } stat
function Pool:stat() end

--- Ends it: calls under way get "ECANCELED", idle workers end by themselves, within ten seconds, others are killed.
--- `local pool <close>` does the same; collection kills them.
---@return true ok
function Pool:close() end

--- As close, but kills the idle ones too.
---@return true ok
function Pool:kill() end

--- A call that was submitted.
---@class lipc.pool.future
local Future = {}

--- Waits for it, and gives what the function returned; or nil, message, code, failure. After "ETIMEDOUT" it can be asked again.
---@param timeout? number seconds
---@return any ...
function Future:get(timeout) end

--- Whether it is finished; looks what the workers have to say.
---@return boolean done
function Future:done() end

--- Gives it up; a worker that is at it is killed.
---@return boolean cancelled false: it was finished
function Future:cancel() end

return pool
