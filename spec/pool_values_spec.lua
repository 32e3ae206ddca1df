-- Pools: what goes to workers and comes back, and that it is all that does.
local child = require "support.child"
local crew = require "lipc.pool.crew"
local ipc = require "lipc"

local function id(x) return x end

describe("values of a pool", function()
  it("carries any value there and back", function()
    local pool <close> = ipc.pool { workers = 2 }
    local items = {
      1, 1.0, -0.0, math.mininteger, math.maxinteger, 1 / 0, "", "a\0b", "\xff\xfe", true, false, {}, { 1, nil, 3 },
      { [0.5] = 1, [true] = 2, x = { y = { "z" } } }, ("x"):rep(70000),
    }
    for _ = 1, 2 do -- inherited by new workers, then sent to the same
      local r = assert(pool:map(id, items))
      assert.same(items, r)
      for i, v in ipairs(items) do assert.equal(math.type(v), math.type(r[i])) end
      assert.equal("-inf", tostring(1 / r[3]))
      assert.same({ 1.5, 2.5 }, pool:map(id, { 1.5, 2.5 }))
      assert.same({ "a", "b", "" }, pool:map(id, { "a", "b", "" }))
      assert.same({ "a", 1, 1.5, true }, pool:map(id, { "a", 1, 1.5, true }))
    end
    assert.equal(1, #assert(pool:map(function(x) if x == 1 then return x end end, { 1, 2, 3 })))
    local r = assert(pool:map(function(x) if x ~= 2 then return x end end, { 1, 2, 3 }))
    assert.is_nil(r[2])
    assert.equal(3, r[3])
  end)

  it("carries lists of every scalar, whatever their size", function()
    local pool <close> = ipc.pool { workers = 1 }
    local some = { true, false, 0, -1, 3.0, -0.0, 0.1, 1 / 0, "", "a\0b", math.mininteger, math.maxinteger }
    for _, edge in ipairs { 1 << 31, -(1 << 31), 1 << 32, 1 << 53 } do
      for d = -1, 1 do some[#some + 1] = edge + d end
    end
    for _, large in ipairs { 1, 60000, 70000, 200000 } do -- less and more than what is packed without counting first
      local items = table.move(some, 1, #some, 1, { [#some + 1] = ("x"):rep(large) })
      for _ = 1, 2 do -- inherited, then sent
        local r = assert(pool:map(id, items, { chunk = #items }))
        assert.equal(#items, #r)
        for i, v in ipairs(items) do assert.is_true(v == r[i] and math.type(v) == math.type(r[i]), i) end
        assert.equal("-inf", tostring(1 / r[6]))
      end
    end
  end)

  it("leaves nothing of one chunk in the results of the next", function()
    local pool <close> = ipc.pool { workers = 1 }
    local function odd(x)
      if x == 5 then error "five" end
      if x % 2 == 1 then return x end
    end
    for _ = 1, 3 do
      local r, failed = pool:map(odd, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, { chunk = 10, errors = "collect" })
      assert.same({ [1] = 1, [3] = 3, [7] = 7, [9] = 9 }, r)
      assert.equal(5, failed[5].item)
      assert.is_nil(pool:map(odd, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, { chunk = 10 }))
      assert.same({}, pool:map(odd, { 2, 4, 6, 8 }, { chunk = 4 }))
    end
    local seen = {}
    for i, r, failure in pool:imap(odd, { 1, 2, 3, 4, 5, 6, 7 }, { chunk = 7, errors = "collect" }) do
      seen[i] = r or failure and "failed"
    end
    assert.same({ [1] = 1, [3] = 3, [5] = "failed", [7] = 7 }, seen)
    local other <close> = ipc.pool { workers = 1, module = "math" }
    assert.same({ 1, 2 }, other:map("floor", { 1.5, 2.5 }, { chunk = 2 }))
    local r, failed = other:map("nosuch", { 1.5, 2.5 }, { chunk = 2, errors = "collect" })
    assert.same({}, r)
    assert.equal(2, #failed)
  end)
end)

describe("workers of a pool", function()
  it("have written what they write before the call returns", function()
    local _, finish = child.lua [[
      local pool = require "lipc".pool { workers = 1 }
      assert(pool:map(function(x) io.write("item ", x, "\n") end, { 1, 2 }))
      io.write "over\n"
      io.stdout:flush()
      pool:map(function() io.write "to fail\n" error "x" end, { 1 })
      pool:map(function() io.stdout:close() end, { 1 })
      pool:kill()
    ]]
    local ok, output = finish()
    assert.is_true(ok, output)
    assert.equal("item 1\nitem 2\nover\nto fail\n", output)
  end)

  it("that do not end are waited for together", function()
    local seen, closed = {}, 0
    local leaving = {}
    for i = 1, 3 do
      leaving[i] = {
        wait = function(_, seconds)
          seen[i] = seconds
          ipc.sleep(seconds)
        end,
        close = function() closed = closed + 1 end,
      }
    end
    crew.sweep({ leaving = leaving }, 0.05)
    assert.same({ 0, 0 }, { seen[2], seen[3] })
    assert.is_true(seen[1] > 0)
    assert.equal(3, closed)
  end)
end)
