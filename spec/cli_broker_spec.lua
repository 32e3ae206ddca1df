-- lipc broker in a process: its flags, its signals, its configuration file.
local cli = require "support.cli"
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"

local SECONDS = 60

-- start{flags} -> process that listens, the first URL it has written down
local function start(arguments)
  local process = cli.start { "broker", table.unpack(arguments) }
  local url
  repeat
    local line = assert(process.stderr:read "l")
    url = url or line:match "Listening for client connections on (%S+)"
  until line:find "Server is ready"
  url = url:gsub("^%d", "nats://%0"):gsub("^tcp:", "nats:")
  local socket = nats.connect(url) -- it serves, and so has its signals
  assert(socket:read "L")
  socket:close()
  return process, url
end

local function stop(process, signal)
  assert(process:kill(signal or "SIGTERM"))
  return cli.finish(process)
end

describe("lipc broker", function()
  it("serves on a path of its own, by default that of this user", function()
    local directory = names.path()
    assert(os.execute("mkdir -m 700 " .. directory))
    local process = cli.start { "broker", env = { XDG_RUNTIME_DIR = directory } }
    cli.expect(process, "Server is ready")
    assert.equal(0, (cli.run { "pub", "a", "x", env = { XDG_RUNTIME_DIR = directory } }))
    local status, _, err = cli.run { "broker", env = { XDG_RUNTIME_DIR = directory } }
    assert.equal(1, status)
    assert.matches("lipc broker: .*Address already in use\n$", err)
    status = stop(process)
    assert.equal(0, status)
    assert.is_nil(io.open(directory .. "/lipc/broker.sock"))
    assert(os.execute("rm -r " .. directory))
  end)

  it("says where the token is that it has made up, or that there is none", function()
    local process = cli.start { "broker", "-p", "0" }
    local url = cli.expect(process, "Listening"):match "on (%S+)$"
    local path = cli.expect(process, "need the token"):match "%[INF%] Clients there need the token in (/.*%.token)$"
    assert.equal(("%s/broker-%s.token"):format(assert(ipc.socket.runtimedir()), url:match "%d+$"), path)
    cli.expect(process, "Server is ready")
    local file = assert(io.open(path))
    assert.equal(0, (cli.run { "pub", "-s", url, "--token", file:read "l", "a", "x" }))
    file:close()
    stop(process)
    process = cli.start { "broker", "-p", "0", "--auth", "x" }
    cli.expect(process, "Listening")
    assert.matches("Server is ready", cli.expect(process, "INF"))
    stop(process)
    local status, _, err = cli.run { "broker", "--unix", "/" .. ("x"):rep(200) }
    assert.equal(1, status)
    assert.matches("^lipc broker: socket%.listen /x+: 201 bytes, but a socket address holds 107\n$", err)
  end)

  it("ends cleanly by INT and TERM", function()
    for _, signal in ipairs { "SIGINT", "SIGTERM" } do
      local path, pid_file = names.path ".sock", names.path ".pid"
      local process = start { "--unix", path, "-P", pid_file }
      local file
      repeat file = io.open(pid_file) until file or process:wait(0.01)
      assert.equal(process:pid(), file:read "n")
      file:close()
      local client <close> = assert(ipc.connect("unix://" .. path, { reconnect = false }))
      assert(client:flush(SECONDS))
      local status, out, err = stop(process, signal)
      assert.same({ 0, "" }, { status, out })
      assert.matches("%[INF%] Shutting down\n$", err)
      assert.is_nil(io.open(pid_file))
      assert.is_nil(io.open(path))
    end
  end)

  it("takes the flags of nats-server", function()
    local log = names.path ".log"
    local process = cli.start { "broker", "-a", "127.0.0.1", "-p", "-1", "-user", "u", "--pass=p", "-n", "one", "-DV", "-l", log }
    local url
    repeat
      local file = io.open(log)
      local text = file and file:read "a" or ""
      if file then file:close() end
      url = text:find "Server is ready" and text:match "connections on (%S+)"
    until url or process:wait(0.01)
    url = "nats://" .. url:gsub("^%a+://", "")
    assert.equal(1, (cli.run { "pub", "a", "x", "-s", url }))
    assert.equal(0, (cli.run { "pub", "a", "secret", "-s", url, "--user", "u", "--pass", "p" }))
    local socket = nats.connect(url)
    assert.matches('"server_name":"one"', assert(socket:read "L"))
    socket:close()
    local status, out, err = stop(process)
    assert.same({ 0, "", "" }, { status, out, err })
    local file = assert(io.open(log))
    local text = file:read "a"
    file:close()
    os.remove(log)
    assert.matches("%[DBG%]", text)
    assert.matches("%[TRC%] .*PUB a 6", text)
  end)

  it("does not start without the log that it is to write", function()
    local path = names.path ".sock"
    for where, reason in pairs { ["/nonexistent/log"] = "No such file or directory", ["/tmp"] = "Is a directory" } do
      assert.same({ 1, "", ("lipc broker: %s: %s\n"):format(where, reason) }, { cli.run { "broker", "--unix", path, "-l", where } })
      assert.is_nil(io.open(path))
    end
  end)

  it("asks for a token, or lets everybody in", function()
    local process, url = start { "-p", "0", "--auth", "tok" }
    assert.equal(1, (cli.run { "pub", "a", "x", "-s", url }))
    assert.equal(0, (cli.run { "pub", "a", "x", "-s", url, "--token", "tok" }))
    assert.equal(0, (stop(process)))
    process, url = start { "--listen", "tcp://127.0.0.1:0", "--insecure" }
    assert.equal(0, (cli.run { "pub", "a", "x", "-s", url }))
    assert.equal(0, (stop(process)))
  end)

  it("reads a configuration file, and the users in it again by HUP", function()
    local path, config = names.path ".sock", names.path ".conf"
    local function write(text)
      local file = assert(io.open(config, "w"))
      file:write(text)
      file:close()
    end
    write(('listen = %q  users = { { user = "a", password = "1" } }'):format("tcp://127.0.0.1:0"))
    local process, url = start { "-c", config }
    assert.equal(0, (cli.run { "pub", "x", "x", "-s", url, "--user", "a", "--pass", "1" }))
    assert.equal(1, (cli.run { "pub", "x", "x", "-s", url, "--user", "b", "--pass", "2" }))
    write(('listen = %q  users = { { user = "b", password = "2" } }'):format("tcp://127.0.0.1:0"))
    assert(process:kill "SIGHUP")
    cli.expect(process, "Reloaded")
    assert.equal(1, (cli.run { "pub", "x", "x", "-s", url, "--user", "a", "--pass", "1" }))
    assert.equal(0, (cli.run { "pub", "x", "x", "-s", url, "--user", "b", "--pass", "2" }))
    assert.equal(0, (stop(process)))
    -- a flag wins over the file
    process, url = start { "-c", config, "--unix", path }
    assert.equal("unix://" .. path, url)
    assert.equal(0, (stop(process)))
    write "listen = "
    local status, _, err = cli.run { "broker", "-c", config }
    assert.equal(1, status)
    assert.matches("^lipc broker: .*unexpected symbol near <eof>\n$", err)
    write "print 'x'"
    status, _, err = cli.run { "broker", "-c", config }
    assert.equal(1, status)
    assert.equal(("lipc broker: %s:1: attempt to call a nil value (global 'print')\n"):format(config), err)
    os.remove(config)
    status, _, err = cli.run { "broker", "-c", config }
    assert.equal(1, status)
    assert.matches("^lipc broker: .*No such file or directory\n$", err)
  end)

  it("goes on after HUP without a configuration file", function()
    local path = names.path ".sock"
    local process = start { "--unix", path }
    assert(process:kill "SIGHUP")
    cli.expect(process, "%[ERR%] Failed to reload: there is no configuration file$")
    assert.equal(0, (cli.run { "pub", "x", "x", "-s", "unix://" .. path }))
    assert.equal(0, (stop(process)))
  end)

  it("says what is wrong with its flags, and ends with 2", function()
    for _, case in ipairs {
      { { "-p", "70000" }, "port expected, got '70000'" },
      { { "-p", "x" }, "port expected, got 'x'" },
      { { "--unix", "rel" }, "option '--unix': absolute path expected" },
      { { "--pass", "x" }, "option 'pass' without 'user'" },
      { { "--user", "x" }, "option 'user' without 'pass'" },
      { { "--listen", "http://x" }, "option 'listen': http://x: unknown scheme 'http'" },
      { { "--frobnicate" }, "unknown option '--frobnicate'" },
    } do
      local status, out, err = cli.run { "broker", table.unpack(case[1]) }
      assert.same({ 2, "" }, { status, out })
      assert.equal("lipc broker: " .. case[2], err:match "^[^\n]*")
    end
    local status, out = cli.run { "broker", "--version" }
    assert.same({ 0, ipc._VERSION .. "\n" }, { status, out })
  end)
end)
