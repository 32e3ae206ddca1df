-- broker.lua - lipc broker: a broker in the foreground, with the flags of nats-server; internal.
-- SPDX-License-Identifier: MIT

local ipc = require "lipc"
local collector = require "lipc.broker.collector"
local connect = require "lipc.cli.connect"
local failure = require "lipc.cli.failure"
local load_config = require("lipc.broker.config").load

local broker = { summary = "Run a message broker." }

function broker.options(command)
  command:option("-a --addr", "Listen on this address (TCP)."):argname "HOST"
  command:option("-p --port", "Listen on this port (TCP); -1 or 0: one that is free. Where --auth, --user, --insecure and "
    .. "users in a file are missing, clients need the token in a file that the log names."):argname "PORT":convert(function (text)
    local port = math.tointeger(tonumber(text))
    if not port or port < -1 or port > 65535 then return nil, "port expected, got '" .. text .. "'" end
    return math.max(port, 0)
  end)
  command:option("--unix", "Listen on this path. Without -a, -p, --unix and --listen: on the path of this user's own broker.")
    :argname "PATH"
  command:option("--listen", "Listen here: unix:///path, tcp://host:port; can be given several times.")
    :count "*":argname "URL"
  command:option("--user", "User that clients need to be."):argname "NAME"
  command:option("--pass", "And his password."):argname "PASSWORD"
  command:option("--auth", "Token that clients need to show."):argname "TOKEN"
  command:flag("--insecure", "Over TCP anybody may connect.")
  command:option("-n --name", "Name of the server."):argname "NAME"
  command:option("-P --pid", "Write the number of the process to this file."):argname "FILE"
  command:option("-l --log", "Write the log to this file, not to standard error."):argname "FILE"
  command:flag("-D --debug", "Log also who comes and goes.")
  command:flag("-V --trace", "Log also all that is sent.")
  command:option("-m --max-connections", "So many clients at once."):convert(connect.count):argname "N"
  command:option("-c --config", "Read options from this Lua file; SIGHUP reads users and limits again."):argname "FILE"
  command:flag("-v --version", "Show the version."):action(function ()
    print(ipc._VERSION)
    os.exit(0, true)
  end)
end

-- nats-server takes long flags with one dash too, and -1 as a port.
local ONE_DASH = {
  ["-addr"] = true, ["-port"] = true, ["-user"] = true, ["-pass"] = true, ["-auth"] = true, ["-name"] = true,
  ["-pid"] = true, ["-log"] = true, ["-debug"] = true, ["-trace"] = true, ["-config"] = true, ["-version"] = true,
  ["-help"] = true,
}

---@param argv string[]
---@return string[]
function broker.prepare(argv)
  local list = {}
  for i, word in ipairs(argv) do
    local before = list[i - 1]
    if word == "-1" and (before == "-p" or before == "--port") then word = "0" end
    list[i] = ONE_DASH[word:match "^[^=]*"] and "-" .. word or word
  end
  return list
end

-- Where to listen: nothing when nothing was said, so that the configuration file has its word.
local function places(arguments)
  local list = { table.unpack(arguments.listen) }
  if arguments.unix then
    local path = arguments.unix
    if path:sub(1, 1) ~= "/" then failure.misuse "option '--unix': absolute path expected" end
    list[#list + 1] = "unix://" .. path
  end
  if arguments.addr or arguments.port then
    local host = arguments.addr or "127.0.0.1"
    list[#list + 1] = ("tcp://%s:%d"):format(host:find ":" and "[" .. host .. "]" or host, arguments.port or 4222)
  end
  return #list > 0 and list or nil
end

-- The function that failed is no word of this command's.
local function must(value, message)
  return failure.must(value, message and message:gsub("^broker%.%l+ ", ""))
end

function broker.run(arguments)
  local options = {
    config = arguments.config, listen = places(arguments), user = arguments.user, pass = arguments.pass,
    token = arguments.auth, insecure = arguments.insecure, name = arguments.name, pid_file = arguments.pid,
    log = arguments.log, debug = arguments.debug, trace = arguments.trace, max_connections = arguments.max_connections,
  }
  if not options.log then -- on standard error, unless the file says otherwise
    local file = options.config and must(load_config(options.config, "run"))
    if not file or file.log == nil then options.log = true end
  end
  collector.own()
  local called, ok, message = pcall(ipc.broker.run, options)
  if not called then
    local misuse = tostring(ok):match "bad argument #1 to 'run' %((.*)%)$"
    if misuse then failure.misuse(misuse) end
    error(ok, 0)
  end
  must(ok, message)
end

return broker
