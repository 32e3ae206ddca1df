-- Arrays and records in shared memory: elements, names, layouts, the lock.
local ipc = require "lipc"
local names = require "support.names"
local peer = require "support.peer"

local shared = ipc.shared

describe("shared.array", function()
  it("has elements, as a view has", function()
    local a <close> = assert(shared.array("f64", 10))
    assert.equal(10, #a)
    assert.equal(0.0, a[10])
    a[1], a[10] = 1.5, 2
    assert.same({ 1.5, 2.0 }, { a[1], a[10] })
    a:fill(7)
    a:set(2, { 1, 2, 3 })
    assert.same({ 7.0, 1.0, 2.0, 3.0, 7.0 }, a:totable(1, 5))
    assert.equal(3, a:find(2.0))
    assert.equal("lipc.view", tostring(a:view()):match "^%S+")
    assert.error_matches(function() return a[11] end, "index 11 is out of bounds %(length 10%)")
    assert.error_matches(function() a[0] = 1 end, "index 0 is out of bounds")
    assert.error_matches(function() a[1] = "x" end, "number expected for f64")
    assert.is_nil(a.x)
    assert.error_matches(function() a.x = 1 end, "index expected")
    local n = 0
    for i, x in pairs(a) do
      n = n + 1
      assert.equal(a[i], x)
    end
    assert.equal(10, n)
  end)

  it("blames the function that was called, where it was called", function()
    local a, s = assert(shared.array("i32", 4)), assert(shared.struct { { "n", "i32" } })
    local here = debug.getinfo(1, "S").short_src .. ":%d: bad argument #%d to '%s' (%s)"
    local function blamed(line, arg, name, problem, f)
      local ok, message = pcall(f)
      assert.is_false(ok)
      assert.equal(here:format(debug.getinfo(f, "S").linedefined + line, arg, name, problem), message)
    end
    blamed(0, 2, "index", "index 9 is out of bounds (length 4)", function() return a[9] end)
    blamed(0, 3, "newindex", "number expected for i32, got string", function() a[1] = "x" end)
    blamed(0, 2, "set", "number expected for i32, got string", function() a:set(1, "x") end)
    blamed(0, 1, "get", "index 9 is out of bounds (length 4)", function() return (a:get(9)) end)
    blamed(1, 2, "cas", "number expected for i32, got string", function()
      a:cas(1, "x", 2)
    end)
    blamed(0, 1, "get", "lipc.shared.array expected, got table", function() a.get({}, 1) end)
    blamed(0, 3, "newindex", "field 'n': number expected for i32, got string", function() s.n = "x" end)
    blamed(0, 2, "index", "no field 'x'", function() return s.x end)
    a:close()
    s:close()
    blamed(0, 1, "len", "closed shared.array", function() return #a end)
    blamed(0, 1, "index", "closed shared.struct", function() return s.n end)
    assert.error_matches(function() a:get(1) end, "bad self %(closed shared.array%)")
  end)

  it("is changed by a child, under its lock or by atomics", function()
    local a <close> = assert(shared.array("i64", 3))
    local children = {}
    for i = 1, 4 do
      children[i] = assert(ipc.process.fork(function()
        for _ = 1, 500 do
          a:with(function()
            a[1] = a[1] + 1
            a[2] = a[2] - 1
          end)
          a:add(3, 1)
        end
      end))
    end
    for _, p in ipairs(children) do assert.equal(0, assert(p:wait(60)).code) p:close() end
    assert.same({ 2000, -2000, 2000 }, a:totable())
  end)

  it("waits for a word through its view", function()
    local a <close> = assert(shared.array("i32", 1))
    local p <close> = assert(ipc.process.fork(function()
      assert(a:wait(1, 0, 60))
      a[1] = a[1] + 1
    end))
    a[1] = 1
    a:wake(1)
    assert.equal(0, assert(p:wait(60)).code)
    assert.equal(2, a[1])
  end)

  it("knows by name what it is", function()
    local name = "/" .. names.new()
    local a <close> = assert(shared.array("u16", 5, { name = name, create = true, unlink = true }))
    a[5] = 65535
    local out, ok = peer.run([[local a = assert(ipc.shared.open(arg[1]))
      print(#a, a[5], a:type())
      a[1] = 7
      print(ipc.shared.array("i16", nil, { name = arg[1] }))
      print(ipc.shared.array("u16", 6, { name = arg[1] }))
      print(#assert(ipc.shared.array("u16", nil, { name = arg[1] })))
      print(ipc.shared.struct({ { "x", "u16" } }, { name = arg[1] }))]], name)
    assert.is_true(ok, out)
    local refused = "nil\tshared.array " .. name .. ": Invalid argument (%s)\tEINVAL\n"
    assert.equal("5\t65535\tu16\n" .. refused:format "type is u16, i16 asked for" .. refused:format
      "number of elements is 5, 6 asked for" .. "5\n", (out:gsub("nil\tshared.struct[^\n]*\n$", "")))
    assert.matches("nil\tshared.struct .*array is there", out)
    assert.equal(7, a[1])
    assert.same({ type = "array", name = name, count = 5, itemsize = 2, offset = 128 }, a:stat())
  end)

  it("refuses misuse, and raises once it is closed", function()
    local function bad(pattern, ...)
      local ok, message = pcall(function(...) shared.array(...) end, ...)
      assert.is_false(ok)
      assert.matches("shared_array_spec", message)
      assert.matches(pattern, message)
    end
    bad("#1 to 'array' %(unknown type 'f63': expected i8, u8, i16, u16, i32, u32, i64, u64, f32, f64, bytes, or a layout%)",
      "f63", 1)
    bad("#1 to 'array' %(type or layout expected, got nil%)")
    bad("#2 to 'array' %(must be positive%)", "f64", 0)
    bad("#2 to 'array' %(integer expected, got nil%)", "f64")
    bad("#2 to 'array' %(integer expected, got float%)", "f64", 1.5)
    bad("#2 to 'array' %(integer expected, got string%)", "f64", "1")
    bad("#2 to 'array' %(too many%)", "f64", math.maxinteger)
    assert.equal(1000, #assert(shared.array("u8", 1e3)))
    bad("#3 to 'array' %(unknown option 'offset'%)", "f64", 1, { offset = 8 })
    local a = assert(shared.array("f64", 1))
    local v = a:view()
    assert.is_true(a:close())
    assert.error_matches(function() return a[1] end, "closed")
    assert.error_matches(function() return v[1] end, "closed")
    assert.error_matches(function() a:fill(1) end, "closed shared.array")
    assert.error_matches(function() a:lock(0) end, "closed shared.array")
  end)
end)

describe("shared.struct", function()
  local fields = { { "x", "f64" }, { "n", "i32", 3 }, { "name", "char", 16 } }

  it("has fields", function()
    local s <close> = assert(shared.struct(fields))
    s.x, s.name = 1.5, "abc"
    s.n[2] = 7
    assert.same({ 1.5, "abc", 0, 7 }, { s.x, s.name, s.n[1], s.n[2] })
    assert.error_matches(function() s.x = "no" end, "number expected")
    assert.error_matches(function() s.y = 1 end, "no field 'y'")
    local seen = {}
    for k in pairs(s) do seen[#seen + 1] = k end
    table.sort(seen)
    assert.same({ "n", "name", "x" }, seen)
    assert.equal(2.5, s:with(function(r)
      r.x = r.x + 1
      return r.x
    end))
    assert.error_matches(function() shared.struct { { "with", "f64" } } end, "field 'with' has the name of a method")
    assert.error_matches(function() shared.struct { { "x", "f65" } } end, "#1 to 'struct' %(field 'x': unknown type 'f65': "
      .. "expected i8, .*, bytes, char or a layout%)")
    s:close()
    assert.error_matches(function() return s.x end, "closed")
  end)

  it("is understood by who opens it, with records in it", function()
    local name = "/" .. names.new()
    local inner = ipc.view.layout { { "a", "u8" }, { "b", "f64", pad = "cacheline" } }
    local layout = { { "x", "f64" }, { "s", "bytes", 5 }, { "inner", inner }, { "n", "i32", 3 }, { "list", inner, 2 } }
    local s <close> = assert(shared.struct(layout, { name = name, create = true, unlink = true }))
    s.x, s.s, s.inner.b, s.list[2].a = 0.5, "hello", 2.5, 200
    local out, ok = peer.run([[local s = assert(ipc.shared.open(arg[1]))
      print(s.x, s.s, s.inner.b, s.list[2].a, #s.n)
      s.n[3] = -1
      print(ipc.shared.struct({ { "x", "f64" } }, { name = arg[1] }))]], name)
    assert.is_true(ok, out)
    assert.equal("0.5\thello\t2.5\t200\t3\nnil\tshared.struct " .. name
      .. ": Invalid argument (number of fields is 5, 1 asked for)\tEINVAL\n", out)
    assert.equal(-1, s.n[3])
    local again <close> = assert(shared.struct(layout, { name = name }))
    assert.equal(0.5, again.x)
    local records <close> = assert(shared.array(inner, 4))
    records[4].b = 1
    assert.equal(1.0, records[4].b)
  end)
end)
