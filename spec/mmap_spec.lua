-- Memory-mapped files: whole and in part, shared and private, made, grown, refused; and anonymous memory.
local ipc = require "lipc"
local bad = require "support.misuse"
local hoststate = require "support.hoststate"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"

local mmap = ipc.mmap
local valgrind = os.getenv "LIPC_SPEC_MODE" == "valgrind" -- which knows no pidfd: no process.fork

describe("mmap", function()
  local path

  before_each(function() path = names.path ".map" end)
  after_each(function() os.remove(path) end)

  local function write(text)
    local f = assert(io.open(path, "wb"))
    f:write(text)
    f:close()
  end

  local function contents()
    local f <close> = assert(io.open(path, "rb"))
    return f:read "a"
  end

  it("maps a whole file, and writes to it", function()
    write "hello, world"
    local m <close> = assert(mmap.open(path))
    assert.same({ 12, "hello, world" }, { #m, m:read(0, 12) })
    assert.is_true(m:write(7, "there"))
    assert.equal("hello, there", contents())
    local u = m:view "u8"
    u[1] = ("J"):byte()
    assert.equal("Jello, there", contents())
    assert.error_matches(function() m:read(12, 1) end, "out of bounds %(12 bytes%)")
    assert.matches("^lipc.mmap " .. path:gsub("%p", "%%%0") .. " %(fd %d+%)$", tostring(m))
    local p = peer.sh(("printf X | dd of=%s bs=1 seek=1 conv=notrunc 2>/dev/null"):format(path))
    p:close()
    assert.equal("JX", m:read(0, 2)) -- what others write to the file is seen
    local st = m:stat()
    assert.same({ "mmap", path, 12, 12, 0, false, false, true, false },
      { st.type, st.name, st.size, st.filesize, st.offset, st.readonly, st.private, st.guard, st.lost })
  end)

  it("maps a part, at whatever offset", function()
    write(("x"):rep(10000) .. "0123456789" .. ("y"):rep(10000))
    for _, opts in ipairs {
      { offset = 10000, size = 10 }, { offset = 10000 }, { offset = 4096, size = 8192 }, { offset = 4095, size = 2 },
      { offset = 20009 }, { offset = 20010 }, { offset = 5, size = 0 }, { size = 10001 },
    } do
      local m <close> = assert(mmap.open(path, opts))
      local whole = contents()
      local first = opts.offset or 0
      local expected = whole:sub(first + 1, opts.size and first + opts.size or -1)
      assert.equal(#expected, #m)
      assert.equal(expected, m:read(0, #m))
      assert.error_matches(function() m:read(#m, 1) end, "out of bounds")
      assert.error_matches(function() m:write(#m, "x") end, "out of bounds")
      if #m > 0 then m:write(#m - 1, "z") end
      assert.is_true(m:sync())
      assert.is_true(m:sync { async = true })
      assert.is_true(m:sync(0, #m))
      assert.is_true(m:sync(#m, 0, { async = true }))
      assert.is_true(m:close())
    end
    local m <close> = assert(mmap.open(path, { offset = 10001, size = 2 }))
    m:write(0, "ab")
    assert.equal("zab3", contents():sub(10001, 10004))
    for _, opts in ipairs { { offset = 20011 }, { offset = 20000, size = 11 }, { size = 20011 },
      { offset = 1 << 62 }, { size = math.maxinteger }, { offset = math.maxinteger, size = math.maxinteger } } do
      local ok, message, code = mmap.open(path, opts)
      assert.is_nil(ok)
      assert.equal("EINVAL", code)
      local asked = (opts.offset and ("offset %d and "):format(opts.offset) or "") .. (opts.size or 0)
      assert.matches("size is 20010, " .. asked .. " asked for", message, 1, true)
    end
  end)

  it("keeps what is private from others", function()
    if valgrind then return pending "valgrind knows no pidfd" end
    write "the file's own"
    local p <close> = assert(mmap.open(path, { private = true }))
    assert(p:write(0, "THE"))
    assert.equal("THE file's own", p:read(0, 14))
    assert.equal("the file's own", contents())
    assert.is_true(p:sync())
    assert.equal("the file's own", contents())
    assert.is_true(p:stat().private)
    assert(ipc.process.fork(function() p:write(4, "copy") end)):wait(60)
    assert.equal("THE file's own", p:read(0, 14))
    assert.error_matches(function() p:advise "dontneed" end, "a private mapping would lose what was written to it")
    assert.is_true(p:resize(3))
    assert.is_true(p:resize(14))
    assert.same({ nil, ("mmap:resize %s: Invalid argument (it has 14 bytes, and this mapping cannot make it longer)")
      :format(path), "EINVAL" }, { p:resize(15) })
    assert.equal("THE", p:read(0, 3))
    assert.equal(14, #contents())
    assert(os.execute("chmod 400 " .. path)) -- read permission is enough
    local again <close> = assert(mmap.open(path, { private = true }))
    assert.is_true(again:write(0, "x"))
  end)

  it("refuses to write to what is read-only", function()
    write "fixed"
    local m <close> = assert(mmap.open(path, { readonly = true }))
    assert.equal("fixed", m:read(0, 5))
    assert.error_matches(function() m:write(0, "x") end, "mapping is read%-only")
    assert.error_matches(function() m:view "u8":fill(0) end, "read%-only")
    local g <close> = assert(mmap.fromfd(probe.dup(m:fd())))
    assert.is_true(g:stat().readonly) -- as the descriptor is
    assert.error_matches(function() g:write(0, "x") end, "mapping is read%-only")
    assert.equal("fixed", contents())
  end)

  it("makes files, whole or not at all", function()
    local seen
    local m <close> = assert(mmap.open(path, { create = true, size = 100, offset = 50, init = function(new)
      seen = io.open(path)
      new:write(0, "x")
    end }))
    assert.is_nil(seen)
    assert.equal(("\0"):rep(50) .. "x" .. ("\0"):rep(99), contents())
    assert.equal(tonumber("600", 8), m:stat().mode)
    assert.equal("EEXIST", select(3, mmap.open(path, { create = true, exclusive = true, size = 100 })))
    assert.equal("EINVAL", select(3, mmap.open(path, { create = true, size = 151 }))) -- it is there, and shorter
    assert.equal(100, #assert(mmap.open(path, { create = true, size = 100 })))
    os.remove(path)
    assert.has_error(function() mmap.open(path, { create = true, size = 100, init = function() error "no" end }) end)
    assert.is_nil(io.open(path))
    for wrong, code in pairs { ["/nowhere/at/all"] = "ENOENT", ["/etc/passwd/x"] = "ENOTDIR", ["/proc/x"] = "ENOENT" } do
      local ok, _, c = mmap.open(wrong, { create = true, size = 1 })
      assert.is_nil(ok)
      assert.is_truthy(c == code or c == "EOPNOTSUPP" or c == "EACCES", c)
    end
    collectgarbage()
    local cwd = path:match "^(.*)/"
    local here = probe.readlink "/proc/self/cwd"
    probe.chdir(cwd)
    finally(function() probe.chdir(here) end)
    local relative <close> = assert(mmap.open(path:match "[^/]+$", { create = true, size = 3 }))
    assert.equal(3, #relative)
    assert.equal(3, #contents())
  end)

  it("reserves room unless told not to", function()
    local function blocks()
      local p = peer.sh("stat -c %b " .. path)
      local n = p:read "n"
      p:close()
      return n
    end
    local m = assert(mmap.open(path, { create = true, size = 1 << 20 }))
    assert.is_true(blocks() * 512 >= 1 << 20)
    m:close()
    os.remove(path)
    m = assert(mmap.open(path, { create = true, size = 1 << 20, reserve = false }))
    assert.is_true(blocks() * 512 < 1 << 20)
    assert.is_true(m:resize(4 << 20))
    assert.is_true(blocks() * 512 < 1 << 20)
    assert.equal(4 << 20, #contents())
    m:close()
  end)

  it("grows the file, and never makes it shorter", function()
    write "short"
    local m <close> = assert(mmap.open(path))
    assert.is_true(m:resize(100000))
    assert.equal("short", m:read(0, 5))
    m:write(99999, "!")
    assert.equal("!", contents():sub(100000, 100000))
    assert.is_true(m:resize(5))
    assert.equal(100000, #contents())
    assert.error_matches(function() m:read(5, 1) end, "out of bounds")
    assert.is_true(m:resize())
    assert.equal(100000, #m)
    local tail <close> = assert(mmap.open(path, { offset = 99990 }))
    assert.is_true(tail:resize(20))
    tail:write(19, "?")
    assert.equal(100010, #contents())
    assert.is_true(tail:resize(0))
    assert.equal(0, #tail)
    assert.is_true(tail:resize())
    assert.equal("?", tail:read(19, 1))
  end)

  it("opens empty files, which grow", function()
    write ""
    local m <close> = assert(mmap.open(path))
    assert.same({ 0, "" }, { #m, m:read(0, 0) })
    assert.error_matches(function() m:read(0, 1) end, "1 bytes from offset 0 on are out of bounds %(0 bytes%)")
    assert.is_true(m:resize(10))
    m:write(0, "0123456789")
    assert.equal("0123456789", contents())
    assert.same({ "ENOENT", "EINVAL" }, { select(3, mmap.open(path .. ".none")), (select(3, mmap.open(path, { size = 11 }))) })
  end)

  it("refuses what cannot be mapped", function()
    assert.same({ nil, "mmap.open /etc: Is a directory", "EISDIR" }, { mmap.open("/etc", { readonly = true }) })
    assert.same({ nil, "mmap.open /dev/null: Invalid argument (it is no regular file)", "EINVAL" }, { mmap.open "/dev/null" })
    assert(ipc.fifo.make(path))
    assert.equal("EINVAL", select(3, mmap.open(path))) -- and does not wait
    os.remove(path)
    assert(os.execute("ln -s /etc/passwd " .. path))
    assert.same({ nil, ("mmap.open %s: Too many levels of symbolic links (symbolic links are not followed)"):format(path),
      "ELOOP" }, { mmap.open(path, { readonly = true }) })
    assert.equal("ENAMETOOLONG", select(3, mmap.open("/tmp/" .. ("n"):rep(300))))
    bad("empty string", mmap.open, "")
    bad("contains zeros", mmap.open, "a\0b")
    bad("unknown option 'unlink'", mmap.open, path, { unlink = true })
    bad("'create' needs a mapping that is shared", mmap.open, path, { create = true, size = 1, private = true })
    bad("'offset': %-1 is out of range", mmap.open, path, { offset = -1 })
    bad("unknown option 'create'", mmap.fromfd, 0, { create = true })
    bad("#1.*number expected", mmap.anonymous)
    bad("#1.*must be positive", mmap.anonymous, 0)
    bad("#1.*must be positive", mmap.anonymous, -1)
    bad("unknown option 'guard'", mmap.anonymous, 1, { guard = true })
  end)

  it("is larger than the address space only with an error", function()
    assert(os.execute("truncate -s 4T " .. path) or true)
    local f = io.open(path)
    local size = f and f:seek "end" or 0
    if f then f:close() end
    if size ~= 4 << 40 then write "" end -- this file system has no such files
    local file = peer.command([[print(ipc.mmap.open(arg[1], { guard = false }))]], path)
    local p = peer.sh("prlimit --as=2000000000 " .. file .. " 2>&1")
    local out = p:read "a"
    p:close()
    if size == 4 << 40 and os.getenv "LIPC_SPEC_MODE" == "plain" then
      assert.matches("^nil\tmmap.open [^\n]+: Cannot allocate memory %(.*vm.max_map_count.*%)\tENOMEM\n$", out)
    end
  end)

  it("takes all the advice", function()
    write(("x"):rep(100000))
    local m <close> = assert(mmap.open(path))
    for _, advice in ipairs { "normal", "random", "sequential", "willneed", "dontneed" } do
      assert.is_true(m:advise(advice))
      assert.is_true(m:advise(advice, 5000, 10))
    end
    for _, advice in ipairs { "hugepage", "nohugepage", "dontdump", "dodump", "cold", "pageout", "populate_read", "populate_write" } do
      local ok, message, code = m:advise(advice)
      assert.is_truthy(ok or code == "EINVAL", message) -- not in every kernel
    end
    assert.equal(("x"):rep(100000), m:read(0, 100000))
    m:write(0, "kept")
    assert.is_true(m:advise "dontneed")
    assert.equal("kept", m:read(0, 4))
    assert.is_true(m:lock(0, 1))
    assert.is_true(m:unlock(0, 1))
  end)

  describe("anonymous", function()
    it("is shared with forked children", function()
      if valgrind then return pending "valgrind knows no pidfd" end
      local m <close> = assert(mmap.anonymous(5000))
      assert.equal(("\0"):rep(5000), m:read(0, 5000))
      assert(ipc.process.fork(function() m:write(4990, "the child") end)):wait(60)
      assert.equal("the child", m:read(4990, 9))
      assert.error_matches(function() m:read(5000, 1) end, "out of bounds")
      assert.error_matches(function() m:fd() end, "has no descriptor")
      assert.error_matches(function() m:detach() end, "has no descriptor")
      assert.equal("lipc.mmap (open)", tostring(m))
      local st = m:stat()
      assert.same({ "mmap", 5000, false, false }, { st.type, st.size, st.guard, st.readonly })
      assert.is_nil(st.filesize)
    end)

    it("becomes smaller, and does not grow", function()
      local m <close> = assert(mmap.anonymous(100000))
      assert.is_true(m:resize(100))
      assert.is_true(m:resize())
      assert.equal(100, #m)
      assert.same({ nil, "mmap:resize: Operation not supported (anonymous mappings cannot grow: those of ipc.shm.anonymous can)",
        "ENOTSUP" }, { m:resize(101) })
      assert.is_true(m:write(99, "x"))
    end)

    it("is refused when there is too much of it", function()
      local m, message, code = mmap.anonymous(1 << 60)
      assert.is_nil(m)
      if not valgrind then -- which says EINVAL
        assert.matches("^mmap.anonymous: Cannot allocate memory %(.*vm.max_map_count", message)
        assert.equal("ENOMEM", code)
      end
      local lots <close> = assert(mmap.anonymous(1 << 30, { reserve = false }))
      assert.is_true(lots:write((1 << 30) - 1, "x"))
      local there <close> = assert(mmap.anonymous(1 << 20, { populate = true }))
      assert.equal("\0", there:read(0, 1))
    end)
  end)

  it("adopts descriptors, and gives them away", function()
    write "by its number"
    local m = assert(mmap.open(path))
    local fd = m:detach()
    assert.error_matches(function() m:read(0, 1) end, "closed mmap")
    local g = assert(mmap.fromfd(fd, { offset = 3, size = 3 }))
    assert.equal("its", g:read(0, 3))
    g:close()
    assert.error_matches(function() mmap.fromfd(fd) end, "descriptor %d+ is not open")
    assert.error_matches(function() mmap.fromfd "1" end, "number expected")
  end)

  it("leaves nothing", function()
    local before = hoststate.before()
    for _ = 1, 10 do
      local m = assert(mmap.open(path, { create = true, size = 100000 }))
      local v = m:view "u8"
      v[1] = 1
      mmap.open(path, { size = 1 << 40 })
      mmap.anonymous(100)
    end
    collectgarbage()
    collectgarbage()
    local after = hoststate.take()
    assert.same({ before.descriptor, before.mapping, before.signal }, { after.descriptor, after.mapping, after.signal })
  end)
end)
