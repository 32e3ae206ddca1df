-- The examples of processes and pipelines do what they say.
local programs = require "support.programs"
local run = require("support.peer").shown

describe("the example", function()
  it("process", function()
    local out = run "process"
    assert.is_truthy(out:find("FROM LUA, THROUGH TR\nnil\tprocess.run sh: exit 3: no such luck\tEXIT", 1, true), out)
    assert.is_truthy(out:find("process.run sleep: timed out\nhello\nnil\tprocess:wait cat: timed out\tETIMEDOUT\nSIGTERM\n", 1, true), out)
  end)

  it("ls_grep", function()
    local out, status = programs.output { programs.lua, "examples/ls_grep.lua", "examples", stderr = "stdout" }
    assert.is_true(status.ok)
    assert.equal("ls: exit 0\tgrep: exit 1\ntrue\n", out)
    local names = require "support.names"
    local dir = names.path()
    os.execute(("mkdir %s && touch %s/a.txt %s/b.text %s/c.txt"):format(dir, dir, dir, dir))
    out = programs.output { programs.lua, "examples/ls_grep.lua", dir, stderr = "stdout" }
    os.execute("rm -r " .. dir)
    assert.equal("a.txt\nc.txt\nls: exit 0\tgrep: exit 0\ntrue\n", out)
  end)

  it("pipeline_lua_stage", function()
    assert.equal("between\nenough\nprocesses\nreader\nthrough\nwriter\nendless\nendless\n"
      .. "yes\tSIGPIPE\nfunction\tSIGPIPE\nhead\texit 0\n", run "pipeline_lua_stage")
  end)

  it("fork_pipe", function()
    assert.equal("child read: hello\nchild read: from the parent\nchild ended with exit 7\n", run "fork_pipe")
  end)

  it("two_pipes", function()
    assert.is_truthy(run "two_pipes":find "5 squared is 25\nchild: exit 0\nyou said: anything\nsed: exit 0\n$")
  end)
end)
