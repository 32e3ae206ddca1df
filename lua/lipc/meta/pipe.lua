---@meta lipc.pipe

--- One-way channels between relatives: whoever inherits an end, or is passed it, can use it. All writers closed: end of
--- stream; all readers closed: "EPIPE". After a fork both processes hold both ends: close the one not used, or the
--- end of the stream never comes. A writer that uses many small writes saves time by
--- `ipc.signal.ignore("SIGPIPE")` where the kernel is older than Linux 6.18. -- see pipe(7)
---@class lipc.pipe.module
local pipe = {}

---@class lipc.pipe.options
---@field size? integer the kernel's buffer in bytes, rounded up; "EPERM" beyond /proc/sys/fs/pipe-max-size
---@field packet? boolean each write of at most 4096 bytes (PIPE_BUF) is a message that one `readsome` gives; what is longer is several; what does not fit into the read is lost

--- Makes a pipe; both ends are close-on-exec. -- see pipe2(2)
---@param opts? lipc.pipe.options
---@return lipc.pipe.reader? reader, lipc.pipe.writer|string writer_or_message, string? code "EMFILE", "ENFILE", "EPERM", "ENOMEM"
function pipe.open(opts) end

--- Takes over an open end of a pipe or FIFO; it keeps its flags, is waited for with a deadline also when it is in blocking
--- mode, and is closed with the object. A descriptor that is not open or no pipe is misuse.
---@param fd integer
---@return lipc.pipe.reader|lipc.pipe.writer end_ a reader where it can be read
function pipe.fromfd(fd) end

--- What can be done with the end of a pipe or FIFO that reads.
---@class lipc.pipe.input : lipc.stream.input
local Input = {}

--- The size of the kernel's buffer, after setting it where it is given. -- see fcntl(2) F_SETPIPE_SZ
---@param bytes? integer rounded up by the kernel
---@return integer? bytes, string? message, string? code "EBUSY" if it holds more, "EPERM" beyond /proc/sys/fs/pipe-max-size
function Input:capacity(bytes) end

--- Moves bytes to a descriptor, file or object without copying them through this process. What was read ahead goes first.
--- A Lua file should be flushed before. -- see splice(2)
---@param to integer|file*|lipc.object
---@param max integer bytes
---@param timeout? number seconds
---@return integer? bytes, string? message, string? code "EOF" at the end, "EPIPE", "EINVAL" for what cannot be spliced to
function Input:splice(to, max, timeout) end

--- Copies to another pipe what stays to be read here, from the first unread byte on. -- see tee(2)
---@param to integer|file*|lipc.object a pipe or FIFO
---@param max integer bytes
---@param timeout? number seconds
---@return integer? bytes, string? message, string? code "EOF" at the end, "EPIPE", "EINVAL" when it is no pipe, or this one
function Input:tee(to, max, timeout) end

--- What can be done with the end of a pipe or FIFO that writes.
---@class lipc.pipe.output : lipc.stream.output
local Output = {}

--- The size of the kernel's buffer, after setting it where it is given. -- see fcntl(2) F_SETPIPE_SZ
---@param bytes? integer rounded up by the kernel
---@return integer? bytes, string? message, string? code "EBUSY" if it holds more, "EPERM" beyond /proc/sys/fs/pipe-max-size
function Output:capacity(bytes) end

--- Moves bytes from a descriptor, file or object into this pipe without copying them through this process; what was not
--- flushed here goes first. A Lua file's own buffer is not looked at. -- see splice(2)
---@param from integer|file*|lipc.object
---@param max integer bytes
---@param timeout? number seconds
---@return integer? bytes, string? message, string? code "EOF" when from has ended, "EPIPE", "EINVAL" for what cannot be spliced from
function Output:splice(from, max, timeout) end

--- The end that reads.
---@class lipc.pipe.reader : lipc.pipe.input

--- The end that writes.
---@class lipc.pipe.writer : lipc.pipe.output
