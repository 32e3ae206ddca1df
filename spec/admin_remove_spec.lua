-- ipc.admin.remove: what goes, what stays and why.  Every test has names of its own.
local ipc = require "lipc"
local names = require "support.names"
local admin = require "support.admin"
local hoststate = require "support.hoststate"
local programs = require "support.programs"
local sysv = require "support.sysv"

local function hex(key) return ("0x%08x"):format(key & 0xffffffff) end
local function exists(path) return os.execute(("test -e '%s' -o -L '%s'"):format(path, path)) == true end

local function isolated(...)
  local out = admin.isolated(...)
  if not out then pending "no name spaces for this user" end
  return out
end

-- What ipcmk makes; its maker is gone.
local function ipcmk(letter, more)
  local id = tonumber(sysv.output(("ipcmk -%s %s"):format(letter, more or "")):match ": (%d+)")
  admin.at_end(function() os.execute(("ipcrm -%s %d 2>/dev/null"):format(letter:lower(), id)) end)
  local kind = ({ M = "sysv.shm", Q = "sysv.msg", S = "sysv.sem" })[letter]
  for _, e in ipairs(assert(ipc.admin.list { kind = kind })) do
    if e.id == id then return e.name, id, kind end
  end
end

describe("admin.remove", function()
  admin.watch { after_each = after_each }

  it("leaves the host as it was", function()
    local name = admin.shm "x"
    local before = hoststate.before()
    assert.equal("age", admin.remove(name))
    assert.equal("removed", admin.remove(name, { age = 0, dry = true }))
    assert.same({}, hoststate.diff(before, hoststate.take()))
    assert.equal("removed", admin.remove(name, { age = 0 }))
  end)

  describe("of shared memory", function()
    it("takes what nobody has open, once it is old enough", function()
      local name, path = admin.shm "x"
      local reason, message = admin.remove(name)
      assert.equal("age", reason)
      assert.matches("^last changed %d+ seconds ago, which is less than 86400$", message)
      assert.equal("age", admin.remove(name, { age = 1000 }))
      assert.is_true(exists(path))
      assert.equal("removed", admin.remove(name, { age = 0, dry = true }))
      assert.is_true(exists(path))
      assert.equal("removed", admin.remove(name, { age = 0 }))
      assert.is_false(exists(path))
      assert.is_nil(admin.remove(name))
    end)

    it("leaves what a process has open or mapped, in whatever way", function()
      for _, how in ipairs { "f = os.open(p, os.O_RDONLY)", "f = os.open(p, os.O_WRONLY)", "f = os.open(p, os.O_RDWR)",
        "f = os.open(p, os.O_RDWR); m = mmap.mmap(f, 9); os.close(f)",
        "f = os.open(p, os.O_RDONLY); m = mmap.mmap(f, 9, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ); os.close(f)" } do
        local name, path = admin.shm "123456789"
        local p = admin.python("import os, mmap, sys\np = sys.argv[1]\n" .. how, path)
        local reason, message = admin.remove(name, { age = 0 })
        assert.same({ "open", ("process %d uses it"):format(p:pid()) }, { reason, message })
        admin.let(p)
        assert.equal("removed", admin.remove(name, { age = 0 }))
      end
    end)

    it("asks the kernel about what /proc does not show", function()
      local name, path = admin.shm "x"
      local a, b = assert(ipc.socket.pair())
      local f = assert(io.open(path))
      assert(a:sendfds("x", { f }))
      f:close() -- it is on its way, and in no process
      assert.same({}, admin.find(name, { users = true }).users)
      assert.equal("open", admin.remove(name, { age = 0 }))
      assert.equal("open", admin.remove(name, { age = 0, dry = true }))
      b:close()
      a:close()
      assert.equal("removed", admin.remove(name, { age = 0 }))
    end)

    it("leaves a new object that has got the name", function()
      local name, path = admin.shm "old"
      local entry = admin.find(name)
      assert.is_true(os.remove(path))
      assert(io.open(path, "w")):close()
      local removed, kept = ipc.admin.remove { entries = { entry }, age = 0, force = true }
      assert.same({}, removed)
      assert.same({ "changed", name }, { kept[1].reason, kept[1].name })
      for _, more in ipairs { { kind = "fifo" }, { name = "another" } } do
        more.entries = { entry }
        assert.same({ {}, {} }, { ipc.admin.remove(more) })
      end
      assert.is_true(exists(path))
      removed = ipc.admin.remove { entries = { admin.find(name) }, age = 0 }
      assert.equal(name, removed[1].name)
    end)

    it("checks that in the system layer too, and follows no symbolic link", function()
      local core = require "lipc.core".admin()
      local name, path = admin.shm "old"
      local target = select(2, admin.shm "target")
      local identity = admin.find(name).identity
      assert.is_true(os.rename(path, target .. "-moved"))
      admin.at_end(function() os.remove(target .. "-moved") end)
      for _, make in ipairs { "ln -s %s %s", "mkdir %s.d; mkdir %s", "mkfifo %s.f; mkfifo %s", "cp %s %s" } do
        sysv.output(make:format(target, path))
        local ok, _, code = core.remove("shm", nil, nil, name:sub(2), identity, "f")
        assert.same({ nil, "ESTALE" }, { ok, code })
        assert.is_true(exists(path) and exists(target))
        sysv.output(("rm -rf %s %s.d %s.f"):format(path, target, target))
        sysv.output("echo target > " .. target)
      end
      assert.same({ nil, "ESTALE" }, { (core.remove("shm", nil, nil, name:sub(2), identity, "f")),
        (select(3, core.remove("shm", nil, nil, name:sub(2), identity, "f"))) })
      assert.is_false(pcall(core.remove, "shm", nil, nil, "../x", identity, "f"))
    end)

    it("by force takes what is open", function()
      local name, path = admin.shm "x"
      local f <close> = assert(io.open(path))
      assert.equal("open", admin.remove(name, { age = 0 }))
      assert.equal("removed", admin.remove(name, { force = true }))
      assert.is_false(exists(path))
    end)
  end)

  it("takes a semaphore that nobody has open", function()
    local name = "/" .. names.new()
    admin.at_end(function() ipc.semaphore.unlink(name) end)
    local s = assert(ipc.semaphore.open(name, { create = true }))
    assert.equal("open", admin.remove(name, { age = 0 }))
    s:close()
    assert.equal("age", admin.remove(name))
    assert.equal("removed", admin.remove(name, { age = 0 }))
    assert.equal("ENOENT", (select(3, ipc.semaphore.open(name))))
  end)

  it("takes a queue that nobody has open", function()
    local out = isolated [[
      local function try(opts)
        local removed, kept = assert(ipc.admin.remove(opts))
        print(#removed, kept[1] and kept[1].reason)
      end
      local q = assert(ipc.mqueue.open("/q", { create = true, maxmsg = 3, msgsize = 10 }))
      assert(q:send "x")
      try { age = 0 }
      local a, b = assert(ipc.socket.pair())
      a:sendfds("x", { q })
      q:close()
      try { age = 0, name = "^/q$" }
      b:close()
      a:close()
      try {}
      try { age = 0, dry = true }
      try { age = 0 }
      try { age = 0 }
      print(select(3, ipc.mqueue.open "/q"))]]
    assert.equal("0\topen\n0\topen\n0\tage\n1\tnil\n1\tnil\n0\tnil\nENOENT\n", out)
  end)

  describe("of System V", function()
    it("takes a segment whose maker is gone", function()
      local name, id, kind = ipcmk("M", "5000")
      assert.equal("removed", admin.remove(name, { kind = kind, dry = true }))
      assert.equal("age", admin.remove(name, { kind = kind, age = 1000 }))
      assert.equal("removed", admin.remove(name, { kind = kind }))
      assert.is_nil(sysv.byid "shm"[id])
    end)

    it("leaves one whose maker lives, and one that is attached", function()
      local key = sysv.key()
      local s <close> = assert(ipc.sysv.shm.open(key, { create = true, size = 10, unlink = true }))
      local reason, message = admin.remove(hex(key), { age = 0 })
      assert.same({ "creator", ("process %d, which made it, lives"):format(ipc.signal.getpid()) }, { reason, message })
      local name, id, kind = ipcmk("M", "5000")
      local p = admin.hold("/usr/bin/python3", "-c", [[
import sys, sysv_ipc
m = sysv_ipc.attach(int(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()]], id)
      assert.equal("open", admin.remove(name, { kind = kind }))
      admin.let(p)
      assert.equal("removed", admin.remove(name, { kind = kind }))
    end)

    it("knows a maker from another process that has got its number", function()
      local out = isolated([[
        local id = tonumber(arg[1] or os.getenv "ID")
        local function reason()
          local removed, kept = assert(ipc.admin.remove { kind = "sysv.shm", dry = true })
          assert(#removed + #kept == 1)
          return removed[1] and "removed" or kept[1].reason, (removed[1] or kept[1]).pid
        end
        local _, pid = reason()
        repeat
          ipc.sleep(0.05)
          local e = ipc.admin.list { kind = "sysv.shm" }[1]
        until e.age > 4
        local f <close> = assert(io.open("/proc/sys/kernel/ns_last_pid", "w"))
        f:write(pid - 1):close()
        local p <close> = assert(ipc.process.spawn { "cat", stdin = "pipe", stdout = "pipe" })
        print(p:pid() == pid, (reason()))]], "ipcmk -M 10 >/dev/null")
      assert.equal("true\tremoved\n", out)
    end)

    it("leaves a queue that may be in use: never used, or its users live", function()
      local name, id, kind = ipcmk "Q"
      assert.equal("unknown", admin.remove(name, { kind = kind, age = 0 }))
      local q <close> = assert(ipc.sysv.msg.fromid(id))
      assert(q:send(1, "x"))
      assert.equal("open", admin.remove(name, { kind = kind, age = 0 }))
      local p = admin.hold("/usr/bin/python3", "-c", [[
import sys, sysv_ipc
sysv_ipc.MessageQueue(int(sys.argv[1])).send(b"y")
print("ready", flush=True)
sys.stdin.read()]], math.tointeger(tonumber(name)) << 32 >> 32)
      assert.equal("open", admin.remove(name, { kind = kind, age = 0 }))
      admin.let(p)
      assert.equal("age", admin.remove(name, { kind = kind }))
      assert.equal("removed", admin.remove(name, { kind = kind, age = 0 }))
      assert.is_nil(sysv.byid "msg"[id])
    end)

    it("leaves a set that somebody waits for, or whose last user lives", function()
      local name, id, kind = ipcmk("S", "2")
      local p = admin.hold(programs.lua, "-e", [[
        local ipc = require "lipc"
        local s = ipc.sysv.sem.fromid(tonumber(arg[1] or ...))
        print "ready"
        io.stdout:flush()
        io.read "a"]], "/dev/null", id)
      admin.let(p)
      local waiter = assert(ipc.process.fork(function() assert(ipc.sysv.sem.fromid(id)):wait(2) end))
      programs.eventually(function() return sysv.output("ipcs -s -i " .. id):match "\n1%s+%d+%s+1%s" ~= nil end)
      local reason, message = admin.remove(name, { kind = kind, age = 0 })
      assert.same({ "open", "1 wait for it" }, { reason, message })
      waiter:kill "SIGKILL"
      assert(waiter:wait(60))
      waiter:close()
      local s <close> = assert(ipc.sysv.sem.fromid(id))
      assert(s:post(1))
      assert.equal("open", admin.remove(name, { kind = kind, age = 0 }))
      assert(assert(ipc.process.fork(function() assert(s:wait(1, 0)) end)):wait(60))
      assert.equal("age", admin.remove(name, { kind = kind }))
      assert.equal("removed", admin.remove(name, { kind = kind, age = 0 }))
      assert.is_nil(sysv.byid "sem"[id])
    end)

    it("leaves a new object that has got the key", function()
      local name, id, kind = ipcmk("M", "5000")
      local entry = admin.find(name, { kind = kind })
      sysv.output("ipcrm -m " .. id)
      local s <close> = assert(ipc.sysv.shm.open(entry.key, { create = true, size = 5000, unlink = true }))
      local removed, kept = assert(ipc.admin.remove { entries = { entry }, force = true })
      assert.same({ 0, "changed" }, { #removed, kept[1].reason })
      assert.is_truthy(sysv.byid "shm"[s:id()])
    end)

    it("by force takes what is in use", function()
      for _, letter in ipairs { "M", "Q", "S" } do
        local name, id, kind = ipcmk(letter, letter == "M" and 10 or letter == "S" and 2)
        local o <close> = assert(ipc.sysv[kind:sub(6)].fromid(id))
        if letter == "M" then assert(o:attach()) end
        if letter == "Q" then assert(o:send(1, "x")) end
        if letter == "S" then assert(o:post(1)) end
        assert.equal("open", admin.remove(name, { kind = kind, age = 0 }))
        assert.equal("removed", admin.remove(name, { kind = kind, force = true }))
        assert.is_nil(admin.find(name, { kind = kind }))
      end
    end)
  end)

  describe("of a directory", function()
    local bind = [[
import socket, sys
a = [socket.socket(socket.AF_UNIX, t) for t in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)]
for i, s in enumerate(a): s.bind(sys.argv[1] + "/%d" % i)
a[2].listen()]]

    it("takes dead sockets at once, and no living one", function()
      local dir = admin.dir()
      local p = admin.python(bind, dir)
      for i = 0, 2 do
        local reason, message = admin.remove(dir .. "/" .. i, { dirs = { dir }, age = 0 })
        assert.same({ "open", "somebody is bound to it" }, { reason, message })
      end
      local entry = admin.find(dir .. "/0", { dirs = { dir } })
      p:kill "SIGKILL"
      p:wait(60)
      assert.equal("removed", admin.remove(dir .. "/1", { dirs = { dir } }))
      assert.equal("age", admin.remove(dir .. "/2", { dirs = { dir }, age = 1000 }))
      -- one that was dead and is not any more
      os.remove(dir .. "/0")
      local l <close> = assert(ipc.socket.listen { path = dir .. "/0" })
      local removed, kept = assert(ipc.admin.remove { entries = { entry } })
      assert.same({ 0, "changed" }, { #removed, kept[1].reason })
      assert.equal("open", admin.remove(dir .. "/0", { dirs = { dir } }))
      assert.equal("removed", admin.remove(dir .. "/0", { dirs = { dir }, force = true }))
      assert.same({ false, false, true }, { exists(dir .. "/0"), exists(dir .. "/1"), exists(dir .. "/2") })
    end)

    it("asks whether a socket lives right before its removal", function()
      local core = require "lipc.core".admin()
      local dir = admin.dir()
      local p = admin.python(bind, dir)
      for i = 0, 2 do
        local e = admin.find(dir .. "/" .. i, { dirs = { dir } })
        assert.equal("EBUSY", (select(3, core.remove("dir", dir, nil, tostring(i), e.identity, ""))))
      end
      admin.let(p)
    end)

    it("works where paths are longer than addresses can be", function()
      local dir = admin.dir()
      local long = dir .. "/" .. ("d"):rep(120)
      sysv.output("mkdir " .. long)
      local p = admin.python("import os, sys, socket\nos.chdir(sys.argv[1])\ns = socket.socket(socket.AF_UNIX)\ns.bind('s')", long)
      assert.equal("open", admin.remove(long .. "/s", { dirs = { long } }))
      admin.let(p)
      assert.equal("removed", admin.remove(long .. "/s", { dirs = { long } }))
    end)

    it("takes a FIFO that nobody has open", function()
      local dir = admin.dir()
      local path = dir .. "/f"
      assert(ipc.fifo.make(path))
      local p = admin.hold("sh", "-c", 'exec 3<>"$1"; echo ready; read x', "sh", path)
      assert.equal("open", admin.remove(path, { dirs = { dir }, age = 0 }))
      local entry = admin.find(path, { dirs = { dir } })
      admin.let(p)
      assert.equal("age", admin.remove(path, { dirs = { dir } }))
      os.remove(path)
      assert(ipc.fifo.make(path)) -- often with the same inode number
      local removed, kept = assert(ipc.admin.remove { entries = { entry }, age = 0 })
      assert.same({ 0, "changed" }, { #removed, kept[1].reason })
      assert.equal("removed", admin.remove(path, { dirs = { dir }, age = 0 }))
      assert.is_false(exists(path))
    end)
  end)

  it("removes by kind and name, and says of each what became of it", function()
    local out = isolated([[
      local busy = assert(io.open "/dev/shm/x-c")
      local removed, kept = assert(ipc.admin.remove { kind = { "shm" }, name = "^/x%-", age = 0 })
      for _, e in ipairs(removed) do print("removed", e.kind, e.name:sub(-1), e.reason) end
      for _, e in ipairs(kept) do print("kept", e.kind, e.name:sub(-1), e.reason) end
      for _, e in ipairs(assert(ipc.admin.list { kind = "shm" })) do print("there", e.name:sub(-1)) end
      busy:close()]], "cd /dev/shm && touch x-a x-b x-c y; cd /")
    assert.equal("removed\tshm\ta\tnil\nremoved\tshm\tb\tnil\nkept\tshm\tc\topen\nthere\tc\nthere\ty\n", out)
  end)
end)
