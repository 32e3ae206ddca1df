-- Options by name.
local ipc = require "lipc"
local socket = ipc.socket
local peers = require "support.peers"

local function tcp()
  local l = assert(socket.listen { port = 0 })
  local c = assert(socket.connect { port = l:getsockname().port })
  l:close()
  return c
end

describe("options of a socket", function()
  it("are set and read back", function()
    local c = tcp()
    for name, values in pairs {
      nodelay = { true, false }, keepalive = { true, false }, reuseaddr = { true, false }, reuseport = { true, false },
      oobinline = { true, false }, dontroute = { true, false }, cork = { true, false },
      keepidle = { 77 }, keepintvl = { 7 }, keepcnt = { 3 }, user_timeout = { 12000 }, ttl = { 33 }, priority = { 2 },
      linger = { 5, 0, false },
    } do
      for _, value in ipairs(values) do
        assert.equal(c, c:setoption(name, value), name)
        assert.equal(value, c:getoption(name), name)
      end
    end
    c:close()
  end)

  it("are what the kernel makes of them", function()
    local c = tcp()
    for _, name in ipairs { "sndbuf", "rcvbuf" } do
      assert(c:setoption(name, 20000))
      assert.is_true(c:getoption(name) >= 20000)
    end
    c:close()
  end)

  it("say what the socket is", function()
    local l = assert(socket.listen { port = 0 })
    local a, b = assert(socket.pair { type = "seqpacket" })
    local u = assert(socket.datagram { family = "inet6" })
    assert.is_true(l:getoption "acceptconn")
    assert.is_false(a:getoption "acceptconn")
    assert.same({ "stream", "inet" }, { l:getoption "type", (l:getoption "family") })
    assert.same({ "seqpacket", "unix" }, { a:getoption "type", (a:getoption "family") })
    assert.same({ "dgram", "inet6" }, { u:getoption "type", (u:getoption "family") })
    for _, s in ipairs { l, a, b, u } do s:close() end
  end)

  it("tell a pending error once", function()
    local d = assert(socket.datagram { port = 0 })
    local port = d:getsockname().port
    d:close()
    local c = assert(socket.connect { port = port, type = "dgram" })
    assert.is_false(c:getoption "error")
    assert(c:send "x")
    local p = assert(ipc.poll.open())
    p:add(c, "r")
    assert(p:wait(60))
    p:close()
    assert.equal("ECONNREFUSED", c:getoption "error")
    assert.is_false(c:getoption "error")
    c:close()
  end)

  it("are refused by name when there is none such, or of the wrong type", function()
    local c = tcp()
    assert.has_error.matches(function() c:getoption "speed" end, "unknown socket option 'speed'")
    assert.has_error.matches(function() c:setoption("speed", 1) end, "unknown socket option 'speed'")
    assert.has_error.matches(function() c:setoption("type", 1) end, "option 'type' can only be read")
    assert.has_error.matches(function() c:setoption("nodelay", 1) end, "boolean expected, got 1")
    assert.has_error.matches(function() c:setoption("sndbuf", true) end, "integer that is not negative expected")
    assert.has_error.matches(function() c:setoption("sndbuf", -1) end, "integer that is not negative expected")
    assert.has_error.matches(function() c:setoption("sndbuf", 1.5) end, "integer that is not negative expected")
    assert.has_error.matches(function() c:setoption("linger", true) end, "seconds %(an integer%) or false expected")
    assert.has_error(function() c:setoption "nodelay" end)
    assert.has_error(function() c:getoption() end)
    c:close()
    assert.has_error.matches(function() c:getoption "type" end, "closed socket")
  end)

  it("report what the socket does not have", function()
    local a, b = assert(socket.pair())
    local ok, message, code = a:setoption("nodelay", true)
    assert.is_nil(ok)
    assert.matches("^EN?OTSUP$", code == "EOPNOTSUPP" and "ENOTSUP" or code)
    assert.matches("^socket:setoption: ", message)
    a:close()
    b:close()
  end)

  it("reset the connection at close with linger 0", function()
    local l = assert(socket.listen { port = 0 })
    local p = peers.python([[
s = socket.create_connection(('127.0.0.1', int(A[0])))
try: print(s.recv(1))
except ConnectionResetError: print('reset')
]], l:getsockname().port)
    local s = assert(l:accept(60))
    assert(s:setoption("linger", 0))
    s:close()
    assert.equal("reset\n", peers.done(p))
    l:close()
  end)
end)
