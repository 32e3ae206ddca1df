local ipc = require "lipc"
local signal = ipc.signal
local child = require "support.child"
local hoststate = require "support.hoststate"

local pid = signal.getpid()
local RT = "SIGRTMIN+1"

local function run(command)
  local p = assert(io.popen(command))
  local output = p:read "a"
  assert(p:close(), command)
  return output
end

-- What /proc says of a signal: "SigBlk", "SigIgn", "SigCgt", "SigPnd".
local function status(field, name)
  local f = assert(io.open "/proc/self/status")
  local mask = tonumber(f:read "a":match(field .. ":%s*(%x+)"), 16)
  f:close()
  return mask >> (signal.number(name) - 1) & 1 == 1
end

local function has(list, name)
  for _, n in ipairs(list) do
    if n == name then return true end
  end
  return false
end

-- Sends sig to this process when it is in a wait.
local function send_later(sig)
  assert(os.execute(([[(n=0; until grep -q poll /proc/%d/wchan || [ $n -gt 300 ]; do n=$((n+1)); done
    /usr/bin/kill -s %s %d) &]]):format(pid, sig, pid)))
end

describe("signal names", function()
  it("have the numbers that Python knows", function()
    local n = 0
    for name, number in run [[python3 -c '
import signal
for s in signal.Signals: print(s.name, int(s))
for a in ("SIGIOT", "SIGCLD", "SIGPOLL"): print(a, int(getattr(signal, a)))']]:gmatch "(%S+) (%d+)" do
      assert.equal(tonumber(number), signal.number(name), name)
      n = n + 1
    end
    assert.is_true(n > 30)
  end)

  it("go both ways for every signal in the list", function()
    local list = signal.list()
    assert.equal("SIGHUP", list[1])
    assert.is_true(has(list, "SIGRTMIN") and has(list, "SIGRTMIN+1"))
    local last = 0
    for _, name in ipairs(list) do
      local number = signal.number(name)
      assert.is_true(number > last, name)
      last = number
      assert.equal(name, signal.name(number))
      assert.equal(number, signal.number(number))
    end
    assert.equal(last, signal.number "SIGRTMAX")
    assert.equal(last - 2, signal.number "SIGRTMAX-2")
    assert.equal("SIGCHLD", signal.name "SIGCLD")
  end)

  it("that are none are refused by argument and name", function()
    local last = signal.number "SIGRTMAX"
    for _, bad in ipairs { "INT", "sigint", "", "SIGRTMIN+", "SIGRTMIN+99", "SIGRTMIN-1", "SIGRTMAX+1", "SIGRTMIN+1x",
      "SIGRTMIN+ 1", "SIGINT\0", "SIGRTMIN+99999999999999999999", 0, -1, last + 1, 2 ^ 40, 1.5, 32, true, {} } do
      for _, f in ipairs { signal.number, signal.raise, signal.ignore } do
        if not (f == signal.raise and bad == 0) then
          local ok, message = pcall(f, bad)
          assert.is_false(ok, tostring(bad))
          assert.matches("bad argument #1", message, 1, true)
        end
      end
    end
    assert.error_matches(function() signal.kill(tostring(pid), 0) end, "#1 to 'kill' %(number expected, got string%)")
    assert.error_matches(function() signal.sigqueue(tostring(pid), 0) end, "#1 to 'sigqueue' %(number expected, got string%)")
    assert.error_matches(function() signal.kill(pid, "FOO") end, "#2 to 'kill' %(unknown signal 'FOO'%)")
    assert.error_matches(function() signal.kill(pid) end, "#2 to 'kill' %(signal name or number expected, got no value%)")
    assert.error_matches(function() signal.block("SIGINT", "FOO") end, "#2 to 'block'")
    assert.error_matches(function() signal.set { "SIGINT", "FOO" } end, "#1 to 'set' %(element 2: unknown signal 'FOO'%)")
    assert.error_matches(function() signal.set {} end, "#1 to 'set' %(no signal given%)")
    assert.error_matches(function() signal.set() end, "#1 to 'set' %(no signal given%)")
  end)
end)

describe("sending", function()
  it("reports what is not there", function()
    local gone = tonumber(run "sh -c 'echo $$'")
    for _, f in ipairs { signal.kill, signal.sigqueue, signal.killpg } do
      local ok, message, code = f(gone, "SIGTERM")
      assert.is_nil(ok)
      assert.equal("ESRCH", code)
      assert.matches("signal.%w+ " .. gone .. ": No such process", message)
    end
    assert.equal("ESRCH", select(3, signal.tgkill(pid, gone, "SIGTERM")))
    assert.is_true(signal.kill(pid, 0))
    assert.is_true(signal.tgkill(nil, signal.gettid(), 0))
  end)

  it("never cuts a number down to another process", function()
    for _, bad in ipairs { 2 ^ 32 + pid, -2 ^ 40, 2 ^ 31, 0.5 } do
      assert.error_matches(function() signal.kill(bad, 0) end, "#1 to 'kill'")
    end
    assert.error_matches(function() signal.killpg(-2, 0) end, "#1 to 'killpg'")
    assert.error_matches(function() signal.tgkill(pid, 0, 0) end, "#2 to 'tgkill'")
    assert.error_matches(function() signal.sigqueue(-pid, 0) end, "#1 to 'sigqueue'")
    assert.error_matches(function() signal.sigqueue(pid, 0, 2 ^ 31 | 0) end, "#3 to 'sigqueue'")
  end)

  it("reaches a process, and all of a group", function()
    for _, how in ipairs { "killpg", "negative", "number" } do
      -- all three hold the pipe: its end is the end of the group
      local p = assert(io.popen "exec setsid sh -c 'sleep 1000 & sleep 1000 & echo $$; wait'")
      local leader = p:read "n"
      if how == "killpg" then
        assert(signal.killpg(leader, "SIGTERM"))
      else
        assert(signal.kill(-leader, how == "negative" and "SIGTERM" or signal.number "SIGTERM"))
      end
      assert.matches("^%s*$", p:read "a")
      local _, what, number = p:close()
      assert.same({ "signal", signal.number "SIGTERM" }, { what, number })
    end
  end)

  it("queues values that a program in C takes", function()
    local p = assert(io.popen "exec build/host/sigpeer take 4")
    local peer = tonumber(p:read "l":match "ready (%d+)")
    local values = { 0, 77, -2147483648, 2147483647 }
    for _, v in ipairs(values) do assert(signal.sigqueue(peer, RT, v)) end
    for _, v in ipairs(values) do assert.equal(("%d %d"):format(v, pid), p:read "l") end
    p:close()
  end)
end)

describe("the mask", function()
  it("is changed for this thread, and what was blocked comes back", function()
    local before = hoststate.before()
    local none = signal.block()
    assert.same({}, signal.block("SIGUSR1", "SIGUSR2"))
    assert.is_true(status("SigBlk", "SIGUSR1"))
    assert.same({ "SIGUSR1", "SIGUSR2" }, signal.block { "SIGUSR2", RT })
    assert.same({ "SIGUSR1", "SIGUSR2", RT }, signal.unblock "SIGUSR1")
    assert.same({ "SIGUSR2", RT }, signal.setmask { "SIGTERM" })
    assert.same({ "SIGTERM" }, signal.setmask(none))
    assert.same({}, hoststate.diff(before, hoststate.take()))
  end)

  it("does not take SIGKILL and SIGSTOP", function()
    for _, name in ipairs { "SIGKILL", "SIGSTOP" } do
      assert.error_matches(function() signal.block(name) end, "#1 to 'block' %(" .. name .. " cannot be blocked%)")
      assert.error_matches(function() signal.block { "SIGINT", name } end, name .. " cannot be blocked")
      assert.error_matches(function() signal.setmask { name } end, name .. " cannot be blocked")
      assert.error_matches(function() signal.set { name } end, name .. " cannot be queued")
      assert.error_matches(function() signal.ignore(name) end, name .. " cannot be ignored")
      assert.error_matches(function() signal.default(name) end, name .. " cannot be changed")
      assert.error_matches(function() signal.on(name, print) end, name .. " cannot be caught")
    end
    assert.same({}, signal.block())
  end)

  it("shows what is pending", function()
    local old = signal.block("SIGUSR1", "SIGUSR2", RT)
    local count = 0
    local r = assert(signal.on("SIGUSR1", function() count = count + 1 end))
    assert.same({}, signal.pending())
    signal.kill(pid, "SIGUSR1")
    signal.raise "SIGUSR1"
    assert.same({ "SIGUSR1" }, signal.pending())
    assert.equal(0, count)
    signal.setmask(old)
    assert.equal(1, count) -- run before setmask returned, once
    assert.same({}, signal.pending())
    r:close()
  end)
end)

describe("dispositions", function()
  it("are ignored, default, and as before", function()
    local before = hoststate.before()
    assert.equal("default", signal.disposition "SIGUSR1")
    assert.is_true(signal.ignore "SIGUSR1")
    assert.is_true(status("SigIgn", "SIGUSR1"))
    assert.equal("ignore", signal.disposition "SIGUSR1")
    signal.raise "SIGUSR1" -- we live
    signal.ignore "SIGUSR1"
    assert.is_true(signal.default "SIGUSR1")
    assert.is_false(status("SigIgn", "SIGUSR1"))
    signal.ignore "SIGUSR1"
    assert.is_true(signal.restore "SIGUSR1")
    assert.is_true(signal.restore "SIGUSR1")
    assert.is_true(signal.restore "SIGUSR2") -- never touched
    assert.same({}, hoststate.diff(before, hoststate.take()))
  end)

  it("follow the newest request, and the older one when that is taken back", function()
    local n = 0
    local before = hoststate.before()
    signal.ignore "SIGUSR1"
    local r = assert(signal.on("SIGUSR1", function() n = n + 1 end))
    signal.raise "SIGUSR1"
    assert.equal(1, n)
    signal.ignore "SIGUSR1"
    signal.raise "SIGUSR1"
    assert.equal(1, n)
    signal.restore "SIGUSR1"
    signal.raise "SIGUSR1"
    assert.equal(2, n)
    signal.ignore "SIGUSR1"
    r:close()
    assert.equal("ignore", signal.disposition "SIGUSR1")
    signal.restore "SIGUSR1"
    assert.same({}, hoststate.diff(before, hoststate.take()))
  end)

  it("that somebody else has set meanwhile stay his", function()
    local p, finish = child.lua [[
      local probe, signal = require "support.probe", require "lipc".signal
      local r = signal.on("SIGUSR1", print)
      probe.ignore(signal.number "SIGUSR1")
      r:close()
      print(signal.disposition "SIGUSR1")
      r = signal.on("SIGUSR1", print)
      print(signal.disposition "SIGUSR1")
      signal.default "SIGUSR1"
      print(signal.disposition "SIGUSR1")
      probe.ignore(signal.number "SIGUSR1")
      signal.restore "SIGUSR1" -- what is left, the callback, does not take it back
      print(signal.disposition "SIGUSR1")
      r:close()
      print(signal.disposition "SIGUSR1")
    ]]
    local _ = p
    local ok, output = finish()
    assert.is_true(ok, output)
    assert.equal("ignore\nhandler\ndefault\nignore\nignore\n", output)
  end)

  it("of a state are restored when it is closed, not before", function()
    local p, finish = child.lua [[
      local probe, signal = require "support.probe", nil
      local function show(when)
        local d = probe.dispositions()
        io.stderr:write(when, " ", d[10]:match "%a+", " ", d[12]:match "%a+", "\n")
      end
      -- finalised after all that is made later, so also after the state of signals
      keep = setmetatable({}, {__gc = function()
        show "end"
        io.stderr:write(select(2, pcall(signal.on, "SIGUSR1", print)), "\n")
        io.stderr:write(select(2, pcall(signal.ignore, "SIGUSR2")), "\n")
        show "end"
      end})
      signal = require "lipc".signal
      signal.ignore "SIGUSR2"
      signal.on("SIGUSR1", print)
      collectgarbage()
      collectgarbage()
      show "body"
    ]]
    local _ = p
    local ok, output = finish()
    assert.is_true(ok, output)
    local closing = "the Lua state is being closed\n"
    assert.equal("body handler ignored\nend default default\n" .. closing .. closing .. "end default default\n", output)
  end)

  it("make writes to a pipe without readers fail alike", function()
    local before = hoststate.before()
    for _, prepare in ipairs { function() end, function() signal.ignore "SIGPIPE" end,
      function() signal.restore "SIGPIPE" end, function() signal.ignore "SIGPIPE" signal.default "SIGPIPE" end } do
      prepare()
      local r, w = assert(ipc.pipe.open())
      r:close()
      assert.equal("EPIPE", select(3, w:write "x"))
      w:close()
    end
    signal.restore "SIGPIPE"
    assert.same({}, hoststate.diff(before, hoststate.take()))
  end)
end)

describe("callbacks", function()
  local log
  before_each(function() log = {} end)
  local function note(word)
    return function(name) log[#log + 1] = word .. " " .. name end
  end

  it("run in a wait, with the canonical name, and the wait goes on", function()
    local before = hoststate.before()
    local r = assert(signal.on("SIGRTMAX", function(...)
      log = { n = select("#", ...), ... }
    end))
    assert.is_true(status("SigCgt", "SIGRTMAX"))
    local reader, writer = assert(ipc.pipe.open())
    local r2 = assert(signal.on("SIGUSR1", function() writer:write "x" end))
    assert.equal("ETIMEDOUT", select(3, reader:readsome(1, 0)))
    signal.raise "SIGRTMAX"
    assert.same({ n = 1, signal.name "SIGRTMAX" }, log)
    send_later "USR1"
    assert.equal("x", reader:readsome(1))
    reader:close()
    writer:close()
    r:close()
    r2:close()
    assert.same({}, hoststate.settle(before)) -- the sender may still be ending
  end)

  it("run in a sleep that is not cut short", function()
    local r = assert(signal.on("SIGUSR1", note "a"))
    local start = ipc.now()
    send_later "USR1"
    while #log == 0 do assert.is_true(ipc.sleep(0.05)) end
    assert.is_true(ipc.now() - start >= 0.05)
    assert.same({ "a SIGUSR1" }, log)
    r:close()
  end)

  it("run on entry to an lipc call that does not wait, not before", function()
    local r = assert(signal.on("SIGUSR1", note "a"))
    local reader, writer = assert(ipc.pipe.open())
    os.execute("kill -USR1 " .. pid)
    assert.same({}, log)
    assert(writer:write "x")
    assert.same({ "a SIGUSR1" }, log)
    os.execute("kill -USR1 " .. pid)
    assert.equal(1, signal.dispatch())
    assert.equal(0, signal.dispatch())
    assert.same({ "a SIGUSR1", "a SIGUSR1" }, log)
    reader:close()
    writer:close()
    r:close()
  end)

  it("are several per signal, in the order in which they were made", function()
    local a = assert(signal.on("SIGUSR1", note "a"))
    local b = assert(signal.on("SIGUSR1", note "b"))
    local c = assert(signal.on("SIGUSR2", note "c"))
    local d = assert(signal.on(signal.number "SIGUSR1", note "d"))
    signal.raise "SIGUSR1"
    assert.same({ "a SIGUSR1", "b SIGUSR1", "d SIGUSR1" }, log)
    b:close()
    signal.raise "SIGUSR1"
    signal.raise "SIGUSR2"
    assert.same({ "a SIGUSR1", "d SIGUSR1", "c SIGUSR2" }, { table.unpack(log, 4) })
    for _, r in ipairs { a, c, d } do assert.is_true(r:close()) end
    assert.equal("default", signal.disposition "SIGUSR1")
  end)

  it("run once for any number of signals that came meanwhile", function()
    local r = assert(signal.on(RT, note "a"))
    signal.block(RT)
    for i = 1, 10 do assert(signal.sigqueue(pid, RT, i)) end
    signal.unblock(RT)
    assert.same({ "a " .. RT }, log)
    r:close()
  end)

  it("stay in force when their registration is not kept", function()
    local weak = setmetatable({ signal.on("SIGUSR1", note "a") }, { __mode = "v" })
    collectgarbage()
    collectgarbage()
    signal.raise "SIGUSR1"
    assert.same({ "a SIGUSR1" }, log)
    weak[1]:close()
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)

  it("may close any registration, also their own, and make new ones", function()
    local a, b, c, new
    a = assert(signal.on("SIGUSR1", function()
      note "a" "x"
      a:close()
      b:close()
      new = assert(signal.on("SIGUSR1", note "new"))
    end))
    b = assert(signal.on("SIGUSR1", note "b"))
    c = assert(signal.on("SIGUSR1", note "c"))
    signal.raise "SIGUSR1"
    assert.same({ "a x", "c SIGUSR1" }, log)
    signal.raise "SIGUSR1"
    assert.same({ "a x", "c SIGUSR1", "c SIGUSR1", "new SIGUSR1" }, log)
    c:close()
    new:close()
    assert.equal("default", signal.disposition "SIGUSR1")
  end)

  it("end with their block", function()
    do
      local r <close> = assert(signal.on("SIGUSR1", note "a"))
      assert.equal("lipc.signal.registration SIGUSR1 (open)", tostring(r))
      signal.raise "SIGUSR1"
    end
    assert.equal(1, #log)
    assert.equal("default", signal.disposition "SIGUSR1")
  end)

  it("may wait, and other callbacks run in that wait, their own after it", function()
    local depth, deepest = 0, 0
    local a = assert(signal.on("SIGUSR1", function()
      depth = depth + 1
      deepest = math.max(deepest, depth)
      log[#log + 1] = "in"
      if #log == 1 then
        signal.raise "SIGUSR1"
        signal.raise "SIGUSR2"
        assert(ipc.sleep(0.01))
      end
      log[#log + 1] = "out"
      depth = depth - 1
    end))
    local b = assert(signal.on("SIGUSR2", note "b"))
    signal.raise "SIGUSR1"
    assert.same({ "in", "b SIGUSR2", "out", "in", "out" }, log)
    assert.equal(1, deepest)
    a:close()
    b:close()
  end)

  it("that fail raise out of the wait; the rest is run by the next call", function()
    local a = assert(signal.on("SIGUSR1", function() error("boom", 0) end))
    local b = assert(signal.on("SIGUSR1", note "b"))
    send_later "USR1"
    local ok, message = pcall(function()
      while true do ipc.sleep(1) end
    end)
    assert.is_false(ok)
    assert.equal("boom", message)
    assert.same({}, log)
    assert.is_true(ipc.sleep(0))
    assert.same({ "b SIGUSR1" }, log)
    assert.equal(0, signal.dispatch())
    local thrown = {}
    local c = assert(signal.on("SIGUSR2", function() error(thrown) end))
    local got, where
    assert.is_false(xpcall(signal.raise, function(e)
      got, where = e, debug.traceback()
    end, "SIGUSR2"))
    assert.equal(thrown, got)
    assert.matches("signal_spec.lua:%d+: in function", where) -- the callback is still on the stack
    for _, r in ipairs { a, b, c } do r:close() end
  end)

  it("run in whatever coroutine is there, and cannot yield out of it", function()
    local yieldable, co
    local r = assert(signal.on("SIGUSR1", function()
      co, yieldable = coroutine.running(), coroutine.isyieldable()
    end))
    local here = coroutine.create(function() signal.raise "SIGUSR1" end)
    assert(coroutine.resume(here))
    assert.equal(here, co)
    assert.is_false(yieldable)
    r:close()
  end)

  it("are not for faults, and need a function", function()
    for _, name in ipairs { "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL" } do
      assert.error_matches(function() signal.on(name, print) end, "#1 to 'on' %(" .. name)
    end
    assert.error_matches(function() signal.on "SIGUSR1" end, "#2 to 'on'")
    assert.error_matches(function() signal.on("SIGUSR1", {}) end, "#2 to 'on'")
    assert.equal("default", signal.disposition "SIGUSR1")
  end)

  it("that are many come and go", function()
    local list = {}
    for round = 1, 3 do
      for i = 1, 200 do list[i] = assert(signal.on(i % 2 == 0 and "SIGUSR1" or "SIGUSR2", note(tostring(i)))) end
      signal.raise "SIGUSR1"
      assert.equal(100 * round, #log)
      for i = 200, 1, -1 do assert(list[i]:close()) end
    end
  end)

  it("belong to a forked child as well, which gets none of the parent's signals", function()
    local p, finish = child.lua [[
      local probe, signal, ipc = require "support.probe", require "lipc".signal, require "lipc"
      local who, seen = signal.getpid(), {}
      local fd = assert(signal.pollfd())
      signal.on("SIGUSR1", function() seen[#seen + 1] = signal.getpid() == who and "parent" or "child" end)
      local r, w = ipc.pipe.open()
      -- not run yet when we fork: it is the parent's
      os.execute("kill -USR1 " .. who)
      local pid = probe.forkrun()
      if pid == 0 then
        assert(fd == signal.pollfd())
        assert(signal.dispatch() == 0)
        os.execute("kill -USR1 " .. signal.getpid())
        ipc.sleep(0.01)
        w:write(table.concat(seen, " "), "\n")
        os.exit(0)
      end
      w:close()
      probe.reap(pid)
      assert(probe.readable(fd), "the child has emptied the parent's descriptor")
      print(r:read())
      print(table.concat(seen, " "))
    ]]
    local _ = p
    local ok, output = finish()
    assert.is_true(ok, output)
    assert.equal("child\nparent\n", output)
  end)
end)
