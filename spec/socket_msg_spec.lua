-- Datagrams and packets: boundaries, truncation, empty messages, addresses, full queues; against
-- socat and Python.
local ipc = require "lipc"
local socket = ipc.socket
local hoststate = require "support.hoststate"
local names = require "support.names"
local peers = require "support.peers"

local function close(...)
  for i = 1, select("#", ...) do (select(i, ...)):close() end
end

local all = {}
for i = 0, 255 do all[#all + 1] = string.char(i) end
all = table.concat(all)

-- Two connected sockets each.
local kinds = {
  ["unix dgram"] = function() return assert(socket.pair { type = "dgram" }) end,
  ["unix seqpacket"] = function() return assert(socket.pair { type = "seqpacket" }) end,
  ["seqpacket over a listener"] = function()
    local l = assert(socket.listen { abstract = names.new(), type = "seqpacket" })
    local a = l:getsockname()
    local c = assert(socket.connect { abstract = a.abstract, type = "seqpacket" })
    local s = assert(l:accept(60))
    l:close()
    return c, s
  end,
  ["UDP on IPv4"] = function()
    local a = assert(socket.datagram { host = "127.0.0.1", port = 0 })
    local b = assert(socket.connect { host = "127.0.0.1", port = a:getsockname().port, type = "dgram" })
    assert.equal(a, a:connect(b:getsockname()))
    return a, b
  end,
  ["UDP on IPv6"] = function()
    local a = assert(socket.datagram { host = "::1", port = 0 })
    local b = assert(socket.connect { host = "::1", port = a:getsockname().port, type = "dgram",
      bind = { host = "::1", port = 0 } })
    assert.equal(a, a:connect(b:getsockname()))
    return a, b
  end,
}

for kind, open in pairs(kinds) do
  describe(kind, function()
    it("keeps the boundaries of messages, and every byte", function()
      local a, b = open()
      for _, m in ipairs { "one", all, "", "x", ("y"):rep(8000) } do assert.is_true(a:send(m)) end
      for _, m in ipairs { "one", all, "", "x", ("y"):rep(8000) } do
        assert.same({ m }, { b:recv(8000, 60) })
      end
      assert.is_true(b:send(12))
      assert.equal("12", a:recv(nil, 60))
      close(a, b)
    end)

    it("says how long a message was that did not fit", function()
      local a, b = open()
      assert(a:send "hello world")
      assert(a:send "next")
      assert.same({ "hello", 11 }, { b:recv(5, 60) })
      assert.same({ "next" }, { b:recv(4, 60) })
      assert(a:send "again")
      local data, from, size = b:recvfrom(1, 60)
      assert.equal("a", data)
      assert.is_table(from)
      assert.equal(5, size)
      close(a, b)
    end)

    it("receives a message of any length when no maximum is given", function()
      local a, b = open()
      local long = all:rep(230)
      assert(a:send(long))
      assert.same({ long }, { b:recv(nil, 60) })
      assert(a:send "")
      assert.same({ "" }, { b:recv(nil, 60) })
      assert(a:send(long))
      assert.equal(long, (b:recvfrom(nil, 60)))
      close(a, b)
    end)

    it("honours a timeout", function()
      local a, b = open()
      local before = ipc.now()
      local data, message, code = b:recv(10, 0.02)
      assert.is_nil(data)
      assert.equal("ETIMEDOUT", code)
      assert.matches("^socket:recv.*timed out$", message)
      assert.is_true(ipc.now() - before >= 0.02)
      assert.equal("ETIMEDOUT", (select(3, b:recvfrom(10, 0))))
      close(a, b)
    end)

    it("refuses arguments of the wrong kind", function()
      local a, b = open()
      assert.has_error(function() a:send() end)
      assert.has_error(function() a:send {} end)
      assert.has_error.matches(function() a:recv(0) end, "must be positive")
      assert.has_error(function() a:recv "x" end)
      assert.has_error(function() a:recv(1, -1) end)
      a:close()
      assert.has_error.matches(function() a:send "x" end, "closed socket")
      assert.has_error.matches(function() a:recv(1) end, "closed socket")
      b:close()
    end)

    it("refuses what is too long for one message, whole", function()
      local a, b = open()
      local ok, message, code = a:send(("x"):rep(16 * 1024 * 1024))
      assert.is_nil(ok)
      assert.equal("EMSGSIZE", code)
      assert.matches("^socket:send", message)
      assert(a:send "small")
      assert.equal("small", b:recv(100, 60))
      close(a, b)
    end)
  end)
end

for _, kind in ipairs { "unix dgram", "unix seqpacket" } do
  describe(kind, function()
    it("waits, with a deadline, while the peer's queue is full, and loses nothing", function()
      local a, b = kinds[kind]()
      local sent = 0
      local code
      repeat
        local ok, _, why = a:send("m" .. sent, 0)
        if ok then sent = sent + 1 end
        code = why
      until not ok
      assert.equal("ETIMEDOUT", code)
      local before = ipc.now()
      assert.equal("ETIMEDOUT", (select(3, a:send("late", 0.02))))
      assert.is_true(ipc.now() - before >= 0.02)
      local loop = assert(ipc.loop.new())
      loop:run(function() assert(a:send("late", 60)) end, function()
        for i = 0, sent - 1 do assert.equal("m" .. i, b:recv(100, 60)) end
        assert.equal("late", b:recv(100, 60))
      end)
      loop:close()
      close(a, b)
    end)
  end)
end

describe("seqpacket", function()
  it("ends when the peer closes, and not at an empty message", function()
    local a, b = kinds["unix seqpacket"]()
    for _, m in ipairs { "", "", "x", "" } do assert(a:send(m)) end
    assert.equal("", b:recv(10, 60))
    a:close()
    assert.same({ "", "x", "" }, { (b:recv(10, 60)), (b:recv(10, 60)), (b:recv(10, 60)) })
    for _ = 1, 2 do
      local data, message, code = b:recv(10, 60)
      assert.is_nil(data)
      assert.equal("EOF", code)
      assert.matches("end of stream$", message)
    end
    assert.is_false(b:getoption "passcred") -- how they are told apart leaves no trace
    local before = hoststate.before()
    assert.equal("EPIPE", (select(3, b:send "x")))
    assert.same({}, hoststate.diff(before, hoststate.take()))
    b:close()
  end)

  it("ends after shutdown, and the other direction goes on", function()
    local a, b = kinds["unix seqpacket"]()
    assert(a:send "last")
    assert(a:shutdown "w")
    assert.equal("last", b:recv(10, 60))
    assert.equal("EOF", (select(3, b:recv(10, 60))))
    assert(b:send "")
    assert.equal("", a:recv(10, 60))
    close(a, b)
  end)

  it("tells an empty message from the end also with credentials switched on", function()
    local a, b = kinds["unix seqpacket"]()
    assert.equal(b, b:setoption("passcred", true))
    assert(a:send "")
    a:close()
    assert.equal("", b:recv(10, 60))
    assert.equal("EOF", (select(3, b:recv(10, 60))))
    assert.is_true(b:getoption "passcred")
    b:close()
  end)

  it("needs a path or an abstract name", function()
    assert.has_error.matches(function() socket.connect { port = 1, type = "seqpacket" } end, "'seqpacket' needs 'path'")
  end)
end)

describe("datagram sockets", function()
  it("send anywhere and say who sent", function()
    local path = names.path ".sock"
    local a = assert(socket.datagram { path = path })
    local b = assert(socket.datagram { abstract = names.new() })
    local c = assert(socket.datagram { family = "unix" })
    assert.is_true(b:sendto("from b", { path = path }))
    assert.is_true(c:sendto("from c", { path = path }))
    local data, from = a:recvfrom(100, 60)
    assert.equal("from b", data)
    assert.same(b:getsockname(), from)
    assert.is_true(a:sendto("answer", from))
    assert.equal("answer", b:recv(100, 60))
    data, from = a:recvfrom(100, 60)
    assert.equal("from c", data)
    assert.same({ family = "unix" }, from)
    assert.has_error.matches(function() a:sendto("x", from) end, "one of 'path', 'abstract' and 'host'")
    close(a, b, c)
    assert.is_nil(io.open(path)) -- the path went with it
  end)

  it("wait while another's queue is full, and lose nothing", function()
    local a = assert(socket.datagram { abstract = names.new() })
    local to = a:getsockname()
    -- many senders, so that it is the receiver's queue that is full and not a sender's buffer
    local senders, sent, b = {}, 0
    repeat
      local n = 0
      b = assert(socket.datagram {})
      senders[#senders + 1] = b
      while n < 5 and b:sendto("m", to, 0) do n = n + 1 end
      sent = sent + n
    until n < 5
    local before = ipc.now()
    assert.equal("ETIMEDOUT", (select(3, b:sendto("late", to, 0.02))))
    assert.is_true(ipc.now() - before >= 0.02)
    local loop = assert(ipc.loop.new())
    loop:run(function() assert(b:sendto("late", to, 60)) end, function()
      for _ = 1, sent do assert(a:recv(10, 60)) end
      assert.equal("late", a:recv(10, 60))
    end)
    loop:close()
    close(a, table.unpack(senders))
  end)

  it("do not spin then", function()
    local out = peers.done(peers.host [[
      local a = assert(socket.datagram { abstract = "" })
      local b, n
      repeat
        b, n = assert(socket.datagram {}), 0
        while n < 5 and b:sendto("m", a:getsockname(), 0) do n = n + 1 end
      until n < 5
      local before = sends()
      print((select(3, b:sendto("late", a:getsockname(), 0.5))))
      print(sends() - before < 500)
    ]])
    assert.equal("ETIMEDOUT\ntrue\n", out)
  end)

  it("report a destination that does not exist", function()
    local d = assert(socket.datagram {})
    local ok, message, code = d:sendto("x", { path = names.path() })
    assert.is_nil(ok)
    assert.equal("ENOENT", code)
    assert.matches("^socket:sendto", message)
    assert.equal("ECONNREFUSED", (select(3, d:sendto("x", { abstract = names.new() }))))
    ok, message, code = d:connect { abstract = "no-such-name" }
    assert.is_nil(ok)
    assert.equal("socket:connect @no-such-name: Connection refused", message)
    assert.equal("ECONNREFUSED", code)
    d:close()
  end)

  it("want numeric hosts in sendto", function()
    local d = assert(socket.datagram { family = "inet" })
    assert.has_error.matches(function() d:sendto("x", { host = "example.invalid", port = 1 }) end,
      "bad argument #2.*'example.invalid' is not numeric; see socket.resolve")
    assert.has_error.matches(function() d:sendto("x", { host = "127.0.0.1" }) end, "option 'port' is missing")
    assert.has_error.matches(function() d:sendto("x", { port = 1, ttl = 3 }) end, "unknown option 'ttl'")
    assert.has_error(function() d:sendto("x", "127.0.0.1:1") end)
    assert.has_error(function() d:sendto "x" end)
    d:close()
  end)

  it("learn that nobody listens on a UDP port", function()
    local d = assert(socket.datagram { host = "127.0.0.1", port = 0 })
    local port = d:getsockname().port
    d:close()
    local c = assert(socket.connect { host = "127.0.0.1", port = port, type = "dgram" })
    assert(c:send "x")
    local _, message, code = c:recv(10, 60)
    assert.equal("ECONNREFUSED", code)
    assert.equal(("socket:recv 127.0.0.1:%d: Connection refused"):format(port), message)
    c:close()
  end)

  it("do not listen", function()
    assert.has_error.matches(function() socket.listen { port = 0, type = "dgram" } end, "see socket.datagram")
  end)

  it("broadcast only when allowed to", function()
    local d = assert(socket.datagram { family = "inet" })
    assert.equal("EACCES", (select(3, d:sendto("x", { host = "255.255.255.255", port = 9 }))))
    d:close()
    d = assert(socket.datagram { family = "inet", broadcast = true })
    assert.is_true(d:getoption "broadcast")
    d:close()
  end)
end)

describe("a peer not written here", function()
  local echo = [[
family, kind = getattr(socket, A[0]), getattr(socket, A[1])
s = socket.socket(family, kind)
s.bind(A[2].replace('@', '\0') if A[2] else ('::1' if A[0] == 'AF_INET6' else '127.0.0.1', 0))
if kind == socket.SOCK_SEQPACKET: s.listen()
print(0 if A[2] else s.getsockname()[1])
if kind == socket.SOCK_SEQPACKET: s = s.accept()[0]
for _ in range(4):
    d, who = s.recvfrom(70000)
    s.send(d[::-1]) if kind == socket.SOCK_SEQPACKET else s.sendto(d[::-1], who)
if A[2] and A[2][0] == '/': os.unlink(A[2])
]]
  local function exchange(c)
    for _, m in ipairs { "abc", "", all, ("z"):rep(5000) } do
      assert(c:send(m))
      assert.equal(m:reverse(), c:recv(70000, 60))
    end
    c:close()
  end

  for name, row in pairs {
    ["UDP on IPv4"] = { "AF_INET", "SOCK_DGRAM", { host = "127.0.0.1", type = "dgram" } },
    ["UDP on IPv6"] = { "AF_INET6", "SOCK_DGRAM", { host = "::1", type = "dgram" } },
    ["dgram at a path"] = { "AF_UNIX", "SOCK_DGRAM", { path = true, type = "dgram" } },
    ["dgram at an abstract name"] = { "AF_UNIX", "SOCK_DGRAM", { abstract = true, type = "dgram" } },
    ["seqpacket at a path"] = { "AF_UNIX", "SOCK_SEQPACKET", { path = true, type = "seqpacket" } },
    ["seqpacket at an abstract name"] = { "AF_UNIX", "SOCK_SEQPACKET", { abstract = true, type = "seqpacket" } },
  } do
    it("answers over " .. name, function()
      local to = row[3]
      if to.path then to.path = names.path ".sock" end
      if to.abstract then to.abstract = names.new() end
      local p = peers.python(echo, row[1], row[2], to.path or (to.abstract and "@" .. to.abstract) or "")
      local port = p:read "n"
      if to.host then to.port = port end
      if row[1] == "AF_UNIX" and row[2] == "SOCK_DGRAM" then to.bind = { abstract = "" } end
      to.timeout = 60
      exchange(assert(socket.connect(to)))
      peers.done(p)
    end)
  end

  it("is socat, sending to us", function()
    local path = names.path ".sock"
    local d = assert(socket.datagram { path = path })
    local p = peers.run("sh", "-c", "printf 'over unix' | socat -u STDIN UNIX-SENDTO:" .. path)
    assert.equal("over unix", d:recv(100, 60))
    peers.done(p)
    d:close()
    d = assert(socket.datagram { host = "127.0.0.1", port = 0 })
    p = peers.run("sh", "-c", "printf 'over UDP' | socat -u STDIN UDP4-SENDTO:127.0.0.1:" .. d:getsockname().port)
    local data, from = d:recvfrom(100, 60)
    assert.equal("over UDP", data)
    assert.equal("127.0.0.1", from.host)
    peers.done(p)
    d:close()
  end)

  it("is Python, connecting to our seqpacket listener", function()
    local l = assert(socket.listen { path = names.path ".sock", type = "seqpacket" })
    local p = peers.python([[
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(A[0])
s.send(b'one'); s.send(b''); s.send(b'two')
print(s.recv(100), s.recv(100), s.recv(100), s.recv(100))
]], l:getsockname().path)
    local s = assert(l:accept(60))
    assert.same({ "one", "", "two" }, { (s:recv(10, 60)), (s:recv(10, 60)), (s:recv(10, 60)) })
    assert(s:send "a" and s:send "" and s:send "bc")
    s:close()
    assert.equal("b'a' b'' b'bc' b''\n", peers.done(p))
    l:close()
  end)
end)
