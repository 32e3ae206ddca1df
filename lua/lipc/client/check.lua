-- check.lua - arguments of the client's methods; internal.  Levels of errors are those of a method that calls these.
-- SPDX-License-Identifier: MIT

local check = {}

function check.timeout(timeout, arg, name)
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout or timeout < 0) then
    error(("bad argument #%d to '%s' (timeout in seconds expected)"):format(arg, name), 3)
  end
  return timeout
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

---What the world has refused: nil, message, code.
function check.fail(operation, object, message, code)
  return nil, ("client:%s %s: %s"):format(operation, object, message), code
end

return check
