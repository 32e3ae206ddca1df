-- Programs that were not written here, as peers of a spec.
--   local p = peers.python([[print("ready", flush=True) ...]], arg ...)   -- sys.argv[1] ...
--   p:read "l"; peers.done(p)   -- reads what is left, checks that it ended well
-- What they print comes through the pipe; that a line has come is the event to wait for.
local names = require "support.names"
local socket = require "lipc".socket

local peers = {}

-- A place where a peer waits until the spec lets it go on: the peer calls wait(name), the spec has
-- gate:accept(20), at first as a sign that the peer is there, and closes what it got.
function peers.gate()
  local name = names.new()
  return assert(socket.listen { abstract = name }), name
end

local function quote(s) return "'" .. tostring(s):gsub("'", "'\\''") .. "'" end

function peers.run(...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = quote((select(i, ...))) end
  return assert(io.popen("exec " .. table.concat(words, " "), "r"))
end

-- The common imports are there, and lines go out at once.
function peers.python(code, ...)
  local head = [[
import array, os, socket, struct, sys
from functools import partial
print = partial(print, flush=True)
sys.stdout.reconfigure(encoding='latin-1')
A = sys.argv[1:]
def wait(name):
    g = socket.socket(socket.AF_UNIX); g.connect('\0' + name); g.recv(1)
]]
  return peers.run("python3", "-c", head .. code, ...)
end

-- A Lua of its own; LUA_PATH and LUA_CPATH are inherited.
function peers.lua(code, ...)
  return peers.run("sh", "-c", "ulimit -n 24; exec \"$@\"", "sh", os.getenv "LUA" or "lua5.4", "-e", code, "-", ...)
end

-- A script in the host of spec/host/sockets.c; ipc and socket are there.
function peers.host(script, ...)
  local path = names.path ".lua"
  local f = assert(io.open(path, "w"))
  f:write("local ipc = require 'lipc'\nlocal socket = ipc.socket\nos.remove '", path, "'\n", script)
  f:close()
  local cpath = os.getenv "LUA_CPATH"
  -- the host is no program of the sanitizer's
  if os.getenv "LIPC_SPEC_MODE" == "asan" then cpath = cpath:gsub("build/asan/lib", "build/lib") end
  return peers.run("sh", "-c", "export LUA_CPATH=\"$1\"; shift; exec build/host/sockets \"$@\" 2>&1", "sh", cpath, path, ...)
end

function peers.done(p)
  local rest = p:read "a"
  local ok, how, code = p:close()
  assert(ok, ("%s %s: %s"):format(how, code, rest))
  return rest
end

return peers
