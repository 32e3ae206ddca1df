-- Signals under ipc.loop: callbacks run in the wait of the loop, queues suspend one task.
local ipc = require "lipc"
local signal = ipc.signal
local pid = signal.getpid()

-- Sends sig to this process when it is in a wait.
local function send_later(sig)
  assert(os.execute(([[(n=0; until grep -q poll /proc/%d/wchan || [ $n -gt 300 ]; do n=$((n+1)); done
    /usr/bin/kill -s %s %d) &]]):format(pid, sig, pid)))
end

describe("a signal under a loop", function()
  local loop
  before_each(function() loop = assert(ipc.loop.new()) end)
  after_each(function() loop:close() end)

  it("runs its callback while all tasks wait, and those wait on", function()
    local called
    local r, w = assert(ipc.pipe.open())
    local on = assert(signal.on("SIGUSR1", function(name)
      called = name
      w:write "x"
    end))
    local got
    loop:wrap(function() got = r:readsome(1) end)
    send_later "USR1"
    loop:run()
    assert.equal("SIGUSR1", called)
    assert.equal("x", got)
    on:close()
    r:close()
    w:close()
  end)

  it("may start a task, which runs at once although the loop was waiting for something else", function()
    local order = {}
    local r, w = assert(ipc.pipe.open())
    local on = assert(signal.on("SIGUSR1", function()
      loop:wrap(function()
        ipc.sleep(0.001)
        order[#order + 1] = "task"
        w:write "x"
      end)
    end))
    loop:wrap(function()
      local x = r:readsome(1)
      order[#order + 1] = x
    end)
    send_later "USR1"
    loop:run()
    assert.same({ "task", "x" }, order)
    on:close()
    r:close()
    w:close()
  end)

  it("may cancel a task, and stop the loop", function()
    local r, w = assert(ipc.pipe.open())
    local ended
    local task = loop:wrap(function()
      local _ <close> = setmetatable({}, { __close = function() ended = true end })
      r:readsome(1)
    end)
    local on = assert(signal.on("SIGUSR1", function() task:cancel() end))
    send_later "USR1"
    loop:run()
    assert.is_true(ended)
    on:close()
    on = assert(signal.on("SIGUSR1", function() loop:stop() end))
    task = loop:wrap(function() r:readsome(1) end)
    send_later "USR1"
    assert.is_false(loop:run())
    task:cancel()
    loop:run()
    on:close()
    r:close()
    w:close()
  end)

  it("whose callback fails ends run(), which can be called again", function()
    local r, w = assert(ipc.pipe.open())
    local on = assert(signal.on("SIGUSR1", function() error("boom", 0) end))
    local got
    loop:wrap(function() got = r:readsome(1) end)
    send_later "USR1"
    local ok, message = pcall(loop.run, loop)
    assert.is_false(ok)
    assert.matches("boom", message, 1, true)
    w:write "x"
    loop:run()
    assert.equal("x", got)
    on:close()
    r:close()
    w:close()
  end)

  it("is received by one task from a queue while others run", function()
    local q = assert(signal.set { "SIGRTMIN+1" })
    local ticks, sum, done = 0, 0, 0
    for _ = 1, 3 do
      loop:wrap(function()
        for _ = 1, 10 do
          local info = assert(q:receive(60))
          sum = sum + info.value
        end
        done = done + 1
      end)
    end
    loop:wrap(function()
      for i = 1, 30 do
        assert(signal.sigqueue(pid, "SIGRTMIN+1", i))
        ipc.sleep(0.0001)
      end
    end)
    loop:wrap(function()
      while done < 3 do
        ticks = ticks + 1
        ipc.sleep(0.0001)
      end
    end)
    loop:run()
    assert.equal(465, sum)
    assert.is_true(ticks > 1)
    loop:wrap(function() assert.equal("ECANCELED", select(3, q:receive())) end)
    loop:wrap(function() q:close() end)
    loop:run()
    assert.same({}, signal.block())
  end)

  it("is watched by every poller, also when the descriptor goes and comes again", function()
    local child = require "support.child"
    local _, finish = child.lua [[
      local ipc = require "lipc"
      local p = assert(ipc.poll.open())
      local function watched(fd)
        p:wait(0)
        local f <close> = assert(io.open("/proc/self/fdinfo/" .. p:fd()))
        return f:read "a":find("tfd:%s*" .. fd .. "%s") ~= nil
      end
      local e = ipc.eventfd.open()
      local fd = e:fd() -- the next descriptor, made by the first callback
      e:close()
      for _ = 1, 3 do
        local on = ipc.signal.on("SIGUSR1", function() end)
        assert(watched(fd))
        on:close()
      end
      assert(not watched(fd))
      local on = ipc.signal.on("SIGUSR1", function() end)
      assert(watched(fd) and ipc.signal.pollfd() == fd)
    ]]
    local ok, output = finish()
    assert.is_true(ok, output)
  end)

  it("has its callbacks run by a host's own loop", function()
    local _, finish = require "support.child".lua [[
      local probe, signal = require "support.probe", require "lipc".signal
      local fd = signal.pollfd()
      assert(fd == signal.pollfd())
      local n = 0
      local r = signal.on("SIGUSR1", function() n = n + 1 end)
      for i = 1, 3 do
        assert(not probe.readable(fd))
        os.execute("kill -USR1 " .. signal.getpid())
        assert(probe.readable(fd) and n == i - 1)
        assert(signal.dispatch() == 1 and n == i)
      end
      assert(not probe.readable(fd))
      r:close()
      assert(fd == signal.pollfd() and not probe.readable(fd)) -- the descriptor stays
    ]]
    local ok, output = finish()
    assert.is_true(ok, output)
  end)
end)
