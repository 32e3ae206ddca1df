--- Internal: what a worker of a pool does, in its own process: takes chunks of items from its socket, calls the function
-- with each, sends the results.  Ends when the socket does.
local ipc = require "lipc"
local frame = require "lipc.pool.frame"
local msgpack = require "lipc.codec.msgpack"

local now, tpack, tunpack, move = ipc.now, table.pack, table.unpack, table.move
local flush = io.stdout.flush

local KEPT = 7000 -- places in the table of items and results, which is used again unless it holds something large

local function send(socket, chunk, n, what, layout, body, seconds)
  local head = frame.head(#body, chunk, 0, n, what, layout, seconds)
  if #body < 4096 then return socket:write(head .. body) end
  return socket:write(head, body)
end

-- The error of an item, in a form that can be sent: the value itself where that is possible.
local Caught = {}

local function caught(err)
  local text = type(err) == "string" and err or tostring(err)
  local traceback = debug.traceback("", 3):gsub("^(\nstack traceback:)\n\t%[C%]: in function 'error'", "%1")
  local ours = traceback:find("\n[^\n]*lipc/pool/%l+%.lua:") -- what is before is the user's
  local c = { text = text, traceback = text .. (ours and traceback:sub(1, ours - 1) or traceback) }
  if type(err) ~= "string" and not msgpack.why(err, "") then c.value = err end
  return setmetatable(c, Caught)
end

local function handler(err)
  if getmetatable(err) == Caught then return err end
  local c = caught(err) -- no tail call: the levels count
  return c
end

-- A function that gave nil and a message has failed, as everywhere in lipc.
local function failed_by(message, code)
  error(setmetatable({ text = tostring(message), code = type(code) == "string" and code or nil }, Caught), 0)
end

local at = 1 -- which item of the chunk is at work; outside of the loop, which an error ends

local function each(fn, items, first, results, n)
  for i = at, n do
    at = i
    local value, message, code = fn(items[first + i])
    if not value and value == nil and message ~= nil then failed_by(message, code) end -- the cheapest test first
    results[i] = value
  end
end

local function apply(fn, items, first, results)
  local args = items[first + 1]
  local got = tpack(fn(tunpack(args, 1, args.n)))
  if got[1] == nil and got[2] ~= nil then failed_by(got[2], got[3]) end
  results[1] = got
end

local function clear(list, from, to)
  for i = from, to do list[i] = nil end
end

-- Runs a chunk, items[first + 1] to items[first + n]: failed (item -> error) or nil.  results may be items.
local function run(fn, items, first, n, what, results)
  local failed
  at = 1
  repeat
    local ok, err = xpcall(what == "a" and apply or each, handler, fn, items, first, results, n)
    if not ok then
      failed = failed or {}
      failed[at], results[at] = err, nil
      at = at + 1
    end
  until ok or what ~= "c" or at > n
  if failed and what ~= "c" then clear(results, at, n) end
  return failed
end

-- The results as bytes; one that cannot be sent is the failure of its item.
local function pack_results(results, n, failed)
  if not failed then
    local ok, layout, body = pcall(frame.pack_list, results, 1, n)
    if ok then return "r", layout, body end
    failed = {}
  end
  for i = 1, n do
    local bad = msgpack.why(results[i], "result")
    if bad then
      failed[i] = { text = bad .. " cannot be serialised" }
      results[i] = nil
    end
  end
  return "x", "m", msgpack.encode { move(results, 1, n, 1, {}), failed }
end

-- Reads the body of a chunk and runs it, results in the places of items: failed (item -> error) or nil; or false when
-- the pool went away meanwhile.
local function work(socket, find, lists, slots, length, id, n, what, layout)
  local bytes = length > 0 and socket:read(length) or ""
  if #bytes < length then return false end
  local name, from = nil, 1
  if id == 0 then name, from = string.unpack("s4", bytes) end
  local found, fn = pcall(find, id, name)
  if not found then
    local failed = { { text = tostring(fn) } }
    for i = 2, what == "c" and n or 1 do failed[i] = failed[1] end
    clear(slots, 1, n)
    return failed
  end
  if layout == "i" then
    local key, place = frame.referred(bytes, from)
    return run(fn, lists[key], place - 1, n, what, slots)
  end
  frame.unpack_list(layout, bytes, from, length, slots, 1, n)
  return run(fn, slots, 0, n, what, slots)
end

local function begin(start)
  local value, message, code = start()
  if value == nil and message ~= nil then failed_by(message, code) end
end

-- The main function of a worker: find(id, name) gives the function of a chunk; lists has the items of calls that were
-- there at the fork; start() is called first, and its failure, which is reported, ends the worker.
local function main(socket, find, lists, start)
  local ok, err = xpcall(begin, handler, start)
  if not ok then
    send(socket, 0, 0, "f", "m", msgpack.encode { text = err.text, code = err.code, traceback = err.traceback }, 0)
    return 1
  end
  send(socket, 0, 0, "i", "m", "", 0)
  local slots = frame.room(KEPT)
  while true do
    local head = socket:read(frame.SIZE)
    if not head or #head < frame.SIZE then return 0 end
    local t = now()
    local length, chunk, id, n, what, layout = frame.parse(head)
    if n > KEPT then slots = frame.room(n) end
    local failed = work(socket, find, lists, slots, length, id, n, what, layout)
    if failed == false then return 0 end
    local kind, form, body = pack_results(slots, n, failed)
    if n > KEPT or form ~= "l" or #body > 16 * n then slots = frame.room(KEPT) end
    pcall(flush, io.stdout) -- what was written comes before the results; it may be closed
    if not send(socket, chunk, n, kind, form, body, now() - t) then return 1 end
  end
end

-- A worker that was started as a program: its socket is descriptor 3, its functions are those of the module.
local function program(module, init, number)
  local socket = ipc.socket.fromfd(3)
  local functions
  local function find(_, name)
    local fn = functions[name]
    if type(fn) ~= "function" then error(("module '%s' has no function '%s'"):format(module, name), 0) end
    return fn
  end
  main(socket, find, {}, function()
    functions = require(module)
    if type(functions) ~= "table" then error(("module '%s' is not a table"):format(module), 0) end
    if init ~= "" then return find(0, init)(number) end
  end)
end

return { main = main, program = program }
