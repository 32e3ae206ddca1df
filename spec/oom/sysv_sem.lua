-- System V semaphore sets: made, found, each operation, removed.
local ipc = require "lipc"
local sem = ipc.sysv.sem
local key = 0x6c000000 | (ipc.signal.getpid() & 0xffffff)
local function try(ok, message, code, ...)
  if not ok and code == "ENOMEM" then error("not enough memory", 0) end
  return ok, message, code, ...
end
local function run()
  do
    local s <close> = try(sem.open(key, { create = true, unlink = true, initial = { 1, 0, 5 } }))
    local again <close> = try(sem.open(key, { create = true, initial = 1, nsems = 1 }))
    local byid <close> = try(sem.fromid(s:id(), { undo = true }))
    assert(s:wait(1) and byid:post(1) and s:key() == key)
    assert(again:wait(3, { n = 2, undo = true, timeout = 0 }) and again:post(3, { n = 2, undo = true }))
    assert(s:zero(2))
    assert(s:op { { num = 1, op = -1 }, { num = 2, op = 0 }, { num = 1, op = 1, undo = true } })
    local ok, _, code = s:op({ { num = 1, op = -1 }, { num = 2, op = -1, nowait = true } }, 0.001)
    assert(not ok and code == "EAGAIN")
    ok, _, code = s:wait(2, 0.001)
    assert(not ok and code == "ETIMEDOUT")
    ok, _, code = s:post(3, { n = 32767 })
    assert(not ok and code == "ERANGE")
    local held, message = pcall(s.with, s, 3, function() assert(s:getval(3) == 4) return tostring(s) end, 1)
    assert(s:getval(3) == 5)
    if not held then error(message, 0) end
    assert(s:setval(2, 3) and s:setall(s:getall()))
    assert(#s == 3 and s:getncnt(1) == 0 and s:getzcnt(1) == 0 and s:getpid(1) > 0)
    assert(s:set { mode = 384 } and s:stat().mode == 384)
  end
  local private <close> = try(sem.open("private", { unlink = true }))
  assert(private:remove())
end
local ok, message = pcall(run)
collectgarbage()
collectgarbage()
if not ok then error(message, 0) end
