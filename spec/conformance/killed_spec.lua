-- Holders of locks and semaphores, killed by SIGKILL at random instants: what the kernel gives back is
-- free at once for the next one, and what it does not give back stays taken, as the API text says.
local names = require "support.names"
local child = require "support.child"

-- a fork costs a hundred times as much with a sanitizer's or valgrind's memory
local ROUNDS = ({ asan = 1000, valgrind = 50 })[os.getenv "LIPC_SPEC_MODE"] or 10000

-- The nursery: forks a holder for each round, kills it, looks.  A process of its own, because what forks ten
-- thousand times should be small.
local nursery = [[
local ipc = require "lipc"
local rounds, seed, path, name = tonumber(arg[1]), tonumber(arg[2]), arg[3], arg[4]
math.randomseed(seed)

-- What the holder says of itself: a byte, 1 while it is inside.
local mark = assert(ipc.sysv.shm.open("private", { size = 8, create = true, unlink = true }))
assert(mark:attach())

-- open() -> a table with lock(), unlock() in the process that calls it.  gives: the kernel gives it back when the
-- holder dies; else repair() does.
local kinds = {}

local function file_lock(more)
  return function()
    local f = assert(ipc.flock.open(path))
    local l = more and f:range(more.start, 10, { posix = more.posix }) or f
    return {
      lock = function(timeout) return l:lock("exclusive", timeout) end,
      unlock = function() return l:unlock() end,
      close = function() f:close() end,
    }
  end
end
kinds.flock = { gives = true, open = file_lock() }
kinds["range of an open file description"] = { gives = true, open = file_lock { start = 0 } }
kinds["record lock of a process"] = { gives = true, open = file_lock { start = 100, posix = true } }

local set = assert(ipc.sysv.sem.open("private", { nsems = 2, create = true, initial = 1, unlink = true }))
local id = set:id()
local function of_set(num, undo)
  return function()
    local s = assert(ipc.sysv.sem.fromid(id))
    return {
      lock = function(timeout) return s:wait(num, { undo = undo, timeout = timeout }) end,
      unlock = function() return s:post(num, { undo = undo }) end,
      close = function() s:close() end,
    }
  end
end
kinds["semop with SEM_UNDO"] = { gives = true, open = of_set(1, true) }
kinds["semop"] = { open = of_set(2, false), repair = function() assert(set:setval(2, 1)) end }

local named = assert(ipc.semaphore.open(name, { create = true, exclusive = true, initial = 1, unlink = true }))
kinds["POSIX semaphore"] = {
  open = function()
    local s = assert(ipc.semaphore.open(name))
    return {
      lock = function(timeout) return s:wait(timeout) end,
      unlock = function() return s:post() end,
      close = function() s:close() end,
    }
  end,
  repair = function() assert(named:post()) end,
}

-- A kill is noticed at the end of a system call, as a rule: the section is made of some.
local function hold(kind)
  local l, data = kind.open(), assert(io.open(path .. ".data", "w"))
  data:setvbuf "no"
  while true do
    assert(l.lock())
    mark:write(0, "\1")
    for i = 1, 8 do data:write(i) end
    data:seek "set"
    mark:write(0, "\0")
    assert(l.unlock())
  end
end

local order = {}
for what in pairs(kinds) do order[#order + 1] = what end
table.sort(order)
local hits, tried = {}, {}
for round = 1, rounds do
  local what = order[math.random(#order)]
  local kind = kinds[what]
  mark:write(0, "\0")
  local p <close> = assert(ipc.process.fork(function() hold(kind) end))
  local patience = ipc.now() + 60
  while mark:read(0, 1) == "\0" do assert(ipc.now() < patience and not p:wait(0), "the holder does not begin") end
  local instant = ipc.now() + math.random() * 200e-6
  while ipc.now() < instant do end
  assert(p:kill "KILL")
  assert(assert(p:wait(60)).signal == "SIGKILL")
  local inside = mark:read(0, 1) == "\1"
  tried[what] = (tried[what] or 0) + 1
  if inside then hits[what] = (hits[what] or 0) + 1 end
  local l = kind.open()
  local ok, message, code = l.lock(0)
  if inside and not kind.gives then
    if ok then error(("round %d: %s was given back, against what is written"):format(round, what)) end
    assert(code == "ETIMEDOUT", message)
    kind.repair()
  elseif kind.gives then
    if not ok then error(("round %d: %s stays taken: %s"):format(round, what, message)) end
    assert(l.unlock())
  elseif ok then -- outside of the section, or between the lock and the mark
    assert(l.unlock())
  else
    assert(code == "ETIMEDOUT", message)
    kind.repair()
  end
  l.close()
end
for _, what in ipairs(order) do print(("%s\t%d\t%d"):format(what, hits[what] or 0, tried[what] or 0)) end
print "done"
]]

describe("a holder that is killed", function()
  it(("leaves free what the kernel gives back, in %d rounds"):format(ROUNDS), function()
    local seed = tonumber(os.getenv "SEED") or string.unpack("I3", assert(io.open("/dev/urandom", "rb")):read(3))
    local path, name = names.path(), "/" .. names.new()
    assert(io.open(path, "w")):close()
    local p, finish = child.lua(nursery, ROUNDS, seed, path, name)
    local output, hits, rounds = {}, 0, 0
    for line in p:lines() do
      output[#output + 1] = line
      local hit, tried = line:match "\t(%d+)\t(%d+)$"
      if hit then
        hits, rounds = hits + tonumber(hit), rounds + tonumber(tried)
        -- of each kind enough were hit where it matters
        assert.is_true(tonumber(hit) >= 0.2 * tonumber(tried), ("seed %d: %s"):format(seed, line))
      end
    end
    local ok, rest = finish()
    os.remove(path)
    os.remove(path .. ".data")
    assert.is_true(ok, ("seed %d: %s\n%s"):format(seed, table.concat(output, "\n"), rest))
    assert.equal("done", output[#output])
    assert.equal(ROUNDS, rounds)
    print(("killed_spec: seed %d, %d of %d kills inside the critical section"):format(seed, hits, rounds))
  end)
end)
