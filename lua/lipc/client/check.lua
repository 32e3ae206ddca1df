-- check.lua - arguments of the client's methods; internal.  Levels of errors are those of a method that calls these.
-- SPDX-License-Identifier: MIT

local headers = require "lipc.proto.headers"
local integer = require "lipc.integer"

local check = {}

function check.timeout(timeout, arg, name)
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout or timeout < 0) then
    error(("bad argument #%d to '%s' (timeout in seconds expected)"):format(arg, name), 3)
  end
  return timeout
end

---@return integer? count  nil: the value is no positive number, or no whole one
function check.count(value)
  local count = integer(value)
  return count and count > 0 and count or nil
end

function check.string(value, arg, name)
  if type(value) ~= "string" then
    if type(value) == "number" then return tostring(value) end
    error(("bad argument #%d to '%s' (string expected, got %s)"):format(arg, name, type(value)), 3)
  end
  return value
end

---@param options table?
---@param arg integer
---@param name string
---@param known table<string, string>  the types of the options
---@return table
function check.options(options, arg, name, known)
  if options == nil then return {} end
  if type(options) ~= "table" then
    error(("bad argument #%d to '%s' (table expected, got %s)"):format(arg, name, type(options)), 3)
  end
  for key, value in pairs(options) do
    local kind = known[key]
    if not kind then
      error(("bad argument #%d to '%s' (unknown option '%s')"):format(arg, name, tostring(key)), 3)
    elseif type(value) ~= kind or kind == "number" and (value ~= value or value < 0) then
      error(("bad argument #%d to '%s' (option '%s': %s expected, got %s)"):format(arg, name, key,
        kind == "number" and "number, not negative," or kind, type(value)), 3)
    end
  end
  return options
end

-- What a message to be published may have.
check.PUBLISH_OPTIONS = { reply = "string", headers = "table" }

---Encodes headers.
---@return string? block
function check.headers(fields, arg, name)
  if not fields then return nil end
  local ok, block = pcall(headers.encode, fields)
  if not ok then error(("bad argument #%d to '%s' (option 'headers': %s)"):format(arg, name, block), 3) end
  return block
end

---What the world has refused: nil, message, code.
function check.fail(operation, object, message, code)
  local prefix = object .. ": "
  if message:sub(1, #prefix) == prefix then message = message:sub(#prefix + 1) end
  return nil, ("client:%s %s: %s"):format(operation, object == "" and "''" or object, message), code
end

return check
