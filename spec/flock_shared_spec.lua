-- Open file descriptions that more than one has: fork, duplicates, descriptors given away.
local ipc = require "lipc"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"

local SOON = 30 -- seconds: longer than anything here takes
local valgrind = os.getenv "LIPC_SPEC_MODE" == "valgrind" -- which knows no pidfd: no process.fork, no kill

describe("flock", function()
  local path, open

  before_each(function()
    path, open = names.path(), {}
    io.open(path, "w"):close()
  end)
  after_each(function()
    for _, o in ipairs(open) do o:close() end
    os.remove(path)
  end)
  local function keep(o, ...)
    if o then open[#open + 1] = o end
    return o, ...
  end
  local function new(opts) return assert(keep(ipc.flock.open(path, opts))) end

  it("is shared with a forked child, until both have closed or one unlocks", function()
    if valgrind then return pending "valgrind knows no pidfd" end
    local f, other = new(), new()
    assert(f:lock "exclusive")
    local p = assert(ipc.process.fork(function()
      assert(f:held() == "exclusive")
      f:close()
    end))
    assert(p:wait(SOON).ok)
    assert.equal("ETIMEDOUT", select(3, other:trylock "shared"))
    p = assert(ipc.process.fork(function() assert(f:unlock()) end))
    assert(p:wait(SOON).ok)
    assert.is_true(other:trylock "exclusive")
    other:unlock()
    assert(f:lock "exclusive")
    local r, w = ipc.pipe.open()
    p = assert(ipc.process.fork(function()
      w:close()
      r:read()
    end))
    r:close()
    f:close()
    assert.equal("ETIMEDOUT", select(3, other:trylock "shared")) -- the child has it still
    w:close()
    assert.is_true(other:lock("exclusive", SOON))
    assert(p:wait(SOON).ok)
  end)

  it("stays locked when with unwinds in a forked child", function()
    local out = peer.run([[
      local probe = require "support.probe"
      local f, me = ipc.flock.open(arg[1]), probe.getpid()
      f:with("exclusive", function() probe.forkhere() if probe.getpid() == me then probe.waitall() end end)
      if probe.getpid() ~= me then
        local g = ipc.flock.open(arg[1])
        print((select(3, g:trylock "shared")))
        os.exit(0, true)
      end]], path)
    assert.equal("ETIMEDOUT\n", out)
  end)

  describe("of", function()
    it("locks what a Lua file has open, and gives it back", function()
      local file <close> = assert(io.open(path, "r+"))
      local l, other = keep(ipc.flock.of(file)), new()
      assert.is_true(l:lock "exclusive")
      assert.equal("ETIMEDOUT", select(3, other:trylock "shared"))
      assert.is_true(keep(ipc.flock.of(file)):trylock "exclusive") -- the same description
      l:close()
      assert.is_true(other:trylock "exclusive")
      other:unlock()
      l = keep(ipc.flock.of(file))
      local range = l:range(0, 1)
      assert(range:lock "exclusive")
      assert.is_false((other:range(0):test "shared"))
      l:close()
      assert.is_true(other:range(0):test "exclusive")
      assert.error_matches(function() range:held() end, "closed flock.range")
      assert.is_truthy(file:write "x")
    end)

    it("takes numbers and objects, and sees what is locked already", function()
      local f, other = new(), new()
      f:lock "shared"
      assert.equal("shared", keep(ipc.flock.of(f)):held())
      assert.equal("shared", keep(ipc.flock.of(f:fd())):held())
      assert.is_false(keep(ipc.flock.of(other)):held())
      local again = keep(ipc.flock.fromfd(probe.dup(f:fd())))
      assert.equal("shared", again:held())
      again:unlock()
      assert.is_true(other:trylock "exclusive")
    end)

    it("refuses misuse", function()
      assert.error_matches(function() ipc.flock.of "x" end, "#1")
      assert.error_matches(function() ipc.flock.of(987654) end, "#1.*not open")
      local f = io.open(path)
      f:close()
      assert.error_matches(function() ipc.flock.of(f) end, "#1.*closed file")
      assert.error_matches(function() ipc.flock.fromfd(987654) end, "#1.*not open")
      assert.error_matches(function() ipc.flock.fromfd(io.stdout) end, "#1.*a Lua file")
    end)
  end)

  it("gives its descriptor away with the lock", function()
    local a, b = new(), new()
    a:lock "exclusive"
    local range = a:range(0)
    local fd = a:detach()
    assert.equal("ETIMEDOUT", select(3, b:trylock "shared"))
    assert.error_matches(function() a:lock "shared" end, "closed flock")
    assert.error_matches(function() range:lock "shared" end, "closed flock.range")
    probe.close(fd)
    assert.is_true(b:trylock "shared")
  end)
end)
