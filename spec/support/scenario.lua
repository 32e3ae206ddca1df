-- A program on a client library that was not written here plays a scenario, and its server is exchanged when it
-- asks for that.  play(url, restart) -> what it said, its status; restart() puts another server in the place of the one at url.
local assert = require "luassert"
local ipc = require "lipc"
local nats = require "support.nats"

local scenario = {}

local SECONDS = 60

-- player(command) -> play; command(url): the words and options for process.spawn.
function scenario.player(command)
  return function(url, restart)
    local words = command(url)
    words.stdin, words.stdout, words.stderr, words.kill_on_close = "null", "pipe", "inherit", true
    local process <close> = assert(ipc.process.spawn(words))
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
end

local function plays(steps, out, status)
  assert.equal(steps, out)
  assert.is_true(status.ok)
end

-- Plays all the steps on Debian's nats-server.
function scenario.on_nats_server(play, steps)
  local server = nats.start()
  local out, status = play(server.url, function()
    server:stop()
    server = nats.start(nil, server.port)
  end)
  server:stop()
  plays(steps, out, status)
end

-- Plays all the steps on a broker of ours; before(url) is called when it listens.
function scenario.on_broker(play, steps, before)
  local handle = assert(ipc.broker.start { path = false, tcp = "127.0.0.1:0", token = "s3cret" })
  local url = handle:url()
  if before then before(url) end
  local out, status = play(url, function()
    handle:stop()
    handle = assert(ipc.broker.start { path = false, tcp = url:match "@(.*)$", token = "s3cret" })
  end)
  handle:stop()
  plays(steps, out, status)
end

return scenario
