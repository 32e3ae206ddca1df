local nats_backoff = require "lipc.proto.nats_backoff"

describe("proto.nats_backoff", function ()
  local function constant(value)
    return function () return value end
  end

  local function take(backoff, count)
    local pauses = {}
    for i = 1, count do pauses[i] = backoff:next() end
    return pauses
  end

  it("doubles its pauses up to the longest, and stays there", function ()
    assert.same({ 0.5, 1, 2, 4, 5, 5, 5 }, take(nats_backoff.new(0.5, 5, constant(1)), 7))
    assert.same({ 0.25, 0.5, 1, 2, 2.5, 2.5, 2.5 }, take(nats_backoff.new(0.5, 5, constant(0)), 7))
    assert.same({ 3, 3 }, take(nats_backoff.new(8, 3, constant(1)), 2)) -- the longest is that of the first too
    assert.equal(5, take(nats_backoff.new(0.5, 5, constant(1)), 10000)[10000])
    assert.same({ 0, 0 }, take(nats_backoff.new(0, 5, constant(1)), 2))
  end)

  it("begins anew when it is told to", function ()
    local backoff = nats_backoff.new(1, 8, constant(1))
    assert.same({ 1, 2, 4 }, take(backoff, 3))
    assert.equal(backoff, backoff:reset())
    assert.same({ 1, 2 }, take(backoff, 2))
  end)

  it("spreads clients over half of each pause, evenly", function ()
    local clients, tenths = 1000, {}
    local seed = 4711 -- what a client has: a generator of its own
    local function random()
      seed = seed * 6364136223846793005 + 1442695040888963407
      return (seed >> 11) * 2.0 ^ -53
    end
    local seen = {}
    for _ = 1, clients do
      local longest = 0.05
      for i, pause in ipairs(take(nats_backoff.new(0.05, 2, random), 8)) do
        assert.is_true(longest / 2 <= pause and pause <= longest, pause)
        assert.is_nil(seen[pause])
        seen[pause] = true
        if i == 8 then
          local tenth = math.min(9, (pause / longest - 0.5) * 20 // 1)
          tenths[tenth] = (tenths[tenth] or 0) + 1
        end
        longest = math.min(2 * longest, 2)
      end
    end
    for tenth = 0, 9 do
      assert.is_true(tenths[tenth] > clients / 20 and tenths[tenth] < clients / 5, tenth)
    end
  end)
end)
