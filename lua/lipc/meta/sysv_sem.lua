---@meta lipc.sysv.sem

--- System V semaphore sets: several counts, on which a list of operations is done at one moment or not at all, and which the
--- kernel can give back when a process ends (`undo`). Semaphores of a set are numbered from 1 (in C from 0). -- see semop(2)
---
--- A set lives until it is removed or the machine goes down. What was taken without `undo` stays taken when its process ends or
--- is killed; with `undo` the kernel gives it back, at once, and whoever waits goes on. What is to be undone is the process's,
--- all threads and objects together; a forked child begins with nothing to undo, an exec keeps it. Closing an object gives
--- nothing back.
---@class lipc.sysv.sem.module
---@field VALUE_MAX integer the greatest value, and the most that is undone: 32767 -- see semop(2) SEMVMX
local sem = {}

---@class lipc.sysv.sem.options
---@field create? boolean makes it if it is not there; default: "ENOENT". A private key always creates
---@field exclusive? boolean with create: "EEXIST" if it is there already
---@field mode? integer|string permission bits of one that is made, an octal string such as "0640" or a number; default "0600"; the umask has no say
---@field nsems? integer how many semaphores: of one that is made (default: as many as initial has, or 1), and at least of one that is there ("EINVAL"); 1 to 65536
---@field initial? integer|integer[] with create: the values of one that is made, one for all or an array, each 0 to 32767, default 0; and see initialized
---@field initialized? boolean waits until the set has its values, should another process be just making it. With initial that is so in any case
---@field timeout? number seconds of that wait, default 10
---@field unlink? boolean with create: what this call has made is removed when the object is closed or collected (`os.exit(0)` does neither, `os.exit(0, true)` does), by the process that made it
---@field undo? boolean what `wait` and `post` of this object do when they are not told, default false

--- Opens a set, or makes it. Making one and giving it its values are two steps for the kernel, and others can find the set
--- in between. With `initial` nobody who also asks with `initial` (or `initialized`) ever uses such a set: the maker sets the
--- values and then does an operation that changes nothing in sum, which sets sem_otime; the others wait until that is
--- not 0, under a scheduler with other coroutines running. Other programs that keep the same rule, which is the usual one, take
--- part. If the maker was killed in between, that wait ends with "ETIMEDOUT", and the message says that the set was made and
--- never initialised, and its id: remove it (`sem.fromid(id):remove()`, ipcrm -s), and whoever still waits makes it anew. Without
--- both options a set that is there is taken as it is, and one that is made without `initial` counts as initialised after its first
--- operation. -- see semget(2), semctl(2)
---@param key integer|"private" of 32 bits, see `ipc.sysv.ftok`
---@param opts? lipc.sysv.sem.options
---@return lipc.sysv.sem? set, string? message, string? code "ENOENT", "EEXIST", "EACCES", "EINVAL", "ENOSPC", "ENOMEM", "ETIMEDOUT"
function sem.open(key, opts) end

---@class lipc.sysv.sem.fromid_options
---@field undo? boolean as of open

--- A set whose id somebody told, or ipcs shows. -- see semctl(2)
---@param id integer
---@param opts? lipc.sysv.sem.fromid_options
---@return lipc.sysv.sem? set, string? message, string? code "EINVAL" if there is none, "EACCES"
function sem.fromid(id, opts) end

--- A set; `#set` is its number of semaphores. It has no descriptor: under a scheduler a wait is trying again after pauses of at most
--- 10 ms (and does not count in getncnt and getzcnt), elsewhere the thread sleeps in the kernel. Every call on a set that was
--- removed is "EIDRM", waits too; those by the object that is closed meanwhile, as `remove` closes it, are "ECANCELED".
---@class lipc.sysv.sem : lipc.object
local Set = {}

---@class lipc.sysv.sem.operation
---@field num integer which semaphore, from 1
---@field op integer more than 0: adds that; less: waits until that much is there and takes it; 0: waits until it is 0
---@field undo? boolean the kernel takes it back when this process ends
---@field nowait? boolean the list is not to wait for this one: "EAGAIN"

--- Does a list of operations, in its order, all at one moment or none. The first that cannot be done decides: if it is a nowait
--- one, the result is "EAGAIN", else the call waits, and is "ETIMEDOUT" when its time is over (so with a timeout of 0 too).
--- (To tell the two apart in a list that has both, without waiting in the kernel, a list that changes nothing in sum is done
--- when "EAGAIN" is due: it counts as an operation for getpid and sem_otime.) -- see semop(2), semtimedop(2)
---@param list lipc.sysv.sem.operation[] at most as many as SEMOPM, the third number of kernel.sem: "E2BIG"
---@param timeout? number seconds
---@return true? ok, string? message, string? code "ETIMEDOUT", "EAGAIN", "EIDRM", "ECANCELED", "ERANGE" above 32767, "E2BIG", "EACCES", "ENOSPC"
function Set:op(list, timeout) end

---@class lipc.sysv.sem.wait_options
---@field n? integer 1 to 32767, default 1
---@field undo? boolean default: what `open` was told
---@field timeout? number seconds

--- Waits until a semaphore is at least n, then takes n. -- see semop(2)
---@param num integer from 1
---@param timeout? number|lipc.sysv.sem.wait_options seconds
---@return true? ok, string? message, string? code "ETIMEDOUT", "EIDRM", "ECANCELED", "ERANGE", "EACCES", "ENOSPC"
function Set:wait(num, timeout) end

---@class lipc.sysv.sem.post_options
---@field n? integer 1 to 32767, default 1
---@field undo? boolean default: what `open` was told

--- Adds n to a semaphore; never waits. What was taken with undo is to be given back with undo. -- see semop(2)
---@param num integer from 1
---@param opts? lipc.sysv.sem.post_options
---@return true? ok, string? message, string? code "ERANGE" above 32767, "EIDRM", "EACCES", "ENOSPC"
function Set:post(num, opts) end

--- Waits until a semaphore is 0. -- see semop(2)
---@param num integer from 1
---@param timeout? number seconds
---@return true? ok, string? message, string? code "ETIMEDOUT", "EIDRM", "ECANCELED", "EACCES"
function Set:zero(num, timeout) end

--- Takes 1 of a semaphore with undo, calls fn with the set, and gives it back when fn has ended: by return, by an error (which
--- goes on), by coroutine.close, or when its coroutine is collected unfinished. fn may wait and yield. When the process is killed
--- inside, the kernel gives it back. A child forked inside gives nothing back. `setval` and `setall` inside make the kernel forget
--- what was to be undone: leave them to where nobody is inside.
---@param num integer from 1
---@param fn fun(set: lipc.sysv.sem): ...
---@param timeout? number seconds, of the wait alone
---@return any ... what fn returned; or nil, message, code when it was not called
function Set:with(num, fn, timeout) end

--- The value of a semaphore. -- see semctl(2) GETVAL
---@param num integer from 1
---@return integer? value, string? message, string? code "EIDRM", "EACCES"
function Set:getval(num) end

--- Sets a semaphore; what any process had to undo of it is forgotten. -- see semctl(2) SETVAL
---@param num integer from 1
---@param value integer 0 to 32767
---@return true? ok, string? message, string? code "EIDRM", "EACCES"
function Set:setval(num, value) end

--- All values, of one moment. -- see semctl(2) GETALL
---@return integer[]? values, string? message, string? code "EIDRM", "EACCES"
function Set:getall() end

--- Sets all of them at one moment; what any process had to undo is forgotten. -- see semctl(2) SETALL
---@param values integer[] one for each, 0 to 32767
---@return true? ok, string? message, string? code "EIDRM", "EACCES"
function Set:setall(values) end

--- How many threads sleep in the kernel until there is more of a semaphore. -- see semctl(2) GETNCNT
---@param num integer from 1
---@return integer? count, string? message, string? code "EIDRM", "EACCES"
function Set:getncnt(num) end

--- How many threads sleep in the kernel until a semaphore is 0. -- see semctl(2) GETZCNT
---@param num integer from 1
---@return integer? count, string? message, string? code "EIDRM", "EACCES"
function Set:getzcnt(num) end

--- The process that did the last operation on a semaphore. -- see semctl(2) GETPID
---@param num integer from 1
---@return integer? pid, string? message, string? code 0: nobody; "EIDRM", "EACCES"
function Set:getpid(num) end

--- How many semaphores there are, as `#set`.
---@return integer count
function Set:nsems() end

--- The kernel's number of the set, as ipcs shows it.
---@return integer id
function Set:id() end

--- Its key, 32 bits, signed as in C; 0: private.
---@return integer key
function Set:key() end

--- What the kernel knows about the set. -- see semctl(2) IPC_STAT
---@return lipc.sysv.sem.stat? stat, string? message, string? code "EIDRM", "EACCES"
function Set:stat() end

---@class lipc.sysv.sem.stat
---@field type "sysv semaphore set"
---@field key integer
---@field id integer
---@field uid integer the owner
---@field gid integer
---@field cuid integer who made it
---@field cgid integer
---@field mode integer permission bits
---@field nsems integer
---@field otime integer the last operation, in seconds since 1970; 0: there was none
---@field ctime integer when it was made, or last changed by set, setval or setall

--- Changes owner and mode; what is not given stays. -- see semctl(2) IPC_SET
---@param changes lipc.sysv.sem.changes
---@return true? ok, string? message, string? code "EPERM", "EIDRM", "EACCES"
function Set:set(changes) end

---@class lipc.sysv.sem.changes
---@field uid? integer
---@field gid? integer
---@field mode? integer|string permission bits, an octal string such as "0640" or a number

--- Removes the set, for everybody, and closes the object. Who waits for the set by any other object, in whatever process, gets
--- "EIDRM"; other coroutines that wait by this one "ECANCELED". Closes it also when somebody else was faster ("EIDRM").
--- -- see semctl(2) IPC_RMID
---@return true? ok, string? message, string? code "EIDRM", "EPERM"
function Set:remove() end
