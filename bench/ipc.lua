-- The benches of message queues, semaphores and locks, for bench/run.lua: bench/peer_ipc.lua against
-- bench/twin_ipc.c.  `tools` is what run.lua measures and reports with.
return function(tools)
  local TWIN, PEER = "build/bench/twin_ipc", tools.lua .. " bench/peer_ipc.lua"

  local function pair(kind, first, second) return ("%s pair %s %s -- %s"):format(TWIN, kind, first, second) end

  local function both(kind, program, count, roles, timeout)
    local function command(role) return ("%s %s %s %d 64 %s"):format(program, role, kind, count, timeout or "") end
    return pair(kind, command(roles[1]), command(roles[2]))
  end

  -- lipc against C, and lipc with a timeout against lipc without.
  local function queues(name, kind, count, roles, unit, target, timed_target)
    local medians, values = tools.rounds_of {
      lua = both(kind, PEER, count, roles), c = both(kind, TWIN, count, roles),
      timed = both(kind, PEER, count, roles, 10),
    }
    local scale = unit == "k/s" and 1e3 or 1
    for who, m in pairs(medians) do medians[who] = m / scale end
    tools.report(name, unit, medians, tools.ratio_of(values, "lua", "c"), target)
    tools.report(name .. ", timed", unit, { lua = medians.timed, c = medians.lua },
      tools.ratio_of(values, "timed", "lua"), timed_target, "untimed")
  end

  local function oneway(kind)
    return function(name)
      queues(name, kind, 500000, { "send", "recv" }, "k/s", { at_least = 0.85 }, { at_least = 0.9 })
    end
  end

  local function roundtrip(kind)
    return function(name)
      queues(name, kind, 20000, { "ping", "pong" }, "us", { at_most = 1.1 }, { at_most = 1.1 })
    end
  end

  local operations = tools.against_c(PEER, TWIN)

  -- What lipc costs over C, in empty checked method calls.
  local function semaphore(name)
    local medians, values = tools.rounds_of {
      lua = PEER .. " sem 3000000", c = TWIN .. " sem 3000000", call = PEER .. " call 5000000",
    }
    local calls = {}
    for i = 1, #values.lua do calls[i] = (values.lua[i] - values.c[i]) / values.call[i] end
    tools.report(name, "ns", medians, tools.median(calls), { at_most = 2.5 }, nil, "calls over C")
    print(("%-34s an empty checked method call: %.1f ns"):format("", medians.call))
  end

  return {
    { "mqueue one-way 64 B", oneway "mqueue" },
    { "mqueue round trip 64 B", roundtrip "mqueue" },
    { "System V queue one-way 64 B", oneway "sysv" },
    { "System V queue round trip 64 B", roundtrip "sysv" },
    { "semaphore post+wait", semaphore },
    { "System V semop pair", operations("semop", 1000000, { at_most = 1.15 }) },
    { "System V semop pair, undo", operations("semundo", 1000000) },
    { "flock lock+unlock", operations("flock", 1000000, { at_most = 1.1 }) },
    { "byte range lock+unlock", operations("range", 1000000, { at_most = 1.1 }) },
  }
end
