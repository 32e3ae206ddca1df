local subject = require "lipc.proto.subject"

describe("proto.subject", function ()
  it("splits at dots and refuses empty tokens", function ()
    assert.same({ { "a", "bc", "*" }, 3 }, { subject.split "a.bc.*" })
    for _, text in ipairs { "", ".", ".a", "a.", "a..b" } do
      assert.is_nil((subject.split(text)), text)
    end
  end)

  it("knows what can be published to", function ()
    for _, text in ipairs { "a", "a.b.c", "a*b", "a>", "**", "\xc3\xa9", "a\vb", "$SYS.x" } do
      assert.is_true(subject.is_subject(text), text)
    end
    for _, text in ipairs { "", ".", ".a", "a.", "a..b", "*", ">", "a.*", "a.>", "a.>.b", "*.a", "a b", "a\tb", "a\r", "\na" } do
      local ok, reason = subject.is_subject(text)
      assert.is_false(ok, text)
      assert.is_string(reason)
    end
    for _, text in ipairs { "a", "a*b", "a\rb", "\r", "a.\r.b" } do assert.is_true(subject.is_literal(text), text) end
    for _, text in ipairs { "", "a..\r", "*", "a.>" } do assert.is_false((subject.is_literal(text)), text) end
  end)

  it("knows what can be subscribed to", function ()
    for _, text in ipairs { "a", "*", ">", "a.*", "a.>", "*.*.>", "a*.b", "a>", "a>.b", "**" } do
      assert.is_true(subject.is_pattern(text), text)
    end
    for _, text in ipairs { "", ".", "a..b", ">.a", "a.>.b", ">.", "a b", "a.\t" } do
      assert.is_false((subject.is_pattern(text)), text)
    end
  end)

  it("finds wildcard tokens only where they are whole tokens", function ()
    for text, expected in pairs {
      ["a"] = false, ["a*"] = false, ["a>.b"] = false, ["*"] = true, [">"] = true, ["a.*.b"] = true, ["a.>"] = true, ["*a.b*"] = false,
    } do
      assert.equal(expected, subject.has_wildcard(text), text)
    end
  end)

  it("matches", function ()
    local cases = {
      { "a", "a", true }, { "a", "b", false }, { "a", "a.b", false }, { "a.b", "a", false }, { "*", "a", true }, { "*", "a.b", false },
      { "a.*", "a.b", true }, { "a.*", "a", false }, { "a.*.c", "a.b.c", true }, { ">", "a", true }, { ">", "a.b.c", true },
      { "a.>", "a", false }, { "a.>", "a.b", true }, { "a.>", "a.b.c", true }, { "*.>", "a", false }, { "*.>", "a.b", true },
      { "a*", "ab", false }, { "a*", "a*", true }, { "a.*", "a.*", true }, { ">", "a..b", false },
    }
    for _, case in ipairs(cases) do
      assert.equal(case[3], subject.matches(case[1], case[2]), case[1] .. " " .. case[2])
    end
  end)

  it("tells which pattern covers which, and which overlap", function ()
    local cases = { -- outer, inner, covers, overlap
      { "a", "a", true, true }, { "*", "a", true, true }, { "a", "*", false, true }, { ">", "*", true, true },
      { "*", ">", false, true }, { ">", ">", true, true }, { "a.*", "a.>", false, true }, { "a.>", "a.*.b", true, true },
      { "a.*", "*.b", false, true }, { "a.*", "b.*", false, false }, { "a.*", "a", false, false }, { "a.>", "a", false, false },
      { "*.*", "a.b.c", false, false },
    }
    for _, case in ipairs(cases) do
      local name = case[1] .. " " .. case[2]
      assert.equal(case[3], subject.covers(case[1], case[2]), name)
      assert.equal(case[4], subject.overlap(case[1], case[2]), name)
      assert.equal(case[4], subject.overlap(case[2], case[1]), name)
    end
  end)
end)
