-- Pools whose workers are new interpreters, and functions by name.
local ipc = require "lipc"
local names = require "support.names"
local programs = require "support.programs"
local pools = require "support.pools"

local numbers = pools.numbers

describe("start = \"spawn\"", function()
  local dir, before

  setup(function()
    dir = names.path()
    assert(os.execute("mkdir -p " .. dir .. "/my"))
    local f = assert(io.open(dir .. "/my/work.lua", "w"))
    f:write [[
      local work = { level = 5 }
      function work.double(x) return x * 2 end
      function work.begin(n) work.number = n end
      function work.number_of() return work.number end
      function work.parent() return io.open "/proc/self/cmdline":read "a" end
      function work.fail() error { code = 3 } end
      function work.pid() return io.open "/proc/self/stat":read "n" end
      function work.compute() print "computing" io.stdout:flush() while true do end end
      return work]]
    f:close()
    before = package.path
    package.path = dir .. "/?.lua;" .. package.path
  end)

  teardown(function()
    package.path = before
    os.execute("rm -rf " .. dir)
  end)

  it("runs functions of a module in new interpreters", function()
    local pool <close> = ipc.pool { workers = 2, start = "spawn", module = "my.work", init = "begin", lua = os.getenv "LUA" }
    local r = assert(pool:map("double", numbers(5000)))
    assert.equal(10000, r[5000])
    assert.same({ 2.5, 2 }, pool:map("double", { 1.25, 1 }))
    assert.equal("integer", math.type(pool:map("double", { 1 })[1]))
    local n = pool:apply "number_of"
    assert.is_true(n == 1 or n == 2)
    assert.matches("lipc%.pool%.worker", pool:apply "parent")
    assert.equal(3, select(4, pool:map("fail", { 1 })).error.code)
    assert.equal("pool.map item 1: module 'my.work' has no function 'level'", select(2, pool:map("level", { 1 })))
    for i, v in pool:imap("double", numbers(100)) do assert.equal(2 * i, v) end
    assert.has_error(function() pool:map("double", { 1, { print } }) end,
      "bad argument #2 to 'map' (item[2][1]: function cannot be serialised)")
    assert.has_error(function() pool:apply("double", 1, { x = print }) end,
      "bad argument #2 to 'apply' (argument[2].x: function cannot be serialised)")
    assert.same({ 2 }, pool:map("double", { 1 }))
  end)

  it("leaves no busy worker when the parent is killed", function()
    local p = assert(ipc.process.spawn {
      programs.lua, "-e", ([[
        package.path, package.cpath = %q, %q
        local ipc = require "lipc"
        local pool = ipc.pool { workers = 1, start = "spawn", module = "my.work" }
        print(pool:apply "pid")
        io.stdout:flush()
        pool:submit "compute" -- which says so
        ipc.sleep(1000)]]):format(package.path, package.cpath),
      stdout = "pipe",
    })
    local pid = assert(p.stdout:read "l")
    finally(function() ipc.signal.kill(math.tointeger(pid), "SIGKILL") end) -- where this fails
    assert.equal("computing", p.stdout:read "l")
    p:kill "SIGKILL"
    assert(p:wait(60))
    programs.eventually(function() return programs.gone(pid) end)
    p:close()
  end)

  it("works by name with fork as well", function()
    local pool <close> = ipc.pool { workers = 2, module = "my.work", init = "begin" }
    assert.same({ 2, 4 }, pool:map("double", { 1, 2 }))
    assert.equal("integer", math.type(pool:apply "number_of"))
    assert.equal("pool.apply: module 'my.work' has no function 'none'", select(2, pool:apply "none"))
  end)

  it("reports what hinders it", function()
    local pool <close> = ipc.pool { workers = 2, start = "spawn", module = "my.nothing", lua = os.getenv "LUA" }
    local r, message, code = pool:map("double", { 1, 2, 3 })
    assert.is_nil(r)
    assert.matches("^pool%.map: .*module 'my%.nothing' not found", message)
    assert.equal("ERROR", code)
    local none <close> = ipc.pool { start = "spawn", module = "my.work", lua = "/nonexistent" }
    r, message, code = none:map("double", { 1 })
    assert.is_nil(r)
    assert.equal("ENOENT", code)
    assert.matches("^pool%.map: process%.spawn: exec /nonexistent", message)
    local wrong <close> = ipc.pool { workers = 2, start = "spawn", module = "my.work", lua = "true" }
    r, message = wrong:map("double", { 1 })
    assert.is_nil(r)
    assert.matches("^pool%.map: 100 workers in a row ended before they were ready", message)
  end)
end)
