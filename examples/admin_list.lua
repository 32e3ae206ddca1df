-- What there is of this user's named objects, who uses it, and, when asked, the removal of what was left behind.
-- lua admin_list.lua [pattern]             lists
-- lua admin_list.lua --dry [pattern]       says what a clean-up would remove
-- lua admin_list.lua --clean [pattern]     removes it
local ipc = require "lipc"

local action = arg[1] and arg[1]:match "^%-%-(%l+)$"
local pattern = arg[action and 2 or 1]

local function printable(s) return (s:gsub("[^%g ]", function(c) return ("\\%03d"):format(c:byte()) end)) end

local function line(e)
  local users = #(e.users or {}) > 0 and table.concat(e.users, ",") or "-"
  return ("%-10s %-8s %04o %10s %9.0fs  %-12s %s%s"):format(
    e.kind, e.owner or e.uid, e.mode, e.size or "-", e.age, users .. (e.partial and "?" or ""), printable(e.name),
    e.id and (" id %d"):format(e.id) or "")
end

if not action then
  local list, unseen = assert(ipc.admin.list { name = pattern, users = true })
  print(("%-10s %-8s %4s %10s %10s  %-12s %s"):format("KIND", "OWNER", "MODE", "SIZE", "AGE", "USED BY", "NAME"))
  for _, e in ipairs(list) do print(line(e)) end
  for kind, why in pairs(unseen or {}) do print(("%-10s cannot be listed: %s"):format(kind, why)) end
elseif action == "dry" or action == "clean" then
  local removed, kept = assert(ipc.admin.remove { name = pattern, dry = action == "dry" })
  for _, e in ipairs(removed) do print((action == "dry" and "would go  " or "removed   ") .. printable(e.name)) end
  for _, e in ipairs(kept) do print(("stays     %s: %s"):format(printable(e.name), e.message)) end
else
  error("unknown option --" .. action)
end
