-- A classic mistake, failing safely: writing more than a pipe holds while nobody reads.
-- With io.popen or plain write(2) the first half hangs for ever, and the second kills the program
-- by SIGPIPE without a word.
local ipc = require "lipc"

-- 1. The reader is there but does not read: the pipe fills up (64 KiB), and the write has a deadline.
local r, w = assert(ipc.pipe.open())
w:settimeout(0.2)
local ok, message, code, written = w:write(("x"):rep(1000000))
assert(not ok)
print(message, code, written .. " bytes went") -- so many are in the pipe; the rest can be tried later

-- 2. The reader is dead: an error, not a signal.
r:close()
print(w:write "is anybody there?")

-- How to do it: read and write by turns (here: what fits), or in two coroutines on ipc.loop, or in two
-- processes.
r, w = assert(ipc.pipe.open())
local data, sent, got = ("0123456789"):rep(100000), 0, {}
while sent < #data do
  w:settimeout(0)
  local n = select(4, w:write(data:sub(sent + 1))) or #data - sent
  sent = sent + n
  got[#got + 1] = r:readsome(65536, 0)
end
w:close()
got[#got + 1] = r:read "a"
print(table.concat(got) == data and "all of it came through")
