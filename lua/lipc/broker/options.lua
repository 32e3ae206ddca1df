-- options.lua - reads the options of a broker, from a table and from a configuration file; internal.
-- SPDX-License-Identifier: MIT

local access = require "lipc.broker.access"
local config = require "lipc.broker.config"
local integer = require "lipc.integer"

local DEFAULT_PORT = 4222

local TYPES = {
  config = "text", listen = "listen", path = "path", mode = "mode", tcp = "tcp", host = "string", port = "port",
  insecure = "boolean", token = "text", user = "text", pass = "text", users = "users", default_permissions = "permissions",
  name = "string", connect_urls = "texts", max_payload = "size", max_connections = "size", max_control_line = "size",
  max_pending = "size", max_subscriptions = "size", max_subscription_tokens = "size", ping_interval = "seconds",
  ping_max = "size", write_deadline = "seconds", auth_timeout = "seconds", pid_file = "text", log = "log",
  debug = "boolean", trace = "boolean",
}

local DEFAULTS = {
  mode = "0600",
  max_payload = 1 << 20,
  max_connections = 65536,
  max_control_line = 4096,
  max_pending = 64 << 20,
  ping_interval = 120,
  ping_max = 2,
  write_deadline = 10,
  auth_timeout = 2,
}

-- Where to listen is one answer: who says a part of it says it all.
local PLACES = { "listen", "path", "tcp", "host", "port" }

-- What may change while a broker runs.
local RELOADABLE = {
  insecure = true, token = true, user = true, pass = true, users = true, default_permissions = true, max_connections = true,
  ping_interval = true, ping_max = true, write_deadline = true, auth_timeout = true, log = true, debug = true, trace = true,
}

local function is_text(value) return type(value) == "string" and value ~= "" end

-- What ipc.socket.listen takes, which is asked when all the rest is known to be right.
local function is_mode(value)
  if type(value) == "string" then return value:find "^0*[0-7]?[0-7]?[0-7]$" ~= nil end
  return math.type(value) == "integer" and value >= 0 and value <= 511 -- 0777
end

local function are_texts(value)
  if type(value) ~= "table" then return false end
  for key, text in pairs(value) do
    if math.type(key) ~= "integer" or not is_text(text) then return false end
  end
  return true
end

-- Every kind of value: whether it is one, what is said where it is not, and what is made of it before.
local KINDS = {
  text = { is_text, "string that is not empty expected" },
  texts = { are_texts, "list of strings expected" },
  string = { function (value) return type(value) == "string" end, "string expected" },
  boolean = { function (value) return type(value) == "boolean" end, "boolean expected" },
  mode = { is_mode, 'octal string such as "0600" or integer expected, "0777" at most', integer },
  size = { function (value) return math.type(value) == "integer" and value > 0 end, "positive integer expected", integer },
  seconds = { function (value) return type(value) == "number" and value > 0 end, "positive number of seconds expected" },
  port = {
    function (value) return math.type(value) == "integer" and value >= 0 and value <= 65535 end, "0 to 65535 expected",
    integer,
  },
  path = { function (value) return value == false or is_text(value) end, "string or false expected" },
  tcp = {
    function (value) return type(value) == "boolean" or type(value) == "string" and value:find ":%d+$" ~= nil end,
    'boolean or "host:port" expected',
  },
  listen = { function (value) return is_text(value) or are_texts(value) and #value > 0 end, "URL or list of URLs expected" },
  log = {
    function (value) return type(value) == "boolean" or is_text(value) or type(value) == "function" end,
    "boolean, path or function expected",
  },
  users = { access.check_users },
  permissions = { access.check_permissions },
}

-- "host:port", "[v6]:port", "host", ":port"
local function tcp_place(text)
  local host, port = text:match "^%[([^%[%]]+)%](.*)$"
  if not host then host, port = text:match "^([^:%[%]/@]*)(.*)$" end
  if port == "" then port = ":" .. DEFAULT_PORT end
  port = port and math.tointeger(tonumber(port:match "^:(%d+)$"))
  if not port or not KINDS.port[1](port) then return nil, "no such port" end
  return { kind = "tcp", host = host ~= "" and host or "127.0.0.1", port = port }
end

local function place(url)
  local scheme, rest = url:match "^(%a[%w+.-]*)://(.*)$"
  if not scheme then
    if url:find "^/" or url:lower():find "^unix:" then return nil, "a path is written unix:///path" end
    return tcp_place(url)
  end
  scheme = scheme:lower()
  if scheme == "tcp" or scheme == "nats" then return tcp_place((rest:gsub("/$", ""))) end
  if scheme ~= "unix" then return nil, "unknown scheme '" .. scheme .. "'" end
  if rest ~= "" and rest:sub(1, 1) ~= "/" then return nil, "an absolute path is needed: unix:///path" end
  return { kind = "unix", path = rest ~= "" and rest or nil }
end

-- Where to listen: a list of { kind = "unix", path = } and { kind = "tcp", host =, port = }.
local function find_places(options)
  local listen = options.listen
  if listen then
    for _, name in ipairs(PLACES) do
      if name ~= "listen" and options[name] ~= nil then return nil, ("option '%s' beside 'listen'"):format(name) end
    end
    local list = {}
    for i, url in ipairs(type(listen) == "string" and { listen } or listen) do
      local problem
      list[i], problem = place(url)
      if problem then return nil, ("option 'listen': %s: %s"):format(url, problem) end
    end
    return list
  end

  local list = {}
  if options.path ~= false then list[1] = { kind = "unix", path = options.path } end
  if options.tcp or options.host or options.port then
    local tcp, problem = tcp_place(type(options.tcp) == "string" and options.tcp or "")
    if not tcp then return nil, "option 'tcp': " .. problem end
    if options.host and options.host ~= "" then tcp.host = options.host end
    tcp.port = options.port or tcp.port
    list[#list + 1] = tcp
  elseif #list == 0 then
    return nil, "nowhere to listen: no path, no tcp"
  end
  return list
end

-- Checks one by one, and puts integers where a float says one.
local function check(given)
  for key, value in pairs(given) do
    local kind = KINDS[TYPES[key]]
    if not kind then return nil, ("unknown option '%s'"):format(tostring(key)) end
    local made = kind[3] and kind[3](value)
    if made then given[key] = made end
    local ok, problem = kind[1](made or value)
    if not ok then return nil, ("option '%s': %s"):format(key, problem or kind[2]) end
  end
  return true
end

-- Adds what follows from several.
local function complete(given)
  local options = {}
  for key, value in pairs(DEFAULTS) do options[key] = value end
  for key, value in pairs(given) do options[key] = value end
  local problem
  options.places, problem = find_places(options)
  if problem then return nil, problem end
  if options.pass and not options.user then return nil, "option 'pass' without 'user'" end
  if options.user and not options.pass then return nil, "option 'user' without 'pass'" end
  if options.log == nil and (options.debug or options.trace) then options.log = true end
  return options
end

-- What was given, over what the file says.
local function merge(given, file)
  local merged = {}
  for key, value in pairs(file) do merged[key] = value end
  for _, name in ipairs(PLACES) do
    if given[name] ~= nil then
      for _, other in ipairs(PLACES) do merged[other] = nil end
      break
    end
  end
  for key, value in pairs(given) do merged[key] = value end
  return merged
end

local options = {}

---The options that were given, with what the configuration file says, where there is one, and defaults.
---@param given table
---@param name string  of the function, for messages
---@return table? options  places is where to listen
---@return string? message
---@return string? code
function options.load(given, name)
  if not given.config then return complete(given) end
  local path = given.config
  local file, message, code = config.load(path, name)
  if not file then return nil, message, code end
  local ok, problem = check(file)
  if ok and file.config then problem = "unknown option 'config'" end
  if not problem then
    local all
    all, problem = complete(merge(given, file))
    if all then return all end
  end
  return nil, ("broker.%s %s: %s"):format(name, path, problem), "EINVAL"
end

---Reads the argument of a function; misuse raises, a bad file does not.
---@param given table?
---@param name string  of the function, for messages
---@return table? options
---@return string? message
---@return string? code
function options.read(given, name)
  if given ~= nil and type(given) ~= "table" then
    error(("bad argument #1 to '%s' (table expected, got %s)"):format(name, type(given)), 3)
  end
  local copy = {}
  for key, value in pairs(given or {}) do copy[key] = value end
  local ok, problem = check(copy)
  local result, message, code
  if ok then
    result, message, code = options.load(copy, name)
    if not result and not code then problem = message end
  end
  if problem then error(("bad argument #1 to '%s' (%s)"):format(name, problem), 3) end
  if not result then return nil, message, code end
  result.given = copy
  return result
end

---The options of a running broker with some of them replaced; misuse raises.
---@param old table
---@param given table?  nil: the configuration file is read again
---@param name string
---@return table? options
---@return string? message
---@return string? code
function options.reread(old, given, name)
  if given == nil and not old.given.config then
    return nil, ("broker.%s: there is no configuration file"):format(name), "ENOENT"
  end
  local source = {}
  for key, value in pairs(old.given) do source[key] = value end
  if given ~= nil then
    if type(given) ~= "table" then
      error(("bad argument #1 to '%s' (table expected, got %s)"):format(name, type(given)), 3)
    end
    for key, value in pairs(given) do source[key] = value end
    local ok, problem = check(source)
    for key in pairs(given) do
      if ok and not RELOADABLE[key] then problem = ("option '%s' cannot change while it runs"):format(key) end
    end
    if problem then error(("bad argument #1 to '%s' (%s)"):format(name, problem), 3) end
  end
  local fresh, message, code = options.load(source, name)
  if not fresh then
    if not code then error(("bad argument #1 to '%s' (%s)"):format(name, message), 3) end
    return nil, message, code
  end
  local result = {}
  for key, value in pairs(old) do result[key] = value end
  for key in pairs(RELOADABLE) do result[key] = fresh[key] end
  result.given = source
  return result
end

return options
