-- message.lua - what a subscription receives.  subject, data and reply are fields; headers are decoded when they are first
-- asked for.    SPDX-License-Identifier: MIT

local headers = require "lipc.proto.headers"

local Message = {}
Message.__name = "lipc.message"

local methods = {}

function Message:__index(name)
  local method = methods[name]
  if method then return method end
  if name == "headers" then
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
  return nil
end

function Message:__tostring()
  return ("lipc.message (%s, %d bytes)"):format(self.subject, #self.data)
end

---Answers a request.
function methods:respond(data, options)
  if getmetatable(self) ~= Message then
    error(("bad argument #1 to 'respond' (lipc.message expected, got %s)"):format(type(self)), 2)
  end
  if not self.reply then
    return nil, "message:respond " .. self.subject .. ": nobody asked (no reply subject)", "EDESTADDRREQ"
  end
  return self.client:publish(self.reply, data, options)
end

return Message
