-- Shared memory and mapped files with programs not written in Lua: Python's multiprocessing.shared_memory, C, coreutils,
-- ipcs; and where /dev/shm is full.
local ipc = require "lipc"
local names = require "support.names"
local peer = require "support.peer"

local shm = ipc.shm

local function out_of(command)
  local p = peer.sh(command)
  local out = p:read "a"
  return out, p:close()
end

describe("shared memory", function()
  local name, path

  before_each(function()
    name = "/" .. names.new()
    path = "/dev/shm" .. name
  end)
  after_each(function() shm.unlink(name) end)

  -- Python, a line at a time; its tracker would remove what it has only opened.
  local function python(script)
    local file = names.path ".py"
    local f = assert(io.open(file, "w"))
    f:write([[
import os, sys
os.remove(sys.argv[0])
from multiprocessing import resource_tracker, shared_memory
def attach(name):
    s = shared_memory.SharedMemory(name)
    resource_tracker.unregister(s._name, "shared_memory")
    return s
def say(*what):
    print(*what, flush=True)
]], script)
    f:close()
    return file
  end

  it("of lipc is what Python opens", function()
    local s <close> = assert(shm.open(name, { create = true, size = 4000, unlink = true }))
    local v = s:view "i32"
    for i = 1, 1000 do v[i] = i - 1 end
    local out, ok = out_of(("python3 %s %s 2>&1"):format(python [[
import struct
s = attach(sys.argv[1])
numbers = s.buf.cast("i")
say(s.size, sum(numbers))
numbers[7] = -5
numbers.release()
s.buf[100:105] = b"hello"
s.close()]], name:sub(2)))
    assert.equal("4000 499500\n", out)
    assert.is_true(ok)
    assert.same({ -5, "hello" }, { v[8], s:read(100, 5) })
    assert.equal(4000, s:stat().filesize)
  end)

  it("of Python is what lipc opens", function()
    local file = python [[
s = shared_memory.SharedMemory(sys.argv[1], create=True, size=1000)
s.buf[:5] = b"first"
say("made", s.size)
assert sys.stdin.readline() == "written\n"
say(bytes(s.buf[990:1000]).decode())
s.close()
s.unlink()]]
    local fifo = names.path ".fifo"
    assert(ipc.fifo.make(fifo))
    local p = peer.sh(("exec python3 %s %s <%s 2>&1"):format(file, name:sub(2), fifo))
    local to = assert(io.open(fifo, "w"))
    os.remove(fifo)
    assert.equal("made 1000", p:read "l")
    local s <close> = assert(shm.open(name))
    assert.same({ 1000, "first" }, { #s, s:read(0, 5) })
    s:write(990, "0123456789")
    to:write "written\n"
    to:close()
    assert.equal("0123456789\n", p:read "a")
    assert.is_true(p:close())
    assert.equal("ENOENT", select(3, shm.open(name))) -- Python has removed it
    assert.equal("0123456789", s:read(990, 10))
  end)

  it("is the same to a C program", function()
    local s <close> = assert(shm.open(name, { create = true, size = 4096, unlink = true }))
    local v = s:view "i32"
    for i = 1, #v do v[i] = i end
    assert.equal("524800\n", out_of("build/host/shmtwin sum " .. name))
    assert.equal("", out_of(("build/host/shmtwin put %s 4090 'from C' 2>&1"):format(name)))
    assert.equal("from C", s:read(4090, 6))
    local other = "/" .. names.new()
    assert.equal("", out_of(("build/host/shmtwin make %s 5000 2>&1"):format(other)))
    local t <close> = assert(shm.open(other))
    assert.equal(5000, #t)
    local u = t:view "u8"
    for i = 1, 5000, 77 do assert.equal((i - 1) % 251, u[i]) end
    assert.equal("", out_of(("build/host/shmtwin cut %s 10 2>&1"):format(other)))
    assert.equal(9, u[10]) -- the page is there, and zero behind its 10 bytes
    assert.error_matches(function() return u[5000] end, "lost mapping")
    assert.is_true(shm.unlink(other))
  end)

  it("is a file to coreutils", function()
    local s <close> = assert(shm.open(name, { create = true, size = 12, unlink = true }))
    s:write(0, "hello, world")
    assert.equal("hello, world", out_of("cat " .. path))
    assert.equal("600 12\n", out_of("stat -c '%a %s' " .. path))
    assert.equal(" 68 65 6c 6c 6f\n", out_of("od -An -tx1 -N5 " .. path))
    assert.equal("", out_of("printf WORLD | dd of=" .. path .. " bs=1 seek=7 conv=notrunc 2>/dev/null"))
    assert.equal("hello, WORLD", s:read(0, 12))
    assert.equal("", out_of("cp " .. path .. " " .. path .. ".copy"))
    local copy <close> = assert(shm.open(name .. ".copy"))
    assert.equal("hello, WORLD", copy:read(0, 12))
    assert.is_true(shm.unlink(name .. ".copy"))
  end)

  it("is what a System V segment has too, under the same views, with ipcs looking on", function()
    local s <close> = assert(ipc.sysv.shm.open("private", { size = 4000, unlink = true }))
    assert.error_matches(function() s:view "i32" end, "segment is not attached")
    assert(s:attach())
    local v = s:view("i32", 4, 10)
    v[1] = 77
    v:add(1, 1)
    assert.equal(78, string.unpack("i4", s:read(4, 4)))
    local function ipcs() return (out_of("ipcs -m -i " .. s:id())) end
    assert.matches("bytes=4000", ipcs())
    assert.matches("nattch=1", ipcs())
    assert(s:detach())
    assert.error_matches(function() return v[1] end, "closed mapping")
    assert.matches("nattch=0", ipcs())
    assert(s:attach { readonly = true })
    assert.equal(78, v[1])
    assert.error_matches(function() v[1] = 1 end, "read%-only")
  end)

  -- In a name space of its own, whose /dev/shm has 1 MiB.
  local function small(script)
    local out
    for _, unshare in ipairs { "unshare -rm", "unshare -m" } do
      out = out_of(("%s sh -c %s 2>&1"):format(unshare, peer.quote(
        "mount -t tmpfs -o size=1m none /dev/shm && exec " .. peer.command(script))))
      if not out:find "^unshare:" then return out end
    end
    pending "no name spaces for this user"
  end

  it("that is full says so when it is made, or when it is used", function()
    local out = small [[
      local function try(...) print(select(2, ...), (select(3, ...))) end
      try(ipc.shm.open("/big", { create = true, size = 2 << 20 }))
      local half = assert(ipc.shm.open("/half", { create = true, size = 700 << 10 }))
      try(ipc.shm.open("/other", { create = true, size = 700 << 10, init = error }))
      try(half:resize(2 << 20))
      assert(#half == 700 << 10 and half:write((700 << 10) - 1, "x"))
      local sparse = assert(ipc.shm.open("/sparse", { create = true, size = 1 << 20, reserve = false }))
      assert(sparse:write(0, ("x"):rep(100 << 10)))
      print(select(2, pcall(sparse.write, sparse, 0, ("x"):rep(1 << 20))))
      print(select(2, pcall(sparse.read, sparse, 0, 1)))
      assert(sparse:stat().lost and not half:stat().lost)
      sparse:close()
      assert(ipc.shm.unlink "/sparse")
      local full = assert(ipc.shm.open("/full", { create = true, size = 324 << 10 }))
      local none = assert(ipc.shm.open("/none", { create = true, size = 100, reserve = false })) -- not one page is left
      print(select(2, pcall(none.write, none, 0, "x")))
      try(ipc.semaphore.open("/s", { create = true }))
      full:close()
      local list = io.popen "ls /dev/shm":read "a"
      print((list:gsub("%s+", " ")))]]
    local room = "No space left on device (/dev/shm has 1024 KiB, of which %d are free: mount -o remount,size=...)\tENOSPC"
    local lost = "lost mapping: its file was cut off by another process, or its file system is full"
    local lines = {}
    for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal("shm.open /big: " .. room:format(1024), lines[1])
    assert.equal("shm.open /other: " .. room:format(324), lines[2])
    assert.equal("shm:resize /half: " .. room:format(324), lines[3])
    assert.is_truthy(lines[4]:find(lost, 1, true), out)
    assert.is_truthy(lines[5]:find(lost, 1, true), out)
    assert.is_truthy(lines[6]:find(lost, 1, true), out)
    assert.matches("^semaphore.open /s: No space left", lines[7])
    assert.equal("full half none ", lines[8])
  end)

  it("is made whole where no file can be without a name", function()
    local file = peer.command([[
      local probe = require "support.probe"
      if not probe.deny "tmpfile" then return print "cannot" end
      local function list() return (io.popen("ls -A /dev/shm | grep -c '^[.]lipc-'"):read "a") end
      local name, seen = arg[1], nil
      local s = assert(ipc.shm.open(name, { create = true, size = 10, init = function(new)
        seen = os.rename("/dev/shm" .. name, "/dev/shm" .. name)
        new:write(0, "whole")
      end }))
      print(s:read(0, 5), seen, list())
      print(select(3, ipc.shm.open(name, { create = true, exclusive = true, size = 10 })))
      print(#assert(ipc.shm.open(name, { create = true, size = 10, init = error })))
      assert(ipc.shm.unlink(name))
      print((pcall(ipc.shm.open, name, { create = true, size = 10, init = error })))
      collectgarbage()
      print(ipc.shm.open(name))
      local other <close> = assert(ipc.shm.open(name, { create = true, size = 1, unlink = true }))
      print(list())]], name)
    local out = out_of("unshare -m sh -c " .. peer.quote("mount -t tmpfs none /dev/shm && exec " .. file) .. " 2>&1")
    if out == "cannot\n" or out:find "^unshare:" then pending "no filter of system calls, or no name spaces, here" end
    assert.equal(("whole\tnil\t0\n\nEEXIST\n10\nfalse\nnil\tshm.open %s: No such file or directory\tENOENT\n0\n\n")
      :format(name), out)
  end)
end)
