-- POSIX message queues as names in the kernel: opening, making, removing, adopting; what is refused.
local ipc = require "lipc"
local mq = require "support.mqueue"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"

local SOON = 30 -- seconds: longer than anything here takes

describe("mqueue", function()
  local mqueue = ipc.mqueue
  mq.watch { setup = setup, teardown = teardown, before_each = before_each, after_each = after_each }

  local function open(...) return mq.keep(mqueue.open(...)) end
  local function exists(name)
    local q <close>, _, code = mqueue.open(name)
    return q ~= nil or code == "EACCES"
  end
  local function octal(s) return tonumber(s, 8) end

  describe("open", function()
    it("makes nothing unless it is told to", function()
      local name = mq.name()
      assert.same({ nil, ("mqueue.open %s: No such file or directory"):format(name), "ENOENT" }, { open(name) })
      assert.is_false(exists(name))
      assert.is_truthy(open(name, { create = true }))
      assert.is_true(exists(name))
    end)

    it("takes one that is there, as it is, unless exclusive", function()
      local name = mq.name()
      local first = assert(open(name, { create = true, maxmsg = 3, msgsize = 20 }))
      assert(first:send "kept")
      local q = assert(open(name, { create = true, maxmsg = 9, msgsize = 90, mode = octal "666" }))
      assert.same({ maxmsg = 3, msgsize = 20, curmsgs = 1, nonblock = true }, q:getattr())
      assert.equal(octal "600", q:stat().mode)
      assert.equal(first:stat().ino, q:stat().ino)
      assert.equal("kept", q:receive(0))
      assert.same({ nil, ("mqueue.open %s: File exists"):format(name), "EEXIST" },
        { open(name, { create = true, exclusive = true }) })
    end)

    it("succeeds while another process makes and removes it", function()
      local name = mq.name()
      local p = peer.lua([[
        print "go"
        io.stdout:flush()
        local n = 0
        repeat -- until the spec has unlinked its sign
          assert(ipc.mqueue.open(arg[1], { create = true })):close()
          ipc.mqueue.unlink(arg[1])
          n = n + 1
        until n % 100 == 0 and not ipc.mqueue.open(arg[2])
        print "done"]], name, select(2, mq.new()))
      assert.equal("go", p:read "l")
      for _ = 1, 5000 do assert(mqueue.open(name, { create = true })):close() end
      mq.closeall()
      assert.equal("done\n", p:read "a")
      p:close()
    end)

    it("makes it with the mode, from which the umask is taken", function()
      local before = probe.umask(octal "027")
      finally(function() probe.umask(before) end)
      assert.equal(octal "600", open(mq.name(), { create = true }):stat().mode)
      assert.equal(octal "640", open(mq.name(), { create = true, mode = octal "666" }):stat().mode)
      assert.equal(octal "027", probe.umask(octal "027"))
    end)

    it("gives what is not asked for as the system would", function()
      local theirs = mq.name()
      assert.equal("", mq.twinout("create", theirs, 1, 1, "600"))
      local function default(what)
        local f <close> = assert(io.open("/proc/sys/fs/mqueue/" .. what .. "_default"))
        return f:read "n"
      end
      local msg, msgsize = default "msg", default "msgsize"
      local a = open(mq.name(), { create = true }):getattr()
      assert.same({ msg, msgsize }, { a.maxmsg, a.msgsize })
      a = open(mq.name(), { create = true, maxmsg = 2 }):getattr()
      assert.same({ 2, msgsize }, { a.maxmsg, a.msgsize })
      a = open(mq.name(), { create = true, msgsize = 2 }):getattr()
      assert.same({ msg, 2 }, { a.maxmsg, a.msgsize })
    end)

    it("opens for one direction or both; the other is misuse", function()
      local name = mq.name()
      local r = assert(open(name, { create = true, access = "r" }))
      local w = assert(open(name, { access = "w" }))
      assert.is_true(w:send "x")
      assert.equal("x", r:receive(0))
      assert.error_matches(function() r:send "x" end, "mqueue is not open for writing")
      assert.error_matches(function() w:receive(0) end, "mqueue is not open for reading")
      assert.equal("r", r:events())
      assert.equal("w", w:events())
      local rw = assert(open(name, { access = "rw" }))
      assert(rw:send "y")
      assert.equal("y", rw:receive(0))
      assert.same({ nil, ("mqueue:receive %s: timed out"):format(name), "ETIMEDOUT" }, { r:receive(0) })
    end)

    it("gives descriptors that programs do not inherit, non-blocking", function()
      local q = mq.new()
      assert.matches("cloexec", probe.fds()[q:fd()])
      assert.equal(octal "4000", peer.fdflags(q:fd()) & octal "4000")
    end)

    it("refuses names that are none", function()
      local function bad(name, why)
        for _, f in ipairs { mqueue.open, mqueue.unlink } do
          assert.error_matches(function() f(name) end, why)
        end
      end
      bad("jobs", "#1.*name must begin with '/'")
      bad("", "#1.*empty string")
      bad("/", "#1.*nothing behind the '/'")
      bad("//jobs", "#1.*name must contain no other '/'")
      bad("/a/b", "#1.*name must contain no other '/'")
      bad("/jobs/", "#1.*name must contain no other '/'")
      bad("/jo\0bs", "#1.*string contains zeros")
      bad("/" .. ("x"):rep(256), "#1.*name is too long %(at most 255 bytes behind the '/'%)")
      bad(nil, "#1.*string expected")
      bad({}, "#1.*string expected")
      assert.same({ nil, "mqueue.open /..: Permission denied", "EACCES" }, { open "/.." })
    end)

    it("takes the longest name there can be", function()
      local name = mq.name()
      name = name .. ("x"):rep(256 - #name)
      local q = assert(open(name, { create = true, unlink = true }))
      assert.is_true(exists(name))
      assert.is_true(q:close())
      assert.is_false(exists(name))
    end)

    it("refuses misuse", function()
      local name = mq.name()
      local function bad(opts, why)
        assert.error_matches(function() open(name, opts) end, why)
      end
      bad({ size = 1 }, "unknown option 'size'")
      bad({ access = "x" }, "option 'access': \"r\", \"w\" or \"rw\" expected, got \"x\"")
      bad({ access = 1 }, "option 'access': string expected")
      bad({ create = 1 }, "option 'create': boolean expected")
      bad({ exclusive = true }, "option 'exclusive' needs 'create'")
      bad({ unlink = true }, "option 'unlink' needs 'create'")
      bad({ maxmsg = 5 }, "options 'maxmsg' and 'msgsize' need 'create'")
      bad({ msgsize = 5 }, "options 'maxmsg' and 'msgsize' need 'create'")
      bad({ create = true, maxmsg = 0 }, "option 'maxmsg': 0 is out of range")
      bad({ create = true, msgsize = -1 }, "option 'msgsize': %-1 is out of range")
      bad({ create = true, msgsize = 1 << 31 }, "option 'msgsize': 2147483648 is out of range")
      bad({ create = true, maxmsg = "5" }, "option 'maxmsg': integer expected, got string")
      bad({ create = true, mode = octal "1000" }, "option 'mode': 512 is out of range")
      bad("rw", "#2.*table expected")
      assert.is_false(exists(name))
      local q = mq.new()
      assert.error_matches(function() q:send() end, "#1.*string expected")
      assert.error_matches(function() q:send({}) end, "#1.*string expected")
      assert.error_matches(function() q:send("x", "soon") end, "#2.*timeout in seconds expected")
      assert.error_matches(function() q:send("x", -1) end, "#2.*must not be negative")
      assert.error_matches(function() q:send("x", { priority = 32768 }) end, "option 'priority': 32768 is out of range")
      assert.error_matches(function() q:send("x", { priority = -1 }) end, "option 'priority': %-1 is out of range")
      assert.error_matches(function() q:send("x", { prio = 1 }) end, "unknown option 'prio'")
      assert.error_matches(function() q:send("x", { timeout = 0 / 0 }) end, "option 'timeout': timeout must not be NaN")
      assert.error_matches(function() q.receive(io.stdout) end, "lipc.mqueue expected")
      assert.error_matches(function() q:setattr {} end, "#1.*option 'nonblock' is missing")
      assert.error_matches(function() q:setattr { nonblock = 1 } end, "option 'nonblock': boolean expected")
      assert.error_matches(function() q:setattr { maxmsg = 1 } end, "unknown option 'maxmsg'")
      assert.equal(0, q:getattr().curmsgs)
      q:close()
      for _, method in ipairs { "receive", "getattr", "stat", "notify", "fd" } do
        assert.error_matches(function() q[method](q) end, "closed mqueue")
      end
      assert.error_matches(function() q:send "x" end, "closed mqueue")
    end)
  end)

  describe("unlink", function()
    it("removes the name; who has it open goes on", function()
      local q, name = mq.new()
      assert.is_true(mqueue.unlink(name))
      assert.same({ nil, ("mqueue.unlink %s: No such file or directory"):format(name), "ENOENT" },
        { mqueue.unlink(name) })
      assert.is_true(q:send "x")
      assert.equal("x", q:receive(0))
    end)

    it("as an option removes on close, on collection and at the end what this call has made", function()
      local name = mq.name()
      local opts = { create = true, unlink = true }
      local q = assert(open(name, opts))
      assert.is_true(q:close())
      assert.is_false(exists(name))
      do
        local _ <close> = assert(mqueue.open(name, opts))
        assert.is_true(exists(name))
      end
      assert.is_false(exists(name))
      assert(mqueue.open(name, opts)) -- nobody keeps it
      collectgarbage()
      collectgarbage()
      assert.is_false(exists(name))
      peer.run("assert(ipc.mqueue.open(arg[1], { create = true, unlink = true }))", name)
      assert.is_false(exists(name))
    end)

    it("as an option removes nothing that was there before", function()
      local name = mq.name()
      assert(open(name, { create = true }))
      assert(open(name, { create = true, unlink = true })):close()
      assert.is_true(exists(name))
    end)

    it("as an option leaves alone what has taken the name since", function()
      local name = mq.name()
      local q = assert(open(name, { create = true, unlink = true }))
      mqueue.unlink(name)
      assert.equal("", mq.twinout("create", name, 1, 1, "600"))
      assert.is_true(q:close())
      assert.is_true(exists(name))
      mqueue.unlink(name)
      q = assert(open(name, { create = true, unlink = true }))
      mqueue.unlink(name)
      assert.is_true(q:close()) -- gone: nothing to do
    end)

    it("as an option is for the process that made it, not for its children", function()
      local name = mq.name()
      local q = assert(open(name, { create = true, unlink = true }))
      assert.equal(0, probe.inchild(function() q:close() end))
      assert.is_true(exists(name))
      q:close()
      assert.is_false(exists(name))
    end)

    it("as an option finds a descriptor when there are none left, and what may not be opened", function()
      local out = peer.run([[
        local name = arg[1]
        local q = assert(ipc.mqueue.open(name, { create = true, unlink = true, mode = 0 }))
        local hold = {}
        repeat
          local f = io.open "/dev/null"
          hold[#hold + 1] = f
        until not f
        print(q:close())
        hold[1]:close()
        print(ipc.mqueue.open(name))]], mq.name())
      assert.matches("^true\nnil\tmqueue.open %S+ No such file or directory\tENOENT\n$", out)
    end)

    it("as an option looks whose it is as far as the mode lets it", function()
      local out = mq.isolated [[
        local opts = { create = true, unlink = true }
        local function there(name) return select(3, ipc.mqueue.open(name)) ~= "ENOENT" end
        for _, mode in ipairs { 0, 128, 256 } do -- ---, -w-, r--
          opts.mode = mode
          local q = assert(ipc.mqueue.open("/q", opts))
          assert(q:close())
          io.write(tostring(there "/q"), " ")
        end
        opts.mode = 128
        local q = assert(ipc.mqueue.open("/q", opts))
        assert(ipc.mqueue.unlink "/q")
        opts.unlink = nil
        assert(ipc.mqueue.open("/q", opts))
        assert(q:close())
        print(there "/q")]]
      if not out then pending "no name spaces for this user" end
      assert.equal("false false false true\n", out)
    end)

    it("once detached removes nothing", function()
      local name = mq.name()
      local fd = assert(open(name, { create = true, unlink = true })):detach()
      assert.is_true(exists(name))
      assert.is_true(probe.close(fd))
    end)
  end)

  describe("fromfd", function()
    it("adopts a queue that a program in C has opened, blocking, and keeps every deadline", function()
      local name = mq.name()
      mq.twinout("create", name, 1, 16, "600")
      local words = peer.command([[
        local peer = require "support.peer"
        local before = peer.fdflags(9)
        local q = ipc.mqueue.fromfd(9)
        print(before & 2048, q:getattr().nonblock)
        print((select(3, q:receive(0))), (select(3, q:receive(0.02))))
        print(q:send("a", { priority = 4 }), (select(3, q:send("b", 0))), (select(3, q:send("b", 0.02))))
        local loop = ipc.loop.new()
        loop:wrap(function() print(q:receive(60)) print(q:receive(60)) end)
        loop:wrap(function() ipc.sleep(0.01) q:send("c", 60) end)
        loop:run()
        print(before == peer.fdflags(9))]])
      local p = mq.twin("exec", name, "b", "sh", "-c", words)
      assert.equal("0\tfalse\nETIMEDOUT\tETIMEDOUT\ntrue\tETIMEDOUT\tETIMEDOUT\na\t4\nc\t0\ntrue\n", p:read "a")
      p:close()
      p = mq.twin("exec", name, "n", "sh", "-c", peer.command "print(ipc.mqueue.fromfd(9):getattr().nonblock)")
      assert.equal("true\n", p:read "a")
      p:close()
    end)

    it("keeps the directions, and what was given away", function()
      local name = mq.name()
      assert(open(name, { create = true })):close()
      local fd = assert(open(name, { access = "w" })):detach()
      local w = mq.keep(mqueue.fromfd(fd))
      assert.equal(("lipc.mqueue (fd %d)"):format(fd), tostring(w))
      assert.is_true(w:send(("x"):rep(8192)))
      assert.error_matches(function() w:receive(0) end, "not open for reading")
      local r = mq.keep(mqueue.fromfd(assert(open(name, { access = "r" })):detach()))
      assert.equal(8192, #r:receive(0))
      assert.same({ nil, "mqueue:receive: timed out", "ETIMEDOUT" }, { r:receive(0) })
    end)

    it("refuses what is no queue", function()
      local r, w = ipc.pipe.open()
      finally(function()
        r:close()
        w:close()
      end)
      local e <close> = ipc.eventfd.open()
      assert.error_matches(function() mqueue.fromfd(r:fd()) end, "#1.*not a message queue")
      assert.error_matches(function() mqueue.fromfd(e:fd()) end, "#1.*not a message queue")
      local f <close> = assert(ipc.fifo.open(names.path(), "rw", { create = true, unlink = true }))
      assert.error_matches(function() mqueue.fromfd(f:fd()) end, "#1.*not a message queue")
      assert.error_matches(function() mqueue.fromfd(987654) end, "#1.*not open")
      assert.error_matches(function() mqueue.fromfd(mq.new()) end, "#1.*an lipc object")
      assert.error_matches(function() mqueue.fromfd "9" end, "#1.*number expected")
      assert.is_truthy(probe.fds()[r:fd()]) -- still open
    end)
  end)

  it("is given to a child program, which uses it with its own flags", function()
    local q = mq.new()
    local p = assert(ipc.process.spawn { os.getenv "LUA", "-e", [[
      local q = require "lipc".mqueue.fromfd(3)
      assert(q:send("from the child", 60))]], fds = { [3] = q } })
    assert.equal("from the child", q:receive(SOON))
    assert.is_true(p:wait(SOON).ok)
    assert.equal("ETIMEDOUT", select(3, q:receive(0.01)))
  end)
end)
