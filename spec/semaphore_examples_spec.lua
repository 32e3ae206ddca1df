-- The examples of semaphores, POSIX and System V, run as a reader would run them.
local peer = require "support.peer"

describe("the example", function()
  it("semaphore_file tears no entry", function()
    assert.equal("200 entries of 200, 0 torn\n", peer.shown "semaphore_file")
  end)

  it("semaphore_limit never passes its limit", function()
    assert.equal("40 pieces of work, never more than 3 at a time; 3 slots are free again\n", peer.shown "semaphore_limit")
    assert.equal("25 pieces of work, never more than 1 at a time; 1 slots are free again\n", peer.shown("semaphore_limit", 5, 1))
  end)

  it("sysv_sem lets philosophers eat, and gives back what a killed one held", function()
    assert.equal("100 meals, forks on the table: 1 1 1 1 1\nthe fork of the one who was killed is back\n", peer.shown "sysv_sem")
  end)
end)
