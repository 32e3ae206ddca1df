--- How a task waits and is woken: the waiter that lipc calls in a coroutine of a loop, and what it
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
-- has the first by descriptor, `link` is the field with the next.  No function may be called between
-- reading and writing these fields: a call may run a finaliser, which may cancel.

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
    list[fd] = task[link]
  else
    while t and t[link] ~= task do t = t[link] end
    if t then t[link] = task[link] end
  end
  task[link] = nil
end

local function new(loop)
  local poller = loop.poller
  local readers, writers, others = {}, {}, {}
  local interest = {} -- what the poller was told: "r", "w" or "rw"

  -- Makes a waiting task ready.
  local function wake(task)
    if task.state ~= "waiting" then return end
    local fd = task.fd
    if fd then
      local events = task.events
      task.fd = nil
      if events == "r" then
        if readers[fd] == task and not task.rnext then readers[fd] = nil
        else unlink(readers, fd, task, "rnext") end
      elseif events == nil then
        unlink(others, fd, task, "onext")
      else
        unlink(writers, fd, task, "wnext")
        if events == "rw" then unlink(readers, fd, task, "rnext") end
      end
    end
    task.state = "ready"
    task.deadline = nil
    local count = loop.count + 1
    loop.count = count
    loop.queue[count] = task
    if not loop.busy then poller:wake() end
  end

  local function watch(fd, events)
    local had = interest[fd]
    if had then
      if had == "rw" or had == events then return end
      events = "rw"
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
    task.state = "waiting"
    task.deadline = deadline
    if deadline then want(loop.heap, task, deadline) end
    if fd then
      task.fd, task.events = fd, events
      if events == "r" then
        if readers[fd] then append(readers, fd, task, "rnext") else readers[fd] = task end
      elseif events == nil then
        append(others, fd, task, "onext")
      else
        append(writers, fd, task, "wnext")
        if events == "rw" then append(readers, fd, task, "rnext") end
      end
      if events and interest[fd] ~= events then watch(fd, events) end
    end
    raise = yield(WAIT)
    if raise then error(raise, 0) end
  end

  -- One that is not waiting was dropped when its loop was closed.
  local function wake_all(list, fd, link)
    local task = list[fd]
    while task do
      if task.state == "waiting" then wake(task) else unlink(list, fd, task, link) end
      task = list[fd]
    end
  end

  -- Wakes all who wait for the descriptor; it may be about to be closed.
  local function cancel(fd)
    local known = interest[fd]
    interest[fd] = nil
    wake_all(readers, fd, "rnext")
    wake_all(writers, fd, "wnext")
    wake_all(others, fd, "onext")
    if known then poller:remove(fd) end
  end

  -- An event in a direction for which nobody waits: no longer wanted.
  local function disinterest(fd, idle)
    local had = interest[fd]
    local rest = had == "rw" and idle ~= "rw" and (idle == "r" and "w" or "r") or nil
    if had == nil or had == idle then rest = nil end
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
          if readers[fd] then
            repeat wake(readers[fd]) until not readers[fd]
          else
            idle = "r"
          end
        end
        if events ~= "r" then
          if writers[fd] then
            repeat wake(writers[fd]) until not writers[fd]
          elseif idle or events == "w" or interest[fd] ~= "r" then
            idle = idle and "rw" or "w"
          end
        end
        if idle then disinterest(fd, idle) end
      end
    end
  end

  loop.wake, loop.dispatch, loop.wait = wake, dispatch, wait
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

return { new = new, wrapgen = wrapgen, WAIT = WAIT, managed = managed }
