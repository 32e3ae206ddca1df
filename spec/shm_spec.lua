-- Shared memory objects: named, anonymous, received; sizes, seals, names, permissions, misuse.
local ipc = require "lipc"
local bad = require "support.misuse"
local hoststate = require "support.hoststate"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"

local shm = ipc.shm
local valgrind = os.getenv "LIPC_SPEC_MODE" == "valgrind" -- which knows no pidfd: no process.fork

describe("shm", function()
  local name, path

  before_each(function()
    name = "/" .. names.new()
    path = "/dev/shm" .. name
  end)
  after_each(function() shm.unlink(name) end)

  local function there() return (os.rename(path, path)) ~= nil end

  it("is made whole, opened, read, written and removed", function()
    local a = assert(shm.open(name, { create = true, size = 5000, mode = 0x1b0 }))
    assert.same({ 5000, 5000, ("\0"):rep(5000) }, { #a, a:size(), a:read(0, 5000) })
    local b = assert(shm.open(name))
    assert.equal(5000, #b)
    assert.is_true(a:write(4995, "hello"))
    assert.equal("hello", b:read(4995, 5))
    b:view "i32"[1] = 77
    assert.equal(77, a:view "i32"[1])
    assert.matches("^lipc.shm " .. name:gsub("%-", "%%-") .. " %(fd %d+%)$", tostring(a))
    assert.is_true(a:close())
    assert.is_true(shm.unlink(name))
    assert.is_false(there())
    assert.equal("hello", b:read(4995, 5)) -- who has it, has it
    assert.same({ nil, ("shm.unlink %s: No such file or directory"):format(name), "ENOENT" }, { shm.unlink(name) })
    assert.equal("ENOENT", select(3, shm.open(name)))
    b:close()
    assert.error_matches(function() b:read(0, 1) end, "closed shm")
  end)

  it("tells what it is", function()
    local s <close> = assert(shm.open(name, { create = true, size = 100, unlink = true }))
    local st = s:stat()
    assert.same({ "shm", name, 100, 100, 0, tonumber("600", 8) }, { st.type, st.name, st.size, st.filesize, st.offset, st.mode })
    assert.same({ false, false, true, false }, { st.readonly, st.private, st.guard, st.lost })
    assert.same({ "seal" }, st.seals) -- it can take none
    assert.equal(tonumber("2000002", 8), peer.fdflags(s:fd()) & tonumber("2000003", 8)) -- close-on-exec, read and write
  end)

  it("maps the part that is asked for, and no more than there is", function()
    local s <close> = assert(shm.open(name, { create = true, size = 1000, unlink = true }))
    local part <close> = assert(shm.open(name, { size = 10 }))
    assert.equal(10, #part)
    assert.error_matches(function() part:read(8, 3) end, "3 bytes from offset 8 on are out of bounds %(10 bytes%)")
    local same <close> = assert(shm.open(name, { create = true, size = 1000 }))
    assert.equal(1000, #same)
    assert.same({ nil, ("shm.open %s: Invalid argument (size is 1000, 1001 asked for)"):format(name),
      "EINVAL" }, { shm.open(name, { create = true, size = 1001 }) })
    assert.same({ nil, ("shm.open %s: File exists"):format(name), "EEXIST" },
      { shm.open(name, { create = true, exclusive = true, size = 10 }) })
    assert.equal(1000, s:stat().filesize)
  end)

  it("refuses to write to what is read-only", function()
    local s <close> = assert(shm.open(name, { create = true, size = 100, unlink = true }))
    s:write(0, "there")
    local r <close> = assert(shm.open(name, { readonly = true }))
    assert.equal("there", r:read(0, 5))
    assert.error_matches(function() r:write(0, "x") end, "mapping is read%-only")
    assert.error_matches(function() r:view "u8"[1] = 1 end, "read%-only")
    assert.equal("there", s:read(0, 5))
  end)

  it("has objects of 0 bytes, of one, and of a page and one", function()
    local page = 4096
    for _, size in ipairs { 0, 1, page - 1, page, page + 1 } do
      local s <close> = assert(shm.open(name, { create = true, size = size, unlink = true }))
      assert.same({ size, size, size }, { #s, s:stat().size, s:stat().filesize })
      assert.equal("", s:read(size, 0))
      assert.error_matches(function() s:read(size, 1) end, "out of bounds")
      assert.error_matches(function() s:write(size, "x") end, "out of bounds")
      if size > 0 then assert.is_true(s:write(size - 1, "x")) end
      local again <close> = assert(shm.open(name))
      assert.equal(size, #again)
      for _, method in ipairs { "sync", "lock", "unlock" } do assert.is_true(s[method](s)) end
      assert.is_true(s:advise "willneed")
    end
  end)

  it("calls init before anybody can see it", function()
    local seen
    local s <close> = assert(shm.open(name, { create = true, size = 100, unlink = true, init = function(m)
      seen = there()
      assert.equal(100, #m)
      m:write(0, "whole")
    end }))
    assert.is_false(seen)
    assert.equal("whole", s:read(0, 5))
    local never <close> = assert(shm.open(name, { create = true, size = 100, init = function() error "is there" end }))
    assert.equal("whole", never:read(0, 5))
  end)

  it("leaves nothing when init fails or closes it", function()
    local before = hoststate.before()
    assert.error_matches(function()
      shm.open(name, { create = true, size = 100, unlink = true, init = function() error "no" end })
    end, "no$")
    assert.error_matches(function()
      shm.open(name, { create = true, size = 100, unlink = true, init = function(m) m:close() end })
    end, "option 'init': it has closed the mapping")
    assert.is_false(there())
    collectgarbage()
    local after = hoststate.take()
    assert.same({ before.descriptor, before.mapping, before.signal }, { after.descriptor, after.mapping, after.signal })
  end)

  it("is one object when many make it at once", function()
    local script = [[
      local s = assert(ipc.shm.open(arg[1], { create = true, size = 8, init = function(m) m:view "i64"[1] = 1000 end }))
      s:view "i64":add(1, 1)
      local ok, _, code = ipc.shm.open(arg[1], { create = true, exclusive = true, size = 8 })
      assert(not ok and code == "EEXIST")
    ]]
    for _ = 1, 5 do
      local list = {}
      for i = 1, 6 do list[i] = peer.lua(script, name) end
      for _, p in ipairs(list) do
        assert.equal("", p:read "a")
        assert.is_true(p:close())
      end
      local s <close> = assert(shm.open(name))
      assert.equal(1006, s:view "i64"[1])
      shm.unlink(name)
    end
  end)

  it("leaves nothing of a maker that is killed", function()
    local p = peer.lua([[
      ipc.shm.open(arg[1], { create = true, size = 1 << 20, init = function()
        ipc.signal.raise "SIGKILL"
      end })]], name)
    p:read "a"
    p:close()
    assert.is_false(there())
    assert.equal("ENOENT", select(3, shm.open(name)))
  end)

  it("unlinks what it has made, and nothing else", function()
    if valgrind then return pending "valgrind knows no pidfd" end
    local a = assert(shm.open(name, { create = true, size = 1, unlink = true }))
    local b = assert(shm.open(name, { create = true, size = 1, unlink = true })) -- it has made nothing
    b:close()
    assert.is_true(there())
    assert(ipc.process.fork(function() a:close() end)):wait(60)
    assert.is_true(there())
    shm.unlink(name)
    assert(shm.open(name, { create = true, size = 1 })):close()
    a:close()
    assert.is_true(there()) -- another one of that name
    local c = assert(shm.open("/" .. names.new(), { create = true, size = 1, unlink = true }))
    local cname = c:stat().name
    local fd = c:detach() -- given away: it stays
    assert.is_true(shm.unlink(cname))
    probe.close(fd)
  end)

  it("follows the umask, and says who may not", function()
    local before = probe.umask(tonumber("027", 8))
    local s <close> = assert(shm.open(name, { create = true, size = 1, mode = tonumber("666", 8), unlink = true }))
    probe.umask(before)
    assert.equal(tonumber("640", 8), s:stat().mode)
    if probe.getuid() == 0 then
      assert(os.execute("chmod 644 " .. path))
      local file = names.path ".lua"
      local f = assert(io.open(file, "w"))
      f:write([[
        local ipc = require "lipc"
        print(select(3, ipc.shm.open(arg[1])), assert(ipc.shm.open(arg[1], { readonly = true })):size())
        print(select(3, ipc.shm.unlink(arg[1])))]])
      f:close()
      local p = peer.sh(("setpriv --reuid=65534 --clear-groups --bounding-set=-all --inh-caps=-all %s %s %s 2>&1"):format(
        os.getenv "LUA", file, name))
      local out = p:read "a"
      p:close()
      os.remove(file)
      -- another user may be unable to reach this tree at all
      if out:find "cannot open" or out:find "not found" then return end
      assert.matches("^EACCES\t1\nE%u+\n$", out)
    end
  end)

  it("refuses what is no regular file", function()
    for command, expected in pairs {
      ["mkdir %s"] = { "Is a directory", "EISDIR" },
      ["mkfifo %s"] = { "Invalid argument (it is no regular file)", "EINVAL" },
      ["ln -s /etc/passwd %s"] = { "Too many levels of symbolic links (symbolic links are not followed)", "ELOOP" },
    } do
      assert(os.execute(command:format(path)))
      for _, opts in ipairs { {}, { create = true, size = 10 }, { readonly = true } } do
        assert.same({ nil, ("shm.open %s: %s"):format(name, expected[1]), expected[2] }, { shm.open(name, opts) })
      end
      assert.equal("EEXIST", select(3, shm.open(name, { create = true, exclusive = true, size = 10 })))
      os.remove(path)
    end
  end)

  it("refuses misuse", function()
    for text, why in pairs {
      ["x"] = "must begin with '/'", [""] = "empty string", ["/"] = "nothing behind the '/'", ["/a/b"] = "no other '/'",
      ["/a\0b"] = "contains zeros", ["/" .. ("n"):rep(256)] = "too long %(at most 255 bytes",
    } do
      bad("#1.*" .. why, shm.open, text)
      bad("#1.*" .. why, shm.unlink, text)
    end
    bad("unknown option 'perm'", shm.open, name, { perm = 1 })
    bad("unknown option 'offset'", shm.open, name, { offset = 1 })
    bad("option 'size' is needed to create", shm.open, name, { create = true })
    bad("'exclusive' needs 'create'", shm.open, name, { exclusive = true })
    bad("'unlink' needs 'create'", shm.open, name, { unlink = true })
    bad("'init' needs 'create'", shm.open, name, { init = print })
    bad("'init': function expected, got number", shm.open, name, { create = true, size = 1, init = 1 })
    bad("'create' needs a mapping that is shared and not read%-only", shm.open, name,
      { create = true, size = 1, readonly = true })
    bad("'size': %-1 is out of range", shm.open, name, { size = -1 })
    bad("'size': integer expected", shm.open, name, { size = "1" })
    bad("#1.*table expected", shm.anonymous, 100)
    bad("#1.*option 'size' is needed", shm.anonymous, {})
    bad("#1.*unknown option 'unlink'", shm.anonymous, { size = 1, unlink = true })
    bad("#1.*'name': it is too long", shm.anonymous, { size = 1, name = ("n"):rep(250) })
    local s <close> = assert(shm.open(name, { create = true, size = 100, unlink = true }))
    bad("#2.*offset %-1 is out of bounds", s.read, s, -1, 1)
    bad("#3.*must not be negative", s.read, s, 0, -1)
    bad("#3.*101 bytes from offset 0 on", s.read, s, 0, 101)
    bad("#3.*out of bounds", s.read, s, 1, math.maxinteger)
    bad("#3.*out of bounds", s.write, s, 99, "xy")
    bad("lipc.shm expected", s.resize, io.stdout)
    bad("#2.*out of range", s.resize, s, -1)
    bad("#2.*number expected", s.resize, s, "much")
    bad("#2.*invalid option 'sometimes'", s.advise, s, "sometimes")
    bad("#3.*offset is out of bounds", s.advise, s, "normal", 101)
    bad("#4.*out of bounds", s.advise, s, "normal", 100, 1)
    bad("unknown option 'now'", s.sync, s, { now = true })
    bad("invalid option 'open'", s.seal, s, "open")
    bad("#2.*string expected", s.seal, s)
    bad("#1.*descriptor number expected, got a Lua file", shm.fromfd, io.stdout)
    bad("#1.*its detach%(%) gives the number away", shm.fromfd, s)
    bad("#1.*descriptor 9999 is not open", shm.fromfd, 9999)
    local r, w = assert(ipc.pipe.open())
    bad("#1.*neither file nor shared memory object", shm.fromfd, r:fd())
    r:close()
    w:close()
    s:close()
    for _, method in ipairs { "size", "read", "write", "view", "sync", "advise", "lock", "unlock", "resize", "stat", "seal", "fd" } do
      bad("closed shm", s[method], s, "normal", 0)
    end
    bad("closed shm", function() return #s end)
  end)

  describe("resize", function()
    it("grows and shrinks the object, and views follow", function()
      local a <close> = assert(shm.open(name, { create = true, size = 100, unlink = true }))
      local b <close> = assert(shm.open(name))
      local whole, first = b:view "u8", a:view("u8", 0, 100)
      assert.is_true(a:write(99, "x"))
      assert.is_true(a:resize(1 << 20))
      assert.same({ 1 << 20, 1 << 20, 100 }, { #a, b:stat().filesize, #b })
      assert.is_true(a:write((1 << 20) - 3, "end"))
      assert.is_true(b:resize()) -- follows
      assert.equal("end", b:read((1 << 20) - 3, 3))
      assert.equal(("x"):byte(), whole[100])
      assert.is_true(b:resize(200000)) -- shorter for both
      assert.equal(200000, a:stat().filesize)
      assert.error_matches(function() b:read(200000, 1) end, "out of bounds")
      assert.error_matches(function() a:read(300000, 1) end, "lost mapping")
      assert.is_true(b:resize(50))
      assert.error_matches(function() return whole[51] end, "bounds")
      assert.is_true(b:resize(0))
      assert.same({ 0, 0 }, { #b, b:stat().filesize })
      assert.is_true(b:resize(10))
      assert.equal(("\0"):rep(10), b:read(0, 10))
      assert.equal(100, #first)
    end)

    it("never makes an object shorter that somebody else has made longer", function()
      local a <close> = assert(shm.open(name, { create = true, size = 100, unlink = true }))
      local b <close> = assert(shm.open(name))
      assert(b:resize(100000))
      b:write(99999, "x")
      assert(a:resize(200))
      assert.equal(100000, a:stat().filesize)
      assert.equal("x", b:read(99999, 1))
      local r <close> = assert(shm.open(name, { readonly = true }))
      assert.is_true(r:resize(10)) -- its mapping alone
      assert.equal(100000, a:stat().filesize)
      assert.same({ nil, ("shm:resize %s: Invalid argument (it has 100000 bytes, and this mapping cannot make it longer)")
        :format(name), "EINVAL" }, { r:resize(100001) })
    end)

    it("manages where parts have had their own advice or locks", function()
      local a <close> = assert(shm.open(name, { create = true, size = 10 * 4096, unlink = true }))
      assert.is_true(a:advise("random", 4096, 4096))
      assert.is_true(a:lock(3 * 4096, 1))
      a:write(5000, "kept")
      assert.is_true(a:resize(1 << 20))
      assert.equal("kept", a:read(5000, 4))
      assert.is_true(a:unlock())
      assert.is_true(a:resize(4097))
      assert.is_true(a:resize(10 * 4096))
      assert.equal(("\0"):rep(4), a:read(5000, 4))
    end)

    it("neither moves nor shrinks what somebody holds a lock in", function()
      local s <close> = assert(shm.anonymous { size = 1 << 20, seal = false })
      local m <close> = assert(ipc.sync.mutex(s, 0, { create = true }))
      assert(m:lock())
      assert.same({ nil, "shm:resize: Device or resource busy (locks in it keep it where it is)", "EBUSY" }, { s:resize(4096) })
      assert.equal("EBUSY", select(3, s:resize(0)))
      assert.equal("EBUSY", select(3, s:seal "write"))
      assert.same({ 1 << 20, 1 << 20 }, { #s, s:stat().filesize })
      local ok, message, code = s:resize(1 << 30) -- where there is room behind it, it may grow
      assert.is_truthy(ok or code == "EBUSY", message)
      assert.same({ ok and 1 << 30 or 1 << 20, ok and 1 << 30 or 1 << 20 }, { #s, s:stat().filesize })
      assert(m:unlock())
      assert.is_true(s:resize(1 << 21))
      assert.is_true(s:resize(4096))
      assert.is_true(m:lock())
      assert.is_true(m:unlock())
    end)

    it("keeps sizes that no system has out", function()
      local a <close> = assert(shm.open(name, { create = true, size = 10, unlink = true, reserve = false }))
      for _, size in ipairs { math.maxinteger, 1 << 62 } do
        local ok, message, code = a:resize(size)
        assert.is_nil(ok)
        assert.is_truthy(code == "EFBIG" or code == "ENOMEM" or code == "EINVAL", message)
        ok, message, code = shm.open("/" .. names.new(), { create = true, size = size, reserve = false, unlink = true })
        assert.is_nil(ok)
        assert.is_truthy(code == "EFBIG" or code == "ENOMEM" or code == "EINVAL", message)
        ok, message, code = shm.anonymous { size = size }
        assert.is_nil(ok)
        assert.is_truthy(code == "EFBIG" or code == "ENOMEM" or code == "EINVAL", message)
      end
      assert.equal(10, #a)
    end)

    it("raises no signal at RLIMIT_FSIZE", function()
      local file = peer.command([[
        local s = assert(ipc.shm.anonymous { size = 100 })
        print(s:resize(1 << 20))
        print(ipc.shm.open(arg[1], { create = true, size = 1 << 20 }))
        print(ipc.shm.open(arg[1], { create = true, size = 1 << 20, reserve = false }))]], name)
      local p = peer.sh("prlimit --fsize=65536 " .. file .. " 2>&1")
      local out = p:read "a"
      p:close()
      assert.equal(("nil\tshm:resize: File too large (RLIMIT_FSIZE is 65536: see ulimit -f)\tEFBIG\n"
        .. "nil\tshm.open NAME: File too large (RLIMIT_FSIZE is 65536: see ulimit -f)\tEFBIG\n"
        .. "nil\tshm.open NAME: File too large (RLIMIT_FSIZE is 65536: see ulimit -f)\tEFBIG\n"):gsub("NAME", name), out)
    end)
  end)

  it("names the limit of locked memory", function()
    if os.getenv "LIPC_SPEC_MODE" == "asan" then return end -- its mlock does nothing
    local file = peer.command [[
      local s = assert(ipc.shm.anonymous { size = 1 << 20 })
      print(s:lock())
      print(s:lock(0, 4096))]]
    local p = peer.sh("prlimit --memlock=65536 setpriv --bounding-set=-ipc_lock " .. file .. " 2>&1")
    local out = p:read "a"
    p:close()
    assert.equal("nil\tshm:lock: Cannot allocate memory (RLIMIT_MEMLOCK is 65536 bytes: see ulimit -l)\tENOMEM\ntrue\n", out)
  end)

  describe("anonymous", function()
    it("is inherited, sealed and has a name for people", function()
      if valgrind then return pending "valgrind knows no pidfd" end
      local s <close> = assert(shm.anonymous { size = 5000, name = "lipc-people" })
      assert.same({ 5000, "lipc-people" }, { #s, s:stat().name })
      assert.same({ "shrink" }, s:stat().seals)
      assert.matches("memfd:lipc%-people", probe.readlink("/proc/self/fd/" .. s:fd()))
      assert(ipc.process.fork(function() s:write(0, "from the child") end)):wait(60)
      assert.equal("from the child", s:read(0, 14))
      assert.same({ nil, "shm:resize lipc-people: Operation not permitted (it is sealed)", "EPERM" }, { s:resize(10) })
      assert.is_true(s:resize(6000))
      assert.is_true(s:seal "grow")
      assert.equal("EPERM", select(3, s:resize(7000)))
      assert.equal(6000, #s)
      assert.is_true(s:write(0, "x"))
    end)

    it("becomes read-only when writing is sealed", function()
      local s <close> = assert(shm.anonymous { size = 100 })
      local v = s:view "u8"
      s:write(0, "kept")
      assert.is_true(s:seal("write", "grow", "seal"))
      assert.equal("kept", s:read(0, 4))
      assert.error_matches(function() s:write(0, "x") end, "mapping is read%-only")
      assert.error_matches(function() v[1] = 1 end, "read%-only")
      assert.equal(("k"):byte(), v[1])
      assert.same({ "seal", "shrink", "grow", "write" }, s:stat().seals)
      assert.equal("EPERM", select(3, s:seal "future_write"))
      local f = assert(io.open("/proc/self/fd/" .. s:fd(), "r+"))
      f:setvbuf "no"
      assert.is_nil(f:write "x") -- nobody
      f:close()
      local t <close> = assert(shm.anonymous { size = 100 })
      local other <close> = assert(shm.fromfd(probe.dup(t:fd())))
      local ok, message, code = t:seal "write"
      assert.same({ nil, "EBUSY" }, { ok, code })
      assert.matches("mapped to write, by somebody else", message)
      assert.is_true(t:write(0, "still")) -- as before
      assert.equal("still", other:read(0, 5))
      local u <close> = assert(shm.anonymous { size = 100 })
      assert.is_true(u:seal "future_write")
      assert.is_true(u:write(0, "mine"))
      local reader <close> = assert(shm.fromfd(probe.dup(u:fd())))
      assert.is_true(reader:stat().readonly)
      assert.equal("mine", reader:read(0, 4))
      local named <close> = assert(shm.open(name, { create = true, size = 1, unlink = true }))
      ok, message, code = named:seal "shrink"
      assert.same({ nil, "EPERM" }, { ok, code })
      assert.matches("only objects of shm.anonymous take seals, until one is \"seal\"", message, 1, true)
    end)

    it("goes over a Unix socket", function()
      if valgrind then return pending "valgrind knows no pidfd" end
      local a, b = assert(ipc.socket.pair { type = "seqpacket" })
      local s <close> = assert(shm.anonymous { size = 4096 })
      s:write(0, "to the other")
      local p = assert(ipc.process.fork(function()
        local _, fds = assert(b:recvfds(10))
        local got = assert(shm.fromfd(fds[1]))
        assert(#got == 4096 and not got:stat().guard and got:read(0, 12) == "to the other")
        got:write(0, "and back    ")
        local small = assert(shm.fromfd(probe.dup(got:fd()), { size = 3, readonly = true }))
        assert(#small == 3 and not pcall(small.write, small, 0, "x"))
      end))
      assert(a:sendfds("x", { s }))
      assert.is_true(assert(p:wait(60)).ok)
      assert.equal("and back    ", s:read(0, 12))
      a:close()
      b:close()
    end)

    it("is guarded where nothing is sealed", function()
      local s <close> = assert(shm.anonymous { size = 100000, seal = false })
      local other <close> = assert(shm.fromfd(probe.dup(s:fd())))
      assert.is_true(other:stat().guard)
      assert.is_true(s:resize(10))
      assert.error_matches(function() other:read(50000, 1) end, "lost mapping")
    end)

    it("is taken over by its number, which stays the caller's when that fails", function()
      local s = assert(shm.anonymous { size = 100 })
      s:write(0, "given away")
      local fd = s:detach()
      assert.error_matches(function() s:read(0, 1) end, "closed shm")
      assert.same({ nil, ("shm.fromfd fd %d: Invalid argument (size is 100, 101 asked for)"):format(fd),
        "EINVAL" }, { shm.fromfd(fd, { size = 101 }) })
      local t <close> = assert(shm.fromfd(fd))
      assert.equal("given away", t:read(0, 10))
    end)
  end)

  it("unmaps at once: views raise, and nothing of it is left", function()
    local before = hoststate.before()
    local s = assert(shm.open(name, { create = true, size = 1 << 20, unlink = true }))
    local v = s:view "f64"
    v[1] = 1.5
    assert.is_true(s:close())
    assert.error_matches(function() return v[1] end, "closed")
    assert.error_matches(function() v[1] = 2 end, "closed")
    local after = hoststate.take()
    assert.same({ before.descriptor, before.mapping, before.signal }, { after.descriptor, after.mapping, after.signal })
  end)
end)
