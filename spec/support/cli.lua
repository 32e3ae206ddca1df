-- The command lipc in processes, for specs.
local assert = require "luassert"
local ipc = require "lipc"

local cli = {}

local SECONDS = 60
local lua = os.getenv "LUA" or "lua5.4"

local function words(arguments)
  local list = { lua, "lua/lipc/cli/lipc" }
  for _, word in ipairs(arguments) do list[#list + 1] = word end
  list.env_add = { NATS_URL = false }
  for name, value in pairs(arguments.env or {}) do list.env_add[name] = value end
  return list
end

-- run{word, ... [, input = text] [, env = {}]} -> status (or name of a signal), standard output, standard error
function cli.run(arguments)
  local list = words(arguments)
  list.input, list.timeout = arguments.input or "", SECONDS
  local result, message, code = ipc.process.run(list)
  assert(result, message, code)
  return result.status.code or result.status.signal, result.stdout, result.stderr
end

-- start{word, ... } -> process with its three pipes; wait for a line of it, then finish(process)
function cli.start(arguments)
  local list = words(arguments)
  list.stdin, list.stdout, list.stderr, list.pdeathsig = "pipe", "pipe", "pipe", "SIGKILL"
  local process = assert(ipc.process.spawn(list))
  for _, stream in ipairs { process.stdin, process.stdout, process.stderr } do stream:settimeout(SECONDS) end
  return process
end

-- finish(process) -> status, the rest of its standard output, of its standard error
function cli.finish(process)
  process.stdin:close()
  local out, err = process.stdout:read "a", process.stderr:read "a"
  local status = assert(process:wait(SECONDS))
  process.stdout:close()
  process.stderr:close()
  process:close()
  return status.code or status.signal, out, err
end

-- expect(process, pattern): reads lines of its standard error until one matches
function cli.expect(process, pattern)
  local said = {}
  repeat
    local line = process.stderr:read "l"
    if not line then error(("%q did not come after:\n%s"):format(pattern, table.concat(said, "\n")), 2) end
    said[#said + 1] = line
  until line:find(pattern)
  return said[#said]
end

return cli
