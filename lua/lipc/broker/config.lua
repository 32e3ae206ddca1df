-- config.lua - the configuration file of a broker: a Lua file that returns a table of options, or assigns them to names;
-- internal.  It runs with nothing in reach but what it assigns itself: no library, no globals.    SPDX-License-Identifier: MIT

-- The numbers are the same on all systems.
local ERRNO = { [2] = "ENOENT", [12] = "ENOMEM", [13] = "EACCES", [21] = "EISDIR", [23] = "ENFILE", [24] = "EMFILE" }

-- A file that does not end must not keep the broker from starting for ever: so many instructions of Lua are plenty.
local MOST_INSTRUCTIONS = 10000000

local config = {}

local function slurp(path)
  local file, message, errno = io.open(path, "rb")
  if not file then return nil, message, ERRNO[errno] or "EIO" end
  local text
  text, message, errno = file:read "a"
  file:close()
  if not text then return nil, path .. ": " .. message, ERRNO[errno] or "EIO" end
  return text
end

-- In a coroutine, whose hook is not the caller's.
local function run(chunk)
  local task = coroutine.create(chunk)
  debug.sethook(task, function () error("it does not end", 0) end, "", MOST_INSTRUCTIONS)
  local ok, result = coroutine.resume(task)
  if ok and coroutine.status(task) ~= "dead" then ok, result = false, "it yields" end
  return ok, result
end

---@param path string
---@param name string  of the function that was called, for messages
---@return table? options, string? message, string? code
function config.load(path, name)
  local text, message, code = slurp(path)
  if not text then return nil, ("broker.%s %s"):format(name, message), code end
  text = text:gsub("^#[^\n]*", "")
  local environment = {}
  local chunk, problem = load(text, "@" .. path, "t", environment)
  local result
  if chunk then
    local ok
    ok, result = run(chunk)
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
