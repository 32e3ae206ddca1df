-- Pools: what map, imap, apply and submit give, from where, and what they refuse.
local ipc = require "lipc"
local hoststate = require "support.hoststate"
local names = require "support.names"
local pools = require "support.pools"

local numbers = pools.numbers

local function own_pid()
  local f <close> = assert(io.open "/proc/self/stat")
  return f:read "n"
end

local function double(x) return x * 2 end

describe("pool:map", function()
  it("gives the results in the order of the items", function()
    local pool <close> = ipc.pool { workers = 3 }
    local before = hoststate.before()
    for _, n in ipairs { 0, 1, 2, 7, 1000, 50000 } do
      local r = assert(pool:map(double, numbers(n)))
      assert.equal(n, #r)
      for i = 1, n do assert.equal(i * 2, r[i]) end
    end
    assert.is_true(pool:close())
    assert.same({}, hoststate.settle(before))
  end)

  it("is the same by ipc.pool{} and ipc.pool.open{}; the default is a worker for each processor", function()
    local pool <close> = ipc.pool()
    assert.equal(ipc.pool.processors(), pool:stat().workers)
    local nproc = io.popen "nproc"
    assert.equal(nproc:read "n", ipc.pool.processors())
    nproc:close()
    local other <close> = ipc.pool.open { workers = 1 }
    assert.same({ 2, 4 }, other:map(double, { 1, 2 }))
    assert.equal("lipc.pool (1 of 1 workers)", tostring(other))
    other:close()
    assert.equal("lipc.pool (closed)", tostring(other))
  end)

  it("runs in other processes, in several at once", function()
    local pool <close> = ipc.pool { workers = 2 }
    -- each waits for the other: both run at the same time
    local a, b = assert(ipc.socket.pair())
    local pids = assert(pool:map(function(i)
      local mine = i == 1 and a or b
      mine:write "x"
      assert(mine:read(1))
      return own_pid()
    end, { 1, 2 }, { chunk = 1, timeout = 60 }))
    a:close()
    b:close()
    assert.are_not.equal(pids[1], pids[2])
    assert.are_not.equal(own_pid(), pids[1])
    table.sort(pids)
    local stat = pool:stat()
    table.sort(stat.pids)
    assert.same(pids, stat.pids)
  end)

  it("keeps workers, and forks new ones for what they do not know", function()
    local pool <close> = ipc.pool { workers = 1 }
    local factor = 2
    local function scale(x) return x * factor end
    assert.same({ 2, 4 }, pool:map(scale, { 1, 2 }))
    assert.same({ 6 }, pool:map(scale, { 3 }))
    assert.equal(1, pool:stat().started)
    factor = 10 -- as it is at the moment of the call
    assert.same({ 30 }, pool:map(scale, { 3 }))
    assert.equal(2, pool:stat().started)
    local function through(x) return scale(x) + 1 end
    assert.same({ 31 }, pool:map(through, { 3 }))
    factor = 1 -- also in functions that it calls
    assert.same({ 4 }, pool:map(through, { 3 }))
    assert.equal(4, pool:stat().started)
    assert.same({ 3 }, pool:map(scale, { 3 })) -- known since the last fork
    assert.same({ 4 }, pool:map(through, { 3 }))
    assert.equal(5, pool:stat().started)
    local config = { k = 1 }
    local function inside() return config.k end
    assert.same({ 1 }, pool:map(inside, { 0 }))
    config.k = 2
    assert.same({ 1 }, pool:map(inside, { 0 })) -- not what changed in a table
    assert.same({ 2 }, pool:map(inside, { 0 }, { fresh = true }))
  end)

  it("takes closures made on the spot", function()
    local pool <close> = ipc.pool { workers = 2 }
    for k = 1, 5 do
      assert.same({ k, 2 * k, 3 * k }, pool:map(function(x) return x * k end, { 1, 2, 3 }))
    end
  end)

  it("takes items that cannot be sent, because new workers have them", function()
    local pool <close> = ipc.pool { workers = 2 }
    local function call(f) return f() end
    local cycle = { 7 }
    cycle.me = cycle
    for k = 1, 3 do
      assert.same({ k, 2 * k }, pool:map(call, { function() return k end, function() return 2 * k end }))
      assert.same({ 7 }, pool:map(function(t) return t.me.me[1] end, { cycle }))
    end
  end)

  it("takes items from an iterator, no more at a time than may be under way", function()
    local pool <close> = ipc.pool { workers = 2 }
    local i = 0
    local r = assert(pool:map(double, function()
      i = i + 1
      if i <= 1000 then return i end
    end))
    assert.equal(1000, #r)
    assert.equal(2000, r[1000])
    local taken, most, finished = 0, 0, 0
    assert(pool:map(double, function()
      taken = taken + 1
      most = math.max(most, taken - finished)
      if taken <= 300 then return taken end
    end, { max_pending = 10, progress = function(done) finished = done end }))
    assert.is_true(most <= 11, most)
    assert.same({}, pool:map(double, function() end))
  end)

  it("reports the item, the error and where it came from", function()
    local pool <close> = ipc.pool { workers = 2 }
    local function careful(x)
      if x == 17 then error "no such luck" end
      return x
    end
    local r, message, code, failure = pool:map(careful, numbers(40))
    assert.is_nil(r)
    assert.matches("^pool%.map item 17: .*pool_spec%.lua:%d+: no such luck$", message)
    assert.equal("ERROR", code)
    assert.equal(17, failure.item)
    assert.equal(message, failure.message)
    assert.matches("no such luck$", failure.error)
    assert.matches("stack traceback:\n\t.*pool_spec%.lua:%d+: in", failure.traceback)
    assert.is_nil(failure.traceback:find("lipc/pool", 1, true))
    assert.equal(message .. "\n" .. failure.traceback, tostring(failure))
    -- also where no function of C raised it: the line it happened at is the first
    failure = select(4, pool:map(function(x) return (x.a.b) end, { {} }))
    assert.matches("stack traceback:\n\t[^\n]*pool_spec%.lua:%d+: in", failure.traceback)
    -- the error itself, where it can be sent
    failure = select(4, pool:map(function() error { status = 404, body = { 1 } } end, { 1 }))
    assert.same({ status = 404, body = { 1 } }, failure.error)
    failure = select(4, pool:map(function() error(setmetatable({ f = print }, { __tostring = function() return "odd" end })) end, { 1 }))
    assert.equal("odd", failure.error)
    failure = select(4, pool:map(function() error() end, { 1 }))
    assert.equal("nil", failure.error)
    assert.same({ 1, 2 }, pool:map(careful, { 1, 2 })) -- and goes on
  end)

  it("takes nil and a message for a failure, as everywhere", function()
    local pool <close> = ipc.pool { workers = 2 }
    local r, message, code, failure = pool:map(function(path) return ipc.fifo.open(path, "r", { timeout = 0 }) end, { "/nonexistent" })
    assert.is_nil(r)
    assert.equal("ENOENT", code)
    assert.matches("^pool%.map item 1: fifo%.open /nonexistent: ", message)
    assert.equal(1, failure.item)
    assert.equal("ERROR", select(3, pool:map(function() return io.open "/nonexistent" end, { 1 })))
    assert.same({ false }, pool:map(function() return false end, { 1 }))
  end)

  it("goes on after failures when asked, and gives both", function()
    local pool <close> = ipc.pool { workers = 2 }
    local r, failed = pool:map(function(x)
      if x % 10 == 3 then error("bad " .. x, 0) end
      return x
    end, numbers(1000), { errors = "collect" })
    for i = 1, 1000 do
      if i % 10 == 3 then
        assert.is_nil(r[i])
        assert.equal("pool.map item " .. i .. ": bad " .. i, failed[i].message)
      else
        assert.equal(i, r[i])
        assert.is_nil(failed[i])
      end
    end
  end)

  it("names a result that cannot be sent", function()
    local pool <close> = ipc.pool { workers = 1 }
    assert.same({ nil, "pool.map item 2: result.f: function cannot be serialised", "ERROR" },
      { table.unpack({ pool:map(function(x) return x == 2 and { f = print } or x end, { 1, 2, 3 }) }, 1, 3) })
    local r, failed = pool:map(function(x) return x == 2 and { f = print } or x end, { 1, 2, 3 }, { errors = "collect" })
    assert.same({ 1, nil, 3 }, r)
    assert.equal("pool.map item 2: result.f: function cannot be serialised", failed[2].message)
  end)

  it("ends in time, and nothing of it runs on", function()
    local pool <close> = ipc.pool { workers = 2 }
    local r, message, code = pool:map(function() while true do end end, { 1, 2, 3 }, 0.05) -- luacheck: ignore 542
    assert.same({ nil, "pool.map: timed out", "ETIMEDOUT" }, { r, message, code })
    assert.same({}, pool:stat().pids)
    assert.same({ 2 }, pool:map(double, { 1 }))
    assert.equal("ETIMEDOUT", select(3, pool:map(function() while true do end end, { 1 }, 0))) -- luacheck: ignore 542
    pool:settimeout(0.02)
    assert.equal("ETIMEDOUT", select(3, pool:apply(ipc.sleep, 100)))
    pool:settimeout()
    assert.equal(4, pool:apply(double, 2))
  end)

  it("tells how far it is", function()
    local pool <close> = ipc.pool { workers = 2 }
    local seen = {}
    assert(pool:map(double, numbers(500), { progress = function(done, total)
      assert.equal(500, total)
      seen[#seen + 1] = done
    end }))
    assert.equal(500, seen[#seen])
    for i = 2, #seen do assert.is_true(seen[i] > seen[i - 1]) end
    assert.has_error(function() pool:map(double, { 1 }, { progress = function() error("stop", 0) end }) end, "stop")
    assert.same({ 2 }, pool:map(double, { 1 }))
  end)

  it("does not lock up on large items and results", function()
    local pool <close> = ipc.pool { workers = 2 }
    local size = os.getenv "LIPC_SPEC_MODE" == "plain" and 100000000 or 5000000
    local big = ("0123456789"):rep(size // 10)
    local function id(s) return s end
    assert(pool:map(id, { "warm", "up" }))
    local r = assert(pool:map(id, { big, big }, { timeout = 300 }))
    for i = 1, 2 do assert.is_true(r[i] == big) end
    local n = assert(pool:map(function(t) return { t[1], #t[1] } end, { { big }, { big } }, { timeout = 300 }))
    assert.is_true(n[2][1] == big)
  end)

  it("draws other random numbers in each worker", function()
    local pool <close> = ipc.pool { workers = 2 }
    local r = assert(pool:map(function()
      ipc.sleep(0.01)
      return math.random(0)
    end, { 1, 2, 3, 4 }, { chunk = 1 }))
    local seen = {}
    for i = 1, 4 do
      assert.is_nil(seen[r[i]])
      seen[r[i]] = true
    end
  end)

  it("runs init in each worker", function()
    local number
    local pool <close> = ipc.pool { workers = 2, init = function(n) number = n end }
    local r = assert(pool:map(function()
      ipc.sleep(0.01)
      return number
    end, { 1, 2, 3, 4 }, { chunk = 1 }))
    for i = 1, 4 do assert.is_true(r[i] == 1 or r[i] == 2) end
    local broken <close> = ipc.pool { workers = 2, init = function() error("no database", 0) end }
    local _, message, code, failure = broken:map(double, numbers(10))
    assert.equal("pool.map: no database", message)
    assert.equal("ERROR", code)
    assert.is_string(failure.traceback)
    assert.is_nil(failure.traceback:find("lipc/pool", 1, true))
    local refused <close> = ipc.pool { workers = 1, init = function() return nil, "no database", "ENOENT" end }
    assert.same({ nil, "pool.map: no database", "ENOENT" }, { table.unpack({ refused:map(double, { 1 }) }, 1, 3) })
  end)

  it("may be used by its own workers: these have workers of their own", function()
    local pool <close> = ipc.pool { workers = 2 }
    local r = assert(pool:map(function(x)
      local inner = assert(pool:map(double, { x, x + 1 }))
      return inner[1] + inner[2]
    end, { 1, 2, 3 }, 60))
    assert.same({ 6, 10, 14 }, r)
  end)
end)

describe("pool:imap", function()
  it("gives results in order, or as they come", function()
    local pool <close> = ipc.pool { workers = 3 }
    local n = 0
    for i, r in pool:imap(double, numbers(3000)) do
      n = n + 1
      assert.equal(n, i)
      assert.equal(2 * i, r)
    end
    assert.equal(3000, n)
    local seen = {}
    for i, r in pool:imap(double, numbers(3000), { ordered = false }) do
      assert.is_nil(seen[i])
      seen[i] = true
      assert.equal(2 * i, r)
    end
    assert.equal(3000, #seen)
    for _ in pool:imap(double, {}) do error "nothing there" end
    -- what is slow holds back nothing
    local r, w = assert(ipc.pipe.open())
    local order = {}
    for i in pool:imap(function(x) return x == 1 and r:read(1) or x end, { 1, 2, 3 }, { ordered = false, chunk = 1 }) do
      order[#order + 1] = i
      if #order == 2 then w:write "x" end -- what the first waits for
    end
    r:close()
    w:close()
    assert.equal(1, order[3])
  end)

  it("holds back: no more is taken than max_pending beyond what was consumed", function()
    local pool <close> = ipc.pool { workers = 2 }
    local taken = 0
    local function source()
      taken = taken + 1
      if taken <= 500 then return taken end
    end
    for i in pool:imap(double, source, { max_pending = 8 }) do
      assert.is_true(taken <= i + 8, taken .. " taken at " .. i)
    end
    taken = 0
    for i in pool:imap(double, source) do
      if i == 3 then break end
    end
    assert.is_true(taken < 400, taken)
    assert.equal(0, pool:stat().pending)
  end)

  it("raises the failure, after what came before it", function()
    local pool <close> = ipc.pool { workers = 2 }
    local seen = 0
    local ok, err = pcall(function()
      for i in pool:imap(function(x) if x == 30 then error("x", 0) end return x end, numbers(100)) do seen = i end
    end)
    assert.is_false(ok)
    assert.equal(29, seen)
    assert.equal("pool.imap item 30: x", err.message)
    assert.matches("traceback", tostring(err))
    local failures = 0
    for i, r, failure in pool:imap(function(x) if x % 2 == 0 then error("x", 0) end return x end, numbers(100),
      { errors = "collect" }) do
      if failure then
        failures = failures + 1
        assert.equal(i, failure.item)
        assert.is_nil(r)
      else
        assert.equal(i, r)
      end
    end
    assert.equal(50, failures)
    assert.has_error(function()
      for _ in pool:imap(double, function() error("source", 0) end) do error "never" end
    end, "source")
  end)

  it("ends with the loop, and in time", function()
    local pool <close> = ipc.pool { workers = 2 }
    for i in pool:imap(function(x) ipc.sleep(x == 1 and 0 or 1000) return x end, numbers(10), { chunk = 1 }) do -- luacheck: ignore 512
      assert.equal(1, i)
      break
    end
    local ok, err = pcall(function()
      for _ in pool:imap(ipc.sleep, { 1000 }, 0.02) do error "never" end
    end)
    assert.is_false(ok)
    assert.equal("ETIMEDOUT", err.code)
    local pid = assert(pool:apply(function() return 1 end))
    assert.equal(1, pid)
  end)
end)

describe("pool:apply and pool:submit", function()
  it("give what the function returned", function()
    local pool <close> = ipc.pool { workers = 2 }
    assert.same({ n = 3, 3, "x", nil }, table.pack(pool:apply(function(a, b) return a + b, "x", nil end, 1, 2)))
    assert.same({ n = 0 }, table.pack(pool:apply(function() end)))
    assert.equal(2, pool:apply(function(...) return select("#", ...) end, nil, nil))
    assert.same({ nil, "pool.apply: no", "ENO" }, { table.unpack({ pool:apply(function() return nil, "no", "ENO" end) }, 1, 3) })
    assert.same({ "pool.apply: oh", "ERROR" }, { table.unpack({ pool:apply(error, "oh", 0) }, 2, 3) })
  end)

  it("are finished later", function()
    local pool <close> = ipc.pool { workers = 2 }
    local futures = {}
    for i = 1, 20 do futures[i] = pool:submit(double, i) end
    for i = 20, 1, -1 do assert.equal(i * 2, futures[i]:get(60)) end
    assert.is_true(futures[1]:done())
    assert.equal(2, futures[1]:get())
    assert.equal("lipc.pool.future (done)", tostring(futures[1]))
    local slow = pool:submit(ipc.sleep, 1000)
    assert.is_false(slow:done())
    assert.equal("ETIMEDOUT", select(3, slow:get(0.01)))
    assert.equal("lipc.pool.future (pending)", tostring(slow))
    assert.is_true(slow:cancel())
    assert.is_false(slow:cancel())
    assert.same({ nil, "pool.submit: canceled", "ECANCELED" }, { table.unpack({ slow:get() }, 1, 3) })
    local bad = pool:submit(error, "x", 0)
    assert.equal("pool.submit: x", select(2, bad:get(60)))
    assert.equal("lipc.pool.future (failed)", tostring(bad))
    local late, early = pool:submit(ipc.sleep, 1000), pool:submit(double, 4)
    while not early:done() do ipc.sleep(0.001) end
    pool:close()
    assert.equal(8, early:get()) -- what has come is there
    assert.equal("ECANCELED", select(3, late:get()))
  end)
end)

describe("a pool", function()
  it("keeps nothing of futures that nobody asks", function()
    local pool <close> = ipc.pool { workers = 2 }
    local kept = setmetatable({}, { __mode = "v" })
    for i = 1, 100 do kept[i] = pool:submit(function(t) return t end, { i }).call end
    local last = pool:submit(double, 1)
    assert.equal(2, last:get(60))
    repeat
      last = pool:submit(double, 1)
      last:get(60)
    until pool:stat().pending == 0
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(kept))
  end)

  it("names mistakes", function()
    local pool <close> = ipc.pool { workers = 1 }
    local function err(message, f, ...) assert.has_error(f, message, ...) end
    local function map(...)
      local args = table.pack(...)
      return function() pool:map(table.unpack(args, 1, args.n)) end
    end
    local other <close> = ipc.pool { workers = 2.0, max_pending = 1e3, chunk = 1e0, retry = 0.0 }
    assert.equal("integer", math.type(other:stat().workers))
    assert.same({ 2 }, other:map(double, { 1 }, { chunk = 3.0 }))
    err("bad argument #1 to 'map' (function or name expected, got nil)", map())
    err("bad argument #1 to 'map' (a name needs the option 'module' of the pool)", map("x", {}))
    err("bad argument #2 to 'map' (table or iterator function expected, got nil)", map(double))
    err("bad argument #3 to 'map' (unknown option 'chunks')", map(double, {}, { chunks = 1 }))
    err("bad argument #3 to 'map' (option 'chunk': positive integer expected, got 0)", map(double, {}, { chunk = 0 }))
    err("bad argument #3 to 'map' (option 'timeout': timeout must not be negative)", map(double, {}, -1))
    err("bad argument #3 to 'map' (option 'errors': \"stop\" or \"collect\" expected, got x)", map(double, {}, { errors = "x" }))
    err("bad argument #3 to 'map' (option 'progress': function expected, got number)", map(double, {}, { progress = 1 }))
    err("bad argument #1 to 'open' (option 'workers': positive integer expected, got 0)", function() ipc.pool { workers = 0 } end)
    err("bad argument #1 to 'open' (unknown option 'worker')", function() ipc.pool.open { worker = 0 } end)
    err("bad argument #1 to 'open' (start = \"spawn\" needs the option 'module')", function() ipc.pool { start = "spawn" } end)
    err("bad argument #1 to 'open' (option 'lua' is for start = \"spawn\")", function() ipc.pool { lua = "x" } end)
    err("bad argument #1 to 'open' (option 'workers': positive integer expected, got string)", function()
      ipc.pool { workers = "2" }
    end)
    for _, op in ipairs { "map", "imap", "apply", "submit" } do
      local line = debug.getinfo(1, "l").currentline + 1
      local ok, message = pcall(function() return (pool[op](pool, 5, {})) end)
      assert.is_false(ok)
      assert.is_truthy(message:find(("pool_spec.lua:%d: bad argument #1 to '%s' (function or name"):format(line, op), 1, true))
    end
    err("bad argument #1 to 'open' (table expected, got number)", function() ipc.pool(3) end)
    err("bad argument #1 to 'map' (lipc.pool expected, got table)", function() pool.map({}, double, {}) end)
    local spawning <close> = ipc.pool { start = "spawn", module = "m" }
    err("bad argument #1 to 'map' (start = \"spawn\" takes names of functions in the module, not functions)",
      function() spawning:map(double, {}) end)
    pool:close()
    err("calling 'map' on bad self (closed pool)", map(double, {}))
    err("calling 'stat' on bad self (closed pool)", function() pool:stat() end)
  end)

  it("is closed twice, killed, and collected", function()
    local before = hoststate.before()
    local pool = ipc.pool { workers = 2 }
    assert(pool:map(double, numbers(10)))
    assert.is_true(pool:close())
    assert.is_true(pool:close())
    assert.is_true(pool:kill())
    assert.same({}, hoststate.settle(before))
    pool = ipc.pool { workers = 2 }
    assert(pool:map(double, numbers(10)))
    assert.is_true(pool:kill())
    assert.same({}, hoststate.settle(before))
    pool = ipc.pool { workers = 2 }
    assert(pool:map(double, numbers(10)))
    pool:submit(ipc.sleep, 1000)
    pool = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert.same({}, hoststate.settle(before))
  end)

  it("lets idle workers end in good order", function()
    local path = names.path()
    local pool = ipc.pool { workers = 1 }
    assert(pool:map(function() -- what C buffers is written at the end of a process
      _G.log = assert(io.open(path, "w"))
      _G.log:write "written"
    end, { 1 }))
    pool:close()
    local f = assert(io.open(path))
    assert.equal("written", f:read "a")
    f:close()
    os.remove(path)
  end)
end)
