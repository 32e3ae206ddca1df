-- The examples of sockets, run as a reader would run them.
local names = require "support.names"
local peers = require "support.peers"
local probe = require "support.probe"

local lua = os.getenv "LUA" or "lua5.4"

describe("the example", function()
  it("tcp_echo_server and tcp_echo_client", function()
    local server = peers.run(lua, "examples/tcp_echo_server.lua", 0, 2)
    local port = server:read "l":match "^listening on port (%d+)$"
    for _ = 1, 2 do
      assert.equal("one\ntwo words\n", peers.done(peers.run(lua, "examples/tcp_echo_client.lua", port, "one", "two words")))
    end
    local _, n = peers.done(server):gsub("127%.0%.0%.1:%d+ is done\n", "")
    assert.equal(2, n)
  end)

  it("unix_peercred_server", function()
    local path = names.path ".sock"
    local server = peers.run(lua, "examples/unix_peercred_server.lua", path, 1)
    assert.equal("listening at " .. path, server:read "l")
    local answer = peers.done(peers.run("socat", "-u", "UNIX-CONNECT:" .. path, "STDOUT"))
    local pid = answer:match(("^welcome, process (%%d+) of user %d\n$"):format(probe.getuid()))
    assert.equal(("served process %d\n"):format(pid), peers.done(server))
    assert.is_nil(io.open(path))
  end)

  it("unix_peercred_server leaves no socket behind when a signal ends it", function()
    local path = names.path ".sock"
    local process = require("lipc").process
    local server = assert(process.spawn { lua, "examples/unix_peercred_server.lua", path, stdout = "pipe", stderr = "pipe" })
    assert.equal("listening at " .. path, server.stdout:read "l")
    assert.is_true(os.rename(path, path)) -- it is there
    server:kill "SIGTERM"
    assert.matches("ended by SIGTERM", server.stderr:read "a")
    assert.equal(1, server:wait(60).code)
    assert.is_nil(os.rename(path, path))
    server:close()
  end)

  it("fd_passing", function()
    assert.equal("the receiver says: thank you\nreceived: a reader and a writer\nread from the pipe: a message in a pipe\n",
      peers.done(peers.run(lua, "examples/socket_fd_passing.lua")))
  end)
end)
