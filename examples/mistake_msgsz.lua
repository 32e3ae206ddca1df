-- A mistake: counting the type in the size of a System V message.  lua mistake_msgsz.lua
-- msgsnd(2) wants the size of what comes behind the type.  A program that gives it sizeof of its whole struct sends
-- eight bytes too many, from behind the struct; two such programs understand each other, and nobody notices.
local ipc = require "lipc"
local python = [[
import ctypes, struct, sys
data = struct.pack("l5s8x", 1, b"hello")
libc = ctypes.CDLL(None, use_errno=True)
libc.msgsnd(int(sys.argv[1]), data, 8 + 5, 0)   # the mistake: 5 is right
]]

local q <close> = assert(ipc.sysv.msg.open("private", { unlink = true }))
local function send() assert(ipc.process.spawn { "/usr/bin/python3", "-c", python, tostring(q:id()) }):wait(60) end

send()
print("max = 5: " .. select(2, q:receive(1, { max = 5 })):gsub("^.-: ", "")) -- who knows the size is told
local data = q:receive(1)
print(("received: %d bytes, %q"):format(#data, data:gsub("%z", ".")))
assert(q:send(1, "hello")) -- lipc counts the bytes of the string and nothing else
print("sent by lipc: " .. q:stat().cbytes .. " bytes")
