-- Message queues: made, opened, written, read, listed, removed.
local ipc = require "lipc"
local adopt = require "support.adopt"
local names = require "support.names"
local name = "/" .. names.new()
local function try(ok, message, code, ...)
  if not ok and code == "ENOMEM" then error("not enough memory", 0) end
  return ok, message, code, ...
end
local function run()
  local q <close> = try(ipc.mqueue.open(name, { create = true, exclusive = true, unlink = true, maxmsg = 3, msgsize = 64 }))
  local w <close> = try(ipc.mqueue.open(name, { access = "w" }))
  try(w:send("one", { priority = 3 }))
  w:send(("x"):rep(65))
  local data, priority = try(q:receive(1))
  assert(data == "one" and priority == 3)
  try(q:receive(0.001))
  local long = ("long"):rep(16)
  try(w:send(long))
  local ok, got = pcall(q.receive, q, 1)
  if not ok then got = try(q:receive(0)) end -- it was not lost
  assert(got == long)
  assert(try(q:getattr()).maxmsg == 3)
  try(q:setattr { nonblock = true })
  assert(try(q:stat()).type == "mqueue")
  try(q:notify("SIGURG", { value = 5 }))
  try(w:notify "SIGURG")
  try(q:notify())
  try(ipc.mqueue.list())
  local again <close> = adopt(ipc.mqueue.fromfd, q:fd())
  tostring(again)
  try(ipc.mqueue.unlink(name))
  try(ipc.mqueue.open(name))
end
local ok, message = pcall(run)
collectgarbage()
if not ok then error(message, 0) end
