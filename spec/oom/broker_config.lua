-- A broker with a configuration file and users, reloaded.
local ipc = require "lipc"
local names = require "support.names"
local config, path, log = names.path ".conf", names.path ".sock", names.path ".log"
local _ <close> = setmetatable({}, { __close = function()
  os.remove(config)
  os.remove(log)
end })
local file = io.open(config, "w")
if not file then return nil, "no file", "ENOMEM" end
file:write [[
users = { { user = "u", password = "p", permissions = { publish = { allow = "a.>", deny = "a.no" }, allow_responses = true } } }
default_permissions = { subscribe = "a.*" }
]]
file:close()
local made, message, code = ipc.broker.new { config = config, path = path, log = log }
if not made then return nil, message, code end
local broker <close> = made
local ok
ok, message, code = broker:listen()
if not ok then return nil, message, code end
ok, message, code = broker:reload()
if not ok then return nil, message, code end
ok, message, code = broker:reload { token = "t", max_connections = 7 }
if not ok then return nil, message, code end
assert(broker:url() == "unix://" .. path)
