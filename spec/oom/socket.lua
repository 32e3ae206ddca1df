-- Every constructor and method of sockets.  Look-ups in the thread are left out: numeric hosts and
-- "localhost" need none, and what the thread allocates is not Lua's.
local socket = require "lipc".socket
local probe = require "support.probe"

local objects = {}

-- An object to be closed in the end; or the failure, which ends the script.
local function must(o, message, code)
  if o == nil then error({ message, code }, 0) end
  objects[#objects + 1] = type(o) == "userdata" and o or nil
  return o
end

local function script()
  local path = ("/tmp/lipc-%d-oom.sock"):format(probe.getpid())
  local l = must(socket.listen { path = path, backlog = 5, mode = 384 })
  local c = must(socket.connect { path = path, timeout = 10, sndbuf = 20000 })
  local s = must(l:accept(10))
  must(tostring(l))
  must(c:write("one\n", "two\n"))
  must(s:read("l", "l"))
  must(s:peercred())
  must(s:getsockname())
  must(c:getpeername())
  must(s:setoption("linger", false))
  must(s:getoption "type")
  must(s:getoption "sndbuf")
  assert(s:getoption "error" == false)
  must(c:sendfds("data", { 0, s }))
  local data, fds, code = s:recvfds(100, { maxfds = 5 })
  must(data, fds, code)
  socket.closefds(fds)
  must(c:sendfds("data", { 0, s }))
  local _, message, why = s:recvfds(100, { maxfds = 1 })
  if why ~= "EMSGSIZE" then must(nil, message, why) end
  must(c:setvbuf "full")
  must(c:write "held")
  must(c:shutdown "w")
  must(s:read "a")

  local t = must(socket.listen { host = "localhost", port = 0 })
  must(socket.connect { host = "localhost", port = must(t:getsockname()).port, timeout = 10, nodelay = true })
  must(t:accept(10))
  must(socket.resolve { host = "::1", port = 1 })
  must(socket.runtimedir())

  local a, b = socket.pair { type = "seqpacket" }
  must(a, b)
  must(b)
  must(a:send "message")
  must(b:recv(3, 10))
  must(a:send "message")
  must(b:recv(nil, 10))

  local d = must(socket.datagram { abstract = "" })
  local e = must(socket.datagram { path = path .. "d" })
  must(e:sendto("to d", must(d:getsockname())))
  must(d:recvfrom(100, 10))
  must(e:connect(must(d:getsockname())))
  local fd = e:detach()
  local fine, adopted = pcall(socket.fromfd, fd)
  if not fine then probe.close(fd) error(adopted, 0) end
  must(adopted)
  os.remove(path .. "d")
end

local ok, err = pcall(script)
for _, o in ipairs(objects) do o:close() end
os.remove(("/tmp/lipc-%d-oom.sockd"):format(probe.getpid()))
if not ok then
  if type(err) == "table" then return nil, err[1], err[2] end
  error(err, 0)
end
