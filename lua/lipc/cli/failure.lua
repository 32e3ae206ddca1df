-- failure.lua - how a command ends that cannot do what it was told; internal.    SPDX-License-Identifier: MIT

local Failure = {}

local failure = {}

---@return boolean
function failure.is(value) return getmetatable(value) == Failure end

---The world did not let it.
---@param message string  as lipc returns it
function failure.fail(message)
  error(setmetatable({ message = message:gsub("^client:%a+ ", ""):gsub("^subscription:%a+ ", ""), status = 1 }, Failure), 0)
end

---It was called in a wrong way.
---@param message string
---@param usage? string
function failure.misuse(message, usage)
  error(setmetatable({ message = message, usage = usage, status = 2 }, Failure), 0)
end

---Everything was said already.
---@param status integer
function failure.quit(status)
  error(setmetatable({ quiet = true, status = status }, Failure), 0)
end

---Passes on what a call of lipc returned; its failure is the command's.
function failure.must(value, message, code, ...)
  if value == nil or value == false then failure.fail(tostring(message)) end
  return value, message, code, ...
end

local EPIPE = 32 -- on every system that lipc runs on

---The result of a write to standard output: who reads it may have had enough, which is no failure to talk about.
function failure.check_output(ok, message, errno)
  if ok then return ok end
  if errno == EPIPE then failure.quit(1) end
  failure.fail("standard output: " .. tostring(message))
end

return failure
