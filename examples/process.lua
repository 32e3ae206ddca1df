-- Programs: run to the end, with input, with a deadline; and one that we keep talking to.
local ipc = require "lipc"
local process = ipc.process

local r = assert(process.run { "tr", "a-z", "A-Z", input = "from Lua, through tr\n" })
io.write(r.stdout)

print(process.run { "sh", "-c", "echo no such luck >&2; exit 3", check = true }) -- nil, message, "EXIT"
print(process.spawn { "no-such-program" }) -- nil, "exec no-such-program: ...", "ENOENT"
print((select(2, process.run { "sleep", "1000", timeout = 0.1 }))) -- killed, with all that it started

local p = assert(process.spawn { "cat", stdin = "pipe", stdout = "pipe", cwd = "/", kill_on_close = true })
p.stdin:write "hello\n"
print(p.stdout:read())
print(p:wait(0)) -- nil, "process:wait cat: timed out", "ETIMEDOUT"
p:kill "TERM"
print(p:wait())
