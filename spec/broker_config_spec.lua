-- ipc.broker: its options, in a table and in a file; where it listens.
local dkjson = require "dkjson"
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"
local peer = require "support.peer"

local SECONDS = 30

local own_uid = require("lipc.broker.credentials").uid()

describe("broker configuration", function()
  local handle
  local open, paths = {}, {}

  after_each(function()
    for _, socket in ipairs(open) do socket:close() end
    if handle then handle:close() end
    for _, path in ipairs(paths) do os.remove(path) end
    open, paths, handle = {}, {}, nil
  end)

  local function path(suffix)
    local one = names.path(suffix)
    paths[#paths + 1] = one
    return one
  end

  local function write(where, text)
    local file = assert(io.open(where, "w"))
    file:write(text)
    file:close()
    return where
  end

  local function read(where)
    local file = assert(io.open(where))
    local text = file:read "a"
    file:close()
    return text
  end

  local function file(text) return write(path ".conf", text) end

  local function start(options)
    handle = assert(ipc.broker.start(options))
    return handle
  end

  local function connect(url, ...)
    local socket = nats.open(url, ...)
    open[#open + 1] = socket
    return socket
  end

  local function info(url)
    local socket <close> = nats.connect(url)
    return dkjson.decode(assert((assert(socket:read "L"):match "^INFO (.*)\r\n$")))
  end

  -- Waits for what is not said otherwise.
  local function await(what)
    local patience = ipc.now() + SECONDS
    while not what() do
      assert(ipc.now() < patience, "it does not come")
      ipc.sleep(0.001)
    end
  end

  describe("in a file", function()
    for name, text in pairs {
      ["assigns names"] = 'local size = 1 << 10\nmax_payload = size * 2\nname = "mine"\npath = false tcp = "127.0.0.1:0" token = "t"',
      ["or returns a table"] = '#!/usr/bin/lipc\nreturn { max_payload = 2048, name = "mine", path = false, tcp = "127.0.0.1:0", token = "t" }',
    } do
      it(name, function()
        start { config = file(text) }
        local said = info(handle:url())
        assert.equal(2048, said.max_payload)
        assert.equal("mine", said.server_name)
        assert.matches("^nats://t@127", handle:url())
      end)
    end

    it("gives way to what is given beside it", function()
      local socket = path ".sock"
      local where = file 'max_payload = 100 name = "file" listen = { "tcp://127.0.0.1:0", "unix:///nonexistent/x" }'
      start { config = where, name = "table", path = socket }
      assert.same({ "unix://" .. socket }, handle:urls())
      assert.equal("table", info(handle:url()).server_name)
      assert.equal(100, info(handle:url()).max_payload)
    end)

    it("has nothing in reach", function()
      for _, name in ipairs { "os", "io", "require", "load", "string", "print", "_G", "setmetatable", "pcall", "error" } do
        assert(ipc.broker.new { config = file(("if %s ~= nil then max_payload = 'reached' end"):format(name)) })
      end
    end)

    it("is refused with its place and the reason when it is wrong", function()
      local bytecode = string.dump(function() return {} end)
      for text, reason in pairs {
        ["max_payload = "] = ":1: unexpected symbol near <eof>",
        ["\nos.exit(1)"] = ":2: attempt to index a nil value %(global 'os'%)",
        ["return 1"] = ": a table is to be returned, not a number",
        ["x = 1 return {}"] = ": 'x' is assigned, and a table returned",
        ["max_payloads = 1"] = ": unknown option 'max_payloads'",
        ["max_payload = 0"] = ": option 'max_payload': positive integer expected",
        ["config = 'x'"] = ": unknown option 'config'",
        ["path = false"] = ": nowhere to listen: no path, no tcp",
        ["users = { { user = 'a' } }"] = ": option 'users': user 1: no password",
        ["while true do end"] = ": it does not end",
        ["coroutine.yield()"] = ":1: attempt to index a nil value",
        [bytecode] = "attempt to load a binary chunk",
      } do
        local where = file(text)
        for _, fn in ipairs { "new", "start", "run" } do
          local none, message, code = ipc.broker[fn] { config = where }
          assert.is_nil(none)
          assert.equal("EINVAL", code)
          assert.matches("^broker%." .. fn .. " ", message)
          assert.matches(reason, message)
        end
      end
      local none, message, code = ipc.broker.new { config = "/nonexistent/conf" }
      assert.is_nil(none)
      assert.equal("broker.new /nonexistent/conf: No such file or directory", message)
      assert.equal("ENOENT", code)
      assert.equal("EISDIR", (select(3, ipc.broker.new { config = "/" })))
    end)

    it("is read again at SIGHUP, and left when it is wrong", function()
      local where, log = path ".conf", path ".log"
      local function users(list) write(where, "users = {" .. list .. "} max_payload = 5 max_connections = 4") end
      users '{ user = "a", password = "1" }'
      start { config = where, path = false, tcp = "127.0.0.1:0", log = log }
      local a = connect(handle:url(), '{"user":"a","pass":"1","verbose":false}')
      write(where, "users = ")
      assert.is_true(handle:reload())
      await(function() return read(log):find("Failed to reload: " .. where, 1, true) end)
      nats.sync(a)
      users '{ user = "b", password = "2" }'
      assert(ipc.signal.kill(handle:pid(), "SIGHUP"))
      assert.equal("-ERR 'Authorization Violation'\r\n", nats.rest(a))
      nats.sync(connect(handle:url(), '{"user":"b","pass":"2","verbose":false}'))
      assert.equal(5, info(handle:url()).max_payload)
    end)
  end)

  it("is no file where there is none: SIGHUP is noted, and the broker goes on", function()
    local log = path ".log"
    start { path = path ".sock", log = log }
    local own = connect(handle:url())
    assert.same({ nil, "broker.reload: there is no configuration file", "ENOENT" }, { handle:reload() })
    local broker <close> = assert(ipc.broker.new { path = path ".sock" })
    assert.same({ nil, "broker.reload: there is no configuration file", "ENOENT" }, { broker:reload() })
    for i = 1, 2 do
      assert(ipc.signal.kill(handle:pid(), "SIGHUP"))
      await(function()
        return select(2, read(log):gsub("%[ERR%] Failed to reload: there is no configuration file\n", "")) == i
      end)
    end
    nats.sync(own)
    nats.sync(connect(handle:url()))
  end)

  describe("reload", function()
    local function with_broker(options, fn)
      local loop <close> = assert(ipc.loop.new())
      local broker = assert(ipc.broker.new(options):wrap(loop))
      local task = loop:wrap(function() fn(broker) end)
      local ok, problem
      loop:wrap(function()
        ok, problem = task:join()
        broker:stop()
      end)
      loop:run()
      assert(ok, problem)
    end

    it("replaces what it is given, and nothing else", function()
      with_broker({ path = path ".sock", tcp = "127.0.0.1:0", token = "one", max_connections = 9 }, function(broker)
        local a = connect(broker:url "tcp", '{"auth_token":"one","verbose":false}')
        local own = connect(broker:url "unix")
        assert.equal(broker, broker:reload { token = "two" })
        assert.equal("-ERR 'Authorization Violation'\r\n", nats.rest(a))
        assert.matches("^nats://two@", broker:url "tcp")
        nats.sync(connect(broker:url "tcp", '{"auth_token":"two","verbose":false}'))
        nats.sync(own)
        assert(broker:reload { max_connections = 1 })
        assert.equal("-ERR 'maximum connections exceeded'\r\n", nats.rest(nats.connect(broker:url "unix")))
        assert(broker:reload {})
        assert.matches("^nats://two@", broker:url "tcp")
      end)
    end)

    it("keeps a token that was made up, beside users that come", function()
      with_broker({ path = false, tcp = "127.0.0.1:0" }, function(broker)
        local url = broker:url()
        local c = connect(url, ('{"auth_token":"%s","verbose":false}'):format(url:match "//(%x+)@"))
        assert(broker:reload { users = { { user = "u", password = "p" } } })
        assert.equal(url, broker:url())
        nats.sync(c)
        nats.sync(connect(url, '{"user":"u","pass":"p","verbose":false}'))
      end)
    end)

    it("asks also where nothing was asked before", function()
      with_broker({ path = path ".sock", tcp = "127.0.0.1:0", insecure = true }, function(broker)
        local anybody, own = connect(broker:url "tcp"), connect(broker:url "unix")
        assert.is_nil(info(broker:url "tcp").auth_required)
        assert(broker:reload { default_permissions = { publish = { deny = "x" } } })
        assert(anybody:write "PUB x 0\r\n\r\n")
        assert.equal("-ERR 'Permissions Violation for Publish to \"x\"'\r\n", anybody:read "L")
        assert(broker:reload { insecure = false, users = { { user = "u", password = "p" } } })
        assert.equal("-ERR 'Authorization Violation'\r\n", nats.rest(anybody))
        assert.is_true(info(broker:url "tcp").auth_required)
        assert.is_false(info(broker:url "unix").auth_required)
        nats.sync(own)
        assert(own:write "PUB x 0\r\n\r\n")
        nats.sync(own)
      end)
    end)

    it("lets nobody in over TCP who was let in by insecure alone, although there is nothing to show", function()
      with_broker({ path = path ".sock", tcp = "127.0.0.1:0", insecure = true }, function(broker)
        local anybody, own = connect(broker:url "tcp"), connect(broker:url "unix")
        assert(broker:reload { insecure = false })
        assert.equal("-ERR 'Authorization Violation'\r\n", nats.rest(anybody))
        assert.is_true(info(broker:url "tcp").auth_required)
        nats.sync(own)
        assert(broker:reload { insecure = true })
        nats.sync(connect(broker:url "tcp"))
      end)
    end)

    it("refuses what cannot change", function()
      local broker <close> = ipc.broker.new { path = path ".sock" }
      assert.has_error(function() broker:reload { path = "/x" } end,
        "bad argument #1 to 'reload' (option 'path' cannot change while it runs)")
      assert.has_error(function() broker:reload { foo = 1 } end, "bad argument #1 to 'reload' (unknown option 'foo')")
      assert.has_error(function() broker:reload(1) end, "bad argument #1 to 'reload' (table expected, got number)")
      assert.has_error(function() broker:reload { pass = "x" } end,
        "bad argument #1 to 'reload' (option 'pass' without 'user')")
    end)

    it("refuses a name without a password, which would let in whoever says the name", function()
      for reason, options in pairs {
        ["option 'user' without 'pass'"] = { user = "x" },
        ["option 'pass': string that is not empty expected"] = { user = "x", pass = "" },
        ["option 'token': string that is not empty expected"] = { token = "" },
      } do
        options.tcp = "127.0.0.1:0"
        assert.has_error(function() ipc.broker.new(options) end, ("bad argument #1 to 'new' (%s)"):format(reason))
      end
      local broker <close> = ipc.broker.new { path = path ".sock", user = "x", pass = "y" }
      assert.equal(broker, broker:reload { pass = "z" }) -- the other half is known
    end)
  end)

  describe("listen", function()
    it("is in several places at once", function()
      local socket = path ".sock"
      start { listen = { "unix://" .. socket, "tcp://127.0.0.1:0", "nats://[::1]:0" }, token = "t" }
      local urls = handle:urls()
      assert.equal(3, #urls)
      assert.equal("unix://" .. socket, urls[1])
      assert.matches("^nats://t@127%.0%.0%.1:%d+$", urls[2])
      assert.matches("^nats://t@%[::1%]:%d+$", urls[3])
      local sockets, options = {}, '{"auth_token":"t","verbose":false}'
      for i, url in ipairs(urls) do
        sockets[i] = connect((url:gsub("//t@%[::1%]", "//t@::1")), options)
        assert(sockets[i]:write "SUB a 1\r\n")
        nats.sync(sockets[i])
      end
      for _, from in ipairs(sockets) do
        assert(from:write "PUB a 2\r\nhi\r\n")
        for _, to in ipairs(sockets) do
          assert.equal("MSG a 1 2\r\n", to:read "L")
          assert.equal("hi\r\n", to:read "L")
        end
      end
    end)

    it("opens all or nothing", function()
      local socket, taken <close> = path ".sock", assert(ipc.socket.listen { host = "127.0.0.1", port = 0 })
      local port = taken:getsockname().port
      local none, _, code = ipc.broker.start { listen = { "unix://" .. socket, "tcp://127.0.0.1:0", "127.0.0.1:" .. port } }
      assert.is_nil(none)
      assert.equal("EADDRINUSE", code)
      assert.is_nil((os.rename(socket, socket)))
    end)

    it("says that a path is too long", function()
      local long = "/" .. ("x"):rep(200)
      for _, listen in ipairs { ipc.broker.start, function(...) return ipc.broker.new(...):listen() end } do
        local none, message, code = listen { path = long }
        assert.same({ nil, "ENAMETOOLONG" }, { none, code })
        assert.matches("socket%.listen /x+: 201 bytes, but a socket address holds 107$", message)
      end
    end)

    it("names what is wrong", function()
      for listen, reason in pairs {
        ["unix://x"] = "an absolute path is needed: unix:///path", ["http://x"] = "unknown scheme 'http'",
        ["tcp://x:70000"] = "no such port",
        ["/x"] = "a path is written unix:///path", ["unix:/x"] = "a path is written unix:///path", ["tcp://u@x:1"] = "no such port",
      } do
        assert.has_error(function() ipc.broker.new { listen = listen } end,
          ("bad argument #1 to 'new' (option 'listen': %s: %s)"):format(listen, reason))
      end
      assert.has_error(function() ipc.broker.new { listen = "unix://", tcp = true } end,
        "bad argument #1 to 'new' (option 'tcp' beside 'listen')")
      assert.has_error(function() ipc.broker.new { listen = {} } end,
        "bad argument #1 to 'new' (option 'listen': URL or list of URLs expected)")
    end)
  end)

  it("tells clients where they are, and what there is", function()
    start {
      listen = { "unix://" .. path ".sock", "tcp://127.0.0.1:0", "tcp://[::1]:0" }, user = "u", pass = "p", name = "n",
      connect_urls = { "x:1" }, max_payload = 77,
    }
    local urls = handle:urls()
    local unix, v4, v6 = info(urls[1]), info(urls[2]), info((urls[3]:gsub("[%[%]]", "")))
    assert.equal("127.0.0.1", v4.client_ip)
    assert.equal("::1", v6.client_ip)
    assert.is_nil(unix.client_ip)
    assert.is_true(v4.auth_required)
    assert.is_false(unix.auth_required)
    assert.equal(math.tointeger(urls[2]:match ":(%d+)$"), v4.port)
    assert.equal("127.0.0.1", v4.host)
    for _, one in ipairs { unix, v4, v6 } do
      assert.same({ "x:1" }, one.connect_urls)
      assert.equal("n", one.server_name)
      assert.equal(77, one.max_payload)
      assert.equal(1, one.proto)
      assert.is_true(one.headers)
      assert.is_truthy(math.type(one.client_id) == "integer" and one.version:find "^2%.9%." and #one.server_id > 10)
    end
    assert.are_not.equal(unix.client_id, v4.client_id)
  end)

  it("lets other users of the machine in by their uid", function()
    local who = peer.sh "id -u"
    local uid = who:read "n"
    who:close()
    local socket = path ".sock"
    local other = uid == 0 and 65534 or uid
    start {
      path = socket, mode = 511, -- 0777
      users = { { uid = other, permissions = { publish = "mine.>", subscribe = { deny = ">" } } }, { user = "u", password = "p" } },
    }
    local script = [[python3 -c '
import os, socket, sys
if os.getuid() == 0: os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])
f = s.makefile("rb"); sys.stdout.write(str(b"\"auth_required\":false" in f.readline()))
s.sendall(sys.argv[2].encode() + b"\r\nPUB mine.x 0\r\n\r\nPUB x 0\r\n\r\nPING\r\n")
while True:
  line = f.readline(); sys.stdout.write(line.decode())
  if line in (b"PONG\r\n", b""): break' 2>&1 ]]
    local function run(login)
      local p = peer.sh(script .. peer.quote(socket) .. " " .. peer.quote('CONNECT {"verbose":false' .. login .. "}"))
      local said = p:read "a"
      p:close()
      return said
    end
    if uid == 0 then
      assert.equal("True-ERR 'Permissions Violation for Publish to \"x\"'\r\nPONG\r\n", run "")
      assert.equal("TruePONG\r\n", run ',"user":"u","pass":"p"')
    else -- the broker's own user may everything
      assert.equal("TruePONG\r\n", run "")
    end
  end)

  it("takes nothing wrong for right, not from its own user either", function()
    local function says(url, login)
      local socket <close> = nats.connect(url)
      assert(socket:read "L")
      assert(socket:write('CONNECT {"verbose":false', login, "}\r\nPING\r\n"))
      return (assert(socket:read "L"):gsub("\r\n", ""))
    end
    local VIOLATION = "-ERR 'Authorization Violation'"
    local WRONG = {
      ',"user":"u","pass":"x"', ',"user":"u"', ',"user":"nobody","pass":"p"', ',"pass":"p"', ',"auth_token":"x"',
      ',"user":"nobody"', ',"user":"u","pass":""',
    }
    local NOTHING = { "", ',"user":""', ',"user":"","pass":"","auth_token":""' }
    for _, case in ipairs {
      { options = { users = { { user = "u", password = "p" } } }, right = { ',"user":"u","pass":"p"' } },
      { options = { user = "u", pass = "p" }, right = { ',"user":"u","pass":"p"' } },
      { options = { token = "t" }, right = { ',"auth_token":"t"', ',"user":"nobody","pass":"x","auth_token":"t"' } },
      { options = { token = "t", users = { { user = "me", uid = own_uid } } }, right = { ',"auth_token":"t"', ',"user":"me"' } },
    } do
      case.options.path = path ".sock"
      local broker <close> = assert(ipc.broker.start(case.options))
      for _, login in ipairs(WRONG) do assert.equal(VIOLATION, says(broker:url(), login), login) end
      for _, login in ipairs(case.right) do assert.equal("PONG", says(broker:url(), login), login) end
      for _, login in ipairs(NOTHING) do assert.equal("PONG", says(broker:url(), login), login) end
    end
    -- where there is nothing that could be right, nothing is wrong, as nats-server has it
    for _, options in ipairs { {}, { default_permissions = { publish = "a" } }, { users = { { user = "me", uid = own_uid } } } } do
      options.path = path ".sock"
      local broker <close> = assert(ipc.broker.start(options))
      for _, list in ipairs { WRONG, NOTHING } do
        for _, login in ipairs(list) do assert.equal("PONG", says(broker:url(), login), login) end
      end
    end
    -- also where all others may come
    start { path = false, tcp = "127.0.0.1:0", insecure = true, users = { { user = "u", password = "p" } } }
    for _, login in ipairs(WRONG) do assert.equal(VIOLATION, says(handle:url(), login), login) end
    for _, login in ipairs(NOTHING) do assert.equal("PONG", says(handle:url(), login), login) end
    local none, message, code = ipc.connect(handle:url(), { user = "u", pass = "x" })
    assert.same({ nil, "EACCES" }, { none, code })
    assert.matches("Authorization Violation$", message)
  end)

  it("takes whole numbers however they are written", function()
    local broker <close> = assert(ipc.broker.new {
      config = file "max_connections = 2^4 users = { { uid = 1e3, permissions = { allow_responses = { max = 2.0 } } } }",
      max_payload = 1e6, max_pending = 1e7, tcp = true, port = 0.0, mode = 384.0,
    })
    for name, value in pairs { max_connections = 16, max_payload = 1000000, max_pending = 10000000, port = 0, mode = 384 } do
      assert.equal("integer", math.type(broker.options[name]))
      assert.equal(value, broker.options[name])
    end
    assert(broker:reload { max_connections = 1e1 })
    assert.equal("10", tostring(broker.options.max_connections))
    for _, wrong in ipairs { 1.5, 1e300, 0 / 0, "1" } do
      assert.has_error(function() ipc.broker.new { max_payload = wrong } end,
        "bad argument #1 to 'new' (option 'max_payload': positive integer expected)")
    end
  end)

  describe("of users", function()
    it("is checked", function()
      for reason, users in pairs {
        ["list of users expected"] = 1,
        ["user 1: table expected, got string"] = { "a" },
        ["user 1: neither 'user' nor 'uid'"] = { {} },
        ["user 1: no password"] = { { user = "a" } },
        ["user 1: a password without 'user'"] = { { uid = 1, password = "x" } },
        ["user 2: 'a' is there already"] = { { user = "a", password = "x" }, { user = "a", pass = "y" } },
        ["user 2: '7' is there already"] = { { uid = 7 }, { uid = 7 } },
        ["user 1: unknown field 'passwd'"] = { { user = "a", passwd = "x" } },
        ["user 1: field 'uid': integer expected"] = { { uid = "root" } },
        ["user 1: field 'password': string expected"] = { { user = "a", password = 7 } },
        ["user 1: both 'password' and 'pass'"] = { { user = "a", password = "x", pass = "x" } },
        ["user 1: hashed passwords are not supported"] = { { user = "a", password = "$2a$11$abcdefghijklmnopqrstuv" } },
        ["user 1: permissions: table expected, got string"] = { { user = "a", pass = "x", permissions = "a" } },
        ["user 1: permissions: unknown field 'pub'"] = { { user = "a", pass = "x", permissions = { pub = "a" } } },
        ["user 1: permissions: publish: 'a..b' is no subject"] = { { user = "a", pass = "x", permissions = { publish = "a..b" } } },
        ["user 1: permissions: publish: 'a q' is no subject"] = { { user = "a", pass = "x", permissions = { publish = "a q" } } },
        ["user 1: permissions: subscribe: 'a q r' is no subject"] =
          { { user = "a", pass = "x", permissions = { subscribe = { deny = "a q r" } } } },
        ["user 1: permissions: subscribe: unknown field 'alow'"] =
          { { user = "a", pass = "x", permissions = { subscribe = { alow = "a" } } } },
        ["user 1: permissions: allow_responses: field 'max': number expected"] =
          { { user = "a", pass = "x", permissions = { allow_responses = { max = "1" } } } },
      } do
        assert.has_error(function() ipc.broker.new { users = users } end,
          ("bad argument #1 to 'new' (option 'users': %s)"):format(reason))
      end
    end)
  end)

  it("writes the number of its process to a file, and takes it away", function()
    local pid_file = path ".pid"
    start { path = path ".sock", pid_file = pid_file }
    assert.equal(handle:pid() .. "\n", read(pid_file))
    handle:stop()
    assert.is_nil(io.open(pid_file))
    local none, message, code = ipc.broker.start { path = path ".sock", pid_file = "/nonexistent/pid" }
    assert.is_nil(none)
    assert.equal("broker.run /nonexistent/pid: No such file or directory", message)
    assert.equal("ENOENT", code)
  end)
end)
