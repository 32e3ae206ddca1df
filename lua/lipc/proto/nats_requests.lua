-- nats_requests.lua - requests of a NATS client: one subscription for the answers to all of them, each known by the last token
-- of its reply subject.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local headers = require "lipc.proto.headers"
local is_subject = require "lipc.proto.subject".is_subject

-- The methods of lipc.proto.Client that this file adds.
local Client = {}

local function inbox(self)
  local prefix = self.inbox_prefix
  if not prefix then
    local unique = self.options.unique
    assert(type(unique) == "string" and is_subject(unique), "option unique is needed for requests: a token")
    prefix = "_INBOX." .. unique .. "."
    self.inbox_prefix = prefix
    self:subscribe(prefix .. "*", nil, function (subject, reply, data, header)
      local token = subject:sub(#prefix + 1)
      local callback = self.requests[token]
      if not callback then return end
      local nobody = header and data == "" and headers.status(header) == "503"
      if nobody or not self.lasting[token] then self:forget(token) end
      if nobody then return callback(nil, "no responders", "ENORESPONDERS") end
      callback(subject, reply, data, header)
    end)
  end
  return prefix
end

---A subject that only this client has.
---@return string
function Client:new_inbox()
  self.last_token = self.last_token + 1
  return inbox(self) .. self.last_token
end

---Publishes and hands the first answer to a callback, or nil, message, code ("ENORESPONDERS", "ECONNRESET").
---@param subject string
---@param data string
---@param header string?
---@param callback fun(subject: string?, reply: string?, data: string, header: string?)
---@param lasting? boolean  every answer, until forget()
---@return string? token  for forget(); nil, message, code as publish has them
---@return string? message
---@return string? code
function Client:request(subject, data, header, callback, lasting)
  local prefix = inbox(self)
  local token = tostring(self.last_token + 1)
  local sent, message, code = self:publish(subject, data, prefix .. token, header)
  if not sent then return nil, message, code end
  self.last_token = self.last_token + 1
  self.lasting[token] = lasting or nil
  self.requests[token] = callback
  return token
end

---Waits no longer for the answer to a request.
---@param token string
function Client:forget(token)
  self.requests[token], self.lasting[token] = nil, nil
end

---Gives a class these methods.
local function extend(class)
  for name, method in pairs(Client) do class[name] = method end
end

return { extend = extend }
