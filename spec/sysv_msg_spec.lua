-- System V message queues: what goes in and comes out; msgget(2), msgop(2), msgctl(2).
local ipc = require "lipc"
local peer = require "support.peer"
local probe = require "support.probe"
local support = require "support.sysv"

local msg = ipc.sysv.msg

describe("sysv.msg", function()
  local open

  before_each(function() open = {} end)
  after_each(function()
    for _, q in ipairs(open) do q:close() end
  end)
  local function new(key, opts)
    opts = opts or {}
    opts.create, opts.unlink = true, true
    local q = assert(msg.open(key or "private", opts))
    open[#open + 1] = q
    return q
  end
  -- nil, message and code of a failed method, as they should be.
  local function failure(q, op, text, code)
    return { nil, ("sysv.msg:%s key 0x%08x, id %d: %s"):format(op, q:key() & 0xffffffff, q:id(), text), code }
  end
  local function fill(q, types)
    for i, type in ipairs(types) do assert(q:send(type, "message " .. i)) end
  end

  it("gives messages in the order in which they were sent, bytes and types exact", function()
    local q = new()
    local sent = { "", "a", "a\0b\0", ("x"):rep(8192), "\xff\xfe" }
    for i, data in ipairs(sent) do assert.is_true(q:send(i * 1000, data)) end
    assert.is_true(q:send(math.maxinteger, 42)) -- a number is its text
    for i, data in ipairs(sent) do assert.same({ data, i * 1000 }, { q:receive(0) }) end
    assert.same({ "42", math.maxinteger }, { q:receive(0) })
    assert.same(failure(q, "receive", "timed out", "ETIMEDOUT"), { q:receive(0, 0) })
  end)

  it("receives by type, by lowest type and by exclusion", function()
    local q = new()
    fill(q, { 5, 3, 9, 3, 5 })
    assert.same({ "message 2", 3 }, { q:receive(3) })
    assert.equal("ETIMEDOUT", (select(3, q:receive(4, 0))))
    assert.same({ "message 4", 3 }, { q:receive(-8) })
    assert.same({ "message 1", 5 }, { q:receive(-8) })
    assert.same({ "message 3", 9 }, { q:receive(5, { except = true }) })
    assert.equal("ETIMEDOUT", (select(3, q:receive(5, { except = true, timeout = 0 }))))
    assert.equal("ETIMEDOUT", (select(3, q:receive(-4, 0))))
    assert.same({ "message 5", 5 }, { q:receive(math.mininteger) })
  end)

  it("leaves what has more bytes than max, unless it is to be cut", function()
    local q = new()
    assert(q:send(7, "12345678"))
    assert(q:send(1, ("y"):rep(100)))
    assert.same(failure(q, "receive", "message too large (it has 8 bytes, max is 4)", "E2BIG"), { q:receive(0, { max = 4 }) })
    assert.same(failure(q, "receive", "message too large (it has 100 bytes, max is 4)", "E2BIG"),
      { q:receive(-9, { max = 4 }) })
    assert.same(failure(q, "receive", "message too large (it has 100 bytes, max is 99)", "E2BIG"),
      { q:receive(7, { max = 99, except = true }) })
    assert.equal(2, q:stat().qnum)
    assert.same({ "1234", 7 }, { q:receive(0, { max = 4, truncate = true }) })
    assert.same({ "", 1 }, { q:receive(0, { max = 0, truncate = true }) })
    assert(q:send(1, "12345678"))
    assert.same({ "12345678", 1 }, { q:receive(0, { max = 8 }) })
    assert.equal(0, q:stat().qnum)
  end)

  it("copies a message by its place and leaves it", function()
    local q = new()
    fill(q, { 5, 3 })
    assert(q:send(4, ("z"):rep(8000)))
    assert.same({ "message 2", 3 }, { q:copy(2) })
    assert.same({ "message 1", 5 }, { q:copy(1) })
    assert.same({ ("z"):rep(8000), 4 }, { q:copy(3) })
    assert.same(failure(q, "copy", "No message of desired type", "ENOMSG"), { q:copy(4) })
    assert.equal(3, q:stat().qnum)
    assert.same({ "message 1", 5 }, { q:receive(0) })
  end)

  it("says where a kernel has no copying", function()
    -- CONFIG_CHECKPOINT_RESTORE off: strace answers in the kernel's place
    local out = support.strace("-f -o /dev/null -e inject=msgrcv:error=ENOSYS", [[
      local q <close> = ipc.sysv.msg.open("private", { unlink = true })
      print((select(2, q:copy(1))))]])
    assert.matches(": Function not implemented %(the kernel was built without CONFIG_CHECKPOINT_RESTORE%)\n$", out)
  end)

  it("tells what the kernel knows of it", function()
    local q = new(support.key(), { mode = 432 }) -- 0660
    local before = os.time()
    fill(q, { 1, 1 })
    q:receive(0)
    local s = assert(q:stat())
    local uid = probe.getuid()
    assert.same({ "sysv message queue", q:key(), q:id(), 432, uid, uid }, { s.type, s.key, s.id, s.mode, s.uid, s.cuid })
    assert.same({ 1, 9, probe.getpid(), probe.getpid() }, { s.qnum, s.cbytes, s.lspid, s.lrpid })
    for _, when in ipairs { "stime", "rtime", "ctime" } do assert.is_true(s[when] >= before - 1, when) end
    assert.is_true(q:set { qbytes = 1000, mode = 384 })
    assert.same({ 1000, 384, uid }, { q:stat().qbytes, q:stat().mode, q:stat().uid })
    assert.is_true(q:set {})
    assert.equal(1000, q:stat().qbytes)
  end)

  it("is there for those who know its key or its number, until it is removed", function()
    local key = support.key()
    assert.same({ nil, ("sysv.msg.open key 0x%08x: No such file or directory"):format(key), "ENOENT" }, { msg.open(key) })
    local q = assert(msg.open(key, { create = true }))
    assert.equal(384, q:stat().mode)
    assert.same({ nil, ("sysv.msg.open key 0x%08x: File exists"):format(key), "EEXIST" },
      { msg.open(key, { create = true, exclusive = true }) })
    assert(q:send(1, "stays"))
    assert.is_true(q:close())
    local again = assert(msg.open(key, { create = true, unlink = true })) -- it made nothing
    again:close()
    again = assert(msg.open(key))
    assert.equal("stays", (again:receive(1, 0)))
    local id = again:id()
    assert.is_true(again:remove())
    assert.matches("closed", tostring(again))
    assert.is_true(again:close())
    assert.error_matches(function() again:remove() end, "closed sysv.msg")
    assert.same({ nil, ("sysv.msg.fromid id %d: Invalid argument"):format(id), "EINVAL" }, { msg.fromid(id) })
  end)

  it("with unlink is removed on close and collection, by the process that made it", function()
    local key = support.key()
    local out = peer.run([[
      local probe = require "support.probe"
      local q = ipc.sysv.msg.open(tonumber(arg[1]), { create = true, unlink = true })
      local me = probe.getpid()
      probe.forkhere()
      if probe.getpid() ~= me then q:close() os.exit(0, true) end
      probe.waitall()
      print(#assert(ipc.sysv.list "msg") > 0, (ipc.sysv.msg.open(q:key())))
      q = nil
      collectgarbage()
      print((select(3, ipc.sysv.msg.open(tonumber(arg[1])))))]], key)
    assert.matches("^true\tlipc.sysv.msg key 0x%x+, id %d+ %(open%)\nENOENT\n$", out)
  end)

  it("speaks of a queue that is gone as removed", function()
    local q = new()
    local other = assert(msg.fromid(q:id()))
    assert(q:send(1, "lost"))
    local text, code = "Identifier removed", "EIDRM"
    q = other
    local gone = failure
    assert(open[1]:remove())
    assert.same(gone(q, "receive", text, code), { q:receive(0) })
    assert.same(gone(q, "receive", text, code), { q:receive(0, { max = 10 }) })
    assert.same(gone(q, "send", text, code), { q:send(1, "x") })
    assert.same(gone(q, "copy", text, code), { q:copy(1) })
    assert.same(gone(q, "stat", text, code), { q:stat() })
    assert.same(gone(q, "set", text, code), { q:set { qbytes = 10 } })
    local expected = gone(q, "remove", text, code)
    assert.same(expected, { q:remove() })
    assert.matches("closed", tostring(q))
  end)

  it("refuses misuse", function()
    local q = new()
    assert.error_matches(function() q:send() end, "#1 .*number expected, got nil")
    assert.error_matches(function() q:send(0, "x") end, "#1 .*type must be at least 1")
    assert.error_matches(function() q:send("one", "x") end, "#1 .*number expected")
    assert.error_matches(function() q:send(1.5, "x") end, "#1 .*no integer representation")
    assert.error_matches(function() q:send(1) end, "#2 .*string expected, got nil")
    assert.error_matches(function() q:send(1, {}) end, "#2 .*string expected, got table")
    assert.error_matches(function() q:send(1, "x", "soon") end, "#3 .*timeout in seconds")
    assert.error_matches(function() q:receive "first" end, "#1 .*number expected")
    assert.error_matches(function() q:receive(0, "x") end, "timeout in seconds expected")
    assert.error_matches(function() q:receive(0, { except = true }) end, "option 'except' needs a type of at least 1")
    assert.error_matches(function() q:receive(0, { truncate = true }) end, "option 'truncate' needs 'max'")
    assert.error_matches(function() q:receive(0, { max = -1 }) end, "option 'max': %-1 is out of range")
    assert.error_matches(function() q:receive(0, { timeout = -1 }) end, "option 'timeout'")
    assert.error_matches(function() q:receive(0, { size = 1 }) end, "unknown option 'size'")
    assert.error_matches(function() q:copy(0) end, "#1 .*index is out of range")
    assert.error_matches(function() q:set() end, "#1 .*table expected")
    assert.error_matches(function() q:set { uid = -1 } end, "option 'uid'")
    assert.error_matches(function() q:set { qbytes = "many" } end, "option 'qbytes': integer expected, got string")
    assert.error_matches(function() q:set { qbytes = 1 << 32 } end, "option 'qbytes': 4294967296 is out of range")
    assert.error_matches(function() q:set { key = 1 } end, "unknown option 'key'")
    for _, what in ipairs { "fd", "pollfd", "detach" } do
      assert.error_matches(function() q[what](q) end, "has no descriptor")
    end
    assert.error_matches(function() q.send(io.stdout, 1, "x") end, "lipc.sysv.msg expected")
    q:close()
    assert.error_matches(function() q:send(1, ("x"):rep(100000)) end, "closed sysv.msg")
  end)
end)

describe("sysv.msg and programs that were not written here", function()
  local key, q
  before_each(function()
    key = support.key()
    q = assert(msg.open(key, { create = true, exclusive = true, unlink = true }))
  end)
  after_each(function() q:close() end)

  it("takes from C and from Python what they sent, to the byte", function()
    support.twin("send", key, 17, "from C")
    support.python("sysv_ipc.MessageQueue(int(sys.argv[1])).send(b'a\\0b', type=9)", key)
    assert.equal(9, q:stat().cbytes) -- no type in there
    assert.same({ "from C", 17 }, { q:receive(0, 0) })
    assert.same({ "a\0b", 9 }, { q:receive(0, 0) })
  end)

  it("gives to C and to Python what it sent, to the byte", function()
    assert(q:send(17, "to C"))
    assert(q:send(9, "to\0Python"))
    assert.equal("17 4 to C\n", support.twin("receive", key, 17, 4))
    assert.equal("(b'to\\x00Python', 9)\n", support.python("print(sysv_ipc.MessageQueue(int(sys.argv[1])).receive(type=-9))", key))
  end)

  it("opens what Python made, by key and by number", function()
    q:remove()
    local out = support.python([[
q = sysv_ipc.MessageQueue(int(sys.argv[1]), sysv_ipc.IPC_CREX, mode=0o600, max_message_size=8192)
q.send(b"x" * 8192, type=2**31 - 1)
print(q.id)]], key)
    local theirs <close> = assert(msg.open(key))
    assert.equal(out, theirs:id() .. "\n")
    local data, type = theirs:receive(0)
    assert.same({ 8192, 0x7fffffff }, { #data, type })
    assert(theirs:remove())
    q = theirs
  end)

  it("takes over a queue of ipcmk, which ipcrm removes", function()
    local id = tonumber(support.output "ipcmk -Q -p 0600":match "(%d+)%s*$")
    local made <close> = assert(msg.fromid(id))
    assert(made:send(1, "x"))
    assert.equal("x", (made:receive(0)))
    assert.equal(made:key(), support.byid "msg"[id].key)
    support.output("ipcrm -q " .. id)
    assert.equal("EIDRM", (select(3, made:receive(0))))
  end)

  it("shows the type counted in the size by mistake", function()
    support.twin("mistake", key, 1, "hello")
    local data = q:receive(1)
    assert.equal(13, #data)
    assert.equal("hello\0\0\0\0\0\0\0\0", data)
    support.twin("mistake", key, 1, "hello")
    assert.matches("it has 13 bytes, max is 5", (select(2, q:receive(1, { max = 5 }))))
  end)

  -- Pushing a string runs finalisers.
  describe("a finaliser inside its own receive", function()
    local function run(what)
      local inner, got, doubled = nil, {}, 0
      local mt = { __gc = function() inner = inner or select(2, pcall(what)) end }
      for i = 1, 500 do
        if pcall(q.id, q) == false then q = assert(msg.open("private", { unlink = true })) end
        local text = ("%06d"):format(i) .. ("x"):rep(4000)
        pcall(q.send, q, 1, text)
        for _ = 1, 5 do setmetatable({}, mt) end
        inner = nil
        local ok, data = pcall(q.receive, q, 0, 0)
        for _, one in ipairs { ok and data or "", inner } do
          local number = tostring(one):match "^%d%d%d%d%d%d"
          if number and got[number] then doubled = doubled + 1 end
          if number then got[number] = true end
        end
      end
      collectgarbage() -- a finaliser that is left would get at the queue of the next test
      collectgarbage()
      return doubled
    end
    it("gets no message that is on its way", function()
      assert.equal(0, run(function() return q:receive(0, 0) end))
    end)
    it("may close it", function()
      assert.equal(0, run(function() return q:close() end))
    end)
  end)
end)
