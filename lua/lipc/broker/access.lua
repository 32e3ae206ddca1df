-- access.lua - who may connect to a broker, and what they may do then; internal.  Somebody is known by a token, by name and
-- password, or by the user that the kernel says is at the other end of a Unix socket.    SPDX-License-Identifier: MIT

local integer = require "lipc.integer"
local nats_permissions = require "lipc.proto.nats_permissions"

local access = {}

local USER_FIELDS = { user = "string", password = "string", pass = "string", uid = "integer", permissions = "permissions" }

local function check_user(one)
  if type(one) ~= "table" then return nil, "table expected, got " .. type(one) end
  for key, value in pairs(one) do
    local wanted = USER_FIELDS[key]
    if not wanted then return nil, ("unknown field '%s'"):format(tostring(key)) end
    if wanted == "permissions" then
      local ok, problem = access.check_permissions(value)
      if not ok then return nil, problem end
    elseif wanted ~= (integer(value) and "integer" or type(value)) or value == "" then
      return nil, ("field '%s': %s expected"):format(key, wanted)
    end
  end
  local password = one.password or one.pass
  if one.password and one.pass then return nil, "both 'password' and 'pass'" end
  if not one.user and not one.uid then return nil, "neither 'user' nor 'uid'" end
  if password and not one.user then return nil, "a password without 'user'" end
  if one.user and not password and not one.uid then return nil, "no password" end
  if password and password:find "^%$2[abxy]%$" then return nil, "hashed passwords are not supported" end
  return true
end

---Whether a value is a list of users.
---@param list any
---@return boolean? ok, string? problem
function access.check_users(list)
  if type(list) ~= "table" then return nil, "list of users expected" end
  local names, uids, count = {}, {}, 0
  for i, one in ipairs(list) do
    count = i
    local ok, problem = check_user(one)
    if not ok then return nil, ("user %d: %s"):format(i, problem) end
    local twice = one.user and names[one.user] and one.user or one.uid and uids[one.uid] and one.uid
    if twice then return nil, ("user %d: '%s' is there already"):format(i, twice) end
    if one.user then names[one.user] = true end
    if one.uid then uids[one.uid] = true end
  end
  for key in pairs(list) do
    if math.type(key) ~= "integer" or key < 1 or key > count then return nil, "list of users expected" end
  end
  return true
end

---Whether a value says what somebody may do.
---@param value any
---@return boolean? ok, string? problem
function access.check_permissions(value)
  local ok, problem = nats_permissions.new(value)
  return ok ~= nil, problem
end

-- Takes as long for a near miss as for a far one: the time depends on what is given alone, not on the secret or its length.
local function equal(given, secret)
  if type(given) ~= "string" then given = "" end
  local length = #secret
  local difference, cycle = #given ~ length, math.max(length, 1)
  for i = 0, #given - 1 do
    difference = difference | (given:byte(i + 1) ~ (secret:byte(i % cycle + 1) or 0))
  end
  return difference == 0
end

-- Compared with where there is no such user, so that an answer does not tell whether there is one.
local NOBODY = { password = ("?"):rep(16) }

---Whether there is something that a client over TCP can show.
---@param options table
---@return boolean
function access.has_login(options)
  if options.token or options.user then return true end
  for _, one in ipairs(options.users or {}) do
    if one.password or one.pass then return true end
  end
  return false
end

---Whether a client has to show something.
---@param options table
---@param peer { trusted: boolean?, uid: integer?, ip: string? }
---@return boolean
function access.needs_login(options, peer)
  if peer.trusted or peer.ip and options.insecure then return false end
  for _, one in ipairs(peer.uid and options.users or {}) do
    if one.uid == peer.uid then return false end
  end
  return true
end

---What the server asks at CONNECT, and at a reload; nil when everybody who gets as far as that may do everything.
---@param options table
---@param always? boolean  never nil
---@return (fun(session: lipc.proto.Session, given: table): lipc.proto.Permissions|boolean)?
function access.new(options, always)
  local token, users, uids = options.token, {}, {}
  local default = options.default_permissions and nats_permissions.new(options.default_permissions) or true
  for _, one in ipairs(options.users or {}) do
    local user = {
      password = one.password or one.pass, uid = one.uid,
      permissions = one.permissions and nats_permissions.new(one.permissions) or default,
    }
    if one.user then users[one.user] = user end
    if one.uid then uids[one.uid] = user end
  end
  if options.user then users[options.user] = { password = options.pass, permissions = true } end
  if not always and not token and not next(users) and not next(uids) and default == true then return nil end

  local insecure = options.insecure

  -- Somebody who shows nothing is who the kernel says; over TCP nobody, or anybody where that is enough.  Who shows something
  -- wrong is nobody: he would believe to be the user that he named.
  local function unnamed(session)
    local peer = session.peer
    if peer.trusted then return true end
    local user = uids[peer.uid]
    if user then return user.permissions end
    return insecure and peer.ip and default
  end

  -- Whether there is anything that what is shown could be compared with.
  local asks = access.has_login(options)

  local function shown(text) return text ~= nil and text ~= "" end

  return function (session, given)
    local found = false
    local user = given.user ~= nil and users[given.user]
    if token and given.auth_token ~= nil and not user then -- whatever name is beside it
      found = equal(given.auth_token, token)
    elseif given.user ~= nil then
      local right = equal(given.pass, user and user.password or NOBODY.password)
      if user and not user.password and user.uid == session.peer.uid then return unnamed(session) end -- he is who he says
      found = right and user and user.password and user.permissions or false
    end
    if found or asks and (shown(given.user) or shown(given.pass) or shown(given.auth_token)) then return found end
    return unnamed(session)
  end
end

return access
