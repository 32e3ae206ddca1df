---@meta lipc.shm

--- Shared memory: objects with a name, as shm_open(3) makes them and other languages open them, and anonymous ones, for
--- children and for those who are sent the descriptor. -- see shm_overview(7), memfd_create(2)
---@class lipc.shm.module
local shm = {}

---@class lipc.shm.options
---@field size? integer bytes, needed to create. Of one that is there: how much of it is mapped, default all; it must have as much
---@field create? boolean makes it, all zero, if it is not there; default: "ENOENT". One that is there keeps size, mode and contents
---@field exclusive? boolean with create: "EEXIST" if it is there already
---@field mode? integer|string permission bits of one that is made, an octal string such as "0640" or a number; default "0600"; the umask is taken from it
---@field readonly? boolean writing is misuse then, and read permission enough
---@field unlink? boolean with create: the name of what this call has made is removed when the object is closed or collected (`os.exit(0)` does neither, `os.exit(0, true)` does); by the process that made it, and only if it still has the name
---@field guard? boolean default true: an object that others make shorter is an error, not SIGBUS
---@field reserve? boolean default true: what is made, or grows, gets its memory at once, and "ENOSPC" says that there is none. false: page by page, when first used; where there is none the guard answers
---@field populate? boolean the page table is filled at once
---@field init? fun(shm: lipc.shm) with create: called with what is made before anybody else can see it, to write headers; an error in it goes on, and nothing is left. It must not wait under a scheduler. Where two make one at once, the other's may be what is opened in the end

--- Opens an object, or makes it, and maps it. A name is "/" and at most 255 bytes without another "/"; anything else is misuse. One that
--- is made gets its name when it is whole: size, contents and memory; nobody sees it before, and a process that is killed
--- meanwhile leaves nothing. An object of 0 bytes can be opened: nothing is mapped until `resize`. -- see shm_open(3)
---@param name string
---@param opts? lipc.shm.options
---@return lipc.shm? shm, string? message, string? code "ENOENT", "EEXIST", "EACCES", "EINVAL": it is smaller than size, or no file; "ENOSPC": the message tells how large /dev/shm is and how much is free; "EFBIG", "ELOOP", "EMFILE", "ENFILE", "ENOMEM"
function shm.open(name, opts) end

--- Removes the name at once; who has the object open goes on with it, and the name is free for another. -- see shm_unlink(3)
---@param name string
---@return true? ok, string? message, string? code "ENOENT", "EACCES"; "EPERM": it is another user's
function shm.unlink(name) end

---@class lipc.shm.anonymous_options
---@field size integer bytes
---@field name? string what /proc/<pid>/maps shows, at most 249 bytes; it need not be the only one
---@field seal? boolean default true: nobody can make it shorter, so that it needs no guard. More seals: `shm:seal`
---@field populate? boolean its memory is taken at once; default: page by page, when first used

--- Makes an object without a name, all zero. A forked child has it; another process gets it by `sendfds` over a Unix socket, or
--- as a descriptor of `process.spawn`, and opens it with `shm.fromfd`. -- see memfd_create(2)
---@param opts lipc.shm.anonymous_options
---@return lipc.shm? shm, string? message, string? code "ENOSYS", "EMFILE", "ENFILE", "ENOMEM", "EFBIG"
function shm.anonymous(opts) end

---@class lipc.shm.fromfd_options
---@field size? integer bytes to map, default all
---@field readonly? boolean
---@field guard? boolean default true; what is sealed against shrinking needs none
---@field reserve? boolean for resize, default true
---@field populate? boolean

--- Takes over the descriptor of an object, which is closed with the mapping; when this fails it stays the caller's. It is mapped
--- read-only when the descriptor, or a seal, allows no more. A descriptor that is not open, or of something that cannot be
--- mapped, is misuse.
---@param fd integer
---@param opts? lipc.shm.fromfd_options
---@return lipc.shm? shm, string? message, string? code "EINVAL": smaller than size; "ENOMEM"
function shm.fromfd(fd, opts) end

--- An object of shared memory, mapped.
---@class lipc.shm : lipc.mapping.file
local Shm = {}

--- Forbids changes, to everybody and for ever: "shrink", "grow", "write" (this mapping becomes read-only as well), "future_write" (by all
--- but the mappings that there are), "seal" (more seals). `stat().seals` lists them. -- see fcntl(2) F_ADD_SEALS
---@param seal "shrink"|"grow"|"write"|"future_write"|"seal"
---@param ... "shrink"|"grow"|"write"|"future_write"|"seal"
---@return true? ok, string? message, string? code "EBUSY": write, while another mapping can write, or locks are in this one; "EPERM", "EINVAL": it takes no more seals, or is not anonymous
function Shm:seal(seal, ...) end
