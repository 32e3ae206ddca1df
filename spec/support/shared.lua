-- Memory and processes for the specs of what lies in shared memory.  SPDX-License-Identifier: MIT
local ipc = require "lipc"
local assert = require "luassert"
local probe = require "support.probe"

local shared = {}

-- A child that runs fn, which must not return anything but nil, true or an exit code.
function shared.child(fn)
  return assert(ipc.process.fork(fn, { kill_on_close = true }))
end

-- Waits for it: it has ended well.
function shared.joined(p)
  local status, message = p:wait(60)
  if not status then error(message, 2) end
  if not status.ok then error(tostring(status), 2) end
  p:close()
end

-- Runs fn in a child that then kills itself, inside whatever it has taken.
function shared.killed(fn)
  local p = shared.child(function()
    fn()
    ipc.signal.kill(ipc.signal.getpid(), "SIGKILL")
  end)
  local status = assert(p:wait(60))
  assert.equal("SIGKILL", status.signal, tostring(status))
  p:close()
end

-- A child that has run fn, stays, and is killed by the function returned.
function shared.staying(fn)
  local r, w = assert(ipc.pipe.open())
  local p = shared.child(function()
    fn()
    w:write "there\n"
    ipc.sleep(600)
  end)
  w:close()
  assert.equal("there", r:read "l")
  r:close()
  return p, function()
    assert(p:kill "SIGKILL")
    assert(p:wait(60))
    p:close()
  end
end

-- Runs fn in a child that then becomes another program, inside whatever it has taken; it stays until it is killed by
-- the function returned.
function shared.becoming(fn)
  local r, w = assert(ipc.pipe.open())
  local p = shared.child(function()
    fn()
    w:write(probe.exec("sleep", "600"))
  end)
  w:close()
  assert.equal("", r:read "a") -- closed on exec
  r:close()
  return function()
    assert(p:kill "SIGKILL")
    assert(p:wait(60))
    p:close()
  end
end

return shared
