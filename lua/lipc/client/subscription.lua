-- subscription.lua - messages of one subscription on their way to who wants them: a function, called for one after the other,
-- or next() and messages(); internal but for its methods.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local check_timeout = require("lipc.client.check").timeout
local connection = require "lipc.client.connection"

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
    client = client, subject = subject, fn = fn, head = 1, tail = 0, waiters = {}, calling = false, gaps = 0,
  }, Subscription)
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
  local client = self.client
  client.held = client.held - 1
  client.held_bytes = client.held_bytes - #message.data
  if client.was_full and not client:_full() then -- the connection may read again
    client.was_full = false
    connection.nudge(client)
  end
  return message
end

---Marks where messages may be missing, among those that wait to be taken.  Functions are told by onerror.
---@param reason string
function subscription.gap(self, reason)
  if self.fn or self.ended then return end
  local last = self.tail > 0 and self[self.tail]
  if last and not getmetatable(last) then -- nothing has come since the last one
    last.gap = reason
    return
  end
  self.tail = self.tail + 1
  self[self.tail] = { data = "", gap = reason } -- messages have a metatable
  self.gaps = self.gaps + 1
  self.client.held = self.client.held + 1
  subscription.deliver(self)
end

-- What next() returns of what was taken.
local function hand(self, message)
  if self.gaps == 0 or getmetatable(message) then return message end
  self.gaps = self.gaps - 1
  return nil, ("subscription:next %s: connection lost, messages may be missing (%s)"):format(self.subject, message.gap),
    "ECONNRESET"
end

-- No more messages come; those that are here can still be taken.
local function finish(self)
  if self.ended then return end
  self.ended = true
  local client = self.client
  client.subscriptions[self] = nil
  if self.fn then client.functions = client.functions - 1 end
  for _, waiter in ipairs(self.waiters) do
    waiter.done = true
    if waiter.task then waiter.task.loop.wake(waiter.task) end
  end
  self.waiters = {}
  connection.nudge(client)
end
subscription.finish = finish

-- Handing messages to the function

local function call_all(self)
  local fn = self.fn
  while not self.dropped do
    local message = take(self)
    if not message then return end
    fn(message)
  end
end

---Calls the function for every message that is here.
function subscription.dispatch(self)
  if self.calling then return end
  self.calling = true
  local client = self.client
  while self.tail > 0 and not self.dropped do
    local ok, problem = xpcall(call_all, function (problem)
      if ipc.loop.cancelled(problem) then return problem end
      return type(problem) == "string" and debug.traceback(problem, 2) or problem
    end, self)
    if not ok then
      if ipc.loop.cancelled(problem) then
        self.calling = false
        error(problem, 0)
      end
      client:_failed(problem)
    end
  end
  self.calling = false
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
  timeout = check_timeout(timeout, 2, "next") or self.default_timeout or self.client.default_timeout
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
  timeout = check_timeout(timeout, 2, "messages")
  return function ()
    local message, problem, code = self:next(timeout)
    if message then return message end
    if code == "EOF" or code == "ECANCELED" then return nil end
    error(problem, 2)
  end
end

function Subscription:unsubscribe(max)
  check(self, "unsubscribe")
  if max ~= nil and (math.type(max) ~= "integer" or max < 1) then
    error("bad argument #2 to 'unsubscribe' (positive integer expected)", 2)
  end
  local client = self.client
  if self.ended then return true end
  local proto = client.proto
  proto:unsubscribe(self.inner, max)
  if not proto.subscriptions[self.inner.sid] then
    self.unsubscribed = true
    if not max then -- what is here is not wanted any more
      self.dropped = true
      while take(self) do end
    end
    finish(self)
  end
  return client:_send()
end

function Subscription:close()
  check(self, "close")
  self:unsubscribe()
  return true
end

Subscription.__close = Subscription.close

function Subscription:settimeout(seconds)
  check(self, "settimeout")
  self.default_timeout = check_timeout(seconds, 2, "settimeout") or huge
  return self
end

function Subscription:pending()
  check(self, "pending")
  return self.tail > 0 and self.tail - self.head + 1 - self.gaps or 0
end

function Subscription:__tostring()
  return ("lipc.subscription (%s%s)"):format(self.subject, self.ended and ", ended" or "")
end


return subscription
