-- targets.lua - what must hold whatever comes: nothing raises, what is held back is bounded, and where the input was cut makes no
-- difference.  check(input, random) raises where it does not hold.    SPDX-License-Identifier: MIT
local nats_client = require "lipc.proto.nats_client"
local nats_client_parser = require "lipc.proto.nats_client_parser"
local nats_permissions = require "lipc.proto.nats_permissions"
local nats_server = require "lipc.proto.nats_server"
local nats_server_parser = require "lipc.proto.nats_server_parser"
local records = require "lipc.proto.records"

local core_records = require("lipc.core").records()

-- Of what a parser may hold beyond the limits it was given: the operation and blanks, and what goes before a payload.
local SLACK = 64

-- Small limits are met more often.
local LIMITS = { { max_control_line = 4096, max_payload = 1 << 20 }, { max_control_line = 48, max_payload = 100 } }

-- Cuts input and feeds it: whole, byte by byte, or in random pieces.
local function feed(object, input, how, random, each)
  local at = 1
  while at <= #input do
    local size = how == "whole" and #input or how == "bytes" and 1 or random(random(2) == 1 and 5 or 100)
    object:feed(input:sub(at, at + size - 1))
    at = at + size
    if each then each(object) end
  end
end

-- Records as Lua and C take them.
local function implementation()
  return math.random(2) == 1 and records or core_records
end

local function recorder()
  local events, meta, handler = {}, {}, {}
  -- Several messages at a time are the same messages.
  function handler:run(subject, buffer, from, line, sizes, size)
    local count = implementation().count(buffer, from, line, size, "\r\n")
    local tails = implementation().rehead(buffer, from, count, #line, size + 2, sizes)
    local width = #sizes + size + 2
    for i = 0, count - 1 do self:pub(subject, nil, tails:sub(i * width + 1, (i + 1) * width), size) end
    return count
  end
  function meta.__index(_, name)
    return function(_, ...)
      local parts = table.pack(name, ...)
      for i = 1, parts.n do parts[i] = ("%q"):format(parts[i]) end
      events[#events + 1] = table.concat(parts, " ")
    end
  end
  return setmetatable(handler, meta), events
end

local function same(one, other, what)
  if one ~= other then error(("%s differs:\n%s\n---\n%s"):format(what, one, other), 0) end
end

local function parser_target(new)
  return function(input, random)
    local limits = LIMITS[random(#LIMITS)]
    local most = math.max(limits.max_control_line, limits.max_payload + limits.max_control_line) + SLACK
    local expected
    for _, how in ipairs { "whole", "bytes", "pieces" } do
      if how ~= "bytes" or #input < 2000 then
        local handler, events = recorder()
        local parser = new(handler, limits)
        feed(parser, input, how, random, function()
          assert(parser.held <= most, "too much is held")
          if parser.stopped then assert(parser.held == 0 and events[#events]:find '^"fail"', "stopped without a failure") end
        end)
        local said = table.concat(events, "\n")
        for i = 1, #events - 1 do assert(not events[i]:find '^"fail"', "goes on after a failure") end
        expected = expected or said
        same(expected, said, "events, " .. how)
      end
    end
  end
end

local PERMISSIONS = assert(nats_permissions.new {
  publish = { allow = { "a", "a.>", "_INBOX.>" }, deny = "a.no" }, subscribe = { allow = { "a.*", "a", "r", "q g" }, deny = "a.no" },
  allow_responses = { max = 2 },
})

-- A server with a witness, an intruder, and its output.
local function play(input, how, random, kind)
  local now = 0
  local server = nats_server.new {
    random = function() return 1 end, now = function() now = now + 1 return now end,
    max_control_line = kind.max_control_line, max_payload = kind.max_payload, max_pending = 1 << 20, max_subscriptions = 20,
    records = implementation(),
    authenticate = kind.open and nil or function(_, options)
      return options.user == "u" and PERMISSIONS or options.auth_token == "t" or options.user == "w"
    end,
  }
  local witness, session = server:session(), server:session()
  witness:feed 'CONNECT {"user":"w","verbose":false,"pedantic":false,"headers":true}\r\nSUB witness 1\r\n'
  witness:take()
  session:take()
  feed(session, input, how, random)
  local said = session:take()
  if session.closing then
    assert(said:find "%-ERR '[^\n]*'\r\n$" or session.closing == "Slow Consumer", "closed without a word")
  end
  -- nobody else is affected
  assert(not witness.closing, "the witness is closed")
  witness:take()
  witness:feed "PUB witness 2\r\nhi\r\nPING\r\n"
  same("MSG witness 1 2\r\nhi\r\nPONG\r\n", witness:take(), "the witness's output")
  session:close "done"
  witness:close "done"
  assert(server.subscriptions.count == 0 and server.subscriptions.nodes == 0 and server.session_count == 0, "something is left")
  return said .. tostring(session.closing)
end

local KINDS = {
  { open = true, max_control_line = 4096, max_payload = 1 << 16 }, { max_control_line = 4096, max_payload = 1 << 16 },
  { open = true, max_control_line = 64, max_payload = 100 },
}

-- "503" comes to any one of the subscriptions that match.
local function session_check(input, random)
  local kind = KINDS[random(#KINDS)]
  local function played(how) return (play(input, how, random, kind):gsub("(HMSG %S+) %S+ 16 16", "%1 x 16 16")) end
  same(played "whole", played "pieces", "the answer in pieces")
end

local function client_check(input, random)
  local expected
  for _, how in ipairs { "whole", "pieces" } do
    local said = {}
    local function say(...) said[#said + 1] = table.concat({ ... }, " ") end
    local client = nats_client.new {
      unique = "unique", max_payload = 1 << 16,
      on_ready = function() say "ready" end, on_info = function() say "info" end,
      on_error = function(_, text, code, fatal) say("error", text, code, tostring(fatal)) end,
    }
    for i, subject in ipairs { "a", "a.*", ">" } do
      client:subscribe(subject, i == 2 and "g" or nil, function(at, reply, data, header)
        say("message", i, at, reply or "", data, header or "")
      end).refused = function(...)
        say("refused", i, ...)
        return i == 2
      end
    end
    for _, subject in ipairs { "a", "b", "a" } do
      client:request(subject, "", nil, function(at, ...) say("answer", subject, tostring(at), tostring((...))) end)
    end
    feed(client, 'INFO {"max_payload":1000,"headers":true}\r\nPONG\r\n', "whole")
    feed(client, input, how, random, function() client:take() end)
    client:close()
    local all = table.concat(said, "\n")
    expected = expected or all
    same(expected, all, "what the client saw")
  end
end

return {
  server = { corpus = "server", check = parser_target(nats_server_parser.new) },
  client = { corpus = "client", check = parser_target(nats_client_parser.new) },
  session = { corpus = "server", check = session_check },
  ["client session"] = { corpus = "client", check = client_check },
}
