-- Every constructor and method of processes.
local ipc = require "lipc"
local process = ipc.process

local p <close>, message, code = process.spawn {
  "cat", stdin = "pipe", stdout = "pipe", stderr = { path = "/dev/null" }, env_add = { A = "b", C = false },
  limits = { core = 0 }, cwd = "/", fds = { [5] = 0 }, pgroup = true, kill_on_close = true,
}
if not p then return nil, message, code end
assert(tostring(p):find "cat" and p:pid() > 0)
p.stdin:write "x"
local r
r, message, code = p:communicate("y", { max = 1000 })
if not r then return nil, message, code end
assert(r.stdout == "xy" and tostring(r.status) == "exit 0")

local reader <close>, writer, c1 = ipc.pipe.open()
if not reader then return nil, writer, c1 end
writer:setvbuf "full"
local q <close>, m2, c2 = process.fork(function()
  writer:write "flushed in the end"
  error "x"
end, { kill_on_close = true })
if not q then return nil, m2, c2 end
local s
s, message, code = q:wait()
if not s then return nil, message, code end
assert(s.code == 1)
writer:close()
