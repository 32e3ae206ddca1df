-- Shared memory objects and mapped files: opened in each way, used, resized, sealed, passed on, removed.
local ipc = require "lipc"
local adopt = require "support.adopt"
local names = require "support.names"
local name, path = "/" .. names.new(), names.path()
local function try(ok, message, code, ...)
  if not ok and code == "ENOMEM" then error("not enough memory", 0) end
  return ok, message, code, ...
end
local function run()
  do
    local s <close> = try(ipc.shm.open(name, { create = true, size = 100, unlink = true, init = function(m)
      m:write(0, "whole")
    end }))
    local again <close> = try(ipc.shm.open(name, { create = true, size = 100 }))
    assert(again:read(0, 5) == "whole" and #again == 100 and again:read(0, 100):sub(1, 5) == "whole")
    assert(select(3, try(ipc.shm.open(name, { create = true, exclusive = true, size = 1 }))) == "EEXIST")
    assert(select(3, try(ipc.shm.open(name, { size = 200 }))) == "EINVAL")
    assert(try(s:resize(100000)))
    assert(try(again:resize()))
    assert(s:view "u8"[1] == 119)
    assert(s:stat().size == 100000 and #s:stat().seals >= 0)
    assert(try(s:sync()) and try(s:advise "normal") and try(s:lock(0, 1)) and try(s:unlock(0, 1)))
    assert(try(s:resize(0)))
    assert(#tostring(s) > 0)
  end
  assert(select(3, try(ipc.shm.open(name))) == "ENOENT")
  assert(select(3, try(ipc.shm.unlink(name))) == "ENOENT")
  do
    local s <close> = try(ipc.shm.anonymous { size = 100, name = "lipc" })
    assert(select(3, try(s:resize(10))) == "EPERM")
    assert(try(s:seal("write", "grow")))
    local t <close> = adopt(function(fd) return try(ipc.shm.fromfd(fd)) end, s:fd())
    assert(t:stat().readonly)
  end
  do
    local m <close> = try(ipc.mmap.open(path, { create = true, size = 5000 }))
    local part <close> = try(ipc.mmap.open(path, { offset = 4990, private = true }))
    assert(part:write(0, "x") and m:read(4990, 1) == "\0")
    local f <close> = adopt(function(fd) return try(ipc.mmap.fromfd(fd)) end, m:fd())
    assert(#f == 5000)
    local a <close> = try(ipc.mmap.anonymous(100))
    assert(select(3, try(a:resize(200))) == "ENOTSUP")
  end
end
local ok, message = pcall(run)
collectgarbage()
os.remove("/dev/shm" .. name)
os.remove(path)
if not ok then error(message, 0) end
