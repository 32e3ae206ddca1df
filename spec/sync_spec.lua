-- What the types of sync have in common: places, names, headers; and semaphores placed in a mapping.
local ipc = require "lipc"
local bad = require "support.misuse"
local names = require "support.names"
local shared = require "support.shared"

local sync = ipc.sync

local kinds = { "mutex", "cond", "rwlock", "barrier", "once", "semaphore" }

local function options(kind, more)
  local o = { create = true, parties = kind == "barrier" and 2 or nil }
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

local function size(kind) return sync.sizeof(kind, { parties = kind == "barrier" and 2 or nil }) end

describe("sync", function()
  local map

  before_each(function() map = assert(ipc.mmap.anonymous(65536)) end)
  after_each(function() map:close() end)

  local function code(f, ...) return select(3, f(...)) end

  it("raises when the mapping has become read-only, sealed or attached anew", function()
    local use = { mutex = "lock", cond = "signal", rwlock = "rdlock", barrier = "wait", once = "done", semaphore = "post" }
    for _, kind in ipairs(kinds) do
      local sealed <close> = assert(ipc.shm.anonymous { size = 65536 })
      local segment <close> = assert(ipc.sysv.shm.open("private", { create = true, size = 65536, unlink = true }))
      assert(segment:attach())
      local one <close> = assert(sync[kind](sealed, 0, options(kind)))
      local two <close> = assert(sync[kind](segment, 0, options(kind)))
      assert(sealed:seal "write")
      assert(segment:detach() and segment:attach { readonly = true })
      for _, object in ipairs { one, two } do
        assert.error_matches(function() object[use[kind]](object) end, "the mapping is read%-only now")
      end
      assert.is_true(one:close() and two:close())
    end
  end)

  it("gives back what with holds when its coroutine is collected", function()
    local held = {
      mutex = function(o) o:with(coroutine.yield) end,
      once = function(o) o:call(coroutine.yield) end,
      rwlock = function(o) o:with("write", coroutine.yield) end,
    }
    local again = {
      mutex = function(o) return o:trylock() end,
      once = function(o) return o:call(function() end, 0) end,
      rwlock = function(o) return o:trywrlock() end,
    }
    local function abandon(f, o) assert(coroutine.resume(coroutine.create(f), o)) end
    for kind, f in pairs(held) do
      local one <close> = assert(sync[kind](map, 0, options(kind)))
      local two <close> = assert(sync[kind](map, 0))
      abandon(f, one)
      assert.equal("ETIMEDOUT", code(again[kind], two))
      collectgarbage()
      collectgarbage()
      assert.is_true(again[kind](two), kind)
      if kind == "rwlock" then
        assert(two:unlock())
        abandon(function(o) o:with("read", coroutine.yield) end, one)
        assert.equal("ETIMEDOUT", code(two.trywrlock, two))
        collectgarbage()
        collectgarbage()
        assert.is_true(two:trywrlock())
      end
      assert(two:close())
      map:write(0, ("\0"):rep(4096))
    end
  end)

  it("still holds, for its coroutine alone, what could not be given back at the end of with", function()
    local stays, ends = shared.staying(function() end)
    local word = map:view("u32", 0, 1)
    local rw <close> = assert(sync.rwlock(map, 0, { create = true }))
    coroutine.wrap(function() rw:with("write", function() word[1] = stays:pid() end) end)()
    word[1] = 0
    collectgarbage()
    collectgarbage()
    local function unlock() return code(rw.unlock, rw) end
    local others = {} -- one of them might get the address
    for i = 1, 1000 do others[i] = coroutine.create(unlock) end
    for i = 1, 1000 do assert.same({ true, "EPERM" }, { coroutine.resume(others[i]) }) end
    ends()
  end)

  it("does not say that something is done once whose object was closed inside", function()
    local one, two <close> = assert(sync.once(map, 0, { create = true })), assert(sync.once(map, 0))
    assert.equal("ECANCELED", code(one.call, one, function() one:close() end))
    assert.is_false(two:done())
    assert.same({ true, true }, { two:call(function() end) })
  end)

  it("makes each in zeroed memory, and opens what is there", function()
    for i, kind in ipairs(kinds) do
      local at = i * 4096
      assert.same({ nil, ("%s: No such file or directory (zeros, no %s: the option 'create' makes one)"):format(
        kind == "semaphore" and "semaphore.at" or "sync." .. kind, kind), "ENOENT" }, { sync[kind](map, at) })
      local made <close> = assert(sync[kind](map, at, options(kind, { exclusive = true })))
      assert.equal("EEXIST", code(sync[kind], map, at, options(kind, { exclusive = true })))
      local again <close> = assert(sync[kind](map, at, options(kind)))
      local opened <close> = assert(sync[kind](map, at))
      assert.matches("^lipc%..*" .. kind .. " %(open%)$", tostring(made))
      assert.equal(kind, opened:stat().type)
      if kind ~= "semaphore" then
        assert.equal(at, opened:stat().offset)
        assert.equal(size(kind), again:stat().size)
      end
    end
  end)

  it("takes no more room than sizeof says", function()
    for _, kind in ipairs(kinds) do
      local exact <close> = assert(ipc.mmap.anonymous(65536))
      local at = 65536 - (size(kind) + 7) // 8 * 8
      local made <close> = assert(sync[kind](exact, at, options(kind)))
      assert.is_truthy(made)
      assert.error_matches(function() sync[kind](exact, at + 8, options(kind)) end, "out of bounds")
    end
    assert.equal(sync.sizeof "rwlock", sync.sizeof("rwlock", { slots = 64 }))
    assert.is_true(sync.sizeof("rwlock", { slots = 65 }) > sync.sizeof "rwlock")
    assert.error_matches(function() sync.sizeof "barrier" end, "needs 'parties'")
    assert.error_matches(function() sync.sizeof("mutex", { slots = 3 }) end, "'slots' is for a rwlock")
    assert.error_matches(function() sync.sizeof "lock" end, "invalid option 'lock'")
  end)

  it("refuses what is not ours, and says what it is", function()
    local bytes = map:view("u8", 0, 4096)
    for _, kind in ipairs(kinds) do
      bytes:fill(0)
      assert(sync[kind](map, 0, options(kind))):close()
      for _, other in ipairs(kinds) do
        if other ~= kind then
          local _, message, errno = sync[other](map, 0)
          assert.equal("EPROTO", errno)
          assert.is_truthy(message:find("(a " .. kind .. " is there)", 1, true), message)
          assert.equal("EPROTO", code(sync[other], map, 0, options(other)))
        end
      end
      local words = map:view("u32", 0, 8)
      local magic = words[2]
      words[2] = magic + 1
      local _, message, errno = sync[kind](map, 0)
      assert.equal("EPROTO", errno)
      assert.is_truthy(message:find("what is there is no " .. kind, 1, true), message)
      words[2], words[4] = magic, 7
      assert.is_truthy(select(2, sync[kind](map, 0)):find("layout 7", 1, true))
      words[4] = 1
      for _, wrong in ipairs { 0, 1, 31, 65537, 1 << 40, -1 } do
        map:view("i64", 16, 1)[1] = wrong
        assert.equal("EPROTO", code(sync[kind], map, 0))
      end
    end
    for _, other in ipairs { "random bytes that are nothing at all", ("\xff"):rep(64), ("\0"):rep(8) .. "\1\1\1\1" } do
      bytes:fill(0)
      bytes:setstring(1, other)
      for _, kind in ipairs(kinds) do
        local before = bytes:string()
        assert.is_nil((sync[kind](map, 0)))
        if other:byte() ~= 0 then
          assert.equal("EPROTO", code(sync[kind], map, 0, options(kind)))
          assert.equal(before, bytes:string()) -- what is somebody else's is left alone
        end
      end
    end
  end)

  it("is made by one of those who make it at once", function()
    for _, kind in ipairs { "rwlock", "barrier", "once" } do
      local v = map:view("i64", 32768, 2)
      v[1], v[2] = 0, 0
      map:view("u8", 0, 16384):fill(0)
      local list = {}
      for i = 1, 6 do
        list[i] = shared.child(function()
          v:add(1, 1)
          while v[1] < 6 do ipc.sleep(0) end
          if sync[kind](map, 0, options(kind, { exclusive = true })) then v:add(2, 1) end
          assert(sync[kind](map, 0, options(kind)))
        end)
      end
      for _, p in ipairs(list) do shared.joined(p) end
      assert.equal(1, v[2])
    end
  end)

  it("refuses misuse", function()
    local file = names.path ".bin"
    assert(ipc.mmap.open(file, { create = true, size = 4096 })):close()
    local private <close> = assert(ipc.mmap.open(file, { private = true }))
    os.remove(file)
    for _, kind in ipairs(kinds) do
      local f = sync[kind]
      bad("#1.*mapping", f)
      bad("#1.*mapping", f, {})
      bad("#1.*private", f, private, 0, options(kind))
      bad("#2.*multiple of 8", f, map, 4)
      bad("#2.*negative", f, map, -8)
      bad("out of bounds", f, map, 65536)
      bad("out of bounds", f, map, math.maxinteger // 8 * 8)
      bad("#3.*unknown option 'colour'", f, map, 0, { colour = 1 })
      bad("#3.*'exclusive' needs 'create'", f, map, 0, { exclusive = true })
      bad("#2.*unknown option 'colour'", f, "/x", { colour = 1 })
      bad("#2.*table expected", f, "/x", 1)
      bad("name must begin", f, "x")
    end
    bad("needs 'parties'", sync.barrier, map, 0, { create = true })
    bad("needs 'parties'", sync.barrier, "/x", { create = true })
    bad("'parties': 0 is out of range", sync.barrier, map, 0, { create = true, parties = 0 })
    bad("'slots': 4097 is out of range", sync.rwlock, map, 0, { create = true, slots = 4097 })
    bad("'type': \"normal\"", sync.mutex, map, 0, { create = true, type = "fair" })
    bad("'raw' has none", sync.mutex, map, 0, { create = true, exclusive = true, raw = true })
    local closed = assert(ipc.mmap.anonymous(100))
    closed:close()
    bad("closed mmap", sync.mutex, closed, 0)
    local path = names.path ".bin"
    local f = assert(io.open(path, "w"))
    f:write(("\0"):rep(8192))
    f:close()
    local readonly <close> = assert(ipc.mmap.open(path, { readonly = true }))
    os.remove(path)
    bad("read%-only", sync.mutex, readonly, 0)
  end)

  it("lies in an object of its own, by name", function()
    for _, kind in ipairs(kinds) do
      local name = "/" .. names.new()
      assert.same({ nil, ("sync.%s %s: No such file or directory"):format(kind, name), "ENOENT" }, { sync[kind](name) })
      local made = assert(sync[kind](name, options(kind, { unlink = true, exclusive = true, mode = 384 })))
      assert.is_truthy(tostring(made):find(name, 1, true))
      assert.equal("EEXIST", code(sync[kind], name, options(kind, { exclusive = true })))
      local again = assert(sync[kind](name, options(kind)))
      local opened = assert(sync[kind](name))
      local other = kind == "once" and "cond" or "once"
      local _, message, errno = sync[other](name)
      assert.equal("EPROTO", errno)
      assert.is_truthy(message:find(("%s: Protocol error (a %s is there)"):format(name, kind), 1, true), message)
      opened:close()
      again:close()
      made:close()
      assert.equal("ENOENT", code(sync[kind], name))
      assert.matches("closed", tostring(made))
    end
  end)

  it("refuses an object of that name that is something else", function()
    local name = "/" .. names.new()
    for _, size_of_it in ipairs { 0, 16, 40 } do
      local object <close> = assert(ipc.shm.open(name, { create = true, size = size_of_it, unlink = true }))
      if size_of_it == 40 then object:write(0, ("x"):rep(40)) end
      for _, kind in ipairs(kinds) do
        assert.equal("EPROTO", code(sync[kind], name))
        local _, message, errno = sync[kind](name, options(kind))
        assert.equal("EPROTO", errno)
        if size_of_it == 16 then
          assert.is_truthy(message:find(("%s: Protocol error (its 16 bytes are too few for a %s)"):format(name, kind), 1, true))
        end
      end
    end
    local small <close> = assert(sync.once(name, { create = true, unlink = true }))
    assert.equal("once", small:stat().type)
    assert.same({ nil, ("sync.mutex %s: Protocol error (a once is there)"):format(name), "EPROTO" },
      { sync.mutex(name, { create = true }) })
  end)

  it("is made in an object of that name that somebody has made of zeros", function()
    for _, kind in ipairs(kinds) do
      local name = "/" .. names.new()
      local zeros <close> = assert(ipc.shm.open(name, { create = true, size = 4096, unlink = true }))
      assert.equal("ENOENT", code(sync[kind], name))
      local made <close> = assert(sync[kind](name, options(kind)))
      local there <close> = assert(sync[kind](name))
      assert.equal(made:stat().type, there:stat().type)
      assert.equal(4096, #zeros)
    end
  end)

  it("reports misuse where it is", function()
    for _, kind in ipairs(kinds) do
      for _, args in ipairs {
        { 1, 5 }, { 1, "x" }, { 2, map, 4 }, { 3, map, 0, { colour = 1 } }, { 2, "/x", { colour = 1 } },
        { 2, "/x", { create = true, parties = kind == "barrier" and 1 or nil, mode = "rw" } },
      } do
        local line
        local ok, err = pcall(function()
          line = debug.getinfo(1, "l").currentline + 1
          local lock = sync[kind](table.unpack(args, 2))
          return lock
        end)
        assert.is_false(ok)
        assert.is_truthy(err:find(("sync_spec.lua:%d: bad argument #%d to '%s' ("):format(line, args[1], kind), 1, true), err)
      end
    end
  end)

  it("raises when another process has cut off the file it lies in", function()
    local operations = {
      mutex = { "lock", "trylock" },
      rwlock = { "rdlock", "trywrlock" },
      barrier = { "wait" },
      cond = { "signal" },
    }
    for kind, names_of in pairs(operations) do
      for _, operation in ipairs(names_of) do
        local path = names.path ".bin"
        local f = assert(io.open(path, "w"))
        f:write(("\0"):rep(8192))
        f:close()
        local file <close> = assert(ipc.mmap.open(path))
        local o = assert(sync[kind](file, 0, options(kind)))
        assert(io.open(path, "w")):close() -- as a program that writes it anew does
        os.remove(path)
        assert.error_matches(function() o[operation](o, operation ~= "signal" and 0 or nil) end, "lost mapping")
        assert.error_matches(function() o[operation](o) end, "lost mapping")
        assert.is_true(o:close())
      end
    end
  end)

  it("tells a mutex's type", function()
    local m <close> = assert(sync.mutex(map, 0, { create = true, type = "recursive" }))
    assert.is_true(m:stat().recursive)
    local _, message, errno = sync.mutex(map, 0, { type = "normal" })
    assert.equal("EINVAL", errno)
    assert.is_truthy(message:find("type is recursive, normal asked for", 1, true))
    assert(sync.mutex(map, 0, { type = "recursive" })):close()
    assert.equal("EINVAL", code(sync.mutex, map, 0, { create = true, type = "errorcheck" }))
  end)

  describe("semaphore", function()
    it("counts between processes", function()
      local s <close> = assert(sync.semaphore(map, 0, { create = true, initial = 2 }))
      assert.same({ true }, { s:wait() })
      assert.equal(1, s:value())
      shared.joined(shared.child(function()
        assert(s:trywait())
        assert.equal("ETIMEDOUT", code(s.trywait, s))
        assert(s:post(3))
      end))
      assert.equal(3, s:value())
      assert.equal(9, s:with(function()
        assert.equal(2, s:value())
        return 9
      end))
      assert.equal(3, s:stat().value)
      local p = shared.child(function()
        for _ = 1, 4 do assert(s:wait(60)) end
      end)
      assert(s:post())
      shared.joined(p)
      assert.equal(0, s:value())
    end)

    it("is binary when asked, and begins where it is told", function()
      local s <close> = assert(sync.semaphore(map, 0, { create = true, initial = 1, binary = true }))
      assert.equal("EOVERFLOW", code(s.post, s))
      assert.error_matches(function() sync.semaphore(map, 128, { initial = 1 }) end, "needs 'create'")
      local again <close> = assert(ipc.semaphore.at(map, 0))
      assert(again:wait(0))
      assert.equal(0, s:value())
    end)

    it("is the sem_t of a program in C", function()
      local name = "/" .. names.new()
      local object <close> = assert(ipc.shm.open(name, { create = true, size = 4096, unlink = true }))
      for offset, raw in pairs { [64 + sync.NATIVE_OFFSET] = false, [64] = true } do
        local s <close> = assert(sync.semaphore(object, 64, { create = true, raw = raw or nil }))
        local p = assert(io.popen(("exec build/host/mutexpeer post %s %d"):format(name, offset)))
        assert.is_true(s:wait(60))
        assert.equal("posted\n", p:read "a")
        p:close()
        assert.equal(0, s:value())
      end
    end)

    it("gives back what with holds when its mapping goes, and raises afterwards", function()
      local name = "/" .. names.new()
      local one <close> = assert(ipc.shm.open(name, { create = true, size = 4096, unlink = true }))
      local two = assert(ipc.shm.open(name))
      local s <close> = assert(sync.semaphore(one, 0, { create = true, initial = 1 }))
      local t = assert(sync.semaphore(two, 0))
      t:with(function()
        assert.equal(0, s:value())
        assert(t:close())
        assert.equal(1, s:value())
      end)
      t = assert(sync.semaphore(two, 0))
      two:close()
      assert.error_matches(function() t:wait(0) end, "closed mapping")
      assert.is_true(t:close())
    end)
  end)
end)
