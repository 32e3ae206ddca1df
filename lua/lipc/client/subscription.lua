-- subscription.lua - messages of one subscription on their way to who wants them: a function, called for one after the other,
-- or next() and messages(); internal but for its methods.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local arguments = require "lipc.client.check"
local connection = require "lipc.client.connection"

local check_timeout = arguments.timeout
local now, huge = ipc.now, math.huge
local remove = table.remove

local Subscription = {}
Subscription.__index = Subscription
Subscription.__name = "lipc.subscription"

local subscription = {}

local function check(self, name)
  if getmetatable(self) ~= Subscription then
    error(("bad argument #1 to '%s' (lipc.subscription expected, got %s)"):format(name, type(self)), 3)
  end
end

function subscription.new(client, subject, fn)
  return setmetatable({
    client = client, subject = subject, fn = fn, head = 1, tail = 0, waiters = {}, calling = false, served = 0,
    gaps = 0, drops = 0,
  }, Subscription)
end

local function pending(self)
  return self.tail > 0 and self.tail - self.head + 1 - self.gaps or 0
end

-- A message is not in the list any more.
local function released(self, message)
  local client = self.client
  client.held = client.held - 1
  client.held_bytes = client.held_bytes - #message.data
  if self.bounded then
    self.bytes = self.bytes - #message.data
    if self.tail == 0 then self.lagging = false end
    if self.holding and pending(self) < self.max_messages and self.bytes < self.max_bytes then
      self.holding = false
      client.holding = client.holding - 1
    end
  end
  if client.was_full and not client:_full() then -- the connection may read again
    client.was_full = false
    connection.nudge(client)
  end
end

local function take(self)
  local head = self.head
  local message = self[head]
  if not message then return nil end
  self[head] = nil
  if head == self.tail then
    self.head, self.tail = 1, 0
  else
    self.head = head + 1
  end
  released(self, message)
  return message
end

-- Only so many messages are wanted in all, of which some were handed out.
local function limit(self, max)
  local keep = max - (self.inner.received - pending(self) - self.drops)
  while pending(self) > keep do
    local last = self[self.tail]
    self[self.tail] = nil
    self.tail = self.tail - 1
    if self.tail < self.head then self.head, self.tail = 1, 0 end
    if not getmetatable(last) then self.gaps = self.gaps - 1 end
    released(self, last)
    if self.tail == 0 then return end
  end
end

---Marks where messages may be missing, among those that wait to be taken.  Functions are told by onerror.
---@param reason string
---@param code string
function subscription.gap(self, reason, code)
  if self.fn or self.ended then return end
  local last = self.tail > 0 and self[self.tail]
  if last and not getmetatable(last) then -- nothing has come since the last one
    last.gap, last.code = reason, code
    return
  end
  self.tail = self.tail + 1
  self[self.tail] = { data = "", gap = reason, code = code } -- messages have a metatable
  self.gaps = self.gaps + 1
  self.client.held = self.client.held + 1
  subscription.deliver(self)
end

-- What next() returns of what was taken.
local function hand(self, message)
  if self.gaps == 0 or getmetatable(message) then return message end
  self.gaps = self.gaps - 1
  return nil, ("subscription:next %s: %s"):format(self.subject, message.gap), message.code
end

-- Limits of one subscription

---Whether one message more would be too many.  One alone never is: nobody could get it.
function subscription.full(self, size)
  local count = pending(self)
  return count >= self.max_messages or count > 0 and self.bytes + size > self.max_bytes
end

---What is above the limits holds up the whole connection, or is dropped and told.
---@param size integer  bytes of a message that has come
---@return boolean admitted
function subscription.admit(self, size)
  local client = self.client
  if self.overflow == "drop" and subscription.full(self, size) then
    self.drops = self.drops + 1
    if not self.lagging then
      self.lagging = true
      local reason = "too slow, messages were dropped"
      if self.fn then
        client:_report("subscription " .. self.subject .. ": " .. reason, "ENOBUFS")
      else
        subscription.gap(self, reason, "ENOBUFS")
      end
    end
    return false
  end
  self.bytes = self.bytes + size
  local full = pending(self) + 1 >= self.max_messages or self.bytes >= self.max_bytes
  if full and self.overflow == "hold" and not self.holding then
    self.holding = true
    client.holding = client.holding + 1
  end
  return true
end

---@param messages integer?
---@param bytes integer?
---@param overflow "drop"|"hold"?
function subscription.bound(self, messages, bytes, overflow)
  self.bounded, self.bytes, self.holding, self.lagging = true, 0, false, false
  self.max_messages, self.max_bytes, self.overflow = messages or math.maxinteger, bytes or math.maxinteger, overflow or "drop"
end

-- No more messages come; those that are here can still be taken.
local function finish(self)
  if self.ended then return end
  self.ended = true
  local client = self.client
  client.subscriptions[self.inner] = nil
  if self.fn then
    client.functions = client.functions - 1
    if self.tail == 0 then client.with_function[self] = nil end
  end
  for _, waiter in ipairs(self.waiters) do
    waiter.done = true
    if waiter.task then waiter.task.loop.wake(waiter.task) end
  end
  self.waiters = {}
  connection.nudge(client)
end
subscription.finish = finish

---The server sends no more; its function still gets what is here.
function subscription.complete(self)
  if self.ended then return end
  self.client.proto:unsubscribe(self.inner)
  self.unsubscribed = true
  finish(self)
end

-- Handing messages to the function

local function call_all(self, more)
  local fn = self.fn
  while self.tail > 0 and not self.discarded and (not more or more()) do fn(take(self)) end
end

-- Errors that are not the function's own (Ctrl-C at lua.c's is one): who waits gets them.
local function passes(problem)
  return ipc.loop.cancelled(problem) or type(problem) == "string" and problem:find "interrupted!$" ~= nil
end

local function explain(problem)
  if passes(problem) then return problem end
  if problem == nil then problem = "(error object is a nil value)" end
  return type(problem) == "string" and debug.traceback(problem, 2) or problem
end

---Calls the function for the messages that are here.
---@param more? fun(): boolean  asked before each; absent: for all of them
function subscription.dispatch(self, more)
  if self.calling then return end
  self.calling = true
  local client = self.client
  repeat
    local ok, problem = xpcall(call_all, explain, self, more)
    if not ok then
      if passes(problem) then
        self.calling = false
        error(problem, 0)
      end
      client:_failed(problem)
    end
  until ok
  self.calling = false
  if self.ended and self.tail == 0 then client.with_function[self] = nil end
  local draining = client.close_after
  if not draining then return end
  for _, sub in ipairs(draining) do
    if sub.fn and (sub.tail > 0 or sub.calling) then return end
  end
  client.close_after = nil
  client:close()
end

---Messages have come.
---@param loop? table  the loop that runs; nil in a plain script, where the caller dispatches
function subscription.deliver(self, loop)
  if self.fn then
    if loop and not self.calling and (not self.task or self.task.state == "done") then
      self.task = loop:wrap(subscription.dispatch, self)
    end
    return
  end
  local waiters = self.waiters
  local count = self.tail - self.head + 1
  while count > 0 and waiters[1] do
    local waiter = remove(waiters, 1)
    waiter.done = true
    if waiter.task then waiter.task.loop.wake(waiter.task) end
    count = count - 1
  end
end

-- Methods

local function ended(self, name)
  local client = self.client
  if client.state == "closed" and not self.unsubscribed then
    return nil, ("subscription:%s %s: %s"):format(name, self.subject, client.close_message or "closed"),
      client.close_code or "ECANCELED"
  end
  return nil, ("subscription:%s %s: no more messages"):format(name, self.subject), "EOF"
end

function Subscription:next(timeout)
  check(self, "next")
  if self.fn then error("bad argument #1 to 'next' (a function gets these messages)", 2) end
  timeout = check_timeout(timeout, 1, "next") or self.default_timeout or self.client.default_timeout
  local message = take(self)
  if message then return hand(self, message) end
  local deadline = timeout == huge and huge or nil
  while true do
    if self.ended then return ended(self, "next") end
    deadline = deadline or now() + timeout
    local waiter = {}
    self.waiters[#self.waiters + 1] = waiter
    self.client:_wait(waiter, deadline)
    if not waiter.done then
      for i, other in ipairs(self.waiters) do
        if other == waiter then remove(self.waiters, i) break end
      end
    end
    message = take(self)
    if message then return hand(self, message) end
    if self.ended then return ended(self, "next") end
    if now() >= deadline then
      return nil, ("subscription:next %s: timed out"):format(self.subject), "ETIMEDOUT"
    end
  end
end

function Subscription:messages(timeout)
  check(self, "messages")
  timeout = check_timeout(timeout, 1, "messages")
  return function ()
    local message, problem, code = self:next(timeout)
    if message then return message end
    if code == "EOF" or code == "ECANCELED" then return nil end
    error(problem, 2)
  end
end

function Subscription:unsubscribe(max)
  check(self, "unsubscribe")
  if max ~= nil then
    max = arguments.count(max) or error("bad argument #1 to 'unsubscribe' (positive integer expected)", 2)
  end
  local client = self.client
  if self.ended then return true end
  local proto = client.proto
  proto:unsubscribe(self.inner, max)
  if max then limit(self, max) end
  if not proto.subscriptions[self.inner.sid] then
    self.unsubscribed = true
    if not max then -- what is here is not wanted any more
      self.discarded = true
      while take(self) do end
    end
    finish(self)
  end
  return client:_send()
end

function Subscription:drain(timeout)
  check(self, "drain")
  local client = self.client
  timeout = check_timeout(timeout, 1, "drain") or self.default_timeout or client.default_timeout
  local deadline = timeout == huge and huge or now() + timeout
  if not self.ended then
    client.proto:wind_down(self.inner)
    local ok, code = client:_sync(deadline)
    if not ok then
      return nil, ("subscription:drain %s: %s"):format(self.subject,
        code == "ETIMEDOUT" and "timed out" or client.close_message or "closed"), code
    end
    subscription.complete(self)
  end
  if client:_handed_out({ self }, deadline) then return true end
  return nil, ("subscription:drain %s: timed out"):format(self.subject), "ETIMEDOUT"
end

function Subscription:dropped()
  check(self, "dropped")
  return self.drops
end

function Subscription:close()
  check(self, "close")
  self:unsubscribe()
  return true
end

Subscription.__close = Subscription.close

-- One with a function is held by its client; one that was refused has nothing.
Subscription.__gc = function (self)
  local client = self.client
  if self.ended or not self.inner or client.state == "closed" then return end
  while take(self) do end
  finish(self)
  client.collected[#client.collected + 1] = self.inner
end

function Subscription:settimeout(seconds)
  check(self, "settimeout")
  self.default_timeout = check_timeout(seconds, 1, "settimeout") or huge
  return self
end

function Subscription:pending()
  check(self, "pending")
  return pending(self)
end

function Subscription:__tostring()
  return ("lipc.subscription (%s%s)"):format(self.subject, self.ended and ", ended" or "")
end


return subscription
