---@meta lipc.fifo

--- Pipes with a name in the file system, for processes that are no relatives. Contents live as long as somebody has
--- the FIFO open, the name until it is removed. -- see fifo(7)
---@class lipc.fifo.module
local fifo = {}

---@class lipc.fifo.options
---@field timeout? number seconds to wait for the other side; default: for ever
---@field keep? boolean holds the other end itself too: opening does not wait, a reader meets no end and a writer no "EPIPE" when its peers leave
---@field create? boolean makes the FIFO if it is not there; default: "ENOENT"
---@field mode? integer|string permission bits of a FIFO that is made, an octal string such as "0640" or a number, at most "7777"; default "0600"; the umask is taken from it, as always
---@field mknod? boolean makes it by mknod(2) instead of mkfifo(3)
---@field exclusive? boolean with create: "EEXIST" if it is there already
---@field unlink? boolean with create: what this call has made is removed when the object is closed or collected (`os.exit(0)` does neither, `os.exit(0, true)` does), or opening failed; by the process that made it, and only if it still has the name

--- Opens a FIFO and waits until the other side has opened it too, as open(2) does, but no longer than the timeout, and
--- with other coroutines running. "rw" never waits. Opens nothing else: "EINVAL" ("not a FIFO"), for a symbolic
--- link "ELOOP"; a device is not touched. Waiting for a reader, and for a writer that says nothing, is trying again after
--- pauses of at most 10 ms. Under "rw" both directions are one pipe: what is written is read by whoever comes first.
--- -- see open(2), mkfifo(3)
---@param path string
---@param mode "r"|"w"|"rw"
---@param opts? lipc.fifo.options
---@return lipc.fifo.reader|lipc.fifo.writer|lipc.fifo.rw|nil fifo, string? message, string? code "ETIMEDOUT", "ENOENT", "EACCES", "EEXIST", "EINVAL", "ELOOP" ...
function fifo.open(path, mode, opts) end

--- Takes over an open FIFO; it keeps its flags and is closed with the object. A descriptor that is not open or no pipe is
--- misuse.
---@param fd integer
---@return lipc.fifo.reader|lipc.fifo.writer|lipc.fifo.rw fifo
function fifo.fromfd(fd) end

---@class lipc.fifo.make_options
---@field mode? integer|string permission bits, an octal string such as "0640" or a number, at most "7777"; default "0600"; the umask is taken from it, as always
---@field exclusive? boolean "EEXIST" if it is there already
---@field mknod? boolean by mknod(2) instead of mkfifo(3)

--- Makes a FIFO. One that is there already is as good, and keeps its mode: of several processes that make it at once
--- all succeed. -- see mkfifo(3), mknod(2)
---@param path string
---@param opts? lipc.fifo.make_options
---@return true? ok, boolean|string made_or_message whether this call has made it, string? code "EEXIST", "EACCES", "ENOENT", "EINVAL" or "ELOOP" if something else has the name
function fifo.make(path, opts) end

--- Removes a FIFO and nothing else. Who has it open goes on. -- see unlink(2)
---@param path string
---@return true? ok, string? message, string? code "ENOENT", "EINVAL" if it is no FIFO, "ELOOP", "EACCES", "EPERM"
function fifo.unlink(path) end

--- A FIFO opened to read. "EOF" when the last writer has left; reading goes on when the next one comes.
---@class lipc.fifo.reader : lipc.pipe.input
local Reader = {}

--- Waits until somebody has it open to write, or something is there to read: after "EOF", for the next writer. One that
--- comes and leaves without a word may be missed. (One adopted in blocking mode sees writers only by what they write.)
---@param timeout? number seconds
---@return true? ok, string? message, string? code
function Reader:waitpeer(timeout) end

--- A FIFO opened to write. "EPIPE" when the last reader has left; writing goes on when the next one comes.
---@class lipc.fifo.writer : lipc.pipe.output
local Writer = {}

--- Waits until somebody has it open to read: after "EPIPE", for the next reader.
---@param timeout? number seconds
---@return true? ok, string? message, string? code
function Writer:waitpeer(timeout) end

--- A FIFO opened for both; `splice` moves out of it.
---@class lipc.fifo.rw : lipc.pipe.input, lipc.stream.output
local Both = {}

--- True at once: it is its own peer.
---@param timeout? number seconds
---@return true? ok, string? message, string? code
function Both:waitpeer(timeout) end
