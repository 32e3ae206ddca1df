-- The benches of locks in shared memory, for bench/run.lua: bench/peer_sync.lua against bench/twin_sync.c. `tools` is what
-- run.lua measures and reports with.
return function(tools)
  local TWIN, PEER = "build/bench/twin_sync", tools.lua .. " bench/peer_sync.lua"

  -- What a pair of operations costs, in empty checked method calls; beside it what C needs.
  local function in_calls(what, count, target)
    return function(name)
      local medians, values = tools.rounds_of {
        lua = ("%s %s %d"):format(PEER, what, count), c = ("%s %s %d"):format(TWIN, what, count),
        call = ("%s call %d"):format(PEER, 5000000),
      }
      tools.report(name, "ns", medians, tools.ratio_of(values, "lua", "call"), target, nil, "calls")
      print(("%-34s an empty checked method call: %.1f ns"):format("", medians.call))
    end
  end

  return {
    { "mutex lock+unlock", in_calls("mutex", 3000000, { at_most = 3.5 }) },
    { "mutex with", in_calls("with", 1000000) },
    { "placed semaphore wait+post", in_calls("sem", 3000000) },
    { "rwlock rdlock+unlock", in_calls("rdlock", 1000000) },
    { "rwlock wrlock+unlock", in_calls("wrlock", 1000000) },
    { "mutex, 2 processes that count", tools.against_c(PEER, TWIN)("contended", 300000) },
  }
end
