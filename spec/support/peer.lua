-- Other processes for specs: Lua scripts and shell commands, started at once, their standard output
-- read by the spec.  What waits for them is always a read to the end of that output.
--   local p = peer.lua([[print(arg[1])]], "x")    assert.equal("x\n", p:read "a")    p:close()
local names = require "support.names"

local peer = {}

local function quote(s)
  return "'" .. tostring(s):gsub("'", "'\\''") .. "'"
end
peer.quote = quote

-- sh(command[, mode]) -> file, as of io.popen.  A test that fails leaves its peer waiting for something
-- that never comes, and collecting the file would wait for the peer: so each has a limit.
function peer.sh(command, mode)
  return assert(io.popen("exec timeout --foreground 300 sh -c " .. quote(command), mode or "r"))
end

-- The command line that runs a script with the module in reach; the script removes its own file.
function peer.command(text, ...)
  local path = names.path ".lua"
  local f = assert(io.open(path, "w"))
  f:write("os.remove(arg[0]) local ipc = require 'lipc' local _ = ipc\n", text)
  f:close()
  local words = { os.getenv "LUA" or "lua5.4", path }
  for i = 1, select("#", ...) do words[#words + 1] = quote((select(i, ...))) end
  return table.concat(words, " ")
end

-- lua(text, ...) -> file: the script's output; its errors are in there too
function peer.lua(text, ...)
  return peer.sh(peer.command(text, ...) .. " 2>&1")
end

-- run(text, ...) -> output, true | nil, "exit" | "signal", number: to its end
function peer.run(text, ...)
  local p = peer.lua(text, ...)
  local out = p:read "a"
  return out, p:close()
end

-- example(name, ...) -> its output, true | nil, "exit" | "signal", number
function peer.example(name, ...)
  local words = { os.getenv "LUA" or "lua5.4", "examples/" .. name .. ".lua" }
  for i = 1, select("#", ...) do words[#words + 1] = quote((select(i, ...))) end
  local p = peer.sh(table.concat(words, " ") .. " 2>&1")
  local out = p:read "a"
  return out, p:close()
end

-- The same of one that ends well: what it printed.
function peer.shown(name, ...)
  local out, ok = peer.example(name, ...)
  if not ok then error(out, 2) end
  return out
end

-- fdflags(fd[, pid]) -> the flags that open(2) and fcntl(2) have set on a descriptor
function peer.fdflags(fd, pid)
  for line in io.lines(("/proc/%s/fdinfo/%d"):format(pid or "self", fd)) do
    local flags = line:match "^flags:%s*(%d+)"
    if flags then return tonumber(flags, 8) end
  end
end

return peer
