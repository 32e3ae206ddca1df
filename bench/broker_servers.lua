-- The brokers that bench/broker.lua compares, and runs of clients against them.  A server here is { process, urls by kind };
-- each serves all rounds, and one variant after the other runs in each round.
local ipc = require "lipc"

local servers = {}

-- Room for 1,000 connections where the shell has 1,024 descriptors.
local MANY_DESCRIPTORS = { "sh", "-c", 'ulimit -n 4096; exec "$@"', "sh" }

local function with_descriptors(...)
  return table.move({ ... }, 1, select("#", ...), #MANY_DESCRIPTORS + 1, table.move(MANY_DESCRIPTORS, 1, 4, 1, {}))
end

---@param ... string  the program; it says "ready" when it is, and ends with its input
function servers.spawn(...)
  local command = with_descriptors(...)
  command.stdin, command.stdout, command.pdeathsig = "pipe", "pipe", "SIGKILL"
  local process = assert(ipc.process.spawn(command))
  assert(process.stdout:read "l" == "ready", "a program of the bench does not start")
  return process
end

function servers.stop(process)
  if process.stdin then process.stdin:close() else process:kill "SIGKILL" end
  process:wait(60)
end

local function free_port()
  local listener <close> = assert(ipc.socket.listen { host = "127.0.0.1", port = 0 })
  return listener:getsockname().port
end

local started = 0

-- Our broker, on a Unix socket or over TCP.
function servers.ours(lua, kind)
  started = started + 1
  local url, command
  if kind == "unix" then
    local path = assert(ipc.socket.runtimedir()) .. ("/bench-%d-%d.sock"):format(ipc.signal.getpid(), started)
    url, command = "unix://" .. path, { "--unix", path }
  else
    local port = free_port()
    url, command = "nats://127.0.0.1:" .. port, { "-p", tostring(port), "--insecure" }
  end
  command = with_descriptors(lua, "lua/lipc/cli/lipc", "broker", table.unpack(command))
  command.stdin, command.stderr, command.pdeathsig = "null", "pipe", "SIGKILL"
  local process = assert(ipc.process.spawn(command))
  for line in process.stderr:lines() do
    if line:find "Server is ready" then return process, url end
  end
  error "our broker does not start"
end

-- A file with a configuration, while the server starts.
local function configured(text, start)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  local process <const> = start(path)
  return process, path
end

-- With nothing in its configuration that would cut a subscriber which lags, as everywhere below.
function servers.nats()
  local process, path = configured("max_pending: 1073741824\nwrite_deadline: \"60s\"\n", function(path)
    return assert(ipc.process.spawn { "nats-server", "-a", "127.0.0.1", "-p", "-1", "-c", path, stdin = "null",
      stdout = "null", stderr = "pipe", pdeathsig = "SIGKILL" })
  end)
  local port
  for line in process.stderr:lines() do
    port = port or line:match "Listening for client connections on 127%.0%.0%.1:(%d+)"
    if line:find "Server is ready" then break end
  end
  os.remove(path)
  return process, "nats://127.0.0.1:" .. assert(port, "nats-server does not start")
end

-- Waits until somebody listens there.
local function await(port, process, what)
  for _ = 1, 100 do
    local socket = ipc.socket.connect { host = "127.0.0.1", port = port }
    if socket then return socket:close() end
    assert(process:wait(0.05) == nil, what .. " does not start")
  end
  error(what .. " does not start")
end

function servers.redis()
  local port = free_port()
  local process = assert(ipc.process.spawn { "redis-server", "--bind", "127.0.0.1", "--port", tostring(port), "--save", "",
    "--appendonly", "no", "--client-output-buffer-limit", "pubsub 0 0 0", stdin = "null", stdout = "null", stderr = "null",
    pdeathsig = "SIGKILL" })
  await(port, process, "redis-server")
  return process, tostring(port)
end

function servers.mosquitto()
  local port = free_port()
  local text = ("listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser root\n"):format(port)
  local process, path = configured(text, function(path)
    return assert(ipc.process.spawn { "mosquitto", "-c", path, stdin = "null", stdout = "null", stderr = "null",
      pdeathsig = "SIGKILL" })
  end)
  await(port, process, "mosquitto")
  os.remove(path)
  return process, tostring(port)
end

-- Seconds of processor time that a process has used.
local function cpu_seconds(pid)
  local file <close> = assert(io.open(("/proc/%d/stat"):format(pid)))
  local user, system = file:read("a"):match "%) %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+) (%d+)"
  return (user + system) / 100
end

-- One run: messages a second at the slowest subscriber, and microseconds of the broker's processor time a message.
local function flow(variant, subscribers)
  local subs, before = {}, cpu_seconds(variant.server:pid())
  for i = 1, subscribers do
    subs[i] = assert(io.popen(("%s sub %s %d"):format(variant.client, variant.url, variant.count)))
    assert(subs[i]:read "l" == "ready")
  end
  assert(os.execute(("%s pub %s %d"):format(variant.client, variant.url, variant.count)))
  local slowest = math.huge
  for i = 1, subscribers do
    local rate = subs[i]:read "n"
    assert(subs[i]:close() and rate, "a subscriber failed")
    slowest = math.min(slowest, rate)
  end
  return slowest, (cpu_seconds(variant.server:pid()) - before) / variant.count * 1e6
end

local function roundtrip(variant)
  local responder = servers.spawn(table.unpack(variant.responder))
  local run = assert(io.popen(("%s request %s %d"):format(variant.client, variant.url, variant.count)))
  local microseconds = run:read "n"
  assert(run:close() and microseconds, "the requester failed")
  servers.stop(responder)
  return microseconds
end

---Runs all variants in turn.
---@param variants { name: string, server: any, url: string, client: string, count: integer, responder: string[]? }[]
---@param subscribers integer  0: round trips
---@return table<string, number[]> values  by variant, round by round: messages a second, or microseconds
---@return table<string, number[]> costs   microseconds of the broker's processor time a message
function servers.measure(variants, rounds, subscribers)
  local values, costs = {}, {}
  for _, variant in ipairs(variants) do values[variant.name], costs[variant.name] = {}, {} end
  for i = 1, rounds do
    for _, variant in ipairs(variants) do
      local value, cost
      if subscribers > 0 then value, cost = flow(variant, subscribers) else value = roundtrip(variant) end
      values[variant.name][i], costs[variant.name][i] = value, cost
    end
  end
  return values, costs
end

return servers
