-- ipc.broker against a client that was not written here: a program in C on Debian's libnats, over TCP.  The program has to
-- agree with Debian's nats-server first.
local ipc = require "lipc"
local nats = require "support.nats"
local peer = require "support.peer"

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

  -- restart() puts another server in the place of the one at url.
  local function run(url, restart)
    local process <close> = assert(ipc.process.spawn {
      PROGRAM, url, stdin = "null", stdout = "pipe", stderr = "inherit", kill_on_close = true,
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

  -- run() on a broker of ours; before(url) is called when it listens.
  local function run_ours(before)
    local handle = assert(ipc.broker.start { path = false, tcp = "127.0.0.1:0", token = "s3cret" })
    local url = handle:url()
    before(url)
    local out, status = run(url, function()
      handle:stop()
      handle = assert(ipc.broker.start { path = false, tcp = url:match "@(.*)$", token = "s3cret" })
    end)
    handle:stop()
    assert.equal(STEPS, out)
    assert.is_true(status.ok)
  end

  it("publishes, subscribes, asks and answers, and comes back", function()
    run_ours(function() end)
  end)

  it("is refused without the token", function()
    local handle <close> = assert(ipc.broker.start { path = false, tcp = "127.0.0.1:0" })
    local out, status = run((handle:url():gsub("//%x+@", "//wrong@")))
    assert.matches("failed: connect", out)
    assert.is_false(status.ok)
  end)

  it("talks with our client", function()
    local c, sub
    run_ours(function(url)
      c = assert(ipc.connect(url))
      sub = assert(c:subscribe "w.>")
      assert.is_true(c:flush(SECONDS))
    end)
    for _, expected in ipairs { "1", "2", "3" } do assert.equal(expected, assert(sub:next(SECONDS)).data) end
    c:close()
  end)
end)
