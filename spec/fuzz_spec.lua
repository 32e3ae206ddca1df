-- A short run of the fuzzer (`make fuzz` is a long one), and whether it would find something.
local engine = require "fuzz.engine"

local ROUNDS = 1500

describe("fuzzing", function()
  local seed = math.tointeger(tonumber(os.getenv "LIPC_SEED")) or 1

  for name, target in pairs(engine.targets) do
    it("of the " .. name .. " finds nothing", function()
      for _, input in ipairs(engine.corpus(name)) do target.check(input, math.random) end
      local done, failure = engine.run { target = name, seed = seed, rounds = ROUNDS }
      assert(not failure, failure and ("LIPC_SEED=%d round %d: %s\n%s"):format(seed, failure.round,
        engine.encode(failure.input), failure.problem))
      assert.equal(ROUNDS, done)
    end)
  end

  it("makes the same input of the same seed and round, and another of others", function()
    local options = { seed = 7, inputs = engine.corpus "server" }
    local one = engine.input(options, 3)
    assert.equal(one, engine.input(options, 3))
    local others = {}
    for round = 1, 50 do others[engine.input(options, round)] = true end
    local count = 0
    for _ in pairs(others) do count = count + 1 end
    assert.is_true(count > 40)
  end)

  it("notes what it finds so that it can be found again", function()
    engine.targets.planted = {
      corpus = "server", check = function(input) assert(not input:find("PUB[^\n]*\t"), "planted") end,
    }
    local _, failure = engine.run { target = "planted", seed = seed, rounds = 100000 }
    engine.targets.planted = nil
    assert.matches("planted", failure.problem)
    assert.equal(failure.input, engine.input({ seed = seed, inputs = engine.corpus "server" }, failure.round))
    assert.equal(failure.input, engine.decode(engine.encode(failure.input)))
  end)
end)
