-- waiting.lua - how a client waits, and hands out what comes meanwhile; internal.  In a task of a loop a reading task hands out,
-- and functions run in tasks of their own; in a plain script whoever waits reads and calls them.
-- SPDX-License-Identifier: MIT

local ipc = require "lipc"
local connection = require "lipc.client.connection"
local subscription = require "lipc.client.subscription"

local forks = require("lipc.core").wait().forks
local now, huge = ipc.now, math.huge
local min = math.min
local current_task = connection.current_task

-- While so much has come that nobody takes, no more is read: the server then holds back who publishes.
local HELD_BYTES = 8 << 20
local HELD_MESSAGES = 65536

-- In a plain script functions run for so many seconds between two looks at the connection, one for so many messages before
-- the next one's turn.
local SLICE, TURN = 0.02, 256

-- The methods that the parts of the client call.
local Client = {}

-- Whether anybody waits for what comes.
function Client:_interested()
  return self.functions > 0 or self.waiting > 0
end

function Client:_full()
  if self.held < HELD_MESSAGES and self.held_bytes < HELD_BYTES and self.holding == 0 or self.asking > 0 then return false end
  self.was_full = true
  return true
end

-- Hands out what one read has brought.
function Client:_deliver()
  self:_forget_collected()
  local ready, count = self.ready, self.ready_count
  local loop = ipc.loop.current()
  if not (loop and loop.busy) then loop = nil end
  self.ready_count = 0
  for i = 1, count do
    local sub = ready[i]
    ready[i] = nil
    sub.marked = false
    subscription.deliver(sub, loop)
  end
end

-- The server sends nothing more for subscriptions that were collected.
function Client:_forget_collected()
  local collected = self.collected
  if not collected[1] then return end
  self.collected = {}
  for _, inner in ipairs(collected) do self.proto:unsubscribe(inner) end
end

-- The connection was lost, and may have taken messages with it.
function Client:_gap(message)
  for _, sub in pairs(self.subscriptions) do subscription.gap(sub, message, "ECONNRESET") end
end

local function call_handlers(self)
  while self.calls[1] do
    local call = table.remove(self.calls, 1)
    call[1](call[2], call[3], call[4])
  end
end

-- Calls a handler, one after the other: in a task of the loop, or by whoever waits in a plain script.
function Client:_call(handler, ...)
  self.calls[#self.calls + 1] = { handler, ... }
  local loop, caller = ipc.loop.current(), self.caller
  if loop and loop.busy and not (caller and caller.loop == loop and caller.state ~= "done") then
    self.caller = loop:wrap(call_handlers, self)
  end
end

-- The connection is in another state.
function Client:_status(status, detail, code)
  if self.status_handler then self:_call(self.status_handler, status, detail, code) end
end

-- Something went wrong that no call can report; the next flush has no status beside it and says what it was about.
function Client:_report(message, code, about)
  local handler = self.error_handler
  if not handler then
    self.async_message, self.async_code = about and about .. ": " .. message or message, code
    warn("lipc.client ", self.server and self.server.name or "", ": ", message)
    return
  end
  self:_call(handler, message, code)
end

-- A function that messages are given to has failed.
function Client:_failed(problem)
  local loop = ipc.loop.current()
  loop = loop and loop.busy and loop
  if self.error_handler then return self:_report(problem, "ERROR") end
  if loop then
    loop:wrap(error, problem, 0)
  else
    self.failures[#self.failures + 1] = problem
  end
end

-- The client is closed, by whomever.
function Client:_ended()
  local subs = {}
  for _, sub in pairs(self.subscriptions) do subs[#subs + 1] = sub end
  for _, sub in ipairs(subs) do
    sub.discarded = true
    subscription.finish(sub)
  end
  for waiter in pairs(self.waiters) do
    waiter.done = true
    if waiter.task then waiter.task.loop.wake(waiter.task) end
  end
  connection.nudge(self)
end

local function longest_ago(a, b) return a.served < b.served end

-- The subscriptions with messages for functions that could be called, in the order of their turns; nil: none.
local function callable(self)
  if self.held == 0 then return nil end
  local list
  for sub in pairs(self.with_function) do
    if sub.tail > 0 and not sub.calling and not sub.discarded then
      list = list or {}
      list[#list + 1] = sub
    end
  end
  if list and list[2] then table.sort(list, longest_ago) end
  return list
end

-- In a plain script: calls handlers, and the functions for `least` messages, and then until the time has come, but for no more
-- than `most`.  -> whether messages for functions are left
local function dispatch(self, waiter, till, least, most)
  local calls, failures, stoppable = self.calls, self.failures, waiter.run
  local given, turn_ends = 0, 0
  local function over()
    return given >= most or stoppable and waiter.done or given >= least and now() >= till
  end
  local function more()
    if given >= turn_ends or calls[1] or failures[1] or over() then return false end
    given = given + 1
    return true
  end
  while true do
    call_handlers(self)
    if failures[1] then error(table.remove(failures, 1), 0) end
    local list = callable(self)
    if not list then return false end
    for _, sub in ipairs(list) do
      if over() then return true end
      self.turn = self.turn + 1
      sub.served, turn_ends = self.turn, given + TURN
      subscription.dispatch(sub, more)
      if calls[1] or failures[1] then break end
    end
  end
end

-- Waits until waiter.done or the deadline.
function Client:_wait(waiter, deadline)
  local task = current_task()
  if self.generation ~= forks() then connection.abandon(self) end
  self:_forget_collected()
  if task then
    waiter.task = task
    self.waiting = self.waiting + 1
    self.waiters[waiter] = true
    local _ <close> = setmetatable({}, { __close = function ()
      self.waiters[waiter] = nil
      self.waiting = self.waiting - 1
      if not self:_interested() then connection.nudge(self) end
    end })
    connection.watch(self, task.loop)
    local wait = task.loop.wait
    local till = deadline < huge and deadline or nil
    while not waiter.done and self.state ~= "closed" and (not till or now() < till) do
      wait(nil, nil, till)
    end
  else
    local function hand_out()
      return dispatch(self, waiter, min(deadline, now() + SLICE), waiter.zero and self.held or 1, huge)
    end
    local left
    if waiter.run then left = hand_out() else left = callable(self) ~= nil end
    while not waiter.done and self.state ~= "closed" do
      if not left or not self:_full() then connection.pump(self, left and 0 or deadline) end
      if waiter.all and waiter.done then -- what came before the answer is handed out before the call returns, if there is time
        dispatch(self, waiter, deadline, 1, self.held)
      else
        left = hand_out()
      end
      if not waiter.done and deadline < huge and now() >= deadline then break end
    end
  end
end

-- Waits for an answer, which is read whatever else waits to be taken.
function Client:_ask(waiter, deadline)
  self.asking = self.asking + 1
  local _ <close> = setmetatable({}, { __close = function () self.asking = self.asking - 1 end })
  if self.was_full then connection.nudge(self) end
  self:_wait(waiter, deadline)
end

-- Waits until the server has seen everything.  nil, code when it cannot: "ETIMEDOUT", or the client is closed.
function Client:_sync(deadline)
  while self.state ~= "closed" do
    local waiter = { all = true }
    if self.generation ~= forks() then connection.abandon(self) break end
    if self.socket then
      local published = self.published
      self.published = false
      self.proto:send_ping(function (ok)
        waiter.done, waiter.ok = true, ok
        if published and not ok then self.doubt = true end
        if waiter.task then waiter.task.loop.wake(waiter.task) end
      end)
      self:_send(deadline)
    else -- as soon as there is a connection again
      waiter.poll = true
    end
    self:_ask(waiter, waiter.poll and math.min(deadline, now() + 0.05) or deadline)
    if waiter.ok then
      self.unflushed = self.proto.pending > 0
      return true
    end
    if self.state ~= "closed" and now() >= deadline then return nil, "ETIMEDOUT" end
  end
  return nil, self.close_code or "ECANCELED"
end

-- Whether this is called by the function of a subscription, which would wait for itself for ever.
local function inside(sub, task)
  return sub.calling and (not task or sub.task == task)
end

-- Whether one of these has messages for a function that calls this.
function Client:_inside(subs)
  local task = current_task()
  for _, sub in ipairs(subs) do
    if sub.fn and sub.tail > 0 and inside(sub, task) then return true end
  end
  return false
end

-- Waits until the functions of these subscriptions have been given all that came.
function Client:_handed_out(subs, deadline)
  local task = current_task()
  local function busy()
    for _, sub in ipairs(subs) do
      if sub.fn and (sub.tail > 0 or sub.calling) and not inside(sub, task) then return true end
    end
    return false
  end
  while busy() do
    if now() >= deadline then return false end
    if task then
      task.loop.wait(nil, nil, math.min(deadline, now() + 0.005))
    else
      dispatch(self, {}, deadline, 1, huge)
    end
  end
  return true
end

-- When a call that was given no timeout of its own has to end.
function Client:_deadline()
  local seconds = self.default_timeout
  return seconds == huge and huge or now() + seconds
end

-- Writes what must not stay gathered in a plain script; what does not go by the deadline goes with what is written next.
function Client:_send(deadline)
  if self.proto.pending > self.threshold or self.threshold == 0 then connection.push(self, deadline or self:_deadline()) end
  return true
end

---Gives a class these methods.
local function extend(class)
  for name, method in pairs(Client) do class[name] = method end
end

return { extend = extend, call_handlers = call_handlers }
