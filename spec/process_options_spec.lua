-- How a child is described: program, environment, descriptors, limits; what fails and what is misuse.
local ipc = require "lipc"
local hoststate = require "support.hoststate"
local names = require "support.names"
local programs = require "support.programs"
local process, pipe = ipc.process, ipc.pipe
local output, sh, script, slurp = programs.output, programs.sh, programs.script, programs.slurp

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
    assert.same({ "process.spawn: exec lipcprog: No such file or directory", "ENOENT" }, { message, code })
    _, message, code = process.spawn { "true", search = false, cwd = "/" }
    assert.same({ "process.spawn: exec true: No such file or directory", "ENOENT" }, { message, code })
    assert(os.execute("chmod -x " .. dir .. "/lipcprog"))
    _, message, code = process.spawn { "lipcprog", search = "/nowhere:" .. dir .. ":/bin" }
    assert.same({ "process.spawn: exec lipcprog: Permission denied", "EACCES" }, { message, code })
    os.execute("rm -r " .. dir)
  end)

  it("says what failed, as a failure of its own and not as a status", function()
    local function fails(spec, message, code)
      collectgarbage()
      collectgarbage()
      local before = hoststate.before()
      local p, m, c = process.spawn(spec)
      assert.same({ nil, message, code }, { p, m, c })
      assert.same({}, hoststate.diff(before, hoststate.take()))
    end
    fails({ "/etc/passwd" }, "process.spawn: exec /etc/passwd: Permission denied", "EACCES")
    fails({ "/nowhere/x" }, "process.spawn: exec /nowhere/x: No such file or directory", "ENOENT")
    fails({ "true", cwd = "/nowhere" }, "process.spawn: chdir /nowhere: No such file or directory", "ENOENT")
    fails({ "true", stdin = { path = "/nowhere" } }, "process.spawn: open /nowhere: No such file or directory", "ENOENT")
    fails({ "true", fds = { [5] = 999 } }, "process.spawn: dup2 999 to 5: Bad file descriptor", "EBADF")
    fails({ "true", pgroup = 0x3fffff }, "process.spawn: setpgid 4194303: Operation not permitted", "EPERM")
    fails({ "true", limits = { nofile = { 20, 10 } } }, "process.spawn: setrlimit nofile: Invalid argument", "EINVAL")
    assert.equal("ENAMETOOLONG", select(3, process.spawn { ("x"):rep(5000) }))
    assert.equal("ENAMETOOLONG", select(3, process.spawn { "/" .. ("x"):rep(5000) }))
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
    refuses({ "true", [3] = "x" }, "the argument list has a hole at 2")
    refuses({ "echo", nil, "x" }, "the argument list has a hole at 2")
    refuses({ nil, "echo" }, "the argument list has a hole at 1")
    refuses({ "true", [0] = "x" }, "unknown option '0'")
    refuses({ "true", stdin = "sideways" }, "option 'stdin': invalid value 'sideways': \"inherit\", \"null\", \"pipe\", "
      .. "\"stdin\", \"stdout\", \"stderr\", a descriptor, a file, an lipc object or {path = ...} expected")
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
    refuses({ "true", limits = { core = 1.5 } }, "core: integer")
    refuses({ "true", limits = { core = "1" } }, "core: integer")
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

  it("asks metamethods once, and keeps what they made up", function()
    local asked, pipes = {}, 0
    local function index(_, name)
      asked[name] = (asked[name] or 0) + 1
      collectgarbage()
      if name == "cwd" then return ("/"):rep(100) .. "usr" end
      if name == "fds" then -- the second time more than the first
        local fds = {}
        for fd = 3, asked[name] * 100 do fds[fd] = "null" end
        return fds
      elseif name == "stdout" then
        local _, w = assert(pipe.open())
        pipes = pipes + 1
        return w
      end
    end
    local p = assert(process.spawn(setmetatable({ "pwd" }, { __index = index })))
    assert.is_table(p:wait(60))
    assert.equal(1, pipes)
    for name, times in pairs(asked) do assert.equal(1, times, name) end
    p:close()
  end)

  it("refuses a list whose length is no count of its elements", function()
    local fields = {}
    for i = 1, 100 do fields[i] = ("a%d = nil"):format(i) end -- no array part
    local spec = assert(load("return {" .. table.concat(fields, ",") .. "}"))()
    for i = 0, 62 do spec[1 << i] = "true" end
    spec[math.maxinteger] = "true"
    assert.equal(math.maxinteger, #spec)
    assert.has_error.matches(function() process.spawn(spec) end, "the argument list has a hole at 3")
    local gap = setmetatable({ "true", "x", nil, "y" }, {})
    assert.has_error.matches(function() process.spawn(gap) end, "the argument list has a hole at 3")
  end)

  it("sets working directory, environment, umask, limits, niceness, arg0", function()
    local home = sh "pwd; umask; ulimit -n; nice"
    assert.equal("/\n", sh("pwd", { cwd = "/" }))
    assert.equal("0027\n", sh("umask", { umask = "027" }))
    assert.equal("0027\n", sh("umask", { umask = 23 }))
    assert.equal("64\n128\n", sh("ulimit -S -n; ulimit -H -n", { limits = { nofile = { 64, 128 } } }))
    assert.equal("0\n", sh("ulimit -H -c", { limits = { core = 0 } }))
    assert.equal("64\n", sh("ulimit -H -n", { limits = { nofile = 6.4e1 } }))
    assert.equal(math.min(19, 5 + tonumber(home:match "(%-?%d+)\n$")), tonumber((sh("nice", { nice = 5 })))) -- 19 is the end
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
    local expected = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
    assert.equal(expected, output { "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status" })
    local out = script([[
      local ipc = require "lipc"
      local probe = require "support.probe"
      probe.block(10)
      local before = probe.mask()
      local function show(spec)
        spec[1], spec[2], spec[3], spec[4] = "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"
        assert(ipc.process.spawn(spec)):wait()
      end
      show {}
      show { keep_mask = true }
      print(before == probe.mask(), probe.dispositions()[13], probe.dispositions()[12])
    ]], "PIPE,INT,USR2")
    assert.equal(expected .. expected:gsub("0000\n", "0200\n", 1) .. "true\tignored\tignored\n", out)
  end)

  it("leaves the host's mask, dispositions, umask and directory alone", function()
    collectgarbage()
    collectgarbage()
    local before = hoststate.before()
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
    local function list(fds)
      local found = {}
      for n in sh("ls /proc/$$/fd; :", { fds = fds }):gmatch "%d+" do found[#found + 1] = tonumber(n) end
      table.sort(found)
      return found
    end
    local none, some, kept = list {}, list { [7] = f, [90] = high }, list { [high] = "inherit" }
    probe.close(high)
    f:close()
    assert.same({ { 0, 1, 2 }, { 0, 1, 2, 7, 90 }, { 0, 1, 2, high } }, { none, some, kept })
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
    -- two of the standard ones exchanged
    local r1, w1 = assert(pipe.open())
    local p = assert(process.spawn { "sh", "-c", "echo out; echo err >&2", stdout = w1, stderr = "null",
      stdin = 1 })
    p:wait(60)
    p:close()
    p = assert(process.spawn { "sh", "-c", "exec 3>&1 >&2 2>&3; echo out; echo err >&2", stdout = "stderr", stderr = w1 })
    p:wait(60)
    p:close()
    w1:close()
    assert.equal("out\nout\nerr\n", r1:read "a")
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
    assert.same({ nil, "process.spawn: open " .. path .. ": File exists", "EEXIST" },
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
