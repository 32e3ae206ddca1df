-- A binary semaphore guards a file: several processes append to it, and no entry is torn.
-- lua semaphore_file.lua [processes] [entries]
local ipc = require "lipc"
local processes, entries = tonumber(arg[1] or 4), tonumber(arg[2] or 50)
local path = os.tmpname()
local name = "/lipc-example-" .. path:gsub("%W", "")

-- What one of them does.  An entry is written in pieces: without the semaphore they would mix.
local function append(who)
  local s = assert(ipc.semaphore.binary(name))
  for i = 1, entries do
    s:with(function() -- taken, and given back however this ends
      local f <close> = assert(io.open(path, "a"))
      f:setvbuf "no"
      for _, piece in ipairs { "[", who, ":", i, "]", "\n" } do f:write(piece) end
    end)
  end
  s:close()
end

-- The maker has it removed when it closes.  A process that is killed while it holds the semaphore leaves it taken:
-- ipc.sysv.sem with undo, or a file lock, is given back by the kernel.
local guard = assert(ipc.semaphore.binary(name, { create = true, exclusive = true, unlink = true }))
local children = {}
for who = 1, processes do
  children[who] = assert(ipc.process.fork(function() append(who) end))
end
for _, child in ipairs(children) do assert(child:wait()) end
guard:close()

local whole, torn = 0, 0
for line in io.lines(path) do
  if line:find "^%[%d+:%d+%]$" then whole = whole + 1 else torn = torn + 1 end
end
os.remove(path)
print(("%d entries of %d, %d torn"):format(whole, processes * entries, torn))
