-- The examples of views, run as a reader would run them.
local peer = require "support.peer"

describe("the example", function()
  it("view_counter loses nothing", function()
    local out, ok = peer.example "view_counter"
    assert.is_true(ok, out)
    assert.equal("160000 of 160000\n", out)
    out, ok = peer.example("view_counter", "plain")
    assert.is_true(ok, out)
    assert.matches("^%d+ of 160000\n$", out)
  end)

  it("view_records shows what each process has written", function()
    local out, ok = peer.example "view_records"
    assert.is_true(ok, out)
    assert.equal("1\tdone\t10\t5.5\n2\tdone\t20\t10.5\n3\tdone\t30\t15.5\nitems\t10 20 30\n", out)
  end)
end)
