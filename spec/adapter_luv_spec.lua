-- lipc under luv.
local ipc = require "lipc"
local ticks = require "support.ticks"

describe("under luv", function()
  local uv, adapter, failure
  setup(function()
    uv = require "luv"
    adapter = require "lipc.adapter.luv"
    adapter.onerror(function(_, traceback) failure = traceback end)
  end)

  local function new()
    return {
      spawn = function(fn) adapter.wrap(fn) end,
      run = function()
        failure = nil
        uv.run()
        if failure then error(failure, 0) end
      end,
    }
  end

  ticks.tests(_ENV, new)
  ticks.nested(_ENV, new)

  it("leaves luv's own timers and handles alone", function()
    local r, w = assert(ipc.pipe.open())
    local order = {}
    adapter.wrap(function()
      local line = r:read "l"
      order[#order + 1] = line
    end)
    local timer = uv.new_timer()
    timer:start(1, 0, function()
      order[#order + 1] = "timer"
      timer:close()
      assert(w:write "line\n")
    end)
    uv.run()
    assert.same({ "timer", "line" }, order)
    r:close()
    w:close()
  end)

  it("ends when nobody waits any more, although the objects are open", function()
    local r, w = assert(ipc.pipe.open())
    local code
    adapter.wrap(function() code = select(3, r:readsome(1, 0.01)) end)
    uv.run()
    assert.equal("ETIMEDOUT", code)
    assert.is_false(uv.loop_alive())
    r:close()
    w:close()
  end)

  it("forgets a coroutine that is closed while it waits", function()
    local r, w = assert(ipc.pipe.open())
    local closed
    local co = adapter.wrap(function()
      local _ <close> = setmetatable({}, { __close = function() closed = true end })
      r:readsome(1, 3600)
    end)
    adapter.wrap(function() coroutine.close(co) end)
    uv.run()
    assert.is_true(closed)
    r:close()
    w:close()
  end)

  it("hands errors to onerror", function()
    failure = nil
    adapter.wrap(function(what) error("oops " .. what) end, "here")
    uv.run()
    assert.matches("oops here\nstack traceback:", failure)
    assert.has_error.matches(function() adapter.onerror(3) end, "bad argument #1 to 'onerror'")
    assert.has_error.matches(function() adapter.wrap(3) end, "bad argument #1 to 'wrap'")
  end)
end)
