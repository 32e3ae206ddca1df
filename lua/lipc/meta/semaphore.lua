---@meta lipc.semaphore

--- POSIX semaphores: a count that processes take from and add to, by name or in memory that they share.
--- -- see sem_overview(7)
---
--- What the kernel does not do: it gives nothing back. A process that ends, or is killed, between `wait` and `post` leaves the
--- semaphore as it is, and who waits goes on waiting: for ever, unless a timeout says otherwise; nothing tells who it was (the
--- repair is a `post` by somebody who knows). Where that must not be, take `ipc.sysv.sem` with `undo`, or a file lock, which
--- the kernel gives back. Nor does it remove the name: a semaphore lives, with its value, until it is unlinked or the machine
--- goes down, also when nobody has it open. Closing an object gives back what `with` holds, and nothing of what `wait` took.
--- It lies in memory that all who may open it can write to, and the C library relies on what is there: whoever may open it is
--- trusted (mode 0600: this user). A peer that writes other bytes into its file can end this process.
--- When it shortens the file every later call raises "lost semaphore", which is what a handler of SIGBUS sees to while a named one is
--- open (see `lipc.mapping.file`). What no handler sees: a file that becomes shorter just when a thread goes to sleep, between the look
--- of sem_clockwait(3) at the value and its call of futex(2), which takes nanoseconds; or while it sleeps there, if the process is then
--- stopped and continued (Ctrl-Z and fg; SIGSTOP and SIGCONT) before it looks up, every half second: the kernel makes the call again.
--- That call fails with EFAULT, and the C library ends the process ("The futex facility returned an unexpected error code.",
--- SIGABRT). `post`, `trywait`, `wait(0)` and waits under a scheduler do not sleep there; a semaphore placed in `ipc.shm.anonymous`, which is sealed, cannot be cut off.
---@class lipc.semaphore.module
---@field VALUE_MAX integer the greatest value -- see sem_post(3) SEM_VALUE_MAX
local semaphore = {}

---@class lipc.semaphore.options
---@field create? boolean makes it if it is not there; default: "ENOENT". One that is there keeps mode and value
---@field exclusive? boolean with create: "EEXIST" if it is there already
---@field mode? integer|string permission bits of one that is made, an octal string such as "0640" or a number; default "0600"; the umask is taken from it, as always. Who opens one needs both reading and writing
---@field initial? integer with create: the value of one that is made, 0 to VALUE_MAX, default 0
---@field unlink? boolean with create: the name of what this call has made is removed when the object is closed or collected (`os.exit(0)` does neither, `os.exit(0, true)` does); by the process that made it, and only if it still has the name
---@field binary? boolean this object's `post` refuses to make the value more than 1; initial is 0 or 1 then

--- Opens a semaphore, or makes it. A name is "/" and at most 251 bytes without another "/"; anything else is misuse. Of several
--- processes that create it at once one makes it, whole, with its value; the others open that. To that end the C library makes it
--- under another name first, of six letters and digits; whoever is killed (SIGKILL) right then leaves that file, /dev/shm/sem.XXXXXX.
--- `ipc.admin.list` shows it, as the semaphore "/XXXXXX" (still empty, as the shm "/sem.XXXXXX"); `ipc.semaphore.unlink "/XXXXXX"` removes
--- it, and so does `ipc.admin.remove`, once it is a day old. What has the name but is no regular file, or too small, is "EINVAL".
--- Any number of objects, in any number of Lua states of a process, may be one semaphore. -- see sem_open(3)
---@param name string
---@param opts? lipc.semaphore.options
---@return lipc.semaphore? semaphore, string? message, string? code "ENOENT", "EEXIST", "EACCES", "EINVAL", "EMFILE", "ENFILE", "ENOSPC", "ENOMEM", "ENOSYS"
function semaphore.open(name, opts) end

---@class lipc.semaphore.binary_options
---@field create? boolean makes it if it is not there; default: "ENOENT"
---@field exclusive? boolean with create: "EEXIST" if it is there already
---@field mode? integer|string as for `open`, default "0600"
---@field initial? integer with create: 0 or 1, default 1
---@field unlink? boolean with create: as for `open`

--- A semaphore that is 0 or 1, 1 at first: `open` with `binary`. `post` on one that is 1 is "EOVERFLOW" instead of making it 2.
--- That is a look and then a post, not one step: two processes that both post at the moment when it is 0 can both find it 0,
--- and make it 2; so can anybody who opened it without `binary`. It finds the mistake of one post too many; it does not
--- arise where each process posts only what it has taken. -- see sem_open(3)
---@param name string
---@param opts? lipc.semaphore.binary_options
---@return lipc.semaphore? semaphore, string? message, string? code as of open
function semaphore.binary(name, opts) end

---@class lipc.semaphore.at.options
---@field create? boolean makes it where there are zeros
---@field exclusive? boolean with create: "EEXIST" if there is one
---@field initial? integer with create: the value of one that is made, default 0
---@field binary? boolean as of open
---@field raw? boolean a bare sem_t at the offset, without header, as a program in C has it; create initialises it whatever is there

--- The unnamed semaphore at a place in a mapping (`ipc.shm`, `ipc.mmap`); also `ipc.sync.semaphore`. What it takes is
--- `ipc.sync.sizeof "semaphore"`; a program in C finds its sem_t `ipc.sync.NATIVE_OFFSET` bytes behind the offset. Closing the
--- mapping while it is used raises in what comes next. -- see sem_init(3)
---@param map userdata a mapping that can be written to
---@param offset? integer a multiple of 8, default 0
---@param opts? lipc.semaphore.at.options
---@return lipc.semaphore? semaphore, string? message, string? code "ENOENT": zeros; "EPROTO": something else is there; "EEXIST"
function semaphore.at(map, offset, opts) end

--- Removes the name at once; who has the semaphore open goes on with it, and the name is free for another. -- see sem_unlink(3)
---@param name string
---@return true? ok, string? message, string? code "ENOENT", "EACCES"
function semaphore.unlink(name) end

--- A semaphore. It has no descriptor: under a scheduler a wait is trying again after pauses of at most 10 ms, elsewhere the thread
--- sleeps in the kernel. Nobody is served in turn. After a fork both processes have it open.
---@class lipc.semaphore : lipc.object
local Semaphore = {}

--- Waits until the value is not 0, then takes 1. -- see sem_wait(3)
---@param timeout? number seconds; 0 tries once
---@return true? ok, string? message, string? code "ETIMEDOUT"
function Semaphore:wait(timeout) end

--- Takes 1 if there is one now: `wait(0)`. -- see sem_trywait(3)
---@return true? ok, string? message, string? code "ETIMEDOUT"
function Semaphore:trywait() end

--- Waits, calls fn with the semaphore, and posts when fn has ended: by return, by an error (which goes on), by
--- coroutine.close, or when its coroutine is collected unfinished; also when the object was closed inside. fn may wait and
--- yield. A child forked inside gives nothing back, and a process that is killed inside neither.
---@param fn fun(s: lipc.semaphore): ...
---@param timeout? number seconds, of the wait alone
---@return any ... what fn returned; or nil, message, code when it was not called
function Semaphore:with(fn, timeout) end

--- Adds n, one after the other: whoever waits may take the first before the last is added. Never waits. When the value cannot
--- grow any more the fourth result says how many were added; the rest is not. -- see sem_post(3)
---@param n? integer 1 to VALUE_MAX, default 1
---@return true? ok, string? message, string? code, integer? posted "EOVERFLOW"
function Semaphore:post(n) end

--- The value: what could be taken now, which may be over when this returns. 0 also while others wait. -- see sem_getvalue(3)
---@return integer value
function Semaphore:value() end

--- What it is.
---@return lipc.semaphore.stat stat
function Semaphore:stat() end

---@class lipc.semaphore.stat
---@field type "semaphore"
---@field name string
---@field value integer
---@field binary boolean
