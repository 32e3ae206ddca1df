-- top.lua - lipc top: what goes through a broker at the moment; internal.  It asks twice and shows the difference: our broker
-- answers its own user on its Unix socket, nats-server a user of its system account.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local connect = require "lipc.cli.connect"
local failure = require "lipc.cli.failure"
local ls = require "lipc.cli.ls"
local printer = require "lipc.cli.printer"
local terminal = require "lipc.cli.terminal"
local decode = require "lipc.proto.json".decode_object

local top = { summary = "Show what goes through a broker." }

local function interval(text)
  local seconds = tonumber(text)
  if seconds and seconds >= 0.1 and seconds < math.huge then return seconds end
  return nil, "0.1 seconds or more expected, got '" .. text .. "'"
end

function top.options(command)
  command:option("-i --interval", "Seconds between two looks, at least 0.1."):convert(interval):default "1":argname "SECONDS"
  command:flag("--once", "Show it once, and end.")
  command:option("--sort", "Connections by: msgs, bytes, subs, pending, cid.")
    :choices { "msgs", "bytes", "subs", "pending", "cid" }:default "msgs":argname "WHAT"
  command:option("-l --lines", "So many connections and subjects at most; default: what fits the terminal, with --once 20.")
    :convert(connect.count):argname "N"
  connect.options(command)
end

-- So many connections are asked for at most, in pages.
local MOST_CONNECTIONS = 4096

local TIMEOUT = 5

local function ask(client, what, question)
  local answer, message, code, lost
  repeat -- what went with a lost connection is asked again
    lost = client:stats().disconnects
    answer, message, code = client:request("$SYS.REQ.SERVER.PING." .. what, question or "", TIMEOUT)
    lost = client:status() == "reconnecting" or client:stats().disconnects > lost
  until answer or code ~= "ETIMEDOUT" or not lost
  if code == "ENORESPONDERS" then return nil end
  if not answer then failure.fail(message) end
  local said = decode(answer.data)
  if not said or type(said.data) ~= "table" then failure.fail(client:url() .. ": an answer that is not understood") end
  return said.data
end

local function list_of(value) return type(value) == "table" and value or {} end

-- Whole numbers, from whoever has answered.
local function number(value) return type(value) == "number" and math.tointeger(value) or 0 end

-- All that is asked at one moment.
local function look(client)
  local general = ask(client, "VARZ")
  if not general then
    failure.fail(client:url() .. ": it does not tell; a broker of lipc tells its own user on its Unix socket, "
      .. "nats-server a user of its system account")
  end
  local sample = { at = ipc.now(), general = general, connections = {}, subjects = {} }
  local offset = 0
  repeat
    local page = ask(client, "CONNZ", ('{"offset":%d,"limit":256}'):format(offset)) or {}
    local list = list_of(page.connections)
    for _, one in ipairs(list) do
      if type(one) == "table" then sample.connections[number(one.cid)] = one end
    end
    offset = offset + #list
  until #list == 0 or offset >= math.min(number(page.total), MOST_CONNECTIONS)
  for _, one in ipairs(list_of((ask(client, "SUBJZ") or {}).subjects)) do
    if type(one) == "table" and type(one.subject) == "string" then sample.subjects[one.subject] = number(one.msgs) end
  end
  return sample
end

local function short(value)
  if value < 10000 then return ("%.0f"):format(value) end
  for _, unit in ipairs { "k", "M", "G", "T" } do
    value = value / 1000
    if value < 1000 then return (value < 10 and "%.1f%s" or "%.0f%s"):format(value, unit) end
  end
  return ("%.0fP"):format(value / 1000)
end

local function rates(before, now, seconds)
  local function rate(field)
    return math.max(0, number(now[field]) - number(before and before[field])) / seconds
  end
  return { in_msgs = rate "in_msgs", out_msgs = rate "out_msgs", in_bytes = rate "in_bytes", out_bytes = rate "out_bytes" }
end

local function from(one)
  if one.ip then return ("%s:%s"):format(one.ip, one.port) end
  return one.pid and "pid " .. tostring(one.pid) or "-"
end

local ORDER = {
  msgs = function (one) return one.rates.in_msgs + one.rates.out_msgs end,
  bytes = function (one) return one.rates.in_bytes + one.rates.out_bytes end,
  subs = function (one) return number(one.subscriptions) end,
  pending = function (one) return number(one.pending_bytes) end,
  cid = function (one) return -number(one.cid) end,
}

local function connection_rows(before, now, seconds, sort)
  local list = {}
  for cid, one in pairs(now.connections) do
    one.rates = rates(before.connections[cid], one, seconds)
    list[#list + 1] = one
  end
  local key = ORDER[sort]
  table.sort(list, function (a, b)
    local x, y = key(a), key(b)
    return x > y or x == y and number(a.cid) < number(b.cid)
  end)
  local rows = { { "CID", "FROM", "SUBS", "PENDING", "IN/s", "OUT/s", "BYTES IN/s", "BYTES OUT/s", "NAME" } }
  for _, one in ipairs(list) do
    local r = one.rates
    rows[#rows + 1] = {
      ("%d"):format(number(one.cid)), printer.safe(from(one)), short(number(one.subscriptions)), short(number(one.pending_bytes)),
      short(r.in_msgs), short(r.out_msgs), short(r.in_bytes), short(r.out_bytes),
      printer.safe(type(one.name) == "string" and one.name or "-"),
    }
  end
  return rows
end

local function subject_rows(before, now, seconds)
  local list = {}
  for subject, count in pairs(now.subjects) do
    local rate = (count - math.min(before.subjects[subject] or 0, count)) / seconds
    if rate > 0 then list[#list + 1] = { subject = subject, rate = rate } end
  end
  table.sort(list, function (a, b) return a.rate > b.rate or a.rate == b.rate and a.subject < b.subject end)
  local rows = { { "MSGS/s", "SUBJECT" } }
  for _, one in ipairs(list) do rows[#rows + 1] = { short(one.rate), printer.safe(one.subject) } end
  return rows
end

local function cut(rows, most)
  for i = #rows, most + 2, -1 do rows[i] = nil end
  return rows
end

local function show(client, before, now, arguments, lines)
  local seconds = math.max(now.at - before.at, 1e-3)
  local general = now.general
  local total = rates(before.general, general, seconds)
  local function write(...) failure.check_output(io.stdout:write(...)) end
  write(("%s  connections %d  subscriptions %d  memory %s  slow consumers %d\n"):format(printer.safe(client:url()),
    number(general.connections), number(general.subscriptions), short(number(general.mem)), number(general.slow_consumers)))
  write(("in %s msgs/s %sB/s  out %s msgs/s %sB/s\n\n"):format(short(total.in_msgs), short(total.in_bytes),
    short(total.out_msgs), short(total.out_bytes)))
  local subjects = subject_rows(before, now, seconds)
  local some = math.min(#subjects - 1, math.max(3, lines // 3))
  ls.write_table(cut(connection_rows(before, now, seconds, arguments.sort), math.max(1, lines - some)))
  if some > 0 then
    write "\n"
    ls.write_table(cut(subjects, some))
  end
end

function top.run(arguments)
  local client <close> = connect.open(arguments, arguments.once and { reconnect = false } or connect.staying())
  local on_terminal = not arguments.once and terminal.is(1)
  local before = look(client)
  while true do
    ipc.sleep(arguments.interval)
    local now = look(client)
    local lines = arguments.lines or 20
    if on_terminal then
      if not arguments.lines then lines = math.max(4, terminal.size() - 7) end
      failure.check_output(io.stdout:write "\27[H\27[J") -- home, and what is below goes
    end
    show(client, before, now, arguments, lines)
    failure.check_output(io.stdout:flush())
    if arguments.once then return end
    if not on_terminal then failure.check_output(io.stdout:write "\n") end
    before = now
  end
end

return top
