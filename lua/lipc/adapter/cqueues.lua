--- lipc under cqueues: in a coroutine that this wraps, waits of lipc suspend it in its controller.
--    local adapter = require "lipc.adapter.cqueues"
--    local cq = cqueues.new()
--    adapter.wrap(cq, function() print(r:read "l") end)
--    assert(cq:loop())
-- A whole lipc loop runs so too: adapter.wrap(cq, function() loop:run() end).
local ipc = require "lipc"
local cqueues = require "cqueues"
local condition = require "cqueues.condition"

local now, poll = ipc.now, cqueues.poll

local pollables = setmetatable({}, { __mode = "k" }) -- coroutine -> what it gives to cqueues.poll
local woken = {} -- descriptor -> condition of those who are only to be woken

local waiter = {}

function waiter.wait(fd, events, deadline)
  local timeout
  if deadline then
    timeout = deadline - now()
    if timeout < 0 then timeout = 0 end
  end
  if not fd then
    poll(timeout)
  elseif events then
    local co = coroutine.running()
    local p = pollables[co]
    if not p then
      p = {}
      pollables[co] = p
    end
    p.pollfd, p.events = fd, events
    poll(p, timeout)
  else
    local c = woken[fd] or condition.new()
    woken[fd] = c
    poll(c, timeout)
  end
end

function waiter.cancel(fd)
  cqueues.cancel(fd)
  local c = woken[fd]
  if c then
    woken[fd] = nil
    c:signal()
  end
end

function waiter.running() return cqueues.running() ~= nil end

local function wrap(cq, fn, ...)
  if cqueues.type(cq) ~= "controller" then
    error("bad argument #1 to 'wrap' (cqueues controller expected)", 2)
  end
  if type(fn) ~= "function" then
    error(("bad argument #2 to 'wrap' (function expected, got %s)"):format(type(fn)), 2)
  end
  return cq:wrap(function(...)
    ipc.setwaiter(waiter)
    return fn(...)
  end, ...)
end

return { wrap = wrap }
