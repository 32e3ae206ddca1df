---@meta lipc.flock

--- Locks on files: whole (flock(2)), ranges of bytes (fcntl(2)), and lock files. They are advisory: they hold off those
--- who lock too, not those who read and write. A lock belongs to the open file description, which is what one `open`
--- makes: to the object, and to whatever duplicates its descriptor. Two objects from two `open` calls exclude each other, in
--- one process as in two; coroutines that share one object do not. A forked child shares the description: it
--- holds the lock too, and can give it back for both; the lock ends when both have closed it, or are dead. The kernel
--- drops what a killed process held. flock(2) locks, record locks and locks by other means (lockfile names) do not know of
--- each other; on network file systems flock(2) may be a record lock. -- see flock(2), fcntl(2)
---@class lipc.flock.module
local flock = {}

---@class lipc.flock.options
---@field access? "r"|"w"|"rw" how it is opened, default "rw"; an exclusive range needs "w", a shared one "r"; a directory opens with "r" only
---@field create? boolean makes the file if it is not there; default: "ENOENT"
---@field exclusive? boolean with create: "EEXIST" if it is there already
---@field mode? integer|string permission bits of a file that is made, an octal string such as "0640" or a number; default "0600"; the umask is taken from it, as always

--- Opens a file, or a directory, to lock it. Nothing in it changes. A symbolic link as the last part of the path is not
--- followed. -- see open(2)
---@param path string
---@param opts? lipc.flock.options
---@return lipc.flock? file, string? message, string? code "ENOENT", "EACCES", "EISDIR", "ELOOP", "EEXIST", "EMFILE" ...
function flock.open(path, opts) end

--- Takes over a descriptor, which is closed with the object. A flock(2) lock that its description has counts as held. A
--- descriptor that is not open is misuse.
---@param fd integer
---@return lipc.flock file
function flock.fromfd(fd) end

--- Locks what somebody else in this process has open, `io.open "data"` for instance: the object has a duplicate of the
--- descriptor, and with it the same open file description, to which the lock belongs. Who has that one open otherwise holds
--- the lock as well. Closing this object gives back its lock, and its ranges', which would else stay until the last
--- duplicate is closed. A Lua file buffers: flush it before giving the lock back, and read (or `seek`) after
--- taking it. -- see fcntl(2) F_DUPFD_CLOEXEC
---@param file file*|lipc.object|integer
---@return lipc.flock? file, string? message, string? code "EMFILE"
function flock.of(file) end

---@class lipc.flock.lockfile_options
---@field timeout? number seconds to wait for another holder; default 0
---@field mode? integer|string permission bits of a file that is made, an octal string such as "0640" or a number; default "0644"; the umask is taken from it, as always
---@field respect_pid? boolean a file that names a living process counts as held although nobody has locked it: for programs that write their pid and take no lock. One that names this process does not; a zombie lives
---@field keep? boolean leaves the file, empty, when it is closed

--- Takes a lock file, so that one process at a time has it: opens or makes it, locks it (flock(2), exclusive), sees that
--- the path still names the file that is locked (else it starts again), and writes the pid and a newline into it. A file
--- that was left by a holder that died is stale, because nobody has locked it: it is simply taken over, and of several
--- who try it at once exactly one succeeds. A file with other contents than a number is left alone ("EINVAL"). Any path in a directory that only the right users may write to. When it is
--- closed or collected (`os.exit(0)` does neither, `os.exit(0, true)` does), the file is removed, if it is still that file, before the
--- lock is given back; one that stays is stale. In a forked child
--- closing only closes; the lock is held until both have closed, so let the child close it. -- see flock(2)
---@param path string
---@param opts? lipc.flock.lockfile_options
---@return lipc.flock.lockfile? lockfile, string? message, string? code "ETIMEDOUT": another one holds it, the message says which; "EACCES", "EINVAL" if it is no regular file or has other contents than a number, "EISDIR", "ELOOP", "ENOSPC", "EMFILE" ...
function flock.lockfile(path, opts) end

---@class lipc.flock.holder_options
---@field respect_pid? boolean a living process that the file names counts as holder although nobody has locked it

--- Who holds a lock file now; takes nothing. The kernel says whether it is locked, and /proc which processes have it;
--- where it does not (another user's, another container's), the number in the file, which anybody may have written.
--- -- see proc(5)
---@param path string
---@param opts? lipc.flock.holder_options
---@return integer|boolean|nil pid true: somebody, and who cannot be told; false: nobody, or there is no such file
---@return string? message
---@return string? code "EACCES", "ELOOP", "ENOSYS" without /proc
function flock.holder(path, opts) end

--- A lock in the way of another.
---@class lipc.flock.holding
---@field kind "flock"|"ofd"|"posix" of a whole file; of a range, by open file description or by process
---@field mode "exclusive"|"shared"
---@field start? integer the first byte of a range, from 0
---@field length? integer bytes of a range; nil: to the end
---@field pid? integer a process that holds it; nil where it cannot be told
---@field pids? integer[] all that hold it, several when it was inherited

--- What files and ranges have.
---@class lipc.flock.lockable
local Lockable = {}

--- Takes the lock: several may hold a shared one, or one an exclusive one. On what this object holds already it converts.
--- A file gives up its old lock before the new one is there, as flock(2) does: others may come in between, and a
--- conversion that fails has lost the lock (the message says so, `held()` too). A range keeps the old one
--- until it has the new one. A signal's callback, and Ctrl-C,
--- wait up to a tenth of a second for their turn. "EBADF": a range of a file that is not open for writing (exclusive) or reading (shared). "EDEADLK": a
--- posix range, where the kernel sees that the holder waits for this process; it sees that only while both wait inside the
--- kernel, not under a scheduler, which tries again after pauses. "ENOLCK": the kernel has no memory, or a lock service
--- of a network file system does not answer. -- see flock(2), fcntl(2) F_OFD_SETLKW, F_SETLKW
---@param mode "exclusive"|"shared"
---@param timeout? number seconds
---@return true? ok, string? message, string? code "ETIMEDOUT", "EDEADLK", "EBADF", "ENOLCK" ...
function Lockable:lock(mode, timeout) end

--- The same without waiting: "ETIMEDOUT". -- see flock(2) LOCK_NB
---@param mode "exclusive"|"shared"
---@return true? ok, string? message, string? code
function Lockable:trylock(mode) end

--- Gives the lock back; true also when there was none. Of a range it unlocks these bytes, whichever range object of the same
--- file has locked them; the rest of a larger one stays locked. -- see flock(2) LOCK_UN
---@return true? ok, string? message, string? code
function Lockable:unlock() end

--- What this object has taken and not given back. (The kernel's truth is wider: a duplicate (`of`), a child or an overlapping
--- range may have unlocked it meanwhile; a posix range is dropped when any descriptor of the file is closed.)
---@return "exclusive"|"shared"|false mode
function Lockable:held() end

--- Whether the lock could be had now; false and one of those in the way. Takes nothing. What this object's
--- description holds itself is never in the way. -- see fcntl(2) F_OFD_GETLK, proc(5)
---@param mode "exclusive"|"shared"
---@return boolean? free, lipc.flock.holding|string|nil holder_or_message, string? code "ENOSYS": of a whole file, without /proc
function Lockable:test(mode) end

--- Locks, calls fn with the object, and unlocks when that ends, by return, error or coroutine.close. Raises when this
--- object holds its lock already: coroutines that are to exclude one another open the file each.
---@param mode "exclusive"|"shared"
---@param fn fun(lock: any): ...
---@param timeout? number seconds
---@return any ... what fn returns; nil, message, code when the lock could not be had
function Lockable:with(mode, fn, timeout) end

--- A file, to be locked as a whole. Closing it gives the lock back, unless a forked child or a duplicate has it too.
---@class lipc.flock : lipc.object, lipc.flock.lockable
local File = {}

---@class lipc.flock.range_options
---@field posix? boolean a record lock of the process, as other programs' lockf(3): dropped when this process closes any descriptor of the file, not inherited by fork, not held against this process itself; deadlocks are detected

--- A range of bytes to lock; it may lie beyond the end. Locks nothing yet. By default a lock of the open file
--- description: ranges of one file object never hold off each other, and overlapping ones are merged and split
--- as the kernel does; what is to exclude each other within one process needs an `open` for each. Closing the file closes
--- its ranges; a range keeps its file from being collected. A range object that is collected while it is locked leaves the
--- lock to the file: it ends when that is closed, or when another range object unlocks these bytes; `close` and
--- `local r <close>` unlock. -- see fcntl(2)
---@param start integer byte offset from 0
---@param length? integer bytes; nil or 0: to the end, wherever that will be
---@param opts? lipc.flock.range_options
---@return lipc.flock.range range
function File:range(start, length, opts) end

--- A range of a file. It has no descriptor of its own; closing it gives the lock back (in a forked child, only the object).
---@class lipc.flock.range : lipc.object, lipc.flock.lockable
local Range = {}

--- A lock file that this process has taken.
---@class lipc.flock.lockfile : lipc.object
local Lockfile = {}

--- The pid in the file that was taken over: of a holder that ended without closing, as a rule because it was killed. The
--- number is what the file said. false: there was none.
---@return integer|false pid
function Lockfile:stale() end
