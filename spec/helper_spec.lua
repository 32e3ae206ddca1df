-- The runner itself: each kind of leak fails the file that leaks, and only that; skipped tests fail
-- where CI=true.  Runs the runner in a process of its own over small spec files made here.
local ipc = require "lipc"
local names = require "support.names"

local dir, output, status

-- Each leaks one thing; the message that the runner must give for it.
local leaks = {
  descriptor = { [[require "support.probe".dup(1)]], "left behind: descriptor %d+" },
  closed = { [[require "support.probe".close(0)]], "closed behind its owner's back: descriptor 0" },
  child = { [[require "support.probe".fork()]], "left behind: child %d+ %(.-%)\n" },
  zombie = { [[require "support.probe".fork(true)]], "left behind: child %d+ %(.-%), a zombie" },
  orphan = { -- gone on only when it is what it will be
    [[os.execute 'sleep 60 >/dev/null 2>&1 & until grep -q sleep /proc/$!/comm; do :; done']],
    "left behind: orphaned process %d+ %(sleep%)",
  },
  thread = { [[require "support.probe".thread()]], "left behind: thread %d+" },
  mapping = { [[require "support.probe".map()]], "left behind: mapping of /memfd:lipc%-probe" },
  shm = {
    [[io.open("/dev/shm/" .. require "support.names".new(), "w"):close()]],
    "left behind: /dev/shm/lipc%-%d+%-%x+%-%d+",
  },
  sysv = { [[os.execute "ipcmk -S 1 >/dev/null"]], "left behind: System V sem id %d+" },
  disposition = { [[require "support.probe".ignore(13)]], "disposition of signal 13 is ignored, was default" },
  mask = { [[require "support.probe".block(10)]], "changed: mask is 200, was 0" },
  umask = { [[require "support.probe".umask(tonumber("17", 8))]], "changed: umask is 0017" },
  cwd = { [[require "support.probe".chdir "/"]], "changed: working directory is /, was" },
  locale = { [[os.setlocale("C.UTF-8", "ctype")]], "changed: locale is" },
}

-- In a process of its own: valgrind does not know the calls.
if os.execute [["$LUA" -e 'local p = require "support.probe" os.exit((p.mqueues() or p.list "/dev/mqueue") ~= nil)']] then
  leaks.mqueue = {
    [[assert(require "lipc".mqueue.open("/" .. require "support.names".new(), { create = true }))]],
    "left behind: /dev/mqueue/lipc%-%d+%-%x+%-%d+",
  }
end

local function write(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

local function run(environment, files)
  -- not through a pipe: what the files leave behind would hold its other end
  local out = dir .. "/output"
  local ok, _, code = os.execute(
    ("REPEAT= FILTER= V= %s SEED=1 sh .build/specs plain %s >%s 2>&1 </dev/null"):format(environment, files, out))
  local f = assert(io.open(out))
  local text = f:read "a"
  f:close()
  return text, ok and 0 or code
end

local function rm(path) os.execute("rm -rf '" .. path .. "'") end

describe("the runner", function()
  setup(function()
    dir = names.path()
    assert(os.execute("mkdir -p " .. dir))
    for kind, leak in pairs(leaks) do
      write(("%s/%s_spec.lua"):format(dir, kind), ("it('leaks', function() %s end)"):format(leak[1]))
    end
    write(dir .. "/a_clean_spec.lua", [[
      local probe = require "support.probe"
      it("holds what is collected after the file", function()
        _G.kept = { io.open "/dev/null", io.popen "true" }
      end)
      it("waits for what is about to go", function() os.execute "sleep 0.2 &" end)]])
    -- The clean file gets patience, the leaking ones need none.
    output, status = run("CI= LIPC_SPEC_PATIENCE=0", ("$(ls %s/*_spec.lua | grep -v a_clean)"):format(dir))
  end)

  teardown(function()
    for pid in output:gmatch "left behind: %l+ ?%l* (%d+) %(" do os.execute("kill -9 " .. pid .. " 2>/dev/null") end
    for id in output:gmatch "System V sem id (%d+)" do os.execute("ipcrm -s " .. id) end
    for path in output:gmatch "left behind: (/dev/shm/lipc%S+)" do os.remove(path) end
    for name in output:gmatch "left behind: /dev/mqueue(/lipc%S+)" do ipc.mqueue.unlink(name) end
    rm(dir)
  end)

  local function section(kind) -- what was printed for one file
    local from = output:find(("%s/%s_spec.lua "):format(dir, kind), 1, true)
    assert.is_truthy(from, "no output for " .. kind .. ":\n" .. output)
    local _, to = output:find(" passed[^\n]*\n", from)
    return output:sub(from, to)
  end

  for kind, leak in pairs(leaks) do
    it("fails a file that leaks: " .. kind, function()
      local text = section(kind)
      assert.is_truthy(text:find(leak[2]), text)
      assert.is_truthy(text:find "1 passed, 1 FAILED", text)
      local _, n = text:gsub("\n    [lc][ehl]%l+", "") -- left, changed, closed: this one and no other
      assert.equal(1, n, text)
    end)
  end

  it("counts them in the closing line and in its status", function()
    local n = 0
    for _ in pairs(leaks) do n = n + 1 end
    assert.equal(("%d passed, %d failed"):format(n, n), output:match "\n([^\n]+)\n$")
    assert.equal(1, status)
  end)

  it("passes what is collected or ends in time", function()
    local text, code = run("CI=", dir .. "/a_clean_spec.lua")
    assert.equal("2 passed, 0 failed", text:match "\n([^\n]+)\n$", text)
    assert.equal(0, code)
  end)

  it("counts failures and errors once, and goes on", function()
    local path = dir .. "/failing_spec.lua"
    write(path, [[
      it("fails", function() assert.equal(1, 2) end)
      it("errors", function() error "oops" end)
      it("passes", function() end)
      describe("with a broken setup", function()
        setup(function() error "setup" end)
        it("does not run", function() end)
      end)]])
    local text, code = run("CI=", path)
    os.remove(path)
    assert.equal("1 passed, 3 failed", text:match "\n([^\n]+)\n$", text)
    assert.equal(1, code)
  end)

  it("fails a file that does not load, one without tests, one that does not exist", function()
    write(dir .. "/syntax_spec.lua", "it(")
    write(dir .. "/empty_spec.lua", "")
    for _, file in ipairs { "syntax", "empty", "missing" } do
      local text, code = run("CI=", ("%s/%s_spec.lua"):format(dir, file))
      assert.equal(1, code, file)
      assert.is_truthy(text:find "\n0 passed, [1-9] failed\n$", text)
    end
    os.remove(dir .. "/syntax_spec.lua")
    os.remove(dir .. "/empty_spec.lua")
  end)

  it("takes a skipped test for a failure in CI, and only there", function()
    local path = dir .. "/skipping_spec.lua"
    write(path, [[
      pending "later"
      it("skips itself", function() pending "no such kernel" end)
      it("passes", function() end)]])
    local text, code = run("CI=true", path)
    assert.equal("1 passed, 2 failed", text:match "\n([^\n]+)\n$", text)
    assert.equal(1, code)
    text, code = run("CI=", path)
    assert.equal("1 passed, 0 failed, 2 skipped", text:match "\n([^\n]+)\n$", text)
    assert.equal(0, code)
    assert.is_truthy(text:find "no such kernel")
    os.remove(path)
  end)

  it("prints its seed, takes one, and repeats", function()
    local path = dir .. "/order_spec.lua"
    write(path, [[for i = 1, 9 do it("n" .. i, function() io.write("<", i, ">") end) end]])
    local first = run("CI= REPEAT=2", path)
    local second = run("CI= REPEAT=2", path)
    local function order(text) return (text:gsub("[^\n]-(<.->) [^\n]*", "%1"):gsub("%d+%.%d+ s", "")) end
    assert.is_truthy(first:find "SEED=1\n")
    assert.equal(order(first), order(second))
    assert.equal("18 passed, 0 failed", first:match "\n([^\n]+)\n$")
    os.remove(path)
  end)
end)
