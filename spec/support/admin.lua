-- Processes that hold objects, and places of their own, for the specs of ipc.admin.
local ipc = require "lipc"
local names = require "support.names"
local peer = require "support.peer"

local admin = {}
local holders, things = {}, {}

-- hold(words ...) -> process: a program that says "ready" and then reads to the end of its input
function admin.hold(...)
  local p = assert(ipc.process.spawn { stdin = "pipe", stdout = "pipe", ... })
  holders[#holders + 1] = p
  local line = p.stdout:read()
  assert(line == "ready", line)
  return p
end

-- python(script, ...) -> process: the script, then ready
function admin.python(script, ...)
  return admin.hold("python3", "-c", script .. "\nimport sys\nprint('ready', flush=True)\nsys.stdin.read()", ...)
end

-- let(p): lets it end, and waits for that
function admin.let(p)
  p.stdin:close()
  assert(p:wait(60))
end

-- at_end(f): called after the test
function admin.at_end(f) things[#things + 1] = f end

-- A new name of shared memory, and the file behind it; it is gone after the test.
function admin.shm(contents)
  local name = names.new()
  local path = "/dev/shm/" .. name
  admin.at_end(function() os.remove(path) end)
  if contents then
    local f = assert(io.open(path, "w"))
    f:write(contents)
    f:close()
  end
  return "/" .. name, path
end

-- A new directory, gone after the test with all that is in it.
function admin.dir()
  local path = names.path()
  assert(os.execute(("mkdir -m 700 '%s'"):format(path)))
  admin.at_end(function() os.execute(("rm -rf '%s'"):format(path)) end)
  return path
end

-- A pattern for a name and nothing else.
function admin.exactly(name) return "^" .. name:gsub("%p", "%%%0") .. "$" end

-- list(name[, opts]) -> the only entry of that name, or nil
function admin.find(name, opts)
  local o = { name = admin.exactly(name) }
  for key, value in pairs(opts or {}) do o[key] = value end
  local list = assert(ipc.admin.list(o))
  assert(#list <= 1, "several of that name")
  return list[1]
end

-- remove(name[, opts]) -> "removed", or why it stays; nil: there is none
function admin.remove(name, opts)
  local o = { name = admin.exactly(name) }
  for key, value in pairs(opts or {}) do o[key] = value end
  local removed, kept = assert(ipc.admin.remove(o))
  assert(#removed + #kept <= 1, "several of that name")
  return removed[1] and "removed" or kept[1] and kept[1].reason, (removed[1] or kept[1] or {}).message
end

-- isolated(script[, setup[, prefix]]) -> output of a Lua script where there are no objects but its own; nil: that
-- cannot be done here.  setup: shell commands there; prefix: before the interpreter.
local unshare
function admin.isolated(script, setup, prefix)
  for _, words in ipairs(unshare == nil and { "unshare -mipf --mount-proc", "unshare -rmipf --mount-proc" } or {}) do
    unshare = not unshare and os.execute(words .. " true 2>/dev/null") and words or unshare or false
  end
  if not unshare then return nil end
  local inside = "mount -t tmpfs -o mode=1777 none /dev/shm && d=/tmp/lipc-$(id -u) && "
    .. "{ test ! -d $d || mount -t tmpfs -o mode=700 none $d; } && unset XDG_RUNTIME_DIR && export LSAN_OPTIONS=detect_leaks=0\n"
    .. (setup or "") .. "\n" .. (prefix or "") .. " " .. peer.command(script)
  local p = peer.sh(("%s sh -c %s 2>&1"):format(unshare, peer.quote(inside)))
  local out = p:read "a"
  p:close()
  return out
end

-- For the describe that calls it.
function admin.watch(env)
  env.after_each(function()
    local ps, fs = holders, things
    holders, things = {}, {}
    for i = #fs, 1, -1 do fs[i]() end
    for _, p in ipairs(ps) do
      p:kill "SIGKILL"
      p:wait(60)
      p:close()
    end
  end)
end

return admin
