-- run, pipelines and commands.
local ipc = require "lipc"
local process = ipc.process
local r, message, code

local function pass(input, output) output:write(input:read "a") end
r, message, code = process.pipeline { { "printf", "a" }, pass, { pass, fork = true }, input = nil }
if not r then return nil, message, code end
-- a stage that was short of memory says so in its status
if r.ok then assert(r.stdout == "a") end

r, message, code = (ipc.cmd("echo", "x") / pass):run()
if not r then return nil, message, code end
