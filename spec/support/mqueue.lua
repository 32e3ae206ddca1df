-- Queues for specs: names that are gone after each test, and the twin in C (spec/mqueue/twin.c).
--   local mq = require "support.mqueue"    mq.watch()    at the top of a describe
local ipc = require "lipc"
local names = require "support.names"
local peer = require "support.peer"

local mq = {}
local path, used

-- Makes the name; whatever queue has it is removed after the test.
function mq.name()
  local name = "/" .. names.new()
  used[#used + 1] = name
  return name
end

-- Keeps a queue, so that it is closed when the test fails too.
function mq.keep(q, ...)
  if q then used[#used + 1] = q end
  return q, ...
end

-- Closes what is kept and removes the names, as happens after each test.
function mq.closeall()
  for _, q in ipairs(used) do
    if type(q) == "string" then ipc.mqueue.unlink(q) else q:close() end
  end
end

-- A new queue, small unless told otherwise.
function mq.new(opts)
  local o = { create = true, exclusive = true, unlink = true, maxmsg = 4, msgsize = 64 }
  for key, value in pairs(opts or {}) do o[key] = value end
  local name = mq.name()
  return mq.keep(assert(ipc.mqueue.open(name, o))), name
end

-- twin(...) -> file, of the running twin
function mq.twin(...)
  local words = { path }
  for i = 1, select("#", ...) do words[i + 1] = peer.quote((select(i, ...))) end
  return peer.sh(table.concat(words, " "))
end

-- twinout(...) -> all that it printed
function mq.twinout(...)
  local p = mq.twin(...)
  local out = p:read "a"
  p:close()
  return out
end

function mq.path() return path end

local unshare -- what makes an IPC and a mount namespace here; false: nothing

-- isolated(script, mount, prefix) -> output: runs a Lua script where there are no queues but its own and its
-- limits are those of anybody, in a name space with another /dev, which has in it what the shell command `mount` puts
-- there; prefix: before the interpreter.  nil: that cannot be done here.  The script's argument is the twin.
function mq.isolated(script, mount, prefix)
  for _, words in ipairs(unshare == nil and { "unshare -rmi", "unshare -mi" } or {}) do
    unshare = not unshare and os.execute(words .. " true 2>/dev/null") and words or unshare or false
  end
  if not unshare then return nil end
  local file = names.path ".lua"
  local f = assert(io.open(file, "w"))
  f:write("local ipc = require 'lipc'\n", script)
  f:close()
  local inside = ("mount -t tmpfs none /dev && { %s; } && exec %s setpriv --bounding-set=-sys_resource,-dac_override,"
    .. "-dac_read_search %s %s %s"):format(mount or ":", prefix or "", os.getenv "LUA", file, path)
  local p = peer.sh(("%s sh -c %s 2>&1"):format(unshare, peer.quote(inside)))
  local out = p:read "a"
  p:close()
  os.remove(file)
  return out
end

mq.mounted = "mkdir /dev/mqueue && mount -t mqueue none /dev/mqueue"

-- hex(s), as the twin writes it
function mq.hex(s) return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

-- For the describe that calls it: setup and teardown of all this.
function mq.watch(env)
  env.setup(function()
    path = names.path()
    local cc = peer.sh(("%s -std=gnu11 -O1 -o %s spec/mqueue/twin.c -lrt 2>&1"):format(os.getenv "CC" or "cc", path))
    local out = cc:read "a"
    if not cc:close() or out ~= "" then error(out) end
  end)
  env.teardown(function() os.remove(path) end)
  env.before_each(function() used = {} end)
  env.after_each(mq.closeall)
end

return mq
