-- main.lua - the command line `lipc`: finds the command, and turns its end into a message and an exit status; internal.
-- 0: done; 1: the world did not let it; 2: called in a wrong way; 130: Ctrl-C.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local failure = require "lipc.cli.failure"

local COMMANDS = { "broker", "pub", "sub", "request", "reply", "bench", "top", "ls", "rm" }

local main = {}

-- Misuse, as argparse finds it: of the command that it was about.
local function misuse(parser, message)
  failure.misuse(message:sub(1, 1):lower() .. message:sub(2), parser:get_usage())
end

local function make_parser()
  local found, argparse = pcall(require, "argparse")
  if not found then
    failure.fail "it needs the Lua module argparse (Debian package lua-argparse, or `luarocks install argparse`)"
  end
  local parser = argparse("lipc", "Messages between processes: a broker, its clients, and what is left of named objects.")
  parser.error = misuse
  parser:command_target "called"
  parser:require_command(true):help_max_width(100):help_description_margin(28):help_usage_margin(2):usage_max_width(100)
  local subs = { help = parser:command("help", "Show how a command is called.") }
  subs.help:argument("command", "Which; all of them when it is left out."):args "?"
  subs.help:action(function (arguments)
    local about = arguments.command
    if about and not subs[about] then misuse(parser, ("unknown command '%s'"):format(about)) end
    print((subs[about] or parser):get_help())
    os.exit(0, true)
  end)
  parser:flag("--version", "Show the version."):action(function ()
    print(ipc._VERSION)
    os.exit(0, true)
  end)
  for _, name in ipairs(COMMANDS) do
    local command = require("lipc.cli." .. name)
    subs[name] = parser:command(name, command.summary)
    command.options(subs[name])
  end
  return parser
end

-- What an error was, as text and exit status.
local function explain(name, problem)
  if failure.is(problem) then
    if problem.quiet then return nil, problem.status end
    local text = ("%s: %s\n"):format(name, problem.message)
    if problem.usage then text = text .. problem.usage .. "\n" end
    return text, problem.status
  end
  if type(problem) == "string" and problem:find("interrupted!", 1, true) then return nil, 130 end
  return ("%s: %s\n"):format(name, problem), 1
end

---Runs a command line.
---@param argv string[]
---@return integer status  for os.exit
function main.run(argv)
  local name = "lipc"
  for _, command in ipairs(COMMANDS) do
    if argv[1] == command then name = "lipc " .. command end
  end
  local ok, problem = xpcall(function ()
    local command = argv[1] and name ~= "lipc" and require("lipc.cli." .. argv[1])
    local arguments = make_parser():parse(command and command.prepare and command.prepare(argv) or argv)
    require("lipc.cli." .. arguments.called).run(arguments)
    failure.check_output(io.stdout:flush())
  end, function (problem)
    if failure.is(problem) or type(problem) ~= "string" or problem:find("interrupted!", 1, true) then return problem end
    return debug.traceback(problem, 2)
  end)
  if ok then return 0 end
  local text, status = explain(name, problem)
  if text then io.stderr:write(text) end
  return status
end

return main
