-- Connecting and listening by address and by name: look-up, deadlines, several addresses, failures;
-- and that nothing of it blocks a loop.
local ipc = require "lipc"
local socket = ipc.socket
local hoststate = require "support.hoststate"
local names = require "support.names"
local peers = require "support.peers"

local function close(...)
  for i = 1, select("#", ...) do (select(i, ...)):close() end
end

local function host(script) return peers.done(peers.host(script)) end

-- A port of 127.0.0.1 where nobody listens.
local function dead_port()
  local l = assert(socket.listen { port = 0 })
  local port = l:getsockname().port
  l:close()
  return port
end

describe("socket.connect", function()
  it("names the address when it fails", function()
    local port = dead_port()
    local function fails(code, message, options)
      local c, m, k = socket.connect(options)
      assert.is_nil(c)
      assert.equal(code, k)
      assert.equal("socket.connect " .. message, m)
    end
    fails("ECONNREFUSED", ("127.0.0.1:%d: Connection refused"):format(port), { port = port })
    fails("ECONNREFUSED", ("localhost:%d: Connection refused"):format(port), { host = "localhost", port = port })
    fails("ECONNREFUSED", ("[::1]:%d: Connection refused"):format(port), { host = "::1", port = port })
    fails("ENOENT", "/no/such: No such file or directory", { path = "/no/such" })
    fails("ECONNREFUSED", "/dev/null: Connection refused", { path = "/dev/null" })
    local l = assert(socket.listen { path = names.path ".sock" })
    local path = l:getsockname().path
    fails("EPROTOTYPE", path .. ": Protocol wrong type for socket", { path = path, type = "seqpacket" })
    close(l)
  end)

  it("leaves nothing behind, and the host as it was", function()
    local before = hoststate.before()
    for _ = 1, 20 do
      socket.connect { port = dead_port() }
      socket.connect { host = "localhost", port = dead_port(), timeout = 5 }
      socket.connect { path = "/no/such", bind = { path = names.path ".sock" } }
    end
    assert.same({}, hoststate.diff(before, hoststate.take()))
  end)

  it("works with a timeout of 0 where nothing is to be waited for", function()
    local l = assert(socket.listen { port = 0 })
    local c = assert(socket.connect { port = l:getsockname().port, timeout = 0 })
    local m = assert(socket.listen { path = names.path ".sock" })
    local d = assert(socket.connect { path = m:getsockname().path, timeout = 0 })
    close(l, c, m, d)
  end)

  it("gives up at its deadline", function()
    -- a listener with a full queue drops what comes
    local l = assert(socket.listen { port = 0, backlog = 0 })
    local port, hold = l:getsockname().port, {}
    local c, message, code
    repeat
      c, message, code = socket.connect { port = port, timeout = 0.05 }
      hold[#hold + 1] = c
    until not c
    assert.equal("ETIMEDOUT", code)
    assert.equal(("socket.connect 127.0.0.1:%d: timed out"):format(port), message)
    local before = ipc.now()
    assert.equal("ETIMEDOUT", (select(3, socket.connect { port = port, timeout = 0.1 })))
    assert.is_true(ipc.now() - before >= 0.1)
    close(l, table.unpack(hold))
  end)

  it("binds to an address of its own when asked", function()
    local l = assert(socket.listen { port = 0 })
    local port = dead_port()
    local c = assert(socket.connect { port = l:getsockname().port, bind = { host = "127.0.0.1", port = port } })
    assert.equal(port, c:getsockname().port)
    local path, own = names.path ".sock", names.path ".own"
    local m = assert(socket.listen { path = path })
    local d = assert(socket.connect { path = path, bind = { path = own } })
    local s = assert(m:accept(60))
    assert.same({ family = "unix", path = own }, s:getpeername())
    close(l, c, m, d, s)
    assert.is_nil(io.open(own))
    assert.has_error.matches(function() socket.connect { port = 1, bind = { host = "x.y", port = 1 } } end,
      "bad argument #1.*'x.y' is not numeric")
    assert.has_error.matches(function() socket.connect { port = 1, bind = 1 } end, "'bind': address table expected")
  end)

  it("sets options before it connects", function()
    local l = assert(socket.listen { port = 0, rcvbuf = 10000, nodelay = true })
    local c = assert(socket.connect { port = l:getsockname().port, nodelay = true, keepalive = true, sndbuf = 12345,
      linger = 3 })
    assert.is_true(c:getoption "nodelay")
    assert.is_true(c:getoption "keepalive")
    assert.equal(3, c:getoption "linger")
    assert.is_true(c:getoption "sndbuf" >= 12345)
    local s = assert(l:accept(60))
    assert.is_true(s:getoption "nodelay")
    close(l, c, s)
    local d, message, code = socket.connect { path = "/no/such", nodelay = true }
    assert.is_nil(d)
    assert.equal("EOPNOTSUPP", code:gsub("^ENOTSUP$", "EOPNOTSUPP"), message)
  end)

  it("refuses what makes no sense, by name", function()
    for _, row in ipairs {
      { {}, "one of 'path', 'abstract' and 'host', 'port' expected" },
      { { path = "x", port = 1 }, "got several" },
      { { path = "x", abstract = "y" }, "got several" },
      { { host = "x" }, "option 'port' is missing" },
      { { host = "", port = 1 }, "option 'host': empty string" },
      { { host = "a\0b", port = 1 }, "option 'host': string contains zeros" },
      { { host = 1, port = 1 }, "option 'host': string expected, got number" },
      { { port = 65536 }, "option 'port': 65536 is out of range" },
      { { port = -1 }, "option 'port': %-1 is out of range" },
      { { port = "80" }, "option 'port': integer expected" },
      { { port = 1, type = "raw" }, "'raw' is none of" },
      { { port = 1, family = "ipx" }, "'ipx' is none of unix, inet, inet6" },
      { { port = 1, family = "unix" }, "'unix' has no hosts" },
      { { path = "x", family = "inet" }, "a path is of family 'unix'" },
      { { port = 1, timeout = -1 }, "option 'timeout'" },
      { { port = 1, timeout = 0 / 0 }, "option 'timeout'" },
      { { port = 1, nodelay = 1 }, "option 'nodelay': boolean expected, got 1" },
      { { port = 1, sndbuf = true }, "option 'sndbuf': integer" },
      { { port = 1, mode = 1 }, "unknown option 'mode'" },
      { { port = 1, [1] = 1 }, "unknown option '1'" },
    } do
      assert.has_error.matches(function() socket.connect(row[1]) end, row[2])
    end
    assert.has_error(function() socket.connect() end)
    assert.has_error(function() socket.connect "127.0.0.1" end)
  end)
end)

describe("socket.listen", function()
  it("is on loopback unless told otherwise", function()
    local l = assert(socket.listen { port = 0 })
    assert.equal("127.0.0.1", l:getsockname().host)
    local m = assert(socket.listen { port = 0, family = "inet6" })
    assert.equal("::1", m:getsockname().host)
    local n = assert(socket.listen { host = "LocalHost", port = 0 })
    assert.equal("127.0.0.1", n:getsockname().host)
    close(l, m, n)
  end)

  it("listens to both families with *", function()
    local l = assert(socket.listen { host = "*", port = 0 })
    local port = l:getsockname().port
    local c = assert(socket.connect { host = "127.0.0.1", port = port, timeout = 60 })
    local d = assert(socket.connect { host = "::1", port = port, timeout = 60 })
    close(l, c, d)
    l = assert(socket.listen { host = "*", port = 0, family = "inet" })
    assert.equal("0.0.0.0", l:getsockname().host)
    close(l)
    l = assert(socket.listen { host = "::", port = 0, v6only = true })
    assert.equal("ECONNREFUSED", (select(3, socket.connect { port = l:getsockname().port })))
    close(l)
  end)

  it("takes a port again while old connections linger, but not a used one", function()
    local l = assert(socket.listen { port = 0 })
    local port = l:getsockname().port
    assert.is_true(l:getoption "reuseaddr")
    local c = assert(socket.connect { port = port })
    local s = assert(l:accept(60))
    local again, message, code = socket.listen { port = port }
    assert.is_nil(again)
    assert.equal("EADDRINUSE", code)
    assert.equal(("socket.listen 127.0.0.1:%d: Address already in use"):format(port), message)
    close(s, c, l) -- the side of s is in TIME-WAIT now
    local m = assert(socket.listen { port = port })
    m:close()
    m = assert(socket.listen { port = 0, reuseaddr = false })
    assert.is_false(m:getoption "reuseaddr")
    m:close()
  end)

  it("shares a port with reuseport", function()
    local l = assert(socket.listen { port = 0, reuseport = true })
    local m = assert(socket.listen { port = l:getsockname().port, reuseport = true })
    close(l, m)
  end)

  it("fails for an address that is not this machine's", function()
    local l, message, code = socket.listen { host = "192.0.2.1", port = 0 }
    assert.is_nil(l)
    assert.equal("EADDRNOTAVAIL", code)
    assert.matches("^socket.listen 192.0.2.1:0: ", message)
  end)
end)

describe("options of a socket", function()
  it("are read once, and what metamethods made up is kept", function()
    local asked = {}
    local name = "lipc-" .. ("x"):rep(60) .. ipc.now()
    local function options(values)
      return setmetatable({}, { __index = function(_, key)
        asked[key] = (asked[key] or 0) + 1
        collectgarbage()
        local make = values[key]
        return make and make()
      end })
    end
    local l = assert(socket.listen(options { abstract = function() return name .. "!" end }))
    for key, times in pairs(asked) do assert.equal(1, times, key) end
    assert.equal(name .. "!", l:getsockname().abstract)
    local s = assert(socket.datagram {})
    assert.equal("ECONNREFUSED", (select(3, s:sendto("x", options { abstract = function() return name .. "?" end }))))
    s:close()
    l:close()
  end)
end)

describe("a look-up", function()
  it("gives a code of getaddrinfo when it fails", function()
    assert.equal(table.concat({
      "nil\tsocket.connect none.test:1: Name or service not known\tEAI_NONAME",
      "nil\tsocket.listen again.test:1: Temporary failure in name resolution\tEAI_AGAIN",
      "nil\tsocket.resolve memory.test: Cannot allocate memory\tENOMEM",
      "nil\tsocket.datagram none.test:1: Name or service not known\tEAI_NONAME",
      "",
    }, "\n"), host [[
print(socket.connect { host = "none.test", port = 1 })
print(socket.listen { host = "again.test", port = 1 })
print(socket.resolve { host = "memory.test" })
print(socket.datagram { host = "none.test", port = 1 })
]])
  end)

  it("finds all addresses, and connect tries each within one deadline", function()
    assert.equal("3\ninet 127.0.0.9 7\ninet6 ::1 7\ninet 127.0.0.1 7\n127.0.0.1\nECONNREFUSED\n1\nETIMEDOUT\nok\n", host [[
answers { "127.0.0.9", "::1", "127.0.0.1" }
local list = assert(socket.resolve { host = "many.test", port = 7 })
print(#list)
for _, a in ipairs(list) do print(a.family .. " " .. a.host .. " " .. a.port) end
local l = assert(socket.listen { host = "127.0.0.1", port = 0 })
local port = l:getsockname().port
local c = assert(socket.connect { host = "many.test", port = port, timeout = 60 })
print(c:getpeername().host)
l:close()
print((select(3, socket.connect { host = "many.test", port = port, timeout = 60 })))
print(#assert(socket.resolve { host = "::1", port = 7 }))
-- the first address never answers: its share of the time passes, and the next is tried
local full = assert(socket.listen { host = "127.0.0.9", port = 0, backlog = 0 })
port = full:getsockname().port
local hold, code = {}
repeat
  hold[#hold + 1], _, code = socket.connect { host = "127.0.0.9", port = port, timeout = 0.05 }
until code
print(code)
local good = assert(socket.listen { host = "127.0.0.1", port = port })
answers { "127.0.0.9", "127.0.0.1" }
local loop = assert(ipc.loop.new())
loop:run(function()
  local started = ipc.now()
  local c = assert(socket.connect { host = "many.test", port = port, timeout = 4 })
  print(c:getpeername().host == "127.0.0.1" and ipc.now() - started < 4 and "ok")
end)
]])
  end)

  it("gives up at its deadline, and the thread that is left harms nobody", function()
    assert.equal("ETIMEDOUT\nETIMEDOUT\n2\n0\ntrue\n", host [[
local before = ipc.now()
print((select(3, socket.connect { host = "slow.test", port = 1, timeout = 0.05 })))
print((select(3, socket.resolve { host = "slow.test", timeout = 0 })))
while waiting() < 2 do ipc.sleep(0.001) end
print(waiting())
print(mask())
release()
while waiting() > 0 do ipc.sleep(0.001) end
print(ipc.now() - before >= 0.05)
]])
  end)

  it("leaves the signal mask as it was", function()
    local out = host [[
local probe = require "support.probe"
probe.block(12)
print(probe.mask())
assert(socket.resolve { host = "again.test", timeout = 60 } == nil)
print(probe.mask())
]]
    assert.matches("^(%x+)\n%1\n$", out)
  end)

  it("may still run when the state is closed", function()
    assert.equal("1\n", host [[
socket.connect { host = "slow.test", port = 1, timeout = 0.01 }
while waiting() < 1 do ipc.sleep(0.001) end
print(waiting())
]])
  end)

  it("does not stop a coroutine that ticks beside it", function()
    assert.equal("connected\nlistening\n", host [[
local l = assert(socket.listen { port = 0 })
local loop, ticks, done = assert(ipc.loop.new()), 0, {}
loop:wrap(function()
  while #done < 2 do
    ticks = ticks + 1
    if ticks >= 50 and waiting() == 2 then release() end
    ipc.sleep(0.001)
  end
end)
loop:wrap(function()
  assert(socket.connect { host = "slow.test", port = l:getsockname().port, timeout = 60 })
  assert(ticks >= 50)
  done[#done + 1] = "connected"
end)
loop:wrap(function()
  assert(socket.listen { host = "slow.test", port = 0, timeout = 60 })
  assert(ticks >= 50)
  done[#done + 1] = "listening"
end)
loop:run()
table.sort(done)
print(table.concat(done, "\n"))
]])
  end)

  it("ends with its task when that is cancelled, and leaves no descriptor", function()
    assert.equal("0\n", host [[
local probe = require "support.probe"
local function count()
  local n = 0
  for _ in pairs(probe.fds()) do n = n + 1 end
  return n
end
local loop = assert(ipc.loop.new())
loop:run(function() ipc.sleep(0) end)
local before = count()
local t = loop:wrap(function() socket.connect { host = "slow.test", port = 1 } end)
loop:wrap(function()
  while waiting() < 1 do ipc.sleep(0.001) end
  t:cancel()
end)
pcall(loop.run, loop)
print(count() - before)
]])
  end)
end)

describe("under the loop", function()
  it("a socket that had to wait for its connection is forgotten when it is closed", function()
    local l = assert(socket.listen { port = 0, backlog = 0 })
    local port = l:getsockname().port
    local hold, loop = { assert(socket.connect { port = port }) }, assert(ipc.loop.new())
    local ticks, over = 0, false
    loop:wrap(function()
      while not over do
        ticks = ticks + 1
        if ticks == 10 then hold[#hold + 1] = l:accept(0) end -- now there is room for the other
        ipc.sleep(0.001)
      end
    end)
    loop:wrap(function()
      local c = assert(socket.connect { port = port, timeout = 60 })
      assert.is_true(ticks >= 10)
      collectgarbage() -- nothing else is closed meanwhile, whose number would be the next
      collectgarbage()
      local fd = c:fd()
      c:close()
      local r, w = assert(ipc.pipe.open())
      assert.equal(fd, r:fd()) -- another descriptor of the same number
      loop:wrap(function()
        ipc.sleep(0.01)
        w:write "through"
      end)
      assert.equal("through", r:readsome(10, 60))
      over = true
      close(r, w)
    end)
    loop:run()
    loop:close()
    close(l, table.unpack(hold))
  end)

  it("accept and connect suspend only their coroutine", function()
    local path = names.path ".sock"
    local l = assert(socket.listen { path = path, backlog = 0 })
    local first = assert(socket.connect { path = path })
    local loop, ticks, over = assert(ipc.loop.new()), 0, false
    loop:wrap(function()
      while not over do
        ticks = ticks + 1
        ipc.sleep(0.001)
      end
    end)
    local accepted
    loop:wrap(function() -- has to wait: the queue is full
      local c = assert(socket.connect { path = path, timeout = 60 })
      assert.is_true(ticks >= 20)
      assert.is_truthy(accepted)
      over = true
      c:close()
    end)
    loop:wrap(function()
      while ticks < 20 do ipc.sleep(0.001) end
      accepted = assert(l:accept(60))
    end)
    loop:run()
    loop:close()
    close(l, first, accepted)
  end)
end)
