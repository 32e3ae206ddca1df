--- Internal: the workers of a pool: started, fed, listened to, buried.  Everything here returns without waiting, but for
-- the last moments of a worker that has ended.
local ipc = require "lipc"
local frame = require "lipc.pool.frame"
local worker = require "lipc.pool.worker"
local msgpack = require "lipc.codec.msgpack"

local WRITE = 1 << 16  -- bytes of a long string given to it at once
local DYING = 2        -- seconds that a worker gets whose socket has closed
local STILLBORN = 100  -- so many workers in a row that did not live to be ready: it is no accident

local crew = {}

-- Pools of this state: a new worker closes its copies of what leads to the others.
local pools = setmetatable({}, { __mode = "k" })

function crew.note(pool) pools[pool] = true end

-- In a forked child: none of the workers is ours.
function crew.forget(pool)
  for _, w in ipairs(pool.workers) do
    w.socket:close()
    w.process:close()
  end
  for _, process in ipairs(pool.leaving) do process:close() end
  if pool.poller then pool.poller:close() end
  pool.workers, pool.members, pool.leaving, pool.calls, pool.poller = {}, {}, {}, {}, nil
end

-- ---- starting ----

local function in_child(pool, socket, number)
  local functions, lists, seed = {}, {}, math.random(0)
  for _, call in ipairs(pool.calls) do lists[call.key] = call.list end
  for fn, known in pairs(pool.known) do functions[known.id] = fn end
  for other in pairs(pools) do crew.forget(other) end
  math.randomseed(seed, number) -- or all would draw the same numbers
  local options = pool.options
  local module
  local function find(id, name)
    if id ~= 0 then return functions[id] end
    module = module or require(options.module)
    local fn = module[name]
    if type(fn) ~= "function" then error(("module '%s' has no function '%s'"):format(options.module, name), 0) end
    return fn
  end
  return worker.main(socket, find, lists, function()
    local init = options.init
    if type(init) == "string" then init = find(0, init) end
    if init then return init(number) end
  end)
end

-- The interpreter that runs this script, as far as its arguments tell.
local function interpreter()
  local args = rawget(_G, "arg")
  if type(args) ~= "table" then return "lua5.4" end
  local i = 0
  while type(args[i - 1]) == "string" do i = i - 1 end
  return i < 0 and args[i] or "lua5.4"
end

local function spawn(pool, socket, number)
  local options = pool.options
  local script = ("package.path, package.cpath = %q, %q; require('lipc.pool.worker').program(%q, %q, %d)")
    :format(package.path, package.cpath, options.module, options.init or "", number)
  return ipc.process.spawn {
    options.lua or interpreter(), "-e", script,
    stdin = "null", fds = { [3] = socket }, kill_on_close = true, pdeathsig = "SIGKILL",
  }
end

local function start(pool)
  local mine, theirs, code = ipc.socket.pair()
  if not mine then return nil, theirs, code end
  local number = pool.started + 1
  local process, message
  if pool.options.start == "spawn" then
    process, message, code = spawn(pool, theirs, number)
  else
    process, message, code = ipc.process.fork(function()
      mine:close()
      return in_child(pool, theirs, number)
    end, { stdin = "null", kill_on_close = true, pdeathsig = "SIGKILL" })
    if code == "ENOTSUP" then message = message .. "; start = \"spawn\" works in a process with threads" end
  end
  theirs:close()
  if not process then
    mine:close()
    return nil, message, code
  end
  mine:settimeout(0)
  local w = {
    process = process, socket = mine, serial = pool.serial, ready = false,
    chunks = {},            -- given to it and not answered, the first is the one it works at
    queue = {}, first = 1, last = 0, -- strings to be written
    head = nil, need = frame.SIZE, pieces = {}, -- of a frame that is coming in: bytes that are missing, those there
    lists = {},             -- calls whose items it has in its memory, by fork
  }
  if pool.options.start == "fork" then
    for _, call in ipairs(pool.calls) do w.lists[call.key] = call.list and true end
  end
  pool.started = number
  pool.workers[#pool.workers + 1] = w
  pool.members[mine], pool.members[process] = w, w
  local poller = pool.poller
  local ok
  ok, message, code = poller:add(mine, "r")
  if ok then ok, message, code = poller:add(process, "r") end
  if not ok then
    crew.remove(pool, w)
    return nil, message, code
  end
  return w
end

function crew.start(pool)
  if not pool.poller then
    local poller, message, code = ipc.poll.open()
    if not poller then return nil, message, code end
    pool.poller = poller
  end
  return start(pool)
end

-- It belongs to the pool no more.
function crew.detach(pool, w)
  for i, other in ipairs(pool.workers) do
    if other == w then
      table.remove(pool.workers, i)
      break
    end
  end
  w.gone = true
  pool.members[w.socket], pool.members[w.process] = nil, nil
  if pool.poller then
    pool.poller:remove(w.socket)
    pool.poller:remove(w.process)
  end
end

-- Takes a worker out and kills it, unless it has ended.
function crew.remove(pool, w)
  crew.detach(pool, w)
  w.socket:close()
  w.process:close()
end

-- An idle one ends by itself when its socket does, and leaves its files and buffers in order.
function crew.retire(pool, w)
  local process = w.process
  pool.leaving[#pool.leaving + 1] = process
  crew.detach(pool, w)
  w.socket:close()
end

-- Lets go of those that have ended; seconds: how long the others together are waited for before they are killed.
function crew.sweep(pool, seconds)
  local leaving, deadline = pool.leaving, seconds and ipc.now() + seconds
  pool.leaving = {}
  for _, process in ipairs(leaving) do
    if deadline then process:wait(math.max(0, deadline - ipc.now())) end
    if deadline or process:status() ~= false then process:close() else pool.leaving[#pool.leaving + 1] = process end
  end
end

-- ---- writing ----

local function flush(pool, w)
  if w.writing then return end -- the coroutine that does goes on
  w.writing = true
  while w.queue[w.first] do
    local text, at = w.queue[w.first], w.at or 1
    local piece = at == 1 and #text <= WRITE and text or text:sub(at, at + WRITE - 1)
    local ok, _, code, written = w.socket:write(piece)
    if w.gone then return end
    at = at + (ok and #piece or written or 0)
    if at > #text then
      w.queue[w.first] = nil
      w.first, w.at = w.first + 1, nil
    else
      w.at = at
    end
    if not ok then
      if code ~= "ETIMEDOUT" then w.queue = {} end -- it is dying, as the end of its socket will tell
      break
    end
  end
  w.writing = false
  local events = w.queue[w.first] and "rw" or "r"
  if w.events ~= events then
    w.events = events
    pool.poller:add(w.socket, events)
  end
end

local function push(w, text)
  w.last = w.last + 1
  w.queue[w.last] = text
end

-- Gives a chunk to a worker.
function crew.give(pool, w, chunk, layout, body)
  local call = chunk.call
  local id, name = call.id, ""
  if id == 0 then name = string.pack("s4", call.name) end
  w.chunks[#w.chunks + 1] = chunk
  local head = frame.head(#name + #body, chunk.number, id, chunk.n, call.what, layout, 0) .. name
  if #body < WRITE then
    push(w, head .. body)
  else
    push(w, head)
    push(w, body)
  end
  flush(pool, w)
end

-- ---- reading ----

-- One frame: true, or nil and what is wrong with it.
local function take(pool, w, head, body)
  local _, number, _, n, what, layout, seconds = frame.parse(head)
  if what == "i" then
    w.ready = true
    pool.stillborn = 0
    return true
  elseif what == "f" then
    local err = msgpack.decode(body)
    w.failed = type(err) == "table" and err or { text = "worker did not start" }
    return true
  end
  local chunk = table.remove(w.chunks, 1)
  if not chunk or chunk.number ~= number or chunk.n ~= n then return nil, "an answer to nothing" end
  local call = chunk.call
  if call.over then return true end
  if what == "r" then
    local ok, message = pcall(frame.unpack_list, layout, body, 1, #body, call.results, chunk.from, n)
    if not ok then
      table.insert(w.chunks, 1, chunk)
      return nil, message
    end
    call:completed(chunk, nil, seconds, #body)
  else
    local both = msgpack.decode(body)
    if type(both) ~= "table" or type(both[1]) ~= "table" or type(both[2]) ~= "table" then
      table.insert(w.chunks, 1, chunk)
      return nil, "bad bytes"
    end
    table.move(both[1], 1, n, chunk.from, call.results)
    call:completed(chunk, both[2], seconds, #body)
  end
  return true
end

-- The next part of a frame, its head or its body, as a whole: no byte of it is moved again; or nil and the code.
local function next_part(w)
  local pieces, need = w.pieces, w.need
  repeat
    local piece, _, code = w.socket:readsome(need)
    if not piece then
      w.need = need
      return nil, code
    end
    need = need - #piece
    pieces[#pieces + 1] = piece
  until need == 0
  w.pieces = {}
  return pieces[2] and table.concat(pieces) or pieces[1]
end

-- Takes what has come: true, or nil when the worker is at its end.
local function listen(pool, w)
  while true do
    local part, code = next_part(w)
    if w.gone then return true end
    if not part then return code == "ETIMEDOUT" or nil end
    local head = w.head or part
    w.need = w.head and 0 or frame.parse(head)
    if w.need < 0 then return nil end
    if w.need > 0 then
      w.head = head
    else
      local body = w.head and part or ""
      w.head, w.need = nil, frame.SIZE
      if not take(pool, w, head, body) then return nil end
    end
  end
end

-- ---- the end of a worker ----

-- What is under way fails.
function crew.fail_all(pool, message, code, f)
  for _, call in ipairs { table.unpack(pool.calls) } do
    local failure = call:broken(message, code)
    if f then failure.traceback, failure.error = f.traceback, f.text end
    call:fail(failure)
  end
end

local function reason(status)
  if not status then return "its end is not known", "ECHILD" end
  if status.error then return status.error, "ERROR" end
  return tostring(status), status.signal or "EXIT"
end

-- What it had in hand is run again by others, or has failed.
local function settle(pool, w, status)
  crew.remove(pool, w)
  local why, code = reason(status)
  why = ("worker %d ended: %s"):format(w.process:pid(), why)
  pool.lost = pool.lost + 1
  if not w.ready then
    pool.stillborn = pool.stillborn + 1
    if w.failed then
      crew.fail_all(pool, w.failed.text, w.failed.code or "ERROR", w.failed)
    elseif code == "ERROR" then -- no accident: the next would end so too
      crew.fail_all(pool, why, code)
    elseif pool.stillborn >= STILLBORN then
      pool.stillborn = 0
      crew.fail_all(pool, ("%d workers in a row ended before they were ready; the last: %s"):format(STILLBORN, why), code)
    end
  end
  for i, chunk in ipairs(w.chunks) do
    if not chunk.call.over then chunk.call:lost(chunk, w.ready and i == 1, why, code) end
  end
end

local function bury(pool, w)
  w.gone = true -- nobody touches it while this coroutine waits
  local status
  -- also when the wait ends by an error: nothing that it had may get lost
  local _ <close> = setmetatable({}, { __close = function() settle(pool, w, status) end })
  status = w.process:wait(DYING)
  if not status then -- it closed its socket and lives
    w.process:kill "SIGKILL"
    status = w.process:wait(DYING)
  end
end

-- What the poller found: reads and writes what can be.
function crew.dispatch(pool, n)
  local poller, members, found = pool.poller, pool.members, {}
  for i = 1, n do
    local what, events = poller:ready(i)
    if what then found[#found + 1] = { what, events } end
  end
  for _, f in ipairs(found) do
    local what, events = f[1], f[2]
    local w = members[what]
    if w and not w.gone then
      local alive = true
      if what == w.process then
        listen(pool, w)
        alive = false
      else
        if events ~= "w" then alive = listen(pool, w) end
        if alive and events ~= "r" and not w.gone then flush(pool, w) end
      end
      if not alive and not w.gone then bury(pool, w) end
    end
  end
end

return crew
