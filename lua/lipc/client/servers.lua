-- servers.lua - the servers that a client knows: those it was given, and those that a server of a cluster has told it of;
-- internal.    SPDX-License-Identifier: MIT

local parse_nats = require("lipc.client.url").parse_nats

-- What a server says is not to fill the memory.
local MAX_LEARNED = 256

local servers = {}

---From 0 to 1, from a generator of the client's own: the host's math.random stays as the host has seeded it, and processes
---that were forked from one do not all come back at the same moment.
---@return number
function servers.random(self)
  self.seed = self.seed * 6364136223846793005 + 1442695040888963407
  return (self.seed >> 11) * 2.0 ^ -53
end

---@param list table[]  as url.parse gives it
---@param unique string  hexadecimal digits
---@param randomize boolean?
function servers.begin(self, list, unique, randomize)
  self.seed = math.tointeger(tonumber(unique:sub(1, 15), 16))
  self.known_servers = list
  if not randomize then return end
  for i = #list, 2, -1 do
    local j = 1 + math.floor(servers.random(self) * i)
    list[i], list[j] = list[j], list[i]
  end
end

---All servers in the order in which they are to be tried.
---@return table[]
function servers.round(self)
  return table.move(self.known_servers, 1, #self.known_servers, 1, {})
end

---A server's turn has come: it is the last one next time.
function servers.tried(self, server)
  local list = self.known_servers
  for i, one in ipairs(list) do
    if one == server then
      table.remove(list, i)
      list[#list + 1] = server
      return
    end
  end
end

---A server has told where its cluster can be reached.  One on a Unix socket is not believed: there the kernel says who it is,
---while anybody may have taken a port of this machine when the broker is gone.
---@param urls any  connect_urls of INFO
function servers.learn(self, urls)
  local from = self.trying
  if type(urls) ~= "table" or #urls == 0 or not from or from.path then return end
  local told, mentioned = {}, {}
  for i = 1, math.min(#urls, MAX_LEARNED) do
    local server = type(urls[i]) == "string" and parse_nats(urls[i]) or nil
    if server and not mentioned[server.name] then
      mentioned[server.name] = true
      told[#told + 1] = server
    end
  end
  local list, known = {}, {}
  for _, server in ipairs(self.known_servers) do
    if not server.learned or mentioned[server.name] or server == from then
      list[#list + 1] = server
      known[server.name] = true
    end
  end
  for _, server in ipairs(told) do
    if not known[server.name] then
      server.learned = true
      server.user, server.pass, server.token = from.user, from.pass, from.token
      -- anywhere among the others: not all clients of a server that ends shall go to the same one
      table.insert(list, 1 + math.floor(servers.random(self) * (#list + 1)), server)
    end
  end
  self.known_servers = list
end

return servers
