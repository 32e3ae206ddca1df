-- ipc.admin.list: every kind, made by lipc and by others; what tools say of the same; who uses it; hostile names.
local ipc = require "lipc"
local names = require "support.names"
local admin = require "support.admin"
local peer = require "support.peer"
local sysv = require "support.sysv"

local function hex(key) return ("0x%08x"):format(key & 0xffffffff) end

-- An entry has these values.
local function has(values, entry)
  assert.is_table(entry)
  local got = {}
  for key in pairs(values) do got[key] = entry[key] end
  assert.same(values, got)
end

local function isolated(...)
  local out = admin.isolated(...)
  if not out then pending "no name spaces for this user" end
  return out
end

describe("admin.list", function()
  admin.watch { after_each = after_each }
  local me, uid = ipc.signal.getpid(), tonumber(sysv.output "id -u")

  it("has shared memory that a shell made, as ls shows it", function()
    local name, path = admin.shm(("x"):rep(4711))
    sysv.output("chmod 640 " .. path)
    local e = admin.find(name)
    has({ kind = "shm", name = name, mode = 416, size = 4711, uid = uid, creator = "unknown" }, e)
    assert.equal(("%d %d %s %s\n"):format(e.ino, e.size, e.owner, "640"), sysv.output("stat -c '%i %s %U %a' " .. path))
    assert.is_true(e.age >= 0 and e.age < 1000 and e.idle <= e.age)
    sysv.output("touch -d '2 hours ago' " .. path) -- which is a change, and now
    assert.is_true(admin.find(name).idle < 3600)
  end)

  it("has what Python's multiprocessing made, and who has it", function()
    local p = admin.python [[
from multiprocessing import shared_memory, resource_tracker
m = shared_memory.SharedMemory(create=True, size=5000)
resource_tracker.unregister(m._name, "shared_memory")
print("ready", flush=True)
print(m._name, flush=True)
]]
    local name = p.stdout:read()
    admin.at_end(function() os.remove("/dev/shm" .. name) end)
    has({ kind = "shm", size = 5000, users = { p:pid() } }, admin.find(name, { users = true }))
    assert.is_nil(admin.find(name).users)
    p:kill "SIGKILL"
    p:wait(60)
    has({ kind = "shm", users = {} }, admin.find(name, { users = true }))
  end)

  it("sees a mapping without a descriptor, read-only and private", function()
    local name, path = admin.shm(("x"):rep(4096))
    local p = admin.python([[
import sys, ctypes, os # Python's own mmap keeps a descriptor
f = os.open(sys.argv[1], os.O_RDONLY)
mmap = ctypes.CDLL(None).mmap
mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
mmap(None, 4096, 1, 2, f, 0)
os.close(f)]], path)
    has({ users = { p:pid() } }, admin.find(name, { users = true }))
    local _ <close> = assert(io.open(path))
    local users = { p:pid(), me }
    table.sort(users)
    has({ users = users }, admin.find(name, { users = true }))
  end)

  it("has semaphores by the name that they are opened with", function()
    local name = "/" .. names.new()
    local s <close> = assert(ipc.semaphore.open(name, { create = true, unlink = true }))
    has({ kind = "semaphore", mode = 384, users = { me }, uid = uid }, admin.find(name, { users = true }))
    assert.is_nil(admin.find("/sem." .. name:sub(2)))
    assert.is_truthy(s)
    local short = admin.shm "x" -- too short for a semaphore
    assert.is_true(os.rename("/dev/shm" .. short, "/dev/shm/sem." .. short:sub(2)))
    has({ kind = "shm", size = 1 }, admin.find("/sem." .. short:sub(2)))
    assert.is_true(ipc.semaphore.unlink(short)) -- such as sem_open leaves behind when it is killed
    assert.is_nil(admin.find("/sem." .. short:sub(2)))
  end)

  it("has segments, queues and sets, as ipcs shows them", function()
    for letter, kind in pairs { M = "sysv.shm", Q = "sysv.msg", S = "sysv.sem" } do
      local size = letter == "M" and "-M 5000" or letter == "S" and "-S 3" or "-Q"
      local id = sysv.output("ipcmk -p 640 " .. size):match ": (%d+)"
      admin.at_end(function() os.execute(("ipcrm -%s %s 2>/dev/null"):format(letter:lower(), id)) end)
      local row = sysv.output("ipcs -" .. letter:lower()):match("\n(0x%x+ +" .. id .. " [^\n]*)")
      local key, _, owner, mode, size_or_n, n = row:match "(%S+) +(%S+) +(%S+) +(%S+) +(%S+) *(%S*)"
      local e = admin.find(key, { kind = kind, users = true })
      has({ kind = kind, id = tonumber(id), owner = owner, mode = tonumber(mode, 8), users = {} }, e)
      if letter == "M" then
        has({ size = tonumber(size_or_n), nattch = tonumber(n), creator = "gone" }, e)
        assert.is_true(e.pid > 0)
      elseif letter == "S" then
        has({ nsems = tonumber(size_or_n), creator = "unknown", waiting = 0 }, e)
      else
        has({ size = tonumber(size_or_n), qnum = tonumber(n), creator = "unknown", partial = true }, e)
      end
    end
  end)

  it("knows the maker of a segment, and who has it attached", function()
    local key = sysv.key()
    local s <close> = assert(ipc.sysv.shm.open(key, { create = true, size = 10, unlink = true }))
    has({ creator = "alive", pid = me, nattch = 0, users = {} }, admin.find(hex(key), { users = true }))
    local p = admin.hold("/usr/bin/python3", "-c", [[
import sys, sysv_ipc
m = sysv_ipc.attach(int(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()]], s:id())
    has({ nattch = 1, users = { p:pid() } }, admin.find(hex(key), { users = true }))
    assert.is_nil(admin.find(hex(key), { users = true }).partial)
  end)

  it("has among the users of a set and a queue who used it last and lives", function()
    local key = sysv.key()
    local q <close> = assert(ipc.sysv.msg.open(key, { create = true, unlink = true }))
    local s <close> = assert(ipc.sysv.sem.open(key, { create = true, unlink = true, nsems = 2 }))
    assert(q:send(1, "12345"))
    assert(s:post(2))
    has({ users = { me }, size = 5, qnum = 1 }, admin.find(hex(key), { kind = "sysv.msg", users = true }))
    has({ users = { me }, waiting = 0 }, admin.find(hex(key), { kind = "sysv.sem", users = true }))
  end)

  it("has sockets and FIFOs of the rendezvous directory and of others", function()
    local dir = admin.dir()
    local l = assert(ipc.socket.listen { path = dir .. "/listen\nhere" })
    assert(ipc.fifo.make(dir .. "/fifo"))
    sysv.output(("cd %s && mkdir d && touch file && ln -s fifo link"):format(dir))
    local list = assert(ipc.admin.list { dirs = { dir .. "/" }, users = true, name = "^" .. dir:gsub("%p", "%%%0") })
    assert.equal(2, #list)
    has({ kind = "socket", name = dir .. "/listen\nhere", bound = true, creator = "alive" }, list[1])
    has({ kind = "fifo", name = dir .. "/fifo", users = {}, creator = "unknown" }, list[2])
    assert.is_nil(list[1].size)
    local none, _, code = l:accept(0) -- nobody has connected
    assert.is_nil(none)
    assert.equal("ETIMEDOUT", code)
    l:close()
    local out = peer.run([[
      for _, e in ipairs(assert(ipc.admin.list())) do if e.name:find("/lipc/", 1, true) then print(e.kind, e.name, e.bound) end end]])
    assert.equal("", out)
    sysv.output(("mkdir -m 700 %s/lipc && mv %s/fifo %s/lipc"):format(dir, dir, dir))
    local p = peer.sh(("XDG_RUNTIME_DIR=%s %s"):format(dir, peer.command [[
      local b <close> = assert(ipc.broker.start())
      for _, e in ipairs(assert(ipc.admin.list { users = true })) do
        if e.name:find("/lipc/", 1, true) then
          print(e.kind, e.name:match "[^/]*$", e.bound, e.users[1] ~= nil and e.users[1] ~= ipc.signal.getpid())
        end
      end]]))
    assert.equal("socket\tbroker.sock\ttrue\ttrue\nfifo\tfifo\tnil\tfalse\n", p:read "a")
    p:close()
  end)

  it("tells a socket whose process was killed, a datagram one, and one that does not listen", function()
    local dir = admin.dir()
    local p = admin.python([[
import socket, sys
a = [socket.socket(socket.AF_UNIX, t) for t in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)]
for i, s in enumerate(a): s.bind(sys.argv[1] + "/%d" % i)
a[2].listen()]], dir)
    for i = 0, 2 do
      has({ bound = true, creator = "alive", users = { p:pid() } }, admin.find(dir .. "/" .. i, { dirs = { dir }, users = true }))
    end
    p:kill "SIGKILL"
    p:wait(60)
    for i = 0, 2 do
      has({ bound = false, creator = "gone", users = {} }, admin.find(dir .. "/" .. i, { dirs = { dir }, users = true }))
    end
  end)

  it("sees who has a FIFO open", function()
    local dir = admin.dir()
    assert(ipc.fifo.make(dir .. "/f"))
    local p = admin.hold("sh", "-c", 'exec 3<>"$1"; echo ready; read x', "sh", dir .. "/f")
    has({ users = { p:pid() } }, admin.find(dir .. "/f", { dirs = { dir }, users = true }))
  end)

  it("has message queues, mounted or not", function()
    local script = [[
      local q = assert(ipc.mqueue.open("/one", { create = true, maxmsg = 3, msgsize = 10 }))
      assert(ipc.mqueue.open("/two\n", { create = true, maxmsg = 3, msgsize = 10, mode = 416 })):close()
      assert(q:send "hello")
      for _ = 1, 2 do
        for _, e in ipairs(assert(ipc.admin.list { users = true })) do
          print(e.kind, ("%q"):format(e.name), e.mode, e.size >= 30, e.curmsgs, #e.users, e.users[1] == ipc.signal.getpid(), e.idle)
        end
      end]]
    local expected = 'mqueue\t"/one"\t384\ttrue\t1\t1\ttrue\nmqueue\t"/two\\\n"\t416\ttrue\t0\t0\tfalse\n'
    for _, setup in ipairs { "", "mkdir -p /dev/shm/x && mount -t tmpfs none /dev/shm/x" } do
      local out = isolated(script, setup)
      local idle = {}
      out = out:gsub("\t([%d.e-]+)\n", function(n)
        idle[#idle + 1] = tonumber(n)
        return "\n"
      end)
      assert.equal(expected:rep(2), out)
      assert.is_true(idle[3] > idle[1] and idle[4] > idle[2]) -- looking does not count as use
    end
  end)

  it("says which kinds cannot be seen", function()
    local out = isolated([[
      local list, unseen = ipc.admin.list()
      print(#list, unseen.shm, unseen.semaphore == unseen.shm)
      print(ipc.admin.list { kind = { "shm", "semaphore" } })]], "umount /dev/shm; mount -t tmpfs none /dev")
    local message = "admin.list /dev/shm: No such file or directory"
    assert.equal(("0\t%s\ttrue\nnil\t%s\tENOENT\n"):format(message, message), out)
  end)

  it("survives whatever somebody has put into /dev/shm", function()
    local out = isolated([[
      for _, e in ipairs(assert(ipc.admin.list { users = true, kind = { "shm", "semaphore" } })) do
        print(e.kind, ("%q"):format(e.name):gsub("\\\n", "\\n"))
      end]], [[cd /dev/shm && mkdir dir .hidden.d && ln -s /etc/passwd link && ln -s nowhere dangling && mkfifo fifo &&
        touch dir/inside .hidden -- -n "$(printf 'new\nline')" "$(printf '\377\001')" 'sem.' sem. 'a b' && mknod null c 1 3
        head -c 32 /dev/zero > sem.s; touch "$(printf '%0255d' 0)"; cd /]])
    local got = {}
    for kind, name in out:gmatch "(%l+)\t(\"[^\n]*\")" do got[#got + 1] = kind .. " " .. name end
    table.sort(got)
    local expected = {
      'semaphore "/s"', 'shm "/-n"', 'shm "/.hidden"', 'shm "/a b"', 'shm "/new\\nline"', 'shm "/sem."', 'shm "/\255\\1"',
      'shm "/' .. ("0"):rep(255) .. '"',
    }
    table.sort(expected)
    assert.same(expected, got)
  end)

  it("goes on while objects come and go", function()
    local stem = names.new()
    local p = admin.hold("sh", "-c", [[
      echo ready
      (trap exit TERM # when the command under way has ended: nothing is made after it
      while [ -d /proc/$$ ]; do touch "/dev/shm/$1-a"; rm -f "/dev/shm/$1-a" "/dev/shm/$1-b"; mkdir -p "/dev/shm/$1-b"; rmdir "/dev/shm/$1-b"; done) &
      read x; kill $!; wait; rm -rf "/dev/shm/$1-a" "/dev/shm/$1-b"]], "sh", stem)
    local seen = 0
    local deadline = ipc.now() + 60
    repeat
      for _, e in ipairs(assert(ipc.admin.list { kind = "shm", users = true, name = "^/" .. stem:gsub("%p", "%%%0") .. "-" })) do
        assert.equal("/" .. stem .. "-a", e.name)
        seen = seen + 1
      end
      assert(ipc.admin.remove { kind = "shm", name = "^/" .. stem:gsub("%p", "%%%0") .. "-", age = 0 })
    until seen > 20 or ipc.now() > deadline
    admin.let(p)
    assert.is_true(seen > 0)
  end)

  it("does not look into a directory that is not the user's own", function()
    local dir = admin.dir()
    local script = [[
      local list, unseen = ipc.admin.list { kind = { "socket", "shm" }, name = "nothing has this name" }
      print(#list, (unseen or {}).socket)]]
    for made, reason in pairs {
      ["mkdir -m 777"] = ".*/lipc: [^\n]*", ["ln -s /tmp"] = ".*/lipc: Not a directory", ["touch"] = ".*/lipc: Not a directory",
    } do
      sysv.output(("rm -rf %s/lipc; %s %s/lipc"):format(dir, made, dir))
      local p = peer.sh(("XDG_RUNTIME_DIR=%s %s"):format(dir, peer.command(script)))
      assert.matches("^0\tadmin.list " .. reason .. "\n$", p:read "a")
      p:close()
    end
    sysv.output(("rm -rf %s/lipc"):format(dir))
    local p = peer.sh(("XDG_RUNTIME_DIR=%s %s"):format(dir, peer.command(script)))
    assert.equal("0\tnil\n", p:read "a")
    p:close()
    assert.is_nil(os.rename(dir .. "/lipc", dir .. "/x")) -- was not made
    local none, message, code = ipc.admin.list { kind = "fifo", dirs = { dir .. "/lipc" } }
    assert.same({ nil, ("admin.list %s/lipc: No such file or directory"):format(dir), "ENOENT" }, { none, message, code })
  end)

  it("has what others own only when asked", function()
    local out = isolated([[
      for _, all in ipairs { false, true } do
        for _, e in ipairs(assert(ipc.admin.list { all = all, kind = { "shm", "fifo" }, users = true })) do
          print(all, e.kind, e.name:gsub("^/tmp", ""), e.uid, e.partial)
        end
      end
      for _, e in ipairs(select(2, ipc.admin.remove { all = true, kind = "shm", force = true })) do print(e.name, e.message) end
      local mine, kept = ipc.admin.remove { entries = ipc.admin.list { all = true, name = "^/root$" }, force = true }
      print(#mine, kept[1].reason)]],
      [[touch /dev/shm/root; mount -t tmpfs -o mode=1777 none /media && mkdir -m 700 /media/lipc-65534 && mkfifo /media/lipc-65534/f
        chown -R 65534:65534 /media/lipc-65534; setpriv --reuid 65534 --clear-groups sh -c 'umask 77; touch /dev/shm/nobody' || exit 0
        export XDG_RUNTIME_DIR=/media]], "setpriv --reuid 65534 --clear-groups")
    if out:find "setpriv: " then pending "not root" end
    assert.equal("false\tshm\t/nobody\t65534\tnil\ntrue\tshm\t/nobody\t65534\tnil\ntrue\tshm\t/root\t0\ttrue\n"
      .. "/root\tadmin.remove /root: Operation not permitted\n0\towner\n", out)
  end)

  it("names what is wrong with its argument", function()
    for message, f in pairs {
      ["#1 to 'list' (table expected, got number)"] = function() ipc.admin.list(1) end,
      ["#1 to 'list' (unknown option 'nam')"] = function() ipc.admin.list { nam = "x" } end,
      ["#1 to 'list' (unknown option '1')"] = function() ipc.admin.list { "x" } end,
      ["#1 to 'list' (option 'users': boolean expected, got string)"] = function() ipc.admin.list { users = "x" } end,
      ["#1 to 'list' (option 'kind': invalid kind 'x')"] = function() ipc.admin.list { kind = { "shm", "x" } } end,
      ["#1 to 'list' (option 'kind': string or table expected, got boolean)"] = function() ipc.admin.list { kind = true } end,
      ["#1 to 'list' (option 'name': malformed pattern)"] = function() ipc.admin.list { name = "[" } end,
      ["#1 to 'list' (option 'dirs': a path expected, got number)"] = function() ipc.admin.list { dirs = { 1 } } end,
      ["#1 to 'list' (option 'dirs': a path expected, got a bad one)"] = function() ipc.admin.list { dirs = { "a\0b" } } end,
      ["#1 to 'remove' (table expected, got no value)"] = function() ipc.admin.remove() end,
      ["#1 to 'remove' (unknown option 'users')"] = function() ipc.admin.remove { users = true } end,
      ["#1 to 'remove' (option 'age': must not be NaN)"] = function() ipc.admin.remove { age = 0 / 0 } end,
      ["#1 to 'remove' (option 'entries': no entry of admin.list at 1)"] = function() ipc.admin.remove { entries = { {} } } end,
    } do
      local ok, err = pcall(f)
      assert.is_false(ok)
      assert.equal("bad argument " .. message, (err:gsub("^spec/admin_spec.lua:%d+: ", "")))
    end
  end)
end)
