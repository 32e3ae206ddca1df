-- requests.lua - requests of a client, with one answer and with many; internal but for the methods.
-- SPDX-License-Identifier: MIT

local ipc = require "lipc"
local arguments = require "lipc.client.check"
local connection = require "lipc.client.connection"

local forks = require("lipc.core").wait().forks
local now, huge = ipc.now, math.huge
local fail = arguments.fail

local REQUEST_OPTIONS = { headers = "table", timeout = "number" }
local MANY_OPTIONS = { headers = "table", timeout = "number", max = "number", stall = "number" }

-- The methods that lipc.client gets.
local Client = {}

local function check(self, name)
  local mt = getmetatable(self)
  if type(mt) ~= "table" or mt.__name ~= "lipc.client" then
    error(("bad argument #1 to '%s' (lipc.client expected, got %s)"):format(name, type(self)), 3)
  end
  if self.closed_by_caller then error(("bad argument #1 to '%s' (closed client)"):format(name), 3) end
end

local function wake(waiter)
  waiter.done = true
  if waiter.task then waiter.task.loop.wake(waiter.task) end
end

-- Sends; what becomes of it goes to receive(message) or receive(nil, problem, code).
local function ask(self, name, subject, data, block, receive, lasting)
  if self.generation ~= forks() then connection.abandon(self) end
  local token, message, code = self.proto:request(subject, data, block, function (to, reply, answer, header)
    if not to then return receive(nil, reply, answer) end
    receive(setmetatable({ subject = to, data = answer, reply = reply, header_block = header }, self.message_class))
  end, lasting)
  if token then return token end
  if self.state == "closed" then message, code = self.close_message, self.close_code end
  return fail(name, subject, message, code)
end

local function wait(self, waiter, deadline)
  self:_send(deadline)
  self:_ask(waiter, deadline)
end

-- Why there is no answer.
local function failure(self, name, subject, problem, code)
  if problem and (self.state ~= "closed" or code ~= "ECONNRESET") then return fail(name, subject, problem, code) end
  if self.state == "closed" then
    return fail(name, subject, self.close_message or "closed", self.close_code or "ECANCELED")
  end
  return fail(name, subject, "timed out", "ETIMEDOUT")
end

function Client:request(subject, data, options)
  check(self, "request")
  subject = arguments.string(subject, 1, "request")
  data = arguments.string(data, 2, "request")
  local timeout, block = options, nil
  if type(options) == "table" then
    arguments.options(options, 3, "request", REQUEST_OPTIONS)
    timeout = options.timeout
    block = arguments.headers(options.headers, 3, "request")
  end
  timeout = arguments.timeout(timeout, 3, "request") or self.default_timeout
  local waiter = {}
  local token, message, code = ask(self, "request", subject, data, block, function (...)
    waiter.message, waiter.problem, waiter.code = ...
    wake(waiter)
  end)
  if not token then return nil, message, code end
  local _ <close> = setmetatable({}, { __close = function () self.proto:forget(token) end })
  wait(self, waiter, timeout == huge and huge or now() + timeout)
  if waiter.message then return waiter.message end
  return failure(self, "request", subject, waiter.problem, waiter.code)
end

function Client:inbox()
  check(self, "inbox")
  return self.proto:new_inbox()
end

-- Many answers to one request: an iterator, which can be closed.
local Answers = {}
Answers.__index = Answers
Answers.__name = "lipc.answers"

local function check_answers(self, name)
  if getmetatable(self) ~= Answers then
    error(("bad argument #1 to '%s' (lipc.answers expected, got %s)"):format(name, type(self)), 3)
  end
end

-- No more are wanted.  What is here can still be taken.
local function finish(self, problem, code)
  if self.ended then return end
  self.ended, self.problem, self.code = true, problem, code
  if self.token then self.client.proto:forget(self.token) end
end

local function wake_all(self)
  for waiter in pairs(self.waiters) do wake(waiter) end
end

local function drop(self)
  local client = self.client
  for i = self.head, self.tail do
    client.held, client.held_bytes = client.held - 1, client.held_bytes - #self[i].data
    self[i] = nil
  end
  self.head, self.tail = 1, 0
end

local function take(self)
  local head, client = self.head, self.client
  local message = self[head]
  if not message then return nil end
  self[head], self.head = nil, head + 1
  client.held, client.held_bytes = client.held - 1, client.held_bytes - #message.data
  if client.was_full and not client:_full() then
    client.was_full = false
    connection.nudge(client)
  end
  return message
end

function Answers:next()
  check_answers(self, "next")
  local client, waited = self.client, false
  while true do
    local message = take(self)
    if message then return message end
    if self.ended then return failure(client, "requestmany", self.subject, self.problem, self.code) end
    local deadline = math.min(self.deadline, self.stalled_at or huge)
    -- even when it is too late: what has come in the meantime counts
    if waited and now() >= deadline then
      finish(self, "timed out", "ETIMEDOUT")
    else
      waited = true
      local waiter = {}
      self.waiters[waiter] = true
      local _ <close> = setmetatable({}, { __close = function () self.waiters[waiter] = nil end })
      wait(client, waiter, deadline)
    end
  end
end

function Answers:close()
  check_answers(self, "close")
  finish(self, "closed", "ECANCELED")
  drop(self)
  wake_all(self)
  return true
end

-- How the answers come to their end; a loop over them does not see why they did.
local ENDS = { EOF = true, ETIMEDOUT = true, ENORESPONDERS = true, ECANCELED = true }

function Answers:__call()
  local answer, message, code = self:next()
  if not answer and not ENDS[code] then error(message, 2) end
  return answer, message, code
end

Answers.__close = Answers.close
Answers.__gc = function (self)
  if self.token then Answers.close(self) end
end

function Answers:__tostring()
  return ("lipc.answers (%s, %d)"):format(self.subject, self.received)
end

function Client:requestmany(subject, data, options)
  check(self, "requestmany")
  subject = arguments.string(subject, 1, "requestmany")
  data = arguments.string(data, 2, "requestmany")
  if type(options) == "number" then options = { timeout = arguments.timeout(options, 3, "requestmany") } end
  options = arguments.options(options, 3, "requestmany", MANY_OPTIONS)
  local block = arguments.headers(options.headers, 3, "requestmany")
  local max, stall = options.max and arguments.count(options.max), options.stall
  if options.max and not max then
    error("bad argument #3 to 'requestmany' (option 'max': positive integer expected)", 2)
  end
  local timeout = options.timeout or self.default_timeout
  local answers = setmetatable({
    client = self, subject = subject, head = 1, tail = 0, received = 0, waiters = {},
    deadline = timeout == huge and huge or now() + timeout,
  }, Answers)
  -- not held by what the connection holds: collected, it is forgotten
  local weak = setmetatable({ answers }, { __mode = "v" })
  local token, message, code = ask(self, "requestmany", subject, data, block, function (answer, problem, why)
    local to = weak[1]
    if not to or to.ended then return end
    if answer then
      to.tail, to.received = to.tail + 1, to.received + 1
      to[to.tail] = answer
      self.held, self.held_bytes = self.held + 1, self.held_bytes + #answer.data
      to.stalled_at = stall and now() + stall
      if to.received == max then finish(to, "no more answers", "EOF") end
    else
      finish(to, problem, why)
    end
    wake_all(to)
  end, true)
  if not token then return nil, message, code end
  answers.token = token
  self:_send()
  return answers, nil, nil, answers
end

---Gives a class these methods.
local function extend(class)
  for name, method in pairs(Client) do class[name] = method end
end

return { extend = extend, Answers = Answers }
