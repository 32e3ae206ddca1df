--- lipc under luv: coroutines whose waits are driven by uv.run.
--    local adapter = require "lipc.adapter.luv"
--    adapter.wrap(function() print(r:read "l") end)
--    uv.run()
-- A whole lipc loop runs so too: adapter.wrap(function() loop:run() end).  libuv allows one uv_poll
-- for a descriptor: do not also watch the descriptors of lipc's objects by uv.new_poll.
local ipc = require "lipc"
local uv = require "luv"

local now = ipc.now
local running, yield, resume = coroutine.running, coroutine.yield, coroutine.resume

local adapter = {}
local handler -- of errors
local polls = {} -- descriptor -> { handle =, mask =, waiting coroutines' records }
local spare = {} -- timers to use again

-- When the Lua state is closed, finalisers run newest first, and a handle of luv must not be used after
-- its own.  An object made after the newest handle hears of it before that.
local closed, sentinel = false, nil
local Sentinel = { __gc = function(self) closed = closed or self == sentinel end }

local function made(handle, message)
  sentinel = setmetatable({}, Sentinel)
  if not handle then error("luv: " .. tostring(message), 0) end
  return handle
end

local function go(co, ...)
  local ok, err = resume(co, ...)
  if ok then return end
  local traceback = debug.traceback(co, tostring(err))
  coroutine.close(co)
  if handler then
    handler(err, traceback)
  else
    error(traceback, 0) -- as any error in a callback of luv: it is printed and ends the process
  end
end

-- What is woken from inside other code, or only gives way, runs in the next turn of uv.  By an idle
-- handle: a timer of 0 that is set in the callback of a timer would keep uv from looking at anything else.
local soon, idle_polls, closing, soon_handle = {}, {}, {}, nil

local update

local function run_soon()
  local list, idle, handles = soon, idle_polls, closing
  soon, idle_polls, closing = {}, {}, {}
  soon_handle:stop()
  for _, handle in ipairs(handles) do handle:close() end
  for p in pairs(idle) do update(p) end
  for _, w in ipairs(list) do
    if w.waiting then go(w.co) end
  end
end

local function need_soon()
  if not soon_handle then soon_handle = made(uv.new_idle()) end
  if not soon_handle:is_active() then soon_handle:start(run_soon) end
end

local function wake_soon(w)
  soon[#soon + 1] = w
  need_soon()
end

-- Nobody waits for the descriptor any more: its handle must not keep uv.run going.  Not at once, as
-- most coroutines wait for the same again.
local function idle_soon(p)
  idle_polls[p] = true
  need_soon()
end

local function on_event(p, err, events)
  local list = {}
  for _, w in ipairs(p) do
    if w.events and (err or events:find(w.events, 1, true) or w.events == "rw") then list[#list + 1] = w end
  end
  if err then p.mask = nil end -- libuv has stopped the handle
  p.busy = true
  for _, w in ipairs(list) do
    if w.waiting then go(w.co) end
  end
  p.busy = false
  update(p)
end

-- Tells libuv what is wanted by those who wait.
function update(p)
  if polls[p.fd] ~= p then return end
  local r, w = false, false
  for _, waiting in ipairs(p) do
    local events = waiting.events
    if events == "r" or events == "rw" then r = true end
    if events == "w" or events == "rw" then w = true end
  end
  local mask = r and (w and "rw" or "r") or w and "w" or nil
  if mask == p.mask then return end
  p.mask = mask
  if not mask then
    p.handle:stop()
    return
  end
  if not p.handle then
    p.mask = nil
    p.handle = made(uv.new_poll(p.fd))
    p.mask = mask
  end
  assert(p.handle:start(mask, function(err, events) on_event(p, err, events) end))
end

-- A wait, from its begin to its end, however it ends.
local Wait = {}

function Wait:__close()
  self.waiting = false
  local p = self.poll
  if p then
    for i = 1, #p do
      if p[i] == self then
        table.remove(p, i)
        break
      end
    end
    if #p == 0 and p.mask and not p.busy and polls[p.fd] == p then idle_soon(p) end
  end
  local timer = self.timer
  if timer then
    timer:stop()
    spare[#spare + 1] = timer
  end
end

local waiter = {}

function waiter.wait(fd, events, deadline)
  local w <close> = setmetatable({ co = running(), waiting = true, events = events }, Wait)
  if deadline then
    local s = deadline - now()
    if s > 0 then
      w.timer = table.remove(spare) or made(uv.new_timer())
      uv.update_time()
      w.timer:start(math.ceil(math.min(s, 1e9) * 1000), 0, function()
        if w.waiting then go(w.co) end
      end)
    else
      wake_soon(w)
    end
  end
  if fd then
    local p = polls[fd]
    if not p then
      p = { fd = fd }
      polls[fd] = p
    end
    w.poll = p
    p[#p + 1] = w
    if events then update(p) end
  end
  yield()
end

function waiter.cancel(fd)
  local p = polls[fd]
  if not p or closed then return end
  polls[fd] = nil
  if p.handle then -- closed only while uv runs: luv crashes at exit over one that is about to close
    p.handle:stop()
    closing[#closing + 1] = p.handle
    need_soon()
  end
  for _, w in ipairs(p) do wake_soon(w) end
end

function waiter.running() return uv.loop_mode() ~= nil end

function adapter.wrap(fn, ...)
  if type(fn) ~= "function" then
    error(("bad argument #1 to 'wrap' (function expected, got %s)"):format(type(fn)), 2)
  end
  local args = table.pack(...)
  local co = coroutine.create(function() return fn(table.unpack(args, 1, args.n)) end)
  ipc.setwaiter(waiter, co)
  wake_soon { co = co, waiting = true }
  return co
end

function adapter.onerror(fn)
  if fn ~= nil and type(fn) ~= "function" then
    error(("bad argument #1 to 'onerror' (function expected, got %s)"):format(type(fn)), 2)
  end
  handler = fn
end

return adapter
