-- POSIX named semaphores: sem_overview(7).
local ipc = require "lipc"
local child = require "support.child"
local hoststate = require "support.hoststate"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"
local sempeer = require "support.sempeer"

local SOON = 60 -- seconds: longer than anything here takes
local semaphore = ipc.semaphore

describe("semaphore", function()
  local open, name

  before_each(function()
    open = {}
    name = "/" .. names.new()
  end)
  after_each(function()
    for _, s in ipairs(open) do s:close() end
    semaphore.unlink(name)
  end)
  teardown(sempeer.remove)

  local function new(opts, n)
    opts = opts or {}
    opts.create = true
    local s = assert(semaphore.open(n or name, opts))
    open[#open + 1] = s
    return s
  end

  it("is taken and given back", function()
    local s = new { initial = 2 }
    assert.equal(("lipc.semaphore %s (open)"):format(name), tostring(s))
    assert.equal("integer", math.type(s:value()))
    assert.equal(2, s:value())
    assert.is_true(s:wait())
    assert.is_true(s:trywait())
    assert.equal(0, s:value())
    assert.same({ nil, ("semaphore:trywait %s: timed out"):format(name), "ETIMEDOUT" }, { s:trywait() })
    assert.same({ nil, ("semaphore:wait %s: timed out"):format(name), "ETIMEDOUT" }, { s:wait(0) })
    assert.is_true(s:post())
    assert.is_true(s:post(3))
    assert.equal(4, s:value())
    assert.same({ type = "semaphore", name = name, value = 4, binary = false }, s:stat())
  end)

  it("is made only when it is told to", function()
    assert.same({ nil, ("semaphore.open %s: No such file or directory"):format(name), "ENOENT" },
      { semaphore.open(name) })
    assert.equal(0, new():value())
    assert.equal(0, new { initial = 5 }:value()) -- it is there
    assert.same({ nil, ("semaphore.open %s: File exists"):format(name), "EEXIST" },
      { semaphore.open(name, { create = true, exclusive = true }) })
    assert.is_true(semaphore.unlink(name))
    assert.same({ nil, ("semaphore.unlink %s: No such file or directory"):format(name), "ENOENT" },
      { semaphore.unlink(name) })
    assert.equal(5, new { exclusive = true, initial = 5 }:value())
  end)

  it("has the mode that is asked for, 0600 by default, less the umask", function()
    local function mode()
      local p = peer.sh("stat -c %a /dev/shm/sem." .. name:sub(2))
      return p:read "a", p:close()
    end
    new()
    assert.equal("600\n", (mode()))
    semaphore.unlink(name)
    new { mode = 420 } -- 0644
    assert.equal("644\n", (mode()))
  end)

  it("honours timeouts and waits no less, its default too", function()
    local s = new()
    assert.equal(s, s:settimeout(0.02))
    local start = ipc.now()
    assert.equal("ETIMEDOUT", select(3, s:wait()))
    assert.equal("ETIMEDOUT", select(3, s:wait(0.02)))
    assert.is_true(ipc.now() - start >= 0.04)
  end)

  it("waits without using the processor", function()
    local s = new()
    local before = os.clock()
    assert.equal("ETIMEDOUT", select(3, s:wait(1)))
    assert.is_true(os.clock() - before < 0.1, "a wait that uses the processor")
  end)

  it("goes up to VALUE_MAX, and says how many went", function()
    local max = semaphore.VALUE_MAX
    local s = new { initial = max - 2 }
    assert.same({ nil, ("semaphore:post %s: Value too large for defined data type (SEM_VALUE_MAX is %d)")
      :format(name, max), "EOVERFLOW", 2 }, { s:post(5) })
    assert.equal(max, s:value())
    assert.same({ "EOVERFLOW", 0 }, { select(3, s:post()) })
    assert.is_true(s:wait(0))
    assert.is_true(s:post())
  end)

  it("that is binary stays one", function()
    local s <close> = assert(semaphore.binary(name, { create = true }))
    assert.equal(1, s:value())
    assert.is_true(s:stat().binary)
    local full = ("semaphore:post %s: Value too large for defined data type (a binary semaphore is at most 1)")
      :format(name)
    assert.same({ nil, full, "EOVERFLOW", 0 }, { s:post() })
    assert.equal(1, s:value())
    assert.is_true(s:wait(0))
    assert.same({ nil, full, "EOVERFLOW", 1 }, { s:post(2) })
    assert.equal(1, s:value())
    assert.error_matches(function() semaphore.binary(name, { create = true, initial = 2 }) end, "'initial': 2 is out of range")
    assert.error_matches(function() semaphore.binary(name, { binary = true }) end, "unknown option 'binary'")
    semaphore.unlink(name)
    local z <close> = assert(semaphore.binary(name, { create = true, initial = 0 }))
    assert.equal("ETIMEDOUT", select(3, z:trywait()))
    local again <close> = assert(semaphore.open(name, { binary = true }))
    assert.is_true(again:post())
    assert.equal("EOVERFLOW", select(3, again:post()))
    assert.equal("EOVERFLOW", select(3, z:post()))
    assert.equal("semaphore.binary /none-of-that: No such file or directory",
      select(2, semaphore.binary "/none-of-that"))
  end)

  it("wakes a program in C, and is woken by it", function()
    local s = new()
    local p = sempeer.start("posix", name, "open", "wait", "wait", "value")
    assert.equal("open", p:read())
    s:post()
    assert.equal("wait", p:read())
    s:post()
    assert.equal("wait", p:read())
    assert.equal("value 0", p:read())
    p:close()
    p = sempeer.start("posix", name, "open", "post", "post")
    assert.is_true(s:wait(SOON))
    assert.is_true(s:wait(SOON))
    p:close()
    assert.equal("ETIMEDOUT", select(3, s:trywait()))
  end)

  it("opens what a program in C has made, and the other way about", function()
    local p <close> = assert(ipc.process.spawn { "sh", "-c", "exec " .. sempeer.command("posix", name, "create=7", "hang"),
      stdout = "pipe", kill_on_close = true })
    assert.equal("create=7", p.stdout:read())
    local s <close> = assert(semaphore.open(name))
    assert.equal(7, s:value())
    local q = sempeer.start("posix", name, "open", "value")
    assert.equal("open\nvalue 7\n", q:read "a")
    q:close()
    assert(ipc.signal.kill(p:pid(), "SIGKILL"))
    assert(p:wait(60))
  end)

  it("stays taken when its holder is killed: the kernel gives nothing back", function()
    local s = new { initial = 1 }
    local p, finish = child.lua([[
      local s = assert(require "lipc".semaphore.open(...))
      s:with(function() ready() require "lipc".sleep(1000) end)]], name)
    local pid = assert(p:read "n")
    assert(ipc.signal.kill(pid, "SIGKILL"))
    finish()
    assert.equal(0, s:value())
    assert.equal("ETIMEDOUT", select(3, s:wait(0.02)))
    assert.is_true(s:post()) -- the repair
    assert.is_true(s:wait(0))
  end)

  it("is the same to several objects of one process, closed in any order", function()
    local a, b = new { initial = 1 }, new()
    assert.is_true(a:wait(0))
    assert.is_true(a:close())
    assert.is_true(a:close())
    assert.is_true(b:post())
    assert.equal(1, new():value())
    local c = new()
    assert.is_true(b:close())
    assert.is_true(c:wait(0))
  end)

  it("goes on without its name; the name is another's then", function()
    local old = new { initial = 3 }
    assert.is_true(semaphore.unlink(name))
    local young = new { initial = 9 }
    assert.equal(3, old:value())
    assert.is_true(young:wait(0))
    assert.equal(3, old:value())
    old:close()
    assert.equal(8, young:value())
  end)

  it("removes on close what it has made, and nothing else", function()
    local function there() return (io.open("/dev/shm/sem." .. name:sub(2)) or error "gone"):close() end
    local s = assert(semaphore.open(name, { create = true, unlink = true }))
    local second = assert(semaphore.open(name, { create = true, unlink = true }))
    assert.is_true(second:close()) -- did not make it
    there()
    assert.equal(0, probe.inchild(function()
      assert(s:close())
      there()
    end))
    there()
    s:close()
    assert.is_nil(io.open("/dev/shm/sem." .. name:sub(2)))
    s = assert(semaphore.open(name, { create = true, unlink = true }))
    assert(semaphore.unlink(name))
    local other = new()
    s:close() -- another has the name by now
    there()
    other:close()
    do local _ = assert(semaphore.open(name .. "x", { create = true, unlink = true })) end
    collectgarbage()
    collectgarbage()
    assert.is_nil(io.open("/dev/shm/sem." .. name:sub(2) .. "x"))
  end)

  it("is shared with a forked child", function()
    local out = peer.run([[
      local probe = require "support.probe"
      local ping = assert(ipc.semaphore.open(arg[1], { create = true, unlink = true }))
      local pong = assert(ipc.semaphore.open(arg[1] .. "b", { create = true, unlink = true }))
      if probe.forkrun() == 0 then
        for _ = 1, 1000 do
          assert(ping:wait(60))
          assert(pong:post())
        end
        os.exit(0, true)
      end
      for _ = 1, 1000 do
        assert(ping:post())
        assert(pong:wait(60))
      end
      probe.waitall()
      print(ping:value(), pong:value())]], name)
    assert.equal("0\t0\n", out)
  end)

  it("loses no count among processes", function()
    local s = new()
    local taken = new({}, name .. "-taken")
    local peers = {}
    for i = 1, 4 do
      peers[i] = peer.lua([[
        local s, taken = assert(ipc.semaphore.open(arg[1])), assert(ipc.semaphore.open(arg[1] .. "-taken"))
        for _ = 1, 500 do assert(s:wait(60)) assert(taken:post()) end
        print "done"]], name)
    end
    for _ = 1, 500 do s:post(4) end
    for _, p in ipairs(peers) do
      assert.equal("done\n", p:read "a")
      p:close()
    end
    assert.equal(0, s:value())
    assert.equal(2000, taken:value())
    semaphore.unlink(name .. "-taken")
  end)

  it("runs signal callbacks while it waits, and goes on waiting", function()
    local s = new()
    local ran = 0
    local on = assert(ipc.signal.on("SIGUSR1", function()
      ran = ran + 1
      if ran == 2 then s:post() end
    end))
    -- two that come while this process stands still are one: it sends until it is ended
    local p = assert(ipc.process.spawn { "sh", "-c", ("while kill -USR1 %d; do sleep 0.02; done"):format(probe.getpid()) })
    assert.is_true(s:wait(SOON))
    assert.is_true(ran >= 2)
    p:kill "SIGKILL"
    p:wait(SOON)
    p:close()
    on:close()
  end)

  it("ends at Ctrl-C", function()
    local p, finish = child.lua([[
      local s = require "lipc".semaphore.open(..., { create = true, unlink = true })
      print(pcall(function() ready() s:wait() end))
      print(s:trywait())]], name)
    local pid = assert(p:read "n")
    child.sleeping(pid)
    ipc.signal.kill(pid, "SIGINT")
    local ok, output = finish()
    assert.is_true(ok, output)
    assert.matches("false\t[^\n]*interrupted!\nnil\tsemaphore:trywait .-: timed out\tETIMEDOUT\n$", output)
  end)

  it("leaves nothing behind", function()
    local before = hoststate.before()
    for _ = 1, 20 do
      local s <close> = assert(semaphore.open(name, { create = true, unlink = true, initial = 1 }))
      s:with(function() s:wait(0.001) end)
    end
    assert.same({}, hoststate.diff(before, hoststate.take()))
  end)
end)
