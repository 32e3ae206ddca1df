-- ipc.broker against a client that was not written here: a program in C on Debian's libnats, over TCP.  The program has to
-- agree with Debian's nats-server first.
local ipc = require "lipc"
local peer = require "support.peer"
local scenario = require "support.scenario"

local SECONDS = 60
local PROGRAM = "build/spec/libnats-scenario"
local STEPS = "plain\nwildcards\nqueue\nrequests\nmaximum\nheaders\nbig\nrestart now\nback\nrestart\ndrain\n"

describe("broker with libnats", function()
  setup(function()
    local compile = peer.sh(("%s -std=gnu11 -O1 -o %s spec/libnats/scenario.c -lnats 2>&1"):format(os.getenv "CC" or "cc",
      PROGRAM))
    local said = compile:read "a"
    assert.is_true(compile:close(), said)
  end)

  local play = scenario.player(function(url) return { PROGRAM, url } end)

  it("does what nats-server does", function() scenario.on_nats_server(play, STEPS) end)

  it("publishes, subscribes, asks and answers, and comes back", function() scenario.on_broker(play, STEPS) end)

  it("is refused without the token", function()
    local handle <close> = assert(ipc.broker.start { path = false, tcp = "127.0.0.1:0" })
    local out, status = play((handle:url():gsub("//%x+@", "//wrong@")))
    assert.matches("failed: connect", out)
    assert.is_false(status.ok)
  end)

  it("talks with our client", function()
    local c, sub
    scenario.on_broker(play, STEPS, function(url)
      c = assert(ipc.connect(url))
      sub = assert(c:subscribe "w.>")
      assert.is_true(c:flush(SECONDS))
    end)
    for _, expected in ipairs { "1", "2", "3" } do assert.equal(expected, assert(sub:next(SECONDS)).data) end
    c:close()
  end)
end)
