-- The benches of views, for bench/run.lua: bench/peer_view.lua against empty checked method calls of the
-- same run, and against bench/twin_view.c.  `tools` is what run.lua measures and reports with.
return function(tools)
  -- The C library gives large blocks back to the kernel and takes them anew, which is page faults and nothing
  -- that is measured here: in the programs of both sides it keeps them.
  local KEEP = "MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_MMAP_THRESHOLD_=33554432 "
  local TWIN, PEER = KEEP .. "build/bench/twin_view ", KEEP .. tools.lua .. " bench/peer_view.lua "

  -- The price of one operation, in empty checked method calls.
  local function calls(what, count, target)
    return function(name)
      local medians, values = tools.rounds_of {
        lua = ("%s %s %d"):format(PEER, what, count), c = PEER .. "call 3000000",
      }
      tools.report(name, "ns", medians, tools.ratio_of(values, "lua", "c"), { at_most = target }, "call", "calls")
    end
  end

  -- Bytes per second, against memcpy.
  local function bytes(what, size, count)
    return function(name)
      local arguments = ("%s %d %d"):format(what, size, count)
      local medians, values = tools.rounds_of { lua = PEER .. arguments, c = TWIN .. arguments }
      for who, ns in pairs(medians) do medians[who] = size / ns end
      tools.report(name, "GB/s", medians, tools.ratio_of(values, "c", "lua"), { at_least = 0.8 }, "memcpy")
    end
  end

  -- Two processes, each with a counter of its own: next to the other's, or in a cache line of its own.
  local function sharing(name)
    local function pair(program, distance, count)
      local command = ("env %s count %d %d"):format(program, distance, count)
      return ("%s pair %s -- %s"):format(TWIN, command, command)
    end
    local medians, values = tools.rounds_of {
      lua = pair(PEER, 64, 2000000), together = pair(PEER, 8, 2000000), c = pair(TWIN, 64, 20000000),
      c_together = pair(TWIN, 8, 20000000),
    }
    tools.report(name, "ns", { lua = medians.lua, c = medians.together }, tools.ratio_of(values, "lua", "together"), nil,
      "packed", "padded/packed")
    print(("%-34s in C: %.1f ns an addition, %.1f when both counters lie in one cache line"):format("", medians.c,
      medians.c_together))
  end

  return {
    { "view v[i] get+set", calls("element", 3000000, 2.8) },
    { "view atomic add", calls("add", 3000000, 2.4) },
    { "view atomic add, method in a local", calls("addlocal", 3000000, 1.8) },
    { "view 1,000,000 f64 to a table", calls("totable", 5, 0.4) },
    { "view 1,000,000 f64 from a table", calls("fromtable", 5, 0.4) },
    { "view string out 64 KiB", bytes("out", 65536, 10000) },
    { "view string out 1 MiB", bytes("out", 1048576, 1000) },
    { "view string out 16 MiB", bytes("out", 16777216, 50) },
    { "view string in 64 KiB", bytes("in", 65536, 20000) },
    { "view string in 1 MiB", bytes("in", 1048576, 1000) },
    { "view string in 16 MiB", bytes("in", 16777216, 50) },
    { "view false sharing", sharing },
  }
end
