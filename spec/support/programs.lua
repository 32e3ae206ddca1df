-- Programs and Lua scripts that specs of processes run.
local ipc = require "lipc"
local names = require "support.names"
local process = ipc.process

local programs = {}

programs.lua = os.getenv "LUA" or "lua5.4"

function programs.slurp(path)
  local f = assert(io.open(path))
  local s = f:read "a"
  f:close()
  return s
end

-- What a program writes to its standard output, and how it ended.
function programs.output(spec)
  spec.stdout = "pipe"
  local p <close> = assert(process.spawn(spec))
  return p.stdout:read "a", assert(p:wait(60))
end

function programs.sh(script, spec)
  spec = spec or {}
  spec[1], spec[2], spec[3] = "sh", "-c", script
  return programs.output(spec)
end

-- Runs a Lua script in a process of its own, where these signals are ignored: what it printed.
function programs.script(text, ignored)
  local path = names.path ".lua"
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
  local out, status = programs.output {
    "env", "--ignore-signal=" .. (ignored or "USR2"), programs.lua, path, stderr = "stdout",
  }
  os.remove(path)
  return out, status
end

-- Waits until f() is true; the deadline is only for what is broken.
function programs.eventually(f)
  local deadline = ipc.now() + 60
  while not f() do
    assert(ipc.now() < deadline, "it never became true")
    ipc.sleep(0.002)
  end
end

-- Whether a process does not run any more (its status may not be taken yet).
function programs.gone(pid)
  local f = io.open("/proc/" .. pid .. "/stat")
  if not f then return true end
  local s = f:read "a"
  f:close()
  return s:match "%) (%a)" == "Z"
end

return programs
