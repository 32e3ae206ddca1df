-- Runs bench/broker.lua and bench/nats.c for bench/run.lua: our broker and nats-server, with the same Lua clients over TCP;
-- beside it our Unix socket, and nats-server with libnats.  Each broker serves all rounds; one variant after the other runs
-- in each round.
local ipc = require "lipc"

local COUNT = tonumber(os.getenv "COUNT") or 500000

local run = {}

-- A server whose end is that of `life`.
local function start_ours(lua, where)
  local process = assert(ipc.process.spawn { lua, "bench/broker.lua", "serve", where, stdin = "pipe", stdout = "pipe",
    pdeathsig = "SIGKILL" })
  assert(process.stdout:read "l" == "ready")
  return process
end

local function start_nats()
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write "max_pending: 1073741824\nwrite_deadline: \"60s\"\n"
  file:close()
  local process = assert(ipc.process.spawn { "nats-server", "-a", "127.0.0.1", "-p", "-1", "-c", path, stdin = "null",
    stdout = "null", stderr = "pipe", pdeathsig = "SIGKILL" })
  local port
  for line in process.stderr:lines() do
    port = port or line:match "Listening for client connections on 127%.0%.0%.1:(%d+)"
    if line:find "Server is ready" then break end
  end
  os.remove(path)
  return process, "nats://127.0.0.1:" .. assert(port, "nats-server does not start")
end

local function free_port()
  local listener <close> = assert(ipc.socket.listen { host = "127.0.0.1", port = 0 })
  return listener:getsockname().port
end

-- One run: messages a second at the subscriber.
local function measure(program, url)
  local sub = assert(io.popen(("%s sub %s %d"):format(program, url, COUNT)))
  assert(sub:read "l" == "ready")
  assert(os.execute(("%s pub %s %d"):format(program, url, COUNT)))
  local rate = sub:read "n"
  assert(sub:close() and rate, "the subscriber failed")
  return rate
end

-- all(lua, cc, rounds) -> rates by variant: lists, round by round
function run.all(lua, cc, rounds)
  local build = ("%s -std=gnu11 -O2 -Wall -o build/bench/nats bench/nats.c -lnats"):format(cc)
  assert(os.execute(build))
  local port = free_port()
  local path = assert(ipc.socket.runtimedir()) .. ("/bench-%d.sock"):format(ipc.signal.getpid())
  local tcp, unix = start_ours(lua, "127.0.0.1:" .. port), start_ours(lua, path)
  local nats, nats_url = start_nats()
  local client = lua .. " bench/broker.lua"
  local variants = {
    { "ours", client, "nats://127.0.0.1:" .. port }, { "nats", client, nats_url },
    { "unix", client, "unix://" .. path }, { "libnats", "build/bench/nats", nats_url },
  }
  local rates = {}
  for _, variant in ipairs(variants) do rates[variant[1]] = {} end
  for i = 1, rounds do
    for _, variant in ipairs(variants) do rates[variant[1]][i] = measure(variant[2], variant[3]) end
  end
  for _, process in ipairs { tcp, unix } do
    process.stdin:close()
    process:wait(10)
  end
  nats:kill "SIGKILL"
  nats:wait()
  return rates
end

return run
