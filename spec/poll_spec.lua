-- ipc.poll: both backends.
local ipc = require "lipc"

for _, backend in ipairs { "epoll", "poll" } do
  describe("poll by " .. backend, function()
    local p, r, w
    before_each(function()
      p = assert(ipc.poll.open { backend = backend })
      r, w = assert(ipc.pipe.open())
    end)
    after_each(function()
      p:close()
      r:close()
      w:close()
    end)

    it("tells what is ready, and for what", function()
      assert.is_true(p:add(r, "r"))
      assert.same({ nil, "poll:wait: timed out", "ETIMEDOUT" }, { p:wait(0) })
      assert(w:write "x")
      assert.equal(1, p:wait(10))
      assert.same({ r, "r" }, { p:ready(1) })
      assert.is_nil(p:ready(2))
      assert.is_true(p:add(w:fd(), "w"))
      assert.equal(2, p:wait())
      local what = {}
      for i = 1, 2 do
        local obj, events = p:ready(i)
        what[obj] = events
      end
      assert.same({ [r] = "r", [w:fd()] = "w" }, what)
    end)
  end)
end
