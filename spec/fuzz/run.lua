-- run.lua - fuzzes for so many seconds: lua run.lua [SECONDS [SEED [TARGET]]]; `make fuzz`.
-- Ends with "N passed, N failed" and, where something failed, with the input and how to run it again.
-- SPDX-License-Identifier: MIT
local engine = require "fuzz.engine"
local ipc = require "lipc"

local seconds = tonumber(arg[1]) or 60
local seed = math.tointeger(tonumber(arg[2])) or os.time()
local names = {}
for name in pairs(engine.targets) do
  if (arg[3] or "") == "" or arg[3] == name then names[#names + 1] = name end
end
table.sort(names)
assert(#names > 0, "no such target")

local terminal = os.execute "test -t 2" == true
local passed, failed = 0, 0
for i, name in ipairs(names) do
  local began = ipc.now()
  local share = seconds / #names
  local done, failure = engine.run {
    target = name, seed = seed,
    stop = function(rounds)
      local spent = ipc.now() - began
      if terminal and rounds % 1024 == 0 then
        io.stderr:write(("\r%-16s %3d %%  %d rounds "):format(name, 100 * (i - 1 + math.min(1, spent / share)) // #names, rounds))
      end
      return spent >= share
    end,
  }
  if terminal then io.stderr:write "\r\27[K" end
  print(("%-16s SEED=%d, %d rounds in %.1f s: %s"):format(name, seed, done, ipc.now() - began, failure and "FAILED" or "ok"))
  if failure then
    failed = failed + 1
    print(("round %d; as a line of spec/fuzz/corpus/%s.txt:\n%s\n%s"):format(failure.round, engine.targets[name].corpus,
      engine.encode(failure.input), failure.problem))
  else
    passed = passed + 1
  end
end
print(("\n%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0, true)
