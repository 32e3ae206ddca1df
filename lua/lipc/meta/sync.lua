---@meta lipc.sync

--- Locks in shared memory, for processes that work on the same data: in a mapping (`ipc.shm`, `ipc.mmap`) at an offset, beside
--- what they protect, or by name, as a shared memory object of their own.
---
--- Whoever dies, at whatever instant, is found: the next one gets the lock, and is told `"EOWNERDEAD"`, because what it protects
--- may be half-changed; he repairs it, and says so by `consistent()`. Who unlocks without that makes it `"ENOTRECOVERABLE"` for
--- all. Those who wait for others than a mutex look every 0.1 s whether these are alive. All processes are of one pid name space.
--- Who becomes another program (execve(2)) counts as dead. Of others than a mutex that is known by where its stack begins: not by
--- another user's process, nor where addresses are not random (`setarch -R`); there it counts as long as the new program runs.
---
--- Each takes `sizeof` bytes at an offset that is a multiple of ALIGN (of 64 it does not share a cache line with others), and
--- begins with a header that says what it is; the layout has a version. `create = true` makes one where there are zeros, and
--- opens one that is there; without it one must be there. Anything else there is `"EPROTO"`, and left alone. One that was made
--- with another type, or for other slots or parties, than the call says is `"EINVAL"`, and the message has both. Closing, or
--- collecting, an object, or closing its mapping, gives back what it holds. A forked child holds nothing of what its parent holds.
--- A name stays until `unlink = true` or `ipc.shm.unlink` removes it; of what is "ENOTRECOVERABLE" that is the way to a new one.
---
--- What is in `cond`, `rwlock`, `barrier` and `once` is never trusted: who overwrites it makes others wait until their time is
--- over, or fail, no more. `mutex` and `semaphore` are the C library's, for programs in C that share them: it trusts what is in
--- their memory, so whoever can write to them is trusted, and can end this process. So can one who makes their file shorter in the
--- nanoseconds between the C library's look at one that is taken and its call of futex(2) (`ipc.semaphore`; any `lock` of a mutex that
--- another has makes that call), or while it sleeps there, if this process is then stopped and continued (Ctrl-Z and fg; SIGSTOP and
--- SIGCONT) before it looks up, every 0.1 s: the kernel makes the call again. At any other time that is "lost mapping"; in
--- `ipc.shm.anonymous`, which is sealed, nobody can. The memory of a mutex that was held then stays until this process ends; if it
--- is killed before, the mutexes that its thread had locked earlier and holds still are not found dead.
---@class lipc.sync.module
---@field ALIGN integer what offsets must be a multiple of: 8
---@field NATIVE_OFFSET integer where behind the offset the pthread_mutex_t of a mutex and the sem_t of a semaphore lie: 32
local sync = {}

--- How many bytes one takes in a mapping.
---@param type "mutex"|"cond"|"rwlock"|"barrier"|"once"|"semaphore"
---@param opts? { slots?: integer, parties?: integer } of a rwlock, default 64; of a barrier, needed
---@return integer bytes
function sync.sizeof(type, opts) end

---@class lipc.sync.options
---@field create? boolean makes it where there is none
---@field exclusive? boolean with create: "EEXIST" if there is one
---@field mode? integer|string by name: permission bits of the object that is made, an octal string such as "0640" or a number; default "0600", less the umask
---@field unlink? boolean by name, with create: the name of what this call has made goes when it is closed or collected (`os.exit(0)` does neither, `os.exit(0, true)` does)

---@class lipc.sync.mutex.options : lipc.sync.options
---@field type? "normal"|"recursive"|"errorcheck" of one that is made, default normal; of one that is there it must be right. For Lua normal and errorcheck differ when one thread has it by two objects: one waits, the other is "EDEADLK"
---@field raw? boolean in a mapping: a bare pthread_mutex_t at the offset, without header, as a program in C has it; create initialises it whatever is there. The C program must have made it robust and process-shared

--- A robust mutex, shared between processes. -- see pthread_mutexattr_setrobust(3)
---@param where string|userdata name, or a mapping that can be written to and is not private
---@param offset? integer|lipc.sync.mutex.options in the mapping, default 0; with a name: the options
---@param opts? lipc.sync.mutex.options
---@return lipc.sync.mutex? mutex, string? message, string? code "ENOENT", "EEXIST", "EPROTO", "EINVAL", and those of shm.open
function sync.mutex(where, offset, opts) end

--- A condition. -- see pthread_cond_init(3)
---@param where string|userdata name or mapping
---@param offset? integer|lipc.sync.options
---@param opts? lipc.sync.options
---@return lipc.sync.cond? cond, string? message, string? code as of mutex
function sync.cond(where, offset, opts) end

---@class lipc.sync.rwlock.options : lipc.sync.options
---@field slots? integer how many objects can hold it, or wait to write, at once: 1 to 4096, of one that is made 64 by default; "EINVAL" where one that is there is for another number

--- A reader-writer lock. Writers go first: while one waits no new reader comes in. -- see pthread_rwlock_init(3)
---@param where string|userdata name or mapping
---@param offset? integer|lipc.sync.rwlock.options
---@param opts? lipc.sync.rwlock.options
---@return lipc.sync.rwlock? rwlock, string? message, string? code as of mutex
function sync.rwlock(where, offset, opts) end

---@class lipc.sync.barrier.options : lipc.sync.options
---@field parties? integer how many must come: 1 to 4096, needed with create; "EINVAL" where one that is there is for another number

--- A barrier. -- see pthread_barrier_init(3)
---@param where string|userdata name or mapping
---@param offset? integer|lipc.sync.barrier.options
---@param opts? lipc.sync.barrier.options
---@return lipc.sync.barrier? barrier, string? message, string? code as of mutex
function sync.barrier(where, offset, opts) end

--- Something that is done once, by one process. -- see pthread_once(3)
---@param where string|userdata name or mapping
---@param offset? integer|lipc.sync.options
---@param opts? lipc.sync.options
---@return lipc.sync.once? once, string? message, string? code as of mutex
function sync.once(where, offset, opts) end

--- An unnamed POSIX semaphore: `ipc.semaphore.at`, or by name in a shared memory object of its own, which is no semaphore
--- for `ipc.semaphore.open`. -- see sem_init(3)
---@param where string|userdata name or mapping
---@param offset? integer|lipc.semaphore.at.options
---@param opts? lipc.semaphore.at.options
---@return lipc.semaphore? semaphore, string? message, string? code as of mutex
function sync.semaphore(where, offset, opts) end

--- A mutex. Its owner is a coroutine, in a thread: another coroutine waits as another process would. A coroutine that ends
--- without unlocking keeps it, until the object is closed. Under a scheduler a wait is trying again after pauses of at most 10 ms.
---@class lipc.sync.mutex : lipc.object
local Mutex = {}

--- Takes it. -- see pthread_mutex_lock(3), pthread_mutex_clocklock(3)
---@param timeout? number seconds; 0 tries once
---@return true? ok, string? message_or_dead, string? code "EOWNERDEAD" as second result: it is held, and who held it before died. "ETIMEDOUT"; "EDEADLK": this coroutine holds it (recursive: counts); "ENOTRECOVERABLE"
function Mutex:lock(timeout) end

--- `lock(0)`.
---@return true? ok, string? message_or_dead, string? code as of lock
function Mutex:trylock() end

--- Gives it back. -- see pthread_mutex_unlock(3)
---@return true? ok, string? message, string? code "EPERM": this coroutine does not hold it, or another thread took it
function Mutex:unlock() end

--- Takes it, calls fn with the mutex and, after a death, "EOWNERDEAD", and gives it back when fn has ended: by return, by an
--- error (which goes on), by coroutine.close, or when its coroutine is collected unfinished.
---@param fn fun(m: lipc.sync.mutex, dead?: "EOWNERDEAD"): ...
---@param timeout? number seconds, of the wait alone
---@return any ... what fn returned; or nil, message, code when it was not called
function Mutex:with(fn, timeout) end

--- What it protects is in order again, after EOWNERDEAD. -- see pthread_mutex_consistent(3)
---@return true? ok, string? message, string? code "EPERM": not held by this coroutine; "EINVAL": nobody died
function Mutex:consistent() end

--- What it is.
---@return { type: "mutex", name?: string, offset: integer, size: integer, recursive: boolean, raw: boolean, held: boolean } stat held: by this coroutine
function Mutex:stat() end

--- A condition: somebody waits, with a mutex given back meanwhile, until somebody else says that something has changed. It
--- keeps nothing: a signal that nobody waits for is lost. A wait may end although nothing has changed, also because others
--- were signalled: always wait in a loop, `while not ready() do c:wait(m) end`.
---@class lipc.sync.cond : lipc.object
local Cond = {}

--- Gives the mutex back, waits for a signal, and has the mutex again, also when it failed, however long that takes; a recursive
--- one as often as before. An error raised by a signal callback meanwhile leaves it unlocked. -- see pthread_cond_timedwait(3)
---@param mutex lipc.sync.mutex that this coroutine holds
---@param timeout? number seconds
---@return true? ok, string? message_or_dead, string? code, string? dead "ETIMEDOUT"; "ECANCELED": closed. "EOWNERDEAD" as the last result: who held the mutex meanwhile died. Without the mutex: "EPERM": this coroutine does not hold it; "ENOTRECOVERABLE"
function Cond:wait(mutex, timeout) end

--- Wakes at least one who waits; here all of them, because one that is woken may be killed at that moment. With the
--- mutex held, or after the change was made under it, none is missed. -- see pthread_cond_signal(3)
---@return true ok
function Cond:signal() end

--- Wakes all who wait. -- see pthread_cond_broadcast(3)
---@return true ok
function Cond:broadcast() end

--- What it is.
---@return { type: "cond", name?: string, offset: integer, size: integer, signals: integer } stat signals: how many there were, modulo 2^32
function Cond:stat() end

--- A reader-writer lock. What reads or writes is a coroutine, by this object. While a writer waits no new reader comes in, but
--- who reads already may do so again; a writer's wish counts for 0.35 s after its last attempt, so that one that stands still
--- keeps nobody out. Readers can starve while writers follow each other without a pause.
---@class lipc.sync.rwlock : lipc.object
local Rwlock = {}

--- Takes it to read, together with others; again, if this coroutine reads already. -- see pthread_rwlock_rdlock(3)
---@param timeout? number seconds; 0 tries once
---@return true? ok, string? message_or_dead, string? code "EOWNERDEAD" as second result: a writer died, and nobody has repaired what he left. "ETIMEDOUT"; "EDEADLK": this coroutine writes; "ENOSPC": no slot is free; "ENOTRECOVERABLE"
function Rwlock:rdlock(timeout) end

--- `rdlock(0)`. -- see pthread_rwlock_tryrdlock(3)
---@return true? ok, string? message_or_dead, string? code as of rdlock
function Rwlock:tryrdlock() end

--- Takes it to write, alone. -- see pthread_rwlock_wrlock(3)
---@param timeout? number seconds; 0 tries once
---@return true? ok, string? message_or_dead, string? code "EOWNERDEAD" as second result: it is held, and a writer before died. "ETIMEDOUT"; "EDEADLK": this coroutine reads or writes; "ENOSPC"; "ENOTRECOVERABLE"
function Rwlock:wrlock(timeout) end

--- `wrlock(0)`. -- see pthread_rwlock_trywrlock(3)
---@return true? ok, string? message_or_dead, string? code as of wrlock
function Rwlock:trywrlock() end

--- Gives back what this coroutine holds: one of its reads, or its write. -- see pthread_rwlock_unlock(3)
---@return true? ok, string? message, string? code "EPERM": it holds nothing
function Rwlock:unlock() end

--- Takes it, calls fn with the lock and, after a writer's death, "EOWNERDEAD", and gives it back when fn has ended, by whatever way.
---@param mode "read"|"write"
---@param fn fun(rw: lipc.sync.rwlock, dead?: "EOWNERDEAD"): ...
---@param timeout? number seconds, of the wait alone
---@return any ... what fn returned; or nil, message, code when it was not called
function Rwlock:with(mode, fn, timeout) end

--- What it protects is in order again, after EOWNERDEAD.
---@return true? ok, string? message, string? code "EPERM": this coroutine does not write; "EINVAL": no writer died
function Rwlock:consistent() end

--- What its slots say now.
---@return lipc.sync.rwlock.stat stat
function Rwlock:stat() end

---@class lipc.sync.rwlock.stat
---@field type "rwlock"
---@field name? string
---@field offset integer
---@field size integer
---@field slots integer
---@field readers integer objects that read
---@field writer? integer process that writes
---@field waiting integer writers that wait
---@field state "ok"|"orphaned"|"lost"|"overwritten" orphaned: a writer died, and no other has come since; lost: not recoverable

--- A barrier: so many coroutines, of any processes, wait for each other, and it begins anew. One that dies, gives up or is closed
--- while it waits does not count any more: another must come in its place. Of one that dies before it comes a barrier knows
--- nothing: wait with a timeout where that may be.
---@class lipc.sync.barrier : lipc.object
local Barrier = {}

--- Waits until as many wait as the barrier has parties. -- see pthread_barrier_wait(3)
---@param timeout? number seconds
---@return true? ok, boolean|string serial_or_message, string? code serial: true for one of them, the last. "ETIMEDOUT": it does not count any more; "ECANCELED": reset, or closed
function Barrier:wait(timeout) end

--- Sends all who wait now away with "ECANCELED".
---@return true? ok, string? message, string? code "ETIMEDOUT": somebody stands still inside it
function Barrier:reset() end

--- What it is.
---@return { type: "barrier", name?: string, offset: integer, size: integer, parties: integer, waiting: integer, generation: integer } stat
function Barrier:stat() end

--- Something that is done once.
---@class lipc.sync.once : lipc.object
local Once = {}

--- Calls fn with the object if it was not done yet. When fn returns, whatever it returns, it is done, for all processes; those who
--- come meanwhile wait for that. An error goes on to the caller, and the next one does it; so it is when one dies
--- inside: fn begins with what was left by others. -- see pthread_once(3)
---@param fn fun(o: lipc.sync.once)
---@param timeout? number seconds, of the wait alone
---@return true? done, boolean|string ran_or_message, string? code ran: whether this call did it. "ETIMEDOUT"; "EDEADLK": from inside fn; "ECANCELED": fn closed the object, so nobody is told that it is done
function Once:call(fn, timeout) end

--- Whether it is done.
---@return boolean done
function Once:done() end

--- What it is.
---@return { type: "once", name?: string, offset: integer, size: integer, done: boolean } stat
function Once:stat() end
