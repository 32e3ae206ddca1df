-- The time limit of calls that have none (src/sys_bounded.c) in a host with threads: several sleep at once by one
-- signal, and somebody else takes that signal over meanwhile.  One thread alone: spec/sysv_msg_wait_spec.lua.
local ipc = require "lipc"
local child = require "support.child"
local names = require "support.names"

describe("bounded waits in several threads", function()
  local path, f
  before_each(function()
    path = names.path()
    f = assert(ipc.flock.open(path, { create = true }))
    assert(f:lock "exclusive") -- until the test is over
  end)
  after_each(function()
    f:close()
    os.remove(path)
  end)

  it("keep their deadlines, each its own", function()
    local ok, output = child.host("threads", ([[
      local ipc = require "lipc"
      local f = assert(ipc.flock.open(%q))
      barrier()
      for i = 1, rounds do
        local seconds = 0.01 * (index + i %% 3)
        local t = ipc.now()
        local ok, _, code = f:lock("exclusive", seconds)
        assert(not ok and code == "ETIMEDOUT", code)
        assert(ipc.now() - t >= seconds)
      end
      barrier()
    ]]):format(path), 4, 20, 10)
    assert.is_true(ok, output)
  end)

  for _, what in ipairs { "on", "ignore", "default" } do
    it("keep them when another thread takes SIGURG over: signal." .. what, function()
      local ok, output = child.host("threads", ([[
        local ipc = require "lipc"
        barrier()
        if index == 1 then
          local f = assert(ipc.flock.open(%q))
          local t = ipc.now()
          local ok, _, code = f:lock("exclusive", 0.6)
          assert(not ok and code == "ETIMEDOUT", code)
          print "timed out"
        else
          ipc.sleep(0.05) -- it sleeps by then, or will not use the signal at all: both are right
          local calls = 0
          local on = ipc.signal.%s("SIGURG", function() calls = calls + 1 end)
          ipc.sleep(1)
          assert(calls == 0, calls .. " signals that nobody sent")
        end
        barrier()
      ]]):format(path, what), 2, 1, 10)
      assert.is_true(ok, output)
      assert.matches("timed out", output)
    end)
  end
end)
