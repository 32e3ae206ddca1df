-- Two processes edit a file in memory: a list of jobs, one a line, of which each takes one after the other and writes
-- its name behind it. A lock on the bytes of the line sees to it that no job is taken twice.   lua mmap_edit.lua [file]
local ipc = require "lipc"
local path = arg[1] or os.tmpname()
local jobs, width = 12, #"job 00: ______\n"

os.remove(path)
local map = assert(ipc.mmap.open(path, {
  create = true, exclusive = true, size = jobs * width,
  init = function(m)
    for i = 1, jobs do m:write((i - 1) * width, ("job %02d: ______\n"):format(i)) end
  end,
}))

local function work(name)
  local file = assert(ipc.flock.open(path)) -- after the fork: locks are of the open file
  for i = 1, jobs do
    local line = (i - 1) * width
    local lock = file:range(line, width)
    lock:with("exclusive", function()
      if map:read(line + 8, 6) == "______" then map:write(line + 8, ("%-6s"):format(name)) end
    end)
    ipc.sleep(0.001) -- the job
  end
  file:close()
end

local child = assert(ipc.process.fork(function() work "child" end))
work "parent"
assert(child:wait())
assert(map:sync()) -- to the disk; who opens the file sees it without
map:close()

local taken = { parent = 0, child = 0 }
for line in io.lines(path) do
  local name = line:match "^job %d%d: (%a+) *$"
  taken[name] = taken[name] + 1
end
print(("%d jobs, each taken once"):format(taken.parent + taken.child))
if not arg[1] then os.remove(path) end
