-- subject.lua - subjects and subject patterns of the NATS protocol.
-- A subject is a list of tokens separated by dots.  In a pattern a token that is exactly `*` stands for any one token, and a
-- last token that is exactly `>` for one or more.  Inside a longer token both are ordinary characters, as nats-server has it.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local find, sub = string.find, string.sub

-- What separates the words of a control line, and so can stand in no subject.  Spelt out, because %s depends on the locale.
local BLANK = "[ \t\r\n]"

---Cuts a subject at its dots.
---@param subject string
---@return string[]? tokens  nil when a token is empty
---@return integer count
local function split(subject)
  local tokens, count, from = {}, 0, 1
  while true do
    local dot = find(subject, ".", from, true)
    local token = sub(subject, from, dot and dot - 1)
    if token == "" then return nil, count end
    count = count + 1
    tokens[count] = token
    if not dot then return tokens, count end
    from = dot + 1
  end
end

---Whether a pattern has a wildcard token.
---@param pattern string
---@return boolean
local function has_wildcard(pattern)
  if not find(pattern, "[*>]") then return false end
  return find("." .. pattern .. ".", "%.[*>]%.") ~= nil
end

---Whether a word of a control line names exactly one subject.  The line was cut at what can stand in none; what is left of it
---there, as the CR in a PUB, nats-server takes too.
---@param text string
---@return boolean ok
---@return string? reason
local function is_literal(text)
  if not split(text) then return false, "a subject has no empty tokens" end
  if has_wildcard(text) then return false, "a subject to publish to has no wildcards" end
  return true
end

---Whether text names exactly one subject: what may be published to.
---@param text string
---@return boolean ok
---@return string? reason
local function is_subject(text)
  if find(text, BLANK) then return false, "a subject has no blanks" end
  return is_literal(text)
end

---Whether text can be subscribed to.
---@param text string
---@return boolean ok
---@return string? reason
local function is_pattern(text)
  if find(text, BLANK) then return false, "a subject has no blanks" end
  local tokens, count = split(text)
  if not tokens then return false, "a subject has no empty tokens" end
  for i = 1, count - 1 do
    if tokens[i] == ">" then return false, "'>' can only be the last token" end
  end
  return true
end

---Whether every subject that `inner` matches is matched by `pattern` too.  `inner` may be a plain subject.
---@param pattern string
---@param inner string
---@return boolean
local function covers(pattern, inner)
  local outer_tokens, outer_count = split(pattern)
  local inner_tokens, inner_count = split(inner)
  if not outer_tokens or not inner_tokens then return false end
  for i = 1, outer_count do
    local outer, token = outer_tokens[i], inner_tokens[i]
    if not token then return false end
    if outer == ">" then return true end
    if outer == "*" then
      if token == ">" then return false end
    elseif outer ~= token then
      return false
    end
  end
  return outer_count == inner_count
end

---Whether a pattern matches a subject.  Wildcards in `subject` are ordinary tokens: nobody is refused for publishing to `a.*`.
---@param pattern string
---@param subject string
---@return boolean
local function matches(pattern, subject)
  local wanted, wanted_count = split(pattern)
  local tokens, count = split(subject)
  if not wanted or not tokens then return false end
  for i = 1, wanted_count do
    local want = wanted[i]
    if i > count then return false end
    if want == ">" and i == wanted_count then return true end
    if want ~= "*" and want ~= tokens[i] then return false end
  end
  return wanted_count == count
end

---Whether some subject is matched by both patterns.
---@param a string
---@param b string
---@return boolean
local function overlap(a, b)
  local left, left_count = split(a)
  local right, right_count = split(b)
  if not left or not right then return false end
  for i = 1, math.max(left_count, right_count) do
    local l, r = left[i], right[i]
    if not l or not r then return false end
    if l == ">" or r == ">" then return true end
    if l ~= r and l ~= "*" and r ~= "*" then return false end
  end
  return true
end

return {
  split = split,
  has_wildcard = has_wildcard,
  is_literal = is_literal,
  is_subject = is_subject,
  is_pattern = is_pattern,
  matches = matches,
  covers = covers,
  overlap = overlap,
}
