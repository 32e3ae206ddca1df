-- ipc.loop: the scheduler of coroutines.
local ipc = require "lipc"

describe("loop", function()
  local loop
  before_each(function() loop = assert(ipc.loop.new()) end)
  after_each(function() loop:close() end)

  it("runs its tasks while one of them waits", function()
    local r, w = assert(ipc.pipe.open())
    local order = {}
    assert.is_true(loop:run(
      function()
        order[#order + 1] = "read"
        local line = r:read("l")
        order[#order + 1] = line
      end,
      function()
        order[#order + 1] = "write"
        assert(w:write "hello\n")
      end))
    assert.same({ "read", "write", "hello" }, order)
    r:close()
    w:close()
  end)

  it("sleeps in the order of the deadlines", function()
    local order = {}
    for _, s in ipairs { 0.03, 0.01, 0.02, 0 } do
      loop:wrap(function()
        assert.is_true(ipc.sleep(s))
        order[#order + 1] = s
      end)
    end
    loop:run()
    assert.same({ 0, 0.01, 0.02, 0.03 }, order)
  end)

  it("passes arguments and results", function()
    local t = loop:wrap(function(...) return select("#", ...), ... end, 1, nil, 3)
    assert.same({ true, 3, 1, nil, 3 }, { t:join() })
  end)

  it("raises a task's error with its traceback, and the others keep going", function()
    local done
    loop:wrap(function()
      local function inner() error "boom" end
      inner()
    end)
    loop:wrap(function()
      ipc.sleep(0)
      done = true
    end)
    local ok, err = pcall(loop.run, loop)
    assert.is_false(ok)
    assert.matches("boom\nstack traceback:.*inner", err)
    assert.is_true(loop:run())
    assert.is_true(done)
  end)

  it("cancels a task in its wait, and closes its variables", function()
    local closed, seen
    local t = loop:wrap(function()
      local _ <close> = setmetatable({}, { __close = function() closed = true end })
      local ok, err = pcall(ipc.sleep, 3600)
      seen = { ok, ipc.loop.cancelled(err) }
      error(err, 0)
    end)
    loop:run(function()
      ipc.sleep(0)
      assert.is_true(t:cancel "enough")
    end)
    assert.is_true(closed)
    assert.same({ false, true, "enough" }, seen)
    assert.equal("cancelled", t:status())
    assert.same({ nil, "cancelled: enough", "ECANCELED" }, { t:join() })
  end)
end)
