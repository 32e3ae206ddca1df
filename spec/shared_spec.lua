-- Values in shared memory: types, limits, processes, names, the lock.
local ipc = require "lipc"
local names = require "support.names"
local peer = require "support.peer"
local becoming = require("support.shared").becoming

local shared = ipc.shared

-- Runs fn in a forked child to its end.
local function child(fn)
  local p <close> = assert(ipc.process.fork(fn))
  return assert(p:wait(60))
end

describe("shared.value", function()
  local limits = {
    i8 = { -128, 127 }, u8 = { 0, 255 }, i16 = { -32768, 32767 }, u16 = { 0, 65535 },
    i32 = { -1 << 31, (1 << 31) - 1 }, u32 = { 0, (1 << 32) - 1 }, i64 = { math.mininteger, math.maxinteger },
  }

  for kind, limit in pairs(limits) do
    it("holds " .. kind .. " and nothing beside", function()
      local low, high = limit[1], limit[2]
      local v <close> = assert(shared.value(kind, low))
      assert.equal(low, v:get())
      assert.is_true(v:set(high))
      assert.equal(high, v:get())
      local sum, message, code = v:add(1)
      assert.is_nil(sum)
      assert.equal(("shared.value:add: Numerical result out of range (the sum is out of range for %s)"):format(kind), message)
      assert.equal("ERANGE", code)
      assert.equal(high, v:get())
      assert.equal(high - 2, v:add(-2))
      assert.is_true(v:set(low))
      assert.equal("ERANGE", select(3, v:add(-1)))
      assert.equal(low, v:get())
      assert.equal(low + 5, v:add(5.0))
      if kind ~= "i64" then
        assert.error_matches(function() v:set(high + 1) end, "#1.*" .. high + 1 .. " is out of range for " .. kind)
        assert.error_matches(function() v:set(low - 1) end, "out of range")
      end
      for _, bad in ipairs { 1.5, "1", true, {} } do
        assert.is_false((pcall(v.set, v, bad)))
        assert.is_false((pcall(v.add, v, bad)))
      end
      assert.error_matches(function() v:set() end, "#1.*number expected, got n")
      assert.equal(low + 5, v:get())
    end)
  end

  it("adds up u64 without sign", function()
    local v <close> = assert(shared.value("u64", math.maxinteger))
    assert.equal(math.mininteger, v:add(1)) -- the same bits
    assert.is_true(v:set(-1))
    assert.equal("ERANGE", select(3, v:add(1)))
    assert.equal(-3, v:add(-2))
    assert.is_true(v:set(1))
    assert.equal("ERANGE", select(3, v:add(-2)))
    assert.equal(1, v:get())
  end)

  it("holds floats, booleans and strings", function()
    local d <close> = assert(shared.value("f64", 0.1))
    assert.equal(0.1, d:get())
    assert.equal(0.1 + 0.2, d:add(0.2))
    assert.is_true(d:set(1))
    assert.equal("float", math.type(d:get()))
    assert.is_true(d:set(math.huge))
    assert.equal(math.huge, d:get())
    assert.is_true(d:set(0 / 0))
    assert.not_equal(d:get(), d:get())

    local f <close> = assert(shared.value("f32", 0.1))
    assert.equal(string.unpack("f", string.pack("f", 0.1)), f:get())
    assert.error_matches(function() f:set(1e39) end, "out of range for f32")
    assert.is_true(f:set(3e38))
    assert.equal("ERANGE", select(3, f:add(3e38)))

    local b <close> = assert(shared.value("bool", true))
    assert.is_true(b:get())
    assert.is_true(b:set(false))
    assert.is_false(b:get())
    assert.error_matches(function() b:set(0) end, "boolean expected")
    assert.error_matches(function() b:add(1) end, "a bool, which nothing is added to")
    assert.same({ n = 1, true }, table.pack(b:update(function(x) return not x end)))

    local s <close> = assert(shared.value("string", "abc", { capacity = 2000 }))
    assert.equal("abc", s:get())
    assert.is_true(s:set(("\0x"):rep(1000)))
    assert.equal(("\0x"):rep(1000), s:get())
    local ok, message, code = s:set(("y"):rep(2001))
    assert.is_nil(ok)
    assert.equal("shared.value:set: Message too long (2001 bytes; its capacity is 2000)", message)
    assert.equal("EMSGSIZE", code)
    assert.equal(2000, #s:get())
    assert.is_true(s:set "")
    assert.equal("", s:get())
    assert.equal("ab", s:update(function(x) return x .. "ab" end))
    assert.same({ nil, "shared.value:update: Message too long (2001 bytes; its capacity is 2000)", "EMSGSIZE" },
      { s:update(function() return ("y"):rep(2001) end) })
    assert.equal("ab", s:get())
    assert.same({ type = "value", of = "string", capacity = 2000 }, s:stat())
  end)

  it("is 0, false or empty at first", function()
    for kind, zero in pairs { i8 = 0, f64 = 0.0, bool = false } do
      local v <close> = assert(shared.value(kind))
      assert.equal(zero, v:get())
    end
    local s <close> = assert(shared.value("string", nil, { capacity = 1 }))
    assert.equal("", s:get())
  end)

  it("refuses misuse, and names who did it", function()
    local function bad(pattern, ...)
      local ok, message = pcall(function(...) shared.value(...) end, ...)
      assert.is_false(ok)
      assert.matches("shared_spec", message)
      assert.matches(pattern, message)
    end
    bad("#1 to 'value' %(unknown type 'i65': expected i8, u8, i16, u16, i32, u32, i64, u64, f32, f64, bool or string%)", "i65", 0)
    bad("#1 to 'value' %(string expected, got nil%)")
    bad("#2 to 'value' %(256 is out of range for u8%)", "u8", 256)
    bad("#2 to 'value'", "i64", "5")
    bad("#3 to 'value' %(a string needs the option 'capacity' %(bytes%)%)", "string", "x")
    bad("#3 to 'value' %(the option 'capacity' is for strings%)", "i64", 0, { capacity = 8 })
    bad("#2 to 'value' %(longer than the option 'capacity' says%)", "string", "xyz", { capacity = 2 })
    bad("#3 to 'value' %(option 'capacity': %-1 is out of range%)", "string", "", { capacity = -1 })
    bad("#3 to 'value' %(unknown option 'size'%)", "i64", 0, { size = 8 })
    bad("#3 to 'value' %(table expected, got number%)", "i64", 0, 8)
    bad("#3 to 'value' %(option 'create' needs 'name'%)", "i64", 0, { create = true })
    bad("#3 to 'value' %(option 'unlink' needs 'create'%)", "i64", nil, { name = "/x", unlink = true })
    bad("#2 to 'value' %(an initial value needs the option 'create'%)", "i64", 0, { name = "/x" })
    bad("#3 to 'value' %(name must begin with '/'%)", "i64", nil, { name = "x" })
    bad("#3 to 'value' %(option 'name': string expected, got number%)", "i64", nil, { name = 5 })
    bad("#3 to 'value' %(option 'create': boolean expected, got number%)", "i64", 0, { name = "/x", create = 1 })
    bad("#3 to 'value' %(option 'mode': 512 is out of range %(.*%)%)", "i64", 0, { name = "/x", create = true, mode = 512 })
    local ok, message = pcall(function() shared.open "x" end)
    assert.is_false(ok)
    assert.matches("shared_spec.*#1 to 'open' %(name must begin with '/'%)", message)
    assert.error_matches(function() shared.open() end, "#1 to 'open' %(string expected")
    local v <close> = assert(shared.value "i64")
    assert.error_matches(function() v:update() end, "#1 to 'update' %(function expected, got nil%)")
    assert.error_matches(function() v.update({}, print) end, "lipc.shared.value expected")
    assert.error_matches(function() v:get(-1) end, "negative")
  end)

  it("is one for a process and its children, whose increments all count", function()
    local v <close> = assert(shared.value("i64", 0))
    local children = {}
    for i = 1, 4 do
      children[i] = assert(ipc.process.fork(function()
        for k = 1, 2000 do
          if k % 2 == 0 then assert(v:add(1)) else assert(v:update(function(x) return x + 1 end)) end
        end
      end))
    end
    for _, p in ipairs(children) do assert(p:wait(60)).code = 0 p:close() end
    assert.equal(8000, v:get())
  end)

  it("has a name for processes of other origin, and goes with its creator", function()
    local name = "/" .. names.new()
    local v = assert(shared.value("i32", 41, { name = name, create = true, unlink = true }))
    assert.equal("lipc.shared.value " .. name .. " (open)", tostring(v))
    local out, ok = peer.run([[local v = assert(ipc.shared.value("i32", nil, { name = arg[1] }))
      print(v:add(1), v:stat().name)
      local again = assert(ipc.shared.open(arg[1]))
      print(again:add(1), again:stat().of, again:close(), again:close())]], name)
    assert.is_true(ok, out)
    assert.equal("42\t" .. name .. "\n43\ti32\ttrue\ttrue\n", out)
    assert.equal(43, v:get())
    assert.equal(0, child(function() v:close() end).code) -- a child removes nothing
    local again = assert(shared.value("i32", 7, { name = name, create = true })) -- keeps what is there
    assert.equal(43, again:get())
    assert.is_true(again:close())
    assert.same({ nil, ("shared.value %s: File exists"):format(name), "EEXIST" },
      { shared.value("i32", 7, { name = name, create = true, exclusive = true }) })
    assert.same({ nil, ("shared.value %s: Invalid argument (type is i32, i64 asked for)"):format(name), "EINVAL" },
      { shared.value("i64", nil, { name = name }) })
    assert.same({ nil, ("shared.dict %s: Protocol error (a value is there)"):format(name), "EPROTO" },
      { shared.dict { name = name } })
    assert.is_true(v:close())
    assert.same({ nil, ("shared.value %s: No such file or directory"):format(name), "ENOENT" },
      { shared.value("i32", nil, { name = name }) })
    assert.same({ nil, ("shared.open %s: No such file or directory"):format(name), "ENOENT" }, { shared.open(name) })
  end)

  it("refuses what is no such thing", function()
    local name = "/" .. names.new()
    for _, content in ipairs { "", "short", ("x"):rep(100), ("\0"):rep(5000) } do
      local f = assert(io.open("/dev/shm" .. name, "w"))
      f:write(content)
      f:close()
      for _, open in ipairs {
        function() return shared.open(name) end,
        function() return shared.value("i64", nil, { name = name }) end,
        function() return shared.value("i64", 1, { name = name, create = true }) end,
        function() return shared.dict { name = name } end,
        function() return shared.array("i8", 1, { name = name }) end,
      } do
        local object, message, code = open()
        assert.is_nil(object)
        assert.is_truthy(message:find(name, 1, true), message)
        assert.equal("EPROTO", code)
      end
    end
    os.remove("/dev/shm" .. name)
  end)

  it("raises when another process has cut its memory off, and ends nobody", function()
    local name = "/" .. names.new()
    local options = { name = name, create = true, unlink = true }
    local v <close> = assert(shared.value("i64", 1, options))
    assert(io.open("/dev/shm" .. name, "w")):close() -- which truncates
    assert.error_matches(function() v:get() end, "lost mapping")
    assert.error_matches(function() v:add(1) end, "lost mapping")
    assert.is_true(v:close())
    options.capacity = 1000
    local d <close> = assert(shared.dict(options))
    assert.is_true(d:set("k", ("x"):rep(10000)))
    assert(os.execute("truncate -s 4096 /dev/shm" .. name))
    for _, call in ipairs { function() d:get "k" end, function() d:snapshot() end, function() d:set("k", 1) end } do
      local ok, message = pcall(call)
      assert.is_true(ok or message:find "lost mapping" ~= nil, message)
    end
    assert.error_matches(function() for _ = 1, 100 do d:set(tostring(math.random()), ("y"):rep(500)) end end, "lost mapping")
    assert.is_true(d:close())
    assert.is_nil(io.open("/dev/shm" .. name))
  end)

  it("says when there is no room", function()
    local p = peer.sh("unshare -m sh -c " .. peer.quote(
      "mount -t tmpfs -o size=64k tmpfs /dev/shm 2>/dev/null || { echo no mount; exit; }; " ..
      "exec " .. peer.command([[print(ipc.shared.dict { name = "/a", create = true, capacity = 10000 })
        for name in io.popen "ls /dev/shm":lines() do print("left", name) end]])) .. " 2>&1")
    local out = p:read "a"
    p:close()
    if out:find "no mount" or out:find "Operation not permitted" then return end -- needs the right to mount
    assert.matches("^nil\tshared.dict /a: No space left on device.*\tENOSPC\n$", out)
  end)

  it("is made once, whoever is first", function()
    local name = "/" .. names.new()
    local children = {}
    for i = 1, 8 do
      children[i] = assert(ipc.process.fork(function()
        local v = assert(shared.value("i64", 100, { name = name, create = true }))
        assert(v:add(1))
      end))
    end
    for _, p in ipairs(children) do assert.equal(0, assert(p:wait(60)).code) p:close() end
    local v <close> = assert(shared.open(name))
    assert.equal(108, v:get())
    assert.is_true(ipc.shm.unlink(name))
  end)
end)

describe("the lock of a shared value", function()
  local v
  before_each(function() v = assert(shared.value("i64", 0)) end)
  after_each(function() v:close() end)

  it("keeps other processes out, and not its own coroutine", function()
    local r, w = assert(ipc.pipe.open())
    v:with(function(o)
      assert.equal(v, o)
      assert.equal(1, v:add(1))
      assert.equal(2, v:update(function(x) return x + 1 end))
      local outside = child(function()
        local _, _, code = v:get(0)
        local _, message, again = v:set(5, 0.02)
        assert(w:write(code, " ", again, " ", message))
      end)
      assert.equal(0, outside.code)
      assert.equal(2, v:get())
    end)
    w:close()
    assert.equal("ETIMEDOUT ETIMEDOUT shared.value:set: timed out", r:read "a")
    r:close()
    assert.equal(0, child(function() assert(v:add(1, 0)) end).code)
    assert.equal(3, v:get(0))
  end)

  it("is taken and given back by hand", function()
    assert.is_true(v:lock())
    assert.same({ nil, "EDEADLK" }, { (function() local a, _, c = v:lock(0) return a, c end)() })
    assert.equal(0, child(function() assert(select(3, v:trylock()) == "ETIMEDOUT") end).code)
    assert.is_true(v:unlock())
    assert.equal("EPERM", select(3, v:unlock()))
  end)

  it("is given back when the function raises, and update changes nothing then", function()
    local thing = {}
    local ok, caught = pcall(v.update, v, function() error(thing) end)
    assert.is_false(ok)
    assert.equal(thing, caught)
    assert.equal(0, v:get(0))
    local raised, message = pcall(function() return (v:update(function() end)) end)
    assert.is_false(raised)
    assert.matches("shared_spec%.lua:%d+: bad argument #1 to 'update' %(its result: number expected, got nil%)", message)
    assert.equal(0, v:get(0))
  end)

  it("is found when its holder has become another program, which is still there", function()
    local kill = becoming(function() assert(v:lock()) end)
    assert.same({ true, "EOWNERDEAD" }, { v:trylock() })
    assert(v:consistent() and v:unlock())
    kill()
  end)

  it("is found when its holder died, told, and made consistent or not", function()
    local function die()
      local status = child(function()
        v:with(function()
          v:set(13)
          ipc.signal.kill(ipc.signal.getpid(), "SIGKILL")
        end)
      end)
      assert.equal("SIGKILL", status.signal)
    end
    die()
    assert.equal(13, v:get(10)) -- short operations are whole in themselves
    assert.equal(14, v:update(function(x, died)
      assert.equal("EOWNERDEAD", died)
      return x + 1
    end))
    v:with(function(_, died) assert.is_nil(died) end)
    die()
    v:with(function(_, died)
      assert.equal("EOWNERDEAD", died)
      assert.is_true(v:consistent())
    end)
    assert.equal(13, v:get())
    die()
    v:with(function(_, died) assert.equal("EOWNERDEAD", died) end)
    for _, call in ipairs { v.get, function(o) return o:add(1) end, function(o) return o:with(print) end } do
      assert.equal("ENOTRECOVERABLE", select(3, call(v)))
    end
  end)

  it("makes one coroutine wait for the other, and nobody else", function()
    local loop, order = ipc.loop.new(), {}
    local beside = 0
    loop:wrap(function()
      v:with(function()
        order[#order + 1] = "in"
        repeat ipc.sleep(0.001) until beside > 5
        order[#order + 1] = "out"
      end)
    end)
    loop:wrap(function()
      assert.equal(1, v:add(1))
      order[#order + 1] = "added"
    end)
    local over = false
    loop:wrap(function()
      while #order < 3 do
        beside = beside + 1
        ipc.sleep(0.001)
      end
      over = true
    end)
    loop:run()
    loop:close()
    assert.same({ "in", "out", "added" }, order)
    assert.is_true(over and beside > 5)
  end)
end)
