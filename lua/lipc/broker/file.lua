-- file.lua - regular files, with the names of errors as everywhere in lipc; internal.    SPDX-License-Identifier: MIT

-- Of the errors that io.open and its like report; these numbers are the same on all systems.
local ERRNO = {
  [2] = "ENOENT", [12] = "ENOMEM", [13] = "EACCES", [20] = "ENOTDIR", [21] = "EISDIR", [23] = "ENFILE", [24] = "EMFILE",
  [28] = "ENOSPC", [30] = "EROFS",
}

local file = {}

---@param path string
---@param mode string?
---@return file*? handle, string? message, string? code
function file.open(path, mode)
  local handle, message, errno = io.open(path, mode)
  if handle then return handle end
  return nil, message, ERRNO[errno] or "EIO"
end

---The whole of a file, or so many bytes of it.
---@param path string
---@param what "a"|integer?
---@return string? text, string? message, string? code
function file.read(path, what)
  local handle, message, code = file.open(path, "rb")
  if not handle then return nil, message, code end
  local text, problem, errno = handle:read(what or "a")
  handle:close()
  if text then return text end
  return nil, path .. ": " .. (problem or "cannot be read"), ERRNO[errno] or "EIO"
end

---@param path string
---@param ... string|integer
---@return true? ok, string? message, string? code
function file.write(path, ...)
  local handle, message, code = file.open(path, "w")
  if not handle then return nil, message, code end
  local written, problem, errno = handle:write(...)
  local closed, close_problem, close_errno = handle:close()
  if written and closed then return true end
  return nil, path .. ": " .. (problem or close_problem), ERRNO[errno or close_errno] or "EIO"
end

return file
