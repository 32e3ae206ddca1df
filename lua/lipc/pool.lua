--- ipc.pool: a function called with many items in several processes.
local ipc = require "lipc"
local Call = require "lipc.pool.call"
local crew = require "lipc.pool.crew"
local run = require "lipc.pool.run"
local bad_seconds = require("lipc.loop.waiting").bad_seconds
local integer = require "lipc.integer"

local forks = require("lipc.core").wait().forks
local now, huge, unpack = ipc.now, math.huge, table.unpack

local ENDING = 10 -- seconds that idle workers get to end when the pool is closed

local Pool = {}
Pool.__index = Pool
Pool.__name = "lipc.pool"

-- ---- arguments ----

local function misuse(level, arg, op, format, ...)
  error(("bad argument #%d to '%s' (%s)"):format(arg, op, format:format(...)), level + 1)
end

local function was(v) return type(v) == "number" and tostring(v) or type(v) end
local function positive(v)
  local n = integer(v)
  if not n or n < 1 then return "positive integer expected, got " .. was(v) end
  return nil, n
end
local function of_type(...)
  local kinds = { ... }
  return function(v)
    for _, kind in ipairs(kinds) do
      if type(v) == kind then return nil end
    end
    return ("%s expected, got %s"):format(table.concat(kinds, " or "), type(v))
  end
end
local function one_of(...)
  local words = { ... }
  return function(v)
    for _, word in ipairs(words) do
      if v == word then return nil end
    end
    return ('"%s" expected, got %s'):format(table.concat(words, '" or "'), tostring(v))
  end
end
local function count(v)
  local n = integer(v)
  if not n or n < 0 then return "integer from 0 expected, got " .. was(v) end
  return nil, n
end

local function callable(v)
  local mt = type(v) == "table" and getmetatable(v)
  if type(v) ~= "function" and not (type(mt) == "table" and mt.__call) then return "function expected, got " .. type(v) end
end

local of_pool = {
  workers = positive, start = one_of("fork", "spawn"), module = of_type "string", init = of_type("function", "string"),
  lua = of_type "string", chunk = positive, retry = count, max_pending = positive,
}
local of_map = {
  timeout = bad_seconds, chunk = positive, retry = count, max_pending = positive, progress = callable,
  errors = one_of("stop", "collect"), fresh = of_type "boolean",
}
local of_imap = { ordered = of_type "boolean" }
for k, check in pairs(of_map) do of_imap[k] = check end

local function check_options(level, arg, op, options, known)
  if options == nil then return {} end
  if type(options) == "number" and known.timeout then options = { timeout = options } end
  if type(options) ~= "table" then misuse(level + 1, arg, op, "table expected, got %s", type(options)) end
  local read = {}
  for k, v in pairs(options) do
    if not known[k] then misuse(level + 1, arg, op, "unknown option '%s'", tostring(k)) end
    local problem, n = known[k](v)
    if problem then misuse(level + 1, arg, op, "option '%s': %s", k, problem) end
    read[k] = n or v
  end
  return read
end

local function check_pool(self, op, level)
  if getmetatable(self) ~= Pool then
    error(("bad argument #1 to '%s' (lipc.pool expected, got %s)"):format(op, type(self)), (level or 2) + 1)
  end
  if self.closed then error(("calling '%s' on bad self (closed pool)"):format(op), (level or 2) + 1) end
  if self.generation ~= forks() then -- a forked child has workers of its own
    crew.forget(self)
    self.generation, self.busy, self.bells = forks(), false, {}
    self.driver[1] = nil
  end
end

-- ---- functions ----

local NIL = {}

-- The values that a function has from outside, those of its local functions too.
local function outside(fn, list, seen)
  seen[fn] = true
  for i = 1, 255 do
    local name, value = debug.getupvalue(fn, i)
    if not name or #list > 200 then return list end
    if name ~= "_ENV" then
      list[#list + 1] = value == nil and NIL or value
      if type(value) == "function" and not seen[value] then outside(value, list, seen) end
    end
  end
  return list
end

local function same(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if not rawequal(a[i], b[i]) then return false end
  end
  return true
end

-- Fills in who shall be called: a number that workers forked from now on know it by, or a name.
local function find(self, fn, op, into, fresh)
  local options = self.options
  if type(fn) == "string" then
    if not options.module then misuse(4, 1, op, "a name needs the option 'module' of the pool") end
    into.id, into.name, into.serial = 0, fn, 0
    return
  end
  if type(fn) ~= "function" then misuse(4, 1, op, "function or name expected, got %s", type(fn)) end
  if options.start == "spawn" then
    misuse(4, 1, op, "start = \"spawn\" takes names of functions in the module, not functions")
  end
  local known, values = self.known[fn], outside(fn, {}, {})
  if not known then
    self.ids = self.ids + 1
    known = { id = self.ids }
    self.known[fn] = known
  end
  if fresh or not known.values or not same(known.values, values) then
    self.serial = self.serial + 1
    known.values, known.serial = values, self.serial
  end
  into.id, into.serial, into.fn = known.id, known.serial, fn -- kept for workers to come
end

-- ---- calls ----

local function seconds(self, options)
  local timeout = options.timeout
  if timeout == nil then timeout = self.timeout end
  return timeout < huge and now() + timeout or huge
end

local function begin(self, op, fn, list, options)
  local call = { op = op, what = options.errors == "collect" and "c" or "e" }
  find(self, fn, op, call, options.fresh)
  if type(list) == "function" then
    call.source = list
  elseif type(list) == "table" then
    call.list = list
  else
    misuse(3, 2, op, "table or iterator function expected, got %s", type(list))
  end
  local mine = self.options
  call.retry = options.retry or mine.retry or 1
  -- without a second try it must be known which item was at work
  call.chunk = options.chunk or mine.chunk or (call.retry == 0 and 1 or nil)
  call.max_pending = options.max_pending or mine.max_pending
  call.progress = options.progress
  call.ahead = op == "imap" or call.source ~= nil
  if op == "imap" then call.ordered = options.ordered ~= false end
  return Call.new(self, call)
end

-- Items of an iterator, as many as may be under way.
local function fill(call)
  if not call.source or call.exhausted then return end
  while call.known - call.delivered < call:limit() do
    local item = call.source()
    if item == nil then
      call.exhausted = true
      call.total = call.known
      if call.done == call.total then call.finished = true end
      return
    end
    call.known = call.known + 1
    call.items[call.known] = item
  end
end

local function failed(f) return nil, f.message, f.code, f end

local function timed_out(call) return failed(call:broken("timed out", "ETIMEDOUT")) end

local Over = {
  __close = function(o)
    local progress = o.call.progress
    run.leave(o.pool, o.call)
    if type(progress) == "table" and progress.close then progress:close() end -- no half line stays behind
  end,
}

local function over(self, call) return setmetatable({ pool = self, call = call }, Over) end

local function settled(call) return call.finished or call.news end

-- Waits until the call is finished, telling how far it has come on the way.
local function finish(self, call, deadline)
  local told, progress = nil, call.progress
  while true do
    fill(call)
    local done = run.await(self, call, call.finished and function() return true end or settled, deadline)
    call.news = false
    if progress and call.done ~= told and not call.misuse then
      told = call.done
      progress(told, call.total)
    end
    if call.finished then return true end
    if not done then return nil end
  end
end

function Pool:map(fn, list, options)
  check_pool(self, "map")
  options = check_options(2, 3, "map", options, of_map)
  local deadline = seconds(self, options)
  local call = begin(self, "map", fn, list, options)
  local _ <close> = over(self, call)
  fill(call)
  run.begin(self, call)
  local done = finish(self, call, deadline)
  if call.misuse then error(call.misuse, 2) end
  if call.failure then return failed(call.failure) end
  if not done then return timed_out(call) end
  if call.what == "c" then return call.results, call.failed end
  return call.results
end

-- The next range of items that has come: first, count; or nil.
local function next_range(call, at)
  if call.ordered then
    local n = call.ranges[at]
    call.ranges[at] = nil
    return n and at, n
  end
  local r = table.remove(call.ranges, 1)
  if r then return r[1], r[2] end
end

function Pool:imap(fn, list, options)
  check_pool(self, "imap")
  options = check_options(2, 3, "imap", options, of_imap)
  local deadline = seconds(self, options)
  local call = begin(self, "imap", fn, list, options)
  local guard, progress, told = over(self, call), call.progress, nil
  local i, stop, seen = 0, 0, 0
  fill(call)
  run.begin(self, call)
  local function arrived() return call.failure or call.misuse or call.news or call.finished end
  local function range() -- of what comes next, or nil at the end
    while true do
      call.delivered = seen
      fill(call)
      run.pump(self)
      if progress and call.done ~= told and not call.misuse then
        told = call.done
        progress(told, call.total)
      end
      if call.misuse then error(call.misuse, 3) end
      call.news = false
      local first, n = next_range(call, stop + 1)
      if first then return first, n end
      if call.failure then error(call.failure, 0) end
      if call.finished then return nil end
      if not run.await(self, call, arrived, deadline) and not call.news then
        error(call:broken("timed out", "ETIMEDOUT"), 0)
      end
    end
  end
  local function iterate()
    if call.over then return nil end
    if i == stop then
      check_pool(self, "imap", 1)
      local first, n = range()
      if not first then
        run.leave(self, call)
        return nil
      end
      i, stop = first - 1, first + n - 1
    end
    i = i + 1
    seen = seen + 1
    local value, failure = call.results[i], call.failed[i]
    call.results[i] = nil
    if failure and call.what ~= "c" then
      run.leave(self, call)
      error(failure, 0)
    end
    return i, value, failure
  end
  return iterate, nil, nil, guard
end

-- ---- single calls ----

local Future = {}
Future.__index = Future
Future.__name = "lipc.pool.future"

local function submit(self, op, fn, ...)
  local call = { op = op, what = "a", list = { table.pack(...) }, chunk = 1 }
  call.retry = self.options.retry or 1
  find(self, fn, op, call)
  call = Call.new(self, call)
  run.begin(self, call)
  if call.misuse then
    run.leave(self, call)
    error(call.misuse, 3)
  end
  return call
end

local function result(call)
  if call.failure then return failed(call.failure) end
  local r = call.results[1]
  return unpack(r, 1, r.n)
end

function Pool:apply(fn, ...)
  check_pool(self, "apply")
  local call = submit(self, "apply", fn, ...)
  local _ <close> = over(self, call)
  if not finish(self, call, seconds(self, {})) then return timed_out(call) end
  return result(call)
end

function Pool:submit(fn, ...)
  check_pool(self, "submit")
  return setmetatable({ pool = self, call = submit(self, "submit", fn, ...) }, Future)
end

local function check_future(self, op)
  if getmetatable(self) ~= Future then
    error(("bad argument #1 to '%s' (lipc.pool.future expected, got %s)"):format(op, type(self)), 3)
  end
end

function Future:get(timeout)
  check_future(self, "get")
  local problem = bad_seconds(timeout)
  if problem then misuse(2, 1, "get", "%s", problem) end
  local call, pool = self.call, self.pool
  if not call.finished then
    if not finish(pool, call, seconds(pool, { timeout = timeout })) then return timed_out(call) end
  end
  run.leave(pool, call)
  return result(call)
end

function Future:done()
  check_future(self, "done")
  if not self.call.finished and not self.pool.closed then run.pump(self.pool) end
  return self.call.finished
end

function Future:cancel()
  check_future(self, "cancel")
  local call = self.call
  if call.finished then return false end
  run.leave(self.pool, call)
  call:fail(call:broken("canceled", "ECANCELED"))
  return true
end

function Future:__tostring()
  return ("lipc.pool.future (%s)"):format(self.call.failure and "failed" or self.call.finished and "done" or "pending")
end

-- ---- the pool itself ----

function Pool:settimeout(timeout)
  check_pool(self, "settimeout")
  local problem = bad_seconds(timeout)
  if problem then misuse(2, 1, "settimeout", "%s", problem) end
  self.timeout = timeout or huge
  return self
end

function Pool:stat()
  check_pool(self, "stat")
  local stat = { workers = self.options.workers, pids = {}, busy = 0, started = self.started, lost = self.lost, pending = 0 }
  for _, w in ipairs(self.workers) do
    stat.pids[#stat.pids + 1] = w.process:pid()
    if w.chunks[1] then stat.busy = stat.busy + 1 end
  end
  for _, call in ipairs(self.calls) do stat.pending = stat.pending + call.known - call.done end
  return stat
end

local function shut(self, op, wait)
  if getmetatable(self) ~= Pool then
    error(("bad argument #1 to '%s' (lipc.pool expected, got %s)"):format(op, type(self)), 3)
  end
  if self.closed then return true end
  if self.generation ~= forks() then
    crew.forget(self)
    self.closed = true
    return true
  end
  self.closed = true
  crew.fail_all(self, "the pool was closed", "ECANCELED")
  for i = #self.workers, 1, -1 do
    local w = self.workers[i]
    if wait and not w.chunks[1] and w.ready and not w.gone then crew.retire(self, w) else crew.remove(self, w) end
  end
  if self.poller then self.poller:close() end -- who waits goes on
  for _, bell in pairs(self.bells) do bell:add(1, 0) end
  crew.sweep(self, wait and ENDING or 0)
  return true
end

function Pool:close() return shut(self, "close", true) end

function Pool:kill() return shut(self, "kill", false) end

Pool.__close = Pool.close

function Pool:__gc()
  if self.options then shut(self, "close", false) end
end

function Pool:__tostring()
  if self.closed then return "lipc.pool (closed)" end
  return ("lipc.pool (%d of %d workers)"):format(#self.workers, self.options.workers)
end

-- ---- functions ----

local pool = {}

-- The processors that this process may use.
function pool.processors()
  local f = io.open "/proc/self/status"
  local mask = f and f:read "a":match "Cpus_allowed:%s*([%x,]+)"
  if f then f:close() end
  local n = 0
  for digit in (mask or "1"):gmatch "%x" do
    local bits = tonumber(digit, 16)
    while bits > 0 do
      n, bits = n + (bits & 1), bits >> 1
    end
  end
  return n > 0 and n or 1
end

function pool.open(options)
  local mine = check_options(2, 1, "open", options, of_pool)
  mine.workers = mine.workers or pool.processors()
  mine.start = mine.start or "fork"
  if mine.start == "spawn" then
    if not mine.module then misuse(2, 1, "open", "start = \"spawn\" needs the option 'module'") end
    if type(mine.init) == "function" then
      misuse(2, 1, "open", "option 'init': with start = \"spawn\" a name expected, got function")
    end
  elseif mine.lua then
    misuse(2, 1, "open", "option 'lua' is for start = \"spawn\"")
  end
  if type(mine.init) == "string" and not mine.module then
    misuse(2, 1, "open", "option 'init': a name needs the option 'module'")
  end
  local self = setmetatable({
    options = mine,
    generation = forks(),
    timeout = huge,
    workers = {},
    members = {},                                   -- socket or process -> worker
    leaving = {},                                   -- processes of workers that end by themselves
    calls = {},                                     -- that are not finished
    turn = 0,                                       -- the place of that which was looked at last
    known = setmetatable({}, { __mode = "k" }),     -- function -> its number, and the first workers that know it
    ids = 0, ncalls = 0, serial = 0, started = 0, lost = 0, stillborn = 0,
    driver = setmetatable({}, { __mode = "v" }),    -- the coroutine that waits for all
    bells = {},                                     -- call -> what wakes the coroutine that waits for it
    busy = false,
  }, Pool)
  self.driving = run.new_driving(self)
  crew.note(self)
  return self
end

return setmetatable(pool, { __call = function(_, options) return pool.open(options) end })
