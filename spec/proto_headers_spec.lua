local headers = require "lipc.proto.headers"
local support = require "spec.proto_support"

describe("proto.headers", function ()
  it("encodes names in order, several values, and keeps case", function ()
    assert.equal("NATS/1.0\r\nA: 1\r\nb: 2\r\nb: 3\r\n\r\n", headers.encode { b = { "2", 3 }, A = "1" })
    assert.equal("NATS/1.0\r\nB: 1\r\nA: 2\r\n\r\n", headers.encode { { "B", "1" }, { "A", "2" } })
    assert.equal("NATS/1.0\r\n\r\n", headers.encode {})
  end)

  it("encodes a status", function ()
    assert.equal("NATS/1.0 503\r\n\r\n", headers.encode(nil, 503))
    assert.equal("NATS/1.0 100 Idle Heartbeat\r\nA: b\r\n\r\n", headers.encode({ A = "b" }, "100", "Idle Heartbeat"))
  end)

  it("refuses what would break the block", function ()
    for _, bad in ipairs { { [""] = "x" }, { ["a b"] = "x" }, { ["a:"] = "x" }, { ["a\r"] = "x" }, { a = "x\ny" }, { a = "\r" }, { a = true } } do
      assert.has_error(function () headers.encode(bad) end)
    end
    assert.has_error(function () headers.encode({}, "5x3") end)
  end)

  it("decodes", function ()
    local fields, status, description = headers.decode "NATS/1.0 503  No Responders \r\nA:1\r\na:  2 \r\nA: 3:4\r\nE:\r\n\r\n"
    assert.same({ A = { "1", "3:4" }, a = { "2" }, E = { "" } }, fields)
    assert.equal("503", status)
    assert.equal("No Responders", description)
    assert.same({ {} }, { headers.decode "NATS/1.0\r\n\r\n" })
    assert.same({ "503", "" }, { headers.status "NATS/1.0 503\r\n\r\n" })
    assert.is_nil(headers.status "NATS/1.0\r\nX: 503\r\n\r\n")
  end)

  it("says what is wrong with a malformed block", function ()
    for _, bad in ipairs {
      "", "NATS/1.0", "NATS/1.0\r\n", "NATS/2.0\r\n\r\n", "NATS/1.0\r\nA\r\n\r\n", "NATS/1.0\r\n: x\r\n\r\n", "NATS/1.0\r\n\r\nA: b\r\n\r\n",
      "NATS/1.0 x\r\n\r\n", "NATS/1.0\r\nA: b\nC: d\r\n\r\n", "HTTP/1.1 200\r\n\r\n", "NATS/1.0\r\n A: b\r\n\r\n",
    } do
      local fields, message = headers.decode(bad)
      assert.is_nil(fields, bad)
      assert.is_string(message)
    end
  end)

  it("decodes what it encoded, and never raises on anything", function ()
    local seed = support.seed "headers fuzz"
    for _ = 1, 500 do
      local fields = {}
      for _ = 1, math.random(5) do
        local values = {}
        for i = 1, math.random(3) do
          values[i] = ("v"):rep(math.random(0, 5)) .. math.random(9) .. ":" .. string.char(math.random(33, 255))
        end
        fields["N" .. math.random(9)] = values
      end
      local block = headers.encode(fields, math.random(100, 999), "text")
      assert.same(fields, (headers.decode(block)), "seed " .. seed)
      local at = math.random(#block)
      headers.decode(block:sub(1, at - 1) .. string.char(math.random(0, 255)) .. block:sub(at + math.random(0, 2)))
    end
  end)
end)
