---@meta lipc.stream

--- What can be read like a Lua file: pipes, FIFOs, stream sockets. Reading is buffered in the object.
---@class lipc.stream.input : lipc.object
local Input = {}

--- Reads by formats, as `file:read`: "l" a line without its end (the default), "L" with it, "n" a number, "a" all until
--- the end, a count of bytes. Nothing is consumed until all formats are satisfied; at the end of the stream or an
--- error the results that were complete come first, then nil, message, code. "a" and the last, unended line
--- succeed at the end; after it the code is "EOF". What is no numeral for "n" is "EINVAL". A read that timed out
--- keeps what came for the next one. Uses the object's default timeout. -- see read(2)
---@param ... "l"|"L"|"n"|"a"|integer
---@return string|number|nil result, string|number|nil ...
function Input:read(...) end

--- An iterator over `read(...)` that ends with nil at the end of the stream; an error or a timeout raises.
---@param ... "l"|"L"|"n"|"a"|integer at most 250
---@return fun(): string|number|nil
function Input:lines(...) end

--- What is there, as soon as something is: 1 to max bytes, at most 65536. -- see read(2)
---@param max integer bytes
---@param timeout? number seconds
---@return string? data, string? message, string? code "EOF" at the end, "ETIMEDOUT", "ECONNRESET" ...
function Input:readsome(max, timeout) end

--- What can be written like a Lua file. Writing is unbuffered unless setvbuf asks.
---@class lipc.stream.output : lipc.object
local Output = {}

--- Writes strings and numbers, up to 16 of them with one system call, waiting as long as the object's default timeout
--- says. Several writers to a pipe never land inside each other's writes of at most 4096 bytes (PIPE_BUF). Never
--- raises SIGPIPE. -- see write(2), pipe(7)
---@generic T
---@param self T
---@param ... string|number
---@return T? self, string? message, string? code "EPIPE" without a reader, integer? written how many bytes of this call went (or, buffered, were taken)
function Output:write(...) end

--- Writes what is buffered. What could not go stays buffered.
---@generic T
---@param self T
---@param timeout? number seconds
---@return T? self, string? message, string? code
function Output:flush(timeout) end

--- Sets the buffering of writes, after flushing. A forked child starts with an empty buffer, and flushes it in the end;
--- collection drops what one attempt could not write. -- see setvbuf(3)
---@generic T
---@param self T
---@param mode "no"|"full"|"line"
---@param size? integer bytes, default 16384
---@return T? self, string? message, string? code
function Output:setvbuf(mode, size) end
