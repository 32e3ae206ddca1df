-- connect.lua - what the commands that talk to a broker have in common; internal.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local failure = require "lipc.cli.failure"
local safe = require("lipc.cli.printer").safe

local connect = {}

---@param text string
---@return number? seconds
function connect.seconds(text)
  local seconds = tonumber(text)
  if not seconds or seconds < 0 or seconds ~= seconds then return nil, "seconds expected, got '" .. text .. "'" end
  return seconds
end

---@param text string
---@return integer? count
function connect.count(text)
  local count = math.tointeger(tonumber(text))
  if not count or count < 1 then return nil, "positive number expected, got '" .. text .. "'" end
  return count
end

---Declares the options that say where the broker is and who asks.
function connect.options(command)
  command:option("-s --server", "Where the broker is: unix:///path, nats://[user:pass@|token@]host[:port], several with "
    .. "commas between. Default: $NATS_URL, else this user's own broker."):argname "URL"
  command:option("--user", "Where the URL has none."):argname "NAME"
  command:option("--pass", "Password of that user."):argname "PASSWORD"
  command:option("--token", "Where the URL has none."):argname "TOKEN"
  command:option("--name", "What the broker calls this client."):argname "NAME"
end

-- Which URL a command means; misuse is said as such.
local function url_of(arguments)
  local url = arguments.server or os.getenv "NATS_URL"
  if url == "" then url = nil end
  return url
end

---Connects.
---@param options? table  of ipc.connect
---@return table client
function connect.open(arguments, options)
  local all = {
    user = arguments.user, pass = arguments.pass, token = arguments.token, name = arguments.name or "lipc " .. arguments.called,
  }
  for key, value in pairs(options or {}) do all[key] = value end
  local url = url_of(arguments)
  local ok, client, message, code = pcall(ipc.connect, url, all)
  if not ok then -- the only argument that can be wrong
    local problem = tostring(client):match "^bad argument #1 to 'connect' %((.*)%)$" or client
    failure.misuse((arguments.server and "option '-s': " or "$NATS_URL: ") .. problem)
  end
  if code == "EACCES" and not (all.user or all.token or url and url:find("@", 1, true)) then
    message = message .. " (it wants a token or a user: --token, --user and --pass, or in the URL)"
  end
  return (failure.must(client, message))
end

---Options of ipc.connect for a command that stays: it comes back whatever happens, and says so.
function connect.staying()
  local lost = false
  return {
    max_reconnects = math.huge,
    onerror = function (message, code)
      if code ~= "ECONNRESET" then io.stderr:write("lipc: ", safe(message), "\n") end
    end,
    onstatus = function (status, detail)
      if status == "disconnected" then
        lost = true
        io.stderr:write("lipc: disconnected: ", safe(detail), "\n")
      elseif status == "connected" and lost then
        lost = false
        io.stderr:write("lipc: connected again to ", detail, "\n")
      end
    end,
  }
end

---Headers as they are given: "Name: value", a name several times.
---@param list string[]
---@return table? headers
function connect.headers(list)
  if #list == 0 then return nil end
  local fields = {}
  for i, text in ipairs(list) do
    local name, value = text:match "^([^%c:%s]+):%s*([^\r\n]*)$"
    if not name then failure.misuse(("option '-H': 'Name: value' expected, got '%s'"):format(text)) end
    fields[i] = { name, value }
  end
  return fields
end

---Declares -H.
function connect.header_option(command)
  command:option("-H --header", "A header, 'Name: value'; can be given several times."):count "*":argname "HEADER"
end

---What is to be published: the argument, or all of standard input.
---@return string
function connect.data(argument)
  if argument then return argument end
  local data, message = io.stdin:read "a"
  if not data then failure.fail("standard input: " .. tostring(message)) end
  return data
end

return connect
