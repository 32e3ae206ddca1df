-- Passing open files from one process to another: the receiver can use what it could never have opened.
-- This script starts itself a second time; the two meet at a unix socket.
--   lua5.4 examples/socket_fd_passing.lua
local ipc = require "lipc"
local socket = ipc.socket

local function receiver(path)
  local s <close> = assert(socket.connect { path = path, timeout = 10 })
  -- the data, and the descriptors that came with it
  local names, fds = assert(s:recvfds(1000, { maxfds = 2, timeout = 10 }))
  print("received: " .. names)
  local reader <close> = ipc.pipe.fromfd(fds[1])
  local writer <close> = ipc.pipe.fromfd(fds[2])
  print("read from the pipe: " .. assert(reader:read "l"))
  assert(writer:write "thank you\n")
end

if arg[1] then return receiver(arg[1]) end

local path = os.tmpname()
os.remove(path)
local listener <close> = assert(socket.listen { path = path })
local child = assert(io.popen(("'%s' '%s' '%s'"):format(os.getenv "LUA" or arg[-1], arg[0], path)))
local s <close> = assert(listener:accept(10))

local there_r, there_w <close> = assert(ipc.pipe.open())
local back_r <close>, back_w = assert(ipc.pipe.open())
assert(there_w:write "a message in a pipe\n")
assert(s:sendfds("a reader and a writer", { there_r, back_w }))
there_r:close() -- they are the receiver's now; our copies may go
back_w:close()
print("the receiver says: " .. assert(back_r:read()))
io.write(child:read "a")
assert(child:close())
