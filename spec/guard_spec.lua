-- The guard of mappings: a file that becomes shorter under one, or whose file system is full, is an error of the
-- operation; every other SIGBUS goes where it went before.
local ipc = require "lipc"
local child = require "support.child"
local hoststate = require "support.hoststate"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"

local valgrind = os.getenv "LIPC_SPEC_MODE" == "valgrind" -- which knows no pidfd: no process.fork
local BUS = ipc.signal.number "SIGBUS"
local LOST = "lost mapping: its file was cut off by another process, or its file system is full"

-- A mapped file that has a name, and that name.
local function mapped(size, opts)
  local path = names.path ".map"
  local o = { create = true, size = size }
  for k, v in pairs(opts or {}) do o[k] = v end
  local m = assert(ipc.mmap.open(path, o))
  return m, path
end

local function cut(path, size) assert(os.execute(("truncate -s %d %s"):format(size or 0, path))) end

local function disposition() return probe.dispositions()[BUS] end

describe("the guard", function()
  it("makes an error of a file that became shorter, in this and every later access", function()
    local m, path = mapped(20000)
    finally(function() m:close() os.remove(path) end)
    local v = m:view "u8"
    assert(m:write(0, "first"))
    cut(path, 8192)
    assert.equal("first", m:read(0, 5)) -- these pages are there
    assert.is_false(m:stat().lost)
    assert.error_matches(function() m:read(8000, 200) end, LOST, 1, true)
    assert.error_matches(function() m:read(0, 5) end, LOST, 1, true)
    assert.error_matches(function() m:write(0, "x") end, LOST, 1, true)
    assert.error_matches(function() return v[1] end, "lost mapping")
    assert.error_matches(function() v[20000] = 1 end, "lost mapping")
    assert.error_matches(function() m:resize(10) end, LOST, 1, true)
    assert.error_matches(function() m:sync() end, LOST, 1, true)
    assert.error_matches(function() m:advise "willneed" end, LOST, 1, true)
    assert.error_matches(function() m:lock() end, LOST, 1, true)
    assert.same({ true, 20000, 8192 }, { m:stat().lost, m:stat().size, m:stat().filesize })
    assert.equal(20000, #m)
    assert.is_true(m:close())
  end)

  it("does the same in every operation of a view", function()
    for name, f in pairs {
      ["[]"] = function(v) return v[5000] end, ["[] ="] = function(v) v[5000] = 1 end, get = function(v) return v:get(4999, 5000) end,
      set = function(v) v:set(4999, 1, 2) end, totable = function(v) return v:totable() end, fill = function(v) v:fill(7) end,
      string = function(v) return v:string() end, setstring = function(v) v:setstring(4000, ("x"):rep(4000)) end,
      ["copy to"] = function(v, w) v:copy(1, w) end, ["copy from"] = function(v, w) w:copy(1, v) end,
      equal = function(v, w) return v:equal(w) end, compare = function(v, w) return v:compare(w) end,
      find = function(v) return v:find(77) end, load = function(v) return v:load(5000) end,
      store = function(v) v:store(5000, 1) end, add = function(v) return v:add(5000, 1) end,
      wait = function(v) return v:wait(5000, 0, 1) end,
    } do
      local m, path = mapped(20000)
      local other <close> = assert(ipc.mmap.anonymous(20000))
      local v, w = m:view "i32", other:view "i32"
      cut(path)
      local ok, message = pcall(f, v, w)
      assert.is_false(ok, name)
      assert.is_truthy(message:find("lost mapping", 1, true), name .. ": " .. message)
      m:close()
      os.remove(path)
    end
  end)

  it("does the same for reading and writing, shared, private and read-only", function()
    for _, opts in ipairs { {}, { private = true }, { readonly = true } } do
      for _, access in ipairs { "read", "write" } do
        local made, path = mapped(100000)
        made:close()
        local m = assert(ipc.mmap.open(path, opts))
        cut(path)
        if access == "read" then
          assert.error_matches(function() m:read(99999, 1) end, LOST, 1, true)
        elseif opts.readonly then
          assert.error_matches(function() m:write(0, "x") end, "read-only", 1, true)
        else
          assert.error_matches(function() m:write(5000, ("x"):rep(50000)) end, LOST, 1, true)
        end
        m:close()
        os.remove(path)
      end
    end
  end)

  it("takes it in the middle of a copy of 100 MB that another process's truncation meets", function()
    local size, hits = 100 << 20, 0
    local name = "/" .. names.new()
    finally(function() ipc.shm.unlink(name) end)
    -- resizes it again and again, and asks nobody
    local over = names.path()
    local p = peer.sh(("while sleep 0.01; do test ! -e %s || exit 0; truncate -c -s 0 /dev/shm%s; truncate -c -s %d /dev/shm%s; done")
      :format(over, name, size, name))
    local made = assert(ipc.shm.open(name, { create = true, size = size, reserve = false }))
    local deadline = ipc.now() + 60
    repeat
      local m = made:stat().lost and ipc.shm.open(name) or made
      local ok, message = pcall(m.read, m, 0, #m)
      if not ok then
        assert.is_truthy(message:find(LOST, 1, true), message)
        hits = hits + 1
      end
      if m ~= made then m:close() end
    until hits == 5 or ipc.now() > deadline
    assert.equal(5, hits)
    made:close()
    assert(io.open(over, "w")):close()
    p:close()
    os.remove(over)
  end)

  it("puts nothing into the file, and reads zeros where there is nothing", function()
    local m, path = mapped(12288)
    finally(function() m:close() os.remove(path) end)
    cut(path, 4096)
    assert.has_error(function() m:write(8192, "x") end)
    local f <close> = assert(io.open(path))
    assert.equal(4096, f:seek "end")
  end)

  it("is there with the first guarded mapping and gone with the last", function()
    collectgarbage()
    collectgarbage()
    local before = disposition()
    local plain, ppath = mapped(100, { guard = false })
    assert.equal(before, disposition())
    assert.is_false(plain:stat().guard)
    local a, apath = mapped(100)
    local b, bpath = mapped(100)
    assert.is_true(a:stat().guard)
    assert.not_equal(before, disposition())
    a:close()
    assert.not_equal(before, disposition())
    b:close()
    assert.equal(before, disposition())
    plain:close()
    for _, path in ipairs { ppath, apath, bpath } do os.remove(path) end
    local s <close> = assert(ipc.shm.anonymous { size = 100 })
    assert.is_false(s:stat().guard) -- sealed: it cannot become shorter
    local u <close> = assert(ipc.shm.anonymous { size = 100, seal = false })
    assert.is_true(u:stat().guard)
  end)

  it("goes with what is collected, and with more mappings than one table takes", function()
    local before = hoststate.before()
    local list, paths = {}, {}
    for i = 1, 150 do list[i], paths[i] = mapped(100) end
    cut(paths[140])
    assert.error_matches(function() list[140]:read(0, 1) end, "lost mapping")
    assert.equal("\0", list[141]:read(0, 1))
    for i = 1, 150, 2 do list[i]:close() end
    list = nil -- luacheck: ignore
    for _, path in ipairs(paths) do os.remove(path) end
    collectgarbage()
    collectgarbage()
    local after = hoststate.take()
    assert.same({ before.descriptor, before.mapping, before.signal }, { after.descriptor, after.mapping, after.signal })
  end)

  it("is inherited by a forked child, and each has its own view of what is lost", function()
    if valgrind then return pending "valgrind knows no pidfd" end
    local m, path = mapped(8192)
    finally(function() m:close() os.remove(path) end)
    local p = assert(ipc.process.fork(function()
      cut(path)
      local ok, message = pcall(m.read, m, 0, 1)
      assert(not ok and message:find(LOST, 1, true), message)
      local again = assert(ipc.mmap.open("/etc/passwd", { readonly = true }))
      assert(#again > 0 and again:close())
    end))
    assert.is_true(assert(p:wait(60)).ok)
    assert.is_false(m:stat().lost)
    assert.error_matches(function() m:read(0, 1) end, LOST, 1, true)
  end)

  it("lets system calls fail by themselves", function()
    local m, path = mapped(8192)
    finally(function() m:close() os.remove(path) end)
    cut(path)
    local ok, _, code = m:advise "populate_read"
    assert.is_nil(ok)
    assert.is_truthy(code == "EFAULT" or code == "EINVAL", code)
    assert.is_false(m:stat().lost)
  end)

  it("stays before what ipc.signal asks of SIGBUS, whoever came first and goes first", function()
    local signal = ipc.signal
    collectgarbage()
    collectgarbage()
    local before = disposition()
    for _, first in ipairs { "guard", "signal" } do
      for _, last in ipairs { "guard", "signal" } do
        local m, path
        if first == "guard" then m, path = mapped(8192) end
        assert.is_true(signal.ignore "SIGBUS")
        if first == "signal" then m, path = mapped(8192) end
        assert.equal("ignore", signal.disposition "SIGBUS")
        assert.is_true(signal.raise "SIGBUS") -- is ignored
        cut(path)
        assert.error_matches(function() m:read(0, 1) end, LOST, 1, true)
        assert.is_true(signal.default "SIGBUS")
        assert.equal("default", signal.disposition "SIGBUS")
        if last == "signal" then m:close() end
        assert.is_true(signal.restore "SIGBUS")
        if last == "guard" then m:close() end
        os.remove(path)
        assert.equal(before, disposition())
      end
    end
  end)

  it("leaves the process to die of what is not its business", function()
    local script = [[
      local map = require "support.probe" and assert(ipc.mmap.open(%q, { guard = %s }))
      local other = assert(ipc.mmap.open("/etc/passwd", { readonly = true }))
      os.execute "truncate -s 0 %s"
      print "before" io.stdout:flush()
      print(pcall(map.read, map, 0, 1))]]
    for _, guard in ipairs { true, false } do
      local m, path = mapped(8192)
      m:close()
      local out, ok, how, status = peer.run(script:format(path, guard, path))
      os.remove(path)
      if guard then
        assert.is_true(ok, out)
        assert.matches("before\nfalse\t.*lost mapping", out)
      else
        assert.is_nil(ok)
        assert.matches("^before\n", out)
        assert.is_truthy(how == "signal" and status == BUS or status == 128 + BUS, how .. status)
      end
    end
  end)

  describe("in a host with a handler of its own", function()
    local head = [[
      local ipc = require "lipc"
      local function mapped()
        local path = os.tmpname()
        os.execute("truncate -s 8192 " .. path)
        local m = assert(ipc.mmap.open(path))
        os.execute("truncate -s 0 " .. path)
        os.remove(path)
        return m
      end
      local function lost(m)
        local ok, message = pcall(m.read, m, 0, 1)
        return not ok and message:find("lost mapping", 1, true) ~= nil
      end
      local function check(what, ...) -- calls, code, right address, SIGBUS blocked, SIGUSR1 blocked
        local expected, seen = table.pack(...), table.pack(host.seen())
        for i = 1, expected.n do
          if expected[i] ~= seen[i] then
            error(("%s: %d is %s, expected %s"):format(what, i, tostring(seen[i]), tostring(expected[i])), 2)
          end
        end
      end
      local ADRERR = 2
    ]]

    local function run(script, ending)
      local ok, out = child.host("guard", head .. script)
      assert.equal(("at the end %s\n"):format(ending or "default"), out)
      assert.is_true(ok)
    end

    it("which was there before", function()
      run([[
        host.handle "siginfo"
        local m = mapped()
        assert(lost(m))
        check("ours", 0)
        for n = 1, 3 do
          assert(host.fault() == "handled")
          check("its own", n, ADRERR, true, true, true)
        end
        assert(lost(mapped()))
        check("ours again", 3)
        host.kill(-1)
        check("sent", 4, -1)
        for code = 4, 5 do -- BUS_MCEERR_AR, BUS_MCEERR_AO
          host.kill(code)
          check("memory failure", code + 1, code)
        end
        m:close()
        collectgarbage()
        assert(host.now() == "host")
        host.handle("siginfo", true) -- SA_NODEFER
        local again = mapped()
        assert(host.fault() == "handled")
        check("not deferred", 7, ADRERR, true, false, true)
        again:close()
        collectgarbage()
        host.restore()
        host.restore()]])
    end)

    it("which is of the plain kind, or for once", function()
      run([[
        host.handle "plain"
        local m = mapped()
        assert(host.fault() == "handled")
        check("plain", 1, 0, true, true, true)
        m:close()
        assert(host.now() == "host")
        host.handle("siginfo", false, true) -- SA_RESETHAND
        m = mapped()
        assert(host.now() == "other")
        host.kill(-1)
        check("once", 2, -1)
        assert(lost(m))
        m:close()
        assert(host.now() == "default")
        host.restore()
        host.restore()]])
    end)

    it("which came after, and goes on to what was there, or does not", function()
      run([[
        local a = mapped()
        host.handle "chain"
        assert(lost(a))
        check("by way of it", 1, ADRERR)
        a:close()
        collectgarbage()
        assert(host.now() == "host") -- it may go on to ours, which stays for it
        local b = mapped() -- uppermost again
        assert(host.now() == "other" and lost(b))
        check("before it", 1)
        b:close()
        assert(host.now() == "host")
        host.restore()
        -- ours, which it had found, is what it puts back
        local c = mapped()
        assert(lost(c))
        c:close()
        assert(host.now() == "default")
        host.handle "siginfo"
        local d = mapped()
        host.handle "siginfo" -- does not go on
        local e = mapped()
        assert(lost(d) and lost(e) and host.fault() == "handled")
        e:close()
        d:close()
        host.restore()
        host.restore()]], "default")
    end)

    it("which puts its own on top time after time", function()
      run([[
        local list = {}
        host.handle "siginfo"
        for i = 1, 7 do
          list[i] = mapped()
          host.handle "chain"
        end
        assert(lost(list[7]) and lost(list[1]) and host.fault() == "handled") -- without an endless chain
        for i = 7, 1, -1 do
          host.restore()
          assert(lost(mapped()))
        end
        for i = 1, 7 do list[i]:close() end
        collectgarbage()
        collectgarbage()
        assert(host.now() == "host")
        host.restore()]])
    end)

    it("dies by SIGBUS where it would have died", function()
      for _, how in ipairs { "host.fault()", "host.kill(-6)", "host.handle 'ignore' local n = mapped() host.fault()" } do
        local ok, out = child.host("guard", head .. ([[
          local m = mapped()
          assert(lost(m))
          print "so far"
          io.stdout:flush()
          %s
          print "still here"]]):format(how))
        assert.is_nil(ok)
        assert.equal("so far\n", (out:gsub("[^\n]*Bus error[^\n]*\n", "")))
      end
      run [[
        host.handle "ignore"
        local m = mapped()
        host.kill(-6)
        m:close()
        assert(host.now() == "ignore")
        host.restore()]]
    end)
  end)

  it("answers several threads at once", function()
    local ok, out = child.host("threads", [[
      local ipc = require "lipc"
      local dir = os.getenv "TMPDIR" or "/tmp"
      for round = 1, rounds do
        local path = ("%s/lipc-guard-%d-%d-%d"):format(dir, ipc.signal.getpid(), index, round)
        local m = assert(ipc.mmap.open(path, { create = true, size = 1 << 20, reserve = false }))
        local shorter = assert(ipc.mmap.open(path))
        local f = assert(ipc.shm.fromfd(shorter:detach())) -- the same file, which an object of shm may cut
        assert(f:resize(4096))
        os.remove(path)
        barrier()
        local ok, message = pcall(m.read, m, 0, 1 << 20)
        assert(not ok and message:find("lost mapping", 1, true), message)
        assert(f:read(0, 1) == "\0")
        f:close()
        m:close()
      end]], 8, 50, BUS)
    assert.equal("ok\n", out)
    assert.is_true(ok)
  end)
end)
