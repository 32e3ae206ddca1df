-- terminal.lua - whether a person looks on, and how much fits before him; internal.    SPDX-License-Identifier: MIT

local ipc = require "lipc"

local terminal = {}

---@param fd 0|1|2
---@return boolean
function terminal.is(fd)
  local result = ipc.process.run { "test", "-t", fd, stdin = "inherit", stdout = "inherit", stderr = "inherit", pgroup = false }
  return result ~= nil and result.ok
end

---Of the terminal on standard output.
---@return integer rows
---@return integer columns
function terminal.size()
  local result = ipc.process.run { "stty", "size", stdin = io.stdout, stderr = "null", pgroup = false }
  local rows, columns = (result and result.stdout or ""):match "^(%d+) (%d+)"
  rows, columns = math.tointeger(tonumber(rows)) or 0, math.tointeger(tonumber(columns)) or 0
  return rows > 0 and rows or 24, columns > 0 and columns or 80
end

return terminal
