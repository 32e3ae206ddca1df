-- json.lua - JSON objects on one line, as INFO and CONNECT carry them; by dkjson.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local found, dkjson = pcall(require, "dkjson")
if not found then
  if tostring(dkjson):find("not enough memory", 1, true) then error(dkjson, 0) end
  error("brokered messaging needs the Lua module dkjson (Debian package lua-dkjson, or `luarocks install dkjson`)", 0)
end

local NULL = setmetatable({}, { __tostring = function () return "null" end })

---Decodes text that is one JSON object, or null, which counts as an empty one.
---Members that are null are absent from the table.
---@param text string
---@return table? object
---@return string? message
local function decode_object(text)
  local called, value, stop, problem = pcall(dkjson.decode, text, 1, NULL)
  if not called then return nil, "JSON cannot be decoded" end
  if value == nil then return nil, tostring(problem or stop) end
  if text:find("[^ \t\r\n]", stop) then return nil, "text after the JSON value" end
  if value == NULL then return {} end
  local meta = type(value) == "table" and getmetatable(value)
  if not meta or meta.__jsontype ~= "object" then return nil, "not a JSON object" end
  local object = {}
  for name, member in pairs(value) do
    -- dkjson takes a member without a value for an element of a list
    if type(name) ~= "string" then return nil, "not a JSON object" end
    if member ~= NULL then object[name] = member end
  end
  return object
end

---Encodes a table on one line, its keys in the order given and then as they come.
---@param object table
---@param order? string[]
---@return string
local function encode(object, order)
  return (dkjson.encode(object, { keyorder = order }))
end

---Marks a list as one, also when it is empty.
---@param list table
---@return table
local function as_list(list)
  return setmetatable(list, { __jsontype = "array" })
end

return {
  list = as_list,
  decode_object = decode_object,
  encode = encode,
}
