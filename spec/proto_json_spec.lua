local json = require "lipc.proto.json"

describe("proto.json", function ()
  it("decodes objects, leaving out what is null", function ()
    assert.same({ a = 1, b = { "x" } }, json.decode_object ' {"a":1,"b":["x"],"c":null} ')
    assert.same({}, json.decode_object "null")
    assert.is_true(math.type(json.decode_object('{"a":1}').a) == "integer")
  end)

  it("says what is wrong", function ()
    for _, bad in ipairs { "", " ", "{", "[]", "7", '"x"', "true", "{} x", '{"a"}', "{'a':1}", ("["):rep(4000), ('{"a":'):rep(4000) } do
      local object, message = json.decode_object(bad)
      assert.is_nil(object, bad:sub(1, 20))
      assert.is_string(message)
    end
  end)

  it("encodes on one line in the order asked for", function ()
    assert.equal('{"b":"x\\ny","a":1}', json.encode({ a = 1, b = "x\ny" }, { "b", "a" }))
  end)

  it("names the package when dkjson is missing", function ()
    local chunk = assert(loadfile(assert(package.searchpath("lipc.proto.json", package.path)), "t", _G))
    local loaded, path, cpath = package.loaded.dkjson, package.path, package.cpath
    package.loaded.dkjson, package.path, package.cpath = nil, "", ""
    local ok, message = pcall(chunk)
    package.loaded.dkjson, package.path, package.cpath = loaded, path, cpath
    assert.is_false(ok)
    assert.matches("lua%-dkjson", message)
  end)
end)
