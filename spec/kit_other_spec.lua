-- What is there has other properties than the caller says: one rule for everything in shared memory.
local ipc = require "lipc"
local names = require "support.names"

local shared, sync = ipc.shared, ipc.sync
local layout = ipc.view.layout
local name = "/" .. names.new()

-- open(create, ...) fails, whether it may make one or not.
local function refused(op, difference, open, ...)
  for _, create in ipairs { false, true } do
    local result = table.pack(open(create or nil, ...))
    assert.same({ nil, ("%s %s: Invalid argument (%s)"):format(op, name, difference), "EINVAL", n = 3 }, result)
  end
end

describe("what is there and differs from what is asked for", function()
  after_each(function() ipc.shm.unlink(name) end)

  it("is refused with both values: shared.value", function()
    local function open(create, type, capacity)
      return shared.value(type, nil, { name = name, create = create, capacity = capacity })
    end
    assert(open(true, "string", 9)):close()
    refused("shared.value", "type is string, i64 asked for", open, "i64", nil)
    refused("shared.value", "capacity is 9, 10 asked for", open, "string", 10)
    assert(open(true, "string", 9)):close()
    assert(open(nil, "string")):close()
    assert.error_matches(function() open(nil, "i64", 9) end, "#3 to 'value' %(the option 'capacity' is for strings%)")
  end)

  it("shared.dict", function()
    local function open(create, capacity, bytes)
      return shared.dict { name = name, create = create, capacity = capacity, bytes = bytes }
    end
    assert(open(true, 10, 1000)):close()
    refused("shared.dict", "capacity is 10, 11 asked for", open, 11, 1000)
    refused("shared.dict", "bytes is 1000, 999 asked for", open, 10, 999)
    assert(open(true, 10)):close() -- what is not said is not compared
    assert(open()):close()
  end)

  it("shared.array", function()
    local function open(create, type, n) return shared.array(type, n, { name = name, create = create }) end
    assert(open(true, "i32", 7)):close()
    refused("shared.array", "type is i32, f64 asked for", open, "f64", 7)
    refused("shared.array", "type is i32, record asked for", open, layout { { "x", "i32" } }, 7)
    refused("shared.array", "number of elements is 7, 8 asked for", open, "i32", 8)
    assert(open(nil, "i32")):close()
  end)

  it("shared.struct: which field", function()
    local inner = layout { { "a", "u8" }, { "b", "f64" } }
    local function open(create, fields) return shared.struct(fields, { name = name, create = create }) end
    assert(open(true, { { "x", "f64" }, { "s", "bytes", 5 }, { "inner", inner }, { "n", "i32", { 2, 3 } } })):close()
    for difference, fields in pairs {
      ["number of fields is 4, 1 asked for"] = { { "x", "f64" } },
      ["name of field 2 is s, t asked for"] = { { "x", "f64" }, { "t", "bytes", 5 }, { "inner", inner }, { "n", "i32", { 2, 3 } } },
      ["type of field 'x' is f64, i64 asked for"] = { { "x", "i64" }, { "s", "bytes", 5 }, { "inner", inner }, { "n", "i32", { 2, 3 } } },
      ["size of field 's' is 5, 6 asked for"] = { { "x", "f64" }, { "s", "bytes", 6 }, { "inner", inner }, { "n", "i32", { 2, 3 } } },
      ["count of field 'n' is 2, 3 asked for"] = { { "x", "f64" }, { "s", "bytes", 5 }, { "inner", inner }, { "n", "i32", { 3, 3 } } },
      ["type of field 'inner' is record, f64 asked for"] =
        { { "x", "f64" }, { "s", "bytes", 5 }, { "inner", "f64" }, { "n", "i32", { 2, 3 } } },
      ["type of field 'b' of field 'inner' is f64, i64 asked for"] =
        { { "x", "f64" }, { "s", "bytes", 5 }, { "inner", layout { { "a", "u8" }, { "b", "i64" } } }, { "n", "i32", { 2, 3 } } },
      ["offset of field 'inner' is 16, 24 asked for"] =
        { { "x", "f64" }, { "s", "bytes", 5 }, { "inner", inner, offset = 24 }, { "n", "i32", { 2, 3 } } },
      ["size is 56, 64 asked for"] =
        { { "x", "f64" }, { "s", "bytes", 5 }, { "inner", inner }, { "n", "i32", { 2, 3 } }, size = 64 },
    } do
      refused("shared.struct", difference, open, fields)
    end
  end)

  it("sync.mutex, sync.rwlock, sync.barrier, by name and in a mapping", function()
    for kind, case in pairs {
      mutex = { { type = "normal" }, { type = "recursive" }, "type is normal, recursive asked for" },
      rwlock = { { slots = 5 }, { slots = 6 }, "slots is 5, 6 asked for" },
      barrier = { { parties = 3 }, { parties = 2 }, "parties is 3, 2 asked for" },
    } do
      local made, other, difference = table.unpack(case)
      local function by_name(create, opts)
        opts.create = create
        return sync[kind](name, opts)
      end
      assert(by_name(true, made)):close()
      refused("sync." .. kind, difference, by_name, other)
      assert(by_name(nil, {})):close()
      ipc.shm.unlink(name)
      local map <close> = assert(ipc.shm.open(name, { create = true, size = 4096 }))
      assert(sync[kind](map, 0, made)):close()
      refused("sync." .. kind, difference, function(create, opts)
        opts.create = create
        return sync[kind](map, 0, opts)
      end, other)
      ipc.shm.unlink(name)
    end
  end)

  it("shm, mmap and sysv.shm: fewer bytes than are asked for", function()
    assert(ipc.shm.open(name, { create = true, size = 1000 })):close()
    refused("shm.open", "size is 1000, 1001 asked for", function(create) return ipc.shm.open(name, { create = create, size = 1001 }) end)
    assert(ipc.shm.open(name, { create = true, size = 10 })):close() -- a part
    local shm_name = name
    name = names.path ".map"
    assert(ipc.mmap.open(name, { create = true, size = 1000 })):close()
    refused("mmap.open", "size is 1000, offset 990 and 11 asked for", function(create)
      return ipc.mmap.open(name, { create = create, offset = 990, size = 11 })
    end)
    os.remove(name)
    local key = 0x4c000000 | math.random(0, 0xffffff)
    local segment = assert(ipc.sysv.shm.open(key, { create = true, exclusive = true, size = 100 }))
    name = ("key 0x%08x"):format(key)
    refused("sysv.shm.open", "size is 100, 101 asked for", function(create)
      return ipc.sysv.shm.open(key, { create = create, size = 101 })
    end)
    segment:remove()
    segment:close()
    name = shm_name
  end)

  it("is EPROTO where it is of another kind, or overwritten", function()
    assert(sync.mutex(name, { create = true })):close()
    assert.same({ nil, ("sync.rwlock %s: Protocol error (a mutex is there)"):format(name), "EPROTO" },
      { sync.rwlock(name, { slots = 3 }) })
    assert.same({ nil, ("shared.value %s: Protocol error (a mutex is there)"):format(name), "EPROTO" },
      { shared.value("i64", nil, { name = name }) })
    ipc.shm.unlink(name)
    assert(shared.array("i32", 3, { name = name, create = true })):close()
    local memory <close> = assert(ipc.shm.open(name))
    local at = assert(memory:read(0, #memory):find("i32", 1, true))
    memory:write(at - 1, "{32")
    for _, open in ipairs {
      function() return shared.array("i32", 3, { name = name }) end,
      function() return shared.open(name) end,
    } do
      assert.equal("EPROTO", (select(3, open())))
    end
  end)
end)
