-- A broker that clients over TCP have to show a secret to: lua broker_token.lua
-- Any NATS client can, in any language:  nats pub --server nats://s3cret@host:4222 greeting hello
local ipc = require "lipc"

local path = ("%s/token-%d.sock"):format(assert(ipc.socket.runtimedir()), ipc.signal.getpid())
local broker <close> = assert(ipc.broker.start { path = path, tcp = "127.0.0.1:0", token = "s3cret" })

-- the URL of TCP has it; whoever is told only where the broker is has not
local url = broker:url "tcp"
local bare = url:gsub("//.*@", "//")

for name, where in ipairs { url, bare, (bare:gsub("//", "//guess@")), broker:url "unix" } do
  local c, message, code = ipc.connect(where)
  if c then
    assert(c:publish("greeting", "hello") and c:flush(5))
    print(name, "let in")
    c:close()
  else
    print(name, code, message:match "[^:]*$")
  end
end
