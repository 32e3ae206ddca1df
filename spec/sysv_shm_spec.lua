-- System V shared memory: shmget(2), shmop(2), shmctl(2).
local ipc = require "lipc"
local peer = require "support.peer"
local probe = require "support.probe"
local support = require "support.sysv"

local shm = ipc.sysv.shm

describe("sysv.shm", function()
  local open

  before_each(function() open = {} end)
  after_each(function()
    for _, s in ipairs(open) do s:close() end
  end)
  local function new(size, key, opts)
    opts = opts or {}
    opts.size, opts.create, opts.unlink = size, true, true
    local s = assert(shm.open(key or "private", opts))
    open[#open + 1] = s
    return s
  end
  local function failure(s, op, text, code)
    return { nil, ("sysv.shm:%s key 0x%08x, id %d: %s"):format(op, s:key() & 0xffffffff, s:id(), text), code }
  end

  it("is attached, written, read and detached", function()
    local s = new(5000)
    assert.equal(("lipc.sysv.shm key 0x00000000, id %d (open)"):format(s:id()), tostring(s))
    assert.same({ 5000, 5000 }, { #s, s:size() })
    assert.is_true(s:attach())
    assert.equal(("\0"):rep(5000), s:read(0, 5000))
    assert.is_true(s:write(0, "first"))
    assert.is_true(s:write(4996, "a\0b\xff"))
    assert.is_true(s:write(5000, ""))
    assert.equal("first\0", s:read(0, 6))
    assert.equal("\0a\0b\xff", s:read(4995, 5))
    assert.equal("", s:read(5000, 0))
    assert.is_true(s:detach())
    assert.is_true(s:attach { readonly = true })
    assert.equal("first", s:read(0, 5))
    assert.same({ 5000, 5000 }, { #s, s:size() })
    assert.is_true(s:close())
    assert.is_true(s:close())
  end)

  it("refuses what is out of bounds, read-only, or not attached", function()
    local s = new(100)
    for _, f in ipairs { function() s:read(0, 1) end, function() s:write(0, "x") end, function() s:detach() end } do
      assert.error_matches(f, "segment is not attached")
    end
    assert(s:attach())
    assert.error_matches(function() s:attach() end, "segment is attached already")
    for _, bad in ipairs { { 0, 101 }, { 100, 1 }, { 1, math.maxinteger }, { 50, 51 } } do
      assert.error_matches(function() s:read(bad[1], bad[2]) end,
        ("#2 .*%d bytes from offset %d on are out of bounds %%(100 bytes%%)"):format(bad[2], bad[1]))
    end
    for _, bad in ipairs { -1, 101, math.maxinteger, math.mininteger } do
      local text = ("#1 .*offset %d is out of bounds %%(100 bytes%%)"):format(bad):gsub("%-", "%%-")
      assert.error_matches(function() s:read(bad, 1) end, text)
      assert.error_matches(function() s:write(bad, "x") end, text)
    end
    assert.error_matches(function() s:write(99, "xy") end, "#2 .*2 bytes from offset 99 on are out of bounds")
    assert.error_matches(function() s:read(0, -1) end, "#2 .*must not be negative")
    assert.error_matches(function() s:read(0) end, "#2 .*number expected, got no value")
    assert.error_matches(function() s:write(0) end, "#2 .*string expected, got no value")
    assert.error_matches(function() s:write("x", "y") end, "#1 .*number expected, got string")
    s:detach()
    assert(s:attach { readonly = true })
    assert.error_matches(function() s:write(0, "x") end, "mapping is read%-only")
    assert.error_matches(function() s:attach { size = 1 } end, "unknown option 'size'")
    assert.error_matches(function() s:fd() end, "has no descriptor")
    s:close()
    assert.error_matches(function() s:read(0, 1) end, "closed sysv.shm")
    assert.error_matches(function() return #s end, "closed sysv.shm")
    assert.error_matches(function() shm.open("private") end, "option 'size' is needed to create")
    assert.error_matches(function() shm.open(5, { size = 0 }) end, "option 'size': 0 is out of range")
    assert.error_matches(function() shm.open(5, { hugetlb = 1 }) end, "option 'hugetlb': boolean expected")
  end)

  it("tells who made it, who has it and how often it is attached", function()
    local s = new(100, support.key(), { mode = 416 })
    local before = os.time()
    assert.equal(0, s:stat().nattch)
    assert(s:attach())
    local other <close> = assert(shm.fromid(s:id()))
    assert(other:attach { readonly = true })
    local st, uid, me = assert(s:stat()), probe.getuid(), probe.getpid()
    assert.same({ "sysv shared memory", s:key(), s:id(), 416, uid, uid }, { st.type, st.key, st.id, st.mode, st.uid, st.cuid })
    assert.same({ 100, 2, me, me, false, false }, { st.size, st.nattch, st.cpid, st.lpid, st.dest, st.locked })
    assert.is_true(st.atime >= before - 1 and st.ctime >= before - 1)
    assert.equal(0, st.dtime)
    other:detach()
    assert.same({ 1, true }, { s:stat().nattch, s:stat().dtime >= before - 1 })
    assert.is_true(s:set { mode = 384 })
    assert.same({ 384, uid }, { s:stat().mode, s:stat().uid })
    assert.error_matches(function() s:set { qbytes = 1 } end, "unknown option 'qbytes'")
    assert.error_matches(function() s:set() end, "table expected")
    if uid == 0 then
      assert.is_true(s:set { uid = 1, gid = 2 })
      assert.same({ 1, 2, 0, 384 }, { s:stat().uid, s:stat().gid, s:stat().cuid, s:stat().mode })
    end
  end)

  it("that is removed stays until the last has detached", function()
    local key = support.key()
    local s = new(100, key)
    assert(s:attach() and s:write(0, "still there"))
    local other = assert(shm.fromid(s:id()))
    assert(other:attach())
    assert.is_true(s:remove())
    assert.same({ true, 2 }, { s:stat().dest, s:stat().nattch })
    assert.equal("ENOENT", (select(3, shm.open(key))))
    assert.is_true(other:write(6, "HERE!"))
    other:close()
    assert.equal("still HERE!", s:read(0, 11))
    local id = s:id()
    s:detach()
    assert.same(failure(s, "attach", "Identifier removed", "EIDRM"), { s:attach() })
    assert.same(failure(s, "stat", "Identifier removed", "EIDRM"), { s:stat() })
    assert.same(failure(s, "size", "Identifier removed", "EIDRM"), { s:size() })
    assert.same(failure(s, "set", "Identifier removed", "EIDRM"), { s:set { mode = 384 } })
    assert.same(failure(s, "remove", "Identifier removed", "EIDRM"), { s:remove() })
    assert.error_matches(function() return #s end, "Identifier removed")
    assert.same({ nil, ("sysv.shm.fromid id %d: Invalid argument"):format(id), "EINVAL" }, { shm.fromid(id) })
  end)

  it("is opened by key: never made unless asked", function()
    local key = support.key()
    assert.same({ nil, ("sysv.shm.open key 0x%08x: No such file or directory"):format(key), "ENOENT" }, { shm.open(key) })
    local s = new(100, key)
    assert.equal(384, s:stat().mode)
    assert.equal("EEXIST", (select(3, shm.open(key, { create = true, exclusive = true, size = 1 }))))
    local same = assert(shm.open(key, { create = true, size = 50, unlink = true }))
    assert.same({ s:id(), 100 }, { same:id(), #same })
    same:close() -- made nothing, removes nothing
    same = assert(shm.open(key))
    assert.equal(s:id(), same:id())
    same:close()
    assert.same({ nil, ("sysv.shm.open key 0x%08x: Invalid argument (size is 100, 101 asked for)"):format(key), "EINVAL" },
      { shm.open(key, { size = 101 }) })
  end)

  it("is shared with a forked child, whose closing detaches only the child", function()
    local s = new(100)
    local out = peer.run([[
      local probe = require "support.probe"
      local s = assert(ipc.sysv.shm.open("private", { size = 100, unlink = true }))
      assert(s:attach())
      local me = probe.getpid()
      local go, done = ipc.eventfd.open(), ipc.eventfd.open()
      probe.forkhere()
      if probe.getpid() ~= me then
        s:write(0, "child")
        done:add(1)
        go:take(60)
        s:close()
        os.exit(0, true)
      end
      done:take(60)
      print(s:stat().nattch, s:read(0, 5))
      go:add(1)
      probe.waitall()
      print(s:stat().nattch, s:read(0, 5), s:stat().dest)
      local id = s:id()
      s = nil
      collectgarbage()
      print((select(3, ipc.sysv.shm.fromid(id))))]])
    assert.equal("2\tchild\n1\tchild\tfalse\nEINVAL\n", out)
    assert(s)
  end)

  it("is let go when it is collected", function()
    local s = new(100)
    local function attached()
      local other = assert(shm.fromid(s:id()))
      assert(other:attach())
      assert.equal(1, s:stat().nattch)
    end
    attached()
    collectgarbage()
    collectgarbage()
    assert.equal(0, s:stat().nattch)
    do
      local other <close> = assert(shm.fromid(s:id()))
      assert(other:attach())
    end
    assert.equal(0, s:stat().nattch)
  end)

  it("is shared with C and Python, both ways, to the byte", function()
    local key = support.key()
    local s = new(70, key)
    assert(s:attach())
    support.twin("put", key, 10, "from C")
    assert.equal("\0from C\0", s:read(9, 8))
    support.python("m = sysv_ipc.SharedMemory(int(sys.argv[1])); m.write(b'\\0Py', 20); m.detach()", key)
    assert.equal("\0\0Py\0", s:read(19, 5))
    s:write(30, "to both")
    assert.equal("to both 70\n", support.twin("get", key, 30, 7))
    assert.equal("b'to both' 70\n", support.python(
      "m = sysv_ipc.SharedMemory(int(sys.argv[1])); print(m.read(7, 30), m.size); m.detach()", key))
    s:close()
    local id = tonumber(support.python(
      "m = sysv_ipc.SharedMemory(int(sys.argv[1]), sysv_ipc.IPC_CREX, mode=0o600, size=33); m.write(b'made'); print(m.id)", key))
    local theirs <close> = assert(shm.open(key))
    assert.same({ id, 33 }, { theirs:id(), #theirs })
    assert(theirs:attach())
    assert.equal("made", theirs:read(0, 4))
    assert(theirs:remove())
  end)

  it("takes over a segment of ipcmk, which ipcrm removes", function()
    local id = tonumber(support.output "ipcmk -M 1000 -p 0600":match "(%d+)%s*$")
    local s <close> = assert(shm.fromid(id))
    assert.equal(1000, #s)
    assert.equal(s:key(), support.byid "shm"[id].key)
    assert(s:attach())
    support.output("ipcrm -m " .. id)
    assert.is_true(s:stat().dest)
  end)

  it("says which limit was hit", function()
    local out = support.namespace("sysctl -q -w kernel.shmmni=2 kernel.shmmax=10000", [[
      local shm = ipc.sysv.shm
      print(shm.open("private", { size = 10001 }))
      local a, b = shm.open("private", { size = 1 }), shm.open("private", { size = 10000 })
      print(shm.open("private", { size = 1 }))]])
    if not out then return pending "no IPC name space of one's own here" end
    local all = io.lines "/proc/sys/kernel/shmall"()
    assert.equal(([[
nil sysv.shm.open key 0x00000000: Invalid argument (size is 10001, kernel.shmmax is 10000: sysctl -w kernel.shmmax=...) EINVAL
nil sysv.shm.open key 0x00000000: No space left on device (kernel.shmmni is 2 segments, kernel.shmall is %s pages: ipcs -m, sysctl -w) ENOSPC
]]):format(all), (out:gsub("\t", " ")))
  end)

  it("asks for huge pages, and says what they lack", function()
    local free = tonumber(io.lines "/proc/sys/vm/nr_hugepages"())
    local s, message, code = shm.open("private", { size = 2 << 20, hugetlb = true, unlink = true })
    if s then -- a machine that has some
      assert(s:attach() and s:write(0, "huge"))
      return s:close()
    end
    if code == "EPERM" then return assert.matches("huge pages need CAP_IPC_LOCK", message) end
    assert.equal("ENOMEM", code)
    assert.matches(("Cannot allocate memory %%(vm.nr_hugepages is %d: "):format(free), message)
  end)
end)
