-- Reads a FIFO on the loop while other coroutines go on: lua fifo_async_reader.lua [path]
-- `keep` makes it a server: writers come and go (echo hello >path), the reader sees no end between them.
-- A line "quit" ends it.  Without a path it writes to itself.
local ipc = require "lipc"
local path = arg[1] or os.tmpname() .. ".fifo"
local loop = ipc.loop.new()

local r = assert(ipc.fifo.open(path, "r", { create = true, unlink = true, keep = true }))
local ticks, done = 0, false

loop:wrap(function()
  for line in r:lines() do -- only this coroutine waits
    print("got " .. line)
    if line == "quit" then break end
  end
  done = true
end)

loop:wrap(function()
  while not done do
    ipc.sleep(0.01)
    ticks = ticks + 1
  end
end)

if not arg[1] then
  os.remove(path:gsub("%.fifo$", "")) -- os.tmpname made a file of that name
  loop:wrap(function()
    for _, word in ipairs { "one", "two", "quit" } do
      local w <close> = assert(ipc.fifo.open(path, "w", { timeout = 30 })) -- a new writer each time
      assert(w:write(word, "\n"))
      ipc.sleep(0.03)
    end
  end)
end

assert(loop:run())
print(ticks > 0 and "the other coroutine went on meanwhile" or "no time has passed")
r:close()
