-- The examples of ipc.sync, run as a user would.
local peer = require "support.peer"

describe("example", function()
  it("sync_counter adds up exactly in each way", function()
    assert.equal("semaphore\t16000\nmutex\t16000\natomic\t16000\n", peer.shown("sync_counter", "2000"))
  end)

  it("sync_buffer hands on every item once", function()
    assert.equal(("600 items taken, sum %d\n"):format(300 * 301), peer.shown("sync_buffer", "300"))
  end)

  it("sync_crash recovers the lock of a worker that was killed", function()
    assert.equal("the worker ended by SIGKILL\nlocked:\tEOWNERDEAD\nfound:\t70\t0\nnow:\t70\t30\ttrue\n", peer.shown "sync_crash")
  end)
end)
