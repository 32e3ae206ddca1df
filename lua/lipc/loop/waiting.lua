--- Internal to lipc.loop: how a task waits and is woken: the waiter that lipc calls in a coroutine of a loop, and what it
-- keeps about descriptors.  A descriptor stays in the poller after its event was delivered; only an
-- event that nobody waits for takes the interest back, so that a stream that is read again and again
-- costs no system call for the waiting.
local ipc = require "lipc"
local heap = require "lipc.loop.heap"

local yield, resume, create, running = coroutine.yield, coroutine.resume, coroutine.create, coroutine.running
local setwaiter, want = ipc.setwaiter, heap.want

local WAIT = {}                                     -- what a waiting coroutine yields
local managed = setmetatable({}, { __mode = "k" })  -- coroutine -> its task

-- Waiters of one descriptor and direction stand in a list in the order in which they came: the table
-- has the first by descriptor, or false; `link` is the field with the next.  No function may be called
-- between reading and writing these fields: a call may run a finaliser, which may cancel.  Waking
-- allocates nothing, so that it cannot fail: slots are made when a wait begins.

local function append(list, fd, task, link)
  local last = list[fd]
  if not last then
    list[fd] = task
    return
  end
  while last[link] do last = last[link] end
  last[link] = task
end

local function unlink(list, fd, task, link)
  local t = list[fd]
  if t == task then
    list[fd] = task[link] or false
  else
    while t and t[link] ~= task do t = t[link] end
    if t then t[link] = task[link] end
  end
  task[link] = nil
end

local function new(loop)
  local poller = loop.poller
  local readers, writers, others = {}, {}, {}
  local interest = {} -- what the poller was told: "r", "w", "rw" or false

  -- The task waits for its descriptor no longer.
  local function leave(task)
    local fd = task.fd
    if not fd then return end
    local events = task.events
    task.fd = nil
    if events == "r" then
      if readers[fd] == task and not task.rnext then
        readers[fd] = false
      else
        unlink(readers, fd, task, "rnext")
      end
    elseif events == nil then
      unlink(others, fd, task, "onext")
    else
      unlink(writers, fd, task, "wnext")
      if events == "rw" then unlink(readers, fd, task, "rnext") end
    end
  end

  -- Makes a waiting task ready.
  local function wake(task)
    if task.state ~= "waiting" then return end
    if task.fd then leave(task) end
    task.state = "ready"
    task.deadline = nil
    local count = loop.count + 1
    loop.count = count
    loop.queue[count] = task
    if not loop.busy then poller:wake() end
  end

  local function wake_all(list, fd, link)
    repeat
      local task = list[fd]
      wake(task)
      if list[fd] == task then list[fd] = task[link] or false end -- one that broke off
    until not list[fd]
  end

  local function watch(fd, events)
    local had = interest[fd]
    if had then
      if had == "rw" or had == events then return end
      events = "rw"
    elseif had == nil then
      readers[fd], writers[fd], interest[fd] = false, false, false
    end
    local ok, message = poller:add(fd, events)
    if not ok then error(message, 0) end
    interest[fd] = events
  end

  local function wait(fd, events, deadline)
    local task = loop.current
    local raise = task.raise
    if raise then
      task.raise = nil
      error(raise, 0)
    end
    task.deadline = deadline
    if deadline then want(loop.heap, task, deadline) end
    if fd then
      if events and interest[fd] ~= events then watch(fd, events) end
      if events == "r" then
        if readers[fd] then append(readers, fd, task, "rnext") else readers[fd] = task end
      elseif events == nil then
        append(others, fd, task, "onext")
      else
        append(writers, fd, task, "wnext")
        if events == "rw" then append(readers, fd, task, "rnext") end
      end
      task.fd, task.events = fd, events
    end
    task.state = "waiting"
    raise = yield(WAIT)
    if raise then error(raise, 0) end
  end

  -- Wakes all who wait for the descriptor; it may be about to be closed.
  local function cancel(fd)
    local known = interest[fd]
    if known then interest[fd] = false end
    if readers[fd] then wake_all(readers, fd, "rnext") end
    if writers[fd] then wake_all(writers, fd, "wnext") end
    if others[fd] then
      wake_all(others, fd, "onext")
      others[fd] = nil
    end
    if known then poller:remove(fd) end
  end

  -- An event in directions for which nobody waits: no longer wanted.
  local function disinterest(fd, idle)
    local rest = false
    if interest[fd] == "rw" and idle ~= "rw" then rest = idle == "r" and "w" or "r" end
    if rest then poller:add(fd, rest) else poller:remove(fd) end
    interest[fd] = rest
  end

  -- Wakes those for whom the poller found something: its ready(1) to ready(n).
  local function dispatch(n)
    for i = 1, n do
      local fd, events = poller:ready(i)
      if fd then
        local idle
        if events ~= "w" then
          if readers[fd] then wake_all(readers, fd, "rnext") else idle = "r" end
        end
        if events ~= "r" then
          if writers[fd] then wake_all(writers, fd, "wnext") else idle = idle and "rw" or "w" end
        end
        if idle then disinterest(fd, idle) end
      end
    end
  end

  loop.wake, loop.leave, loop.dispatch, loop.wait = wake, leave, dispatch, wait
  return {
    wait = wait,
    cancel = cancel,
    running = function() return loop.busy end,
  }
end

-- ---- generators ----

local relay

local function step(co, ...)
  return relay(co, resume(co, ...))
end

-- What the generator yielded for its consumer ends here; a wait goes on to the loop.
function relay(co, ok, token, ...)
  if not ok then
    coroutine.close(co)
    error(token, 0)
  end
  if token == WAIT then return step(co, yield(WAIT)) end
  return token, ...
end

local function wrapgen(fn)
  if type(fn) ~= "function" then
    error(("bad argument #1 to 'wrapgen' (function expected, got %s)"):format(type(fn)), 2)
  end
  local co = create(fn)
  return function(...)
    local task = managed[running()]
    if managed[co] ~= task then
      setwaiter(task and task.loop.waiter, co)
      managed[co] = task
    end
    return step(co, ...)
  end
end

-- What is wrong with a timeout that was given, in the words of the core; nil: nothing.
local function bad_seconds(s, what)
  if s == nil then return nil end
  what = what or "timeout"
  if type(s) ~= "number" then return ("%s in seconds expected, got %s"):format(what, type(s)) end
  if s ~= s then return what .. " must not be NaN" end
  if s < 0 then return what .. " must not be negative" end
  return nil
end

return { new = new, wrapgen = wrapgen, bad_seconds = bad_seconds, WAIT = WAIT, managed = managed }
