-- examples/flock_*.lua
local ipc = require "lipc"
local names = require "support.names"
local peer = require "support.peer"
local programs = require "support.programs"

local valgrind = os.getenv "LIPC_SPEC_MODE" == "valgrind" -- which knows no pidfd: no process.fork, no kill

describe("examples/flock", function()
  it("_ranges: two writers lose nothing", function()
    if valgrind then return pending "valgrind knows no pidfd" end
    assert.equal("total 400, first 200, second 200\n", peer.shown "flock_ranges")
  end)

  it("_single_instance: one at a time, also after a crash", function()
    if valgrind then return pending "valgrind knows no pidfd" end
    local path = names.path ".pid"
    finally(function() os.remove(path) end)
    local first <close> = assert(ipc.process.spawn { programs.lua, "examples/flock_single_instance.lua", path, "200",
      stdout = "pipe", kill_on_close = true })
    assert.equal("running", first.stdout:read())
    local out, ok = peer.example("flock_single_instance", path)
    assert.is_nil(ok)
    assert.equal(("it runs already: flock.lockfile %s: timed out (held by process %d)\n"):format(path, first:pid()), out)
    first:kill "SIGKILL"
    first:wait()
    assert.equal(("process %d has left its lock file behind\nrunning\n"):format(first:pid()), peer.shown("flock_single_instance", path))
    assert.equal("running\n", peer.shown("flock_single_instance", path))
    assert.is_nil(io.open(path))
  end)
end)
