-- Pipes: every constructor and method, streams included.
local ipc = require "lipc"
local adopt = require "support.adopt"
local function try(ok, message, code, ...)
  if not ok and code == "ENOMEM" then error("not enough memory", 0) end
  return ok, message, code, ...
end
local r, w, code = ipc.pipe.open { size = 65536, packet = false }
if not r then return nil, w, code end
local r2, w2
r2, w2, code = ipc.pipe.open()
if not r2 then return nil, w2, code end
for _, s in ipairs { r, w, r2, w2 } do s:settimeout(0) end
try(w:write("one\n2 three\n", 4, "\n"))
assert(try(r:read()) == "one")
assert(try(r:read("n", "l")) == 2)
local _ = r:lines()()
try(w:write(("x"):rep(100000)))
try(r:tee(w2, 1000))
try(r:splice(w2, 1000))
try(w:splice(r2, 1000, 0))
try(r:readsome(65536))
try(r:read(20000))
w:setvbuf("full", 100)
try(w:write "held")
try(w:flush())
w:setvbuf "line"
try(w:write "a\nb")
w:setvbuf "no"
r:capacity()
w:capacity(32768)
local again <close> = adopt(ipc.pipe.fromfd, r2:fd())
again:settimeout(0)
try(again:read "l")
try(again:readsome(1, 0.001))
w:close()
try(r:read "a")
tostring(r)
r:stat()
r:close()
