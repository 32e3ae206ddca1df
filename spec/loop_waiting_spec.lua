-- How tasks wait: what every scheduler must give, on both backends, and many at once.
local ipc = require "lipc"
local heap = require "lipc.loop.heap"
local probe = require "support.probe"
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
        local r, w, code = ipc.socket.pair()
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

describe("a loop", function()
  local loop
  before_each(function() loop = assert(ipc.loop.new()) end)
  after_each(function() loop:close() end)

  it("does not turn for an event that nobody waits for", function()
    local r, w = assert(ipc.pipe.open())
    local e = assert(ipc.eventfd.open())
    loop:wrap(function()
      assert(r:readsome(1)) -- the rest stays
      ipc.sleep(0.05)
      e:take(0)
      ipc.sleep(0.05)
    end)
    loop:wrap(function() assert(w:write "xyz") end)
    local turns = 0
    while loop:step() do turns = turns + 1 end
    assert.is_true(turns < 20, turns)
    for _, o in ipairs { r, w, e } do o:close() end
  end)

  it("notices that a descriptor was closed unseen and its number used again", function()
    collectgarbage() -- nothing else is closed meanwhile, whose number would be the next
    collectgarbage()
    local r, w = assert(ipc.pipe.open())
    local r2, w2 = assert(ipc.pipe.open())
    local fd = r2:detach() -- lipc does not see its close
    loop:run(function() assert.equal("ETIMEDOUT", (select(3, w:splice(fd, 10, 0.001)))) end)
    assert.is_truthy(probe.close(fd))
    w2:close()
    r2, w2 = assert(ipc.pipe.open())
    assert.equal(fd, r2:fd())
    local deadline = ipc.now() + 60
    local got, before
    loop:run(function()
      got = r2:readsome(1, 60)
      before = ipc.now() < deadline -- at the deadline it would look once more
    end, function()
      ipc.sleep(0)
      assert(w2:write "x")
    end)
    assert.equal("x", got)
    assert.is_true(before)
    for _, o in ipairs { r, w, r2, w2 } do o:close() end
  end)

  it("wakes one that waits for both directions by either", function()
    local e = assert(ipc.eventfd.open())
    local wait, woken = loop.waiter.wait, 0
    loop:run(function()
      for _ = 1, 3 do
        wait(e:fd(), "rw", ipc.now() + 60)
        woken = woken + 1
      end
      wait(e:fd(), "r", ipc.now() + 60)
    end, function()
      while woken < 3 do ipc.sleep(0) end
      assert(e:add(1))
    end)
    assert.equal(3, woken)
    e:close()
  end)

  it("keeps its deadlines in order", function()
    local h, left = {}, {}
    for i = 1, 500 do
      left[i] = {}
      heap.want(h, left[i], i * 7919 % 1000)
    end
    for i = 1, 500, 5 do heap.want(h, left[i], left[i].key - 500) end
    for i = 2, 500, 5 do heap.later(h, left[i], left[i].key + 500) end
    for i = 3, 500, 5 do heap.remove(h, left[i]) end
    heap.remove(h, left[3])
    heap.want(h, left[1], left[1].key + 1) -- later: found again when the earlier key is met
    local n, last = 0, -math.huge
    while h[1] do
      assert.is_true(h[1].key >= last)
      last = h[1].key
      heap.remove(h, h[1])
      n = n + 1
    end
    assert.equal(400, n)
  end)

  it("may be closed again by a variable that its closing closes", function()
    local l = ipc.loop.new()
    l:wrap(function()
      local _ <close> = setmetatable({}, { __close = function() l:close() end })
      ipc.sleep(1000)
    end)
    l:step(0)
    assert.is_true(l:close())
    assert.equal("lipc.loop (closed)", tostring(l))
  end)

  it("can be closed in a child that one of its tasks forked", function()
    local status
    loop:run(function()
      local child = assert(ipc.process.fork(function() assert(loop:close()) end))
      status = child:wait()
    end)
    assert.same({ ok = true, code = 0 }, { ok = status.ok, code = status.code })
    assert.is_nil(status.error)
  end)
end)
