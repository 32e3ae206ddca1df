-- The examples of shared memory and mapped files, run as a reader would run them.
local names = require "support.names"
local peer = require "support.peer"

describe("the example", function()
  it("shm_writer sees what shm_reader changes", function()
    local name = "/" .. names.new()
    local lua = os.getenv "LUA" or "lua5.4"
    local writer = peer.sh(("exec %s examples/shm_writer.lua %s 2>&1"):format(lua, name))
    assert.equal("writer: 10 20 30 40 50", writer:read "l")
    assert.equal("reader: 5 numbers, 150 together\nreader: the third is 99 now\n", peer.shown("shm_reader", name))
    assert.equal("writer: the third has become 99\n", writer:read "a")
    assert.is_true(writer:close())
    local out, ok = peer.example("shm_reader", name)
    assert.is_nil(ok)
    assert.matches("shm.open " .. name:gsub("%-", "%%-") .. ": No such file or directory", out)
  end)

  it("mmap_edit loses no edit", function()
    for _, path in ipairs { false, names.path ".txt" } do
      assert.equal("12 jobs, each taken once\n", peer.shown("mmap_edit", table.unpack { path or nil }))
      if path then
        local f <close> = assert(io.open(path))
        assert.equal(12 * 15, #f:read "a")
        os.remove(path)
      end
    end
  end)
end)
