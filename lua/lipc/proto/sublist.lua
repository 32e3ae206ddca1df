-- sublist.lua - which subscriptions match a subject: a trie of tokens and a cache of results.
-- A match costs the nodes on the subject's paths through the trie, whatever else is subscribed; a repeated one costs a table
-- look-up.  The cache is bounded by weight and kept in two generations, so that a stream of subjects used once (replies) does
-- not drive out those in steady use.  Subscribing and unsubscribing forget just the results that may have changed.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local split = require "lipc.proto.subject".split
local has_wildcard = require "lipc.proto.subject".has_wildcard

local find, sub = string.find, string.sub

-- Roughly what one entry of a cached result costs beside its strings.
local ENTRY_WEIGHT = 96
local DEFAULT_CACHE_WEIGHT = 8 << 20

---What is subscribed: made by the caller, who may keep more in it.  The fields with an underscore belong to the sublist.
---@class lipc.proto.Subscription
---@field subject string   a valid pattern
---@field queue? string    the name of its queue group
---@field sid? string      counted in the weight of a cached result
---@field package _node? table
---@field package _list? table
---@field package _slot? integer

---Members of one queue group that match a subject.
---@class lipc.proto.Group
---@field name string
---@field n integer
---@field [integer] lipc.proto.Subscription

---What matches a subject.  Never changed once it is made: a caller may walk it while subscriptions come and go, and may keep
---in it what it computed from it.
---@class lipc.proto.Result
---@field subject string
---@field n integer                          plain subscriptions
---@field groups? lipc.proto.Group[]         nil when there are none
---@field [integer] lipc.proto.Subscription

---@class lipc.proto.Sublist
---@field cache table<string, lipc.proto.Result>  results in steady use; `list.cache[subject] or list:match(subject)` saves a call
---@field count integer                      subscriptions
---@field nodes integer                      nodes of the trie
local Sublist = {}
Sublist.__index = Sublist

local function new_node(parent, token)
  -- used: subscriptions and nodes that hang on this one
  return { parent = parent, token = token, used = 0, kids = {}, n = 0 }
end

-- A generation of the cache: results by subject, and the subjects by their first token.
local function new_generation()
  return { results = {}, buckets = {}, weight = 0 }
end

---@param options? { cache_weight?: integer }  cache_weight: bound of the cache, roughly in bytes
---@return lipc.proto.Sublist
local function new(options)
  local self = setmetatable({ count = 0, nodes = 0 }, Sublist)
  self.root = new_node()
  -- Two generations of half the weight each.
  self.limit = (options and options.cache_weight or DEFAULT_CACHE_WEIGHT) // 2
  self:forget_all()
  return self
end

-- The cache

---@package
function Sublist:forget_all()
  self.young, self.old = new_generation(), new_generation()
  self.cache = self.young.results
end

local function first_token(subject)
  local dot = find(subject, ".", 1, true)
  return dot and sub(subject, 1, dot - 1) or subject
end

local function forget_bucket(generation, token)
  local bucket = generation.buckets[token]
  if not bucket then return end
  generation.buckets[token] = nil
  for subject in pairs(bucket) do
    generation.results[subject] = nil
  end
end

---Forgets every result that a change under `pattern` may touch.
---@package
function Sublist:forget(pattern)
  if not has_wildcard(pattern) then
    self.young.results[pattern] = nil
    self.old.results[pattern] = nil
    return
  end
  local token = first_token(pattern)
  if token == "*" or token == ">" then
    -- nothing to forget: a client with many of them comes or goes
    if self.young.weight + self.old.weight > 0 then self:forget_all() end
    return
  end
  forget_bucket(self.young, token)
  forget_bucket(self.old, token)
end

---@package
function Sublist:remember(subject, result)
  local young = self.young
  local weight = young.weight + result.weight
  if weight > self.limit then
    if result.weight > self.limit then return end
    self.old, young = young, new_generation()
    self.young, self.cache = young, young.results
    weight = result.weight
  end
  young.weight = weight
  young.results[subject] = result
  local token = first_token(subject)
  local bucket = young.buckets[token]
  if bucket then
    bucket[subject] = true
  else
    young.buckets[token] = { [subject] = true }
  end
end

-- The trie

---Adds a subscription.  Its subject must be a valid pattern, and it must not be in a list already.
---@param subscription lipc.proto.Subscription
function Sublist:insert(subscription)
  assert(not subscription._node, "subscription is in a list already")
  local tokens, count = split(subscription.subject)
  assert(tokens, "not a valid pattern")
  local node = self.root
  for i = 1, count do
    local kids, token = node.kids, tokens[i]
    local kid = kids[token]
    if not kid then
      kid = new_node(node, token)
      kids[token] = kid
      node.used = node.used + 1
      self.nodes = self.nodes + 1
    end
    node = kid
  end

  local list = node
  local queue = subscription.queue
  if queue then
    node.groups = node.groups or {}
    list = node.groups[queue]
    if not list then
      list = { n = 0, name = queue }
      node.groups[queue] = list
    end
  end
  list.n = list.n + 1
  list[list.n] = subscription
  subscription._node, subscription._list, subscription._slot = node, list, list.n
  node.used = node.used + 1
  self.count = self.count + 1
  self:forget(subscription.subject)
end

---Removes a subscription; what is not in the list is ignored.
---@param subscription lipc.proto.Subscription
---@return boolean removed
function Sublist:remove(subscription)
  local node, list, slot = subscription._node, subscription._list, subscription._slot
  if not node then return false end
  local last = list[list.n]
  list[slot] = last
  last._slot = slot
  list[list.n] = nil
  list.n = list.n - 1
  subscription._node, subscription._list, subscription._slot = nil, nil, nil
  if list ~= node and list.n == 0 then
    node.groups[list.name] = nil
    if not next(node.groups) then node.groups = nil end
  end

  node.used = node.used - 1
  while node.used == 0 and node.parent do
    local parent = node.parent
    parent.kids[node.token] = nil
    parent.used = parent.used - 1
    self.nodes = self.nodes - 1
    node = parent
  end
  self.count = self.count - 1
  self:forget(subscription.subject)
  return true
end

-- Adds one list of subscriptions to another.
local function extend(to, list, unit)
  local n, weight = to.n, 0
  for i = 1, list.n do
    local subscription = list[i]
    to[n + i] = subscription
    weight = weight + unit + #(subscription.sid or "")
  end
  to.n = n + list.n
  return weight
end

-- Adds what is subscribed at one node to a result.
local function add(result, node)
  local weight = extend(result, node, result.unit)
  if node.groups then
    result.groups = result.groups or {}
    for name, list in pairs(node.groups) do
      local group = result.groups[name]
      if not group then
        group = { name = name, n = 0 }
        result.groups[name] = group
        table.insert(result.groups, group)
      end
      weight = weight + extend(group, list, result.unit)
    end
  end
  result.weight = result.weight + weight
end

-- Follows tokens[i .. count] down from a node: the wildcards by recursion, the token itself by the loop.
local function collect(result, node, tokens, i, count)
  while true do
    local kids = node.kids
    local rest, star, kid = kids[">"], kids["*"], kids[tokens[i]]
    if rest then add(result, rest) end
    -- Published to literally, a wildcard names the node that was followed already.
    if kid == star or (kid == rest) then kid = nil end
    if i == count then
      if star then add(result, star) end
      if kid then add(result, kid) end
      return
    end
    if star then collect(result, star, tokens, i + 1, count) end
    if not kid then return end
    node, i = kid, i + 1
  end
end

---What matches a subject; nothing when the subject has an empty token.
---@param subject string
---@return lipc.proto.Result
function Sublist:match(subject)
  local result = self.young.results[subject]
  if result then return result end
  result = self.old.results[subject]
  if not result then
    -- unit: what one subscription adds to the weight; whoever formats a line per subscription holds the subject once more
    local unit = ENTRY_WEIGHT + 2 * #subject
    result = { subject = subject, n = 0, hits = 0, weight = 2 * unit, unit = unit }
    local tokens, count = split(subject)
    if tokens then collect(result, self.root, tokens, 1, count) end
  end
  self:remember(subject, result)
  return result
end

---Walks over the subjects that were looked for lately, with how often each was published to while its result was kept.
function Sublist:each_used()
  local generations, at, subject = { self.young.results, self.old.results }, 1, nil
  return function ()
    while generations[at] do
      local result
      subject, result = next(generations[at], subject)
      if not subject then
        at = at + 1
      elseif result.hits > 0 and (at == 1 or generations[1][subject] ~= result) then
        return subject, result.hits
      end
    end
  end
end

return { new = new }
