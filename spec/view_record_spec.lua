-- Views: records, as a C program lays them out.
local ipc = require "lipc"
local child = require "support.child"
local names = require "support.names"

local layout = ipc.view.layout
local inner = layout { { "flag", "u8" }, { "xyz", "f32", 3 } }
local all = layout {
  { "a", "i8" }, { "b", "u16" }, { "c", "i8" }, { "d", "i32" }, { "e", "u8" }, { "f", "u64" }, { "g", "f64" },
  { "name", "char", 5 }, { "in", inner }, { "list", inner, 2 }, { "m", "i16", { 2, 3 } }, { "tags", "char", { 2, 4 } },
  { "last", "u8" },
}
local layouts = {
  all = all, inner = inner,
  tight = layout { { "a", "i8" }, { "b", "u64" }, { "c", "u16" }, { "d", "f64" }, packed = true },
  lines = layout { { "a", "i64", pad = "cacheline" }, { "b", "i64", align = 64 } },
}

local function fails(pattern, f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  assert.matches(pattern, message)
end

describe("a layout", function()
  it("is that of the C compiler", function()
    local ok, out = child.host("viewtwin", nil, "offsets")
    assert.is_true(ok, out)
    local lines = 0
    for line in out:gmatch "[^\n]+" do
      local s, field, offset = line:match "^(%w+)%.(%w+) (%d+)$"
      if s then
        assert.equal(tonumber(offset), layouts[s]:offset(field), line)
      else
        local size, align
        s, size, align = line:match "^(%w+) (%d+) (%d+)$"
        assert.equal(tonumber(size), layouts[s]:size(), line)
        assert.equal(tonumber(align), layouts[s]:align(), line)
      end
      lines = lines + 1
    end
    assert.equal(25, lines)
  end)

  it("is what it was told", function()
    local l = layout { { "a", "u8" }, { "b", "u32", offset = 2 }, { "c", "u8", align = 16 }, size = 40, align = 8 }
    assert.same({ 0, 2, 16, 40, 16 }, { l:offset "a", l:offset "b", l:offset "c", l:size(), l:align() })
    l = layout { { "a", "u8", pad = "cacheline" }, { "b", "u8" }, pad = "cacheline" }
    assert.same({ 64, 128, 64, 64 }, { l:offset "b", l:size(), l:align(), ipc.view.CACHELINE })
    l = layout { { "a", "u8" }, { "b", "u8", pad = 16 }, { "c", "u8" }, pad = 128 }
    assert.same({ 16, 32, 128 }, { l:offset "b", l:offset "c", l:size() })
    l = layout { { "i", "u32" }, { "f", "f32", offset = 0 } } -- a union
    assert.equal(4, l:size())
    assert.equal("lipc.view.layout (2 fields, 4 bytes)", tostring(l))
    assert.same({
      { name = "flag", type = "u8", offset = 0, size = 1 }, { name = "xyz", type = "f32", offset = 4, size = 12, count = 3 },
    }, inner:fields())
    local f = all:fields()
    assert.same({ "char", nil, 5 }, { f[8].type, f[8].count, f[8].size })
    assert.same({ inner, 2 }, { f[10].type, f[10].count })
    assert.same({ "array", 2, 12 }, { f[11].type, f[11].count, f[11].size })
    assert.same({ "char", 2, 8 }, { f[12].type, f[12].count, f[12].size })
  end)

  it("refuses what makes none", function()
    local types = "expected i8, u8, i16, u16, i32, u32, i64, u64, f32, f64, bytes, char or a layout"
    local bad = { -- the whole of what is said about them
      ["field 'x': unknown type 'nil': " .. types] = { { "x" } },
      ["field 'y': unknown type 'i33': " .. types] = { { "x", "i32" }, { "y", "i33" } },
      ["table expected, got string"] = "x", ["no fields, or too many"] = {}, ["field 1: table expected, got string"] = { "x" },
      ["field 1: name expected, got nil"] = { {} },
      ["field 2: another one is called 'x'"] = { { "x", "i32" }, { "x", "i32" } },
      ["unknown option 'aling'"] = { { "x", "i32" }, aling = 4 }, ["field 'x': unknown option '4'"] = { { "x", "i32", 1, 2 } },
      ["field 'x': unknown option 'size'"] = { { "x", "i32", size = 1 } },
      ["field 'y': 'count': 0 is out of range"] = { { "x", "i32" }, { "y", "i32", 0 } },
      ["field 'x': 'count': integer expected, got string"] = { { "x", "i32", "3" } },
      ["option 'size': integer expected, got string"] = { { "x", "i32" }, size = "3" },
      ["field 'x': 'align': integer expected, got string"] = { { "x", "i32", align = "3" } },
      ["field 'x': too many dimensions, or none"] = { { "x", "i32", {} } },
      ["field 'x': 'align': 3 is no power of two"] = { { "x", "i32", align = 3 } },
      ["option 'align': 5 is no power of two"] = { { "x", "i32" }, align = 5 },
      ["option 'pad': -64 is out of range"] = { { "x", "i32" }, pad = -64 }, ["unknown pad 'page'"] = { { "x", "i32" }, pad = "page" },
      ["field 'x': unknown pad 'page'"] = { { "x", "i32", pad = "page" } },
      ["option 'size': the fields need 4 bytes"] = { { "x", "i32" }, size = 3 },
      ["field 'y': 'offset': -1 is out of range"] = { { "x", "i8" }, { "y", "i8", offset = -1 } },
      ["field 'x': layout is too large"] = { { "x", "f64", { 1 << 40, 1 << 40 } } },
      ["field 'y': layout is too large"] = { { "x", "u8" }, { "y", "f64", 1 << 59 }, { "z", "u8" } },
      ["option 'packed': boolean expected, got number"] = { { "x", "i32" }, packed = 1 },
    }
    for problem, fields in pairs(bad) do
      fails("bad argument #1 to '[^']+' %(" .. problem:gsub("%-", "%%-") .. "%)$", layout, fields)
    end
    local l = layout { { "x", "u8" } }
    fails("field 'x': layouts are nested too deeply", function()
      for _ = 1, 20 do l = layout { { "x", l } } end
    end)
    fails("no field 'z'", all.offset, all, "z")
    fails("lipc.view.layout expected", all.offset, {}, "a")
    fails("too many", layout, setmetatable({}, { __len = function() return 1 << 40 end }))
  end)
end)

describe("records", function()
  local m, r
  before_each(function()
    m = assert(ipc.mmap.anonymous(4096))
    r = m:view(all, 8, 3)
  end)
  after_each(function() m:close() end)

  local function value(n)
    return {
      a = -n, b = 65535 - n, c = 0, d = -100000 * n, e = 0, f = -1 - n, name = "five!", g = n + 0.25,
      ["in"] = { flag = 1, xyz = { 0.5, 1.5, n + 0.0 } },
      list = { { flag = 0, xyz = { 0.0, 0.0, 0.0 } }, { flag = 0, xyz = { 0.0, 0.0, -n + 0.0 } } },
      m = { { n, n + 1, n + 2 }, { n + 10, n + 11, n + 12 } }, tags = { "t0", "t1" }, last = 255,
    }
  end

  it("are read and written by C", function()
    local name = "/" .. names.new()
    local s <close> = assert(ipc.shm.open(name, { create = true, size = 4096, unlink = true }))
    local v = s:view(all, 0, 2)
    assert.is_true(child.host("viewtwin", nil, "write", name))
    assert.same({ value(1), value(2) }, v:totable())
    local _, expected = child.host("viewtwin", nil, "read", name)
    s:view "u8":fill(0)
    v:set(1, value(1), value(2))
    assert.same({ true, expected }, { child.host("viewtwin", nil, "read", name) })
    s:view "u8":fill(0)
    for i = 1, 2 do -- field by field
      for k, x in pairs(value(i)) do v[i][k] = x end
    end
    assert.same({ true, expected }, { child.host("viewtwin", nil, "read", name) })
  end)

  it("show and change their fields", function()
    local x = r[2]
    x.a, x.g, x.name = -5, 0.5, "abc"
    assert.same({ -5, 0.5, "abc" }, { r[2].a, r[2].g, r[2].name })
    assert.equal(0, r[1].a)
    assert.equal("integer", math.type(x.a))
    x["in"].flag = 7
    x["in"].xyz[3] = 2.5
    assert.same({ flag = 7, xyz = { 0.0, 0.0, 2.5 } }, r:get(2)["in"])
    x.list[2].xyz = { 1, 2 }
    assert.same({ 1.0, 2.0, 0.0 }, x.list[2].xyz:totable())
    x.m[2][3] = -1
    x.m[1] = { 4, 5 }
    assert.same({ { 4, 5, 0 }, { 0, 0, -1 } }, x.m:totable())
    x.tags = { "abcd", "" }
    assert.same({ "abcd", "" }, x.tags:totable())
    x.tags[1] = "x"
    assert.same({ "x", "x\0\0\0" }, { x.tags[1], x.tags:string(1, 1) })
    assert.equal(("lipc.view (2 array at %d)"):format(r:offset(2) + all:offset "m"), tostring(x.m))
    assert.matches("^lipc.view.record %(%d+ bytes at %d+%)$", tostring(x))
    local order = {}
    for k in pairs(x["in"]) do order[#order + 1] = k end
    assert.same({ "flag", "xyz" }, order)
    fails("'index' %(no field 'z'%)", function() return x.z end)
    fails("'newindex' %(no field 'z'%)", function() x.z = 1 end)
    fails("no field '1'", function() return x[1] end)
    fails("field 'a': 128 is out of range for i8", function() x.a = 128 end)
    fails("field 'name': string of 6 bytes is too long for char of 5", function() x.name = "sixsix" end)
    fails("field 'name': string of 3 bytes contains zeros", function() x.name = "a\0b" end)
    fails("field 'name': string expected for char, got number", function() x.name = 5 end)
    fails("field 'in': table expected for record, got number", function() x["in"] = 5 end)
    fails("field 'list': list of 3 is too long %(2%)", function() x.list = { {}, {}, {} } end)
    fails("field 'list': list expected, got string", function() x.list = "x" end)
    fails("field 'list': %[2%]: field 'xyz': %[1%]: number expected for f32", function() x.list = { {}, { xyz = { "x" } } } end)
    fails("no field 'z'", function() x["in"] = { z = 1 } end)
    fails("no field '1'", function() x["in"] = { 1 } end)
    assert.same({ "x", "" }, x.tags:totable())
  end)

  it("are values as a whole", function()
    r[1] = value(7)
    assert.same(value(7), r:get(1))
    r[1] = { a = 1, ["in"] = { xyz = { 9 } } } -- the rest stays
    local changed = value(7)
    changed.a, changed["in"].xyz[1] = 1, 9.0
    assert.same(changed, r:get(1))
    r[2] = r[1] -- a record of the same layout
    assert.same(changed, r:get(2))
    r:set(2, { value(3), value(4) })
    assert.same({ changed, value(3), value(4) }, r:totable())
    r:set(1, value(5)):set(2, r[1], value(6))
    assert.same({ value(5), value(5), value(6) }, r:totable())
    r:set(1, r:totable(2))
    assert.same({ value(5), value(6), value(6) }, r:totable())
    assert.equal(r, r:fill({ a = 3 }, 2))
    assert.same({ -5, 3, 3 }, { r[1].a, r[2].a, r[3].a })
    r:copy(3, r, 1, 1)
    assert.same(value(5), r:get(3))
    assert.equal(r:string(1, 1), r:string(3, 3))
    r:setstring(2, r:string(1, 1))
    assert.same(value(5), r:get(2))
    local other = m:view(inner, 1000, 3)
    fails("records of another layout", other.copy, other, 1, r)
    fails("record of another layout", function() other[1] = r[1] end)
    fails("field by field", r.equal, r, r)
    fails("by their fields", r.find, r, 1)
    fails("table expected for record, got number", function() r[1] = 1 end)
    fails("elements of record are not for this", r.add, r, 1, 1)
  end)

  it("give one field as a view", function()
    r:set(1, value(1), value(2), value(3))
    local a = r:field "a"
    assert.same({ -1, -2, -3 }, a:totable())
    assert.same({ all:size(), 1, 3, "i8" }, { a:stride(), a:itemsize(), #a, a:type() })
    a:fill(0, 2, 3)
    assert.same({ -1, 0, 0 }, { r[1].a, r[2].a, r[3].a })
    assert.same({ 1.0, 2.0, 3.0 }, r:field "in":field("xyz", 3):totable())
    assert.same({ { 0.5, 1.5, 1.0 } }, r:field "in":field "xyz":totable(1, 1))
    assert.equal(1.5, r:field "in":field "xyz"[3][2])
    assert.same({ 11, 12, 13 }, r:field("m", 2):totable(1, 1)[1] and { r:field("m", 2)[1]:get(1, 3) })
    assert.same({ "five!", "five!", "five!" }, r:field "name":totable())
    r:field "name"[2] = "two"
    assert.equal(2, r:field "name":find "two")
    assert.is_nil(r:field "name":find "three")
    r:field "name":set(1, "a", "b", "c")
    assert.same({ 1, 1 }, { r:field "name":compare(r:slice(2):field "name") == -1 and 1, 1 })
    assert.equal("b", r[2].name)
    r:field("tags", 1):fill "same"
    assert.same({ "same", "t1" }, r[3].tags:totable())
    r:field "m"[3] = { { 0, 0, 0 } }
    assert.same({ { 0, 0, 0 }, { 13, 14, 15 } }, r:field "m":get(3))
    r:field "in":field "xyz":set(1, { { 1, 1, 1 }, { 2, 2, 2 } })
    assert.same({ 2.0, 2.0, 2.0 }, r[2]["in"].xyz:totable())
    fails("no field 'z'", r.field, r, "z")
    fails("this field is no array", r.field, r, "a", 1)
    fails("index 4 is out of bounds %(length 3%)", r:field "in".field, r:field "in", "xyz", 4)
    fails("not a view of records", a.field, a, "a")
    fails("numbers are not compared with strings", a.equal, a, r:field "name")
  end)

  it("need not be aligned, and have fields that are atomic where they are", function()
    local odd = m:view(all, 1001, 1):set(1, value(4))
    assert.same(value(4), odd:get(1))
    local c = m:view(layouts.lines, 2048, 4)
    assert.equal(0, c:field "b":add(3, 5))
    assert.equal(5, c[3].b)
    fails("not aligned", m:view(layouts.tight):field "b".load, m:view(layouts.tight):field "b", 1)
  end)

  it("raise when the mapping is closed", function()
    local x, xyz = r[1], r[1]["in"].xyz
    m:close()
    fails("closed", function() return x.a end)
    fails("closed", function() x.a = 1 end)
    fails("closed", function() x["in"] = {} x.list = { { flag = 1 } } end)
    fails("closed", function() return r[1] end)
    fails("closed", r.get, r, 1)
    fails("closed", r.set, r, 1, { a = 1 })
    fails("closed", function() return xyz[1] end)
    fails("closed", function() pairs(x)(x) end)
  end)

  it("keep their layout and mapping", function()
    local x = assert(ipc.mmap.anonymous(4096)):view(layout { { "i", layout { { "n", "i32", 2 } } } })[1].i.n
    collectgarbage()
    collectgarbage()
    x[2] = 5
    assert.equal(5, x[2])
  end)

  it("writes nothing into a mapping that a metamethod has made read-only", function()
    local kind = layout { { "n", "i32" }, { "s", "char", 4 }, { "list", "i32", 2 } }
    local function sealing(map)
      return setmetatable({}, { __len = function() return 2 end, __index = function(_, i)
        map:seal "write"
        return i
      end })
    end
    for _, write in ipairs {
      function(map) map:view("i32"):set(1, sealing(map)) end,
      function(map) map:view(kind)[1].list = sealing(map) end,
      function(map) map:view(kind)[1] = { list = sealing(map) } end,
      function(map) map:view(kind):set(1, setmetatable({ {} }, { __len = function() return 2 end, __index = function()
        map:seal "write"
        return { s = "x" }
      end })) end,
    } do
      local map <close> = assert(ipc.shm.anonymous { size = 4096 })
      assert.error_matches(function() write(map) end, "read%-only mapping")
      assert.equal(("\0"):rep(4096), map:read(0, 4096))
    end
  end)
end)
