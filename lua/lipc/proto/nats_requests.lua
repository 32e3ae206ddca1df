-- nats_requests.lua - requests of a NATS client: one subscription for the answers to all of them, each known by the last token
-- of its reply subject.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local go_quote = require "lipc.proto.go_quote"
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
    local subscription = self:subscribe(prefix .. "*", nil, function (subject, reply, data, header)
      local token = subject:sub(#prefix + 1)
      local callback = self.requests[token]
      if not callback then return end
      local nobody = header and data == "" and headers.status(header) == "503"
      if nobody or not self.lasting[token] then self:forget(token) end
      if nobody then return callback(nil, "no responders", "ENORESPONDERS") end
      callback(subject, reply, data, header)
    end)
    if not subscription then return prefix end -- closed
    -- nobody who has asked can be answered; whoever asks next tries again
    subscription.refused = function (text, code)
      self.subscriptions[subscription.sid], self.inbox_prefix = nil, nil
      local requests = self.requests
      self.requests, self.lasting, self.asked = {}, {}, {}
      for _, callback in pairs(requests) do callback(nil, text .. ", so that no answer can come", code) end
      return next(requests) ~= nil
    end
  end
  return prefix
end

---A subject that only this client has.
---@return string
function Client:new_inbox()
  self.last_token = self.last_token + 1
  return inbox(self) .. self.last_token
end

---Publishes and hands the first answer to a callback, or nil, message, code ("ENORESPONDERS", "EPERM",
---"ECONNRESET").
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
  self.requests[token], self.asked[token] = callback, subject
  return token
end

---Waits no longer for the answer to a request.
---@param token string
function Client:forget(token)
  self.requests[token], self.lasting[token], self.asked[token] = nil, nil, nil
end

-- Those that wait and have asked this subject, the oldest last.
local function tokens_of(self, quoted)
  local tokens, plain, escaped = {}, quoted:sub(2, -2), quoted:find("\\", 1, true)
  for token, subject in pairs(self.asked) do
    if subject == plain or escaped and go_quote(subject) == quoted then tokens[#tokens + 1] = token end
  end
  table.sort(tokens, function (a, b) return tonumber(a) > tonumber(b) end)
  return tokens
end

---A publication was refused.  If it may have been a request, the oldest with its subject is told: each refusal is about one.
---@param quoted string  the subject as the server quotes it
---@param text string
---@param code string
---@return boolean told
function Client:refuse(quoted, text, code)
  local tokens, looked = self.refusals[quoted] or {}, false
  local token, callback
  repeat
    if #tokens == 0 then
      if looked then return false end
      tokens, looked = tokens_of(self, quoted), true
      self.refusals[quoted] = #tokens > 0 and tokens or nil
    end
    token = table.remove(tokens)
    callback = token and self.requests[token]
  until callback
  self:forget(token)
  callback(nil, text, code)
  return true
end

---Gives a class these methods.
local function extend(class)
  for name, method in pairs(Client) do class[name] = method end
end

return { extend = extend }
