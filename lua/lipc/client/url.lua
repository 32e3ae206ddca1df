-- url.lua - where brokers are: unix:///path, nats://[user:pass@ | token@]host[:port], several with commas between; internal.
-- SPDX-License-Identifier: MIT

local DEFAULT_PORT = 4222

local function unescape(text)
  return text and (text:gsub("%%(%x%x)", function (h) return string.char(tonumber(h, 16)) end))
end

local function parse_nats(rest)
  local login, address = rest:match "^(.*)@(.*)$"
  address = (address or rest):gsub("/$", "")
  local host, port = address:match "^%[([%x:.%%]+)%](.*)$"
  if not host then host, port = address:match "^([^:/?#%[%]%s%c]+)(.*)$" end
  if not host then return nil, "no host" end
  if port == "" then
    port = DEFAULT_PORT
  else
    port = math.tointeger(tonumber(port:match "^:(%d+)$"))
    if not port or port < 1 or port > 65535 then return nil, "no such port" end
  end
  local server = { host = host, port = port, nodelay = true }
  if login then
    local user, pass = login:match "^([^:]*):(.*)$"
    if user then
      server.user, server.pass = unescape(user), unescape(pass)
    else
      server.token = unescape(login)
    end
  end
  -- for messages: without what is secret
  server.name = ("nats://%s:%d"):format(host:find(":", 1, true) and "[" .. host .. "]" or host, port)
  return server
end

local function parse_one(text)
  local scheme, rest = text:match "^(%a[%w+.-]*)://(.*)$"
  if not scheme then
    if text:find "^/" or text:lower():find "^unix:" then return nil, "a path is written unix:///path" end
    return parse_nats(text)
  end
  scheme = scheme:lower()
  if scheme == "unix" then
    if rest:sub(1, 1) ~= "/" then return nil, "an absolute path is needed: unix:///path" end
    return { path = rest, name = "unix://" .. rest }
  elseif scheme == "nats" or scheme == "tcp" then
    return parse_nats(rest)
  elseif scheme == "tls" then
    return nil, "scheme 'tls': there is no TLS here"
  end
  return nil, "unknown scheme '" .. scheme .. "'"
end

---Reads a list of addresses.
---@param text string
---@return table[]? servers  nil and what is wrong
---@return string? problem
local function parse(text)
  local servers = {}
  for part in text:gmatch "[^,]+" do
    local server, problem = parse_one(part:match "^%s*(.-)%s*$")
    if not server then return nil, problem end
    servers[#servers + 1] = server
  end
  if #servers == 0 then return nil, "empty" end
  return servers
end

return { parse = parse, parse_nats = parse_nats }
