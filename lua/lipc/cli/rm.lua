-- rm.lua - lipc rm: removes named objects; internal.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local connect = require "lipc.cli.connect"
local failure = require "lipc.cli.failure"
local ls = require "lipc.cli.ls"
local printer = require "lipc.cli.printer"

local rm = { summary = "Remove named objects that nobody uses any more." }

function rm.options(command)
  command:argument("name", "Which, as `lipc ls` shows them. Only what nobody uses goes, see -f. Where objects of several kinds "
    .. "have the name, none of them goes unless -k says which."):args "*"
  command:flag("--stale", "All whose creator is gone, or that were idle for long enough, and that nobody has open.")
  ls.selection(command)
  command:option("--age", "Idle for so many seconds. Default: with names 0; else 0 where the creator is known to be gone, "
    .. "a day where nobody can tell."):convert(connect.seconds):argname "SECONDS"
  command:flag("-f --force", "Used or not, whoever lives.")
  command:flag("-n --dry-run", "Remove nothing, say what would go.")
end

-- The kinds of some entries, each once, in order.
local function kinds_of(entries)
  local kinds = {}
  for _, entry in ipairs(entries) do
    if not kinds[entry.kind] then
      kinds[entry.kind] = true
      kinds[#kinds + 1] = entry.kind
    end
  end
  table.sort(kinds)
  return kinds
end

-- The entries of the names that were given, and what is to be said of the other names.  Each kind has names of its own, and the
-- identifiers of System V begin at 0 in each: who says a name means one object, and hardly those of other kinds.
local function find(names, options)
  local list = failure.must(ipc.admin.list(options))
  local chosen, complaints = {}, {}
  for _, name in ipairs(names) do
    local found = {}
    for _, entry in ipairs(list) do
      -- the key of private objects is not the name of one
      if ls.name(entry) == name or entry.name == name and entry.key ~= 0 then found[#found + 1] = entry end
    end
    local kinds = kinds_of(found)
    if #kinds == 1 then
      table.move(found, 1, #found, #chosen + 1, chosen)
    else
      local problem = #kinds == 0 and "no such object"
        or ("several kinds have this name (%s): pick one with -k"):format(table.concat(kinds, ", "))
      complaints[#complaints + 1] = ("%s: %s"):format(printer.safe(name), problem)
    end
  end
  return chosen, complaints
end

function rm.run(arguments)
  local options = ls.selected(arguments)
  local named = #arguments.name > 0
  if not named and not arguments.stale and not options.name then
    failure.misuse "what? Names, '--match' or '--stale'"
  end
  local complaints = {}
  if named then
    options.entries, complaints = find(arguments.name, ls.selected(arguments))
  end
  options.age = arguments.age or named and 0 or nil
  options.force, options.dry = arguments.force, arguments.dry_run
  local removed, kept = failure.must(ipc.admin.remove(options))
  local verb = arguments.dry_run and "would remove " or "removed "
  for _, entry in ipairs(removed) do
    failure.check_output(io.stdout:write(verb, entry.kind, " ", ls.name(entry), "\n"))
  end
  failure.check_output(io.stdout:flush())
  for _, complaint in ipairs(complaints) do io.stderr:write("lipc rm: ", complaint, "\n") end
  -- of what was not asked for by name, it is no failure that it is used
  if named or options.name then
    for _, entry in ipairs(kept) do
      io.stderr:write(("lipc rm: %s %s: %s\n"):format(entry.kind, ls.name(entry), printer.safe(entry.message)))
    end
  end
  if #complaints > 0 or named and #kept > 0 then failure.quit(1) end
end

return rm
