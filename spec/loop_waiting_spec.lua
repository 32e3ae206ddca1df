-- How tasks wait: what every scheduler must give, on both backends, and many at once.
local ipc = require "lipc"
local ticks = require "support.ticks"

for _, backend in ipairs { "epoll", "poll" } do
  describe("under a loop on " .. backend, function()
    local function new()
      local loop = assert(ipc.loop.new { backend = backend })
      return {
        spawn = function(fn) loop:wrap(fn) end,
        run = function() assert(loop:run()) end,
      }
    end
    ticks.tests(_ENV, new)
    ticks.nested(_ENV, new)

    it("serves 5,000 sockets", function()
      local loop = assert(ipc.loop.new { backend = backend })
      local n, all = 0, {}
      for i = 1, 2500 do
        local r, w, code = ipc.pipe.open()
        if not r then
          assert.equal("EMFILE", code)
          break
        end
        all[i] = { r, w }
        loop:wrap(function()
          assert.equal(tostring(i), r:read "l")
          n = n + 1
        end)
      end
      loop:step(0)
      loop:wrap(function()
        for i = #all, 1, -1 do assert(all[i][2]:write(i, "\n")) end
      end)
      assert.is_true(loop:run())
      assert.equal(#all, n)
      assert.is_true(n >= 400)
      for _, pair in ipairs(all) do
        pair[1]:close()
        pair[2]:close()
      end
      loop:close()
    end)
  end)
end
