-- ipc.admin: objects listed, asked who uses them, and removed.
local ipc = require "lipc"
local names = require "support.names"
local stem = names.new()
local function try(ok, message, code, ...)
  if not ok and code == "ENOMEM" then error("not enough memory", 0) end
  return assert(ok, message), message, code, ...
end
local pattern = stem:gsub("%-", "%%-")
local dir = try(ipc.socket.runtimedir())
local shm, socket, fifo = "/dev/shm/" .. stem, dir .. "/" .. stem .. "-s", dir .. "/" .. stem .. "-f"
local q <close> = try(ipc.sysv.msg.open("private", { unlink = true }))
local set <close> = try(ipc.sysv.sem.open("private", { unlink = true, nsems = 2 }))
local function run()
  try(io.open(shm, "w")):close()
  local _ <close> = try(ipc.socket.listen { path = socket })
  try(ipc.fifo.make(fifo))
  local list = try(ipc.admin.list { name = pattern, kind = { "shm", "socket", "fifo" }, users = true })
  assert(#list == 3)
  assert(#try(ipc.admin.list { kind = { "sysv.msg", "sysv.sem" }, users = true }) >= 2)
  try(ipc.admin.list { kind = { "sysv.shm", "mqueue" }, all = true })
  local removed, kept = try(ipc.admin.remove { entries = list, age = 0 })
  assert(#removed >= 1 and removed[1].kind == "shm" and kept[1].kind == "socket")
  local found = {}
  for _, e in ipairs(try(ipc.admin.list { kind = { "sysv.msg", "sysv.sem" } })) do
    if e.id == q:id() or e.id == set:id() then found[#found + 1] = e end
  end
  removed = try(ipc.admin.remove { entries = found, force = true })
  assert(#removed >= 2)
end
local ok, message = pcall(run)
for i = 1, 3 do -- needs no memory; what is not there does
  pcall(os.remove, i == 1 and shm or i == 2 and socket or fifo)
end
if not ok then error(message, 0) end
