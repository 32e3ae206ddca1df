-- Descriptors that travel with data: none lost, none leaked; against Python.
local ipc = require "lipc"
local socket = ipc.socket
local hoststate = require "support.hoststate"
local names = require "support.names"
local peers = require "support.peers"
local probe = require "support.probe"

local function close(...)
  for i = 1, select("#", ...) do (select(i, ...)):close() end
end

local function count_fds()
  collectgarbage() -- what earlier tests have dropped is not closed between two counts
  collectgarbage()
  local n = 0
  for _ in pairs(probe.fds()) do n = n + 1 end
  return n
end

-- What a descriptor is, as the kernel names it: the same for a copy.
local function target(fd) return probe.readlink("/proc/self/fd/" .. fd) end

for _, type in ipairs { "stream", "dgram", "seqpacket" } do
  describe("descriptors over " .. type, function()
    local a, b
    before_each(function() a, b = assert(socket.pair { type = type }) end)
    after_each(function() close(a, b) end)

    for _, n in ipairs { 1, 3, 253 } do
      it(("arrive, %d of them"):format(n), function()
        local before, r, list = count_fds(), {}, {}
        for i = 1, n do
          local reader, writer = assert(ipc.pipe.open())
          writer:close()
          r[i] = reader
          list[i] = i % 2 == 0 and reader or reader:fd()
        end
        assert.is_true(a:sendfds("data", list))
        local data, fds = b:recvfds(100)
        assert.equal("data", data)
        assert.equal(n, #fds)
        for i = 1, n do
          assert.equal("integer", math.type(fds[i]))
          assert.not_equal(r[i]:fd(), fds[i])
          assert.equal(target(r[i]:fd()), target(fds[i]))
          for line in io.lines("/proc/self/fdinfo/" .. fds[i]) do
            local flags = line:match "^flags:%s*(%d+)"
            if flags then assert.not_equal(0, tonumber(flags, 8) & tonumber("2000000", 8)) end
          end
        end
        assert.is_true(socket.closefds(fds))
        assert.same({}, fds)
        close(table.unpack(r))
        assert.equal(before, count_fds())
      end)
    end

    it("may be Lua files, and are still open here", function()
      local f = assert(io.tmpfile())
      assert.is_true(a:sendfds("x", { f }))
      local _, fds = b:recvfds(1)
      assert(f:write "still mine")
      f:close()
      assert.matches("deleted", target(fds[1]))
      socket.closefds(fds)
    end)

    it("are an error when there are more than wanted, and none stays", function()
      local before = count_fds()
      for maxfds = 0, 3 do
        assert.is_true(a:sendfds("data", { 0, 1, 2, a }))
        local data, message, code, rest = b:recvfds(100, { maxfds = maxfds })
        assert.is_nil(data)
        assert.equal("EMSGSIZE", code)
        assert.equal("socket:recvfds: Message too long", message)
        assert.equal("data", rest)
        assert.equal(before, count_fds())
      end
      assert.is_true(a:sendfds("data", { 0, 1, 2, a }))
      local _, fds = b:recvfds(100, { maxfds = 4 })
      assert.equal(4, #fds)
      socket.closefds(fds)
    end)

    it("are dropped by a reader that does not ask for them", function()
      local before = count_fds()
      assert.is_true(a:sendfds("data", { 0, 1, 2 }))
      assert.equal("data", type == "stream" and b:readsome(100, 60) or b:recv(100, 60))
      assert.equal(before, count_fds())
    end)

    it("come with none, too", function()
      assert.is_true(a:sendfds("data", {}))
      assert.same({ "data", {} }, { b:recvfds(100) })
      assert(type == "stream" and a:write "plain" or a:send "plain")
      assert.same({ "plain", {} }, { b:recvfds(100) })
    end)

    it("honour a timeout", function()
      local data, message, code = b:recvfds(100, { timeout = 0.01 })
      assert.is_nil(data)
      assert.equal("ETIMEDOUT", code)
      assert.equal("socket:recvfds: timed out", message)
      b:settimeout(0)
      assert.equal("ETIMEDOUT", (select(3, b:recvfds(100))))
    end)

    it("are refused, by name, when they are none", function()
      assert.has_error.matches(function() a:sendfds("x", { {} }) end,
        "#2 to 'sendfds' %(item 1: descriptor, file or lipc object expected, got table%)")
      assert.has_error.matches(function() a:sendfds("x", { 0, "1" }) end, "#2 to 'sendfds' %(item 2: descriptor, file")
      assert.has_error.matches(function() a:sendfds("x", { -1 }) end, "#2 to 'sendfds' %(item 1: not a descriptor%)")
      local r, w = assert(ipc.pipe.open())
      close(r, w)
      assert.has_error.matches(function() a:sendfds("x", { r }) end, "item 1: closed pipe")
      assert.has_error(function() a:sendfds("x", 0) end)
      assert.has_error(function() a:sendfds({}, {}) end)
      local many = {}
      for i = 1, 254 do many[i] = 0 end
      assert.has_error.matches(function() a:sendfds("x", many) end, "254 descriptors, but a message carries 253")
      local ok, message, code, sent = a:sendfds("x", { 99999 })
      assert.is_nil(ok)
      assert.equal("EBADF", code)
      assert.equal("socket:sendfds: Bad file descriptor", message)
      assert.equal(0, sent)
      assert.has_error.matches(function() b:recvfds(0) end, "must be positive")
      assert.has_error.matches(function() b:recvfds(1, { maxfds = 254 }) end, "out of range")
      assert.has_error.matches(function() b:recvfds(1, { max = 1 }) end, "unknown option 'max'")
      assert.has_error.matches(function() b:recvfds(1, { timeout = -1 }) end, "negative")
    end)
  end)
end

describe("descriptors over a stream", function()
  it("need a byte to go with", function()
    local a, b = assert(socket.pair())
    assert.has_error.matches(function() a:sendfds("", { 0 }) end, "need at least one byte")
    close(a, b)
  end)

  it("come at their place among what was written and read ahead", function()
    local a, b = assert(socket.pair())
    a:setvbuf "full"
    assert(a:write "line\nrest")
    assert(a:sendfds("F", { 0 }))
    assert(a:write "after")
    assert(a:flush())
    b:settimeout(60)
    assert.same({ "line", "rest" }, { "line", (function()
      assert.equal("line\n", b:readsome(5))
      return b:readsome(4)
    end)() })
    local data, fds = b:recvfds(100)
    assert.equal("F", data:sub(1, 1))
    assert.equal(1, #fds)
    socket.closefds(fds)
    close(a, b)
  end)

  it("leave data that was read ahead for first", function()
    local a, b = assert(socket.pair())
    assert(a:write "line\nrest of it")
    assert.equal("line", b:read())
    assert(a:sendfds("F", { 0 }))
    assert.same({ "rest ", {} }, { b:recvfds(5) })
    assert.same({ "of it", {} }, { b:recvfds(100) })
    local data, fds = b:recvfds(100)
    assert.equal("F", data)
    assert.equal(1, #fds)
    socket.closefds(fds)
    close(a, b)
  end)

  it("go once with data that does not fit at once, and the count is told", function()
    local a, b = assert(socket.pair())
    local long = ("x"):rep(4 * 1024 * 1024)
    local ok, _, code, sent = a:sendfds(long, { 0 }, 0.01)
    assert.is_nil(ok)
    assert.equal("ETIMEDOUT", code)
    assert.is_true(sent > 0 and sent < #long)
    local got, fds = 0, {}
    while got < sent do
      local data, some = b:recvfds(65536, { timeout = 60 })
      got = got + #data
      for _, fd in ipairs(some) do fds[#fds + 1] = fd end
    end
    assert.equal(1, #fds)
    local loop = assert(ipc.loop.new())
    loop:run(function() assert.is_true(a:sendfds(long, { 0, 1 }, 60)) end, function()
      got = 0
      while got < #long do
        local data, some = b:recvfds(65536, { timeout = 60 })
        got = got + #data
        for _, fd in ipairs(some) do fds[#fds + 1] = fd end
      end
    end)
    assert.equal(3, #fds)
    socket.closefds(fds)
    loop:close()
    close(a, b)
  end)

  it("are an error, and no SIGPIPE, when the peer is gone", function()
    local before = hoststate.before()
    local a, b = assert(socket.pair())
    b:close()
    assert.same({ "EPIPE", 0 }, { select(3, a:sendfds("x", { 0 })) })
    a:close()
    assert.same({}, hoststate.diff(before, hoststate.take()))
  end)

  it("end with the stream", function()
    local a, b = assert(socket.pair())
    a:close()
    assert.equal("EOF", (select(3, b:recvfds(1))))
    b:close()
  end)

  it("are for unix sockets", function()
    local l = assert(socket.listen { port = 0 })
    local c = assert(socket.connect(l:getsockname()))
    assert.has_error.matches(function() c:sendfds("x", { 0 }) end, "only unix sockets")
    assert.has_error.matches(function() c:recvfds(1) end, "only unix sockets")
    close(c, l)
  end)
end)

describe("a process without room for descriptors", function()
  it("hears EMFILE and leaks nothing", function()
    local out = peers.done(peers.lua [[
      local socket = require "lipc".socket
      local a, b = assert(socket.pair())
      assert(a:sendfds("data", { 0, 1, 2 }))
      local hold = {}
      while true do
        local f = io.open "/dev/null"
        if not f then break end
        hold[#hold + 1] = f
      end
      hold[#hold]:close() -- room for one
      hold[#hold] = nil
      print(b:recvfds(10))
      hold[#hold + 1] = assert(io.open "/dev/null") -- there is still room for one
      print(io.open "/dev/null" == nil)
    ]])
    assert.equal("nil\tsocket:recvfds: Too many open files (RLIMIT_NOFILE is 24: see ulimit -n)\tEMFILE\tdata\ntrue\n", out)
  end)
end)

describe("socket.closefds", function()
  it("closes all and reports what was none", function()
    local list = { probe.dup(0), 99999, probe.dup(0) }
    local before = count_fds()
    local ok, message, code = socket.closefds(list)
    assert.is_nil(ok)
    assert.equal("socket.closefds: Bad file descriptor", message)
    assert.equal("EBADF", code)
    assert.equal(before - 2, count_fds())
    assert.has_error.matches(function() socket.closefds { "x" } end, "list of descriptors expected")
    assert.has_error(function() socket.closefds(1) end)
  end)
end)

describe("a peer not written here", function()
  it("is Python, sending several", function()
    local l = assert(socket.listen { path = names.path ".sock" })
    local p = peers.python([[
s = socket.socket(socket.AF_UNIX); s.connect(A[0])
r, w = os.pipe()
socket.send_fds(s, [b'two'], [r, w])
print(s.recv(1))
]], l:getsockname().path)
    local s = assert(l:accept(60))
    local data, fds = s:recvfds(100, { timeout = 60 })
    assert.equal("two", data)
    assert.equal(2, #fds)
    local r, w = ipc.pipe.fromfd(fds[1]), ipc.pipe.fromfd(fds[2])
    assert(w:write "through")
    assert.equal("through", r:readsome(100, 60))
    assert(s:write "k")
    assert.equal("b'k'\n", peers.done(p))
    close(r, w, s, l)
  end)

  it("is Python, receiving several", function()
    local l = assert(socket.listen { path = names.path ".sock" })
    local p = peers.python([[
s = socket.socket(socket.AF_UNIX); s.connect(A[0])
data, fds, flags, who = socket.recv_fds(s, 100, 10)
print(data, len(fds), flags & socket.MSG_CTRUNC)
os.write(fds[1], b'from python')
]], l:getsockname().path)
    local s = assert(l:accept(60))
    local r, w = assert(ipc.pipe.open())
    assert.is_true(s:sendfds("payload", { r, w, s }))
    assert.equal("from python", r:readsome(100, 60))
    assert.equal("b'payload' 3 0\n", peers.done(p))
    close(r, w, s, l)
  end)
end)
