-- run, pipeline and cmd: programs and Lua functions joined, with one end for all of it.
local ipc = require "lipc"
local hoststate = require "support.hoststate"
local names = require "support.names"
local programs = require "support.programs"
local process, pipe, cmd = ipc.process, ipc.pipe, ipc.cmd
local slurp, eventually, gone = programs.slurp, programs.eventually, programs.gone

local function upper(input, output)
  for line in input:lines "L" do output:write(line:upper()) end
end

describe("process.run", function()
  it("collects both outputs and the status", function()
    local r = assert(process.run { "sh", "-c", "cat; echo err >&2; exit 3", input = "in" })
    assert.same({ "in", "err\n", false, 3 }, { r.stdout, r.stderr, r.ok, r.status.code })
    r = assert(process.run { "echo", "x" })
    assert.same({ "x\n", "", true, "exit 0" }, { r.stdout, r.stderr, r.ok, tostring(r.status) })
    r = assert(process.run { "sh", "-c", "echo a; echo b >&2", stderr = "stdout" })
    assert.same({ stdout = "a\nb\n" }, { stdout = r.stdout, stderr = r.stderr })
    r = assert(process.run { "echo", "x", stdout = "null" })
    assert.is_nil(r.stdout)
  end)

  it("feeds input of any size, from a function too", function()
    local big = ("0123456789abcde\n"):rep(1 << 18)
    assert.is_true(process.run { "cat", input = big }.stdout == big)
    assert.is_true(process.run({ "true", input = big }).ok) -- one that does not read
    local n = 0
    local r = assert(process.run { "cat", input = function()
      n = n + 1
      return n <= 1000 and ("%d\n"):format(n) or nil
    end })
    assert.equal(1000, select(2, r.stdout:gsub("\n", "")))
    assert.equal("", process.run({ "cat", input = "" }).stdout)
    local ok, err = pcall(process.run, { "cat", input = function() error "no more" end })
    assert.is_false(ok)
    assert.is_truthy(err:find "no more")
  end)

  it("fails as spawn does", function()
    collectgarbage()
    collectgarbage()
    local before = hoststate.before()
    assert.same({ nil, "process.run: exec nosuchprogram: No such file or directory", "ENOENT" },
      { process.run { "nosuchprogram" } })
    assert.same({ nil, "process.run: chdir /nowhere: No such file or directory", "ENOENT" },
      { process.run { "true", cwd = "/nowhere" } })
    assert.same({}, hoststate.diff(before, hoststate.take()))
  end)

  it("reports misuse where it is called", function()
    local function refuses(spec, what)
      local ok, message = pcall(process.run, spec)
      assert.is_false(ok)
      assert.is_truthy(message:find(what, 1, true), message)
    end
    local ok, message = pcall(function() process.run { "true", cwd = 1 } end)
    assert.is_false(ok)
    assert.is_truthy(message:find "^[^\n]*process_pipeline_spec.lua:%d+: bad argument #1 to 'run' %(option 'cwd'", message)
    refuses(nil, "table expected")
    refuses({}, "program expected")
    refuses({ "true", timeout = "soon" }, "option 'timeout': timeout in seconds expected, got string")
    refuses({ "true", timeout = -1 }, "option 'timeout': timeout must not be negative")
    refuses({ "true", kill_after = 0 / 0 }, "option 'kill_after': time must not be NaN")
    refuses({ "true", max = 1.5 }, "option 'max': size in bytes expected, got 1.5")
    assert.equal("EMSGSIZE", (select(3, process.run { "echo", "12", max = 2.0 })))
    refuses({ "echo", nil, "x" }, "the argument list has a hole at 2")
    refuses({ "true", stdout = "out.txt" }, "option 'stdout': invalid value 'out.txt': \"inherit\", \"null\", \"pipe\", "
      .. "\"stdin\", \"stdout\", \"stderr\", a descriptor, a file, an lipc object or {path = ...} expected")
    refuses({ "cat", stdin = "hello" }, "{path = ...} expected; text goes into option 'input'")
    refuses({ "true", input = "x", stdin = "null" }, "exclude each other")
    refuses({ "true", input = 1 }, "option 'input'")
    refuses({ "true", check = 1 }, "option 'check'")
    refuses({ "true", bogus = 1 }, "unknown option 'bogus'")
  end)

  it("with check takes a bad status for a failure", function()
    local ok, message, code, r = process.run { "sh", "-c", "echo start >&2; echo why >&2; exit 4", check = true }
    assert.same({ nil, "process.run sh: exit 4: why", "EXIT" }, { ok, message, code })
    assert.equal(4, r.status.code)
    ok, message, code = process.run { "sh", "-c", "kill -9 $$", check = true }
    assert.same({ nil, "process.run sh: SIGKILL", "SIGKILL" }, { ok, message, code })
    assert.is_true(process.run({ "true", check = true }).ok)
  end)

  it("at its deadline ends the group, a grandchild too that ignores SIGTERM", function()
    local from, to = assert(pipe.open())
    local path = names.path()
    local ok, message, code, r = process.run {
      "sh", "-c", "trap '' TERM; echo got this far; (cat <&3; echo never) & echo >" .. path .. "; wait", fds = { [3] = from },
      input = programs.input_after(path), timeout = 0.1, kill_after = 0.05,
    }
    from:close()
    to:close()
    os.remove(path)
    assert.same({ nil, "process.run sh: timed out", "ETIMEDOUT" }, { ok, message, code })
    assert.equal("got this far\n", r.stdout)
    assert.equal("SIGKILL", r.status.signal)
  end)

  it("kills that grandchild for sure", function()
    local r, w = assert(pipe.open())
    local path = names.path()
    -- the leader ends at SIGTERM at once, its child ignores it
    assert.equal("ETIMEDOUT", select(3, process.run {
      "sh", "-c", "(trap '' TERM; exec cat) <&3 & echo $! >" .. path .. "; wait", fds = { [3] = r },
      input = programs.input_after(path), timeout = 0.1, kill_after = 0.05,
    }))
    r:close()
    local pid = tonumber(slurp(path))
    os.remove(path)
    eventually(function() return gone(pid) end)
    w:close()
  end)

  it("gives SIGTERM a chance, and does not wait longer than needed", function()
    local path = names.path()
    local _, _, code, r = process.run {
      "sh", "-c", "trap 'echo bye; exit 7' TERM; echo ready; echo >" .. path .. "; while :; do sleep 0.01; done",
      input = programs.input_after(path), timeout = 0.1, kill_after = 60,
    }
    os.remove(path)
    assert.same({ "ETIMEDOUT", "ready\nbye\n", 7 }, { code, r.stdout, r.status.code })
  end)

  it("is not held up by a grandchild that keeps the pipes", function()
    local r, w = assert(pipe.open())
    local result = assert(process.run {
      "sh", "-c", "cat <&3 & echo $!; yes | head -c 50000 >&2", fds = { [3] = r },
    })
    r:close()
    assert.equal(50000, #result.stderr)
    local pid = tonumber(result.stdout)
    assert.is_false(gone(pid)) -- it was not killed either
    w:close()
    eventually(function() return gone(pid) end)
    -- one that goes on writing for ever
    result = assert(process.run { "sh", "-c", "trap '' TERM; yes & echo $! >&2", max = 1 << 30 })
    pid = tonumber(result.stderr)
    eventually(function() return gone(pid) end) -- SIGPIPE
  end)

  it("stops at max", function()
    local ok, message, code, r = process.run { "yes", max = 100000, kill_after = 0 }
    assert.same({ nil, "process.run yes: output is longer than max", "EMSGSIZE" }, { ok, message, code })
    assert.is_true(#r.stdout > 100000)
    assert.equal("SIGKILL", r.status.signal)
  end)

  it("lets the other coroutines run, and ends with its task", function()
    local l = assert(ipc.loop.new())
    local ticks, result, pid = 0, nil, nil
    local go_on, go = assert(pipe.open())
    local task = l:wrap(function()
      result = process.run { "sh", "-c", "read x <&3; echo done", fds = { [3] = go_on } }
      process.run { "sh", "-c", "echo $$ >&3; exec sleep 1000", fds = { [3] = pid } }
    end)
    local r, w = assert(pipe.open())
    pid = w
    l:wrap(function()
      while not result do
        ipc.sleep(0.001)
        ticks = ticks + 1
        if ticks == 4 then go:write "\n" end
      end
      pid = r:read "n"
      task:cancel()
    end)
    l:run()
    l:close()
    assert.equal("done\n", result.stdout)
    assert.is_true(ticks > 3)
    eventually(function() return gone(pid) end)
    for _, o in ipairs { r, w, go_on, go } do o:close() end
  end)

  it("works in a coroutine that nobody manages, and twice at a time", function()
    local co = coroutine.wrap(function() return process.run({ "echo", "x" }).stdout end)
    assert.equal("x\n", co())
    local l = assert(ipc.loop.new())
    local out = {}
    for i = 1, 5 do l:wrap(function() out[i] = process.run({ "echo", i }).stdout end) end
    l:run()
    l:close()
    assert.same({ "1\n", "2\n", "3\n", "4\n", "5\n" }, out)
  end)
end)

describe("process.pipeline", function()
  it("joins programs, and tells how each ended", function()
    local r = assert(process.pipeline { { "printf", "b\na\nc\n" }, { "sort" }, { "head", "-n", 2 } })
    assert.same({ "a\nb\n", true, 3 }, { r.stdout, r.ok, #r.stages })
    assert.equal("sort", r.stages[2].name)
    assert.equal("exit 0", tostring(r.stages[2].status))
    r = assert(process.pipeline { { "sh", "-c", "exit 3" }, { "cat" } })
    assert.same({ false, 3, 0 }, { r.ok, r.stages[1].status.code, r.status.code })
  end)

  it("ends what nobody reads by SIGPIPE", function()
    local r = assert(process.pipeline { { "yes" }, { "head", "-1" }, check = true })
    assert.same({ "y\n", "SIGPIPE", true }, { r.stdout, r.stages[1].status.signal, r.ok })
    for _, fork in ipairs { false, true } do
      r = assert(process.pipeline { { "yes" }, upper, { "head", "-1" }, fork = fork, check = true })
      assert.same({ "Y\n", "SIGPIPE", "SIGPIPE", true },
        { r.stdout, r.stages[1].status.signal, r.stages[2].status.signal, r.ok })
      r = assert(process.pipeline { function(_, output) while true do output:write "y\n" end end, { "head", "-1" }, fork = fork })
      assert.same({ "y\n", "SIGPIPE" }, { r.stdout, r.stages[1].status.signal })
    end
  end)

  it("has Lua functions as stages, in any place, here or in a forked child", function()
    local function produce(_, output) for i = 1, 1000 do output:write(i, "\n") end end
    local function consume(input, output)
      local sum = 0
      for n in input:lines "n" do sum = sum + n end
      output:write(sum)
    end
    for _, fork in ipairs { false, true } do
      assert.equal("500500", process.pipeline({ produce, consume, fork = fork }).stdout)
      assert.equal("500500", process.pipeline({ produce, { "cat" }, consume, fork = fork }).stdout)
      assert.equal("ABC", process.pipeline({ upper, fork = fork, input = "abc" }).stdout)
      assert.equal("ABC", process.pipeline({ { "cat" }, upper, { "cat" }, fork = fork, input = "abc" }).stdout)
      assert.equal("ABC\n", process.pipeline({ { "echo", "abc" }, { upper, fork = not fork }, upper, fork = fork }).stdout)
    end
    local mine = 0
    assert(process.pipeline { { "echo", "x" }, function(input) mine = #input:read "a" end })
    assert.equal(2, mine)
    assert(process.pipeline { { "echo", "x" }, function(input) mine = input:read "a" end, fork = true })
    assert.equal(2, mine)
  end)

  it("gives the error of a Lua stage with its traceback, and tells a failure from a result", function()
    local function culprit() error "on purpose" end
    for _, fork in ipairs { false, true } do
      local spec = { { "yes" }, function(input) input:read() culprit() end, { "cat" }, fork = fork }
      local r = assert(process.pipeline(spec))
      assert.same({ "SIGPIPE", 1, 0, false },
        { r.stages[1].status.signal, r.stages[2].status.code, r.status.code, r.ok })
      assert.is_truthy(r.stages[2].status.error:find "on purpose\nstack traceback:.*culprit")
      spec.check = true
      local _, message, code = process.pipeline(spec)
      assert.is_truthy(message:find "^process.pipeline function: exit 1: .*on purpose$", message)
      assert.equal("EXIT", code)
      r = assert(process.pipeline { { "true" }, function() return 5 end, { function() return false end },
        function() return nil, "no luck", "EPERM" end, function() return "fine" end, fork = fork })
      local good = { ok = true, code = 0 }
      assert.same({ good, good, { ok = false, code = 1 }, { ok = false, code = 1, error = "no luck" }, good },
        { r.stages[1].status, r.stages[2].status, r.stages[3].status, r.stages[4].status, r.stages[5].status })
      _, message, code = process.pipeline { function() return nil, "no luck" end, fork = fork, check = true }
      assert.same({ "process.pipeline function: exit 1: no luck", "EXIT" }, { message, code })
    end
  end)

  it("collects, merges and redirects what the stages complain", function()
    local function complain(_, output, errors)
      errors:write "E2\n"
      output:write "O2\n"
    end
    for _, fork in ipairs { false, true } do
      local r = assert(process.pipeline { { "sh", "-c", "echo E1 >&2" }, complain, { "sh", "-c", "cat; echo E3 >&2" }, fork = fork })
      assert.same({ "O2\n", "E1\nE2\nE3\n", "E2\n" }, { r.stdout, r.stderr, r.stages[2].stderr })
      r = assert(process.pipeline { complain, stderr = "stdout", fork = fork })
      assert.same({ "E2\nO2\n" }, { r.stdout, r.stderr })
      r = assert(process.pipeline { { "sh", "-c", "echo E1 >&2", stderr = "stdout" }, { upper, stderr = "null" }, fork = fork })
      assert.same({ "E1\n", "" }, { r.stdout, r.stderr or "" })
      local path = names.path()
      r = assert(process.pipeline { { "sh", "-c", "echo E1 >&2" }, complain, { "sh", "-c", "cat >&2" }, fork = fork,
        stderr = { path = path } })
      assert.is_nil(r.stderr)
      local lines = {}
      for line in slurp(path):gmatch "%w+" do lines[#lines + 1] = line end
      table.sort(lines)
      assert.same({ "E1", "E2", "O2" }, lines)
      os.remove(path)
    end
  end)

  it("reads and writes files, descriptors and objects", function()
    local path, copy = names.path(), names.path()
    for _, stage in ipairs { { "cat" }, upper, { upper, fork = true } } do
      assert(process.pipeline { { "printf", "ABC\n" }, stage, stdout = { path = path } })
      assert.equal("ABC\n", slurp(path))
      assert(process.pipeline { stage, stdin = { path = path }, stdout = { path = copy, mode = "a" } })
      assert(process.pipeline { stage, stdin = { path = path }, stdout = { path = copy, mode = "a" } })
      assert.equal("ABC\nABC\n", slurp(copy))
      os.remove(copy)
      local f, g = assert(io.open(path)), assert(io.open(copy, "w"))
      g:write "first "
      assert(process.pipeline { stage, stdin = f, stdout = g })
      f:close()
      g:close()
      assert.equal("first ABC\n", slurp(copy))
      os.remove(copy)
      local r, w = assert(pipe.open())
      local r2, w2 = assert(pipe.open())
      w:write "OBJ"
      w:close()
      assert(process.pipeline { stage, stdin = r, stdout = w2 })
      assert.is_truthy(w2:write "!") -- ours is still open and does not raise
      assert.equal("OBJ!", r2:readsome(100, 60))
      r:close()
      r2:close()
      assert.equal("EPIPE", select(3, w2:write "x"))
      w2:close()
      assert.equal("", process.pipeline({ stage, stdin = "null" }).stdout)
    end
    os.remove(path)
    assert.same({ nil, "process.pipeline: open /nowhere: No such file or directory", "ENOENT" },
      { process.pipeline { upper, stdin = { path = "/nowhere" } } })
  end)

  it("does not hang however much everybody writes", function()
    local function noise(n) -- a program that writes n MB to both
      return ("head -c %d000000 /dev/zero; head -c %d000000 /dev/zero >&2; cat"):format(n, n)
    end
    local function loud(input, output, errors)
      errors:write(("e"):rep(3000000))
      output:write(("o"):rep(3000000))
      for chunk in function() return (input:readsome(65536)) end do output:write(chunk) end
    end
    local r = assert(process.pipeline {
      { "sh", "-c", noise(3) }, loud, { "sh", "-c", noise(3) }, { loud, fork = true }, input = ("i"):rep(3000000),
    })
    assert.same({ 15000000, 12000000, true }, { #r.stdout, #r.stderr, r.ok })
  end)

  it("moves 100 MB through four stages, two of them Lua, in little memory", function()
    if os.getenv "LIPC_SPEC_MODE" == "asan" or os.getenv "LIPC_SPEC_MODE" == "valgrind" then return end
    local path = names.path ".lua"
    local f = assert(io.open(path, "w"))
    f:write [[
      local ipc = require "lipc"
      local function copy(input, output, errors)
        local noise = ("e"):rep(65536)
        for _ = 1, 160 do errors:write(noise) end
        while true do
          local data, _, code = input:readsome(65536)
          if not data then assert(code == "EOF") break end
          output:write(data)
        end
      end
      local shell = "head -c 10485760 /dev/zero >&2; exec "
      local r = assert(ipc.process.pipeline {
        { "sh", "-c", shell .. "head -c 104857600 /dev/zero" }, copy, copy, { "sh", "-c", shell .. "wc -c" },
      })
      print(tonumber(r.stdout), #r.stderr, r.ok)
    ]]
    f:close()
    local p = assert(process.spawn { programs.lua, path, stdout = "pipe", limits = { as = 256 << 20 } })
    assert.equal("104857600\t41943040\ttrue\n", p.stdout:read "a")
    p:wait(60)
    p:close()
    os.remove(path)
  end)

  it("has one deadline for all of it", function()
    local path = names.path()
    local _, message, code, r = process.pipeline {
      { "sh", "-c", "echo $$ >" .. path .. "; exec sleep 1000" },
      function(input, output)
        programs.input_after(path)() -- the deadline is not before that
        upper(input, output)
      end,
      { function(input) input:read "a" end, fork = true }, timeout = 0.1,
    }
    assert.same({ "process.pipeline function: timed out", "ETIMEDOUT" }, { message, code })
    assert.equal("SIGTERM", r.stages[1].status.signal)
    assert.equal("SIGTERM", r.stages[3].status.signal)
    assert.is_true(gone(tonumber(slurp(path))))
    os.remove(path)
    _, _, code, r = process.pipeline { function() ipc.sleep(1000) end, timeout = 0.01 }
    assert.same({ "ETIMEDOUT", false }, { code, r.stages[1].status.ok })
  end)

  it("does not wait for what has ended in the group but was not reaped", function()
    local path = names.path()
    local zombie
    local _, _, code, r = process.pipeline {
      { "sh", "-c", "echo $$ >" .. path .. "; exec sleep 1000" },
      function() -- the deadline is not before all of this
        programs.input_after(path)()
        zombie = assert(process.spawn { "true", pgroup = math.tointeger(tonumber(slurp(path))) })
        programs.standing(function() return gone(zombie:pid()) end)
        ipc.sleep(1000)
      end,
      timeout = 0.1, kill_after = 3600, -- this spec file's time ends before
    }
    os.remove(path)
    assert.same({ "ETIMEDOUT", "SIGTERM" }, { code, r.stages[1].status.signal })
    assert.is_true(zombie:wait(60).ok)
    zombie:close()
  end)

  it("gives a grandchild that handles SIGTERM its time", function()
    local path, ready = names.path(), names.path()
    local _, _, code, r = process.run {
      "sh", "-c", "(trap 'sleep 0.1; echo bye >" .. path .. "; exit' TERM; echo ready; echo >" .. ready
        .. "; while :; do sleep 0.01; done) & wait",
      input = programs.input_after(ready), timeout = 0.1, kill_after = 3600,
    }
    assert.same({ "ETIMEDOUT", "ready\n", "bye\n" }, { code, r.stdout, slurp(path) })
    os.remove(path)
    os.remove(ready)
  end)

  it("starts nothing that stays when a later stage cannot be started", function()
    collectgarbage()
    collectgarbage()
    local before = hoststate.before()
    assert.same({ nil, "process.pipeline: exec nosuchprogram: No such file or directory", "ENOENT" },
      { process.pipeline { { "sleep", "1000" }, upper, { function() end, fork = true }, { "nosuchprogram" } } })
    assert.same({}, hoststate.settle(before))
  end)

  it("takes options for all stages and for one", function()
    local r = assert(process.pipeline { { "sh", "-c", "pwd; cat", cwd = "/usr" }, { "sh", "-c", "pwd; echo $A; cat" }, cwd = "/",
      env_add = { A = "b" }, stdin = "null" })
    assert.equal("/\nb\n/usr\n", r.stdout)
    local function refuses(spec, what)
      local ok, message = pcall(process.pipeline, spec)
      assert.is_false(ok)
      assert.is_truthy(message:find(what, 1, true), message)
    end
    refuses({}, "stages expected")
    refuses({ { "true" }, 5 }, "stage 2: table or function expected")
    refuses({ { "true" }, { "true", stdin = "null" } }, "stage 2: option 'stdin'")
    refuses({ { "true", stdout = "null" }, { "true" } }, "stage 1: option 'stdout'")
    refuses({ { upper, cwd = "/" } }, "stage 1: unknown option 'cwd'")
    refuses({ { "true" }, colour = "red" }, "unknown option 'colour'")
    refuses({ { "true" }, stdout = "sideways" }, "option 'stdout': invalid value 'sideways'")
    refuses({ upper, stderr = "sideways" }, "option 'stderr': invalid value 'sideways'")
    refuses({ { upper, stdout = "sideways" } }, "option 'stdout': invalid value 'sideways'")
    refuses({ upper, stdout = "stdin" }, "option 'stdout': invalid value 'stdin' for a Lua function")
    refuses({ { "ls" }, nil, { "cat" } }, "the list of stages has a hole at 2")
    refuses({ { "ls" }, [4] = { "cat" } }, "the list of stages has a hole at 2")
  end)

  it("ends with Ctrl-C", function()
    local path, pids = names.path ".lua", names.path()
    local f = assert(io.open(path, "w"))
    f:write(([[
      local ipc = require "lipc"
      local ok, err = pcall(ipc.process.pipeline, {
        { "sh", "-c", "trap '' INT TERM; echo $$ >>%s; while :; do sleep 1000; done" },
        function(input) input:read "a" end,
        { "sh", "-c", "trap '' INT TERM; echo $$ >>%s; echo ready >&3; exec sleep 1000", fds = { [3] = 1 } },
      })
      print(ok, err)
    ]]):format(pids, pids))
    f:close()
    local p = assert(process.spawn { programs.lua, path, stdout = "pipe", stderr = "stdout", pgroup = true })
    assert.equal("ready", p.stdout:read())
    eventually(function() return select(2, slurp(pids):gsub("\n", "")) == 2 end)
    p:kill "INT"
    assert.is_truthy(p.stdout:read "a":find "^false\t.*interrupted!")
    assert.is_true(p:wait(60).ok)
    p:close()
    for pid in slurp(pids):gmatch "%d+" do
      eventually(function() return gone(pid) end)
    end
    os.remove(path)
    os.remove(pids)
  end)

  it("nests", function()
    local r = assert(process.pipeline {
      { "seq", 3 },
      function(input, output)
        for line in input:lines() do
          output:write(process.run({ "expr", line, "*", 2 }).stdout)
        end
      end,
    })
    assert.equal("2\n4\n6\n", r.stdout)
  end)
end)

describe("ipc.cmd", function()
  it("makes pipelines by /", function()
    local c = cmd("seq", 100) / cmd { "grep", "7" } / upper / { "wc", "-l" }
    assert.equal(19, tonumber((c:output())))
    assert.equal("seq 100 | grep 7 | function | wc -l", tostring(c))
    assert.equal("echo 'it'\\''s' ''", tostring(cmd("echo", "it's", "")))
    assert.equal("ABC", (cmd(upper):output { input = "abc" }))
    assert.equal("ABC", ((upper / cmd "cat"):output { input = "abc" }))
    local r = assert((cmd "false" / cmd "cat"):run())
    assert.same({ false, 1 }, { r.ok, r.stages[1].status.code })
    assert.same({ nil, "cmd.output false: exit 1", "EXIT" }, { select(1, cmd("false"):output()), select(2, cmd("false"):output()),
      (select(3, cmd("false"):output())) })
    local a, b = cmd("echo", "a"), cmd("cat")
    local _ = a / b
    assert.equal("echo a", tostring(a)) -- the parts stay what they were
    assert.has_error(function() return a / 5 end)
    assert.has_error(function() cmd() end)
    assert.has_error(function() cmd("a", {}) end)
    assert.has_error(function() a:run { colour = "red" } end)
    assert.has_error(function() a.run {} end)
  end)
end)
