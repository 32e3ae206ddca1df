-- Addresses as tables: what goes in comes out.
local ipc = require "lipc"
local socket = ipc.socket
local names = require "support.names"

describe("an address", function()
  it("comes out as it went in", function()
    local path = names.path ".sock"
    for _, a in ipairs {
      { family = "unix", path = path },
      { family = "unix", abstract = names.new() },
      { family = "unix", abstract = names.new() .. "\0\255 x" },
      { family = "inet", host = "127.0.0.1", port = 0 },
      { family = "inet6", host = "::1", port = 0 },
    } do
      local d = assert(socket.datagram(a))
      local got = d:getsockname()
      if a.port then
        assert.is_true(math.type(got.port) == "integer" and got.port > 0)
        a.port = got.port
      end
      assert.same(a, got)
      local e = assert(socket.connect { type = "dgram", family = got.family, path = got.path, abstract = got.abstract,
        host = got.host, port = got.port })
      assert.same(got, e:getpeername())
      d:close()
      e:close()
    end
  end)

  it("of IPv6 may have a scope, by name or number", function()
    for _, host in ipairs { "::1%lo", "::1%1" } do
      local l, message = socket.listen { host = host, port = 0 }
      assert(l, message)
      assert.matches("^::1", l:getsockname().host)
      l:close()
    end
    -- what is no interface is for the look-up to refuse
    local l, message, code = socket.listen { host = "::1%nosuchif0", port = 0 }
    assert.is_nil(l)
    assert.matches("^E", code, message)
  end)

  it("is named in messages as people write it", function()
    for text, a in pairs {
      ["127.0.0.1:9"] = { host = "127.0.0.1", port = 9, type = "dgram" },
      ["[::1]:9"] = { host = "::1", port = 9, type = "dgram" },
    } do
      local c = assert(socket.connect(a))
      assert.matches("lipc.socket.message " .. text .. " (fd ", tostring(c), 1, true)
      assert.equal("socket:recv " .. text .. ": timed out", (select(2, c:recv(1, 0))))
      c:close()
    end
  end)

  it("is only the family where there is no name", function()
    local a, b = assert(socket.pair())
    assert.same({ family = "unix" }, a:getsockname())
    assert.same({ family = "unix" }, b:getpeername())
    a:close()
    b:close()
    local d = assert(socket.datagram { family = "inet" })
    assert.same({ family = "inet", host = "0.0.0.0", port = 0 }, d:getsockname())
    local peer, message, code = d:getpeername()
    assert.is_nil(peer)
    assert.equal("ENOTCONN", code)
    assert.matches("^socket:getpeername", message)
    d:close()
  end)

  it("has one form only", function()
    local d = assert(socket.datagram {})
    for _, a in ipairs { { path = "x", abstract = "y" }, { path = "x", host = "127.0.0.1", port = 1 }, {}, { family = "unix" } } do
      assert.has_error(function() d:sendto("x", a) end)
    end
    d:close()
  end)
end)
