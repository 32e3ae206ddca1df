-- Lua scripts and host programs as processes of their own, for specs.  SPDX-License-Identifier: MIT
local names = require "support.names"

local child = {}

local function quoted(word) return "'" .. tostring(word):gsub("'", "'\\''") .. "'" end

local function written(script)
  local path = names.path ".lua"
  local f = assert(io.open(path, "w"))
  f:write(script)
  f:close()
  return path
end

-- child.lua(script, ...) -> a file that reads what the script prints, and a function that waits for its end:
-- true, or nil and how it ended, and the rest of its output.  The script sees `ready(...)`, which prints a
-- line with its process id and the arguments, and its arguments as `...`.
function child.lua(script, ...)
  local path = written([[
    local function ready(...)
      print(require "lipc".signal.getpid(), ...)
      io.stdout:flush()
    end
  ]] .. script)
  -- the limit is for what should have ended by itself
  local command = { "exec timeout --foreground -s KILL 600", quoted(os.getenv "LUA"), quoted(path) }
  for _, word in ipairs { ... } do command[#command + 1] = quoted(word) end
  local p = assert(io.popen(table.concat(command, " ") .. " 2>&1"))
  return p, function()
    local rest = p:read "a"
    local ok, how, status = p:close()
    os.remove(path)
    return ok, ok and rest or ("%s %s: %s"):format(how, status, rest)
  end
end

-- child.host(name, script | nil, ...) -> ok, output of a program of spec/host
function child.host(name, script, ...)
  local preload = os.getenv "LIPC_SPEC_PRELOAD"
  local path = script and written(script)
  local command = { "exec timeout --foreground -s KILL 600", preload and "env LD_PRELOAD=" .. quoted(preload) or "" }
  command[#command + 1] = "build/host/" .. name
  for _, word in ipairs { path or ..., select(path and 1 or 2, ...) } do command[#command + 1] = quoted(word) end
  local p = assert(io.popen(table.concat(command, " ") .. " 2>&1"))
  local output = p:read "a"
  local ok = p:close()
  if path then os.remove(path) end
  return ok, output
end

-- child.sleeping(pid): returns when the process sleeps in the kernel, in a wait as a rule; or is gone
function child.sleeping(pid)
  local probe = require "support.probe"
  local deadline = probe.now() + 60
  repeat
    local f = io.open(("/proc/%d/stat"):format(pid))
    local state = f and f:read "a":match "%) (%a)"
    if f then f:close() end
    if state ~= "R" and state ~= "D" then return state end
    probe.pause(0.001)
  until probe.now() > deadline
  error(("process %d does not come to rest"):format(pid))
end

return child
