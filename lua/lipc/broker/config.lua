-- config.lua - the configuration file of a broker: a Lua file that returns a table of options, or assigns them to names;
-- internal.  It runs with nothing in reach but what it assigns itself: no library, no globals.    SPDX-License-Identifier: MIT

local read = require("lipc.broker.file").read

-- A file that does not end must not keep the broker from starting for ever: so many instructions of Lua are plenty.
local MOST_INSTRUCTIONS = 10000000

local config = {}

-- In a coroutine, whose hook is not the caller's.
local function run(chunk, path)
  local task = coroutine.create(chunk)
  debug.sethook(task, function () error(path .. ": it does not end", 0) end, "", MOST_INSTRUCTIONS)
  local ok, result = coroutine.resume(task)
  if not ok and result == "not enough memory" then error(result, 0) end
  if ok and coroutine.status(task) ~= "dead" then ok, result = false, path .. ": it yields" end
  return ok, result
end

---@param path string
---@param name string  of the function that was called, for messages
---@return table? options, string? message, string? code
function config.load(path, name)
  local text, message, code = read(path)
  if not text then return nil, ("broker.%s %s"):format(name, message), code end
  text = text:gsub("^#[^\n]*", "")
  local environment = {}
  local chunk, problem = load(text, "@" .. path, "t", environment)
  if problem == "not enough memory" then error(problem, 0) end
  local result
  if chunk then
    local ok
    ok, result = run(chunk, path)
    if not ok then problem = tostring(result) end
  end
  if problem then return nil, ("broker.%s %s"):format(name, problem), "EINVAL" end
  if result == nil then return environment end
  if type(result) ~= "table" then
    return nil, ("broker.%s %s: a table is to be returned, not a %s"):format(name, path, type(result)), "EINVAL"
  end
  local assigned = next(environment)
  if assigned ~= nil then
    return nil, ("broker.%s %s: '%s' is assigned, and a table returned"):format(name, path, tostring(assigned)), "EINVAL"
  end
  return result
end

return config
