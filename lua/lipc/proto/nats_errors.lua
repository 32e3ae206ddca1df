-- nats_errors.lua - what the -ERR lines of a NATS server mean.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

-- Beginnings of the texts, in lower case.  What nats-server does not end the connection for is not fatal.
local KINDS = {
  { "permissions violation", code = "EPERM", fatal = false },
  { "invalid subject", code = "EINVAL", fatal = false },
  { "invalid publish subject", code = "EINVAL", fatal = false },
  { "maximum subscriptions exceeded", code = "ENOBUFS", fatal = false },
  { "authorization", code = "EACCES", fatal = true },
  { "authentication", code = "EACCES", fatal = true },
  { "user authentication", code = "EACCES", fatal = true },
  { "account authentication", code = "EACCES", fatal = true },
  { "maximum payload violation", code = "EMSGSIZE", fatal = true },
  { "maximum control line exceeded", code = "EMSGSIZE", fatal = true },
  { "maximum connections exceeded", code = "EUSERS", fatal = true },
  { "slow consumer", code = "ENOBUFS", fatal = true },
  { "stale connection", code = "ETIMEDOUT", fatal = true },
}

---Whether an error of the server's is the end of the connection, and the code for it.  What is unknown is fatal.
---@param text string  without the quotes
---@return boolean fatal
---@return string code
local function classify(text)
  local lower = text:lower()
  for _, kind in ipairs(KINDS) do
    if lower:sub(1, #kind[1]) == kind[1] then return kind.fatal, kind.code end
  end
  return true, "EPROTO"
end

return { classify = classify }
