-- The examples of brokered messaging, run as a reader would run them.
local names = require "support.names"
local nats = require "support.nats"
local peers = require "support.peers"
local ipc = require "lipc"

local lua = os.getenv "LUA" or "lua5.4"

describe("the example", function()
  it("pubsub: server, subscriber and publisher", function()
    local path = names.path ".sock"
    local url = "unix://" .. path
    local server = assert(ipc.process.spawn { lua, "examples/pubsub_server.lua", path, pdeathsig = "SIGKILL" })
    local socket
    repeat socket = ipc.socket.connect { path = path } until socket or server:status() ~= false
    socket:close()
    local subscriber = peers.run(lua, "examples/pubsub_subscriber.lua", url, "sensors.*.temp", 2)
    assert.equal("listening", subscriber:read "l")
    assert.equal("", peers.done(peers.run(lua, "examples/pubsub_publisher.lua", url)))
    assert.equal("", peers.done(peers.run(lua, "examples/pubsub_publisher.lua", url, "sensors.8.temp", "22")))
    assert.equal("sensors.7.temp\t21.5\nsensors.8.temp\t22\n", peers.done(subscriber))
    assert(server:kill "SIGTERM")
    assert.is_true(assert(server:wait(30)).ok)
    server:close()
    assert.is_nil(io.open(path))
  end)

  it("request_reply", function()
    assert.equal("2\t4\n3\t9\n4\t16\nx\tnot a number\nENORESPONDERS\n",
      peers.done(peers.run(lua, "examples/request_reply.lua")))
  end)

  it("pubsub_groups, with its own broker, and the same program with a nats-server by its URL", function()
    local expected = "one\tsensors.7.temp\t27\none\tsensors.8.temp\t28\nall\tsensors.7.temp\t27\tnil\n"
      .. "all\tsensors.8.temp\t28\tnil\nall\tsensors.7.fan.speed\t1200\trpm\njobs\t30\ttrue\n"
    assert.equal(expected, peers.done(peers.run(lua, "examples/pubsub_groups.lua")))
    local server <close> = nats.start()
    assert.equal(expected, peers.done(peers.run(lua, "examples/pubsub_groups.lua", server.url)))
  end)

  it("pubsub and request_reply move to a nats-server by its URL", function()
    local server <close> = nats.start()
    local subscriber = peers.run(lua, "examples/pubsub_subscriber.lua", server.url, "sensors.*.temp", 1)
    assert.equal("listening", subscriber:read "l")
    assert.equal("", peers.done(peers.run(lua, "examples/pubsub_publisher.lua", server.url)))
    assert.equal("sensors.7.temp\t21.5\n", peers.done(subscriber))
    assert.equal("2\t4\n3\t9\n4\t16\nx\tnot a number\nENORESPONDERS\n",
      peers.done(peers.run(lua, "examples/request_reply.lua", server.url)))
  end)

  it("broker_token", function()
    assert.equal("1\tlet in\n2\tEACCES\t Authorization Violation\n3\tEACCES\t Authorization Violation\n4\tlet in\n",
      peers.done(peers.run(lua, "examples/broker_token.lua")))
  end)

  it("broker_in_loop", function()
    local out = peers.done(peers.run(lua, "examples/broker_in_loop.lua"))
    assert.matches("\n?42\ttwo numbers, please\n", out)
    assert.matches("\n2 connections, 4 messages\n", out)
    for i = 1, 3 do assert.matches("tick\t" .. i .. "\n", out) end
  end)

  it("broker_users", function()
    assert.equal("a stranger:\tEACCES\nthe screen, all subjects:\tEPERM\nthe sensor, an alarm:\tEPERM\nthe screen:\t21.5\n"
      .. "the clock:\tnoon\n", peers.done(peers.run(lua, "examples/broker_users.lua")))
  end)

  it("mistake_broker_for_pipe", function()
    local out = peers.done(peers.run(lua, "examples/mistake_broker_for_pipe.lua", 2000))
    assert.matches("^a pipe +%d+ lines a second\na broker +%d+ lines a second\nthe broker took [%d.]+ times", out)
  end)
end)
