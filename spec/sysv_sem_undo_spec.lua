-- System V semaphore sets: undo, killed holders, with(fn), removed sets.
local ipc = require "lipc"
local child = require "support.child"
local peer = require "support.peer"
local probe = require "support.probe"
local programs = require "support.programs"

local sem = ipc.sysv.sem

describe("sysv.sem", function()
  local s

  before_each(function() s = assert(sem.open("private", { initial = { 1, 5 }, unlink = true })) end)
  after_each(function() s:close() end)

  -- Runs the script in a process that is killed when it has printed "ready".
  local function killed(script)
    local p, finish = child.lua([[
      local ipc = require "lipc"
      local sem = ipc.sysv.sem
      local s = assert(sem.fromid(tonumber((...))))
      local function hang() ready() ipc.sleep(1000) end
    ]] .. script, s:id())
    local pid = assert(p:read "n")
    assert(ipc.signal.kill(pid, "SIGKILL"))
    finish()
  end

  it("of a killed holder stays taken without undo, and is given back with it", function()
    killed "s:wait(1) hang()"
    assert.equal(0, s:getval(1))
    assert.equal("ETIMEDOUT", select(3, s:wait(1, 0.02)))
    s:setval(1, 1)
    for _, script in ipairs {
      "s:wait(1, { undo = true }) hang()",
      "s:wait(1, { undo = true, timeout = 5 }) hang()",
      "s:with(1, hang)",
      "s:op { { num = 1, op = -1, undo = true } } hang()",
      "sem.fromid(s:id(), { undo = true }):wait(1) hang()",
    } do
      killed(script)
      programs.eventually(function() return s:getval(1) == 1 end)
    end
    killed "sem.fromid(s:id(), { undo = true }):wait(1, { undo = false }) hang()"
    assert.equal(0, s:getval(1))
  end)

  it("takes back what was added with undo", function()
    killed "s:post(2, { n = 3, undo = true }) s:post(2) assert(s:getval(2) == 9) hang()"
    programs.eventually(function() return s:getval(2) == 6 end)
  end)

  it("wakes who waits when a holder with undo is killed", function()
    local p, finish = child.lua([[
      local s = require "lipc".sysv.sem.fromid(tonumber((...)))
      s:with(1, function() ready() require "lipc".sleep(1000) end)]], s:id())
    local pid = assert(p:read "n")
    local q, finished = child.lua([[
      local s = require "lipc".sysv.sem.fromid(tonumber((...)))
      ready() print(s:wait(1))]], s:id())
    assert(q:read "n")
    programs.eventually(function() return s:getncnt(1) == 1 end)
    assert(ipc.signal.kill(pid, "SIGKILL"))
    finish()
    local ok, out = finished()
    assert.is_true(ok, out)
    assert.equal("\ntrue\n", out)
  end)

  it("leaves nothing to undo after a pair", function()
    killed [[
      for _ = 1, 3 do s:wait(1, { undo = true }) s:post(1, { undo = true }) end
      s:with(1, function() end)
      s:wait(1)
      hang()]]
    assert.equal(0, s:getval(1))
  end)

  it("with a function: passes, gives back, whatever happens", function()
    assert.same({ 1, nil, "x", n = 3 }, table.pack(s:with(1, function(...)
      assert.equal(1, select("#", ...))
      assert.equal(s, ...)
      assert.equal(0, s:getval(1))
      return 1, nil, "x"
    end)))
    assert.equal(0, select("#", s:with(1, function() end)))
    assert.is_false(pcall(s.with, s, 1, function() error "x" end))
    assert.equal(1, s:getval(1))
    local co = coroutine.create(function() s:with(1, function() coroutine.yield() end) end)
    coroutine.resume(co)
    assert.equal(0, s:getval(1))
    assert.same({ nil, ("sysv.sem:with key 0x00000000, id %d: timed out"):format(s:id()), "ETIMEDOUT" },
      { s:with(1, print, 0.01) })
    coroutine.close(co)
    assert.equal(1, s:getval(1))
    -- each gives back its own
    s:with(1, function() s:with(2, function() assert.same({ 0, 4 }, s:getall()) end) end)
    assert.same({ 1, 5 }, s:getall())
    local other <close> = assert(sem.fromid(s:id()))
    other:with(1, function() other:close() end)
    assert.same({ 1, 5 }, s:getall())
    -- a child that is forked inside gives nothing back
    local out = peer.run([[
      local probe = require "support.probe"
      local s = assert(ipc.sysv.sem.fromid(tonumber(arg[1])))
      local pid
      s:with(1, function() pid = probe.forkrun() end)
      if pid == 0 then os.exit(0, true) end
      probe.waitall()
      print(s:getval(1))]], s:id())
    assert.equal("1\n", out)
  end)

  it("with a function that has waited, results or none", function()
    for n = 0, 1 do
      s:wait(1)
      local p = peer.lua([[
        local s = assert(ipc.sysv.sem.fromid(tonumber(arg[1])))
        repeat until s:getncnt(1) == 1
        s:post(1)]], s:id())
      local calls = 0
      assert.equal(n, select("#", s:with(1, function()
        calls = calls + 1
        assert.equal(0, s:getval(1))
        return table.unpack({ 7 }, 1, n)
      end, 60)))
      assert.equal(1, calls)
      assert.equal(1, s:getval(1))
      assert.equal("", p:read "a")
      p:close()
    end
  end)

  it("with a function under the loop: one at a time", function()
    local loop, inside = ipc.loop.new(), 0
    for i = 1, 4 do
      loop:wrap(function()
        assert.equal(i, s:with(1, function()
          inside = inside + 1
          assert.equal(1, inside)
          ipc.sleep(0.003)
          inside = inside - 1
          return i
        end))
      end)
    end
    loop:run()
    loop:close()
    assert.equal(1, s:getval(1))
  end)

  it("tells who waits that the set was removed: in the kernel and under the loop", function()
    local expected = "nil\tsysv.sem:%s key 0x00000000, id %d: Identifier removed\tEIDRM"
    for op, call in pairs {
      wait = "s:wait(1)", zero = "s:zero(2)", with = "s:with(1, print)",
      op = "s:op { { num = 1, op = -1 }, { num = 2, op = -1, nowait = true } }",
    } do
      local set = assert(sem.open("private", { initial = { 0, 5 } }))
      local p, finish = child.lua(([[
        local ipc = require "lipc"
        local s = ipc.sysv.sem.fromid(tonumber((...)))
        ready()
        print(%s)]]):format(call), set:id())
      assert(p:read "n")
      programs.eventually(function() return set:getncnt(1) + set:getzcnt(2) == 1 end)
      local id = set:id()
      assert.is_true(set:remove())
      local ok, out = finish()
      assert.is_true(ok, out)
      assert.equal("\n" .. expected:format(op, id) .. "\n", out)
    end
    local set = assert(sem.open("private", { initial = { 0, 5 } }))
    local again = assert(sem.fromid(set:id()))
    local id, loop, got = set:id(), ipc.loop.new(), {}
    loop:wrap(function() got.wait = { set:wait(1) } end)
    loop:wrap(function() got.op = { set:op { { num = 1, op = -1 }, { num = 2, op = -1, nowait = true } } } end)
    loop:wrap(function() got.with = { set:with(1, print) } end)
    loop:wrap(function()
      ipc.sleep(0.01)
      again:remove()
    end)
    loop:run()
    loop:close()
    for op, results in pairs(got) do
      assert.same({ nil, ("sysv.sem:%s key 0x00000000, id %d: Identifier removed"):format(op, id), "EIDRM" }, results)
    end
    assert.is_truthy(got.wait and got.op and got.with)
    for _, call in ipairs { "getall", "stat" } do assert.equal("EIDRM", select(3, set[call](set))) end
    for _, call in ipairs { "getval", "getpid", "getncnt", "getzcnt", "post" } do
      assert.equal("EIDRM", select(3, set[call](set, 1)))
    end
    assert.equal("EIDRM", select(3, set:setval(1, 1)))
    assert.equal("EIDRM", select(3, set:setall { 1, 1 }))
    assert.equal("EIDRM", select(3, set:set { mode = 384 }))
    assert.equal("EIDRM", select(3, set:remove()))
    assert.error_matches(function() set:getval(1) end, "closed sysv.sem")
  end)

  it("cancels who waits by the very object that another task removes", function()
    local set = assert(sem.open("private", { initial = { 0, 5 } }))
    local id, loop, got = set:id(), ipc.loop.new(), {}
    local again <close> = assert(sem.fromid(id))
    loop:wrap(function() got.wait = { set:wait(1) } end)
    loop:wrap(function() got.zero = { set:zero(2) } end)
    loop:wrap(function() got.with = { set:with(1, print) } end)
    loop:wrap(function() got.other = { again:wait(1) } end)
    loop:wrap(function()
      ipc.sleep(0.01)
      assert.is_true(set:remove())
    end)
    loop:run()
    loop:close()
    for _, op in ipairs { "wait", "zero", "with" } do
      assert.same({ nil, ("sysv.sem:%s key 0x00000000, id %d: Operation canceled"):format(op, id), "ECANCELED" }, got[op])
    end
    assert.equal("EIDRM", got.other[3])
  end)

  it("is removed by its maker's close alone, not by a child", function()
    local set = assert(sem.open("private", { unlink = true }))
    local id = set:id()
    assert.equal(0, probe.inchild(function() assert(set:close()) end))
    assert.is_truthy(sem.fromid(id))
    set:close()
    assert.same({ nil, ("sysv.sem.fromid id %d: Invalid argument"):format(id), "EINVAL" }, { sem.fromid(id) })
  end)
end)
