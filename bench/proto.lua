-- proto.lua - cost of the protocol layer alone, per 128-byte message, without sockets.
--   lua5.4 bench/proto.lua [messages]
-- Prints, for each case, the median of several runs and its ratio to the floor: one string.find and one string.sub per message
-- over the same buffers, which no parser in plain Lua can undercut.  Exits non-zero when the ratio of parsing and routing to one
-- subscriber, output gathered, is above RATIO_LIMIT.

package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path

local nats_client = require "lipc.proto.nats_client"
local nats_client_parser = require "lipc.proto.nats_client_parser"
local nats_server = require "lipc.proto.nats_server"
local nats_server_parser = require "lipc.proto.nats_server_parser"

local RUNS = 7
local RATIO_LIMIT = 3.5
local CHUNK = 65536
local messages = tonumber(arg and arg[1]) or 200000
local payload = ("x"):rep(128)

-- Chunks as read() would give them: cut anywhere.
local function chunks_of(message)
  local chunk, list = message:rep(CHUNK // #message + 2), {}
  local offset, total = 0, messages * #message
  while total > 0 do
    local size = math.min(CHUNK, total)
    list[#list + 1] = chunk:sub(offset + 1, offset + size)
    offset = (offset + size) % #message
    total = total - size
  end
  return list
end

local function measure(run)
  local times = {}
  for i = 1, RUNS do
    collectgarbage()
    local started = os.clock()
    run()
    times[i] = os.clock() - started
  end
  table.sort(times)
  return times[RUNS // 2 + 1] / messages * 1e9
end

local pub = "PUB bench.subj 128\r\n" .. payload .. "\r\n"
local pub_reply = "PUB bench.subj _INBOX.aaaaaaaaaaaaaaaaaaaaaa.1 128\r\n" .. payload .. "\r\n"
local hpub = "HPUB bench.subj 18 146\r\nNATS/1.0\r\nA: b\r\n\r\n" .. payload .. "\r\n"
local msg = "MSG bench.subj 1 128\r\n" .. payload .. "\r\n"

local function floor(message, pattern)
  local list = chunks_of(message)
  return function ()
    local find, sub = string.find, string.sub
    for i = 1, #list do
      local buffer, at = list[i], 1
      while true do
        local _, stop = find(buffer, pattern, at)
        if not stop then
          at = find(buffer, "\n[PM]", at)
          if not at then break end
          at = at + 1
        else
          local _ = sub(buffer, stop + 1, stop + 130)
          at = stop + 131
        end
      end
    end
  end
end

local function nothing() return 0 end

local function parse(module, message)
  local list = chunks_of(message)
  local handler = setmetatable({}, { __index = function () return nothing end })
  return function ()
    local parser = module.new(handler)
    for i = 1, #list do
      parser:feed(list[i])
    end
  end
end

local function broker(message, subscriptions, publisher_options, subscribers)
  local list = chunks_of(message)
  return function ()
    local server = nats_server.new()
    local publisher = server:session()
    local quiet = 'CONNECT {"verbose":false,"pedantic":false,"headers":true%s}\r\n'
    publisher:feed(quiet:format(publisher_options or ""))
    for _ = 1, subscribers or 1 do server:session():feed(quiet:format "" .. subscriptions) end
    for i = 1, #list do
      publisher:feed(list[i])
      local dirty, count = server:take_dirty()
      for k = 1, count do
        dirty[k]:wrote(#dirty[k]:take())
      end
    end
    assert(server.messages_in == messages)
  end
end

local function client_receive()
  local list = chunks_of(msg)
  return function ()
    local client = nats_client.new { unique = "bench" }
    client:feed 'INFO {"max_payload":1048576,"headers":true}\r\n'
    client:feed "PONG\r\n"
    local received = 0
    client:subscribe("bench.*", nil, function () received = received + 1 end)
    for i = 1, #list do
      client:feed(list[i])
    end
    assert(received == messages)
  end
end

local function client_publish()
  return function ()
    local client = nats_client.new { unique = "bench" }
    client:feed 'INFO {"max_payload":1048576,"headers":true}\r\n'
    client:feed "PONG\r\n"
    for _ = 1, messages do
      client:publish("bench.subj", payload)
      if client.pending > CHUNK then client:wrote(#client:take()) end
    end
  end
end

local base = measure(floor(pub, "^PUB (%S+) ()(%d+)\r\n"))
local function report(name, run)
  local ns = measure(run)
  print(("%-52s %7.0f ns  %5.2f"):format(name, ns, ns / base))
  return ns / base
end

print(("%-52s %7.0f ns  %5.2f"):format("floor: one find, one sub", base, 1))
report("parse PUB", parse(nats_server_parser, pub))
report("parse PUB with reply", parse(nats_server_parser, pub_reply))
report("parse HPUB", parse(nats_server_parser, hpub))
report("parse MSG", parse(nats_client_parser, msg))
local ratio = report("parse and route, 1 subscriber, gathered", broker(pub, "SUB bench.* 1\r\n"))
report("parse and route, nobody subscribed", broker(pub, ""))
report("parse and route, 4 subscribers", broker(pub, "SUB bench.* 1\r\n", nil, 4))
report("parse and route, 4 subscriptions of one", broker(pub, "SUB bench.* 1\r\nSUB bench.subj 2\r\nSUB > 3\r\nSUB *.* 4\r\n"))
report("parse and route, queue group of 4",
  broker(pub, "SUB bench.* g 1\r\nSUB bench.subj g 2\r\nSUB > g 3\r\nSUB *.* g 4\r\n"))
report("parse and route, verbose publisher", broker(pub, "SUB bench.* 1\r\n", ',"verbose":true'))
report("parse and route HPUB", broker(hpub, "SUB bench.* 1\r\n"))
report("client: MSG to callback", client_receive())
report("client: publish", client_publish())
if ratio > RATIO_LIMIT then
  io.stderr:write(("parse and route costs %.2f times the floor, more than %.2f\n"):format(ratio, RATIO_LIMIT))
  os.exit(1)
end
