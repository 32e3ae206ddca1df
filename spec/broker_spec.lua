-- ipc.broker: the embedded broker and its sockets.
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"
local peer = require "support.peer"

local SECONDS = 30

describe("broker", function()
  local handle
  local open = {}

  local function start(options)
    options = options or {}
    if options.path == nil then options.path = names.path ".sock" end
    handle = assert(ipc.broker.start(options))
    return handle
  end

  local function connect(url, ...)
    local socket = nats.open(url or handle:url(), ...)
    open[#open + 1] = socket
    return socket
  end

  after_each(function()
    for _, socket in ipairs(open) do socket:close() end
    open = {}
    if handle then handle:close() end
    handle = nil
  end)

  local function exists(path)
    local file = io.open(path)
    if file then file:close() end
    return os.rename(path, path) ~= nil
  end

  describe("start", function()
    it("returns when clients can connect, and takes its path away when it stops", function()
      local path = names.path ".sock"
      start { path = path }
      assert.equal("unix://" .. path, handle:url())
      assert.same({ "unix://" .. path }, handle:urls())
      assert.is_nil(handle:url "tcp")
      assert.is_true(handle:running())
      nats.sync(connect())
      assert.is_true(exists(path))
      assert.is_true(handle:stop())
      assert.is_false(exists(path))
      assert.is_false(handle:running())
      assert.is_true(handle:stop())
      assert.is_true(handle:close())
    end)

    it("reports what keeps it from listening", function()
      start()
      local path = handle:url():match "unix://(.*)"
      local again, message, code = ipc.broker.start { path = path }
      assert.is_nil(again)
      assert.equal("EADDRINUSE", code)
      assert.matches(path, message, 1, true)
      nats.sync(connect()) -- the first one is as it was
      local none, _, why = ipc.broker.start { path = "/nonexistent/x.sock" }
      assert.is_nil(none)
      assert.equal("ENOENT", why)
    end)

    it("ends when its parent is killed", function()
      local path = names.path ".sock"
      local p = peer.lua([[
        assert(ipc.broker.start { path = arg[1] })
        print(ipc.signal.getpid())
        io.stdout:flush()
        ipc.sleep(60)
      ]], path)
      local pid = p:read "n"
      local socket = connect("unix://" .. path)
      assert(ipc.signal.kill(pid, "SIGKILL"))
      assert.equal("", nats.rest(socket))
      p:close()
    end)

    it("ends when the handle is forgotten by a script that ends", function()
      local path = names.path ".sock"
      local out = peer.run([[
        local handle = assert(ipc.broker.start { path = arg[1] })
        local c = assert(ipc.connect(handle:url()))
        c:subscribe("a", function(msg) print(msg.data) os.exit(0) end)
        c:publish("a", "here")
        c:run(30)
      ]], path)
      assert.equal("here\n", out)
      -- it may still be on its way out
      local socket = ipc.socket.connect { path = path, timeout = SECONDS }
      if socket then
        socket:settimeout(SECONDS)
        nats.rest(socket)
        socket:close()
      end
    end)
  end)

  describe("in a forked child", function()
    local function child(fn)
      local process <close> = assert(ipc.process.fork(fn))
      local status = assert(process:wait(SECONDS))
      assert.is_true(status.ok, status.error)
    end

    for _, how in ipairs { "close", "stop", "__close", "collection" } do
      it("a handle's " .. how .. " leaves the broker to its maker", function()
        start { tcp = "127.0.0.1:0" }
        child(function()
          assert(handle:running())
          if how == "__close" then
            local _ <close> = handle
          elseif how == "collection" then
            handle = nil
            collectgarbage()
            collectgarbage()
          else
            assert(handle[how](handle) == true and handle[how](handle) == true)
          end
          assert(not handle or not handle:running())
        end)
        assert.is_true(handle:running())
        nats.sync(connect())
        local path = ("%s/broker-%d.token"):format(assert(ipc.socket.runtimedir()), handle:url("tcp"):match ":(%d+)$")
        assert.is_true(exists(path))
        assert.is_true(handle:stop())
        assert.is_false(exists(path))
      end)
    end

    it("a broker of the caller's loop goes on in its maker", function()
      local loop <close> = assert(ipc.loop.new())
      local path = names.path ".sock"
      local broker = assert(ipc.broker.new { path = path, tcp = "127.0.0.1:0" }:wrap(loop))
      local file = ("%s/broker-%d.token"):format(assert(ipc.socket.runtimedir()), broker:url("tcp"):match ":(%d+)$")
      loop:wrap(function()
        local c <close> = assert(ipc.connect(broker:url()))
        local sub = assert(c:subscribe "a")
        assert(c:flush(SECONDS))
        local process <close> = assert(ipc.process.fork(function()
          -- a message on its way to the client must not be written by both
          broker.server:publish("a", nil, "twice")
          broker:close()
        end))
        local status = assert(process:wait(SECONDS))
        assert.is_true(status.ok, status.error)
        assert(exists(path) and exists(file))
        assert(c:publish("a", "once"))
        assert.equal("once", assert(sub:next(SECONDS)).data)
        broker:stop()
        assert(not exists(path) and not exists(file))
      end)
      assert.is_true(loop:run())
    end)
  end)

  describe("run", function()
    for _, name in ipairs { "SIGTERM", "SIGINT" } do
      it("ends at " .. name .. ", with everybody cut off and the path removed", function()
        local path = names.path ".sock"
        local ready, ready_child = assert(ipc.pipe.open())
        local process = assert(ipc.process.fork(function()
          -- as listening is reported to nobody here, the first client is the sign
          ready_child:close()
          assert(ipc.broker.run { path = path })
          return 7
        end))
        ready_child:close()
        assert.is_nil((ready:settimeout(SECONDS):read "a"):match ".")
        ready:close()
        local socket
        repeat socket = ipc.socket.connect { path = path } until socket or not assert(process:status() == false)
        socket:settimeout(SECONDS)
        assert.matches("^INFO", (socket:read "L"))
        assert(process:kill(name))
        assert.equal("", nats.rest(socket))
        socket:close()
        local status = assert(process:wait(SECONDS))
        assert.equal(7, status.code)
        assert.is_false(exists(path))
        process:close()
      end)
    end

    it("ends cleanly in a child too when the signal comes before the first turn of its loop", function()
      local path = names.path ".sock"
      handle = assert(require("lipc.broker.child").start(function(listening)
        return require("lipc.broker.serve")(ipc.broker.new { path = path }, function(broker, loop)
          listening(broker, loop)
          ipc.signal.raise "SIGTERM"
        end)
      end))
      assert.equal(0, handle.process:wait(SECONDS).code)
      assert.is_false(exists(path))
    end)

    it("leaves the signals as they were", function()
      local out = peer.run([[
        local before = ipc.signal.disposition "SIGTERM"
        local loop = ipc.loop.new()
        local ok, message, code = ipc.broker.run { path = "/nonexistent/x" }
        print(ok, code, before == ipc.signal.disposition "SIGTERM")
      ]])
      assert.equal("nil\tENOENT\ttrue\n", out)
    end)
  end)

  describe("in a loop of the caller's", function()
    it("serves beside other tasks and ends with stop", function()
      local loop = assert(ipc.loop.new())
      local path = names.path ".sock"
      local broker = assert(ipc.broker.new { path = path }:wrap(loop))
      local got, ticks = {}, 0
      loop:wrap(function()
        local c = assert(ipc.connect(broker:url()))
        local sub = assert(c:subscribe "a.>")
        for i = 1, 3 do assert(c:publish("a." .. i, tostring(i))) end
        for i = 1, 3 do got[i] = assert(sub:next(SECONDS)).data end
        local stats = broker:stats()
        assert.equal(1, stats.connections)
        assert.equal(1, stats.subscriptions)
        assert.equal(3, stats.messages_in)
        assert.equal(3, stats.messages_out)
        assert.equal(0, stats.errors)
        c:close()
        broker:stop()
      end)
      loop:wrap(function()
        for _ = 1, 5 do
          ipc.sleep(0)
          ticks = ticks + 1
        end
      end)
      assert.is_true(loop:run())
      assert.same({ "1", "2", "3" }, got)
      assert.equal(5, ticks)
      assert.is_false(exists(path))
      assert.is_true(broker:stop())
      loop:close()
    end)

    it("may be stopped before its tasks have had a turn", function()
      local loop <close> = assert(ipc.loop.new())
      local function make() return ipc.broker.new { path = names.path ".sock", tcp = "127.0.0.1:0", token = "t" } end
      local broker = make()
      assert.equal(broker, broker:wrap(loop))
      assert.is_true(broker:stop())
      assert.is_true(loop:run())
      loop:wrap(function()
        broker = make()
        assert.equal(broker, broker:wrap(loop))
        assert.is_true(broker:stop())
      end)
      assert.is_true(loop:run())
    end)
  end)

  describe("clients that misbehave", function()
    it("are closed with an error, and nobody else is affected", function()
      start()
      local good = connect()
      assert(good:write "SUB a 1\r\n")
      nats.sync(good)
      for _, text in ipairs { "FOO\r\n", "\0\0\0\r\n", "PUB a -1\r\n", "PUB a 99999999\r\n", "SUB\r\n", ("x"):rep(100000),
        "MSG a 1 2\r\nhi\r\n", "PUB a 2\r\nhello\r\n", "CONNECT {\r\n", "GET / HTTP/1.0\r\n\r\n" } do
        local bad = connect()
        bad:write(text)
        assert.matches("^%-ERR '[^']+'\r\n$", nats.rest(bad), 1, false, text)
        bad:close()
      end
      assert(good:write "PUB a 2\r\nhi\r\n")
      assert.equal("MSG a 1 2\r\n", good:read "L")
      assert.equal("hi\r\n", good:read "L")
      nats.sync(good)
    end)

    it("are forgotten when they are killed in the middle of a message", function()
      start()
      local good = connect()
      assert(good:write "SUB > 1\r\n")
      nats.sync(good)
      local r, w = assert(ipc.pipe.open())
      local process = assert(ipc.process.fork(function()
        local s = nats.open(handle:url())
        s:write("SUB a 1\r\nPUB a 100000\r\n", ("x"):rep(50000))
        nats.connect(handle:url())
        w:write "sent\n"
        ipc.sleep(60)
      end))
      w:close()
      assert.equal("sent", r:settimeout(SECONDS):read())
      r:close()
      assert(process:kill "SIGKILL")
      assert(process:wait(SECONDS))
      process:close()
      assert(good:write "PUB a 2\r\nhi\r\n")
      assert.equal("MSG a 1 2\r\n", good:read "L")
      assert.equal("hi\r\n", good:read "L")
      nats.sync(good)
    end)

    it("do not keep others from being served while they flood", function()
      start()
      local process = assert(ipc.process.fork(function()
        local s = nats.open(handle:url())
        local flood = ("PUB nobody 2\r\nhi\r\n"):rep(3000)
        while s:write(flood) do end
      end))
      local a, b = connect(), connect()
      assert(a:write "SUB a 1\r\n")
      nats.sync(a)
      for _ = 1, 20 do
        assert(b:write "PUB a 2\r\nhi\r\n")
        assert.equal("MSG a 1 2\r\n", a:read "L")
        assert.equal("hi\r\n", a:read "L")
      end
      assert(process:kill "SIGKILL")
      assert(process:wait(SECONDS))
      process:close()
    end)
  end)

  it("delivers to 200 clients", function()
    start()
    local clients = {}
    for i = 1, 200 do
      clients[i] = connect()
      assert(clients[i]:write("SUB all ", i, "\r\nPING\r\n"))
    end
    for i = 1, 200 do assert.equal("PONG\r\n", clients[i]:read "L") end
    assert(clients[1]:write "PUB all 5\r\nhello\r\n")
    for i = 1, 200 do
      assert.equal(("MSG all %d 5\r\n"):format(i), clients[i]:read "L")
      assert.equal("hello\r\n", clients[i]:read "L")
    end
  end)

  describe("access", function()
    it("over TCP needs the token that lies in a file for its owner alone", function()
      start { path = false, tcp = "127.0.0.1:0" }
      local url = handle:url "tcp"
      local token, port = url:match "^nats://(%x+)@127%.0%.0%.1:(%d+)$"
      assert.is_truthy(token)
      local path = assert(ipc.socket.runtimedir()) .. "/broker-" .. port .. ".token"
      assert.equal(token .. "\n", assert(assert(io.open(path)):read "a"))
      local mode = peer.sh("stat -c %a " .. path)
      assert.equal("600\n", mode:read "a")
      mode:close()
      nats.sync(connect(url, ('{"auth_token":"%s","verbose":false}'):format(token)))
      for _, bad in ipairs { "{}", '{"auth_token":""}', '{"auth_token":"x"}', ('{"auth_token":"%sx"}'):format(token) } do
        local socket = nats.connect(url)
        assert.matches('"auth_required":true', (socket:read "L"))
        assert(socket:write("CONNECT ", bad, "\r\nSUB > 1\r\n"))
        assert.equal("-ERR 'Authorization Violation'\r\n", nats.rest(socket))
        socket:close()
      end
      handle:stop()
      assert.is_false(exists(path))
    end)

    it("by token, or by user and password; the Unix socket's own user needs none", function()
      start { tcp = "127.0.0.1:0", user = "u", pass = "p:@/" }
      assert.matches("^nats://u:p%%3A%%40%%2F@127%.0%.0%.1:%d+$", handle:url "tcp")
      local c = assert(ipc.connect(handle:url "tcp"))
      assert.is_true(c:flush(SECONDS))
      c:close()
      nats.sync(connect(handle:url "unix"))
      local none, message, code = ipc.connect((handle:url "tcp":gsub("p%%3A", "q")))
      assert.is_nil(none)
      assert.equal("EACCES", code)
      assert.matches("Authorization Violation", message)
    end)

    it("does not show what is secret in tostring", function()
      for _, options in ipairs { { token = "s3cret" }, { user = "u@s3cret", pass = "s3cret@/" }, {} } do
        options.tcp = "127.0.0.1:0"
        options.path = false
        start(options)
        local port = handle:url():match ":(%d+)$"
        assert.equal(("lipc.broker.handle (nats://127.0.0.1:%d, process %d)"):format(port, handle:pid()), tostring(handle))
        assert.matches("@", handle:url(), 1, true)
        handle:stop()
        assert.equal(("lipc.broker.handle (nats://127.0.0.1:%d, stopped)"):format(port), tostring(handle))
        options.port = 0
        local broker <close> = assert(ipc.broker.new(options):listen())
        port = broker:url():match ":(%d+)$"
        assert.equal(("lipc.broker (nats://127.0.0.1:%d, 0 connections)"):format(port), tostring(broker))
      end
      start { path = names.path "@.sock" }
      assert.matches(handle:url(), tostring(handle), 1, true)
    end)

    it("has a time limit", function()
      start { path = false, tcp = "127.0.0.1:0", token = "t", auth_timeout = 0.05 }
      local socket = nats.connect(handle:url "tcp")
      assert.matches("^INFO.*\r\n%-ERR 'Authentication Timeout'\r\n$", nats.rest(socket))
      socket:close()
    end)

    it("is everybody's with insecure = true", function()
      start { path = false, host = "127.0.0.1", port = 0, insecure = true }
      assert.matches("^nats://127%.0%.0%.1:%d+$", handle:url "tcp")
      nats.sync(connect(handle:url "tcp"))
    end)

    it("is refused to another user who reaches the Unix socket", function()
      local who = peer.sh "id -u"
      local uid = who:read "n"
      who:close()
      start { mode = 511 } -- 0777
      local socket
      if uid == 0 then
        -- the credentials of a connection are those of whoever connected
        local script = [[python3 -c '
import os, socket, sys
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])
f = s.makefile("rb"); line = f.readline(); sys.stdout.buffer.write(line)
assert f.read() == b""' 2>&1 ]]
        local p = peer.sh(script .. peer.quote(handle:url():match "unix://(.*)"))
        assert.equal("-ERR 'Authorization Violation'\r\n", p:read "a")
        p:close()
      else
        socket = connect()
        nats.sync(socket)
      end
    end)
  end)

  it("asks clients on the network whether they live, and cuts those that do not answer", function()
    -- in one loop, where an answer comes a turn after the question, however slow the machine
    local loop <close> = assert(ipc.loop.new())
    local broker = assert(ipc.broker.new {
      path = false, tcp = "127.0.0.1:0", insecure = true, ping_interval = 0.02, ping_max = 5,
    }:wrap(loop))
    local function greeted()
      local socket = nats.connect(broker:url "tcp")
      assert.matches("^INFO ", socket:read "L")
      assert(socket:write 'CONNECT {"verbose":false}\r\n')
      return socket
    end
    local task = loop:wrap(function()
      local dead <close> = greeted()
      assert.equal(("PING\r\n"):rep(5) .. "-ERR 'Stale Connection'\r\n", nats.rest(dead))
      local alive <close> = greeted()
      for _ = 1, 12 do
        assert.equal("PING\r\n", alive:read "L")
        assert(alive:write "PONG\r\n")
      end
    end)
    local ok, problem
    loop:wrap(function()
      ok, problem = task:join()
      broker:stop()
    end)
    loop:run()
    assert(ok, problem)
  end)

  it("reports misuse by name", function()
    assert.has_error(function() ipc.broker.new { foo = 1 } end, "bad argument #1 to 'new' (unknown option 'foo')")
    assert.has_error(function() ipc.broker.start { port = 70000 } end,
      "bad argument #1 to 'start' (option 'port': 0 to 65535 expected)")
    assert.has_error(function() ipc.broker.run { path = false } end,
      "bad argument #1 to 'run' (nowhere to listen: no path, no tcp)")
    assert.has_error(function() ipc.broker.new(1) end, "bad argument #1 to 'new' (table expected, got number)")
    assert.has_error(function() ipc.broker.new().stats(1) end, "bad argument #1 to 'stats' (lipc.broker expected, got number)")
    assert.has_error(function() ipc.broker.new():wrap {} end, "bad argument #1 to 'wrap' (lipc.loop expected, got table)")
    assert.equal("lipc.broker (, 0 connections)", tostring(ipc.broker.new()))
  end)
end)
