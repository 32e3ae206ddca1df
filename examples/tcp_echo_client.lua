-- A client of tcp_echo_server.lua: sends its lines and prints what comes back.
--   lua5.4 examples/tcp_echo_client.lua port [line ...]
local ipc = require "lipc"

local port = assert(math.tointeger(arg[1]), "usage: tcp_echo_client.lua port [line ...]")

-- one deadline for looking the name up and for trying each of its addresses
local server <close> = assert(ipc.socket.connect { host = "localhost", port = port, timeout = 5 })
server:settimeout(5)

for i = 2, #arg do
  assert(server:write(arg[i], "\n"))
  print(assert(server:read()))
end

assert(server:shutdown "w") -- we have said all; the server reads the end
local nothing, _, code = server:read()
assert(nothing == nil and code == "EOF")
