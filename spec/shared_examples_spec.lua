-- The examples of shared objects, run as a reader would run them.
local peer = require "support.peer"

describe("the example", function()
  it("shared_value shows what the child has changed", function()
    local out, ok = peer.example "shared_value"
    assert.is_true(ok, out)
    assert.equal("3.1415927\n-1 -2 -3 -4 -5 -6 -7 -8 -9 -10\n", out)
  end)

  it("shared_counters loses no word", function()
    local out, ok = peer.example("shared_counters", 3)
    assert.is_true(ok, out)
    assert.equal("and\t600\nbird\t300\ncat\t300\ndog\t300\nthe\t900\n", out)
  end)

  it("shared_named shows whole changes only", function()
    local out, ok = peer.example("shared_named", 500)
    assert.is_true(ok, out)
    assert.equal("the last of 500 points is 500, -500\n", out)
  end)
end)
