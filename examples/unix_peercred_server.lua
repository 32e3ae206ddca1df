-- A unix socket server that checks who connected: the kernel says so, nobody can lie about it.
--   lua5.4 examples/unix_peercred_server.lua [path [clients]]
-- The socket has mode 0600 from its first moment, so that only this user (and root) gets that far at all; a program
-- that opens its socket to others (mode = "0666") decides here whom to serve.
local ipc = require "lipc"
local socket = ipc.socket

local path = arg[1] or assert(socket.runtimedir()) .. "/peercred.sock"
local clients = math.tointeger(arg[2] or math.huge) or math.huge

-- a path that a crashed server left behind is replaced, a living server's never
local listener <close> = assert(socket.listen { path = path })
-- told to end, it ends by an error: that closes the listener, and closing it removes the path
for _, name in ipairs { "SIGINT", "SIGTERM", "SIGHUP" } do
  ipc.signal.on(name, function() error("ended by " .. name, 0) end)
end
print("listening at " .. path)
io.stdout:flush()

-- who we are is what a pair of our own says
local one, other = assert(socket.pair())
local me = assert(one:peercred())
one:close()
other:close()

local count = 0
while count < clients do
  local client <close> = assert(listener:accept())
  count = count + 1
  client:settimeout(5)
  local who = assert(client:peercred())
  if who.uid == me.uid then
    client:write(("welcome, process %d of user %d\n"):format(who.pid, who.uid))
    print(("served process %d"):format(who.pid))
  else
    client:write "not for you\n"
    print(("refused user %d"):format(who.uid))
  end
end
