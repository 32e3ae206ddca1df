-- serve.lua - a broker as a whole program: its loop, its signals, its file with the number of the process; internal.
-- SPDX-License-Identifier: MIT

local ipc = require "lipc"
local file = require "lipc.broker.file"

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
        broker:reload() -- a failure is in the log: a terminal that goes away, or a script that reloads all, must not end it
      end
    end
  end)
  local registrations = {}
  for name, what in pairs { SIGTERM = "stop", SIGINT = "stop", SIGHUP = "reload" } do
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

-- Takes the signals and writes the file with the number of the process.  -> what takes both back, or nil, message, code
local function surround(broker, loop)
  local waker, message, code = ipc.eventfd.open()
  if not waker then return nil, message, code end
  broker.closers[#broker.closers + 1] = waker
  local registrations
  registrations, message, code = take_signals(broker, loop, waker)
  if not registrations then return nil, message, code end
  local pid_file, written = broker.options.pid_file, nil
  local function undo()
    for _, one in ipairs(registrations) do one:close() end
    -- another process may have written its own there
    if written and tonumber(file.read(pid_file) or "") == ipc.signal.getpid() then os.remove(pid_file) end
  end
  if pid_file then
    written, message, code = file.write(pid_file, ipc.signal.getpid(), "\n")
    if not written then
      undo()
      return nil, "broker.run " .. message, code
    end
  end
  return undo
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
  local undo
  undo, message, code = surround(broker, loop)
  if not undo then
    broker:stop()
    return nil, message, code
  end
  local run
  run, problem = xpcall(function ()
    if listening then listening(broker, loop) end
    loop:run()
  end, debug.traceback)
  broker:stop()
  undo()
  if not run then error(problem, 0) end
  return true
end

return serve
