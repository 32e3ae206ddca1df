-- message.lua - what a subscription receives.  subject, data and reply are fields; headers are decoded when they are first
-- asked for.    SPDX-License-Identifier: MIT

local arguments = require "lipc.client.check"
local headers = require "lipc.proto.headers"

local methods = {}

local function check(self, name)
  local mt = getmetatable(self)
  if type(mt) ~= "table" or mt.__name ~= "lipc.message" then
    error(("bad argument #1 to '%s' (lipc.message expected, got %s)"):format(name, type(self)), 3)
  end
end

local function decoded(self)
  local block = rawget(self, "header_block")
  local fields = block and headers.decode(block) or nil
  if fields then
    -- a name with one value: the value; with several: a list
    for key, values in pairs(fields) do
      if #values == 1 then fields[key] = values[1] end
    end
    self.headers = fields
  end
  return fields
end

local function describe(self)
  return ("lipc.message (%s, %d bytes)"):format(self.subject, #self.data)
end

---Answers a request.
function methods:respond(data, options)
  check(self, "respond")
  data = arguments.string(data, 1, "respond")
  arguments.options(options, 2, "respond", arguments.PUBLISH_OPTIONS)
  arguments.headers(options and options.headers, 2, "respond")
  if not self.reply then
    return nil, "message:respond " .. self.subject .. ": nobody asked (no reply subject)", "EDESTADDRREQ"
  end
  local client = getmetatable(self).client
  if client.closed_by_caller then return nil, "message:respond " .. self.subject .. ": client closed", "ECANCELED" end
  local ok, message, code = client:publish(self.reply, data, options)
  if ok then return true end
  return nil, (message:gsub("^client:publish", "message:respond")), code
end

---The metatable of the messages of one client: a field less in each of them.
local function class(client)
  return {
    __name = "lipc.message",
    __tostring = describe,
    __index = function (self, name)
      local method = methods[name]
      if method then return method end
      if name == "headers" then return decoded(self) end
      return nil
    end,
    client = client,
  }
end

-- without a client: what the check of the API text looks at
return { class = class, example = class() }
