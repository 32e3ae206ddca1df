-- Counters: eventfd(2).
local ipc = require "lipc"
local peer = require "support.peer"
local probe = require "support.probe"

local SOON = 30 -- seconds: longer than anything here takes

describe("eventfd", function()
  local open

  before_each(function() open = {} end)
  after_each(function()
    for _, e in ipairs(open) do e:close() end
  end)
  local function new(...)
    local e = assert(ipc.eventfd.open(...))
    open[#open + 1] = e
    return e
  end

  it("counts until it is taken", function()
    local e = new()
    assert.equal(("lipc.eventfd (fd %d)"):format(e:fd()), tostring(e))
    assert.is_true(e:add(2))
    assert.is_true(e:add(3))
    assert.is_true(e:add(0))
    assert.equal(5, e:take())
    assert.equal("integer", math.type((e:add(1) and e:take())))
    assert.same({ nil, "eventfd:take: timed out", "ETIMEDOUT" }, { e:take(0) })
  end)

  it("starts where it is told", function()
    assert.equal(7, new({ initial = 7 }):take(0))
    assert.equal(0xffffffff, new({ initial = 0xffffffff }):take(0))
    assert.equal("ETIMEDOUT", select(3, new({ initial = 0 }):take(0)))
  end)

  it("as a semaphore gives one at a time", function()
    local e = new { initial = 2, semaphore = true }
    e:add(1)
    for _ = 1, 3 do assert.equal(1, e:take(0)) end
    assert.equal("ETIMEDOUT", select(3, e:take(0)))
  end)

  it("waits while the sum would pass 2^64 - 2", function()
    local e, max = new(), math.maxinteger
    assert.is_true(e:add(max, 0))
    assert.is_true(e:add(max, 0)) -- 2^64 - 2: the end
    assert.same({ nil, "eventfd:add: timed out", "ETIMEDOUT" }, { e:add(1, 0.01) })
    assert.equal(-2, e:take(0)) -- as all unsigned numbers in Lua: %u would show it
    assert.is_true(e:add(1, 0))
  end)

  it("honours a default timeout, and waits no less", function()
    local e = new()
    assert.equal(e, e:settimeout(0.02))
    local start = ipc.now()
    assert.equal("ETIMEDOUT", select(3, e:take()))
    assert.equal("ETIMEDOUT", select(3, e:take(0.02)))
    assert.is_true(ipc.now() - start >= 0.04)
  end)

  it("wakes another process, and is woken by it", function()
    local out = peer.run [[
      local probe = require "support.probe"
      io.stdout:setvbuf "no"
      local ping, pong = ipc.eventfd.open(), ipc.eventfd.open()
      local me = probe.getpid()
      probe.forkhere()
      if probe.getpid() ~= me then
        for i = 1, 100 do pong:add(ping:take(30) + 1) end
        os.exit(0, true)
      end
      for i = 1, 100 do
        ping:add(i)
        assert(pong:take(30) == i + 1)
      end
      probe.waitall()
      print "done"]]
    assert.equal("done\n", out)
  end)

  it("keeps deadlines in blocking mode, which giving it to a child makes", function()
    local e = assert(ipc.eventfd.open())
    assert(ipc.process.spawn { "true", fds = { [3] = e } }):wait(60)
    assert(e:add(math.maxinteger))
    assert(e:add(math.maxinteger, 0))
    assert.same({ nil, "eventfd:add: timed out", "ETIMEDOUT" }, { e:add(5, 0) })
    assert.equal("ETIMEDOUT", select(3, e:add(5, 0.01)))
    assert.equal(-2, e:take()) -- 2^64-2, as an integer of Lua
    assert.is_true(e:add(5, 60))
    assert.equal(5, e:take(0))
    assert.equal("ETIMEDOUT", select(3, e:take(0)))
    e:close()
  end)

  it("does not spin while there is room, but not enough", function()
    local e = assert(ipc.eventfd.open())
    assert(e:add(math.maxinteger))
    assert(e:add(math.maxinteger - 10))
    local before = os.clock()
    assert.equal("ETIMEDOUT", select(3, e:add(100, 0.5)))
    assert.is_true(os.clock() - before < 0.25, "a wait that uses the processor")
    e:close()
  end)

  it("is adopted from a program in Python, in blocking mode, and stays so", function()
    local script = peer.command [[
      local peer = require "support.peer"
      local before = peer.fdflags(9)
      local e = ipc.eventfd.fromfd(9)
      print(e:take(), (select(3, e:take(0.01))), before & 2048, before == peer.fdflags(9))
      print(e:add(3), e:take())]]
    local python = [==[
import ctypes, os, sys
os.dup2(ctypes.CDLL(None).eventfd(5, 0), 9)
os.execvp("sh", ["sh", "-c", sys.argv[1]])]==]
    local p = peer.sh(("python3 -c %s %s"):format(peer.quote(python), peer.quote(script)))
    assert.equal("5\tETIMEDOUT\t0\ttrue\ntrue\t3\n", p:read "a")
    p:close()
  end)

  it("gives its descriptor away", function()
    local e = new()
    e:add(4)
    local fd = e:detach()
    assert.error_matches(function() e:take() end, "closed eventfd")
    assert.is_truthy(probe.fds()[fd]:find "cloexec")
    local again = ipc.eventfd.fromfd(fd)
    assert.equal(4, again:take(SOON))
    assert.is_true(again:close())
    assert.is_true(again:close())
  end)

  it("refuses misuse", function()
    local e = new()
    assert.error_matches(function() e:add() end, "#1")
    assert.error_matches(function() e:add(-1) end, "#1.*negative")
    assert.error_matches(function() e:add(1.5) end, "#1")
    assert.error_matches(function() e:take(-1) end, "#1.*negative")
    assert.error_matches(function() e:take(0 / 0) end, "#1 to 'take' %(timeout must not be NaN%)")
    assert.error_matches(function() e.take(io.stdout) end, "lipc.eventfd expected")
    assert.error_matches(function() ipc.eventfd.open { initial = -1 } end, "option 'initial'")
    assert.error_matches(function() ipc.eventfd.open { initial = 1 << 32 } end, "option 'initial'")
    assert.error_matches(function() ipc.eventfd.open { flags = 1 } end, "unknown option 'flags'")
    local r, w = ipc.pipe.open()
    assert.error_matches(function() ipc.eventfd.fromfd(r:fd()) end, "#1.*not an eventfd")
    r:close()
    w:close()
    e:close()
    assert.error_matches(function() e:add(1) end, "closed eventfd")
    assert.error_matches(function() ipc.eventfd.fromfd(987654) end, "#1.*not open")
  end)

  it("has an example", function()
    local out, ok = peer.example "eventfd"
    assert.is_true(ok, out)
    assert.equal("5\nnil\teventfd:take: timed out\tETIMEDOUT\na job\na job\na job\n", out)
  end)
end)
