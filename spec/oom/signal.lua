-- Every constructor and method of signals once.
local ipc = require "lipc"
local signal = ipc.signal

local calls = 0
local on, message, code = signal.on("SIGUSR1", function() calls = calls + 1 end)
if not on then return nil, message, code end
local second = signal.on("SIGUSR1", function() calls = calls + 1 end)
signal.raise "SIGUSR1"
assert(calls == 2)
signal.kill(signal.getpid(), "SIGUSR1")
signal.dispatch()
assert(tostring(on))
assert(on:close() and second:close())

signal.ignore "SIGUSR2"
assert(signal.disposition "SIGUSR2" == "ignore")
signal.default "SIGUSR2"
signal.restore "SIGUSR2"

local set <close>, message, code = signal.set { "SIGUSR2", "SIGRTMIN+1" } -- luacheck: ignore
if not set then return nil, message, code end
assert(signal.sigqueue(signal.getpid(), "SIGRTMIN+1", 5))
assert(signal.tgkill(nil, signal.gettid(), "SIGUSR2"))
assert(#signal.pending() == 2)
local info = assert(set:receive())
assert(info.signal == "SIGUSR2")
assert(set:signals()().value == 5)
local none, text, what = set:receive(0)
assert(none == nil and text and what == "ETIMEDOUT")
local old = signal.block() -- those of the set, which it unblocks
assert(#signal.setmask(old) == #old)
assert(#signal.unblock() == #old)
assert(#signal.list() > 30)
assert(signal.name(signal.number "SIGINT") == "SIGINT")
assert(not pcall(signal.on, "SIGNONE", print))
assert(signal.killpg(0, 0))
assert(ipc.features().kernel)
