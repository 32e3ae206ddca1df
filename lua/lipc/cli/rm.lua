-- rm.lua - lipc rm: removes named objects; internal.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local connect = require "lipc.cli.connect"
local failure = require "lipc.cli.failure"
local ls = require "lipc.cli.ls"
local printer = require "lipc.cli.printer"

local rm = { summary = "Remove named objects that nobody uses any more." }

function rm.options(command)
  command:argument("name", "Which, as `lipc ls` shows them. Only what nobody uses goes, see -f."):args "*"
  command:flag("--stale", "All whose creator is gone, or that were idle for long enough, and that nobody has open.")
  ls.selection(command)
  command:option("--age", "Idle for so many seconds. Default: with names 0; else 0 where the creator is known to be gone, "
    .. "a day where nobody can tell."):convert(connect.seconds):argname "SECONDS"
  command:flag("-f --force", "Used or not, whoever lives.")
  command:flag("-n --dry-run", "Remove nothing, say what would go.")
end

-- The entries of the names that were given.
local function find(names, options)
  local list = failure.must(ipc.admin.list(options))
  local chosen, missing = {}, {}
  for _, name in ipairs(names) do
    local found = false
    for _, entry in ipairs(list) do
      if entry.name == name or ls.name(entry) == name then
        chosen[#chosen + 1], found = entry, true
      end
    end
    if not found then missing[#missing + 1] = name end
  end
  return chosen, missing
end

function rm.run(arguments)
  local options = ls.selected(arguments)
  local named = #arguments.name > 0
  if not named and not arguments.stale and not options.name then
    failure.misuse "what? Names, '--match' or '--stale'"
  end
  local missing = {}
  if named then
    options.entries, missing = find(arguments.name, ls.selected(arguments))
  end
  options.age = arguments.age or named and 0 or nil
  options.force, options.dry = arguments.force, arguments.dry_run
  local removed, kept = failure.must(ipc.admin.remove(options))
  local verb = arguments.dry_run and "would remove " or "removed "
  for _, entry in ipairs(removed) do
    failure.check_output(io.stdout:write(verb, entry.kind, " ", ls.name(entry), "\n"))
  end
  failure.check_output(io.stdout:flush())
  for _, name in ipairs(missing) do io.stderr:write("lipc rm: ", printer.safe(name), ": no such object\n") end
  -- of what was not asked for by name, it is no failure that it is used
  if named or options.name then
    for _, entry in ipairs(kept) do
      io.stderr:write(("lipc rm: %s %s: %s\n"):format(entry.kind, ls.name(entry), printer.safe(entry.message)))
    end
  end
  if #missing > 0 or named and #kept > 0 then failure.quit(1) end
end

return rm
