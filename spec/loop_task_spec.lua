-- Tasks of a loop: joined from outside of all tasks.  What they do inside is in loop_spec.lua.
local ipc = require "lipc"

describe("a task", function()
  local loop
  before_each(function() loop = assert(ipc.loop.new()) end)
  after_each(function() loop:close() end)

  it("gives the error to a join outside of all tasks, and other tasks' errors to the run", function()
    local function fails(text) return function() ipc.sleep(0.001) error(text, 0) end end
    local task = loop:wrap(fails "mine")
    local ok, err, code, traceback = task:join()
    assert.same({ nil, "mine", "ERROR" }, { ok, err, code })
    assert.matches("^mine\nstack traceback:", traceback)
    assert.is_true(loop:run()) -- it was taken
    local reported = {}
    loop:onerror(function(e) reported[#reported + 1] = e end)
    assert.equal("again", select(2, loop:wrap(fails "again"):join()))
    local object = {}
    assert.equal(object, select(2, loop:wrap(error, object):join()))
    loop:run()
    assert.same({}, reported)
    -- an error of another task ends the join, and nothing is lost
    loop:onerror(nil)
    task = loop:wrap(error, "first", 0)
    loop:wrap(error, "second", 0)
    assert.matches("^second\n", select(2, pcall(task.join, task)))
    assert.equal("failed", task:status())
    assert.matches("^first\n", select(2, pcall(loop.run, loop)))
    -- one that was not waited for to the end is reported as ever
    task = loop:wrap(fails "late")
    assert.equal("ETIMEDOUT", select(3, task:join(0)))
    assert.matches("^late\n", select(2, pcall(loop.run, loop)))
  end)

  it("refuses a join that nobody could end", function()
    local other = loop:wrap(function() ipc.sleep(0.01) end)
    local message
    loop:run(function()
      local ok, err = coroutine.wrap(pcall)(other.join, other)
      assert.is_false(ok)
      message = err
    end)
    assert.matches("cannot wait here", message)
  end)
end)
