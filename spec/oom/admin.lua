-- ipc.admin: objects listed, asked who uses them, and removed.
local ipc = require "lipc"
local names = require "support.names"
local stem = names.new()
local function try(ok, message, code, ...)
  if not ok and code == "ENOMEM" then error("not enough memory", 0) end
  return assert(ok, message), message, code, ...
end
local dir = names.path()
assert(os.execute("mkdir " .. dir))
local q <close> = try(ipc.sysv.msg.open("private", { unlink = true }))
local set <close> = try(ipc.sysv.sem.open("private", { unlink = true, nsems = 2 }))
local function run()
  try(io.open("/dev/shm/" .. stem, "w")):close()
  local l <close> = try(ipc.socket.listen { path = dir .. "/sock" })
  local f = try(ipc.fifo.make(dir .. "/fifo"))
  assert(f)
  local list = try(ipc.admin.list { name = stem:gsub("%-", "%%-"), kind = { "shm", "socket", "fifo" }, users = true, dirs = { dir } })
  assert(#list == 3)
  assert(#try(ipc.admin.list { kind = { "sysv.msg", "sysv.sem", "sysv.shm", "mqueue" }, users = true, all = true }) >= 2)
  local removed, kept = try(ipc.admin.remove { entries = list, age = 0, kind = { "shm", "socket" } })
  assert(#removed == 1 and removed[1].kind == "shm" and #kept == 1)
  removed, kept = try(ipc.admin.remove { entries = list, force = true })
  assert(#removed == 2 and #kept == 1)
  local found = {}
  for _, e in ipairs(try(ipc.admin.list { kind = { "sysv.msg", "sysv.sem" } })) do
    if e.id == q:id() or e.id == set:id() then found[#found + 1] = e end
  end
  removed = try(ipc.admin.remove { entries = found, force = true })
  assert(#removed >= 2)
end
local ok, message = pcall(run)
collectgarbage()
for _, path in ipairs { "/dev/shm/" .. stem, dir .. "/sock", dir .. "/fifo", dir } do os.remove(path) end
if not ok then error(message, 0) end
