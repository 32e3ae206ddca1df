-- nats_router.lua - gives a published message to its subscribers: to every plain subscription and to one member of each queue
-- group.  A delivery appends two pieces to the session's output: the head "MSG subject sid ", kept with the cached result of
-- the match, and the tail, shared by all.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local max, min, sub = math.max, math.min, string.sub

---@class lipc.proto.ServerSubscription: lipc.proto.Subscription
---@field sid string
---@field session? lipc.proto.Session  nil for the server's own code, and when it has ended
---@field handler? fun(subject: string, reply: string?, data: string, header: string?, from: lipc.proto.Session?)  of the
---  server itself
---@field received integer
---@field max? integer      ends when so many messages were received
---@field deliver? fun(subject: string): boolean

-- Makes the head of the line to the i-th subscription of a list (a result, or one of its groups) and keeps it.  One by one: who
-- is cut on the way, with many subscriptions to a long subject, has cost no more than it could have pending.
local function make_head(heads, list, i, subject)
  local head = heads.op .. subject .. " " .. list[i].sid .. " "
  heads[i] = head
  return head
end

-- One published message on its way, when more than the plain case is needed.
---@class lipc.proto.Delivery
---@field subject string
---@field reply? string
---@field tail string
---@field size integer
---@field header_size? integer
---@field from? lipc.proto.Session
---@field plain_tail? string  of a message with headers, for who does not understand them

local function data_of(message)
  local size, tail = message.size, message.tail
  local header_size = message.header_size
  local header = header_size and sub(tail, -size - 2, -size - 3 + header_size)
  return sub(tail, -size - 2 + (header_size or 0), -3), header
end

local function plain_tail(message)
  local tail = message.plain_tail
  if not tail then
    local data = data_of(message)
    local reply = message.reply
    tail = (reply and reply .. " " or "") .. #data .. "\r\n" .. data .. "\r\n"
    message.plain_tail = tail
  end
  return tail
end

-- The heads of a list for one operation, as far as there are any yet.
local function heads_of(list, headers)
  local name = headers and "hmsg_heads" or "msg_heads"
  local heads = list[name]
  if not heads then
    heads = { op = headers and "HMSG " or "MSG " }
    list[name] = heads
  end
  return heads
end

-- Whether a subscription takes this message now.
local function accepts(subscription, skip, subject)
  local to = subscription.session
  if not to then return subscription.handler ~= nil end
  if to == skip then return false end
  local deliver = subscription.deliver
  return not deliver or deliver(subject)
end

-- Gives the message to the i-th subscription of a list, which accepts it.
local function give(message, list, i)
  local subscription = list[i]
  local to = subscription.session
  local received = subscription.received + 1
  subscription.received = received
  if not to then
    local data, header = data_of(message)
    subscription.handler(message.subject, message.reply, data, header, message.from)
    return
  end
  local headers = message.header_size and to.headers
  local tail = message.tail
  if message.header_size and not headers then tail = plain_tail(message) end
  if message.reply and to.replies then to:expect_answer(message.reply) end
  local heads = heads_of(list, headers)
  to:send(heads[i] or make_head(heads, list, i, message.subject), tail)
  if to.pending > to.notice then to:lag(message.from) end
  if received == subscription.max then to:expire(subscription) end
end

-- The member of a group that gets the message: a random one that accepts it, rather one that does not lag.
local function choose(group, skip, subject, random)
  local n = group.n
  local first = n > 1 and random(n) or 1
  local lagging
  for step = 0, n - 1 do
    local i = (first + step - 1) % n + 1
    local subscription = group[i]
    if accepts(subscription, skip, subject) then
      local to = subscription.session
      if not to or to.pending <= to.notice then return i end
      lagging = lagging or i
    end
  end
  return lagging
end

---Routes one message.
---@param server lipc.proto.Server
---@param from lipc.proto.Session?  the publisher, paused while a subscriber lags
---@param skip lipc.proto.Session?  a session that gets nothing: the publisher when it asked for no echo
---@param subject string
---@param reply string?
---@param tail string
---@param size integer
---@param header_size? integer
---@return boolean delivered
local function route(server, from, skip, subject, reply, tail, size, header_size)
  local subscriptions = server.subscriptions
  local result = subscriptions.cache[subject] or subscriptions:match(subject)
  result.hits = result.hits + 1
  local delivered = 0
  local message

  local heads = not header_size and heads_of(result, false)
  local tail_size = #tail
  for i = 1, result.n do
    local subscription = result[i]
    local to = subscription.session
    if to and not header_size and not subscription.deliver then
      -- The plain case, written out: what give() does without a call.
      if to ~= skip then
        delivered = delivered + 1
        local head, out, count = heads[i] or make_head(heads, result, i, subject), to.out, to.count
        out[count + 1] = head
        out[count + 2] = tail
        to.count = count + 2
        local pending = to.pending + #head + tail_size
        to.pending = pending
        if count == 0 then to:mark() end
        if pending > to.notice then to:lag(from) end
        local received = subscription.received + 1
        subscription.received = received
        if received == subscription.max then to:expire(subscription) end
      end
    elseif accepts(subscription, skip, subject) then
      delivered = delivered + 1
      message = message or
        { subject = subject, reply = reply, tail = tail, size = size, header_size = header_size, from = from }
      give(message, result, i)
    end
  end

  local groups = result.groups
  for i = 1, groups and #groups or 0 do
    local group = groups[i]
    local chosen = choose(group, skip, subject, server.random)
    if chosen then
      delivered = delivered + 1
      message = message or
        { subject = subject, reply = reply, tail = tail, size = size, header_size = header_size, from = from }
      give(message, group, chosen)
    end
  end

  server.messages_in = server.messages_in + 1
  server.messages_out = server.messages_out + delivered
  return delivered > 0
end

-- Whether no session has two subscriptions in a result; found out once.
local function sessions_differ(result)
  local differ = result.differ
  if differ == nil then
    local seen = {}
    differ = true
    for i = 1, result.n do
      local to = result[i].session
      if to then
        if seen[to] then differ = false end
        seen[to] = true
      end
    end
    result.differ = differ
  end
  return differ
end

---Whether messages to a subject may be given several at a time: when all who get them are clients that get every one, once.
---@param server lipc.proto.Server
---@param subject string
---@return lipc.proto.Result?
local function run_of(server, subject)
  local subscriptions = server.subscriptions
  local result = subscriptions.cache[subject] or subscriptions:match(subject)
  if result.groups or not sessions_differ(result) then return nil end
  for i = 1, result.n do
    local subscription = result[i]
    if not subscription.session or subscription.deliver or subscription.max then return nil end
  end
  return result
end

-- Bytes that a run of messages may take as one piece.
local PIECE_BYTES = 65536

---Routes several messages, which become one piece for each subscriber, or a few.
---@param server lipc.proto.Server
---@param from lipc.proto.Session
---@param skip lipc.proto.Session?
---@param result lipc.proto.Result  what run_of gave
---@param buffer string   the messages as they came are at `at`
---@param at integer
---@param count integer
---@param line string     each has this line
---@param sizes string    its end, "128\r\n"
---@param size integer    bytes of each payload
local function route_run(server, from, skip, result, buffer, at, count, line, sizes, size)
  local rehead = server.records.rehead
  local delivered, heads = 0, heads_of(result, false)
  local old, rest = #line, size + 2
  local head, piece
  for i = 1, result.n do
    local subscription = result[i]
    local to = subscription.session
    if to and to ~= skip then -- none: it was cut on the way
      delivered = delivered + count
      subscription.received = subscription.received + count
      local own = heads[i] or make_head(heads, result, i, result.subject)
      local most = PIECE_BYTES // (#own + #sizes + rest)
      if most >= count then
        if own ~= head then -- the next client often numbers its subscription alike
          head, piece = own, rehead(buffer, at, count, old, rest, own .. sizes)
        end
        to:send_run(piece, count)
        if to.pending > to.notice then to:lag(from) end
      else
        local done = 0
        while done < count and not to.closing do
          local some = min(max(most, 1), count - done)
          to:send_run(rehead(buffer, at + done * (old + rest), some, old, rest, own .. sizes), some)
          if to.pending > to.notice then to:lag(from) end
          done = done + some
        end
      end
    end
  end
  result.hits = result.hits + count
  server.messages_in = server.messages_in + count
  server.messages_out = server.messages_out + delivered
end

return { route = route, run_of = run_of, route_run = route_run }
