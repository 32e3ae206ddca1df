-- serve.lua - a broker as a whole program: its loop, its signals, its file with the number of the process; internal.
-- SPDX-License-Identifier: MIT

local ipc = require "lipc"

-- Writes the number of this process to a file, and removes it at the end where it is still ours.
local function write_pid(path)
  local file, message = io.open(path, "w")
  if not file then return nil, "broker.run " .. message, "EIO" end
  local ok
  ok, message = file:write(ipc.signal.getpid(), "\n")
  file:close()
  if not ok then return nil, "broker.run " .. path .. ": " .. message, "EIO" end
  return true
end

local function remove_pid(path)
  local file = io.open(path)
  if not file then return end
  local pid = file:read "n"
  file:close()
  if pid == ipc.signal.getpid() then os.remove(path) end
end

-- The callback of a signal may come while the loop sleeps: it notes what is wanted, and a descriptor wakes the task that does
-- it.  -> registrations, or nil, message, code
local function take_signals(broker, loop, waker)
  local wanted = {}
  loop:wrap(function ()
    while not broker.stopped do
      waker:take()
      if wanted.stop then return broker:stop() end
      if wanted.reload then
        wanted.reload = nil
        broker:reload()
      end
    end
  end)
  local registrations = {}
  for name, what in pairs { SIGTERM = "stop", SIGINT = "stop", SIGHUP = broker.options.given.config and "reload" or nil } do
    local registration, message, code = ipc.signal.on(name, function ()
      wanted[what] = true
      if not broker.stopped then waker:add(1) end
    end)
    if not registration then
      for _, one in ipairs(registrations) do one:close() end
      return nil, message, code
    end
    registrations[#registrations + 1] = registration
  end
  return registrations
end

---Serves until told to stop.
---@param broker lipc.broker
---@param listening? fun(broker: lipc.broker, loop: lipc.loop)  clients can connect now
---@return true? ok, string? message, string? code
local function serve(broker, listening)
  local loop <close>, problem, why = ipc.loop.new()
  if not loop then return nil, problem, why end
  local ok, message, code = broker:wrap(loop)
  if not ok then return nil, message, code end
  local waker, registrations
  waker, message, code = ipc.eventfd.open()
  if waker then
    broker.closers[1] = waker
    registrations, message, code = take_signals(broker, loop, waker)
  end
  local pid_file = broker.options.pid_file
  local written = registrations and pid_file
  if written then written, message, code = write_pid(pid_file) end
  local run = true
  if registrations and not code then
    run, problem = xpcall(function ()
      if listening then listening(broker, loop) end
      loop:run()
    end, debug.traceback)
  end
  broker:stop()
  for _, registration in ipairs(registrations or {}) do registration:close() end
  if written then remove_pid(pid_file) end
  if code then return nil, message, code end
  if not run then error(problem, 0) end
  return true
end

return serve
