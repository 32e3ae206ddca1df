-- A semaphore set: forks and philosophers.  Each needs two forks, and takes both at one moment or none, so that nobody waits
-- for ever with one in the hand; and one who is killed while eating drops what he holds: undo.
-- lua sysv_sem.lua [philosophers] [meals]
local ipc = require "lipc"
local n, meals = tonumber(arg[1] or 5), tonumber(arg[2] or 20)

-- Forks 1 to n, and the semaphore n + 1, which counts meals.
local initial = {}
for i = 1, n do initial[i] = 1 end
initial[n + 1] = 0
local set = assert(ipc.sysv.sem.open("private", { initial = initial, unlink = true }))

local function dine(me)
  local left, right = me, me % n + 1
  for _ = 1, meals do
    assert(set:op({
      { num = left, op = -1, undo = true },
      { num = right, op = -1, undo = true },
    }, 60))
    ipc.sleep(0.0005)
    assert(set:op {
      { num = left, op = 1, undo = true },
      { num = right, op = 1, undo = true },
      { num = n + 1, op = 1 },
    })
  end
end

local children = {}
for me = 1, n do children[me] = assert(ipc.process.fork(function() dine(me) end)) end
for _, child in ipairs(children) do assert(child:wait()) end
print(("%d meals, forks on the table: %s"):format(set:getval(n + 1), table.concat(set:getall(), " ", 1, n)))

-- One who never stops eating, until he is killed: the kernel gives his forks back.
local glutton = assert(ipc.process.fork(function()
  set:with(1, function()
    set:post(n + 1)
    ipc.sleep(1000)
  end)
end))
assert(set:wait(n + 1, { n = n * meals + 1, timeout = 60 })) -- he has his fork
assert(set:getval(1) == 0)
glutton:kill "SIGKILL"
glutton:wait()
assert(set:wait(1, 60))
print "the fork of the one who was killed is back"
set:remove()
