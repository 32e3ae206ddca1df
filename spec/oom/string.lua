-- The sweep's own example: strings, tables, closures, a coroutine.  Nothing of lipc, so that when
-- this fails the harness is wrong.
local parts = {}
for i = 1, 20 do parts[i] = ("%d:%s"):format(i, ("x"):rep(i * 10)) end
local text = table.concat(parts, "\n")
local co = coroutine.wrap(function()
  for word in text:gmatch "%d+:" do coroutine.yield(word) end
end)
local n = 0
for _ in co do n = n + 1 end
assert(n == 20)
