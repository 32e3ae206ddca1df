-- log.lua - what a broker writes down, when it is asked to; internal.  A file is opened for each line: it may be moved away at
-- any time, and no descriptor is kept that a program which this process starts would inherit.    SPDX-License-Identifier: MIT

local file = require "lipc.broker.file"
local getpid = require("lipc").signal.getpid

local LINE = "[%d] %s [%s] %s\n"

-- Of what is traced.
local MOST_BYTES = 256

local function to_stderr(line) io.stderr:write(line) end

local function to_file(path)
  return function (line)
    local handle = io.open(path, "a")
    if not handle then return end
    handle:write(line)
    handle:close()
  end
end

local function nothing() end

local log = {}

---@class lipc.broker.log
---@field notice fun(format: string, ...)
---@field warn fun(format: string, ...)
---@field error fun(format: string, ...)
---@field debug fun(format: string, ...)
---@field trace? fun(format: string, ...)  nil when nothing is traced

---Whether the file, where there is one, can be opened.  Later lines that cannot be written are lost: the broker goes on.
---@param options table
---@return true? ok, string? message, string? code
function log.check(options)
  if type(options.log) ~= "string" then return true end
  local handle, message, code = file.open(options.log, "a")
  if not handle then return nil, message, code end
  handle:close()
  return true
end

---@param options table  log: true (to stderr), a path, or a function that gets each line and its level; debug, trace
---@return lipc.broker.log
function log.new(options)
  local to = options.log
  if not to then return { notice = nothing, warn = nothing, error = nothing, debug = nothing } end
  local sink = to
  if to == true then sink = to_stderr elseif type(to) == "string" then sink = to_file(to) end
  local function level(name)
    return function (format, ...)
      pcall(sink, LINE:format(getpid(), os.date "%Y/%m/%d %H:%M:%S", name, format:format(...)), name)
    end
  end
  return {
    notice = level "INF",
    warn = level "WRN",
    error = level "ERR",
    debug = options.debug and level "DBG" or nothing,
    trace = options.trace and level "TRC" or nil,
  }
end

local function has_secret(line)
  line = line:lower()
  return line:find('"pass"', 1, true) ~= nil or line:find('"auth_token"', 1, true) ~= nil or line:find("\\u", 1, true) ~= nil
end

---Bytes of the protocol on one line, without what a client shows to get in.
---@param data string
---@return string
function log.quote(data)
  local shown = data:sub(1, MOST_BYTES):gsub("[cC][oO][nN][nN][eE][cC][tT][ \t]*{[^\n]*", function (line)
    return has_secret(line) and "CONNECT {...}\r" or nil
  end)
  local text = shown:gsub("[\0-\31\127-\255\\]", function (c)
    return c == "\r" and "\\r" or c == "\n" and "\\n" or c == "\\" and "\\\\" or ("\\x%02x"):format(c:byte())
  end)
  return #data > MOST_BYTES and ("%s... (%d bytes)"):format(text, #data) or text
end

return log
