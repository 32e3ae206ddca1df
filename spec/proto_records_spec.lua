-- Equal records in a string, as Lua and as C take them.
local in_c = require("lipc.core").records()
local in_lua = require "lipc.proto.records"
local support = require "proto_support"

describe("proto.records", function ()
  for name, records in pairs { Lua = in_lua, C = in_c } do
    it("counts whole records and gives them another head, in " .. name, function ()
      local buffer = "..P 3\nabc;P 3\ndef;P 3\nghi;P 3\nx"
      assert.equal(3, records.count(buffer, 3, "P 3\n", 3, ";"))
      assert.equal(2, records.count(buffer, 11, "P 3\n", 3, ";"))
      assert.equal(0, records.count(buffer, 1, "P 3\n", 3, ";"))
      assert.equal(0, records.count(buffer, 3, "P 3\n", 4, ";"))
      assert.equal(0, records.count(buffer, 3, "P 3\n", 3, "!"))
      assert.equal(0, records.count(buffer, #buffer + 1, "P 3\n", 3, ";"))
      assert.equal("M 1\nabc;M 1\ndef;", records.rehead(buffer, 3, 2, 4, 4, "M 1\n"))
      assert.equal("abc;def;ghi;", records.rehead(buffer, 3, 3, 4, 4, ""))
      assert.equal("", records.rehead(buffer, 3, 0, 4, 4, "M 1\n"))
      -- more than what is at hand for small results
      local big = ("P" .. ("x"):rep(999)):rep(300)
      assert.equal(300, records.count(big, 1, "Px", 998, ""))
      assert.equal(("head" .. ("x"):rep(999)):rep(300), records.rehead(big, 1, 300, 1, 999, "head"))
    end)
  end

  it("is the same in both", function ()
    support.seed "records"
    local random = math.random
    for _ = 1, 3000 do
      local head, tail, size = ("ab"):rep(random(0, 2)), ("a"):rep(random(0, 2)), random(0, 3)
      if #head + #tail + size > 0 then
        local bytes = {}
        for i = 1, random(0, 40) do bytes[i] = random(8) > 1 and (i % 2 == 0 and "b" or "a") or "c" end
        local buffer = table.concat(bytes)
        local from = random(#buffer + 1)
        local count = in_lua.count(buffer, from, head, size, tail)
        assert.equal(count, in_c.count(buffer, from, head, size, tail))
        local rest = size + #tail
        local expected = in_lua.rehead(buffer, from, count, #head, rest, "new")
        assert.equal(expected, in_c.rehead(buffer, from, count, #head, rest, "new"))
      end
    end
  end)

  it("takes nothing from outside the string", function ()
    for _, bad in ipairs {
      { "count", "abc", 0, "a", 1, "" }, { "count", "abc", 5, "a", 1, "" }, { "count", "abc", 1, "a", -1, "" },
      { "count", "abc", 1, "", 0, "" }, { "count", "abc", 1, "a", math.maxinteger, "" },
      { "rehead", "abc", 0, 1, 1, 1, "" }, { "rehead", "abc", 1, 2, 1, 1, "" }, { "rehead", "abc", 1, -1, 1, 1, "" },
      { "rehead", "abc", 1, 1, -1, 1, "" }, { "rehead", "abc", 1, 1, 1, -1, "" },
      { "rehead", "abc", 1, math.maxinteger, math.maxinteger, 1, "" },
      { "rehead", "abc", 1, 1 << 40, 0, 0, ("x"):rep(1 << 20) .. ("x"):rep(1 << 24) },
    } do
      assert.has_error(function () in_c[bad[1]](table.unpack(bad, 2)) end)
    end
  end)
end)
