---@meta lipc.shared

--- What processes share as Lua values: a value, an array, a record, a dictionary, each with its lock; what Python's
--- multiprocessing calls Value, Array and Manager, without a process in between.
---
--- Without a `name` an object is for this process and the children that it forks afterwards (`ipc.process.fork`): they use
--- the object that they find. With a name it lies in a shared memory object (`ipc.shm`) that others open. It appears under
--- its name when it is whole; the name goes by `unlink = true`, or by `ipc.shm.unlink`. Opening never makes one; `create`
--- opens the one that is there, if there is one, and that keeps its value. What the call says of it (type, capacity, n, fields,
--- bytes) must be so, with `create` and without: else it is "EINVAL", and the message has what differs and both values, "capacity is
--- 9, 5 asked for". What is of another kind, or not of this module, is "EPROTO", and left alone.
---
--- Operations are steps: another process sees what was before or what is after. One that is killed, at any instant, leaves
--- one of the two, and nobody waits for it. What must be one step of several operations goes into `with(fn)` (or between
--- `lock` and `unlock`): the operations of all others wait meanwhile, as long as their timeout says, under a loop their
--- coroutine only. `update` is `with` for one value. Who is killed inside `with` is found by the next one, whose function is
--- called with "EOWNERDEAD" (`lock` returns it; execve(2) counts as death, as `ipc.sync` says): `consistent()` says that what is there is in order; without it the object is
--- "ENOTRECOVERABLE" once it is given back. Single operations go on before that.
---
--- Whoever may write to the memory may write anything there. That gives wrong values, or errors ("EPROTO": what is
--- there was overwritten; "ETIMEDOUT": the lock looks taken), but no crash and no wait without end; `dict:clear()` of an object that was opened before mends a
--- dictionary. All processes must be of one pid name space.
---@class lipc.shared.module
local shared = {}

---@class lipc.shared.options
---@field name? string "/" and at most 255 bytes without another "/"; default: none
---@field create? boolean with a name: makes it if it is not there; default: "ENOENT"
---@field exclusive? boolean with create: "EEXIST" if it is there already
---@field mode? integer|string permission bits of one that is made, an octal string such as "0640" or a number; default "0600", less the umask
---@field unlink? boolean with create: the name of what this call has made is removed when the object is closed or collected (`os.exit(0)` does neither, `os.exit(0, true)` does), by the process that made it

---@class lipc.shared.value_options : lipc.shared.options
---@field capacity? integer bytes of a string at most; needed for strings, and for them only

--- One value. Integers: "i8" to "i64", "u8" to "u64" (of u64 the upper half is negative, as in Lua); floats: "f32", "f64";
--- "bool"; "string" with the option `capacity`. Anything that the type does not have is misuse.
---@param type "i8"|"u8"|"i16"|"u16"|"i32"|"u32"|"i64"|"u64"|"f32"|"f64"|"bool"|"string"
---@param initial? integer|number|boolean|string default 0, false or ""; nil where one is opened without `create`
---@param options? lipc.shared.value_options
---@return lipc.shared.value? value, string? message, string? code "ENOENT", "EEXIST", "EACCES", "ENOSPC", "ENOMEM", "EINVAL": one with other properties is there; "EPROTO": something else is
function shared.value(type, initial, options) end

--- An array: elements as of `ipc.view`. An element is read and written without the lock (one that is aligned never tears);
--- what must be one step takes `with`, or the atomics of the view.
---@param type string|lipc.view.layout a type of `ipc.view`, or a layout: elements that are records
---@param n? integer elements; nil where one is opened without `create`
---@param options? lipc.shared.options
---@return lipc.shared.array? array, string? message, string? code as of `value`
function shared.array(type, n, options) end

--- A record: fields by name, `s.x`. They are read and written without the lock; what must be one step takes `with`.
---@param fields table|lipc.view.layout what `ipc.view.layout` takes: `{ {"x", "f64"}, {"n", "i32", 3} }`; no field may be called like a method
---@param options? lipc.shared.options
---@return lipc.shared.struct? struct, string? message, string? code as of `value`
function shared.struct(fields, options) end

---@class lipc.shared.dict_options : lipc.shared.options
---@field capacity? integer entries at most; needed where one is made
---@field bytes? integer room for all keys and values together, a number counting 8: default 64 for each entry. That much fits whatever it consists of; the memory it takes is a little more, in blocks of 64 bytes (`stat`)

--- A dictionary: keys are strings, values strings, integers, floats and booleans. Its capacity is given once; an operation
--- costs the same however many entries there are. A replaced value needs room beside the old one. Keys are spread by a hash
--- that nobody can foresee.
---@param options lipc.shared.dict_options
---@return lipc.shared.dict? dict, string? message, string? code as of `value`
function shared.dict(options) end

--- Opens what has that name, whatever it is of these. A record that has rows of rows in it is "EPROTO": `struct` says what it is.
---@param name string
---@return lipc.shared.value|lipc.shared.array|lipc.shared.struct|lipc.shared.dict|nil object, string? message, string? code "ENOENT", "EACCES", "EPROTO": nothing of the kind
function shared.open(name) end

--- What all of them have.
---@class lipc.shared.object : lipc.object
local Object = {}

--- Takes the lock: operations of all other processes, objects and coroutines wait until `unlock`.
---@param timeout? number seconds
---@return true? ok, string? died_or_message "EOWNERDEAD": it is held, and who held it before died, string? code "ETIMEDOUT", "EDEADLK": this coroutine holds it, "ENOTRECOVERABLE", "EPROTO"
function Object:lock(timeout) end

--- As `lock(0)`.
---@return true? ok, string? died_or_message, string? code
function Object:trylock() end

--- Gives the lock back.
---@return true? ok, string? message, string? code "EPERM": this coroutine does not hold it
function Object:unlock() end

--- Calls `fn(self)` under the lock and returns what it returns; the lock is given back however it ends.
---@param fn fun(self: any, died?: string): ... died: "EOWNERDEAD", see `lock`
---@param timeout? number seconds
---@return any ... or nil, message, code
function Object:with(fn, timeout) end

--- What the lock protects is in order again, after "EOWNERDEAD".
---@return true? ok, string? message, string? code "EPERM", "EINVAL": nobody died
function Object:consistent() end

---@class lipc.shared.value : lipc.shared.object
local Value = {}

--- The value, as its type has it.
---@param timeout? number seconds
---@return integer|number|boolean|string|nil value, string? message, string? code
function Value:get(timeout) end

--- Sets it, as one step.
---@param value integer|number|boolean|string what the type does not have is misuse
---@param timeout? number seconds
---@return true? ok, string? message, string? code "EMSGSIZE": a string longer than its capacity
function Value:set(value, timeout) end

--- Adds to a number, as one step.
---@param n integer|number
---@param timeout? number seconds
---@return integer|number|nil sum, string? message, string? code "ERANGE": the type does not have the sum; nothing is changed
function Value:add(n, timeout) end

--- Sets it to what `fn(value)` returns, under the lock. An error of fn changes nothing. Where a holder of the lock died, fn gets
--- "EOWNERDEAD" too, and the object counts as consistent afterwards.
---@param fn fun(value: any, died?: string): any
---@param timeout? number seconds
---@return integer|number|boolean|string|nil value the new one, string? message, string? code
function Value:update(fn, timeout) end

--- What it is.
---@return { type: "value", name: string?, of: string, capacity: integer? }
function Value:stat() end

---@class lipc.shared.array : lipc.shared.object, lipc.view
---@field [integer] any elements
local Array = {}

--- The view of its elements, for what takes one.
---@return lipc.view
function Array:view() end

--- What it is.
---@return { type: "array", name: string?, count: integer, itemsize: integer, offset: integer } stat offset: of the first element in the memory
function Array:stat() end

---@class lipc.shared.struct : lipc.shared.object
local Struct = {}

--- The record of the view, for what takes one.
---@return lipc.view.record
function Struct:record() end

--- What it is.
---@return { type: "struct", name: string?, count: integer, itemsize: integer, offset: integer }
function Struct:stat() end

--- `#d` is the count, and `pairs(d)` is `d:pairs()`; keys are no fields (`d.k`), which are methods.
---@class lipc.shared.dict : lipc.shared.object
local Dict = {}

--- The value of the key.
---@param key string any bytes
---@param timeout? number seconds
---@return string|integer|number|boolean|nil value nil alone: there is none, string? message, string? code
function Dict:get(key, timeout) end

--- Sets the value of the key, as one step.
---@param key string
---@param value string|integer|number|boolean
---@param timeout? number seconds
---@return true? ok, string? message, string? code "ENOSPC": there is no room, the message says of what; the old value stands
function Dict:set(key, value, timeout) end

--- Removes the key.
---@param key string
---@param timeout? number seconds
---@return boolean? was false: there was none, string? message, string? code
function Dict:delete(key, timeout) end

--- Adds to a number, as one step; where there is none it is n.
---@param key string
---@param n integer|number
---@param timeout? number seconds
---@return integer|number|nil sum, string? message, string? code "EINVAL": what is there is no number; "ERANGE": two integers whose sum is none; "ENOSPC"
function Dict:add(key, n, timeout) end

--- Sets it to what `fn(value)` returns, under the lock; nil, which fn also gets where there is none, removes it. See `value:update`.
---@param key string
---@param fn fun(value: any, died?: string): any
---@param timeout? number seconds
---@return string|integer|number|boolean|nil value the new one, string? message, string? code
function Dict:update(key, fn, timeout) end

--- How many entries there are.
---@param timeout? number seconds
---@return integer? entries, string? message, string? code
function Dict:count(timeout) end

--- Removes all, as one step. It mends a dictionary that was overwritten, be it as a whole, for all who have it open and for
--- who opens it afterwards: what it is like this object has known since it was opened. What it leaves as it is: one that is
--- "ENOTRECOVERABLE", and one that a process which lives seems to hold ("ETIMEDOUT").
---@param timeout? number seconds
---@return true? ok, string? message, string? code
function Dict:clear(timeout) end

--- For a generic `for`: the entries as they are at this instant, in no order. What others, or the body, do meanwhile does
--- not show: they are copied at once, with as much memory as is in use. A failure raises.
---@param timeout? number seconds
---@return fun(): string?, any iterator
function Dict:pairs(timeout) end

--- The same as a table.
---@param timeout? number seconds
---@return table<string, string|integer|number|boolean>? entries, string? message, string? code
function Dict:snapshot(timeout) end

--- What it is, and how full.
---@param timeout? number seconds
---@return { type: "dict", name: string?, count: integer, capacity: integer, used: integer, bytes: integer, repairs: integer }? stat used, bytes: of blocks in use, and of all; repairs: how often a process has died in the middle of a change, string? message, string? code
function Dict:stat(timeout) end
