-- The examples of shared objects, run as a reader would run them.
local peer = require "support.peer"

describe("the example", function()
  it("shared_value shows what the child has changed", function()
    assert.equal("3.1415927\n-1 -2 -3 -4 -5 -6 -7 -8 -9 -10\n", peer.shown "shared_value")
  end)

  it("shared_counters loses no word", function()
    assert.equal("and\t600\nbird\t300\ncat\t300\ndog\t300\nthe\t900\n", peer.shown("shared_counters", 3))
  end)

  it("shared_named shows whole changes only", function()
    assert.equal("the last of 500 points is 500, -500\n", peer.shown("shared_named", 500))
  end)
end)
