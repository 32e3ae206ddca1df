-- The benches of pools, for bench/run.lua: bench/peer_pool.lua against Python's multiprocessing.Pool.  `tools` is what
-- run.lua measures and reports with.
return function(tools)
  local PEER = tools.lua .. " bench/peer_pool.lua"
  local PYTHON = "/usr/bin/python3 bench/peer_pool.py"

  -- Each with its defaults; 100,000 items are chunks of 12,500 for Python.  A new pool is measured from its making to its
  -- closing: ours have the items by fork and end in good order, Python sends them and ends its workers by a signal (to let
  -- them end takes it 100 ms more).  Of a kept pool it is a later map: both send the items.
  local function trivial(what, target)
    return function(name)
      local medians, values = tools.rounds_of {
        lua = ("%s %s 100000"):format(PEER, what), python = ("%s %s 100000"):format(PYTHON, what),
      }
      medians.c = medians.python
      tools.report(name, "ms", medians, tools.ratio_of(values, "python", "lua"), target, "Python", "times faster")
    end
  end

  -- What two workers do in the time of one.
  local function scaling(name)
    local medians, values = tools.rounds_of { lua = PEER .. " work 2", one = PEER .. " work 1" }
    medians.c = medians.one
    tools.report(name, "ms", medians, tools.ratio_of(values, "one", "lua"), { at_least = 1.9 }, "one worker", "times faster")
  end

  return {
    { "pool map of 100,000, new pool", trivial("whole", { at_least = 3 }) },
    { "pool map of 100,000, kept pool", trivial "again" },
    { "pool map of 1,000 of 1 ms", scaling },
  }
end
