--- Internal: how calls of a pool go on: chunks to workers, and one coroutine at a time that waits for their sockets on
-- behalf of all.
local ipc = require "lipc"
local frame = require "lipc.pool.frame"
local crew = require "lipc.pool.crew"
local msgpack = require "lipc.codec.msgpack"

local now, huge = ipc.now, math.huge

local run = {}

-- ---- chunks to workers ----

-- A new worker; or, where none can be started, the one to spare; or nil while others are at work, after which it is tried
-- again.  Nobody else would: the call fails.
local function start(pool, call, spare)
  while true do
    local w, message, code = crew.start(pool)
    if w or spare then return w or spare end
    local idle, busy
    for _, other in ipairs(pool.workers) do
      if other.chunks[1] or other.gone then busy = true else idle = other end
    end
    if not idle or code == "ENOTSUP" then
      if not busy then call:fail(call:broken(message, code)) end
      return nil
    end
    crew.remove(pool, idle) -- it does not know the function, and holds what a new one needs
  end
end

-- A worker that may have a chunk of this call now, or nil.
local function pick(pool, call)
  local spare, stale
  local depth = call:depth()
  for _, w in ipairs(pool.workers) do
    if not w.gone then
      local n = #w.chunks
      if w.serial >= call.serial then
        if n == 0 then return w end
        if n < depth and not (spare and #spare.chunks <= n) then spare = w end
      elseif n == 0 then
        stale = stale or w
      end
    end
  end
  if #pool.workers >= pool.options.workers then
    if not stale then return spare end
    crew.retire(pool, stale)
  end
  return start(pool, call, spare)
end

-- Which item cannot be sent, in the words of misuse.
local function refuse(call, chunk)
  for i = chunk.from, chunk.from + chunk.n - 1 do
    local bad
    if call.what == "a" then
      for k = 1, call.items[i].n do bad = bad or msgpack.why(call.items[i][k], ("argument[%d]"):format(k)) end
    else
      bad = msgpack.why(call.items[i], ("item[%d]"):format(i))
    end
    if bad then
      call:refuse(("bad argument #2 to '%s' (%s cannot be serialised)"):format(call.op, bad))
      return true
    end
  end
end

local function hand(pool, w, call)
  local chunk = call:next_chunk()
  local ok, layout, body
  if w.lists[call.key] then
    ok, layout, body = true, frame.refer(call.key, chunk.from)
  else
    ok, layout, body = pcall(frame.pack_list, call.items, chunk.from, chunk.n)
  end
  if ok then
    chunk.bytes = #body
    return crew.give(pool, w, chunk, layout, body)
  end
  call.again[#call.again + 1] = chunk
  if pool.options.start == "fork" and call.list then -- a new worker has it without being sent it
    pool.serial = pool.serial + 1
    call.serial = pool.serial
  elseif not refuse(call, chunk) then
    error(layout, 0)
  end
end

-- Whether nothing can be given out: each worker has something, no more may be started, and what they have is not known
-- to be so quick that more is given ahead.
local function crowded(pool)
  for _, w in ipairs(pool.workers) do
    local chunk = w.chunks[1]
    if not chunk or chunk.call.rate then return false end
  end
  return #pool.workers >= pool.options.workers
end

-- Gives out what can be given out; the calls take turns.  Those that are finished leave the list: nobody may ever ask
-- for their results.
local function schedule(pool)
  local idle = 0
  while idle < #pool.calls and not (idle == 0 and crowded(pool)) do
    local calls = pool.calls
    local at = pool.turn < #calls and pool.turn + 1 or 1
    local call = calls[at]
    if call.finished then
      table.remove(calls, at)
    else
      pool.turn = at
      local w = call:more() and pick(pool, call)
      if w then
        hand(pool, w, call)
        idle = 0
      else
        idle = idle + 1
      end
    end
  end
end

-- An error (Ctrl-C, a signal's callback) has left things half done: nothing of it can be trusted.
local function start_over(pool)
  pool.busy = false
  for i = #pool.workers, 1, -1 do crew.remove(pool, pool.workers[i]) end
  crew.fail_all(pool, "interrupted", "ECANCELED")
end

-- Deals with what the poller found, and gives out what can be.
local function turn(pool, n)
  pool.busy = true
  if n then crew.dispatch(pool, n) end
  schedule(pool)
  pool.busy = false
end

-- ---- beginning and end of a call ----

function run.begin(pool, call)
  if pool.busy and not pool.driver[1] then start_over(pool) end -- before this call is one of those that fail
  pool.ncalls = pool.ncalls + 1
  call.key = pool.ncalls
  pool.calls[#pool.calls + 1] = call
  if pool.leaving[1] then crew.sweep(pool) end
  turn(pool)
  call:make_room()
end

-- When a call is over nothing of it runs any more: workers that have nothing else are killed.
function run.leave(pool, call)
  if call.over then return end
  call.over = true
  if call:foreign() then return end
  for i, other in ipairs(pool.calls) do
    if other == call then
      table.remove(pool.calls, i)
      break
    end
  end
  for i = #pool.workers, 1, -1 do
    local w = pool.workers[i]
    local mine = #w.chunks > 0 and not w.gone
    for _, chunk in ipairs(w.chunks) do mine = mine and chunk.call == call end
    if mine then crew.remove(pool, w) end
  end
  -- who waits for all has to give out their places
  if pool.driver[1] and pool.poller and not pool.closed then pool.poller:wake() end
end

-- ---- waiting ----

-- One coroutine waits for the sockets; others sleep until there is news for them, or it leaves.
local function wake_others(pool)
  local anyone
  for call, bell in pairs(pool.bells) do
    anyone = bell
    if call.news then bell:add(1, 0) end
  end
  return anyone
end

local function pass_on(pool)
  local bell = wake_others(pool)
  if bell and not pool.driver[1] then bell:add(1, 0) end
end

local Driving = {
  __close = function(guard)
    local pool = guard.pool
    pool.driver[1] = nil
    if pool.busy then start_over(pool) end
    pass_on(pool)
  end,
}

local function drive(pool, call, ready, deadline)
  if pool.busy then start_over(pool) end
  pool.driver[1] = coroutine.running()
  local _ <close> = pool.driving
  local tried
  while true do
    turn(pool)
    if ready(call) or not pool.poller then return true end -- without a poller the call has failed
    local left = deadline == huge and huge or deadline - now()
    if left <= 0 then
      if tried then return nil end
      left, tried = 0, true
    end
    local n, message, code = pool.poller:wait(left)
    if n then
      turn(pool, n)
      if next(pool.bells) then wake_others(pool) end
    elseif pool.closed then
      return true
    elseif code ~= "ETIMEDOUT" then
      call:fail(call:broken(message, code))
      return true
    end
  end
end

local Sleeping = {
  __close = function(s)
    s.pool.bells[s.call] = nil
    s.bell:close()
    pass_on(s.pool) -- it may have been woken to take over, and be cancelled
  end,
}

local function sleep(pool, call, ready, deadline)
  local bell, message, code = ipc.eventfd.open()
  if not bell then
    call:fail(call:broken(message, code))
    return true
  end
  local _ <close> = setmetatable({ pool = pool, call = call, bell = bell }, Sleeping)
  pool.bells[call] = bell
  while not ready(call) do
    local left = deadline == huge and huge or deadline - now()
    if left < 0 then return nil end
    if not pool.driver[1] then return false end
    bell:take(left < 1 and left or 1) -- one that was collected in the middle of its wait wakes nobody
    call.news = false
  end
  return true
end

-- Waits until ready(call): true, or nil when the deadline has come.
function run.await(pool, call, ready, deadline)
  if call:foreign() then call:fail(call:broken("it belongs to the parent process", "ECHILD")) end
  while not ready(call) do
    local done
    if pool.driver[1] then
      done = sleep(pool, call, ready, deadline)
    else
      done = drive(pool, call, ready, deadline)
    end
    if done == nil then return nil end
  end
  return true
end

-- Lets go on what can without waiting.
function run.pump(pool)
  if pool.driver[1] or pool.closed or not pool.poller then return end
  if pool.busy then start_over(pool) end
  pool.driver[1] = coroutine.running()
  local _ <close> = pool.driving
  turn(pool, pool.poller:wait(0))
end

function run.new_driving(pool) return setmetatable({ pool = pool }, Driving) end

return run
