--- lipc: every way processes talk to each other, as Lua objects.
-- `local ipc = require "lipc"`; a mechanism is loaded when it is first named.
local core = require "lipc.core"

-- Where a name is found: in C alone, or in a Lua file that builds on it.
local in_lua = {
  admin = "lipc.admin",
  process = "lipc.process",
  cmd = "lipc.process.cmd",
  loop = "lipc.loop",
  broker = "lipc.broker",
  client = "lipc.client",
  shared = "lipc.shared",
  sync = "lipc.sync",
  codec = "lipc.codec",
  pool = "lipc.pool",
  progress = "lipc.progress",
}

-- Single functions of such a file.
local function_of = {
  connect = "client",
}

local wait = core.wait()

-- Of the core, but not for users.
local internal = { wait = true, records = true }

local ipc = {
  _VERSION = "lipc dev",
  setwaiter = wait.setwaiter,
  sleep = wait.sleep,
  now = wait.now,
}

return setmetatable(ipc, {
  __index = function(t, name)
    local value
    if function_of[name] then
      value = t[function_of[name]][name]
    elseif in_lua[name] then
      value = require(in_lua[name])
    elseif not internal[name] and core[name] then
      value = core[name]()
    end
    t[name] = value
    return value
  end,
})
