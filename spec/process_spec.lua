-- Processes: spawning, descriptors, status, signals, and what must not stay behind.
local ipc = require "lipc"
local hoststate = require "support.hoststate"
local names = require "support.names"
local process, pipe = ipc.process, ipc.pipe

local lua = os.getenv "LUA" or "lua5.4"

local function slurp(path)
  local f = assert(io.open(path))
  local s = f:read "a"
  f:close()
  return s
end

-- What a program writes to its standard output, and how it ended.
local function output(spec)
  spec.stdout = "pipe"
  local p <close> = assert(process.spawn(spec))
  return p.stdout:read "a", assert(p:wait(60))
end

local function sh(script, spec)
  spec = spec or {}
  spec[1], spec[2], spec[3] = "sh", "-c", script
  return output(spec)
end

-- Runs a Lua script in a process of its own: what it printed.
local function script(text, before)
  local path = names.path ".lua"
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
  local out, status = output {
    "sh", "-c", ("%s\nexec %s %s 2>&1"):format(before or "", lua, path), stderr = "stdout",
  }
  os.remove(path)
  return out, status
end

-- Waits until f() is true; the deadline is only for what is broken.
local function eventually(f)
  local deadline = ipc.now() + 60
  while not f() do
    assert(ipc.now() < deadline, "it never became true")
    ipc.sleep(0.002)
  end
end

local function gone(pid)
  local f = io.open("/proc/" .. pid .. "/stat")
  if not f then return true end
  local s = f:read "a"
  f:close()
  return s:match "%) (%a)" == "Z"
end

describe("process.spawn", function()
  it("runs a program found in PATH with its arguments, numbers too", function()
    assert.equal("a b|7|0.5|\n", output { "printf", "%s|%s|%s|\n", "a b", 7, 0.5 })
  end)

  it("looks in the PATH that the child will have", function()
    local dir = names.path()
    assert(os.execute("mkdir " .. dir .. " && printf '#!/bin/sh\necho found $0' >" .. dir .. "/lipcprog && chmod +x "
      .. dir .. "/lipcprog"))
    assert.equal("found " .. dir .. "/lipcprog\n", output { "lipcprog", env = { PATH = "/nowhere:" .. dir } })
    assert.equal("found " .. dir .. "/lipcprog\n", output { "lipcprog", search = dir .. ":/bin" })
    assert.equal("found ./lipcprog\n", output { "./lipcprog", cwd = dir })
    local _, message, code = process.spawn { "lipcprog" }
    assert.same({ "exec lipcprog: No such file or directory", "ENOENT" }, { message, code })
    _, message, code = process.spawn { "true", search = false, cwd = "/" }
    assert.same({ "exec true: No such file or directory", "ENOENT" }, { message, code })
    assert(os.execute("chmod -x " .. dir .. "/lipcprog"))
    _, message, code = process.spawn { "lipcprog", search = "/nowhere:" .. dir .. ":/bin" }
    assert.same({ "exec lipcprog: Permission denied", "EACCES" }, { message, code })
    os.execute("rm -r " .. dir)
  end)

  it("says what failed, as a failure of its own and not as a status", function()
    local function fails(spec, message, code)
      local before = hoststate.take()
      local p, m, c = process.spawn(spec)
      assert.same({ nil, message, code }, { p, m, c })
      assert.same({}, hoststate.diff(before, hoststate.take()))
    end
    fails({ "/etc/passwd" }, "exec /etc/passwd: Permission denied", "EACCES")
    fails({ "/nowhere/x" }, "exec /nowhere/x: No such file or directory", "ENOENT")
    fails({ "true", cwd = "/nowhere" }, "chdir /nowhere: No such file or directory", "ENOENT")
    fails({ "true", stdin = { path = "/nowhere" } }, "open /nowhere: No such file or directory", "ENOENT")
    fails({ "true", fds = { [5] = 999 } }, "dup2 999 to 5: Bad file descriptor", "EBADF")
    fails({ "true", pgroup = 0x3fffff }, "setpgid 4194303: Operation not permitted", "EPERM")
    fails({ "true", limits = { nofile = { 20, 10 } } }, "setrlimit nofile: Invalid argument", "EINVAL")
    fails({ ("x"):rep(5000) }, "exec " .. ("x"):rep(5000) .. ": File name too long", "ENAMETOOLONG")
  end)

  it("refuses misuse, and names it", function()
    local function refuses(spec, what)
      local ok, message = pcall(process.spawn, spec)
      assert.is_false(ok)
      assert.is_truthy(message:find(what, 1, true), message)
    end
    refuses(nil, "table expected")
    refuses({}, "program expected at index 1")
    refuses({ "a", {} }, "index 2: string expected, got table")
    refuses({ "a\0b" }, "index 1: string contains zeros")
    refuses({ "true", bogus = 1 }, "unknown option 'bogus'")
    refuses({ "true", [3] = "x" }, "unknown option '3'")
    refuses({ "true", stdin = "sideways" }, "option 'stdin': invalid value 'sideways'")
    refuses({ "true", stdin = "stdin" }, "option 'stdin'")
    refuses({ "true", stdout = "stderr", stderr = "stdout" }, "option")
    refuses({ "true", stdout = { path = "x", mode = "z" } }, "mode must be")
    refuses({ "true", stdout = { mode = "w" } }, "path expected")
    refuses({ "true", stdout = { path = "x", perm = 1 } }, "unknown field 'perm'")
    refuses({ "true", stdout = -1 }, "not a descriptor")
    refuses({ "true", stdout = 1.5 }, "not a descriptor")
    refuses({ "true", stdin = 0, fds = { [0] = 0 } }, "descriptor 0 is given twice")
    refuses({ "true", fds = { x = 0 } }, "option 'fds': not a descriptor: x")
    refuses({ "true", fds = { [3] = "pipe" } }, "option 'fds'")
    refuses({ "true", env = { ["a=b"] = "c" } }, "not the name of a variable")
    refuses({ "true", env = { A = true } }, "option 'env': A: string expected, got boolean")
    refuses({ "true", env = {}, env_add = {} }, "exclude each other")
    refuses({ "true", cwd = 1 }, "option 'cwd'")
    refuses({ "true", umask = "999" }, "option 'umask'")
    refuses({ "true", limits = { bananas = 1 } }, "no such limit: bananas")
    refuses({ "true", limits = { core = -1 } }, "core: integer")
    refuses({ "true", pgroup = -1 }, "option 'pgroup'")
    refuses({ "true", pdeathsig = "SIGBANANA" }, "no such signal")
    local r, w = assert(pipe.open())
    w:close()
    refuses({ "true", stdout = w }, "closed pipe")
    r:close()
    local f = io.tmpfile()
    f:close()
    refuses({ "true", stdout = f }, "closed file")
  end)

  it("sets working directory, environment, umask, limits, niceness, arg0", function()
    local home = sh "pwd; umask; ulimit -n; nice"
    assert.equal("/\n", sh("pwd", { cwd = "/" }))
    assert.equal("0027\n", sh("umask", { umask = "027" }))
    assert.equal("0027\n", sh("umask", { umask = 23 }))
    assert.equal("64\n128\n", sh("ulimit -S -n; ulimit -H -n", { limits = { nofile = { 64, 128 } } }))
    assert.equal("0\n", sh("ulimit -H -c", { limits = { core = 0 } }))
    assert.equal(5, tonumber((sh("nice", { nice = 5 }))) - tonumber(home:match "(%-?%d+)\n$"))
    assert.equal("me\n", (output { "sh", "-c", "tr '\\0' '\\n' </proc/$$/cmdline | head -1", arg0 = "me" }))
    assert.equal("A=1\nB=x y\n", (output { "/usr/bin/env", env = { A = 1, B = "x y" } }):gsub("^(B.-\n)(A.-\n)$", "%2%1"), nil)
    assert.equal("", (output { "/usr/bin/env", env = {} }))
    assert.equal("1 gone " .. os.getenv "PATH" .. "\n",
      sh("echo $LIPC_A ${HOME-gone} $PATH", { env_add = { LIPC_A = 1, HOME = false } }))
    assert.equal(home, sh "pwd; umask; ulimit -n; nice") -- and not ours
  end)

  it("makes process groups and sessions", function()
    local ids = "read -r _ _ _ _ pgrp sid _ </proc/self/stat; echo $pgrp $sid"
    local function spawn(spec)
      spec[1], spec[2], spec[3], spec.stdout = "sh", "-c", ids .. "; read x", "pipe"
      spec.stdin = "pipe"
      local p = assert(process.spawn(spec))
      local g, s = p.stdout:read("n", "n")
      return p, g, s
    end
    local p, g, s = spawn {}
    local q, qg, qs = spawn { pgroup = true }
    local r, rg, rs = spawn { pgroup = q }
    local t, tg = spawn { pgroup = q:pid() }
    local u, ug, us = spawn { session = true }
    assert.not_equal(p:pid(), g)
    assert.same({ q:pid(), s }, { qg, qs })
    assert.same({ q:pid(), s }, { rg, rs })
    assert.equal(q:pid(), tg)
    assert.same({ u:pid(), u:pid() }, { ug, us })
    for _, one in ipairs { p, q, r, t, u } do
      one.stdin:close()
      assert.is_table(one:wait(60))
      one:close()
    end
  end)

  it("starts with default dispositions and an empty mask, whatever the host has", function()
    local signals = [[grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status]]
    local expected = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n"
    assert.equal(expected, output { "grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status" })
    local out = script(([[
      local ipc = require "lipc"
      local probe = require "support.probe"
      probe.block(10)
      local before = probe.mask()
      local function show(spec)
        spec[1], spec[2], spec[3], spec[4] = "grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"
        assert(ipc.process.spawn(spec)):wait()
      end
      show {}
      show { keep_mask = true }
      print(before == probe.mask(), probe.dispositions()[13], probe.dispositions()[2])
    ]]):format(signals), "trap '' PIPE INT USR2")
    assert.equal(expected .. expected:gsub("0000\n", "0200\n", 1) .. "true\tignored\tignored\n", out)
  end)

  it("leaves the host's mask, dispositions, umask and directory alone", function()
    local before = hoststate.take()
    local p = assert(process.spawn { "true", cwd = "/", umask = 0, session = true, limits = { core = 0 } })
    p:wait(60)
    p:close()
    assert.same({}, hoststate.diff(before, hoststate.take()))
  end)
end)

describe("descriptors of a child", function()
  it("are 0, 1, 2 and those passed, also where a host's are not close-on-exec", function()
    local f = assert(io.open "/dev/null") -- close-on-exec unknown to us
    local probe = require "support.probe"
    local high = probe.dup(0) -- not close-on-exec
    assert.equal("0\n1\n2\n", sh "ls /proc/$$/fd; :")
    assert.equal("0\n1\n2\n7\n90\n", sh("ls /proc/$$/fd; :", { fds = { [7] = f, [90] = high } }))
    assert.equal("0\n1\n2\n" .. high .. "\n", sh("ls /proc/$$/fd; :", { fds = { [high] = "inherit" } }))
    probe.close(high)
    f:close()
  end)

  it("can be swapped and shifted in any order", function()
    local r, w, fds, expected = {}, {}, {}, {}
    for i = 1, 4 do r[i], w[i] = assert(pipe.open()) end
    for i = 1, 4 do fds[w[i]:fd()] = w[i % 4 + 1] end -- a ring
    local text = {}
    for i = 1, 4 do
      text[i] = ("echo %d >/proc/self/fd/%d"):format(i, w[i]:fd())
      expected[i % 4 + 1] = i .. "\n"
    end
    sh(table.concat(text, ";"), { fds = fds })
    for i = 1, 4 do
      w[i]:close()
      assert.equal(expected[i], r[i]:read "a")
      r[i]:close()
    end
    assert.equal("err\n", sh("echo err >&2; echo lost", { stderr = "stdout", stdout = "null" }) .. "err\n")
    -- standard input taken from descriptor 1, and crossed streams
    local r1, w1 = assert(pipe.open())
    local p = assert(process.spawn { "sh", "-c", "echo out; echo err >&2", stdout = 2, stderr = w1 })
    p:wait(60)
    p:close()
    w1:close()
    assert.equal("err\n", r1:read "a")
    r1:close()
  end)

  it("come from pipes, files, paths, /dev/null, each other", function()
    local path = names.path()
    local p = assert(process.spawn { "cat", stdin = "pipe", stdout = "pipe", stderr = "null" })
    assert(p.stdin:write "through")
    p.stdin:close()
    assert.equal("through", p.stdout:read "a")
    assert.is_nil(p.stderr)
    p:wait(60)
    p:close()
    local function run(spec) assert(process.spawn(spec)):wait(60) end
    run { "echo", "one", stdout = { path = path } }
    run { "echo", "two", stdout = { path = path, mode = "a" } }
    assert.equal("one\ntwo\n", slurp(path))
    assert.equal("one\ntwo\n", output { "cat", stdin = { path = path } })
    local f = assert(io.open(path, "w"))
    f:write "from Lua\n" -- still buffered when the program starts
    run { "echo", "from echo", stdout = f }
    f:close()
    assert.equal("from Lua\nfrom echo\n", slurp(path))
    run { "sh", "-c", "echo out; echo err >&2", stdout = { path = path }, stderr = "stdout" }
    assert.equal("out\nerr\n", slurp(path))
    assert.same({ nil, "open " .. path .. ": File exists", "EEXIST" },
      { process.spawn { "true", stdout = { path = path, mode = "x" } } })
    assert.equal("", output { "cat", stdin = "null" })
    local out, status = sh("echo x >&3", { fds = { [3] = { path = path, mode = "w" } } })
    assert.same({ "", true }, { out, status.ok })
    assert.equal("x\n", slurp(path))
    os.remove(path)
  end)

  it("block in the child, and still do not block us", function()
    local r, w = assert(pipe.open())
    local r2, w2 = assert(pipe.open())
    -- a program that gets EAGAIN from its standard input would fail
    local p = assert(process.spawn { "cat", stdin = r, stdout = w2 })
    assert.same({ nil, "ETIMEDOUT" }, { r2:readsome(1, 0), select(3, r2:readsome(1, 0)) })
    w:write "hello"
    assert.equal("hello", r2:readsome(10, 60))
    w:close()
    assert.is_true(p:wait(60).ok)
    p:close()
    -- ours are usable after it, with their deadlines
    assert.equal("ETIMEDOUT", select(3, r2:readsome(1, 0.01)))
    w2:settimeout(0.01)
    local _, _, code, n = w2:write(("x"):rep(200000))
    assert.equal("ETIMEDOUT", code)
    assert.equal(n, #r2:readsome(65536, 60) + (n - 65536))
    r:close()
    r2:close()
    w2:close()
  end)

  it("get what was held back by setvbuf first", function()
    local r, w = assert(pipe.open())
    w:setvbuf("full", 100)
    w:write "ours "
    local p = assert(process.spawn { "echo", "theirs", stdout = w })
    p:wait(60)
    p:close()
    w:close()
    assert.equal("ours theirs\n", r:read "a")
    r:close()
  end)
end)

describe("a process", function()
  it("has a status, the same every time", function()
    local p = assert(process.spawn { "sh", "-c", "exit 3" })
    local s = assert(p:wait())
    assert.same({ ok = false, code = 3 }, s)
    assert.equal("exit 3", tostring(s))
    assert.equal(s, p:wait(0))
    assert.equal(s, p:status())
    assert.is_true(p:exited(0))
    p:close()
    p = assert(process.spawn { "sh", "-c", "kill -KILL $$" })
    s = assert(p:wait(60))
    assert.same({ ok = false, signal = "SIGKILL", core = false }, s)
    assert.equal("SIGKILL", tostring(s))
    p:close()
    p = assert(process.spawn { "sh", "-c", "ulimit -c 0; kill -SEGV $$" })
    assert.equal("SIGSEGV", p:wait(60).signal)
    p:close()
    p = assert(process.spawn { "true" })
    assert.same({ ok = true, code = 0 }, p:wait(60))
    p:close()
  end)

  it("is waited for with a deadline, asked without waiting, polled", function()
    local p = assert(process.spawn { "cat", stdin = "pipe" })
    assert.same({ nil, "process:wait cat: timed out", "ETIMEDOUT" }, { p:wait(0.01) })
    assert.same({ nil, "process:wait cat: timed out", "ETIMEDOUT" }, { p:wait(0) })
    assert.is_false(p:status())
    assert.equal("ETIMEDOUT", select(3, p:exited(0)))
    assert.equal("r", p:events())
    assert.equal(p:fd(), p:pollfd())
    assert.is_truthy(tostring(p):find("lipc.process cat (pid " .. p:pid(), 1, true))
    p.stdin:close()
    assert.is_true(p:exited(60))
    assert.is_truthy(io.open("/proc/" .. p:pid() .. "/stat")) -- its status was not taken
    assert.is_true(p:status().ok)
    assert.is_nil(io.open("/proc/" .. p:pid() .. "/stat"))
    p:close()
    assert.is_truthy(tostring(p):find "closed\\)$" or tostring(p):find "ended")
    assert.is_integer(p:pid())
    assert.has_error(function() p:wait() end)
    assert.is_true(p:close())
  end)

  it("is waited for by several coroutines of a loop", function()
    local p = assert(process.spawn { "cat", stdin = "pipe" })
    local seen, ticks = {}, 0
    local l = assert(ipc.loop.new())
    for i = 1, 3 do l:wrap(function() seen[i] = p:wait() end) end
    l:wrap(function()
      for _ = 1, 5 do
        ipc.sleep(0.001)
        ticks = ticks + 1
      end
      p.stdin:close()
    end)
    l:run()
    l:close()
    assert.equal(5, ticks)
    assert.is_true(seen[1].ok)
    assert.same({ seen[1], seen[1], seen[1] }, seen)
    p:close()
  end)

  it("gets signals by name and number, and only itself", function()
    local p = assert(process.spawn { "cat", stdin = "pipe" })
    assert.is_true(p:kill(0))
    assert.is_true(p:kill "USR1")
    assert.equal("SIGUSR1", p:wait(60).signal)
    assert.same({ nil, "process:kill cat: No such process", "ESRCH" }, { p:kill() })
    p:close()
    p = assert(process.spawn { "cat", stdin = "pipe" })
    assert.is_true(p:kill())
    assert.equal("SIGTERM", p:wait(60).signal)
    p:close()
    assert.has_error(function() p:kill() end)
    p = assert(process.spawn { "cat", stdin = "pipe" })
    assert.has_error(function() p:kill "SIGBANANA" end)
    assert.has_error(function() p:kill(-1) end)
    assert.has_error(function() p:killgroup() end, "bad argument #1 to 'killgroup' (leads no process group (pgroup = true))")
    p:kill(9)
    assert.equal("SIGKILL", p:wait(60).signal)
    p:close()
  end)

  it("is not mistaken for another that got its number", function()
    -- the kernel can be told which number comes next where we may write that file
    local hit
    for _ = 1, 200 do
      local old = assert(process.spawn { "true" })
      assert(old:exited(60))
      local number = old:pid()
      old:status()
      local f = io.open("/proc/sys/kernel/ns_last_pid", "w")
      if f then
        f:write(number - 1)
        f:close()
      end
      local new = assert(process.spawn { "cat", stdin = "pipe", pgroup = true })
      hit = new:pid() == number
      assert.same({ nil, "ESRCH" }, { (old:kill(9)), select(3, old:kill(9)) })
      assert.is_false(new:status())
      new.stdin:close()
      assert.is_true(new:wait(60).ok)
      new:close()
      old:close()
      if hit or not f then break end
    end
  end)

  it("has a group that a signal reaches after it has ended itself", function()
    local p = assert(process.spawn {
      "sh", "-c", "trap '' TERM; (cat <&3; echo never) & echo $!; exit 0", fds = { [3] = 0 }, stdin = "pipe",
      stdout = "pipe", pgroup = true,
    })
    local pid = p.stdout:read "n"
    assert.is_true(p:exited(60))
    assert.is_true(p:killgroup "KILL")
    eventually(function() return gone(pid) end)
    assert.is_true(p:wait(60).ok)
    eventually(function() return select(3, p:killgroup(0)) == "ESRCH" end)
    p:close()
  end)

  it("whose status the host took is reported, not waited for", function()
    local out = script([[
      local ipc = require "lipc"
      local p = assert(ipc.process.spawn { "true" })
      print(p:wait(60))
      print(p:wait(60))
      print(p:kill())
      print(select(3, ipc.process.run { "true" }))
      print(select(3, ipc.process.spawn { "nosuchprogram" }))
      print(select(3, ipc.process.fork(function() end):wait(60)))
    ]], "trap '' CHLD")
    local line = "nil\tprocess:wait true: No child processes\tECHILD\n"
    assert.equal(line .. line .. "nil\tprocess:kill true: No such process\tESRCH\nECHILD\nENOENT\nECHILD\n", out)
  end)

  it("runs on when it is closed or collected, and leaves no zombie", function()
    local r, w = assert(pipe.open())
    local one = assert(process.spawn { "cat", stdin = r })
    local two = assert(process.spawn { "cat", stdin = r })
    r:close()
    local a, b = one:pid(), two:pid()
    one:close()
    two = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_false(gone(a))
    assert.is_false(gone(b))
    w:close()
    eventually(function() return gone(a) and gone(b) end)
    collectgarbage()
    assert.is_nil(io.open("/proc/" .. a .. "/stat"))
    assert.is_nil(io.open("/proc/" .. b .. "/stat"))
  end)

  it("that ended before it was closed leaves no zombie either", function()
    local p = assert(process.spawn { "true" })
    local pid = p:pid()
    assert(p:exited(60))
    p:close()
    assert.is_nil(io.open("/proc/" .. pid .. "/stat"))
  end)

  it("is killed with its group on request when it is closed", function()
    local p = assert(process.spawn {
      "sh", "-c", "trap '' TERM; cat & echo $!; wait", stdin = "pipe", stdout = "pipe", pgroup = true,
      kill_on_close = true,
    })
    local pid, child = p:pid(), p.stdout:read "n"
    p:close()
    eventually(function() return gone(pid) and gone(child) end)
    do
      local q <close> = assert(process.spawn { "sleep", "1000", kill_on_close = true })
      pid = q:pid()
    end
    eventually(function() return gone(pid) end)
    p = assert(process.spawn { "sleep", "1000", kill_on_close = true })
    pid = p:pid()
    p = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    eventually(function() return gone(pid) end)
  end)

  it("gets a signal when we die, where that was asked for", function()
    local out = script [[
      local p = assert(require "lipc".process.spawn { "sleep", "1000", pdeathsig = "KILL", stdout = "null",
        stderr = "null" })
      print(p:pid())
      io.stdout:flush()
      os.exit(0, false)
    ]]
    local pid = tonumber(out)
    eventually(function() return gone(pid) end)
  end)
end)

describe("communicate", function()
  local big = ("0123456789abcde\n"):rep(1 << 18) -- 4 MiB

  it("writes and reads at the same time", function()
    local p = assert(process.spawn { "sh", "-c", "tee /dev/stderr", stdin = "pipe", stdout = "pipe", stderr = "pipe" })
    local r = assert(p:communicate(big))
    assert.is_true(r.stdout == big and r.stderr == big)
    assert.same({ ok = true, code = 0 }, r.status)
    p:close()
  end)

  it("goes on after a deadline where it was", function()
    local r, w = assert(pipe.open())
    local p = assert(process.spawn { "sh", "-c", "head -c 100000; read x <&3; cat", stdin = "pipe", stdout = "pipe",
      fds = { [3] = r } })
    r:close()
    local ok, message, code, partial = p:communicate(big, { timeout = 0.05 })
    assert.same({ nil, "process:communicate: timed out", "ETIMEDOUT" }, { ok, message, code })
    assert.is_true(#partial.stdout <= 100000)
    assert.is_false(p:status())
    w:write "go\n"
    local result = assert(p:communicate())
    assert.equal(#big, #result.stdout)
    assert.is_true(result.stdout == big)
    w:close()
    p:close()
  end)

  it("has a limit, and does not mind a child that does not read", function()
    local p = assert(process.spawn { "cat", stdin = "pipe", stdout = "pipe" })
    assert.equal("EMSGSIZE", select(3, p:communicate(big, { max = 1000 })))
    p:kill()
    p:wait(60)
    p:close()
    p = assert(process.spawn { "true", stdin = "pipe" })
    assert.is_true(assert(p:communicate(big)).status.ok)
    p:close()
    p = assert(process.spawn { "true" })
    assert.has_error(function() p:communicate "x" end)
    p:wait(60)
    p:close()
  end)
end)

describe("process.fork", function()
  it("runs a function in a copy of this process", function()
    local mine = 1
    local p = assert(process.fork(function()
      mine = 2
      io.write(mine, " ")
      print(require "support.probe".getpid())
      return 7
    end, { stdout = "pipe" }))
    assert.equal("2 " .. p:pid() .. "\n", p.stdout:read "a")
    assert.same({ ok = false, code = 7 }, p:wait(60))
    assert.equal(1, mine)
    p:close()
    for value, code in pairs { [true] = 0, [false] = 1, [0] = 0, x = 0 } do
      p = assert(process.fork(function() return value end))
      assert.equal(code, p:wait(60).code)
      p:close()
    end
  end)

  it("gives an error with its traceback to wait", function()
    local function culprit() error "on purpose" end
    local p = assert(process.fork(function() culprit() end))
    local s = p:wait(60)
    assert.equal(1, s.code)
    assert.is_truthy(s.error:find "on purpose\nstack traceback:.*culprit")
    p:close()
    p = assert(process.fork(function() error(("x"):rep(1 << 20)) end)) -- more than fits, and nobody reads yet
    assert(p:exited(60))
    assert.is_true(#p:wait().error > 10000)
    p:close()
    p = assert(process.fork(function() error({}) end))
    assert.is_truthy(p:wait(60).error:find "^table: ")
    p:close()
  end)

  it("writes what was buffered once", function()
    local out = script [[
      local ipc = require "lipc"
      local f = io.tmpfile()
      f:write "file "
      io.write "before "
      ipc.process.fork(function() io.write "child " f:write "child " end):wait()
      io.write "after "
      f:seek "set"
      io.write(f:read "a")
      local r, w = ipc.pipe.open()
      w:setvbuf "full"
      w:write "held back"
      ipc.process.fork(function() w:write "!" w:flush() end):wait()
      w:close()
      print(r:read "a")
    ]]
    assert.equal("before child after file child !held back\n", out)
  end)

  it("runs no finalisers, and under no scheduler", function()
    local out = script [[
      local ipc = require "lipc"
      local guard = setmetatable({}, { __gc = function() print "finalised" end })
      local l = ipc.loop.new()
      l:wrap(function()
        local closed <close> = setmetatable({}, { __close = function() print "closed" end })
        local p = ipc.process.fork(function()
          print(coroutine.isyieldable(), ipc.sleep(0.001))
          local r, w = ipc.pipe.open()
          ipc.process.fork(function() w:write "nested" end):wait()
          print(r:readsome(10)) -- a wait for ever is allowed
        end)
        print(p:wait())
      end)
      l:run()
    ]]
    assert.equal("false\ttrue\nnested\nexit 0\nclosed\nfinalised\n", out)
  end)

  it("takes the options of spawn that make sense, and fails as it does", function()
    local p = assert(process.fork(function()
      io.write(io.read "a", " ")
      os.execute "pwd; umask; grep SigIgn /proc/self/status"
    end, { stdin = "pipe", stdout = "pipe", cwd = "/", umask = "077", pgroup = true }))
    p.stdin:write "in"
    p.stdin:close()
    assert.equal("in /\n0077\nSigIgn:\t0000000000000000\n", p.stdout:read "a")
    assert.is_true(p:wait(60).ok)
    p:close()
    local before = hoststate.take()
    assert.same({ nil, "chdir /nowhere: No such file or directory", "ENOENT" },
      { process.fork(function() end, { cwd = "/nowhere" }) })
    assert.same({}, hoststate.diff(before, hoststate.take()))
    assert.has_error(function() process.fork(function() end, { env = {} }) end)
    assert.has_error(function() process.fork(1) end)
  end)

  it("has default dispositions and can still have handlers", function()
    local out = script([[
      local ipc = require "lipc"
      ipc.signal.on("SIGUSR1", function() print "parent's" end)
      ipc.process.fork(function()
        os.execute "grep SigIgn /proc/self/status"
        ipc.signal.on("SIGUSR1", function() print "child's" end)
        ipc.signal.raise "SIGUSR1"
        ipc.sleep(0.001)
      end):wait()
      local p = ipc.process.fork(function() io.write(("x"):rep(100000)) end, { stdout = "pipe" })
      p.stdout:close()
      print(p:wait())
    ]], "trap '' PIPE")
    assert.is_truthy(out:find "^SigIgn:\t0000000000000000\n")
    assert.is_truthy(out:find "child's\n")
    assert.is_truthy(out:find "SIGPIPE\n$")
  end)

  it("refuses where there are several threads, unless told that it is all right", function()
    local probe = require "support.probe"
    local out = script(([[
      package.path, package.cpath = %q, %q
      local ipc = require "lipc"
      require "support.probe".thread()
      print(ipc.process.fork(function() end))
      print(assert(ipc.process.fork(function() return 3 end, { threads = true })):wait())
    ]]):format(package.path, package.cpath))
    assert.equal("nil\tprocess.fork: Operation not supported\tENOTSUP\nexit 3\n", out)
    assert.is_table(probe)
  end)

  it("cannot wait for, but does not disturb, its parent's children", function()
    local p = assert(process.spawn { "cat", stdin = "pipe", kill_on_close = true })
    local q = assert(process.fork(function()
      local _, _, code = p:wait(0)
      p:close()
      return code == "ECHILD"
    end))
    assert.same({ ok = true, code = 0 }, q:wait(60))
    q:close()
    assert.is_false(p:status())
    p.stdin:close()
    assert.is_true(p:wait(60).ok)
    p:close()
  end)
end)
