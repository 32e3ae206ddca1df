-- Locks on files: every constructor and method.
local ipc = require "lipc"
local adopt = require "support.adopt"
local names = require "support.names"
local path, pidfile = names.path(), names.path()
local function try(ok, message, code, ...)
  if not ok and code == "ENOMEM" then error("not enough memory", 0) end
  return ok, message, code, ...
end
local function run()
  local f <close> = try(ipc.flock.open(path, { create = true }))
  local g <close> = try(ipc.flock.open(path, { access = "r", mode = 384 }))
  assert(try(f:lock "shared"))
  try(g:lock("exclusive", 0.001))
  try(g:trylock "exclusive")
  try(g:test "exclusive")
  assert(f:held() == "shared")
  try(f:unlock())
  local ok, what = try(f:with("exclusive", function() return 1, "two" end))
  assert(ok == 1 and what == "two")
  assert(f:held() == false)
  local r <close> = f:range(0, 10)
  local p <close> = f:range(20, nil, { posix = true })
  assert(try(r:lock("exclusive", 1)))
  assert(try(p:lock "exclusive"))
  local theirs <close> = g:range(0)
  try(theirs:test "shared")
  try(theirs:lock("shared", 0.001))
  tostring(r)
  local again <close> = adopt(ipc.flock.fromfd, f:fd())
  local lent <close> = try(ipc.flock.of(f))
  assert(again:held() ~= nil)
  try(lent:lock "exclusive")
  try(ipc.flock.open "/nonexistent/x")
  local lock <close> = try(ipc.flock.lockfile(pidfile, { timeout = 0.001 }))
  assert(lock:stale() == false)
  try(ipc.flock.lockfile(pidfile))
  try(ipc.flock.holder(pidfile))
end
local ok, message = pcall(run)
collectgarbage()
os.remove(path)
os.remove(pidfile)
if not ok then error(message, 0) end
