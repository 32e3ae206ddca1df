-- ipc.broker against another client that was not written here: a program on the npm package nats (nats.js), over TCP.  The
-- program has to agree with Debian's nats-server first.
local ipc = require "lipc"
local scenario = require "support.scenario"

local STEPS = "plain\nwildcards\nqueue\nrequests\nmany\nheaders\nmaximum\nbig\ndrain\nrestart now\nback\nrestart\n"

describe("broker with nats.js", function()
  local play = scenario.player(function(url)
    local token, address = url:match "^nats://(.*)@(.*)$"
    return { "node", "spec/natsjs/scenario.js", address or url:match "^nats://(.*)$", token,
      env_add = { NODE_PATH = "build/deps/natsjs/node_modules" } }
  end)

  it("does what nats-server does", function() scenario.on_nats_server(play, STEPS) end)

  it("publishes, subscribes, asks, answers, drains, and comes back", function() scenario.on_broker(play, STEPS) end)

  it("is refused without the token", function()
    local handle <close> = assert(ipc.broker.start { path = false, tcp = "127.0.0.1:0" })
    local out, status = play((handle:url():gsub("//%x+@", "//wrong@")))
    assert.matches("^failed: connect: .*Authorization Violation", out)
    assert.is_false(status.ok)
  end)
end)
