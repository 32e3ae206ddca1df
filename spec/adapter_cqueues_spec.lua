-- lipc under cqueues.
local ipc = require "lipc"
local ticks = require "support.ticks"

describe("under cqueues", function()
  local cqueues, adapter
  setup(function()
    cqueues = require "cqueues"
    adapter = require "lipc.adapter.cqueues"
  end)

  local function new()
    local cq = cqueues.new()
    return {
      cq = cq,
      spawn = function(fn) adapter.wrap(cq, fn) end,
      run = function() assert(cq:loop()) end,
    }
  end

  ticks.tests(_ENV, new)
  ticks.nested(_ENV, new)

  it("a lipc loop is an object that cqueues polls", function()
    local cq = cqueues.new()
    local loop = assert(ipc.loop.new())
    local r, w = assert(ipc.pipe.open())
    local order = {}
    loop:wrap(function()
      local line = r:read "l"
      order[#order + 1] = line
      ipc.sleep(0.01)
      order[#order + 1] = "slept"
    end)
    cq:wrap(function()
      while loop:step(0) do cqueues.poll(loop) end
    end)
    cq:wrap(function()
      cqueues.sleep(0)
      order[#order + 1] = "write"
      assert(w:write "line\n")
    end)
    assert(cq:loop())
    assert.same({ "write", "line", "slept" }, order)
    loop:close()
    r:close()
    w:close()
  end)

  it("lipc objects are objects that cqueues polls", function()
    local cq = cqueues.new()
    local r, w = assert(ipc.pipe.open())
    local got
    cq:wrap(function()
      assert.equal(r, cqueues.poll(r))
      got = r:readsome(10, 0)
    end)
    cq:wrap(function() assert(w:write "x") end)
    assert(cq:loop())
    assert.equal("x", got)
    cqueues.cancel(r:fd())
    r:close()
    w:close()
  end)

  it("passes arguments, and errors to the controller", function()
    local cq = cqueues.new()
    local got
    adapter.wrap(cq, function(...)
      got = { ... }
      error { "mine" }
    end, 1, 2)
    local ok, err = cq:loop()
    assert.is_false(ok)
    assert.same({ "mine" }, err)
    assert.same({ 1, 2 }, got)
    assert.has_error.matches(function() adapter.wrap({}, print) end, "bad argument #1 to 'wrap'")
    assert.has_error.matches(function() adapter.wrap(cq, 3) end, "bad argument #2 to 'wrap'")
  end)
end)
