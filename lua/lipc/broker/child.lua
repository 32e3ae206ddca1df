-- child.lua - a broker in a child process; internal.  The child ends when it is told to, and when its parent ends: the kernel
-- sends it SIGTERM then, and a pipe from the parent ends too.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local collector = require "lipc.broker.collector"
local public = require("lipc.broker.listener").public

local forks = require("lipc.core").wait().forks

-- How long a child may take to open its sockets.
local START_SECONDS = 30
-- And to stop, before it is killed.
local STOP_SECONDS = 10

local Handle = {}
Handle.__index = Handle
Handle.__name = "lipc.broker.handle"

local function check(self, name)
  if getmetatable(self) ~= Handle then
    error(("bad argument #1 to '%s' (lipc.broker.handle expected, got %s)"):format(name, type(self)), 3)
  end
end

-- In the child: ends when the parent does.
local function watch_parent(broker, loop, life)
  broker.closers[#broker.closers + 1] = life
  loop:wrap(function ()
    if broker.stopped then return end -- by a signal that came before the first turn
    life:readsome(1)
    broker:stop()
  end)
end

local function be_child(serve, ready, life)
  ipc.signal.ignore "SIGINT" -- a Ctrl-C is the parent's affair
  collector.own()
  local ok, message, code = serve(function (broker, loop)
    watch_parent(broker, loop, life)
    ready:write("ok\n", table.concat(broker:urls(), "\n"), "\n")
    ready:close()
  end)
  if not ok then
    ready:write("failed\n", tostring(code), "\n", message, "\n")
    ready:close()
    return 1
  end
  return 0
end

-- What the child says about its start: its addresses, or nil, message, code.
local function hear(process, ready)
  ready:settimeout(START_SECONDS)
  local said, message, code = ready:read "a"
  if not said then return nil, message, code end
  local result, rest = said:match "^(%l+)\n(.*)$"
  if result == "ok" then
    local urls = {}
    for url in rest:gmatch "[^\n]+" do urls[#urls + 1] = url end
    return urls
  end
  local status = process:wait(START_SECONDS)
  if result == "failed" then
    code, message = rest:match "^([^\n]*)\n(.*)\n$"
    return nil, message, code
  end
  return nil, "broker.start: the child ended: " .. tostring(status and status.error or status), "ECHILD"
end

-- serve(listening) is the whole of the child; reloads: there is a file that SIGHUP reads again.
local function start(serve, reloads)
  local ready, ready_child, code = ipc.pipe.open()
  if not ready then return nil, ready_child, code end
  local life_child, life
  life_child, life, code = ipc.pipe.open()
  if not life_child then
    ready:close()
    ready_child:close()
    return nil, life, code
  end
  local process, message
  process, message, code = ipc.process.fork(function ()
    ready:close()
    life:close()
    return be_child(serve, ready_child, life_child)
  end, { stdin = "null", stdout = "null", pdeathsig = "SIGTERM" })
  ready_child:close()
  life_child:close()
  local urls
  if process then urls, message, code = hear(process, ready) end
  ready:close()
  if urls then
    return setmetatable({
      process = process, life = life, addresses = urls, reloads = reloads, generation = forks(),
    }, Handle)
  end
  life:close()
  if process then
    process:kill "SIGKILL"
    process:wait()
    process:close()
  end
  return nil, message, code
end

function Handle:urls()
  check(self, "urls")
  return { table.unpack(self.addresses) }
end

function Handle:url(kind)
  check(self, "url")
  local scheme = kind == "tcp" and "nats:" or kind == "unix" and "unix:" or ""
  for _, url in ipairs(self.addresses) do
    if url:sub(1, #scheme) == scheme then return url end
  end
  return nil
end

function Handle:pid()
  check(self, "pid")
  return self.process:pid()
end

function Handle:reload()
  check(self, "reload")
  if not self.life then error("bad argument #1 to 'reload' (stopped broker)", 2) end
  if not self.reloads then return nil, "broker.reload: there is no configuration file", "ENOENT" end
  return self.process:kill "SIGHUP"
end

function Handle:running()
  check(self, "running")
  if not self.life then return false end
  if self.generation ~= forks() then return self.process:kill(0) == true end -- only its parent can ask for its status
  return self.process:status() == false
end

function Handle:stop(timeout)
  check(self, "stop")
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout or timeout < 0) then
    error("bad argument #1 to 'stop' (timeout in seconds expected)", 2)
  end
  if not self.life then return true end
  local process = self.process
  self.life:close()
  self.life = nil
  if self.generation ~= forks() then -- it is the broker of the process that this one was forked from
    process:close()
    return true
  end
  process:kill "SIGTERM"
  local status, message, code = process:wait(timeout or STOP_SECONDS)
  if not status and code == "ETIMEDOUT" then
    process:kill "SIGKILL"
    status, message, code = process:wait(STOP_SECONDS)
  end
  process:close()
  if not status then return nil, message, code end
  return true
end

Handle.close = Handle.stop

function Handle:__close()
  self:stop()
end

function Handle:__tostring()
  return ("lipc.broker.handle (%s, %s)"):format(public(self.addresses[1]), self.life and "process " .. self:pid() or "stopped")
end

return { start = start }
