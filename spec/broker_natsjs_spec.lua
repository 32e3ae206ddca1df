-- ipc.broker against another client that was not written here: a program on the npm package nats (nats.js), over TCP.  The
-- program has to agree with Debian's nats-server first.
local ipc = require "lipc"
local nats = require "support.nats"

local SECONDS = 60
local STEPS = "plain\nwildcards\nqueue\nrequests\nmany\nheaders\nmaximum\nbig\ndrain\nrestart now\nback\nrestart\n"

describe("broker with nats.js", function()
  -- restart() puts another server in the place of the one at url.
  local function run(url, restart)
    local token, address = url:match "^nats://(.*)@(.*)$"
    local process <close> = assert(ipc.process.spawn {
      "node", "spec/natsjs/scenario.js", address or url:match "^nats://(.*)$", token, stdin = "null", stdout = "pipe",
      stderr = "inherit", env_add = { NODE_PATH = "build/deps/natsjs/node_modules" }, kill_on_close = true,
    })
    local out <close> = process.stdout:settimeout(SECONDS)
    local said = {}
    for line in out:lines "L" do
      said[#said + 1] = line
      if line == "restart now\n" then restart() end
      if line == "back\n" then
        local c <close> = assert(ipc.connect(url))
        assert(c:publish("after", "again"))
        assert(c:flush(SECONDS))
      end
    end
    return table.concat(said), assert(process:wait(SECONDS))
  end

  it("does what nats-server does", function()
    local server = nats.start()
    local out, status = run(server.url, function()
      server:stop()
      server = nats.start(nil, server.port)
    end)
    server:stop()
    assert.equal(STEPS, out)
    assert.is_true(status.ok)
  end)

  it("publishes, subscribes, asks, answers, drains, and comes back", function()
    local handle = assert(ipc.broker.start { path = false, tcp = "127.0.0.1:0", token = "s3cret" })
    local url = handle:url()
    local out, status = run(url, function()
      handle:stop()
      handle = assert(ipc.broker.start { path = false, tcp = url:match "@(.*)$", token = "s3cret" })
    end)
    handle:stop()
    assert.equal(STEPS, out)
    assert.is_true(status.ok)
  end)

  it("is refused without the token", function()
    local handle <close> = assert(ipc.broker.start { path = false, tcp = "127.0.0.1:0" })
    local out, status = run((handle:url():gsub("//%x+@", "//wrong@")))
    assert.matches("^failed: connect: .*Authorization Violation", out)
    assert.is_false(status.ok)
  end)
end)
