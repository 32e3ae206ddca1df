-- FIFOs: made, opened in each way, waited for, removed.
local ipc = require "lipc"
local adopt = require "support.adopt"
local names = require "support.names"
local path = names.path()
local function try(ok, message, code, ...)
  if not ok and code == "ENOMEM" then error("not enough memory", 0) end
  return ok, message, code, ...
end
local function run()
  try(ipc.fifo.make(path, { mode = 384 }))
  try(ipc.fifo.make(path))
  try(ipc.fifo.open(path, "r", { timeout = 0.001 }))
  try(ipc.fifo.open(path, "w", { timeout = 0.001 }))
  try(ipc.fifo.unlink(path))
  local r <close> = try(ipc.fifo.open(path, "r", { create = true, unlink = true, keep = true }))
  local w <close> = try(ipc.fifo.open(path, "w", { timeout = 1 }))
  w:settimeout(1)
  r:settimeout(1)
  try(w:waitpeer())
  try(w:write "line\n")
  try(r:waitpeer())
  assert(try(r:read()) == "line")
  local both <close> = try(ipc.fifo.open(path, "rw"))
  try(both:write "x")
  local again <close> = adopt(ipc.fifo.fromfd, both:fd())
  tostring(again)
end
local ok, message = pcall(run)
collectgarbage()
os.remove(path)
if not ok then error(message, 0) end
