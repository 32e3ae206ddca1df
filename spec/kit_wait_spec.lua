-- The waiting point: what a scheduler registers, who is inside a direction, deadlines, EINTR.
-- The schedulers here are written by hand, so that each step of them is seen.
local ipc = require "lipc"

local function lua(script)
  local path = os.tmpname()
  local f = assert(io.open(path, "w"))
  f:write(script)
  f:close()
  local p = assert(io.popen((os.getenv "LUA" or "lua5.4") .. " " .. path .. " 2>&1"))
  local output = p:read "a"
  local ok = p:close()
  os.remove(path)
  return ok, output
end

-- Resumes its coroutines in turn, whether they are ready or not: lipc must cope with early returns.
local function mini()
  local s = { waits = {}, cancelled = {}, busy = false }
  s.waiter = {
    wait = function(fd, events, deadline)
      s.waits[#s.waits + 1] = { fd = fd, events = events, deadline = deadline }
      coroutine.yield(s)
    end,
    cancel = function(fd) s.cancelled[#s.cancelled + 1] = fd end,
    running = function() return s.busy end,
  }
  function s.spawn(fn)
    local co = coroutine.create(fn)
    ipc.setwaiter(s.waiter, co)
    return co
  end
  function s.resume(co, ...)
    s.busy = true
    local r = table.pack(coroutine.resume(co, ...))
    s.busy = false
    return table.unpack(r, 1, r.n)
  end
  return s
end

describe("a scheduler", function()
  local r, w, s
  before_each(function()
    r, w = assert(ipc.pipe.open())
    s = mini()
  end)
  after_each(function()
    r:close()
    w:close()
  end)

  it("is asked to wait for the descriptor, the direction and the deadline", function()
    local got
    local co = s.spawn(function() got = r:readsome(10, 5) end)
    local t0 = ipc.now()
    assert.same({ true, s }, { s.resume(co) })
    assert.equal(1, #s.waits)
    assert.equal(r:fd(), s.waits[1].fd)
    assert.equal("r", s.waits[1].events)
    assert.is_true(s.waits[1].deadline >= t0 + 5 and s.waits[1].deadline <= ipc.now() + 5)
    s.resume(co) -- early
    assert.equal(2, #s.waits)
    assert.equal(s.waits[1].deadline, s.waits[2].deadline)
    assert(w:write "abc")
    s.resume(co)
    assert.equal("abc", got)
    assert.equal("dead", coroutine.status(co))
  end)

  it("gets no deadline for a wait for ever, and no descriptor for a sleep", function()
    local co = s.spawn(function() r:readsome(10) end)
    s.resume(co)
    assert.is_nil(s.waits[1].deadline)
    local sleeper = s.spawn(function() ipc.sleep(3) end)
    s.resume(sleeper)
    assert.is_nil(s.waits[2].fd)
    assert.is_nil(s.waits[2].events)
    assert.is_number(s.waits[2].deadline)
    coroutine.close(co)
    coroutine.close(sleeper)
  end)

  it("is not asked by what is ready, nor with timeout 0", function()
    assert(w:write "abc")
    local results
    local co = s.spawn(function() results = { r:readsome(10), r:readsome(10, 0) } end)
    s.resume(co)
    assert.equal("dead", coroutine.status(co))
    assert.equal("abc", results[1])
    assert.is_nil(results[2])
    assert.equal(0, #s.waits)
  end)

  it("gets the thread back when a call that never waits is repeated", function()
    local e = assert(ipc.eventfd.open())
    local n = 0
    local co = s.spawn(function()
      for _ = 1, 2000 do
        assert(e:add(1))
        assert(e:take())
        n = n + 2
      end
    end)
    local turns = 0
    while coroutine.status(co) ~= "dead" do
      assert(s.resume(co))
      turns = turns + 1
    end
    assert.equal(4000, n)
    assert.is_true(turns > 4000 / 300, turns)
    for _, wait in ipairs(s.waits) do assert.is_nil(wait.events) end
    -- a call that must not wait does not give way either
    s.waits = {}
    local nowait = s.spawn(function()
      for _ = 1, 2000 do e:take(0) end
    end)
    s.resume(nowait)
    assert.equal("dead", coroutine.status(nowait))
    assert.equal(0, #s.waits)
    e:close()
  end)

  it("that raises in wait ends the call, and the direction is free again", function()
    local fail = { wait = function() error({ "cancelled" }) end, cancel = function() end, running = function() end }
    local co = coroutine.create(function() r:read(10) end)
    ipc.setwaiter(fail, co)
    local ok, err = coroutine.resume(co)
    assert.is_false(ok)
    assert.same({ "cancelled" }, err)
    coroutine.close(co)
    assert(w:write "0123456789")
    assert.equal("0123456789", r:read(10))
  end)

  it("hears of a close before it happens, also of a collection", function()
    local co = s.spawn(function() return r:readsome(10) end)
    s.resume(co)
    local fd = r:fd()
    s.cancelled = {}
    r:close()
    assert.same({ fd }, s.cancelled)
    local ok, a, message, code = s.resume(co)
    assert.same({ true, nil, "pipe:readsome: Operation canceled", "ECANCELED" }, { ok, a, message, code })
    do
      local r2, w2 = assert(ipc.pipe.open())
      co = s.spawn(function() r2:readsome(10, 3) end)
      s.resume(co)
      fd = r2:fd()
      s.cancelled = {}
      w2:close()
    end
    co = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.same({ fd }, s.cancelled)
  end)

  it("that fails in cancel does not keep an object from closing", function()
    local bad = { wait = coroutine.yield, cancel = function() error "no" end, running = function() error "no" end }
    local co = coroutine.create(function() r:readsome(10) end)
    ipc.setwaiter(bad, co)
    coroutine.resume(co)
    assert.is_true(r:close())
    coroutine.resume(co)
    assert.equal("dead", coroutine.status(co))
    ipc.setwaiter(nil, co)
  end)

  it("is refused when it is not whole", function()
    local nop = function() end
    assert.has_error.matches(function() ipc.setwaiter({}) end, "bad argument #1 to 'setwaiter'.*'wait'")
    assert.has_error.matches(function() ipc.setwaiter({ wait = nop, cancel = nop }) end, "'running'")
    assert.has_error.matches(function() ipc.setwaiter(3) end, "bad argument #1 to 'setwaiter'.*table expected")
    assert.has_error.matches(function() ipc.setwaiter(s.waiter, 3) end, "bad argument #2 to 'setwaiter'")
    assert.has_error.matches(function() ipc.setwaiter() end, "bad argument #1")
  end)

  it("is not asked after the coroutine was given back", function()
    local co = s.spawn(function() return select(3, r:readsome(10, 0.01)) end)
    ipc.setwaiter(nil, co)
    assert.same({ true, "ETIMEDOUT" }, { s.resume(co) })
    assert.equal(0, #s.waits)
  end)

  it("is asked for the other descriptor of a call, and not any more when that gave up", function()
    local r2, w2 = assert(ipc.pipe.open())
    w2:settimeout(0)
    while w2:write(("x"):rep(4096)) do end
    assert(w:write "abc")
    local co = s.spawn(function()
      assert.equal("ETIMEDOUT", (select(3, r:splice(w2:fd(), 10, 0.001))))
      assert.equal("abc", r:readsome(10, 0))
      r:readsome(10, 3600)
    end)
    repeat assert(s.resume(co)) until s.waits[#s.waits].events == "r"
    assert.same({ w2:fd(), "w" }, { s.waits[1].fd, s.waits[1].events })
    assert.equal(r:fd(), s.waits[#s.waits].fd)
    coroutine.close(co)
    r2:close()
    w2:close()
  end)

  it("keeps neither coroutine nor waiter alive by being registered", function()
    local weak = setmetatable({}, { __mode = "k" })
    do
      local t = mini()
      local co = t.spawn(function() r:readsome(10) end)
      t.resume(co)
      t.co = co
      weak[t], weak[co] = true, true
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)
end)

describe("under a running loop, where it cannot be reached,", function()
  local r, w, s
  before_each(function()
    r, w = assert(ipc.pipe.open())
    s = mini()
  end)
  after_each(function()
    r:close()
    w:close()
  end)

  local function inside(fn)
    local co = s.spawn(fn)
    local results = table.pack(s.resume(co))
    assert.equal("dead", coroutine.status(co))
    assert.equal(0, #s.waits)
    return table.unpack(results, 1, results.n)
  end

  local function forever() return r:readsome(1) end
  local function finite() return select(3, r:readsome(1, 0.01)) end

  local places = {
    ["a coroutine of another owner"] = function(f) return coroutine.wrap(f)() end,
    ["a sort callback"] = function(f)
      local got
      table.sort({ 1, 2 }, function(a, b)
        got = f()
        return a < b
      end)
      return got
    end,
    ["a gsub callback"] = function(f)
      local got
      string.gsub("x", "x", function() got = f() end)
      return got
    end,
    ["tostring"] = function(f)
      local got
      tostring(setmetatable({}, { __tostring = function()
        got = f()
        return "x"
      end }))
      return got
    end,
    ["require"] = function(f)
      package.preload["lipc.spec.waits"] = function() return f() or true end
      local ok, got = pcall(require, "lipc.spec.waits")
      package.preload["lipc.spec.waits"], package.loaded["lipc.spec.waits"] = nil, nil
      if not ok then error(got, 0) end
      return got
    end,
    ["a message handler"] = function(f)
      local ok, got
      xpcall(error, function() ok, got = pcall(f) end)
      if not ok then error(got, 0) end
      return got
    end,
    ["a finaliser"] = function(f)
      local ok, got
      setmetatable({}, { __gc = function() ok, got = pcall(f) end })
      collectgarbage()
      if not ok then error(got, 0) end
      return got
    end,
  }
  for name, place in pairs(places) do
    it(name .. " cannot wait for ever, and blocks with a timeout", function()
      local ok, message = inside(function() return place(forever) end)
      assert.is_false(ok)
      assert.matches("cannot wait here", message)
      assert.same({ true, "ETIMEDOUT" }, { inside(function() return place(finite) end) })
    end)
  end

  it("the same works when no loop runs", function()
    for _, place in pairs(places) do
      assert.equal("ETIMEDOUT", place(finite))
      assert(w:write "x")
      assert.equal("x", place(forever))
    end
  end)
end)

describe("a direction", function()
  local r, w, s
  before_each(function()
    r, w = assert(ipc.pipe.open())
    s = mini()
  end)
  after_each(function()
    r:close()
    w:close()
  end)

  local big = ("a"):rep(200000)
  local function drain()
    local parts = {}
    while true do
      local piece = r:readsome(1 << 20, 0)
      if not piece then return table.concat(parts) end
      parts[#parts + 1] = piece
    end
  end

  it("belongs to the call that waits in the middle; others queue and are woken", function()
    local first = s.spawn(function() return w:write(big) end)
    s.resume(first)
    local second = s.spawn(function() return w:write "bbb" end)
    s.resume(second)
    local wait = s.waits[2]
    assert.same({ w:fd(), nil }, { wait.fd, wait.events }) -- only to be woken
    assert.is_number(wait.deadline) -- looks now and then whether the first is still alive
    local seen = {}
    for _ = 1, 10 do
      seen[#seen + 1] = drain()
      s.cancelled = {}
      s.resume(first)
      if coroutine.status(first) == "dead" then break end
      s.resume(second) -- early: must not get in between
    end
    assert.same({ w:fd() }, s.cancelled)
    s.resume(second)
    assert.equal("dead", coroutine.status(second))
    seen[#seen + 1] = drain()
    assert.equal(big .. "bbb", table.concat(seen))
  end)

  it("is not waited for with timeout 0", function()
    local first = s.spawn(function() return w:write(big) end)
    s.resume(first)
    local second = s.spawn(function()
      w:settimeout(0)
      local results = table.pack(w:write "b")
      w:settimeout()
      return table.unpack(results, 1, results.n)
    end)
    local _, a, _, code = s.resume(second)
    assert.same({ nil, "ETIMEDOUT" }, { a, code })
    coroutine.close(first)
  end)

  it("of an unmanaged caller cannot be waited for without a timeout", function()
    local first = s.spawn(function() return w:write(big) end)
    s.resume(first)
    assert.has_error.matches(function() w:write "b" end, "cannot wait here: another coroutine")
    coroutine.close(first)
  end)

  for how, finish in pairs {
    ["coroutine.close"] = function(co) coroutine.close(co) end,
    ["an error in the wait"] = function(co, fail)
      fail()
      s.resume(co)
      assert.equal("dead", coroutine.status(co))
    end,
    ["collection"] = function() end,
  } do
    it("is free again after " .. how .. "; what was written stays", function()
      local failing
      s.waiter.wait = function()
        coroutine.yield()
        if failing then error "ended" end
      end
      local first = s.spawn(function() return w:write(big) end)
      s.resume(first)
      finish(first, function() failing = true end)
      failing = false
      first = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      local second = s.spawn(function() return w:write "b" end)
      local all = drain()
      assert.is_true(#all >= 4096 and #all < #big)
      local ok, result = s.resume(second)
      assert.is_true(ok)
      assert.equal(w, result)
      assert.equal("b", drain())
    end)
  end

  it("stays with its new owner when the remains of the old one are closed", function()
    local failing
    s.waiter.wait = function()
      coroutine.yield()
      if failing then error "ended" end
    end
    local first = s.spawn(function() return w:write(big) end)
    s.resume(first)
    failing = true
    s.resume(first)
    failing = false
    assert.equal("dead", coroutine.status(first)) -- of an error: what it has to close is still to be closed
    local seen = { drain() }
    local second = s.spawn(function() return w:write(("b"):rep(200000)) end)
    s.resume(second)
    coroutine.close(first)
    seen[#seen + 1] = drain()
    local third = s.spawn(function() return w:write "c" end)
    for _ = 1, 20 do
      s.resume(third)
      s.resume(second)
      seen[#seen + 1] = drain()
    end
    assert.same({ "dead", "dead" }, { coroutine.status(second), coroutine.status(third) })
    assert.is_truthy(table.concat(seen):find "^a+b+c$")
  end)

  it("closed by the one inside wakes those who queue", function()
    local first = s.spawn(function() return w:write(big) end)
    local second = s.spawn(function() return (select(3, w:write "b")) end)
    s.resume(first)
    s.resume(second)
    w:close()
    local _, a, _, code, n = s.resume(first)
    assert.same({ nil, "ECANCELED" }, { a, code })
    assert.is_true(n > 0)
    assert.same({ true, "ECANCELED" }, { s.resume(second) })
  end)
end)

describe("a deadline", function()
  it("outlasts signals: EINTR does not move it", function()
    local ok, output = lua [[
      local ipc = require "lipc"
      local pid = assert(io.open "/proc/self/stat"):read "n"
      -- SIGCONT to a running process interrupts poll when it has a handler; SIGSTOP and SIGCONT
      -- together interrupt it always
      os.execute(("(for i in 1 2 3 4 5; do kill -STOP %d; kill -CONT %d; done) &"):format(pid, pid))
      local r, w = assert(ipc.pipe.open())
      local t0 = ipc.now()
      local _, message, code = r:readsome(1, 0.3)
      print(code, ipc.now() - t0 >= 0.3)
    ]]
    assert.equal("ETIMEDOUT\ttrue\n", output)
    assert.is_true(ok)
  end)

  it("is refused when it is no number of seconds", function()
    local r, w = assert(ipc.pipe.open())
    for _, bad in ipairs { -1, 0 / 0, "1", true } do
      assert.has_error.matches(function() r:readsome(1, bad) end, "bad argument #2 to 'readsome'.*timeout")
      assert.has_error.matches(function() ipc.sleep(bad) end, "bad argument #1 to 'sleep' %(timeout ")
    end
    assert.has_error.matches(function() ipc.sleep() end, "#1 to 'sleep' %(timeout in seconds expected, got no value")
    assert.has_error.matches(function() ipc.fifo.open("x", "r", { timeout = "1" }) end,
      "option 'timeout': timeout in seconds expected, got string")
    assert.has_error.matches(function() ipc.fifo.open("x", "r", { timeout = -1 }) end,
      "option 'timeout': timeout must not be negative")
    r:close()
    w:close()
  end)

  it("ends in Ctrl-C as an error, in the main thread and in a coroutine", function()
    for _, how in ipairs { "f()", "coroutine.wrap(f)()", "ipc.loop.new():run(f)" } do
      local ok, output = lua(([[
        local ipc = require "lipc"
        local r, w = assert(ipc.pipe.open())
        local pid = assert(io.open "/proc/self/stat"):read "n"
        local function f() -- sent from in here, whenever it comes; and not by os.execute, which ignores it meanwhile
          local killer <close> = io.popen(("sleep 0.3; kill -INT %%d"):format(pid))
          r:read(1)
        end
        print(pcall(function() %s end))
        print(r:readsome(1, 0))
      ]]):format(how))
      assert.is_true(ok, output)
      assert.matches("^false\t.*interrupted!", output)
      assert.matches("\nnil\tpipe:readsome: timed out\tETIMEDOUT\n$", output)
    end
  end)
end)
