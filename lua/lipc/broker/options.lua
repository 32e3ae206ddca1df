-- options.lua - reads the options of a broker; internal.    SPDX-License-Identifier: MIT

local DEFAULT_PORT = 4222

local TYPES = {
  path = "path", mode = "integer", tcp = "tcp", host = "string", port = "port", insecure = "boolean", token = "string",
  user = "string", pass = "string", name = "string", max_payload = "size", max_connections = "size",
  max_control_line = "size", max_pending = "size", max_subscriptions = "size", max_subscription_tokens = "size",
  ping_interval = "seconds", ping_max = "size",
  write_deadline = "seconds", auth_timeout = "seconds",
}

local DEFAULTS = {
  mode = 384, -- 0600
  max_payload = 1 << 20,
  max_connections = 65536,
  max_control_line = 4096,
  max_pending = 64 << 20,
  ping_interval = 120,
  ping_max = 2,
  write_deadline = 10,
  auth_timeout = 2,
}

local EXPECTED = {
  path = "string or false expected", tcp = "boolean or \"host:port\" expected", port = "0 to 65535 expected",
  size = "positive integer expected", seconds = "positive number of seconds expected",
}

local function good(value, kind)
  if kind == "path" then return value == false or type(value) == "string" and value ~= "" end
  if kind == "tcp" then return type(value) == "boolean" or type(value) == "string" and value:find ":%d+$" ~= nil end
  if kind == "port" then return math.type(value) == "integer" and value >= 0 and value <= 65535 end
  if kind == "size" then return math.type(value) == "integer" and value > 0 end
  if kind == "seconds" then return type(value) == "number" and value > 0 end
  if kind == "integer" then return math.type(value) == "integer" end
  return type(value) == kind
end

---@param given table?
---@param name string  of the function, for messages
---@return table options  a copy with defaults; host and port are set when TCP is wanted
local function read(given, name)
  if given ~= nil and type(given) ~= "table" then
    error(("bad argument #1 to '%s' (table expected, got %s)"):format(name, type(given)), 3)
  end
  local options = {}
  for key, value in pairs(DEFAULTS) do options[key] = value end
  for key, value in pairs(given or {}) do
    local kind = TYPES[key]
    if not kind then
      error(("bad argument #1 to '%s' (unknown option '%s')"):format(name, tostring(key)), 3)
    end
    if not good(value, kind) then
      local expected = EXPECTED[kind] or kind .. " expected"
      error(("bad argument #1 to '%s' (option '%s': %s)"):format(name, key, expected), 3)
    end
    options[key] = value
  end
  if type(options.tcp) == "string" then
    options.host, options.port = options.tcp:match "^(.*):(%d+)$"
    options.host, options.port = options.host:match "^%[(.*)%]$" or options.host, math.tointeger(tonumber(options.port))
    if not good(options.port, "port") then
      error(("bad argument #1 to '%s' (option 'tcp': no such port)"):format(name), 3)
    end
  end
  if options.tcp or options.host or options.port then
    options.host = options.host and options.host ~= "" and options.host or "127.0.0.1"
    options.port = options.port or DEFAULT_PORT
  elseif options.path == false then
    error(("bad argument #1 to '%s' (nowhere to listen: no path, no tcp)"):format(name), 3)
  end
  if options.pass and not options.user then
    error(("bad argument #1 to '%s' (option 'pass' without 'user')"):format(name), 3)
  end
  return options
end

return { read = read }
