-- The examples of ipc.sync, run as a user would.
local peer = require "support.peer"

describe("example", function()
  it("sync_counter adds up exactly in each way", function()
    local out, ok = peer.example("sync_counter", "2000")
    assert.equal("semaphore\t16000\nmutex\t16000\natomic\t16000\n", out)
    assert.is_true(ok)
  end)

  it("sync_buffer hands on every item once", function()
    local out, ok = peer.example("sync_buffer", "300")
    assert.equal(("600 items taken, sum %d\n"):format(300 * 301), out)
    assert.is_true(ok)
  end)

  it("sync_crash recovers the lock of a worker that was killed", function()
    local out, ok = peer.example "sync_crash"
    assert.equal("the worker ended by SIGKILL\nlocked:\tEOWNERDEAD\nfound:\t70\t0\nnow:\t70\t30\ttrue\n", out)
    assert.is_true(ok)
  end)
end)
