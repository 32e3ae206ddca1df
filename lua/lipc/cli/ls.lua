-- ls.lua - lipc ls: the named objects of this user, or of all; internal.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local failure = require "lipc.cli.failure"
local printer = require "lipc.cli.printer"

local ls = { summary = "List named objects: shared memory, semaphores, queues, sockets." }

local KINDS = { "shm", "semaphore", "mqueue", "sysv.msg", "sysv.shm", "sysv.sem", "socket", "fifo" }

---Declares what ls and rm have in common.
function ls.selection(command)
  command:option("-k --kind", "Only these: " .. table.concat(KINDS, ", ") .. "; can be given several times.")
    :choices(KINDS):count "*":argname "KIND"
  command:option("--match", "Only those whose name this pattern matches, as the shell's: * any text, ? any byte.")
    :argname "PATTERN"
  command:flag("-a --all", "Those of all users.")
  command:option("--dir", "Look for sockets and FIFOs here too; can be given several times."):count "*":argname "PATH"
end

-- A pattern of the shell's as one of Lua's.
local function lua_pattern(glob)
  return "^" .. glob:gsub("[^%w*?]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".") .. "$"
end

---@return table  options of ipc.admin
function ls.selected(arguments)
  return {
    kind = #arguments.kind > 0 and arguments.kind or nil,
    name = arguments.match and lua_pattern(arguments.match),
    all = arguments.all,
    dirs = #arguments.dir > 0 and arguments.dir or nil,
  }
end

function ls.options(command)
  ls.selection(command)
  command:flag("-u --users", "And which processes have it open.")
  command:flag("-1 --names", "Only the kind and the name.")
end

-- 93784 -> "1d2h"
local function span(seconds)
  local s = math.max(0, math.floor(seconds))
  if s < 60 then return s .. "s" end
  if s < 3600 then return ("%dm%02ds"):format(s // 60, s % 60) end
  if s < 86400 then return ("%dh%02dm"):format(s // 3600, s // 60 % 60) end
  return ("%dd%02dh"):format(s // 86400, s // 3600 % 24)
end

local function users(entry)
  local text = table.concat(entry.users or {}, ",")
  if text == "" then text = "-" end
  return entry.partial and text .. "?" or text
end

---The name as one word for people; a private object of System V has only its number.
function ls.name(entry)
  if entry.key == 0 then return entry.name .. " id " .. entry.id end
  return printer.safe(entry.name)
end

local function row(entry, with_users)
  local cells = {
    entry.kind, printer.safe(entry.owner or tostring(entry.uid)), ("%04o"):format(entry.mode),
    entry.size and tostring(entry.size) or "-", span(entry.age), span(entry.idle), entry.creator,
  }
  if with_users then cells[#cells + 1] = users(entry) end
  cells[#cells + 1] = ls.name(entry)
  return cells
end

---Writes rows under each other; the last cell of each is as long as it is.
---@param rows string[][]
function ls.write_table(rows)
  local widths = {}
  for _, cells in ipairs(rows) do
    for i, cell in ipairs(cells) do widths[i] = math.max(widths[i] or 0, #cell) end
  end
  for _, cells in ipairs(rows) do
    local line = {}
    for i, cell in ipairs(cells) do line[i] = i < #cells and cell .. (" "):rep(widths[i] - #cell) or cell end
    failure.check_output(io.stdout:write(table.concat(line, "  "), "\n"))
  end
end

function ls.run(arguments)
  local options = ls.selected(arguments)
  options.users = arguments.users
  local list, unseen = failure.must(ipc.admin.list(options))
  if arguments.names then
    for _, entry in ipairs(list) do
      failure.check_output(io.stdout:write(entry.kind, "\t", ls.name(entry), "\n"))
    end
  elseif #list > 0 then
    local head = { "KIND", "OWNER", "MODE", "BYTES", "AGE", "IDLE", "CREATOR" }
    if arguments.users then head[#head + 1] = "USERS" end
    head[#head + 1] = "NAME"
    local rows = { head }
    for i, entry in ipairs(list) do rows[i + 1] = row(entry, arguments.users) end
    ls.write_table(rows)
  end
  failure.check_output(io.stdout:flush())
  for kind, why in pairs(type(unseen) == "table" and unseen or {}) do
    io.stderr:write(("lipc ls: %s: %s\n"):format(kind, why))
  end
end

return ls
