-- A Lua function between two programs.
local ipc = require "lipc"

local function longwords(input, output)
  for line in input:lines() do
    for word in line:gmatch "%a+" do
      if #word > 5 then output:write(word:lower(), "\n") end
    end
  end
end

local text = [[
Processes that talk to each other through a pipe need no files in between;
each waits for the other, and when a reader has seen enough the writer is told.
]]
io.write(assert((ipc.cmd "cat" / longwords / ipc.cmd("sort", "-u")):output { input = text, timeout = 60 }))

-- what never ends by itself is ended by its reader
local r = assert(ipc.process.pipeline { { "yes", "no end in sight: endless" }, longwords, { "head", "-n", 2 }, timeout = 60 })
io.write(r.stdout)
for _, stage in ipairs(r.stages) do print(stage.name, stage.status) end
