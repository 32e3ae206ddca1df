-- ipc.codec: values there and back, foreign readers and writers, bytes that nobody meant well.
local ipc = require "lipc"
local codec = ipc.codec

local function same(a, b)
  if math.type(a) ~= math.type(b) or type(a) ~= type(b) then return false end
  if type(a) ~= "table" then return a == b or (a ~= a and b ~= b) end
  for k, v in pairs(a) do
    if not same(v, b[k]) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end

local function check(value)
  local bytes = codec.encode(value)
  local back, message = codec.decode(bytes)
  assert.is_nil(message)
  assert.is_true(same(value, back), ("%q"):format(bytes))
  return bytes
end

-- A value as Python sees it, and what Python sends.
local function python(script, input)
  local result = assert(ipc.process.run { "/usr/bin/python3", "-c", script, input = input, check = true })
  return result.stdout
end

describe("the codec msgpack", function()
  it("gives back every scalar as it was", function()
    for _, v in ipairs {
      0, 1, -1, 31, 32, 127, 128, 255, 256, 65535, 65536, 2 ^ 31 | 0, 2 ^ 32 | 0, -32, -33, -128, -129, -32768, -32769,
      math.maxinteger, math.mininteger, 1.0, 0.1, -0.0, 2.0 ^ 53, 2.0 ^ 63, 1 / 0, -1 / 0, 0 / 0, true, false,
      "", "x", ("x"):rep(31), ("x"):rep(32), ("x"):rep(255), ("x"):rep(256), ("x"):rep(65536), "a\0b", "\xff\xfe\0", "\u{20ac}",
    } do
      check(v)
    end
    assert.is_nil((codec.decode(codec.encode(nil))))
    assert.equal(1, select("#", codec.decode(codec.encode(nil))))
    assert.equal("-inf", tostring(1 / codec.decode(codec.encode(-0.0))))
  end)

  it("gives back every table: empty, with holes, with keys of any kind, mixed, deep", function()
    check {}
    check { 1, 2, 3 }
    check { {}, { {} }, { { {} } } }
    check { 1, nil, 3 }
    check { nil, nil, 3 }
    check { [1] = 1, [1000000] = 2 }
    check { [0] = 0, 1, 2 }
    check { [-1] = "a", [0.5] = "b", [2] = "c" } -- a key that is no integer is no index
    check { [0.5] = "b", [2] = "c" }
    check { [true] = 1, [false] = 2, [""] = 3, ["\0"] = 4, [2.5] = 5 }
    check { 1, 2, x = { y = { 3, nil, 4 } }, [10] = false }
    local list = {}
    for i = 1, 70000 do list[i] = i * 3 end
    check(list)
    local map = {}
    for i = 1, 70000 do map["k" .. i] = i + 0.5 end
    check(map)
    local deep = {}
    for _ = 1, 999 do deep = { deep } end
    check(deep)
  end)

  it("gives back random values", function()
    local seed = os.time()
    math.randomseed(seed)
    local function value(level)
      local r = math.random(level > 4 and 6 or 9)
      if r == 1 then return math.random(0) end
      if r == 2 then return math.random(-200, 200) end
      if r == 3 then return math.random() * 10 ^ math.random(-300, 300) end
      if r == 4 then return math.random() < 0.5 end
      if r <= 6 then
        local s = {}
        for i = 1, math.random(0, 40) do s[i] = string.char(math.random(0, 255)) end
        return table.concat(s)
      end
      local t = {}
      for i = 1, math.random(0, 20) do
        local k = r == 7 and i or value(9)
        if k == k then t[k] = value(level + 1) end
      end
      return t
    end
    for _ = 1, 500 do
      local v = value(1)
      assert.is_true(same(v, codec.decode(codec.encode(v))), "seed " .. seed)
    end
  end)

  it("names what cannot be serialised", function()
    local function why(v) return select(2, pcall(codec.encode, v)) end
    assert.equal("bad argument #1 to 'encode' (value: function cannot be serialised)", why(print))
    assert.equal("bad argument #1 to 'encode' (value.items[3].callback: function cannot be serialised)",
      why { items = { 1, 2, { callback = print } } })
    assert.equal([[bad argument #1 to 'encode' (value["a b"][1.5]: userdata cannot be serialised)]],
      why { ["a b"] = { [1.5] = io.stdout } })
    assert.matches("%(key%): function", why { [print] = 1 })
    assert.matches("thread", why { coroutine.create(print) })
    local cycle = { 1 }
    cycle.me = { cycle }
    assert.equal("bad argument #1 to 'encode' (value.me[1]: a table that contains itself cannot be serialised)", why(cycle))
    local twice = {}
    check { twice, twice } -- no cycle
    local deep = {}
    for _ = 1, 1000 do deep = { deep } end
    assert.matches("more than 1000 tables inside each other", why(deep))
    check { 1 } -- and it works after all these
  end)

  it("sees what a table holds, not what its metatable makes of it", function()
    local t = setmetatable({ 1, 2 }, {
      __index = function() return "made up" end, __len = function() return 5 end,
      __pairs = function() return next, { "other" } end,
    })
    assert.same({ 1, 2 }, codec.decode(codec.encode(t)))
    assert.same({ x = 1 }, codec.decode(codec.encode(setmetatable({ x = 1 }, { __metatable = false }))))
  end)

  it("refuses bytes that are no value, and is never made to take much memory", function()
    local function bad(bytes, pattern)
      local v, message, code = codec.decode(bytes)
      assert.is_nil(v)
      assert.equal("EBADMSG", code)
      assert.matches("^codec%.decode msgpack: ", message)
      if pattern then assert.matches(pattern, message) end
    end
    bad ""
    bad "\xc1"
    bad("\xc0\xc0", "1 bytes too many")
    bad("\x92\x01", "missing")
    bad("\xcd\x01", "missing")
    bad("\xdd\xff\xff\xff\xff12345", "missing")
    bad("\xdf\xff\xff\xff\xff12345", "missing")
    bad("\xdb\xff\xff\xff\xff12345", "missing")
    bad("\xc6\xff\xff\xff\xff12345", "missing")
    bad("\xc9\xff\xff\xff\xff\x0112345", "missing")
    bad(("\x91"):rep(100000), "inside each other")
    bad(("\x81\x01"):rep(100000), "inside each other")
    bad(("\xdd\xff\xff\xff\xff"):rep(1000), "missing")
    bad("\xd4\x05x", "extension type 5")
    bad("\xd6\xff\0\0\0\0", "extension type %-1")
    bad("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "2%^63")
    bad("\x81\xc0\x01", "nil as a key")
    bad("\x81\xcb\x7f\xf8\0\0\0\0\0\0\x01", "NaN as a key")
    collectgarbage()
    local before = collectgarbage "count"
    for _ = 1, 100 do codec.decode("\xdd\x7f\xff\xff\xff" .. ("\xdc\xff\xff"):rep(100)) end
    assert.is_true(collectgarbage "count" - before < 10000)
    assert.has_error(function() codec.decode(5) end, "bad argument #1 to 'decode' (string expected, got number)")
  end)

  it("survives every cut and random bytes", function()
    local seed = os.time()
    math.randomseed(seed)
    local bytes = codec.encode { 1, "two", { x = 3.5, y = { true, false } }, ("z"):rep(300), -70000 }
    for i = 0, #bytes - 1 do
      local v, _, code = codec.decode(bytes:sub(1, i))
      assert.is_nil(v)
      assert.equal("EBADMSG", code)
    end
    for _ = 1, 5000 do
      local s = {}
      for i = 1, math.random(1, 30) do s[i] = string.char(math.random(0, 255)) end
      local ok = pcall(codec.decode, table.concat(s))
      assert.is_true(ok, "seed " .. seed)
    end
  end)

  it("leaves the library as others in this state have it", function()
    local path = package.searchpath("MessagePack", package.path .. ";/usr/share/lua/5.3/?.lua")
    local theirs = assert(loadfile(path))("MessagePack")
    package.loaded.MessagePack = theirs
    theirs.set_number "float"
    theirs.set_array "always_as_map"
    check { 1, 2.1, 3 }
    assert.equal("\x81\x01\xca\x3f\xc0\0\0", theirs.pack { 1.5 }) -- as they set it
    theirs.packers.string = error
    check { "text" }
    package.loaded.MessagePack = nil
  end)

  it("says what to install where the library is missing", function()
    local loaded = package.loaded["lipc.codec.msgpack"]
    local path, cpath, searchpath = package.path, package.cpath, package.searchpath
    package.loaded["lipc.codec.msgpack"] = nil
    local source = package.searchpath("lipc.codec.msgpack", path)
    package.path, package.cpath = "", ""
    package.searchpath = function() return nil, "none" end -- luacheck: ignore 122
    local ok, message = pcall(dofile, source)
    package.searchpath = searchpath -- luacheck: ignore 122
    package.path, package.cpath, package.loaded["lipc.codec.msgpack"] = path, cpath, loaded
    assert.is_false(ok)
    assert.matches("lua%-messagepack", message)
    assert.matches("luarocks install lua%-messagepack", message)
  end)

  it("is understood by Python's msgpack", function()
    local value = {
      list = { 1, -1, 1.5, 2 ^ 40 | 0, math.mininteger, math.maxinteger }, text = "gr\u{fc}n", bytes = "\xff\0", yes = true, float = 1.0,
      none = {}, map = { [5] = "five" },
    }
    local out = python([[
import msgpack, sys
v = msgpack.unpackb(sys.stdin.buffer.read(), strict_map_key=False)
assert v["list"] == [1, -1, 1.5, 2**40, -2**63, 2**63-1], v
assert v["text"] == "gr\u00fcn" and v["bytes"] == b"\xff\x00" and v["yes"] is True, v
assert type(v["float"]) is float and type(v["list"][0]) is int and v["map"] == {5: "five"} and v["none"] == [], v
print("understood")
]], codec.encode(value))
    assert.equal("understood\n", out)
  end)

  it("understands Python's msgpack", function()
    local out = python [[
import msgpack, sys
sys.stdout.buffer.write(msgpack.packb({"a": [1, 2.0, None, True, -5, 2**63-1], "b": b"\x00\xff", "c": "\u20ac" * 100,
  "d": {"x": {}}, "e": list(range(70000)), 7: "seven"}))]]
    local v = assert(codec.decode(out))
    assert.same({ 1, 2.0, nil, true, -5, math.maxinteger }, v.a)
    assert.equal("float", math.type(v.a[2]))
    assert.equal("\0\xff", v.b)
    assert.equal(("\u{20ac}"):rep(100), v.c)
    assert.same({ x = {} }, v.d)
    assert.equal(70000, #v.e)
    assert.equal(69999, v.e[70000])
    assert.equal("seven", v[7])
  end)
end)

describe("the registry of codecs", function()
  it("has names, takes more, and names mistakes", function()
    local codec = dofile(package.searchpath("lipc.codec", package.path)) -- luacheck: ignore 431
    assert.same({ "msgpack" }, codec.names())
    assert.equal(codec.get(), codec.get "msgpack")
    assert.equal("msgpack", codec.default)
    local mine = { encode = function(v) return "<" .. v .. ">" end, decode = function(s) return s:sub(2, -2) end }
    assert.equal(mine, codec.register("angle", mine))
    assert.same({ "angle", "msgpack" }, codec.names())
    assert.equal("<x>", codec.encode("x", "angle"))
    assert.equal("x", codec.decode("<x>", "angle"))
    assert.has_error(function() codec.register("angle", mine) end,
      "bad argument #1 to 'register' (there is a codec 'angle' already)")
    assert.has_error(function() codec.register("msgpack", mine) end)
    assert.has_error(function() codec.register("half", { encode = print }) end,
      "bad argument #2 to 'register' (field 'decode': function expected, got nil)")
    assert.has_error(function() codec.get "none" end, "bad argument #1 to 'get' (no codec 'none'; there are: angle, msgpack)")
    assert.has_error(function() codec.encode(1, "none") end)
    assert.has_error(function() codec.decode("", 5) end, "bad argument #2 to 'decode' (string expected, got number)")
  end)
end)
