-- Programs and Lua scripts that specs of processes run.
local ipc = require "lipc"
local names = require "support.names"
local probe = require "support.probe"
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

-- The same with the whole thread standing still: what runs in it and has a deadline is late for that.
function programs.standing(f)
  local deadline = probe.now() + 60
  while not f() do
    assert(probe.now() < deadline, "it never became true")
    probe.pause(0.002)
  end
end

-- input(path) -> a function for the option `input`, which gives none, but not before there is a line in the file: a
-- deadline that has passed by then is looked at after that.
function programs.input_after(path)
  return function()
    programs.standing(function()
      local f <close> = io.open(path)
      return f and f:read "L"
    end)
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
