--- ipc.loop: coroutines that wait for each other's processes.  A task is a coroutine; whatever lipc
-- waits for in it suspends the task alone.  Several loops may exist; one runs inside a task of
-- another as well as inside a host's loop (pollfd, events, timeout).
local ipc = require "lipc"
local Task = require "lipc.loop.task"
local heap = require "lipc.loop.heap"
local waiting = require "lipc.loop.waiting"

local forks = require("lipc.core").wait().forks
local now, huge = ipc.now, math.huge
local resume, status, running = coroutine.resume, coroutine.status, coroutine.running
local WAIT, managed = waiting.WAIT, waiting.managed

local Loop = {}
Loop.__index = Loop
Loop.__name = "lipc.loop"

local function check_loop(self, name)
  if getmetatable(self) ~= Loop then
    error(("bad argument #1 to '%s' (lipc.loop expected, got %s)"):format(name, type(self)), 3)
  end
  if not self.poller then error(("bad argument #1 to '%s' (closed loop)"):format(name), 3) end
end

local function check_function(fn, arg, name)
  if type(fn) == "function" then return fn end
  local mt = getmetatable(fn)
  if type(mt) == "table" and mt.__call then return fn end
  error(("bad argument #%d to '%s' (function expected, got %s)"):format(arg, name, type(fn)), 3)
end

-- Arguments are counted as in the methods of the core: the object is not one of them.
local function check_seconds(s, arg, name)
  local problem = waiting.bad_seconds(s)
  if problem then error(("bad argument #%d to '%s' (%s)"):format(arg, name, problem), 3) end
  return s == nil and huge or s
end

-- Everything that belongs to the process which made it: a forked child starts with nothing.
local function reset(self)
  self.generation = forks()
  self.tasks, self.alive = {}, 0      -- the set of unfinished ones
  self.queue, self.count = {}, 0      -- to be resumed in the next turn
  self.spare, self.nspare = {}, 0     -- the queue of this turn
  self.heap = {}                      -- tasks by deadline
  self.failures = {}                  -- still to be reported
  self.running, self.busy, self.current = false, false, nil
  self.waiter = waiting.new(self)
end

local function check_process(self)
  if self.generation ~= forks() then reset(self) end
end

-- ---- one turn ----

-- Tasks whose deadline has come.
local function expire(self)
  local tasks = self.heap
  local task = tasks[1]
  if not task then return end
  local time = now()
  while task and task.key <= time do
    local deadline = task.deadline
    if not deadline then
      heap.remove(tasks, task)
    elseif deadline > time then -- it waits anew, for longer
      heap.later(tasks, task, deadline)
    else
      self.wake(task)
      heap.remove(tasks, task)
    end
    task = tasks[1]
  end
end

-- Runs what was ready when the turn began; what becomes ready meanwhile has to wait for the next.
local function run_queue(self)
  local queue, n = self.queue, self.count
  self.queue, self.count = self.spare, 0
  self.spare, self.nspare = queue, n
  for i = 1, n do
    local task = queue[i]
    queue[i] = false
    if task.state == "ready" then
      local co, ok, token = task.co
      task.state = "running"
      self.current = task
      local fn = task.fn
      if fn then
        local args = task.args
        task.fn, task.args = nil, nil
        ok, token = resume(co, task, fn, args)
      elseif task.bare then
        task.bare = nil
        ok, token = resume(co)
      else
        local raise = task.raise
        task.raise = nil
        ok, token = resume(co, raise)
      end
      self.current = nil
      if token ~= WAIT and task.state ~= "done" then
        if ok and status(co) == "suspended" then -- a plain yield gives way
          task.bare = true
          task.state = "ready"
          local count = self.count + 1
          self.count = count
          self.queue[count] = task
        else
          Task.finish(task, false, not ok and token or "the coroutine of the task was ended from outside")
        end
      end
    end
  end
  self.nspare = 0
end

-- Hands errors out: to the handler, or to whoever runs the loop, one at a time.
local function report(self)
  local failures = self.failures
  local i = 1
  while failures[i] do
    local f = failures[i]
    if f.task.awaited then -- who joins it from outside is about to take it
      i = i + 1
    else
      table.remove(failures, i)
      if not f.task.taken then -- else somebody joined it in the meantime, and has it
        if not self.onerror_ then error(type(f.err) == "string" and f.traceback or f.err, 0) end
        self.onerror_(f.err, f.traceback, f.task)
      end
    end
  end
end

-- until: when to return although nothing has happened.
local function turn(self, till)
  local timeout = 0
  if self.count == 0 then
    local first = self.heap[1]
    if first and first.key < till then till = first.key end
    timeout = till
    if till < huge and till > 0 then
      timeout = till - now()
      if timeout < 0 then timeout = 0 end
    end
  end
  self.busy = false
  local n, message, code = self.poller:wait(timeout)
  self.busy = true
  if n then
    self.dispatch(n)
  elseif code ~= "ETIMEDOUT" then
    error(message, 0)
  end
  expire(self)
  if self.count > 0 then run_queue(self) end
  if self.failures[1] then report(self) end
end

-- Marks the loop as running until the guard is closed, however that happens.
local Guard = {
  __close = function(guard)
    local self = guard.loop
    self.running, self.busy, self.current = false, false, nil
    for i = 1, self.nspare do -- the turn broke off: what was not resumed has its turn later
      local task = self.spare[i]
      if task then
        self.spare[i] = false
        self.count = self.count + 1
        self.queue[self.count] = task
      end
    end
    self.nspare = 0
  end,
}

local function enter(self)
  if self.running then error("cannot wait here: this loop is running already", 3) end
  self.running, self.busy = true, true
  return self.guard
end

-- ---- methods ----

function Loop:wrap(fn, ...)
  check_loop(self, "wrap")
  check_function(fn, 1, "wrap")
  check_process(self)
  return Task.new(self, fn, ...)
end

function Loop:step(timeout)
  check_loop(self, "step")
  timeout = check_seconds(timeout, 1, "step")
  check_process(self)
  local _ <close> = enter(self)
  if self.failures[1] then report(self) end
  if self.alive == 0 then return false end
  turn(self, timeout == huge and huge or timeout == 0 and 0 or now() + timeout)
  return self.alive > 0
end

function Loop:run(...)
  check_loop(self, "run")
  check_process(self)
  for i = 1, select("#", ...) do check_function((select(i, ...)), i, "run") end
  local _ <close> = enter(self)
  for i = 1, select("#", ...) do Task.new(self, (select(i, ...))) end
  self.stopped = false
  if self.failures[1] then report(self) end
  while self.alive > 0 and not self.stopped do turn(self, huge) end
  return self.alive == 0
end

function Loop:stop()
  check_loop(self, "stop")
  self.stopped = true
  if not self.busy then self.poller:wake() end
  return self
end

function Loop:sleep(seconds)
  check_loop(self, "sleep")
  if seconds == nil then error("bad argument #1 to 'sleep' (timeout in seconds expected, got nil)", 2) end
  check_seconds(seconds, 1, "sleep")
  return ipc.sleep(seconds)
end

function Loop:onerror(fn)
  check_loop(self, "onerror")
  if fn ~= nil then check_function(fn, 1, "onerror") end
  self.onerror_ = fn
  return self
end

function Loop:pollfd()
  check_loop(self, "pollfd")
  return self.poller:pollfd()
end

function Loop:events()
  check_loop(self, "events")
  return "r"
end

function Loop:timeout()
  check_loop(self, "timeout")
  check_process(self)
  if self.count > 0 or self.failures[1] then return 0 end
  local first = self.heap[1]
  if not first then return self.poller:timeout() end
  local s = first.key - now()
  return s > 0 and s or 0
end

function Loop:close()
  if getmetatable(self) ~= Loop then check_loop(self, "close") end
  if not self.poller then return true end
  if self.running and self.generation == forks() then
    error("cannot close a loop while it runs", 2)
  end
  local tasks = self.tasks
  reset(self)
  for task in pairs(tasks) do Task.drop(task) end
  local poller = self.poller
  self.poller = nil
  return not poller or poller:close() -- a variable that a task closed may have closed the loop
end

Loop.__close = Loop.close

function Loop:__tostring()
  if not self.poller then return "lipc.loop (closed)" end
  return ("lipc.loop (%d tasks%s)"):format(self.alive, self.running and ", running" or "")
end

-- ---- functions ----

local loop = {
  wrapgen = waiting.wrapgen,
  cancelled = Task.cancelled,
}

function loop.new(options)
  local onerror, backend
  if options ~= nil then
    if type(options) ~= "table" then
      error(("bad argument #1 to 'new' (table expected, got %s)"):format(type(options)), 2)
    end
    for name in pairs(options) do
      if name ~= "onerror" and name ~= "backend" then
        error(("bad argument #1 to 'new' (unknown option '%s')"):format(tostring(name)), 2)
      end
    end
    onerror, backend = options.onerror, options.backend
    if onerror ~= nil and type(onerror) ~= "function" then
      error(("bad argument #1 to 'new' (option 'onerror': function expected, got %s)"):format(type(onerror)), 2)
    end
  end
  local poller, message, code = ipc.poll.open { backend = backend }
  if not poller then return nil, message, code end
  local self = setmetatable({ poller = poller, onerror_ = onerror }, Loop)
  self.guard = setmetatable({ loop = self }, Guard)
  reset(self)
  return self
end

function loop.current()
  local task = managed[running()]
  if task then return task.loop, task end
  return nil
end

return loop
