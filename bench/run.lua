-- make bench: ratios to C twins that run beside in the same minute, medians of several rounds in
-- turn.  Ends non-zero when a ratio misses its target.
--   bench/run.lua [NAME ...]     only the benches whose name contains one of these
local rounds = tonumber(os.getenv "ROUNDS") or 7
local lua = os.getenv "LUA" or "lua5.4"
local cc = os.getenv "CC" or "cc"

assert(os.execute "mkdir -p build/bench")
for _, twin in ipairs { "twin", "twin_ipc", "twin_map", "twin_sync", "twin_view" } do
  assert(os.execute(("%s -std=gnu11 -O2 -Wall -pthread -o build/bench/%s bench/%s.c -lrt"):format(cc, twin, twin)))
end

local TWIN = "build/bench/twin"
local PEER = lua .. " bench/peer.lua"

local missed = 0

local function median(list)
  table.sort(list)
  return list[#list // 2 + 1]
end

-- What a command prints as a number.
local function measure(command)
  local p = assert(io.popen(command))
  local value = tonumber(p:read "a")
  local ok = p:close()
  if not (ok and value) then error("failed: " .. command, 0) end
  return value
end

-- Runs the commands in turn, round by round; their medians by name, and the ratios round by round.
local function rounds_of(commands)
  local values = {}
  for name in pairs(commands) do values[name] = {} end
  for i = 1, rounds do
    for name, command in pairs(commands) do values[name][i] = measure(command) end
  end
  local medians = {}
  for name, list in pairs(values) do medians[name] = median { table.unpack(list) } end
  return medians, values
end

local function ratio_of(values, a, b)
  local list = {}
  for i = 1, #values[a] do list[i] = values[a][i] / values[b][i] end
  return median(list)
end

-- at_least or at_most: the target of the ratio lipc / C.
local function report(name, unit, medians, ratio, target, other, what)
  local good = target == nil or (target.at_least and ratio >= target.at_least)
    or (target.at_most and ratio <= target.at_most)
  if not good then missed = missed + 1 end
  print(("%-36s lipc %10.1f  %s %10.1f %-7s %s %.2f  %s"):format(name, medians.lua, other or "C", medians.c, unit,
    what or "ratio", ratio,
    target == nil and "" or ("%s (target %s %.2f)"):format(good and "ok" or "MISSED",
      target.at_least and ">=" or "<=", target.at_least or target.at_most)))
end

-- Makes rows that run an operation so often in the program of lipc, and in its twin.
local function against_c(peer, twin)
  return function(what, count, target)
    return function(name)
      local medians, values = rounds_of {
        lua = ("%s %s %d"):format(peer, what, count), c = ("%s %s %d"):format(twin, what, count),
      }
      report(name, "ns", medians, ratio_of(values, "lua", "c"), target)
    end
  end
end

local function pair(channel, first, second)
  return ("%s pair %s %s -- %s"):format(TWIN, channel, first, second)
end

local function oneway(name, channel, count, size, target)
  local function both(program)
    return pair(channel, ("%s send %d %d"):format(program, count, size), ("%s recv %d %d"):format(program, count, size))
  end
  local medians, values = rounds_of { lua = both(PEER), c = both(TWIN) }
  for who, m in pairs(medians) do medians[who] = m / 1e3 end
  report(name, "k/s", medians, ratio_of(values, "lua", "c"), target)
end

local function roundtrip(name, channel, target)
  local function both(program) return pair(channel, program .. " ping 100000 64", program .. " pong 100000 64") end
  local medians, values = rounds_of { lua = both(PEER), c = both(TWIN) }
  report(name, "us", medians, ratio_of(values, "lua", "c"), target)
end

local benches = {
  { "pipe one-way 64 B", function(name) oneway(name, "pipe", 1000000, 64, { at_least = 0.85 }) end },
  { "pipe one-way 8 KiB", function(name) oneway(name, "pipe", 200000, 8192, { at_least = 0.95 }) end },
  { "pipe round trip 64 B", function(name) roundtrip(name, "pipe", { at_most = 1.1 }) end },
  { "unix stream one-way 64 B", function(name) oneway(name, "unix", 1000000, 64, { at_least = 0.85 }) end },
  { "unix stream one-way 8 KiB", function(name) oneway(name, "unix", 200000, 8192, { at_least = 0.95 }) end },
  { "unix stream round trip 64 B", function(name) roundtrip(name, "unix", { at_most = 1.1 }) end },
  { "pipe in C, other ways", function(name)
    local function send(mode, channel)
      return pair(channel, ("%s send 1000000 64 %s"):format(TWIN, mode), TWIN .. " recv 1000000 64")
    end
    local medians = rounds_of {
      nosignal = send("nosignal", "pipe"), masked = send("masked", "pipe"), plain = send("plain", "pipe"),
      blocking = send("plain", "pipe-blocking"),
    }
    print(("%-34s k/s: RWF_NOSIGNAL %.0f, SIGPIPE masked around each write %.0f, plain write %.0f, blocking %.0f")
      :format(name, medians.nosignal / 1e3, medians.masked / 1e3, medians.plain / 1e3, medians.blocking / 1e3))
  end },
  { "pipe buffered lines", function(name)
    local function both(program, channel)
      return pair(channel, program .. " putlines 2000000", program .. " getlines 2000000")
    end
    local medians, values = rounds_of { lua = both(PEER, "pipe"), c = both(TWIN, "pipe-blocking") }
    for who, m in pairs(medians) do medians[who] = m / 1e3 end
    report(name, "k/s", medians, ratio_of(values, "lua", "c"), { at_least = 0.5 })
  end },
  { "spawn and wait", function(name)
    local medians, values = rounds_of { lua = PEER .. " spawn 500", c = TWIN .. " spawn 500" }
    report(name, "us", medians, ratio_of(values, "lua", "c"), { at_most = 1.1 })
  end },
  { "spawn and wait, 1 GiB resident", function(name)
    local medians, values = rounds_of { lua = PEER .. " spawn 300 1024", c = TWIN .. " spawn 300" }
    report(name, "us", medians, ratio_of(values, "lua", "c"), { at_most = 1.2 })
  end },
}

local tools = {
  lua = lua, cc = cc, rounds = rounds, median = median, rounds_of = rounds_of, ratio_of = ratio_of, report = report,
  against_c = against_c,
}
for _, part in ipairs { "broker", "ipc", "map", "view", "sync", "shared", "pool" } do
  for _, bench in ipairs(require(part)(tools)) do benches[#benches + 1] = bench end
end

local function wanted(name)
  if #arg == 0 then return true end
  for _, pattern in ipairs(arg) do
    if name:find(pattern, 1, true) then return true end
  end
  return false
end

for _, bench in ipairs(benches) do
  if wanted(bench[1]) then
    local ok, message = pcall(bench[2], bench[1])
    if not ok then
      missed = missed + 1
      print(("%-34s FAILED: %s"):format(bench[1], message))
    end
  end
end
if missed > 0 then
  print(("%d of the targets missed"):format(missed))
  os.exit(1)
end
