-- bench.lua - lipc bench: how fast messages go; internal.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local connect = require "lipc.cli.connect"
local failure = require "lipc.cli.failure"
local progress = require "lipc.cli.progress"

local bench = { summary = "Measure how fast messages go." }

function bench.options(command)
  command:argument("what", "pub: publish; sub: receive what another one publishes; request: ask whom another one answers.")
    :choices { "pub", "sub", "request" }
  command:argument("subject", "Default: bench."):args "?"
  command:option("--size", "Bytes of a message."):convert(connect.count):default "128":argname "BYTES"
  command:option("-c --count", "So many messages."):convert(connect.count):default "100000":argname "N"
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

local function report(verb, count, bytes, seconds)
  seconds = math.max(seconds, 1e-6)
  failure.check_output(io.stdout:write(("%s %s messages, %s bytes in %.3f s: %s messages/s, %.1f MiB/s\n")
    :format(verb, grouped(count), grouped(bytes), seconds, grouped(count / seconds), bytes / seconds / 2 ^ 20)))
end

local RUN = {}

function RUN.pub(arguments, client, subject, count)
  local data = ("x"):rep(arguments.size)
  local bar <close> = progress.bar("pub", count)
  client:setvbuf "full"
  local began = now()
  for i = 1, count do
    must(client:publish(subject, data))
    if i & 1023 == 0 then bar:update(i) end
  end
  must(client:flush(arguments.timeout)) -- the broker has them all
  report("published", count, count * #data, now() - began)
  bar:update(count)
end

function RUN.sub(arguments, client, subject, count)
  local subscription = must(client:subscribe(subject, { queue = arguments.queue, max = count }))
  must(client:flush(arguments.timeout))
  io.stderr:write("lipc bench: listening on ", subject, "\n")
  local bar <close> = progress.bar("sub", count)
  local bytes, began = 0, nil
  for i = 1, count do
    local message = must(subscription:next(arguments.timeout))
    began = began or now() -- from the first one on
    bytes = bytes + #message.data
    if i & 1023 == 0 then bar:update(i) end
  end
  report("received", count, bytes, now() - began)
  bar:update(count)
end

function RUN.request(arguments, client, subject, count)
  local data = ("x"):rep(arguments.size)
  local bar <close> = progress.bar("request", count)
  local times, began = {}, now()
  for i = 1, count do
    local before = now()
    must(client:request(subject, data, arguments.timeout))
    times[i] = now() - before
    if i & 63 == 0 then bar:update(i) end
  end
  local seconds = now() - began
  table.sort(times)
  local function at(share) return 1e6 * times[math.max(1, math.ceil(share * count))] end
  report("asked", count, count * #data, seconds)
  failure.check_output(io.stdout:write(("round trip: mean %.1f us, median %.1f, 90%% %.1f, 99%% %.1f, longest %.1f\n")
    :format(1e6 * seconds / count, at(0.5), at(0.9), at(0.99), at(1))))
  bar:update(count)
end

function bench.run(arguments)
  local client <close> = connect.open(arguments, { reconnect = false, timeout = arguments.timeout })
  RUN[arguments.what](arguments, client, arguments.subject or "bench", arguments.count)
end

return bench
