-- Workers that are killed, whenever; parents that are killed; Ctrl-C.  Every item has its result once, nothing stays behind.
local ipc = require "lipc"
local hoststate = require "support.hoststate"
local names = require "support.names"
local programs = require "support.programs"
local pools = require "support.pools"

local numbers = pools.numbers

local seed = tonumber(os.getenv "SEED") or os.time()

describe("a worker that dies", function()
  local before
  before_each(function() before = hoststate.before() end)
  after_each(function() assert.same({}, hoststate.settle(before)) end)

  it("is replaced; its items are run again, each result comes once and in its place", function()
    local kills = tonumber(os.getenv "CHAOS_KILLS") or os.getenv "LIPC_SPEC_MODE" == "plain" and 150 or 20
    local pool <close> = ipc.pool { workers = 3, retry = 1000 }
    local random = math.random
    math.randomseed(seed)
    local killed, rounds = 0, 0
    local function work(x)
      if x % 50 == 0 then ipc.sleep(0.001) end
      return { x, ("x"):rep(x % 300) }
    end
    while killed < kills do
      rounds = rounds + 1
      local loop <close> = ipc.loop.new()
      local finished, done = nil, 0
      loop:wrap(function()
        local r = assert(pool:map(work, numbers(2000), {
          chunk = rounds % 3 == 0 and 7 or nil, progress = function(n) done = n end,
        }))
        assert.equal(2000, #r, "seed " .. seed)
        for i = 1, 2000 do
          assert.equal(i, r[i][1], "seed " .. seed)
          assert.equal(i % 300, #r[i][2])
        end
        finished = true
      end)
      loop:wrap(function()
        local then_done = -1
        while not finished do
          ipc.sleep(random() * 0.004)
          local pids = pool:stat().pids
          -- something is done between two kills: where a fork takes long none would ever be ready
          if not finished and done > then_done and pids[1] and ipc.signal.kill(pids[random(#pids)], "SIGKILL") then
            killed, then_done = killed + 1, done
          end
        end
      end)
      loop:run()
    end
    local stat = pool:stat()
    assert.is_true(stat.lost > 0)
    assert.equal(0, stat.pending)
  end)

  it("under imap too", function()
    local pool <close> = ipc.pool { workers = 2, retry = 1000 }
    local n, killed = 0, 0
    for i, r in pool:imap(function(x) return x * 3 end, numbers(3000), { chunk = 10 }) do
      n = n + 1
      assert.equal(n, i)
      assert.equal(3 * i, r)
      if i % 200 == 0 then
        for _, pid in ipairs(pool:stat().pids) do
          if ipc.signal.kill(pid, "SIGKILL") then killed = killed + 1 end
        end
      end
    end
    assert.equal(3000, n)
    assert.is_true(killed >= 15)
  end)

  it("is told when its item kills again and again: this item only", function()
    local pool <close> = ipc.pool { workers = 2 }
    local function work(x)
      if x == 700 then ipc.process.run { "sh", "-c", "kill -KILL $PPID" } end
      return x
    end
    local r, message, code, failure = pool:map(work, numbers(1000))
    assert.is_nil(r)
    assert.matches("^pool%.map item 700: worker %d+ ended: SIGKILL$", message)
    assert.equal("SIGKILL", code)
    assert.equal(700, failure.item)
    local failed
    r, failed = pool:map(work, numbers(1000), { errors = "collect" })
    for i = 1, 1000 do assert.equal(i ~= 700 and i or nil, r[i]) end
    assert.equal("SIGKILL", failed[700].code)
    failed[700] = nil
    assert.same({}, failed)
  end)

  it("is told by its exit code, and by the error that ended it", function()
    local pool <close> = ipc.pool { workers = 1 }
    local _, message, code = pool:map(function() os.exit(3) end, { 1 })
    assert.matches("^pool%.map item 1: worker %d+ ended: exit 3$", message)
    assert.equal("EXIT", code)
    assert.equal("EXIT", select(3, pool:apply(os.exit, 1)))
    assert.equal(1, pool:apply(function() return 1 end))
  end)

  it("runs nothing twice with retry = 0", function()
    local path = names.path()
    local pool <close> = ipc.pool { workers = 2, retry = 0 }
    local r, failed = pool:map(function(x)
      local f <close> = assert(io.open(path, "a"))
      f:setvbuf "no"
      f:write(x .. "\n") -- in one piece
      if x % 10 == 0 then ipc.process.run { "sh", "-c", "kill -KILL $PPID" } end
      return x
    end, numbers(50), { errors = "collect" })
    local count = {}
    for line in io.lines(path) do count[tonumber(line)] = (count[tonumber(line)] or 0) + 1 end
    os.remove(path)
    for i = 1, 50 do
      assert.equal(1, count[i])
      assert.equal(i % 10 ~= 0 and i or nil, r[i])
      assert.equal(i % 10 == 0 and "SIGKILL" or nil, failed[i] and failed[i].code)
    end
  end)

  it("is noticed when somebody else holds its socket", function()
    local pool <close> = ipc.pool { workers = 1, retry = 0 }
    local pid
    local loop <close> = ipc.loop.new()
    loop:wrap(function()
      local _, message = pool:map(function()
        local child = ipc.process.fork(function() ipc.sleep(1000) end) -- has it by fork
        local f <close> = io.open(os.getenv "POOL_SPEC" or "/dev/null", "w")
        f:write(child:pid())
        ipc.sleep(1000)
      end, { 1 })
      assert.matches("SIGKILL", message)
    end)
    loop:wrap(function()
      programs.eventually(function()
        pid = pool:stat().pids[1]
        local f = pid and io.open(("/proc/%d/task/%d/children"):format(pid, pid))
        if not f then return false end
        local child = f:read "n"
        f:close()
        if not child then return false end
        ipc.signal.kill(pid, "SIGKILL")
        finally(function() ipc.signal.kill(math.tointeger(child), "SIGKILL") end)
        return true
      end)
    end)
    loop:run()
  end)

  it("is nothing to wait for when it does not end by itself", function()
    local pool <close> = ipc.pool { workers = 1, retry = 0 }
    local _, message = pool:map(function()
      for fd = 3, 200 do pcall(function() ipc.socket.fromfd(fd):close() end) end
      ipc.sleep(1000)
    end, { 1 })
    assert.matches("worker %d+ ended: SIGKILL$", message)
  end)
end)

describe("the parent", function()
  local function alive(pids)
    local n = 0
    for pid in pids:gmatch "%d+" do
      if not programs.gone(pid) then n = n + 1 end
    end
    return n
  end

  -- A script that has busy workers, prints their numbers and waits.
  local function busy(options)
    local path = names.path ".lua"
    local f = assert(io.open(path, "w"))
    f:write(([[
      local ipc = require "lipc"
      local pool <close> = ipc.pool { workers = 3 }
      local loop = ipc.loop.new()
      loop:wrap(function() pool:map(function(x) %s end, { 1, 2, 3 }) end)
      loop:wrap(function()
        while #pool:stat().pids < 3 do ipc.sleep(0.001) end
        print(table.concat(pool:stat().pids, " "))
        io.stdout:flush()
      end)
      loop:run()]]):format(options))
    f:close()
    local p = assert(ipc.process.spawn { programs.lua, path, stdout = "pipe", stderr = "null", pgroup = true })
    local pids = assert(p.stdout:read "l")
    os.remove(path)
    return p, pids
  end

  for what, body in pairs { sleeping = "ipc.sleep(1000)", computing = "while true do end" } do
    it("leaves no " .. what .. " worker when it is killed", function()
      local p, pids = busy(body)
      assert.equal(3, alive(pids))
      p:kill "SIGKILL"
      assert(p:wait(60))
      programs.eventually(function() return alive(pids) == 0 end)
      p:close()
    end)

    it("leaves no " .. what .. " worker after Ctrl-C", function()
      local p, pids = busy(body)
      p:kill "SIGINT" -- to it alone
      assert.equal(1, assert(p:wait(60)).code)
      programs.eventually(function() return alive(pids) == 0 end)
      p:close()
      p, pids = busy(body)
      p:killgroup "SIGINT" -- as a terminal sends it
      assert(p:wait(60))
      programs.eventually(function() return alive(pids) == 0 end)
      p:close()
    end)
  end

  it("can go on after an interruption", function()
    local pool <close> = ipc.pool { workers = 2 }
    local handler = assert(ipc.signal.on("SIGUSR1", function() error("interrupted", 0) end))
    local pid = ipc.signal.getpid()
    local ok, err = pcall(pool.map, pool, function(x)
      if x == 1 then ipc.signal.kill(pid, "SIGUSR1") end -- from a worker: the call is under way
      ipc.sleep(1000)
    end, { 1, 2 })
    handler:close()
    assert.same({ false, "interrupted" }, { ok, err })
    assert.same({ 2, 4 }, pool:map(function(x) return 2 * x end, { 1, 2 }))
  end)

  it("forks: the child has workers of its own, and the parent keeps its", function()
    local pool <close> = ipc.pool { workers = 2 }
    local function double(x) return 2 * x end
    assert.same({ 2 }, pool:map(double, { 1 }))
    local pids = pool:stat().pids
    local next_one, _, _, guard = pool:imap(double, numbers(100), { max_pending = 4 })
    local _ <close> = guard
    assert.equal(1, (next_one()))
    local future = pool:submit(double, 4)
    local p = assert(ipc.process.fork(function()
      assert(pool:map(double, { 5 })[1] == 10)
      for _, pid in ipairs(pool:stat().pids) do assert(pid ~= pids[1]) end
      assert(select(3, future:get(1)) == "ECHILD")
      local ok, failure
      repeat ok, failure = pcall(next_one) until not ok
      assert(failure.code == "ECHILD")
      getmetatable(guard).__close(guard)
      pool:close()
    end))
    local status = assert(p:wait(60))
    assert.is_true(status.ok, status.error)
    p:close()
    for i = 2, 100 do assert.equal(i, (next_one())) end
    assert.is_nil(next_one())
    assert.equal(8, future:get(60))
    assert.same({ 2 }, pool:map(double, { 1 }))
    assert.equal(pids[1], pool:stat().pids[1])
  end)

  it("with several threads is told to spawn", function()
    local out = programs.script [[
      local ipc = require "lipc"
      require "support.probe".thread()
      local pool = ipc.pool { workers = 1 }
      print(select(2, pool:map(function() end, { 1 })))
      os.exit(0, false)]]
    assert.matches("^pool%.map: process%.fork: .*start = \"spawn\" works in a process with threads", out)
  end)

  it("is told when it cannot start a worker, by calls that those there are of no use to", function()
    local pool <close> = ipc.pool { workers = 2 }
    local function known(x) return x end
    assert(pool:map(known, numbers(2)))
    local fork, refused = ipc.process.fork, "EAGAIN"
    finally(function() ipc.process.fork = fork end)
    function ipc.process.fork(...)
      if refused then return nil, "process.fork: refused", refused end
      return fork(...)
    end
    for _, code in ipairs { "ENOTSUP", "EAGAIN" } do
      refused = code
      local r, message, got = pool:map(function(x) return x end, numbers(2), 60)
      assert.is_nil(r)
      assert.matches("^pool%.map: process%.fork: refused", message)
      assert.equal(code, got)
    end
    refused = nil
    assert.same({ 1, 2 }, pool:map(function(x) return x end, numbers(2), 60))
    -- one that is there makes room, though there is a place
    local other <close> = ipc.pool { workers = 2 }
    assert(other:apply(known, 1))
    function ipc.process.fork(...)
      if #other:stat().pids > 0 then return nil, "process.fork: refused", "EAGAIN" end
      return fork(...)
    end
    assert.same({ 1, 2 }, other:map(function(x) return x end, numbers(2), 60))
  end)

  it("does not start workers without end where none can live", function()
    local pool <close> = ipc.pool { workers = 2, init = function() ipc.process.run { "sh", "-c", "kill -KILL $PPID" } end }
    local _, message, code = pool:map(function() end, { 1, 2 })
    assert.matches("100 workers in a row ended before they were ready; the last: worker %d+ ended: SIGKILL", message)
    assert.equal("SIGKILL", code)
  end)
end)
