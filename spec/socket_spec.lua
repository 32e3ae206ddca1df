-- Streams and listeners: reading, writing, half-close, closing; against socat and Python.
local ipc = require "lipc"
local socket = ipc.socket
local hoststate = require "support.hoststate"
local names = require "support.names"
local peers = require "support.peers"

local function pair(type) return assert(socket.pair { type = type }) end

local function tcp()
  local l = assert(socket.listen { host = "127.0.0.1", port = 0 })
  local c = assert(socket.connect { host = "127.0.0.1", port = l:getsockname().port, timeout = 60 })
  local s = assert(l:accept(60))
  l:close()
  return c, s
end

local function close(...)
  for i = 1, select("#", ...) do (select(i, ...)):close() end
end

-- Fills the way to the peer; returns how much went.
local function fill(s)
  local sent = 0
  s:settimeout(0)
  while true do
    local ok, _, code, n = s:write(("x"):rep(65536))
    if not ok then
      assert.equal("ETIMEDOUT", code)
      s:settimeout()
      return sent + n
    end
    sent = sent + 65536
  end
end

describe("socket.pair", function()
  it("makes two streams that talk both ways", function()
    local a, b = pair()
    assert.equal(a, a:write("one\n", 2, "\n"))
    assert.same({ "one", 2 }, { b:read("l", "n") })
    assert.equal(b, b:write "back")
    assert.equal("back", a:readsome(100, 60))
    close(a, b)
  end)

  it("refuses an unknown type and unknown options", function()
    assert.has_error.matches(function() socket.pair { type = "raw" } end, "'raw' is none of stream")
    assert.has_error.matches(function() socket.pair { kind = "stream" } end, "unknown option 'kind'")
  end)

  it("is close-on-exec and non-blocking, as all that lipc opens", function()
    local a, b = pair()
    local l = assert(socket.listen { port = 0 })
    local c = assert(socket.connect { port = l:getsockname().port })
    local d = assert(l:accept(60))
    local e = assert(socket.datagram {})
    for _, s in ipairs { a, b, c, d, e, l } do
      local flags
      for line in io.lines("/proc/self/fdinfo/" .. s:fd()) do flags = flags or line:match "^flags:%s*(%d+)" end
      assert.equal(tonumber("02004000", 8), tonumber(flags, 8) & tonumber("02004000", 8))
    end
    close(a, b, c, d, e, l)
  end)
end)

for _, kind in ipairs { "unix", "tcp" } do
  local function open()
    if kind == "tcp" then return tcp() end
    return pair()
  end

  describe(kind .. " stream", function()
    it("ends for the reader after shutdown of writing, and goes on the other way", function()
      local a, b = open()
      assert(a:write "last words")
      assert.equal(a, a:shutdown "w")
      assert.equal("last words", b:read "a")
      local data, message, code = b:read(1)
      assert.is_nil(data)
      assert.equal("EOF", code)
      assert.matches("end of stream$", message)
      assert(b:write "still here\n")
      assert.equal("still here", a:read())
      local ok, _, epipe, n = a:write "more"
      assert.is_nil(ok)
      assert.equal("EPIPE", epipe)
      assert.equal(0, n)
      close(a, b)
    end)

    it("flushes what setvbuf held back before shutdown and close", function()
      local a, b = open()
      a:setvbuf "full"
      b:setvbuf "full"
      assert(a:write "held")
      assert(a:shutdown "w")
      assert.equal("held", b:read "a")
      assert(b:write "back")
      assert.is_true(b:close())
      assert.equal("back", a:read "a")
      a:close()
    end)

    it("reports how much went when the peer does not read", function()
      local a, b = open()
      local sent = fill(a)
      assert.is_true(sent > 0)
      a:settimeout(0.02)
      local before = ipc.now()
      local ok, message, code, n
      repeat -- TCP's buffers may have grown meanwhile
        ok, message, code, n = a:write "y"
        if ok then sent = sent + 1 end
      until not ok
      assert.equal("ETIMEDOUT", code)
      assert.equal(0, n)
      assert.matches("^socket:write.*: timed out$", message)
      assert.is_true(ipc.now() - before >= 0.02)
      local got = 0
      a:shutdown "w"
      b:settimeout(60)
      while true do
        local data, _, why = b:readsome(65536)
        if not data then
          assert.equal("EOF", why)
          break
        end
        got = got + #data
      end
      assert.equal(sent, got)
      close(a, b)
    end)

    it("is a stream end, EPIPE or ECONNRESET when the peer is gone, and never SIGPIPE", function()
      local before = hoststate.before()
      local a, b = open()
      assert(b:write "unread")
      assert(a:write "unread too")
      b:close()
      a:settimeout(60)
      local ok, _, code
      repeat ok, _, code = a:write "x" until not ok
      assert.is_truthy(code == "EPIPE" or code == "ECONNRESET", code)
      a:close()
      assert.same({}, hoststate.diff(before, hoststate.take()))
    end)

    it("reads nothing more after shutdown of reading", function()
      local a, b = open()
      assert(a:shutdown "r")
      assert.equal("EOF", (select(3, a:readsome(10, 60))))
      assert(a:shutdown "rw")
      assert.equal("EOF", (select(3, b:readsome(10, 60))))
      close(a, b)
    end)

    it("refuses another direction than r, w, rw", function()
      local a, b = open()
      assert.has_error.matches(function() a:shutdown "x" end, "invalid option 'x'")
      assert.has_error(function() a:shutdown() end)
      close(a, b)
    end)

    it("is binary-safe", function()
      local a, b = open()
      local bytes = {}
      for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
      local all = table.concat(bytes):rep(40)
      assert(a:write(all))
      b:settimeout(60)
      assert.equal(all, b:read(#all))
      close(a, b)
    end)
  end)
end

describe("shutdown of a socket that holds data back", function()
  it("waits for the peer within its timeout", function()
    local a, b = pair()
    fill(a)
    a:setvbuf "full"
    assert(a:write "held")
    assert.equal("ETIMEDOUT", (select(3, a:shutdown("w", 0.02))))
    b:settimeout(60)
    local loop = assert(ipc.loop.new())
    local got = 0
    loop:run(function() assert(a:shutdown("w", 60)) end, function()
      for data in function() return (b:readsome(65536, 60)) end do got = got + #data end
    end)
    assert.is_true(got > 4)
    loop:close()
    close(a, b)
  end)
end)

describe("listener", function()
  it("accepts within a timeout", function()
    local l = assert(socket.listen { port = 0 })
    local s, message, code = l:accept(0)
    assert.is_nil(s)
    assert.equal("ETIMEDOUT", code)
    assert.matches("^socket:accept 127%.0%.0%.1:%d+: timed out$", message)
    assert.equal("ETIMEDOUT", (select(3, l:accept(0.01))))
    l:settimeout(0)
    assert.equal("ETIMEDOUT", (select(3, l:accept())))
    l:close()
    assert.has_error.matches(function() l:accept(0) end, "closed socket")
  end)

  it("says what it accepted, in tostring and messages", function()
    local l = assert(socket.listen { port = 0 })
    local c = assert(socket.connect { port = l:getsockname().port })
    local s = assert(l:accept(60))
    local peer = c:getsockname()
    assert.same(peer, s:getpeername())
    assert.matches(("^lipc.socket.stream 127.0.0.1:%d %%(fd %d%%)$"):format(peer.port, s:fd()), tostring(s))
    c:close()
    assert.matches(("^socket:read 127.0.0.1:%d: end of stream$"):format(peer.port), (select(2, s:read())))
    close(l, s)
  end)

  it("reports EMFILE and goes on accepting once there is room", function()
    local out = peers.done(peers.lua([[
      local socket = require "lipc".socket
      local l = assert(socket.listen { port = 0 })
      local port = l:getsockname().port
      local c = assert(socket.connect { port = port })
      local hold = {}
      while true do
        local f = io.open "/dev/null"
        if not f then break end
        hold[#hold + 1] = f
      end
      for _ = 1, 3 do
        local s, message, code = l:accept(60)
        print(s, (message:gsub(":%d+:", ":N:")), code)
      end
      hold[1]:close()
      local s = assert(l:accept(60))
      c:write "through\n"
      print(s:read())
    ]]))
    assert.equal(("nil\tsocket:accept 127.0.0.1:N: Too many open files (RLIMIT_NOFILE is 24: see ulimit -n)\tEMFILE\n"):rep(3) .. "through\n", out)
  end)

  it("has a backlog", function()
    local path = names.path ".sock"
    local l = assert(socket.listen { path = path, backlog = 1 })
    local hold = {}
    local c, message, code
    repeat
      c, message, code = socket.connect { path = path, timeout = 0.02 }
      hold[#hold + 1] = c
    until not c
    assert.equal("ETIMEDOUT", code)
    assert.equal("socket.connect " .. path .. ": timed out", message)
    assert.equal(2, #hold)
    -- one that waits gets in as soon as somebody is accepted
    local loop = assert(ipc.loop.new())
    loop:run(function()
      local late = assert(socket.connect { path = path, timeout = 60 })
      table.insert(hold, late)
    end, function()
      local accepted = assert(l:accept(60))
      table.insert(hold, accepted)
    end)
    loop:close()
    assert.equal(4, #hold)
    close(l, table.unpack(hold))
  end)
end)

describe("socket.fromfd", function()
  it("tells streams, messages and listeners apart", function()
    local l = assert(socket.listen { port = 0 })
    local a, b = pair()
    local d, e = pair "dgram"
    local q, r = pair "seqpacket"
    for object, name in pairs { [l] = "listener", [a] = "stream", [d] = "message", [q] = "message" } do
      local adopted = socket.fromfd(object:detach())
      assert.matches("^lipc%.socket%." .. name, tostring(adopted))
      adopted:close()
    end
    close(b, e, r)
  end)

  it("refuses what is no socket", function()
    local r, w = assert(ipc.pipe.open())
    assert.has_error.matches(function() socket.fromfd(r:fd()) end, "not a socket")
    assert.has_error.matches(function() socket.fromfd(99999) end, "is not open")
    assert.has_error.matches(function() socket.fromfd(-1) end, "not a descriptor")
    assert.has_error(function() socket.fromfd "x" end)
    close(r, w)
  end)

  it("keeps the flags of what it adopts, and does not block all the same", function()
    -- Python's sockets are in blocking mode, and so is what it hands over
    local path = names.path ".sock"
    local l = assert(socket.listen { path = path })
    local p = peers.python([[
s = socket.socket(socket.AF_UNIX); s.connect(A[0])
a, b = socket.socketpair()
t = socket.create_server(('127.0.0.1', 0))
socket.send_fds(s, [b'x'], [a.fileno(), t.fileno()])
s.recv(1)
]], path)
    local c = assert(l:accept(60))
    local _, fds = assert(c:recvfds(1, { timeout = 60 }))
    local s, t = socket.fromfd(fds[1]), socket.fromfd(fds[2])
    assert.equal("ETIMEDOUT", (select(3, s:readsome(10, 0.01))))
    assert.equal("ETIMEDOUT", (select(3, t:accept(0.01))))
    assert.is_true(fill(s) > 0)
    for line in io.lines("/proc/self/fdinfo/" .. s:fd()) do
      local flags = line:match "^flags:%s*(%d+)"
      if flags then assert.equal(0, tonumber(flags, 8) & tonumber("4000", 8)) end
    end
    c:close()
    peers.done(p)
    close(l, s, t)
  end)
end)

describe("a peer not written here", function()
  local address = {
    ["unix path"] = function()
      local path = names.path ".sock"
      return { path = path }, "AF_UNIX", path, "UNIX-CONNECT:" .. path, "UNIX-LISTEN:" .. path
    end,
    abstract = function()
      local name = names.new()
      return { abstract = name }, "AF_UNIX", "\\0" .. name, "ABSTRACT-CONNECT:" .. name, "ABSTRACT-LISTEN:" .. name
    end,
    IPv4 = function() return { host = "127.0.0.1", port = 0 }, "AF_INET", nil, "TCP4:127.0.0.1:" end,
    IPv6 = function() return { host = "::1", port = 0 }, "AF_INET6", nil, "TCP6:[::1]:" end,
  }

  for name, make in pairs(address) do
    it("is socat as client over " .. name, function()
      local a, _, _, target = make()
      local l = assert(socket.listen(a))
      if a.port then target = target .. l:getsockname().port end
      local p = peers.run("socat", "-u", target, "STDOUT")
      local s = assert(l:accept(60))
      assert(s:write("hello over " .. name))
      s:close()
      assert.equal("hello over " .. name, peers.done(p))
      l:close()
    end)

    it("is Python as server over " .. name, function()
      local a, family, where = make()
      local p = peers.python([[
l = socket.socket(getattr(socket, A[0]))
where = A[1].replace('\\0', '\0') if A[1] else ('::1' if A[0] == 'AF_INET6' else '127.0.0.1', 0)
l.bind(where); l.listen()
print(l.getsockname()[1] if not A[1] else 0)
c, peer = l.accept()
while True:
    d = c.recv(1000)
    if not d: break
    c.sendall(d.upper())
c.close()
if A[1] and A[1][0] == '/': os.unlink(A[1])
]], family, where or "")
      local port = p:read "n"
      if a.port then a.port = port end
      a.timeout = 60
      local c = assert(socket.connect(a))
      c:settimeout(60)
      assert(c:write "shout\n")
      assert.equal("SHOUT", c:read())
      assert(c:shutdown "w")
      assert.equal("EOF", (select(3, c:read())))
      c:close()
      peers.done(p)
    end)
  end
end)
