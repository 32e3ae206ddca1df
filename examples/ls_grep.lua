-- ls | grep .txt: two programs and a pipe between them: lua ls_grep.lua [directory]
local ipc = require "lipc"
local directory = arg and arg[1] or "."

local r = assert(ipc.process.pipeline { { "ls", directory }, { "grep", "\\.txt$" } })
io.write(r.stdout)
print("ls: " .. tostring(r.stages[1].status), "grep: " .. tostring(r.status))

-- the same as a command, put together by /
local files = (ipc.cmd("ls", directory) / ipc.cmd("grep", "\\.txt$")):run()
print(files.stdout == r.stdout)
