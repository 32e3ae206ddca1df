---@meta lipc.mmap

--- Memory-mapped files: a file read, changed and shared as if it were memory; and anonymous memory that forked children
--- share. -- see mmap(2)
---@class lipc.mmap.module
local mmap = {}

---@class lipc.mmap.options
---@field offset? integer bytes from the beginning of the file, default 0; it need not be a multiple of the page size
---@field size? integer bytes, needed to create; default: all behind the offset
---@field readonly? boolean writing is misuse then, and read permission enough
---@field private? boolean what is written is seen by this mapping only and never reaches the file; read permission is enough
---@field create? boolean makes the file, offset + size zero bytes long, if it is not there; default: "ENOENT". One that is there keeps its size
---@field exclusive? boolean with create: "EEXIST" if it is there already
---@field mode? integer|string permission bits of one that is made, an octal string such as "0640" or a number; default "0600"; the umask is taken from it
---@field guard? boolean default true: a file that others make shorter is an error, not SIGBUS
---@field reserve? boolean default true: what is made, or grows, gets its room on the disk at once, where the file system can do that, and "ENOSPC" says that there is none. false: sparse; where there is none later the guard answers
---@field populate? boolean the file is read, and the page table filled, at once
---@field init? fun(map: lipc.mmap) with create: called with what is made before anybody else can see it; an error in it goes on, and nothing is left. It must not wait under a scheduler

--- Opens a regular file and maps it, or the part of it that offset and size tell, which must be inside of it. A file that is made gets
--- its name when it is whole. An empty one can be opened: nothing is mapped until `resize`. A symbolic link as the last part of the path is
--- not followed. -- see mmap(2), open(2)
---@param path string
---@param opts? lipc.mmap.options
---@return lipc.mmap? map, string? message, string? code "ENOENT", "EEXIST", "EACCES", "EISDIR", "ELOOP", "EINVAL": no regular file, or it is shorter; "ENOSPC", "EFBIG", "ENOMEM": more than there are addresses; "EMFILE", "ENFILE"
function mmap.open(path, opts) end

---@class lipc.mmap.fromfd_options
---@field offset? integer bytes, default 0
---@field size? integer bytes, default: all behind the offset
---@field readonly? boolean
---@field private? boolean
---@field guard? boolean default true
---@field reserve? boolean for resize, default true
---@field populate? boolean

--- Takes over the descriptor of a file, which is closed with the mapping; when this fails it stays the caller's. One that is open for reading
--- only is mapped read-only. A descriptor that is not open, or of something that cannot be mapped, is misuse.
---@param fd integer
---@param opts? lipc.mmap.fromfd_options
---@return lipc.mmap? map, string? message, string? code "EINVAL": it is shorter; "ENOMEM", "EACCES"
function mmap.fromfd(fd, opts) end

---@class lipc.mmap.anonymous_options
---@field reserve? boolean default true: the memory is counted at once; false: where the system lets itself be overcommitted, not
---@field populate? boolean every page is there at once

--- Zeroed memory that this process and the children it forks share. It has no descriptor and cannot grow; what is to be passed on or to
--- grow is `ipc.shm.anonymous`. -- see mmap(2) MAP_ANONYMOUS
---@param size integer bytes
---@param opts? lipc.mmap.anonymous_options
---@return lipc.mmap? map, string? message, string? code "ENOMEM"
function mmap.anonymous(size, opts) end

--- A mapped file, or anonymous memory.
---@class lipc.mmap : lipc.mapping.file
