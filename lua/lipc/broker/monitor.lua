-- monitor.lua - what a broker tells of itself, asked for by requests, as the system account of nats-server has them; internal.
--   $SYS.REQ.SERVER.PING.VARZ   counters of the whole
--   $SYS.REQ.SERVER.PING.CONNZ  connections; the question is {"limit":, "offset":} or nothing, as with nats-server
--   $SYS.REQ.SERVER.PING.SUBJZ  subjects that are published to, most used first; not in nats-server
-- Answers are {"server":{}, "data":{}}.  Only the broker's own user on its Unix socket is answered, for anybody else there is
-- nobody here.  Nothing is counted for this that costs a message more than one addition.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local json = require "lipc.proto.json"

local now = ipc.now

local PREFIX = "$SYS.REQ.SERVER.PING."

-- In one answer, so that it takes no more than some milliseconds from everybody else.
local MOST_CONNECTIONS = 256
local MOST_SUBJECTS = 64
local SUBJECTS_LOOKED_AT = 20000

local monitor = {}

-- Subscriptions of this one.
monitor.COUNT = 1

-- Messages that were sent to a client: two pieces each, while other lines have one.
local function messages_out(session)
  return (session.taken + session.count - session.lines) // 2
end

-- In kB, where the kernel tells.
local function resident()
  local file = io.open "/proc/self/status"
  if not file then return nil end
  local kilobytes = file:read("a"):match "VmRSS:%s*(%d+) kB"
  file:close()
  return math.tointeger(tonumber(kilobytes))
end

local function varz(broker)
  local server, stats = broker.server, broker:stats()
  return {
    server_id = server.info.server_id, server_name = server.info.server_name, version = server.info.version,
    proto = server.info.proto, max_payload = server.max_payload, max_connections = broker.options.max_connections,
    connections = stats.connections, total_connections = stats.connections_ever, subscriptions = stats.subscriptions,
    in_msgs = stats.messages_in, out_msgs = stats.messages_out, in_bytes = broker.bytes_in, out_bytes = broker.bytes_out,
    pending_bytes = stats.pending, slow_consumers = stats.slow_consumers, mem = (resident() or 0) << 10,
    uptime_seconds = now() - broker.began,
  }
end

local function describe(connection)
  local session, peer = connection.session, connection.peer
  return {
    cid = session.id, kind = "Client", ip = peer.ip, port = peer.port, uid = peer.uid, pid = peer.pid,
    name = session.options.name, lang = session.options.lang, version = session.options.version,
    subscriptions = session.subscription_count, pending_bytes = session.pending,
    in_msgs = connection.messages_in, out_msgs = messages_out(session),
    in_bytes = connection.bytes_in, out_bytes = connection.bytes_out,
    uptime_seconds = now() - connection.began,
  }
end

local function whole(value, default, most)
  if math.type(value) ~= "integer" or value < 0 then return default end
  return math.min(value, most)
end

local function connz(broker, question)
  local connections = {}
  for connection in pairs(broker.connections) do connections[#connections + 1] = connection end
  table.sort(connections, function (a, b) return a.session.id < b.session.id end)
  local offset = whole(question.offset, 0, #connections)
  local limit = whole(question.limit, MOST_CONNECTIONS, MOST_CONNECTIONS)
  local list = {}
  for i = offset + 1, math.min(offset + limit, #connections) do list[#list + 1] = describe(connections[i]) end
  return { total = #connections, num_connections = #list, offset = offset, limit = limit, connections = json.list(list) }
end

local function subjz(broker)
  local subjects, looked_at, replies = {}, 0, { subject = "_INBOX.>", msgs = 0 }
  for subject, hits in broker.server.subscriptions:each_used() do
    looked_at = looked_at + 1
    if looked_at > SUBJECTS_LOOKED_AT then break end
    if subject:sub(1, 7) == "_INBOX." then -- used once each
      replies.msgs = replies.msgs + hits
    elseif subject:sub(1, 5) ~= "$SYS." then
      subjects[#subjects + 1] = { subject = subject, msgs = hits }
    end
  end
  if replies.msgs > 0 then subjects[#subjects + 1] = replies end
  table.sort(subjects, function (a, b) return a.msgs > b.msgs or a.msgs == b.msgs and a.subject < b.subject end)
  for i = #subjects, MOST_SUBJECTS + 1, -1 do subjects[i] = nil end
  return { subjects = json.list(subjects) }
end

local QUESTIONS = { VARZ = varz, CONNZ = connz, SUBJZ = subjz }

---Begins to answer.
---@param broker table
function monitor.attach(broker)
  broker.began, broker.bytes_in, broker.bytes_out = now(), 0, 0
  local server = broker.server
  server:subscribe(PREFIX .. "*", nil, function (subject, reply, data, _, from)
    local tell = QUESTIONS[subject:sub(#PREFIX + 1)]
    if not reply or not from then return end
    local peer = from.connection and from.connection.peer
    if not tell or not peer or not peer.trusted or peer.ip then
      if from.no_responders then from:tell_no_responders(reply) end
      return
    end
    local info = server.info
    from:answer(reply, json.encode {
      server = { id = info.server_id, name = info.server_name, ver = info.version },
      data = tell(broker, json.decode_object(data) or {}),
    })
  end)
end

return monitor
