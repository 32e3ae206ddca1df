-- credentials.lua - what a broker makes up where nothing was given: a token for TCP, which lies in a file of mode 0600; internal.
-- SPDX-License-Identifier: MIT

local ipc = require "lipc"
local file = require "lipc.broker.file"

local credentials = {}

---So many bytes from the kernel's random numbers, in hexadecimal digits.
---@param bytes integer
---@return string? digits, string? message, string? code
function credentials.random(bytes)
  local data, message, code = file.read("/dev/urandom", bytes)
  if not data then return nil, message, code end
  return (data:gsub(".", function (c) return ("%02x"):format(c:byte()) end))
end

---The user that this process runs as, as the kernel tells it to peers.
---@return integer? uid  nil, message, code
function credentials.uid()
  local a, b, code = ipc.socket.pair()
  if not a then return nil, b, code end
  local cred, message
  cred, message, code = a:peercred()
  a:close()
  b:close()
  if not cred then return nil, message, code end
  return cred.uid
end

---Writes the token to a file that nobody else can read, whatever the umask says.
---@param path string
---@param token string
---@return true? ok, string? message, string? code
function credentials.save(path, token)
  local made, temporary = pcall(os.tmpname) -- by mkstemp(3): mode 0600
  if not made then return nil, "broker.listen " .. path .. ": " .. temporary, "EIO" end
  local written, message, code = file.write(temporary, token, "\n")
  if not written then
    os.remove(temporary)
    return nil, "broker.listen " .. message, code
  end
  if os.rename(temporary, path) then return true end
  -- another file system
  local process
  process, message, code = ipc.process.spawn { "mv", "-f", "--", temporary, path, stdin = "null" }
  local status = process and process:wait(10)
  if process then process:close() end
  if status and status.ok then return true end
  os.remove(temporary)
  return nil, message or "broker.listen " .. path .. ": cannot write the token", code or "EIO"
end

return credentials
