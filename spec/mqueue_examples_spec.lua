-- The examples of message queues, run as a reader would run them.
local ipc = require "lipc"
local child = require "support.child"
local names = require "support.names"
local peer = require "support.peer"

describe("the example", function()
  -- names of our own: another run may be at it
  local function command(variable, name, ...)
    local words = { variable .. "=" .. name, "exec", os.getenv "LUA" or "lua5.4" }
    for _, word in ipairs { ... } do words[#words + 1] = peer.quote(word) end
    return table.concat(words, " ") .. " 2>&1"
  end
  local function run(...)
    local p = peer.sh(command(...))
    local out = p:read "a"
    return out, p:close()
  end

  it("mqueue_jobs shows priorities", function()
    local name = "/" .. names.new()
    local out, ok = run("JOBS", name, "examples/mqueue_jobs.lua")
    assert.equal([[
put out the fire (priority 9)
answer the mail (priority 1)
tidy up (priority 0)
water the plants (priority 0)
worker: exit 0
one more (priority 5)
workers: exit 0, exit 0
]], out)
    assert.is_true(ok)
    assert.equal("ENOENT", select(3, ipc.mqueue.unlink(name)))
  end)

  it("mqueue_jobs gives what one process submits to workers in others", function()
    local name = "/" .. names.new()
    finally(function() ipc.mqueue.unlink(name) end)
    local jobs = "examples/mqueue_jobs.lua"
    assert.equal("", run("JOBS", name, jobs, "submit", "7", "early"))
    local worker = peer.sh("echo $$; " .. command("JOBS", name, jobs, "work"))
    local pid = worker:read "n"
    assert.equal("early (priority 7)", worker:read "l" and worker:read "l")
    child.sleeping(pid)
    assert.equal("", run("JOBS", name, jobs, "submit", "late", "later"))
    assert.equal("late (priority 0)", worker:read "l")
    assert.equal("later (priority 0)", worker:read "l")
    assert.equal("", run("JOBS", name, jobs, "submit", ""))
    assert.equal("", worker:read "a")
    assert.is_true(worker:close())
    assert.equal("", run("JOBS", name, jobs, "remove"))
    local out, ok = run("JOBS", name, jobs, "remove")
    assert.matches("mqueue.unlink " .. name:gsub("%-", "%%-") .. ": No such file or directory", out)
    assert.is_nil(ok)
  end)

  it("mqueue_both_ways", function()
    local name = "/" .. names.new()
    local out, ok = run("TALK", name, "examples/mqueue_both_ways.lua")
    assert.equal(("is anybody there?\tIS ANYBODY THERE?\nwho is it?\tWHO IS IT?\nchild: exit 0\n"
      .. "nil\tmqueue.open %s-answers: No such file or directory\tENOENT\n"):format(name), out)
    assert.is_true(ok)
  end)
end)
