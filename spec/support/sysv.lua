-- Keys, peers and the moments of waiting for the specs of System V objects.
local ipc = require "lipc"
local peer = require "support.peer"

local sysv = {}

local random = assert(io.open("/dev/urandom", "rb"))

-- key() -> a key that nobody else has, as an unsigned number
function sysv.key()
  local key = string.unpack("I4", random:read(4))
  return key > 0xff and key or sysv.key()
end

-- output(command) -> what it prints; it must succeed
function sysv.output(command)
  local p = peer.sh(command .. " 2>&1")
  local out = p:read "a"
  assert(p:close(), out)
  return out
end

-- twin(...) -> what build/host/sysvtwin prints
function sysv.twin(...)
  local words = { "build/host/sysvtwin" }
  for _, word in ipairs { ... } do words[#words + 1] = peer.quote(word) end
  return sysv.output(table.concat(words, " "))
end

-- python(script, ...) -> what it prints.  Debian's module sysv_ipc is for Debian's Python
function sysv.python(script, ...)
  local words = { "/usr/bin/python3 -c", peer.quote("import sys, sysv_ipc\n" .. script) }
  for _, word in ipairs { ... } do words[#words + 1] = peer.quote(word) end
  return sysv.output(table.concat(words, " "))
end

-- strace(options, script, ...) -> what the script prints; no look for leaks, which is a tracer too
function sysv.strace(options, script, ...)
  return sysv.output(("ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 strace %s %s"):format(options, peer.command(script, ...)))
end

-- The list of a kind, by id.
function sysv.byid(kind)
  local found = {}
  for _, o in ipairs(assert(ipc.sysv.list(kind))) do found[o.id] = o end
  return found
end

-- A script in an IPC name space of its own, after these shell commands: what it prints; nil where nobody may.
function sysv.namespace(setup, text)
  for _, how in ipairs { "-i", "-ri" } do
    if os.execute(("unshare %s sh -c 'sysctl -q -w kernel.msgmni=9' 2>/dev/null"):format(how)) then
      return sysv.output(("unshare %s sh -c %s"):format(how, peer.quote(setup .. "\n" .. peer.command(text))))
    end
  end
end

return sysv
