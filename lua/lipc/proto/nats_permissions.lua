-- nats_permissions.lua - what a user may publish and subscribe to, as nats-server's configuration says it:
--   { publish = "a.>", subscribe = { allow = { "b.*", "jobs workers" }, deny = "b.secret" }, allow_responses = { max = 1 } }
-- A list is one pattern, several, or { allow =, deny = }; what is denied is denied whatever is allowed; where nothing is
-- allowed by name, everything is.  "subject queue" in a list for subscribing is about that queue group.  allow_responses lets
-- the user answer, so many times and so long, where a message that it got asked it to.
-- Stricter than nats-server: a wildcard is subscribed to only when all that it matches is allowed; a subject that is denied is so
-- to every queue group, also where another entry denies it to one of them.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local sublist = require "lipc.proto.sublist"
local rules = require "lipc.proto.subject"

local covers, has_wildcard, is_pattern, overlap = rules.covers, rules.has_wildcard, rules.is_pattern, rules.overlap

-- Of the results that each list keeps.
local CACHE_WEIGHT = 1 << 18

local DEFAULT_MAX, DEFAULT_EXPIRES = 1, 120

local FIELDS = { publish = true, subscribe = true, allow_responses = true }

-- "subject" or "subject queue"
local function read_entry(text, with_queue)
  if type(text) ~= "string" then return nil, "subject expected, got " .. type(text) end
  local subject, queue = text:match "^[ \t]*([^ \t]+)[ \t]*(.-)[ \t]*$"
  if not subject or not is_pattern(subject) then return nil, ("'%s' is no subject"):format(text) end
  if queue ~= "" and (not with_queue or queue:find "[ \t]" or not is_pattern(queue)) then
    return nil, ("'%s' is no subject"):format(text)
  end
  return { subject = subject, queue = queue ~= "" and queue or nil }
end

-- nil where there is none.
local function read_list(value, with_queue)
  if value == nil then return nil end
  if type(value) == "string" then value = { value } end
  if type(value) ~= "table" then return nil, "subjects expected, got " .. type(value) end
  local list, count = sublist.new { cache_weight = CACHE_WEIGHT }, 0
  for i, text in ipairs(value) do
    local entry, problem = read_entry(text, with_queue)
    if not entry then return nil, problem end
    list:insert(entry)
    list[i], count = entry, i
  end
  for key in pairs(value) do
    if math.type(key) ~= "integer" or key < 1 or key > count then
      return nil, ("unknown field '%s'"):format(tostring(key))
    end
  end
  return list
end

local function read_side(value, with_queue)
  if type(value) ~= "table" or value.allow == nil and value.deny == nil then
    local allow, problem = read_list(value, with_queue)
    return allow, nil, problem
  end
  for key in pairs(value) do
    if key ~= "allow" and key ~= "deny" then return nil, nil, ("unknown field '%s'"):format(tostring(key)) end
  end
  local allow, problem = read_list(value.allow, with_queue)
  if problem then return nil, nil, problem end
  local deny
  deny, problem = read_list(value.deny, with_queue)
  return allow, deny, problem
end

local function read_responses(value)
  if value == nil or value == false then return nil end
  if value == true then value = {} end
  if type(value) ~= "table" then return nil, "boolean or table expected, got " .. type(value) end
  for key, number in pairs(value) do
    if key ~= "max" and key ~= "expires" then return nil, ("unknown field '%s'"):format(tostring(key)) end
    if type(number) ~= "number" or key == "max" and not math.tointeger(number) then
      return nil, ("field '%s': number expected"):format(key)
    end
  end
  local max, expires = math.tointeger(value.max or 0), value.expires or 0
  return {
    max = max == 0 and DEFAULT_MAX or max > 0 and max or math.maxinteger,
    expires = expires == 0 and DEFAULT_EXPIRES or expires > 0 and expires or math.huge,
  }
end

-- Whether a queue is named by one of the groups; a name with wildcards stands for many.
local function names_queue(groups, queue)
  for i = 1, #groups do
    local name = groups[i].name
    if name == queue or has_wildcard(name) and covers(name, queue) then return true end
  end
  return false
end

-- Whether an entry covers all that a pattern matches.  `result` is what matches the pattern's own text.
local function covered(list, pattern)
  for i = 1, list.n do
    if covers(list[i].subject, pattern) then return true end
  end
  return false
end

local function allows(list, pattern, queue, wild)
  local result = list:match(pattern)
  local groups = queue and result.groups
  if groups then
    if not names_queue(groups, queue) then return false end
    if not wild then return true end
    for i = 1, #groups do
      if names_queue({ groups[i] }, queue) and covered(groups[i], pattern) then return true end
    end
    return false
  end
  if wild then return covered(result, pattern) end
  return result.n > 0
end

local function denies(list, pattern, queue)
  local result = list:match(pattern)
  local groups = queue and result.groups
  return result.n > 0 or groups and names_queue(groups, queue) or false
end

-- Entries of a deny list that a subscription may meet although it is not refused.
local function meets(list, pattern, queue)
  for i = 1, #list do
    local entry = list[i]
    local queue_fits = not entry.queue or queue and names_queue({ { name = entry.queue } }, queue)
    if queue_fits and overlap(entry.subject, pattern) then return true end
  end
  return false
end

local permissions = {}

---@param spec any
---@return lipc.proto.Permissions? permissions  nil and what is wrong
---@return string? problem
function permissions.new(spec)
  if type(spec) ~= "table" then return nil, "permissions: table expected, got " .. type(spec) end
  for key in pairs(spec) do
    if not FIELDS[key] then return nil, ("permissions: unknown field '%s'"):format(tostring(key)) end
  end
  local pub_allow, pub_deny, sub_allow, sub_deny, responses, problem
  pub_allow, pub_deny, problem = read_side(spec.publish, false)
  if problem then return nil, "permissions: publish: " .. problem end
  sub_allow, sub_deny, problem = read_side(spec.subscribe, true)
  if problem then return nil, "permissions: subscribe: " .. problem end
  responses, problem = read_responses(spec.allow_responses)
  if problem then return nil, "permissions: allow_responses: " .. problem end
  if responses and not pub_allow then pub_allow = sublist.new() end

  local self = { responses = responses }
  if pub_allow or pub_deny then
    function self.publish(subject)
      if pub_allow and (pub_allow.cache[subject] or pub_allow:match(subject)).n == 0 then return false end
      return not pub_deny or (pub_deny.cache[subject] or pub_deny:match(subject)).n == 0
    end
  end
  if sub_allow or sub_deny then
    function self.subscribe(pattern, queue)
      if sub_allow and not allows(sub_allow, pattern, queue, has_wildcard(pattern)) then return false end
      return not sub_deny or not denies(sub_deny, pattern, queue)
    end
  end
  if sub_deny then
    function self.filter(pattern, queue)
      if not has_wildcard(pattern) or not meets(sub_deny, pattern, queue) then return nil end
      return function (subject) return not denies(sub_deny, subject, queue) end
    end
  end
  return self
end

return permissions
