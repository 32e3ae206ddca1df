---@meta lipc.mapping

--- Whatever maps memory: `ipc.shm`, `ipc.mmap`, `ipc.sysv.shm` while it is attached. Nothing orders what processes do in it:
--- that is what locks (`ipc.sync`), semaphores and the atomic operations of views are for. Every access is checked
--- against the mapping as it is at that moment; what lies outside, or comes after close, raises and never touches memory.
---@class lipc.mapping : lipc.object
local Mapping = {}

--- How many bytes are mapped; `#mapping` is the same. The rest of the last page is out of bounds.
---@return integer bytes
function Mapping:size() end

--- Bytes as a string. Out of bounds is misuse.
---@param offset integer from 0
---@param n integer bytes
---@return string data
function Mapping:read(offset, n) end

--- Puts bytes into it. Out of bounds and a read-only mapping are misuse; nothing is written then.
---@param offset integer from 0
---@param data string
---@return true ok
function Mapping:write(offset, data) end

--- A typed window on it: see `ipc.view`.
---@param type lipc.view.type|lipc.view.layout
---@param offset? integer bytes, default 0; it need not be aligned
---@param count? integer elements, default as many as are whole up to the end
---@return lipc.view view
function Mapping:view(type, offset, count) end

--- A mapping of a file or an object of shared memory (`ipc.mmap`, `ipc.shm`). It keeps the descriptor: `fd()` can be sent to another process,
--- and `detach()` unmaps and gives it away. Closing unmaps at once: views of it raise. A forked child has the mapping
--- too; what it closes or resizes is its own.
---
--- A file can become shorter under a mapping, and a file system full: touching such a page would end the process by SIGBUS. The
--- guard, unless `guard = false`, answers with zero pages and marks the mapping: the call raises "lost mapping", and so
--- does every later one. It is a handler of SIGBUS, there while any guarded mapping is; what is not its own it hands on to the
--- disposition that was there before. A host that installs one later should hand on in the same way: what it does not is not guarded
--- until the next guarded mapping is made; nor is anything in a thread that blocks SIGBUS. A file that is cut inside of its last page is seen as zeros, without an error.
--- Nor does the guard see what the kernel is told to look at: a `semaphore` or `sync.mutex` in the mapping, see there.
---@class lipc.mapping.file : lipc.mapping
local File = {}

--- Writes a shared mapping's changes to the file's disk; other processes see them at once without. -- see msync(2)
---@param offset? integer|lipc.mapping.sync_options from 0, default: all of it
---@param n? integer bytes, default: to the end
---@param opts? lipc.mapping.sync_options
---@return true? ok, string? message, string? code "EIO"
function File:sync(offset, n, opts) end

---@class lipc.mapping.sync_options
---@field async? boolean only starts it

---@alias lipc.mapping.advice
---| "normal" | "random" | "sequential"
---| "willneed" | "dontneed" # read ahead; or drop the pages from this process, which a shared mapping reads again
---| "hugepage" | "nohugepage" | "dontdump" | "dodump" | "cold" | "pageout" | "populate_read" | "populate_write" # Linux

--- Tells the kernel what will be done with it. Nothing here changes the contents: "dontneed" of a private mapping, which would, is
--- misuse. -- see madvise(2)
---@param advice lipc.mapping.advice
---@param offset? integer default: all of it
---@param n? integer bytes
---@return true? ok, string? message, string? code "EINVAL": not this kernel, or not this mapping; "ENOMEM"; "EFAULT": populate, of a file that is too short
function File:advise(advice, offset, n) end

--- Brings its pages into memory and keeps them there, until unlock or close; a forked child does not inherit that. -- see mlock(2)
---@param offset? integer default: all of it
---@param n? integer bytes
---@return true? ok, string? message, string? code "ENOMEM", "EPERM": RLIMIT_MEMLOCK, which the message tells
function File:lock(offset, n) end

--- -- see munlock(2)
---@param offset? integer default: all of it
---@param n? integer bytes
---@return true? ok, string? message, string? code
function File:unlock(offset, n) end

--- Maps another number of bytes, from the same offset. What is too short grows (its room is reserved, unless `reserve = false`), if this
--- mapping may write to it; an object of `ipc.shm` also becomes shorter, for all who have it, while a file keeps what lies
--- beyond. Without a size: as much as there is now, which is how a reader follows a writer. A view goes on as long as all of it
--- lies in the mapping. One that reaches beyond the new end keeps its length, but each access raises, of its first elements
--- too, until the mapping is as large again; its `slice` of what is left, or a new view, goes on. A lost mapping is misuse. Private mappings with advice for parts of them: Linux's "EFAULT".
--- -- see mremap(2), fallocate(2), ftruncate(2)
---@param size? integer bytes
---@return true? ok, string? message, string? code "EBUSY": locks in it must stay where they are, so it neither moves nor shrinks; "ENOSPC"; "EPERM": sealed; "EFBIG"; "EINVAL": a mapping that may not write finds it shorter; "ENOTSUP": mmap.anonymous cannot grow; "ENOMEM"
function File:resize(size) end

--- What it is, and what the kernel knows of the file behind it.
---@return lipc.mapping.stat? stat, string? message, string? code
function File:stat() end

---@class lipc.mapping.stat
---@field type "shm"|"mmap"
---@field name? string
---@field size integer bytes mapped
---@field offset integer of the mapping in the file
---@field readonly boolean
---@field private boolean
---@field guard boolean whether the guard watches it
---@field lost boolean the guard had to answer: it cannot be used any more
---@field filesize? integer bytes that the file or object has now; this and what follows: not of mmap.anonymous
---@field dev? integer
---@field ino? integer
---@field mode? integer permission bits
---@field seals? ("seal"|"shrink"|"grow"|"write"|"future_write")[] of ipc.shm.anonymous; what can take none may say "seal"
