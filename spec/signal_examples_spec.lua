-- The examples of signals, run as a user runs them.
local function run(command)
  local p = assert(io.popen('"$LUA" ' .. command .. " 2>&1"))
  local output = p:read "a"
  return p:close(), output
end

describe("the example", function()
  it("signal_safe ends in good order and does its jobs", function()
    local ok, output = run "examples/signal_safe.lua demo"
    assert.is_true(ok, output)
    assert.equal("configuration 2\n0 jobs done\njob one\njob two\nSIGTERM: 2 jobs done, tidying up\n", output)
  end)

  it("signal_safe is ended by Ctrl-C alike", function()
    local p = assert(io.popen 'exec "$LUA" examples/signal_safe.lua 2>&1')
    local pid = p:read "l":match "^process (%d+)$"
    require "lipc".signal.kill(math.tointeger(pid), "SIGINT")
    assert.equal("SIGINT: 0 jobs done, tidying up\n", p:read "a")
    assert.is_true(p:close())
  end)

  it("mistake_lost_signal loses it in the wrong way only", function()
    local ok, output = run "examples/mistake_lost_signal.lua"
    assert.is_true(ok, output)
    assert.equal([[
wrong: slept to the end although the signal was there: true
right: the pipe says !
right: the queue says SIGUSR1 from process itself
sent 3 and 3: 1 of SIGUSR1, real-time values 10 20 30
]], output)
  end)

  it("features lists them", function()
    local ok, output = run "examples/features.lua"
    assert.is_true(ok, output)
    assert.matches("\nplatform       %l+\n", output)
  end)
end)
