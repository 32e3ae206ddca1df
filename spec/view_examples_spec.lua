-- The examples of views, run as a reader would run them.
local peer = require "support.peer"

describe("the example", function()
  it("view_counter loses nothing", function()
    assert.equal("160000 of 160000\n", peer.shown "view_counter")
    assert.matches("^%d+ of 160000\n$", peer.shown("view_counter", "plain"))
  end)

  it("view_records shows what each process has written", function()
    assert.equal("1\tdone\t10\t5.5\n2\tdone\t20\t10.5\n3\tdone\t30\t15.5\nitems\t10 20 30\n", peer.shown "view_records")
  end)
end)
