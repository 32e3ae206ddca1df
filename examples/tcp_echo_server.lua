-- A TCP echo server for many clients at once: one coroutine for each, on one thread.
--   lua5.4 examples/tcp_echo_server.lua [port [clients]]
-- It says where it listens (port 0: any that is free) and, given a number of clients, ends after them.
local ipc = require "lipc"

local port, clients = math.tointeger(arg[1] or 0), math.tointeger(arg[2] or math.huge) or math.huge

local listener = assert(ipc.socket.listen { host = "127.0.0.1", port = port, nodelay = true })
print("listening on port " .. listener:getsockname().port)
io.stdout:flush()

local loop = assert(ipc.loop.new())

local function serve(client)
  local peer = client:getpeername()
  for line in client:lines "L" do
    if not client:write(line) then break end -- gone: "EPIPE" or "ECONNRESET", never a signal
  end
  print(("%s:%d is done"):format(peer.host, peer.port))
  client:close()
end

loop:run(function()
  local count = 0
  while count < clients do
    local client, message, code = listener:accept()
    if client then
      count = count + 1
      loop:wrap(serve, client)
    else -- "EMFILE": too many at once; the client stays in the queue until one has gone
      io.stderr:write(message, "\n")
      if code ~= "EMFILE" and code ~= "ENFILE" then break end
      ipc.sleep(0.1)
    end
  end
  listener:close()
end)
