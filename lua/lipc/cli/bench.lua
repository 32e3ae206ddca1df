-- bench.lua - lipc bench: how fast messages go; internal.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local connect = require "lipc.cli.connect"
local failure = require "lipc.cli.failure"
local progress = require "lipc.cli.progress"
local together = require "lipc.cli.together"

local bench = { summary = "Measure how fast messages go." }

function bench.options(command)
  command:argument("what", "pub: publish; sub: receive what another one publishes; request: ask whom another one answers.")
    :choices { "pub", "sub", "request" }
  command:argument("subject", "Default: bench."):args "?"
  command:option("--size", "Bytes of a message."):convert(connect.count):default "128":argname "BYTES"
  command:option("-c --count", "So many messages."):convert(connect.count):default "100000":argname "N"
  command:option("--clients", "So many clients at once, each a process with a connection of its own. They share the messages; "
    .. "of sub each gets all of them, unless it is a group."):convert(connect.count):default "1":argname "N"
  command:option("-q --queue", "sub: as a member of this group."):argname "GROUP"
  command:option("-t --timeout", "Seconds without a message, or for an answer, after which it ends.")
    :convert(connect.seconds):default "60":argname "SECONDS"
  connect.options(command)
end

local must, now = failure.must, ipc.now

-- 1234567 -> "1,234,567"
local function grouped(number)
  local text = ("%.0f"):format(number)
  return (text:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

local function say(...)
  failure.check_output(io.stdout:write((...):format(select(2, ...))))
end

-- One client's part.  start() returns when all may begin, done(i) is told how far it is.
-- -> bytes, when it began, when it ended, the seconds of each answer
local RUN, VERB = {}, { pub = "published", sub = "received", request = "asked" }

function RUN.pub(arguments, client, subject, count, start, done)
  local data = ("x"):rep(arguments.size)
  client:setvbuf "full"
  start()
  local began = now()
  for i = 1, count do
    must(client:publish(subject, data))
    if i & 1023 == 0 then done(i) end
  end
  must(client:flush(arguments.timeout)) -- the broker has them all
  return count * #data, began, now()
end

function RUN.sub(arguments, client, subject, count, start, done)
  local subscription = must(client:subscribe(subject, { queue = arguments.queue, max = count }))
  must(client:flush(arguments.timeout))
  start()
  local bytes, began = 0, nil
  for i = 1, count do
    local message = must(subscription:next(arguments.timeout))
    began = began or now() -- from the first one on
    bytes = bytes + #message.data
    if i & 1023 == 0 then done(i) end
  end
  return bytes, began, now()
end

function RUN.request(arguments, client, subject, count, start, done)
  local data = ("x"):rep(arguments.size)
  start()
  local times, began = {}, now()
  for i = 1, count do
    local before = now()
    must(client:request(subject, data, arguments.timeout))
    times[i] = now() - before
    if i & 63 == 0 then done(i) end
  end
  return count * #data, began, now(), times
end

-- How many messages each client has to do with.
local function shares(arguments)
  local count, clients, list = arguments.count, arguments.clients, {}
  if clients > count then failure.misuse "option '--clients': more than messages" end
  for i = 1, clients do
    list[i] = arguments.what == "sub" and not arguments.queue and count or count // clients + (i <= count % clients and 1 or 0)
  end
  return list
end

local function rate(count, seconds) return count / math.max(seconds, 1e-6) end

-- results[i] = { count, bytes, began, ended, times }
local function report(what, results)
  local count, bytes, began, ended, times = 0, 0, math.huge, -math.huge, {}
  local slowest, fastest, sum = math.huge, 0, 0
  for _, one in ipairs(results) do
    count, bytes = count + one[1], bytes + one[2]
    began, ended = math.min(began, one[3]), math.max(ended, one[4])
    local own = rate(one[1], one[4] - one[3])
    slowest, fastest, sum = math.min(slowest, own), math.max(fastest, own), sum + own
    if one[5] then table.move(one[5], 1, #one[5], #times + 1, times) end
  end
  local seconds = ended - began
  say("%s %s messages, %s bytes in %.3f s: %s messages/s, %.1f MiB/s\n", VERB[what], grouped(count), grouped(bytes), seconds,
    grouped(rate(count, seconds)), rate(bytes, seconds) / 2 ^ 20)
  if #results > 1 then
    say("each of %d clients: min %s, avg %s, max %s messages/s\n", #results, grouped(slowest), grouped(sum / #results),
      grouped(fastest))
  end
  if what == "request" then
    table.sort(times)
    local total = 0
    for _, time in ipairs(times) do total = total + time end
    local function at(share) return 1e6 * times[math.max(1, math.ceil(share * count))] end
    say("round trip: mean %.1f us, median %.1f, 90%% %.1f, 99%% %.1f, longest %.1f\n", 1e6 * total / count, at(0.5), at(0.9),
      at(0.99), at(1))
  end
end

function bench.run(arguments)
  local what, subject, counts = arguments.what, arguments.subject or "bench", shares(arguments)
  local total = 0
  for _, count in ipairs(counts) do total = total + count end
  local function one(count, start, done)
    local client <close> = connect.open(arguments, { reconnect = false, timeout = arguments.timeout })
    return { count, RUN[what](arguments, client, subject, count, start, done) }
  end
  local function started()
    if what == "sub" then io.stderr:write("lipc bench: listening on ", subject, "\n") end
  end
  local results
  do
    local bar <close> = progress.bar(what, total)
    results = together.run(one, counts, started, function (done) bar:update(done) end)
    bar:update(total)
  end
  report(what, results)
end

return bench
