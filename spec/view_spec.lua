-- Views: elements and ranges of numbers, against string.pack and string.unpack.
local ipc = require "lipc"
local names = require "support.names"

local PAGE = 4096
local formats = {
  i8 = "<b", u8 = "<B", i16 = "<h", u16 = "<H", i32 = "<i4", u32 = "<I4", i64 = "<i8", u64 = "<I8", f32 = "<f", f64 = "<d",
  bytes = "<B",
}
if string.pack("=I2", 1) ~= "\1\0" then
  for name, f in pairs(formats) do formats[name] = f:gsub("<", ">") end
end
local limits = {
  i8 = { -128, 127 }, u8 = { 0, 255 }, bytes = { 0, 255 }, i16 = { -32768, 32767 }, u16 = { 0, 65535 },
  i32 = { -2147483648, 2147483647 }, u32 = { 0, 4294967295 }, i64 = { math.mininteger, math.maxinteger },
}

describe("a view", function()
  local m
  before_each(function() m = assert(ipc.mmap.anonymous(PAGE)) end)
  after_each(function() m:close() end)

  local function fails(pattern, f, ...)
    local ok, message = pcall(f, ...)
    assert.is_false(ok)
    assert.matches(pattern, message)
  end
  local function put(v, i, x) v[i] = x end
  local function at(v, i) return v[i] end

  it("has what fits, or what it was told", function()
    local v = m:view "i32"
    assert.equal(1024, #v)
    assert.equal("lipc.view (1024 i32 at 0)", tostring(v))
    assert.same({ "i32", 0, 4, 4, m, 4 }, { v:type(), v:offset(), v:stride(), v:itemsize(), v:map(), v:offset(2) })
    assert.equal(1022, #m:view("i32", 5)) -- the rest is no whole element
    assert.equal(0, #m:view("f64", PAGE - 7))
    assert.equal(0, #m:view("f64", PAGE))
    assert.equal(3, #ipc.view.of(m, "u16", 10, 3))
    assert.equal("bytes", m:view("bytes"):type())
    fails("unknown type 'int': expected i8, u8, i16, u16, i32, u32, i64, u64, f32, f64, bytes, or a layout", m.view, m, "int")
    fails("type or layout expected, got no value", m.view, m)
    fails("offset must not be negative", m.view, m, "u8", -1)
    fails("0 bytes from offset 4097 on are out of bounds %(4096 bytes%)", m.view, m, "u8", PAGE + 1)
    fails("out of bounds", m.view, m, "u8", math.maxinteger)
    fails("only 1023 elements of i32 fit behind offset 4", m.view, m, "i32", 4, 1024)
    fails("only 0 elements", m.view, m, "i64", PAGE, math.maxinteger)
    fails("count must not be negative", m.view, m, "i32", 0, -1)
    fails("mapping .* expected, got FILE", ipc.view.of, io.stdout, "u8")
    fails("bad argument #1 to 'view' %(unknown type", function() m:view "x" end)
  end)

  it("has each type's values and no others", function()
    for name, range in pairs(limits) do
      local v, size = m:view(name), #string.pack(formats[name], 0)
      assert.equal(PAGE // size, #v)
      for i, x in ipairs { range[1], range[2], 0, 1 } do
        v[i] = x
        assert.equal(x, v[i])
        assert.equal("integer", math.type(v[i]))
        assert.equal(string.pack(formats[name], x), v:string(i, i))
      end
      v[1] = 7.0
      assert.equal("integer", math.type(v[1]))
      if name ~= "i64" then
        fails("is out of range for " .. name, put, v, 1, range[1] - 1)
        fails("is out of range for " .. name, put, v, 1, range[2] + 1)
        fails("9223372036854775807 is out of range for " .. name, put, v, 1, math.maxinteger)
      end
      for _, x in ipairs { 1.5, 2 ^ 63, -2 ^ 64, 1 / 0, 0 / 0 } do
        fails("number has no integer representation, as " .. name, put, v, 1, x)
      end
      fails("number expected for " .. name .. ", got string", put, v, 1, "1")
      fails("number expected for " .. name .. ", got nil", put, v, 1, nil)
      assert.equal(7, v[1])
    end
    local u = m:view "u64"
    u[1] = -1 -- all 64 bits
    assert.equal(-1, u[1])
    assert.equal(("\xff"):rep(8), u:string(1, 1))
    u[1] = math.mininteger
    assert.equal(string.pack(formats.u64, math.mininteger), u:string(1, 1))
  end)

  it("has floats", function()
    local d, f = m:view("f64", 0, 10), m:view("f32", 800, 10)
    for i, x in ipairs { 0.1, -0.0, 1 / 0, -1 / 0, math.pi, 5e-324, 1.7976931348623157e308 } do
      d[i] = x
      assert.equal(string.pack(formats.f64, x), d:string(i, i))
      assert.equal("float", math.type(d[i]))
    end
    d[1] = 3 -- an integer
    assert.equal("float", math.type(d[1]))
    f[1] = 0.1
    assert.equal(string.unpack(formats.f32, string.pack(formats.f32, 0.1)), f[1])
    f[2] = 1 / 0
    assert.equal(1 / 0, f[2])
    f[3] = 0 / 0
    assert.is_true(f[3] ~= f[3])
    f[4] = 3.4028234663852886e38
    assert.equal(3.4028234663852886e38, f[4])
    fails("is out of range for f32", put, f, 5, 3.5e38)
    fails("is out of range for f32", put, f, 5, -1e300)
    fails("number expected for f64, got string", put, d, 1, "0.5")
    d[2] = 1e300
    f[6] = 1e-60 -- rounded to what it has
    assert.equal(0.0, f[6])
  end)

  it("agrees with string.pack at any offset, for random values", function()
    local seed = os.time()
    math.randomseed(seed)
    local bytes = m:view "bytes"
    for name, format in pairs(formats) do
      local size = #string.pack(format, 0)
      for offset = 0, size do -- aligned or not
        local v = m:view(name, offset, 50)
        for i = 1, 50 do
          local raw = {}
          for k = 1, size do raw[k] = math.random(0, 255) end
          local s = string.char(table.unpack(raw))
          v:setstring(i, s)
          local x, got = string.unpack(format, s), v[i]
          assert.is_true(x == got or (x ~= x and got ~= got), ("%s at %d, seed %d"):format(name, offset, seed))
          assert.equal(math.type(x), math.type(got))
          if x == x then
            bytes:fill(0, offset + (i - 1) * size + 1, offset + i * size)
            v[i] = x
            assert.equal(s, v:string(i, i))
            assert.equal(s, bytes:string(offset + (i - 1) * size + 1, offset + i * size))
          end
        end
      end
    end
  end)

  it("refuses what is no index", function()
    local v = m:view("i16", 0, 5)
    fails("'index' %(index 0 is out of bounds %(length 5%)", at, v, 0)
    fails("index 6 is out of bounds %(length 5%)", at, v, 6)
    fails("'newindex' %(index %-1 is out of bounds %(length 5%)", put, v, -1, 0)
    fails("out of bounds", at, v, math.mininteger)
    fails("out of bounds", put, v, math.maxinteger, 1)
    fails("number has no integer representation", at, v, 1.5)
    fails("number has no integer representation", at, v, 0 / 0)
    fails("index expected, got nil", at, v, nil)
    fails("index expected, got boolean", put, v, true, 1)
    fails("index expected, got string", put, v, "1", 1)
    v[2.0] = 9
    assert.equal(9, v[2.0])
    assert.is_nil(v["1"])
    assert.is_nil(v.nothing)
    fails("out of bounds", at, m:view("u8", 0, 0), 1)
    fails("lipc.view expected, got table", v.get, {}, 1)
    fails("lipc.view expected, got FILE", v.get, io.stdout, 1)
    assert.equal("locked", getmetatable(v))
    v[1], v[3], v[4], v[5] = 1, 2, 3, 4
    local seen = {}
    for i, x in pairs(v) do seen[i] = x end
    assert.same({ 1, 9, 2, 3, 4 }, seen)
    for i, x in v:ipairs() do seen[i] = seen[i] - x end
    assert.same({ 0, 0, 0, 0, 0 }, seen)
  end)

  it("goes from and to tables and lists", function()
    local v = m:view("i32", 0, 10)
    assert.equal(v, v:set(1, { 1, 2, 3 }))
    v:set(4, 4, 5.0, 6)
    assert.same({ 1, 2, 3, 4, 5, 6, 0, 0, 0, 0 }, v:totable())
    assert.same({ 2, 3 }, v:totable(2, 3))
    assert.same({ 6, 0, 0, 0, 0 }, v:totable(6))
    assert.same({}, v:totable(11, 10))
    assert.same({ 3, 4, 5 }, { v:get(3, 5) })
    assert.same({ 3 }, { v:get(3) })
    assert.same({ n = 0 }, table.pack(v:get(3, 2)))
    v:set(11, {})
    v:set(10)
    assert.equal(v, v:fill(-1, 8))
    assert.same({ 6, 0, -1, -1, -1 }, v:totable(6))
    v:fill(9, 1, 2)
    v:fill(8, 1, 0)
    assert.same({ 9, 9, 3 }, v:totable(1, 3))
    fails("'set' %(3 elements from index 9 on are out of bounds %(length 10%)", function() v:set(9, { 1, 2, 3 }) end)
    fails("2 elements from index 10", v.set, v, 10, 1, 2)
    fails("index 0 is out of bounds", v.set, v, 0, { 1 })
    fails("index 12 is out of bounds", v.set, v, 12, {})
    fails("#2 .*2147483648 is out of range for i32", function() v:set(1, { 77, 2147483648 }) end)
    assert.equal(77, v[1]) -- what came before is stored
    fails("number expected for i32, got nil", v.set, v, 1, setmetatable({}, { __len = function() return 2 end }))
    fails("index 11 is out of bounds", v.get, v, 11)
    fails("index 0 is out of bounds", v.get, v, 0)
    fails("index 11 is out of bounds", v.get, v, 1, 11)
    fails("index 1 is out of bounds", v.get, v, 3, 1)
    fails("out of bounds", v.totable, v, 1, 11)
    fails("out of bounds", v.totable, v, math.mininteger, math.maxinteger)
    fails("out of bounds", v.fill, v, 1, 5, 3)
    fails("value expected", v.fill, v)
    fails("out of range for i32", v.fill, v, 2 ^ 31)
    fails("too many results", ipc.mmap.anonymous(3000000):view "u8".get, ipc.mmap.anonymous(3000000):view "u8", 1, 3000000)
    local proxy = setmetatable({}, { __index = function(_, i) return i * 10 end, __len = function() return 3 end })
    assert.same({ 10, 20, 30 }, v:set(1, proxy):totable(1, 3))
    for name in pairs(formats) do
      local w = m:view(name, 1, 7)
      assert.same({ 5, 5, 5, 5, 5, 5, 5 }, w:fill(5):totable())
    end
  end)

  it("goes from and to strings", function()
    local v = m:view("u16", 0, 200)
    v:set(1, 1, 2, 3)
    assert.equal(string.pack("=HH", 2, 3), v:string(2, 3))
    assert.equal(string.pack("=H", 2), v:string(2, 2))
    assert.equal(400, #v:string())
    assert.equal("", v:string(5, 4))
    assert.equal(v, v:setstring(3, string.pack("=HH", 7, 8)))
    assert.same({ 1, 2, 7, 8, 0 }, { v:get(1, 5) })
    v:setstring(201, "")
    fails("3 bytes are no whole number of elements of 2 bytes", v.setstring, v, 1, "abc")
    fails("2 elements from index 200 on are out of bounds", v.setstring, v, 200, "abcd")
    local b = m:view "bytes"
    b:setstring(100, "with a \0 zero")
    assert.equal("with a \0 zero", b:string(100, 112))
    local long = ("x"):rep(PAGE)
    assert.equal(long, b:setstring(1, long):string())
  end)

  it("copies, also over itself and into other types", function()
    local v = m:view("i32", 0, 10):set(1, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 })
    assert.equal(v, v:copy(3, v, 1, 5))
    assert.same({ 1, 2, 1, 2, 3, 4, 5, 8, 9, 10 }, v:totable())
    v:copy(1, v, 3, 7)
    assert.same({ 1, 2, 3, 4, 5, 4, 5, 8, 9, 10 }, v:totable())
    local d = m:view("f64", 1000, 10):copy(1, v)
    assert.same({ 1.0, 2.0, 3.0, 4.0, 5.0, 4.0, 5.0, 8.0, 9.0, 10.0 }, d:totable())
    assert.equal("float", math.type(d[1]))
    local b = m:view("u8", 2000, 10):copy(2, d, 1, 3)
    assert.same({ 0, 1, 2, 3, 0 }, { b:get(1, 5) })
    d[2] = 256
    fails("256.0 is out of range for u8", b.copy, b, 5, d, 1, 3)
    assert.same({ 1, 0 }, { b:get(5, 6) })
    d[2] = 0.5
    fails("no integer representation", b.copy, b, 5, d, 1, 3)
    fails("10 elements from index 2 on are out of bounds", v.copy, v, 2, v)
    fails("index 0 is out of bounds", v.copy, v, 0, v, 1, 1)
    fails("index 11 is out of bounds", v.copy, v, 1, v, 1, 11)
    fails("lipc.view expected, got table", v.copy, v, 1, {})
    v:copy(11, v, 1, 0)
    -- the same memory as other types: read before it is written
    local bytes = m:view("u8", 0, 8):set(1, { 1, 2, 3, 4, 5, 6, 7, 8 })
    m:view("i32", 0, 8):copy(1, bytes)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8 }, m:view("i32", 0, 8):totable())
    -- one field of records, shifted by half a record
    local pair = m:view(ipc.view.layout { { "a", "i32" }, { "b", "i32" } }, 0, 4)
    m:view("i32", 0, 8):set(1, { 1, 2, 3, 4, 5, 6, 7, 8 })
    pair:field "b":copy(1, pair:field "a")
    assert.same({ 1, 1, 3, 3, 5, 5, 7, 7 }, m:view("i32", 0, 8):totable())
    pair:field "b":copy(2, pair:field "b", 1, 3)
    assert.same({ 1, 1, 3, 1, 5, 3, 7, 5 }, m:view("i32", 0, 8):totable())
    assert.equal(string.pack("=i4i4", 1, 3), pair:field "b":string(2, 3))
    pair:field "b":setstring(1, string.pack("=i4i4", -1, -2))
    assert.same({ 1, -1, 3, -2, 5, 3, 7, 5 }, m:view("i32", 0, 8):totable())
  end)

  it("compares", function()
    local a, b = m:view("i32", 0, 5):set(1, { 1, 2, 3, 4, 5 }), m:view("i32", 100, 5):set(1, { 1, 2, 3, 4, 5 })
    assert.is_true(a:equal(b))
    assert.same({ 0 }, { a:compare(b) })
    b[4] = 9
    assert.is_false(a:equal(b))
    assert.same({ -1, 4 }, { a:compare(b) })
    assert.same({ 1, 4 }, { b:compare(a) })
    assert.same({ 1, 4 }, { a:compare(b:slice(1, 3)) })
    assert.same({ -1, 4 }, { b:slice(1, 3):compare(a) })
    assert.is_false(a:equal(a:slice(1, 4)))
    b[4] = -1 -- whatever the byte order
    assert.same({ 1, 4 }, { a:compare(b) })
    local d = m:view("f64", 200, 5):copy(1, a)
    assert.is_true(a:equal(d))
    d[3] = 3.5
    assert.same({ -1, 3 }, { a:compare(d) })
    d[3] = 0 / 0
    assert.is_false(d:equal(d))
    assert.same({ nil, 3 }, { d:compare(d) })
    local u, i = m:view("u64", 400, 1):set(1, -1), m:view("u64", 408, 1):set(1, 1)
    assert.same({ 1, 1 }, { u:compare(i) })
    assert.equal(0, m:view("u8", 0, 0):compare(m:view("u8", 0, 0)))
    fails("lipc.view expected", a.equal, a, "x")
  end)

  it("finds", function()
    local v = m:view("i32", 0, 10):set(1, { 5, 6, 7, 5, -1 })
    assert.equal(1, v:find(5))
    assert.equal(4, v:find(5, 2))
    assert.equal(5, v:find(-1.0))
    assert.is_nil(v:find(5, 5))
    assert.is_nil(v:find(2 ^ 40))
    assert.is_nil(v:find(5, 11))
    fails("index 12 is out of bounds", v.find, v, 5, 12)
    fails("number expected for i32, got string", v.find, v, "5")
    local f = m:view("f32", 100, 3):set(1, 0.5, 0.1, 0 / 0)
    assert.equal(1, f:find(0.5))
    assert.is_nil(f:find(0.1)) -- as f[2] == 0.1 says
    assert.is_nil(f:find(0 / 0))
    local b = m:view("bytes", 200, 20):setstring(1, "hello, hello world")
    assert.same({ 8, 12 }, { b:find("hello", 2) })
    assert.same({ 1, 5 }, { b:find "hello" })
    assert.is_nil(b:find "help")
    assert.is_nil(b:find(("x"):rep(30)))
    assert.same({ 3, 2 }, { b:find("", 3) })
    assert.equal(5, b:find(("o"):byte()))
    assert.is_nil(b:find(("z"):byte()))
    assert.is_nil(b:find(300))
    assert.same({ ("a.b"):find(".", 1, true) }, { m:view("u8", 300, 3):setstring(1, "a.b"):find "." })
  end)

  it("has parts", function()
    local v = m:view("i16", 2, 10)
    local s = v:slice(3, 5)
    assert.equal(3, #s)
    assert.equal(6, s:offset())
    s[1] = 42
    assert.equal(42, v[3])
    assert.equal(8, #v:slice(3))
    assert.equal(0, #v:slice(11))
    fails("index 12 is out of bounds", v.slice, v, 12)
    fails("index 4 is out of bounds", s.get, s, 4)
    fails("number expected", v.slice, v)
  end)

  it("keeps its mapping, and raises when that is closed", function()
    local v = assert(ipc.mmap.anonymous(PAGE)):view "u8"
    collectgarbage()
    collectgarbage()
    v[PAGE] = 1
    assert.equal(1, v[PAGE])
    v:map():close()
    assert.equal("lipc.view (4096 u8 at 0, closed)", tostring(v))
    local none <close> = assert(ipc.shm.anonymous { size = 0, seal = false })
    local empty = none:view "u8"
    assert.equal("lipc.view (0 u8 at 0)", tostring(empty))
    assert(none:resize(8))
    local eight = none:view "u8"
    assert.equal("lipc.view (8 u8 at 0)", tostring(eight))
    assert(none:resize(4))
    assert.equal("lipc.view (8 u8 at 0, out of bounds)", tostring(eight))
    none:close()
    assert.equal("lipc.view (0 u8 at 0, closed)", tostring(empty))
    assert.equal(PAGE, #v)
    fails("closed", at, v, 1)
    fails("closed", put, v, 1, 1)
    for name, args in pairs {
      get = { 1 }, set = { 1, 1 }, totable = {}, fill = { 1 }, string = {}, setstring = { 1, "x" }, copy = { 1, v },
      equal = { m:view "u8" }, compare = { v }, find = { 1 },
    } do
      fails("closed", v[name], v, table.unpack(args))
    end
    fails("closed", function() pairs(v)(v, 0) end)
    assert.same({}, v:totable(1, 0)) -- nothing is read
    assert.equal(1, #v:slice(2, 2))
    -- closed by what runs in between
    local w = m:view("u8", 0, 4)
    local closing = setmetatable({}, {
      __len = function() return 2 end,
      __index = function(_, i)
        if i == 2 then m:close() end
        return i
      end,
    })
    fails("closed", w.set, w, 1, closing)
    fails("closed", ipc.view.of, m, "u8")
  end)

  it("does not write where it may not, nor beyond what was cut off", function()
    local name = "/" .. names.new()
    local s <close> = assert(ipc.shm.open(name, { create = true, size = 2 * PAGE, unlink = true }))
    local ro <close> = assert(ipc.shm.open(name, { readonly = true }))
    s:view "i32":set(1, { 1, 2, 3 })
    local v = ro:view "i32"
    assert.same({ 1, 2, 3 }, v:totable(1, 3))
    for method, args in pairs {
      set = { 1, 1 }, fill = { 1 }, setstring = { 1, "abcd" }, copy = { 1, v }, store = { 1, 1 }, add = { 1, 1 },
      sub = { 1, 1 }, exchange = { 1, 1 }, cas = { 1, 1, 1 }, band = { 1, 1 }, bor = { 1, 1 }, bxor = { 1, 1 },
    } do
      fails("read%-only mapping", v[method], v, table.unpack(args))
    end
    fails("read%-only mapping", put, v, 1, 1)
    assert.equal(1, v:load(1))
    -- a smaller mapping has fewer elements that can be used, and none of a view that does not fit
    local all, first = s:view "i32", s:view("i32", 0, 1024)
    assert(s:resize(PAGE))
    assert.equal(1, first[1])
    fails("out of bounds", at, all, 1)
    fails("out of bounds", all.get, all, 1, 2)
    assert.equal(2048, #all)
    assert.same({ 1, 2, 3 }, all:slice(1, 3):totable())
    fails("out of bounds", at, all:slice(1024, 1025), 1)
    -- another process cuts the file off
    assert(os.execute("truncate -s 0 /dev/shm/" .. name:sub(2)))
    fails("lost mapping", at, first, 1)
    fails("lost mapping", first.totable, first)
    fails("lost mapping", first.string, first)
    fails("lost mapping", first.fill, first, 1)
    fails("lost mapping", first.add, first, 1, 1)
  end)

  it("is the same memory in a forked child", function()
    local v = m:view("f64", 8, 3)
    local text = m:view("bytes", 100, 5)
    local p = assert(ipc.process.fork(function()
      v:set(1, { 0.5, 1.5, -2 })
      text:setstring(1, "child")
    end))
    assert(p:wait(60))
    assert.same({ 0.5, 1.5, -2.0 }, v:totable())
    assert.equal("child", text:string())
  end)

  it("gives no bytes that Lua sees change", function()
    -- Lua compares short strings by their address: two that are alike must be one, whoever writes meanwhile
    local b, stop = m:view("bytes", 0, 40), m:view("i32", 64, 1)
    local p = assert(ipc.process.fork(function()
      local x, y = ("a"):rep(40), ("b"):rep(40)
      while stop:load(1) == 0 do
        for _ = 1, 1000 do
          b:setstring(1, x)
          b:setstring(1, y)
        end
      end
    end))
    local changes, last, wrong = 0, nil, 0
    local deadline = ipc.now() + 60
    while changes < 200 and ipc.now() < deadline do
      for _ = 1, 1000 do
        local s = b:string()
        if (s .. "!"):sub(1, 40) ~= s then wrong = wrong + 1 end
        if s ~= last then changes = changes + 1 end
        last = s
      end
    end
    stop:store(1, 1)
    assert(p:wait(60))
    assert.equal(0, wrong)
    assert.is_true(changes >= 200)
  end)
end)
