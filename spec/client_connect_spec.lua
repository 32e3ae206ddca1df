-- ipc.connect: how it fails, and misuse of a client.
local ipc = require "lipc"
local names = require "support.names"

local SECONDS = 30

describe("client", function()
  local handle, url
  local clients = {}

  setup(function()
    handle = assert(ipc.broker.start { path = names.path ".sock", tcp = "127.0.0.1:0" })
    url = handle:url()
  end)
  teardown(function() handle:close() end)

  local function connect()
    local c = assert(ipc.connect(url, { timeout = SECONDS }))
    clients[#clients + 1] = c
    return c
  end
  after_each(function()
    for _, c in ipairs(clients) do c:close() end
    clients = {}
  end)

  describe("connect", function()
    it("fails with what the last server said", function()
      local c, message, code = ipc.connect "unix:///nonexistent/x.sock"
      assert.is_nil(c)
      assert.equal("ENOENT", code)
      assert.equal("connect unix:///nonexistent/x.sock: No such file or directory (is a broker running?)", message)
      local port
      do -- one at which nobody listens
        local socket <close> = assert(ipc.socket.listen { host = "127.0.0.1", port = 0 })
        port = socket:getsockname().port
      end
      c, message, code = ipc.connect("nats://secret@127.0.0.1:" .. port)
      assert.is_nil(c)
      assert.equal("ECONNREFUSED", code)
      assert.equal(("connect nats://127.0.0.1:%d: Connection refused (is a broker running?)"):format(port), message)
      c, message, code = ipc.connect((handle:url "tcp":gsub("//%x+@", "//wrong@")))
      assert.is_nil(c)
      assert.equal("EACCES", code, message)
    end)

    it("fails where something else answers, or nothing", function()
      local loop <close> = assert(ipc.loop.new())
      local path = names.path ".sock"
      local listener <close> = assert(ipc.socket.listen { path = path })
      loop:wrap(function()
        for _, text in ipairs { "HTTP/1.0 400 Bad Request\r\n\r\n", 'INFO {"tls_required":true}\r\n', "INFO {\r\n", "" } do
          local s = assert(listener:accept(SECONDS))
          s:write(text)
          s:shutdown "w"
          s:settimeout(SECONDS):read "a"
          s:close()
        end
        local s = assert(listener:accept(SECONDS)) -- says nothing
        s:settimeout(SECONDS):read "a"
        s:close()
      end)
      loop:wrap(function()
        for _, expected in ipairs { "EPROTO", "ENOTSUP", "EPROTO", "ECONNRESET" } do
          local c, message, code = ipc.connect("unix://" .. path, { timeout = SECONDS })
          assert.is_nil(c)
          assert.equal(expected, code, message)
          assert.equal(expected == "EPROTO", message:find(" (is that a NATS server?)", 1, true) ~= nil, message)
        end
        local c, _, code = ipc.connect("unix://" .. path, { timeout = 0.02 })
        assert.is_nil(c)
        assert.equal("ETIMEDOUT", code)
      end)
      assert.is_true(loop:run())
    end)

    it("says that a path is too long, in a loop and out of it", function()
      local long = "unix:///" .. ("x"):rep(200)
      local function try()
        local none, message, code = ipc.connect(long)
        assert.same({ nil, "ENAMETOOLONG" }, { none, code })
        assert.equal(("connect %s: 201 bytes, but a socket address holds 107"):format(long), message)
      end
      try()
      local loop <close> = assert(ipc.loop.new())
      loop:wrap(try)
      assert.is_true(loop:run())
    end)

    it("reports misuse by name", function()
      assert.has_error(function() ipc.connect(1) end, "bad argument #1 to 'connect' (URL expected, got number)")
      assert.has_error(function() ipc.connect "http://x" end, "bad argument #1 to 'connect' (unknown scheme 'http')")
      assert.has_error(function() ipc.connect "tls://x" end, "bad argument #1 to 'connect' (scheme 'tls': there is no TLS here)")
      assert.has_error(function() ipc.connect "nats://x:99999" end, "bad argument #1 to 'connect' (no such port)")
      assert.has_error(function() ipc.connect "unix://x" end,
        "bad argument #1 to 'connect' (an absolute path is needed: unix:///path)")
      for _, path in ipairs { "/tmp/x.sock", "unix:/tmp/x.sock", "unix:x.sock", "nats://x,/y" } do
        assert.has_error(function() ipc.connect(path) end, "bad argument #1 to 'connect' (a path is written unix:///path)")
      end
      assert.has_error(function() ipc.connect("nats://x", { foo = 1 }) end,
        "bad argument #2 to 'connect' (unknown option 'foo')")
      assert.has_error(function() ipc.connect("nats://x", { timeout = "1" }) end,
        "bad argument #2 to 'connect' (option 'timeout': number, not negative, expected, got string)")
      local c = connect()
      assert.has_error(function() c:publish(nil, "x") end, "bad argument #1 to 'publish' (string expected, got nil)")
      assert.has_error(function() c:publish("a", {}) end, "bad argument #2 to 'publish' (string expected, got table)")
      assert.has_error(function() c.publish(1, "a", "x") end,
        "bad argument #1 to 'publish' (lipc.client expected, got number)")
      assert.has_error(function() c:subscribe("a", 1) end, "bad argument #2 to 'subscribe' (table expected, got number)")
      assert.has_error(function() c:request("a", "x", -1) end,
        "bad argument #3 to 'request' (timeout in seconds expected)")
      assert.has_error(function() c:publish({}, "x") end, "bad argument #1 to 'publish' (string expected, got table)")
      assert.has_error(function() c:publish("a", "x", { headers = { A = { B = "x" } } }) end,
        "bad argument #3 to 'publish' (option 'headers': bad value of header A: a string or a list of strings expected)")
      assert.has_error(function() c:publish("a", "x", { headers = { "v" } }) end,
        "bad argument #3 to 'publish' (option 'headers': bad header 1: { name, value } expected)")
      assert.has_error(function() c:publish("a", "x", { headers = { A = { "x", [3] = "y" } } }) end,
        "bad argument #3 to 'publish' (option 'headers': bad value of header A: a string or a list of strings expected)")
      local numbers = assert(c:subscribe(7, function(msg) msg:respond(msg.subject) end)) -- as strings, where Lua takes them so
      assert(c:publish(7, 8))
      assert.equal("7", assert(c:request(7, "", SECONDS)).data)
      numbers:close()
      local sub = assert(c:subscribe "a")
      assert(c:publish("a", "x", { reply = "b" }))
      local msg = assert(sub:next(SECONDS))
      assert.has_error(function() msg:respond {} end, "bad argument #1 to 'respond' (string expected, got table)")
      assert.has_error(function() msg:respond("x", 1) end, "bad argument #2 to 'respond' (table expected, got number)")
      assert.has_error(function() msg:respond("x", { foo = 1 }) end,
        "bad argument #2 to 'respond' (unknown option 'foo')")
      assert.has_error(function() msg:respond("x", { headers = { ["a b:"] = "x" } }) end)
      local ok, message, code = msg:respond(("x"):rep(2 << 20))
      assert.is_nil(ok)
      assert.equal("EMSGSIZE", code)
      assert.equal("message:respond b: 2097152 bytes, the server's max_payload is 1048576", message)
      ok, message, code = c:publish("a b", "x")
      assert.is_nil(ok)
      assert.equal("EINVAL", code)
      assert.equal("client:publish a b: a subject has no blanks", message)
      assert.equal("client:publish '': a subject has no empty tokens", (select(2, c:publish("", "x"))))
      ok, message, code = c:subscribe "a..b"
      assert.is_nil(ok)
      assert.equal("EINVAL", code, message)
    end)
  end)
end)
