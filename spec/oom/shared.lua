-- Shared values, arrays, records and dictionaries: made in each way, used, closed.
local ipc = require "lipc"
local names = require "support.names"
local name = "/" .. names.new()
local function try(ok, message, code, ...)
  if ok == nil and code == "ENOMEM" then error("not enough memory", 0) end
  return ok, message, code, ...
end
local function run()
  local shared = ipc.shared
  do
    local v <close> = try(shared.value("i64", 1, { name = name, create = true, unlink = true }))
    local again <close> = try(shared.open(name))
    assert(v:add(1) == 2 and again:get() == 2 and v:set(3))
    assert(v:update(function(x) return x + 1 end) == 4)
    assert(v:with(function(o) return o:get() end) == 4)
    assert(v:stat().of == "i64" and tostring(v))
    local _, _, code = shared.value("i8", nil, { name = name })
    assert(code == "EINVAL" or code == "ENOMEM")
  end
  do
    local s <close> = try(shared.value("string", "abc", { capacity = 4000 }))
    assert(s:set(("x"):rep(3000)) and #s:get() == 3000)
  end
  do
    local d <close> = try(shared.dict { capacity = 4, bytes = 4000 })
    assert(d:set("a", ("x"):rep(2000)) and #d:get "a" == 2000)
    assert(d:set("b", 1) and d:add("b", 1) == 2 and d:count() == 2 and #d == 2)
    local n = 0
    for _ in pairs(d) do n = n + 1 end
    assert(n == 2 and #d:snapshot().a == 2000 and d:stat().count == 2)
    assert(d:update("b", function() end) == nil and d:delete "a" and d:clear())
  end
  do
    local a <close> = try(shared.array("i32", 4, { name = name, create = true, unlink = true }))
    a[1] = 5
    local again <close> = try(shared.open(name))
    assert(again[1] == 5 and #a == 4 and a:totable()[1] == 5 and a:stat().count == 4)
  end
  do
    local s <close> = try(shared.struct({ { "x", "f64" }, { "n", "i32", 2 } }, { name = name, create = true, unlink = true }))
    s.x = 1
    local again <close> = try(shared.open(name))
    assert(again.x == 1.0 and #again.n == 2)
  end
end
local ok, message = pcall(run)
collectgarbage()
os.remove("/dev/shm" .. name)
if not ok then error(message, 0) end
