-- System V semaphore sets: operations, values, waiting; semop(2), semctl(2).
local ipc = require "lipc"
local child = require "support.child"
local hoststate = require "support.hoststate"
local peer = require "support.peer"
local probe = require "support.probe"
local programs = require "support.programs"
local sempeer = require "support.sempeer"

local SOON = 60 -- seconds: longer than anything here takes
local sem = ipc.sysv.sem

describe("sysv.sem", function()
  local open

  before_each(function() open = {} end)
  after_each(function()
    for _, s in ipairs(open) do s:close() end
  end)
  teardown(sempeer.remove)

  local function new(initial, opts)
    opts = opts or {}
    opts.initial, opts.unlink = initial, true
    local s = assert(sem.open("private", opts))
    open[#open + 1] = s
    return s
  end
  local function named(s, op) return ("sysv.sem:%s key 0x00000000, id %d: "):format(op, s:id()) end

  it("has values, all of one moment", function()
    local s = new { 1, 0, 32767 }
    assert.equal(("lipc.sysv.sem key 0x00000000, id %d (open)"):format(s:id()), tostring(s))
    assert.equal(3, #s)
    assert.equal(3, s:nsems())
    assert.equal(0, s:key())
    assert.same({ 1, 0, 32767 }, s:getall())
    assert.is_true(s:setval(2, 7))
    assert.equal(7, s:getval(2))
    assert.is_true(s:setall { 4, 5, 6 })
    assert.same({ 4, 5, 6 }, s:getall())
    assert.equal("integer", math.type(s:getall()[1]))
    assert.equal(probe.getpid(), s:getpid(2))
    assert.equal(32767, sem.VALUE_MAX)
    assert.same({ 0, 0 }, new(nil, { nsems = 2 }):getall())
    assert.same({ 9, 9 }, new(9, { nsems = 2 }):getall())
  end)

  it("is taken and given back", function()
    local s = new { 0, 2 }
    assert.is_true(s:wait(2))
    assert.is_true(s:post(1, { n = 5 }))
    assert.is_true(s:wait(1, { n = 4, timeout = 0 }))
    assert.same({ 1, 1 }, s:getall())
    assert.same({ nil, named(s, "wait") .. "timed out", "ETIMEDOUT" }, { s:wait(1, { n = 2, timeout = 0 }) })
    assert.same({ nil, named(s, "zero") .. "timed out", "ETIMEDOUT" }, { s:zero(1, 0) })
    assert.is_true(s:wait(1, 0))
    assert.is_true(s:zero(1, 0))
    assert.same({ nil, named(s, "wait") .. "timed out", "ETIMEDOUT" }, { s:wait(1, 0.01) })
  end)

  it("does all of a list or nothing", function()
    local s = new { 2, 0, 1 }
    assert.is_true(s:op { { num = 1, op = -2 }, { num = 2, op = 0 }, { num = 3, op = 4 } })
    assert.same({ 0, 0, 5 }, s:getall())
    assert.same({ nil, named(s, "op") .. "timed out", "ETIMEDOUT" },
      { s:op({ { num = 3, op = -5 }, { num = 1, op = -1 } }, 0.01) })
    assert.same({ 0, 0, 5 }, s:getall())
    -- in order: what the first adds the second takes
    assert.is_true(s:op({ { num = 2, op = 3 }, { num = 2, op = -3 }, { num = 2, op = 0 } }, 0))
    assert.equal("ETIMEDOUT", select(3, s:op({ { num = 2, op = -3 }, { num = 2, op = 3 } }, 0)))
  end)

  it("honours timeouts and waits no less, without using the processor", function()
    local s = new { 0, 1 }
    s:settimeout(0.02)
    local start = ipc.now()
    assert.equal("ETIMEDOUT", select(3, s:wait(1)))
    assert.equal("ETIMEDOUT", select(3, s:zero(2)))
    assert.equal("ETIMEDOUT", select(3, s:op { { num = 1, op = -1 } }))
    assert.equal("ETIMEDOUT", select(3, s:with(1, print)))
    assert.equal("ETIMEDOUT", select(3, s:wait(1, { timeout = 0.02 })))
    assert.is_true(ipc.now() - start >= 0.1)
    local before = os.clock()
    assert.equal("ETIMEDOUT", select(3, s:wait(1, 1)))
    assert.is_true(os.clock() - before < 0.1, "a wait that uses the processor")
  end)

  it("counts who waits, and wakes them", function()
    local s = new { 0, 3 }
    local waiters, ends = {}, {}
    for i, script in ipairs {
      "s:wait(1)", "s:op { { num = 1, op = -1 }, { num = 2, op = 0 } }", "s:zero(2)",
    } do
      waiters[i], ends[i] = child.lua("local s = require 'lipc'.sysv.sem.fromid(tonumber((...))) ready() print("
        .. script .. ")", s:id())
      assert(waiters[i]:read "n")
    end
    programs.eventually(function() return s:getncnt(1) == 2 and s:getzcnt(2) == 1 end)
    assert.equal(0, s:getzcnt(1))
    assert.equal(0, s:getncnt(2))
    assert.is_true(s:setval(2, 0))
    local ok, out = ends[3]()
    assert.is_true(ok, out)
    assert.equal("\ntrue\n", out)
    assert.is_true(s:post(1, { n = 2 }))
    for i = 1, 2 do
      ok, out = ends[i]()
      assert.is_true(ok, out)
      assert.equal("\ntrue\n", out)
    end
    assert.same({ 0, 0 }, s:getall())
    assert.is_true(s:getpid(1) ~= probe.getpid())
  end)

  it("tells what could not be done: a nowait operation, or another", function()
    local s = new { 1, 0, 0 }
    local function list(...)
      local l = {}
      for i, e in ipairs { ... } do l[i] = { num = e[1], op = e[2], nowait = e[3] == "nowait" } end
      return l
    end
    local again = { nil, named(s, "op")
      .. "Resource temporarily unavailable (a nowait operation cannot be done now)", "EAGAIN" }
    local over = { nil, named(s, "op") .. "timed out", "ETIMEDOUT" }
    local function check(expected, ...)
      local before = s:getall()
      assert.same(expected, { s:op(list(...), 0) })
      assert.same(expected, { s:op(list(...), 0.02) })
      local args = { ... }
      local loop = ipc.loop.new()
      loop:wrap(function() assert.same(expected, { s:op(list(table.unpack(args)), 0.02) }) end)
      loop:run()
      loop:close()
      assert.same(before, s:getall())
    end
    check(again, { 2, -1, "nowait" })
    check(again, { 1, -1, "nowait" }, { 2, -1, "nowait" })
    check(over, { 2, -1 })
    -- mixed: the first that cannot be done decides
    check(again, { 2, -1, "nowait" }, { 3, -1 })
    check(over, { 2, -1 }, { 3, -1, "nowait" })
    check(again, { 1, -1 }, { 3, -1, "nowait" })
    check(over, { 1, -1, "nowait" }, { 3, -1 })
    check(again, { 1, 0, "nowait" }, { 3, -1 })
    check(over, { 1, 0 }, { 3, -1, "nowait" })
    check(over, { 1, -1, "nowait" }, { 1, -1 }, { 1, -1, "nowait" })
    check(again, { 1, -1 }, { 1, -1, "nowait" }, { 1, -1 })
    check(again, { 2, 0 }, { 1, 5 }, { 1, -6 }, { 1, -1, "nowait" })
    check(over, { 2, 0, "nowait" }, { 1, 5 }, { 1, -7 }, { 1, -1, "nowait" })
    check(again, { 1, -1 }, { 1, -32768, "nowait" })
    check(over, { 1, -32768 }, { 1, -1, "nowait" })
    check(again, { 2, 32767 }, { 1, 0, "nowait" })
    s:setval(3, 32767)
    check(again, { 3, -32767 }, { 3, -1, "nowait" }, { 2, -1 })
    check(over, { 3, -32767, "nowait" }, { 2, -1 }, { 3, -1, "nowait" })
  end)

  it("does a mixed list when what it waits for comes", function()
    local s = new { 0, 1 }
    local p, finish = child.lua([[
      local s = require "lipc".sysv.sem.fromid(tonumber((...)))
      ready()
      print(s:op { { num = 1, op = -1 }, { num = 2, op = -1, nowait = true } })
      print(s:op { { num = 1, op = -1 }, { num = 2, op = -1, nowait = true } })]], s:id())
    assert(p:read "n")
    programs.eventually(function() return s:getncnt(1) == 1 end)
    s:post(1)
    programs.eventually(function() return s:getval(2) == 0 and s:getncnt(1) == 1 end)
    s:post(1) -- now the nowait one decides
    local ok, out = finish()
    assert.is_true(ok, out)
    assert.matches("^\ntrue\nnil\t.*EAGAIN\n$", out)
    assert.same({ 1, 0 }, s:getall())
  end)

  it("does not miss a moment at which a nowait operation decided", function()
    local s = new { 0, 0 }
    local p, finish = child.lua([[
      local s = require "lipc".sysv.sem.fromid(tonumber((...)))
      ready()
      print(s:op { { num = 1, op = -1 }, { num = 2, op = -1, nowait = true } })]], s:id())
    assert(p:read "n")
    programs.eventually(function() return s:getncnt(1) == 1 end)
    assert.is_true(s:post(1))
    assert.is_true(s:wait(1, 0)) -- the sleeper has not taken it, and the kernel has told it why
    local ok, out = finish()
    assert.is_true(ok, out)
    assert.matches("^\nnil\t.*EAGAIN\n$", out)
  end)

  it("names the limits that it meets", function()
    local s = new { 32767, 0 }
    local range = "Numerical result out of range (SEMVMX, the greatest value and the most that is undone, is 32767)"
    assert.same({ nil, named(s, "post") .. range, "ERANGE" }, { s:post(1) })
    assert.same({ nil, named(s, "op") .. range, "ERANGE" }, { s:op { { num = 2, op = 1 }, { num = 1, op = 1 } } })
    local list = {}
    local opm = tonumber((programs.slurp "/proc/sys/kernel/sem":match "%d+%s+%d+%s+(%d+)"))
    for i = 1, opm do list[i] = { num = 2, op = 1 } end
    assert.is_true(s:op(list))
    assert.equal(opm, s:getval(2))
    list[opm + 1] = { num = 2, op = 1 }
    assert.same({ nil, named(s, "op") .. ("Argument list too long (SEMOPM, the third number of kernel.sem, is %d: "
      .. "see sysctl)"):format(opm), "E2BIG" }, { s:op(list) })
  end)

  it("shares a set with programs in C", function()
    local s = new { 0, 1 }
    local p = sempeer.start("sysv", tostring(s:id()), "0", "wait", "wait", "value")
    programs.eventually(function() return s:getncnt(1) == 1 end)
    s:post(1)
    assert.equal("wait", p:read())
    programs.eventually(function() return s:getncnt(1) == 1 end)
    s:post(1)
    assert.equal("wait\nvalue 0\n", p:read "a")
    p:close()
    p = sempeer.start("sysv", tostring(s:id()), "0", "post", "post")
    assert.is_true(s:wait(1, { n = 2, timeout = SOON }))
    assert.equal("post\npost\n", p:read "a")
    p:close()
    p = sempeer.start("sysv", tostring(s:id()), "1", "zero")
    programs.eventually(function() return s:getzcnt(2) == 1 end)
    s:wait(2)
    assert.equal("zero\n", p:read "a")
    p:close()
  end)

  it("loses no count among processes", function()
    local s = new { 0, 0 }
    local peers = {}
    for i = 1, 4 do
      peers[i] = peer.lua([[
        local s = assert(ipc.sysv.sem.fromid(tonumber(arg[1])))
        for _ = 1, 500 do assert(s:op({ { num = 1, op = -1 }, { num = 2, op = 1 } }, 60)) end
        print "done"]], s:id())
    end
    for _ = 1, 500 do assert(s:post(1, { n = 4 })) end
    for _, p in ipairs(peers) do
      assert.equal("done\n", p:read "a")
      p:close()
    end
    assert.same({ 0, 2000 }, s:getall())
  end)

  it("runs signal callbacks while it waits, and goes on waiting", function()
    local s = new(0)
    local ran = 0
    local on = assert(ipc.signal.on("SIGUSR1", function()
      ran = ran + 1
      if ran == 2 then s:post(1) end
    end))
    local p = peer.sh(("for i in 1 2 3; do sleep 0.05; kill -USR1 %d; done"):format(probe.getpid()))
    assert.is_true(s:wait(1, SOON))
    assert.is_true(ran >= 2)
    p:read "a"
    p:close()
    on:close()
  end)

  it("ends at Ctrl-C", function()
    local s = new(0)
    local p, finish = child.lua([[
      local s = require "lipc".sysv.sem.fromid(tonumber((...)))
      print(pcall(function() ready() s:wait(1) end))
      print(s:post(1))]], s:id())
    local pid = assert(p:read "n")
    programs.eventually(function() return s:getncnt(1) == 1 end)
    ipc.signal.kill(pid, "SIGINT")
    local ok, output = finish()
    assert.is_true(ok, output)
    assert.matches("false\t[^\n]*interrupted!\ntrue\n$", output)
  end)

  it("leaves nothing behind", function()
    local before = hoststate.before()
    for _ = 1, 20 do
      local s <close> = assert(sem.open("private", { unlink = true, initial = { 1, 2 } }))
      s:with(1, function() s:wait(1, 0.001) end)
    end
    assert.same({}, hoststate.diff(before, hoststate.take()))
  end)

  it("has room for the values of a larger set that has got its id", function()
    local set = assert(sem.open("private", { nsems = 2, initial = 7 }))
    local id = set:id()
    assert(sem.fromid(id)):remove()
    local f = assert(io.open("/proc/sys/kernel/sem_next_id", "w"))
    f:write(id)
    f:close()
    local big = assert(sem.open("private", { nsems = 30000, initial = 257, unlink = true }))
    assert.equal(id, big:id())
    assert.same({ 257, 257 }, set:getall())
    assert.is_true(set:setall { 1, 2 })
    assert.equal(2, big:getval(2))
    for num = 3, 30000, 997 do assert.equal(0, big:getval(num)) end -- and nothing of this process
    big:close()
  end)

  it("gives a set that may not be read to who makes it", function()
    local out = peer.sh("exec setpriv --reuid 65534 --clear-groups " .. peer.command [[
      local s = assert(ipc.sysv.sem.open("private", { nsems = 3, mode = 128, initial = 1, unlink = true }))
      print(#s, (select(3, s:getval(1))), s:wait(1, 0))]] .. " 2>&1"):read "a"
    assert.equal("3\tEACCES\ttrue\n", out)
  end)

  it("is looked at again after the options, whose metamethods may close it", function()
    local set = assert(sem.open("private", { unlink = true }))
    local closes = setmetatable({ n = 5 }, { __index = function() set:close() end })
    assert.error_matches(function() set:post(1, closes) end, "closed sysv.sem")
  end)
end)
