--- A task: a coroutine of a loop, and what has become of it.  Internal to lipc.loop, which makes them.
local ipc = require "lipc"
local heap = require "lipc.loop.heap"
local waiting = require "lipc.loop.waiting"

local managed = waiting.managed
local setwaiter, now, huge = ipc.setwaiter, ipc.now, math.huge
local pack, unpack, running = table.pack, table.unpack, coroutine.running

local Task = {}
Task.__index = Task
Task.__name = "lipc.loop.task"

-- What the wait of a cancelled task raises.
local Cancelled = { __name = "lipc.cancelled" }

function Cancelled:__tostring()
  return self.reason == nil and "cancelled" or "cancelled: " .. tostring(self.reason)
end

local function cancelled(err)
  if getmetatable(err) ~= Cancelled then return false end
  return true, err.reason
end

local function onfail(err)
  if getmetatable(err) ~= Cancelled then
    local task = managed[running()]
    local text = type(err) == "string" and err or tostring(err)
    if task then task.traceback = debug.traceback(text, 2) end
  end
  return err
end

-- The end of every task, once.  What needs memory comes first: when there is none, nothing has happened.
local function finish(self, ok, ...)
  local loop, joiners = self.loop, self.joiners
  local results = pack(...)
  if not ok and not joiners and not cancelled((...)) then
    local failures = loop.failures
    failures[#failures + 1] = { task = self, err = (...), traceback = self.traceback or tostring((...)) }
  end
  loop.leave(self)
  self.state, self.ok, self.results = "done", ok, results
  self.fn, self.args, self.raise = nil, nil, nil
  heap.remove(loop.heap, self)
  loop.tasks[self] = nil
  loop.alive = loop.alive - 1
  if not loop.busy then loop.poller:wake() end
  if joiners then
    for task in pairs(joiners) do loop.wake(task) end
  end
end

local function body(task, fn, args)
  if args then
    finish(task, xpcall(fn, onfail, unpack(args, 1, args.n)))
  else
    finish(task, xpcall(fn, onfail))
  end
end

local function new(loop, fn, ...)
  local co = coroutine.create(body)
  local task = setmetatable({
    loop = loop, co = co, state = "ready", fn = fn, ok = false, results = false,
    args = select("#", ...) > 0 and pack(...) or nil,
  }, Task)
  setwaiter(loop.waiter, co)
  managed[co] = task
  local n, queue, spare = loop.alive + 1, loop.queue, loop.spare
  if queue[n] == nil then queue[n] = false end -- room for all tasks at once
  if spare[n] == nil then spare[n] = false end
  loop.tasks[task] = true
  loop.alive = n
  local count = loop.count + 1
  loop.count = count
  queue[count] = task
  if not loop.busy then loop.poller:wake() end
  return task
end

-- The loop is closed: nothing will resume this task.
local function drop(self)
  self.state, self.ok = "done", false
  self.results = pack(setmetatable({ reason = "loop closed" }, Cancelled))
  setwaiter(nil, self.co)
  managed[self.co] = nil
  -- in a forked child one of them may be the coroutine that forked, and runs
  if coroutine.status(self.co) == "suspended" then coroutine.close(self.co) end
end

local function check_task(self, name)
  if getmetatable(self) ~= Task then
    error(("bad argument #1 to '%s' (lipc.loop.task expected, got %s)"):format(name, type(self)), 3)
  end
end

function Task:cancel(reason)
  check_task(self, "cancel")
  if self.state == "done" then return false end
  local err = setmetatable({ reason = reason }, Cancelled)
  if self.fn then
    finish(self, false, err)
  elseif self.loop.current == self and managed[running()] == self then
    error(err, 0)
  else
    self.raise = err
    self.loop.wake(self)
  end
  return true
end

function Task:status()
  check_task(self, "status")
  if self.state ~= "done" then return self.state end
  return self.ok and "done" or cancelled(self.results[1]) and "cancelled" or "failed"
end

local function outcome(self)
  local results = self.results
  if self.ok then return true, unpack(results, 1, results.n) end
  local err = results[1]
  self.taken = true
  if cancelled(err) then return nil, tostring(err), "ECANCELED" end
  return nil, err, "ERROR", self.traceback
end

-- Suspends the running task until this one has ended.
local function join_in(loop, self, me, deadline)
  local joiners = self.joiners
  if not joiners then
    joiners = {}
    self.joiners = joiners
  end
  local _ <close> = setmetatable({}, {
    __close = function()
      joiners[me] = nil
      if not next(joiners) then self.joiners = nil end
    end,
  })
  joiners[me] = true
  while self.state ~= "done" do
    if deadline and now() >= deadline then return false end
    loop.wait(nil, nil, deadline)
  end
  return true
end

-- Runs the loop until this task has ended: its error is the joiner's then, and the loop keeps it back.
local function join_outside(loop, self, deadline)
  local before = self.awaited
  local _ <close> = setmetatable({}, { __close = function() self.awaited = before end })
  self.awaited = true
  while self.state ~= "done" do
    local left = deadline and deadline - now()
    if left and left <= 0 then return end
    loop:step(left)
  end
end

function Task:join(timeout)
  check_task(self, "join")
  local problem = waiting.bad_seconds(timeout)
  if problem then error(("bad argument #1 to 'join' (%s)"):format(problem), 2) end
  timeout = timeout or huge
  if self.state ~= "done" and timeout > 0 then
    local me = managed[running()]
    local loop = self.loop
    local deadline = timeout < huge and now() + timeout or nil
    if me == self then error("cannot wait here: a task cannot join itself", 2) end
    if me and me.loop == loop and coroutine.isyieldable() then
      join_in(loop, self, me, deadline)
    else
      join_outside(loop, self, deadline)
    end
  end
  if self.state ~= "done" then return nil, "task:join: timed out", "ETIMEDOUT" end
  return outcome(self)
end

function Task:__tostring()
  return ("lipc.loop.task (%s)"):format(self:status())
end

return { new = new, finish = finish, drop = drop, cancelled = cancelled }
