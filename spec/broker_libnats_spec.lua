-- ipc.broker against a client that was not written here: a program in C on Debian's libnats, over TCP.  The program has to
-- agree with Debian's nats-server first.
local ipc = require "lipc"
local nats = require "support.nats"
local peer = require "support.peer"

local SECONDS = 60
local PROGRAM = "build/spec/libnats-scenario"
local STEPS = "plain\nwildcards\nqueue\nrequests\nmaximum\nheaders\nbig\n"

describe("broker with libnats", function()
  setup(function()
    local compile = peer.sh(("%s -std=gnu11 -O1 -o %s spec/libnats/scenario.c -lnats 2>&1"):format(os.getenv "CC" or "cc",
      PROGRAM))
    local said = compile:read "a"
    assert.is_true(compile:close(), said)
  end)

  local function run(url)
    local process = assert(ipc.process.spawn { PROGRAM, url, stdin = "null", stdout = "pipe", stderr = "inherit" })
    local out = process.stdout:settimeout(SECONDS):read "a"
    local status = assert(process:wait(SECONDS))
    process.stdout:close()
    process:close()
    return out, status
  end

  it("does what nats-server does", function()
    local server <close> = nats.start()
    local out, status = run(server.url)
    assert.equal(STEPS, out)
    assert.is_true(status.ok)
  end)

  it("publishes, subscribes, asks and answers", function()
    local handle <close> = assert(ipc.broker.start { path = false, tcp = "127.0.0.1:0" })
    local out, status = run(handle:url())
    assert.equal(STEPS, out)
    assert.is_true(status.ok)
  end)

  it("is refused without the token", function()
    local handle <close> = assert(ipc.broker.start { path = false, tcp = "127.0.0.1:0" })
    local out, status = run((handle:url():gsub("//%x+@", "//wrong@")))
    assert.matches("failed: connect", out)
    assert.is_false(status.ok)
  end)

  it("talks with our client", function()
    local handle <close> = assert(ipc.broker.start { path = false, tcp = "127.0.0.1:0" })
    local c <close> = assert(ipc.connect(handle:url()))
    local sub = assert(c:subscribe "w.>")
    assert.is_true(c:flush(SECONDS))
    local out = run(handle:url())
    assert.equal(STEPS, out)
    for _, expected in ipairs { "1", "2", "3" } do assert.equal(expected, assert(sub:next(SECONDS)).data) end
  end)
end)
