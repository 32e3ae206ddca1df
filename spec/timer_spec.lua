-- Timers: timerfd_create(2).
local ipc = require "lipc"
local peer = require "support.peer"

local SOON = 30 -- seconds: longer than anything here takes

describe("timer", function()
  local open

  before_each(function() open = {} end)
  after_each(function()
    for _, t in ipairs(open) do t:close() end
  end)
  local function new(...)
    local t = assert(ipc.timer.open(...))
    open[#open + 1] = t
    return t
  end

  it("is disarmed at first", function()
    local t = new()
    assert.equal(("lipc.timer (fd %d)"):format(t:fd()), tostring(t))
    assert.same({ 0.0, 0.0 }, { t:get() })
    assert.same({ nil, "timer:wait: timed out", "ETIMEDOUT" }, { t:wait(0.01) })
    assert.equal("r", t:events())
  end)

  it("fires once, not too early", function()
    for _, clock in ipairs { "monotonic", "realtime", "boottime" } do
      local t = new { clock = clock }
      assert.equal(t, t:set(1000))
      assert.equal("ETIMEDOUT", select(3, t:wait(0)))
      local left, interval = t:get()
      assert.is_true(left > 0 and left <= 1000 and interval == 0)
      local start = ipc.timer.now(clock)
      assert.equal(t, t:set(0.02))
      assert.equal(1, t:wait(SOON))
      -- the realtime clock may be slewed meanwhile, and is not finer than a microsecond in a number
      assert.is_true(ipc.timer.now(clock) - start >= 0.02 - 1e-4)
      assert.equal("ETIMEDOUT", select(3, t:wait(0)))
      assert.equal(0.0, (t:get()))
    end
  end)

  it("fires at once when told 0", function()
    assert.equal(1, new():set(0):wait(SOON))
    assert.equal(1, new():set(0, { absolute = true }):wait(SOON))
  end)

  it("fires again and again, and counts what was missed", function()
    local t = new()
    local start = ipc.now()
    t:set(0.005, { interval = 0.01 })
    local n = 0
    while n < 5 do n = n + t:wait(SOON) end
    assert.is_true(ipc.now() - start >= 0.045 - 1e-6)
    local _, interval = t:get()
    assert.is_true(math.abs(interval - 0.01) < 1e-9)
    -- nobody waits for a while: the next wait gets all of it
    ipc.sleep(0.05)
    local missed = t:wait(0)
    assert.is_true(missed >= 3, missed)
    assert.equal("integer", math.type(missed))
  end)

  it("takes a time on its clock", function()
    for _, clock in ipairs { "monotonic", "realtime", "boottime" } do
      local t = new { clock = clock }
      t:set(ipc.timer.now(clock) + 1000, { absolute = true })
      local left = t:get()
      assert.is_true(left > 0 and left <= 1000 + 1e-6, left)
      local at = ipc.timer.now(clock) + 0.02
      t:set(at, { absolute = true })
      assert.equal(1, t:wait(SOON))
      assert.is_true(ipc.timer.now(clock) >= at - 1e-6)
      t:set(at - 1, { absolute = true }) -- is over
      assert.equal(1, t:wait(SOON))
    end
    assert.is_true(math.abs(ipc.timer.now() - ipc.now()) < SOON)
    assert.is_true(math.abs(ipc.timer.now "realtime" - os.time()) < SOON)
  end)

  it("forgets what it was set to when it is set again or disarmed", function()
    local t = new()
    t:set(0):set(100)
    assert.equal("ETIMEDOUT", select(3, t:wait(0.01)))
    assert.is_true(t:get() > 90)
    t:set(0.001, { interval = 0.001 })
    assert.is_truthy(t:wait(SOON))
    ipc.sleep(0.01)
    assert.equal(t, t:disarm())
    assert.equal("ETIMEDOUT", select(3, t:wait(0.01)))
    assert.same({ 0.0, 0.0 }, { t:get() })
  end)

  -- the clock itself belongs to the whole machine: only what the kernel was asked for is looked at
  it("can be cancelled by a change of the clock", function()
    local t = new { clock = "realtime" }
    assert.equal(t, t:set(ipc.timer.now "realtime" + 100, { absolute = true, cancel = true }))
    local flags
    for line in io.lines("/proc/self/fdinfo/" .. t:fd()) do
      flags = flags or line:match "^settime flags:%s*(%d+)"
    end
    assert.equal("03", flags)
  end)

  it("is adopted, and refused when it is none", function()
    local t = new()
    t:set(0)
    local again = ipc.timer.fromfd(t:detach())
    open[#open + 1] = again
    assert.equal(1, again:wait(SOON))
    local e = ipc.eventfd.open()
    assert.error_matches(function() ipc.timer.fromfd(e:fd()) end, "#1.*not a timer")
    e:close()
  end)

  it("refuses misuse", function()
    local t = new()
    assert.error_matches(function() t:set() end, "#1")
    assert.error_matches(function() t:set(-1) end, "#1.*range")
    assert.error_matches(function() t:set(0 / 0) end, "#1.*range")
    assert.error_matches(function() t:set(math.huge) end, "#1.*range")
    assert.error_matches(function() t:set(1, { interval = -1 }) end, "option 'interval'")
    assert.error_matches(function() t:set(1, { cancel = true }) end, "needs 'absolute'")
    assert.error_matches(function() t:set(1, { every = 1 }) end, "unknown option 'every'")
    assert.error_matches(function() ipc.timer.open { clock = "wall" } end, "option 'clock'.*'wall'")
    assert.error_matches(function() ipc.timer.now "wall" end, "#1")
    t:close()
    assert.error_matches(function() t:set(1) end, "closed timer")
  end)

  it("has an example", function()
    local out, ok = peer.example "timer"
    assert.is_true(ok, out)
    -- how many beats one wait gets depends on how busy the machine is
    assert.is_truthy(out:find "^beat 1\t%d+\nbeat 2\t%d+\nbeat 3\t%d+\nsome beats went by meanwhile\n", out)
    assert.is_truthy(out:find "\nnil\ttimer:wait: timed out\tETIMEDOUT\n1\n$", out)
  end)
end)
