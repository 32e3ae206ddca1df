-- Views: made of each kind, read and written in each way.
local ipc = require "lipc"
local m <close> = assert(ipc.mmap.anonymous(4096))
local v = m:view("i32", 0, 10)
v:set(1, { 1, 2, 3 }):fill(7, 5):copy(2, v, 1, 4)
v[1] = v[2] + 1
assert(#v:totable() == 10 and select("#", v:get(1, 4)) == 4 and #tostring(v) > 0)
m:view("f64", 0, 5):copy(1, v, 1, 5) -- the same memory, as another type
v:set(1, { 1, 2, 3 })
local b = m:view("bytes", 1000):setstring(1, ("x"):rep(1000))
assert(#b:string(1, 500) == 500 and b:string(1, 20) == ("x"):rep(20) and b:find "xx" and b:find(120))
assert(select("#", pairs(v)(v, 0)) == 2)
assert(v:slice(2, 3):compare(v) and v:equal(v) and v:map() == m and v:type())
local inner = ipc.view.layout { { "n", "char", 8 }, { "xyz", "f32", 3 } }
local layout = ipc.view.layout { { "a", "i64" }, { "in", inner }, { "list", inner, 2 }, { "m", "i16", { 2, 2 } }, pad = "cacheline" }
assert(#layout:fields() == 4 and layout:offset "m" > 0 and #tostring(layout) > 0)
local r = m:view(layout, 2048, 3)
local x = { a = 1, ["in"] = { n = "name", xyz = { 1, 2 } }, m = { { 1, 2 }, { 3 } } }
r[1] = x
r:set(2, { x, r[1] }):fill(x, 3)
r[2]["in"].xyz = { 4 }
r:field "in":field "n":fill "same"
r:field "a":copy(2, r:field "a", 1, 2)
assert(r:get(1).list[2].n == "" and #r:totable() == 3 and r:field("m", 1)[1][2] == 2 and r:field "m":get(1)[2][1] == 3)
assert(#r:field "a":string() == 24 and #tostring(r[1]) > 0)
assert(pairs(r[1])(r[1]) == "a")
local w = m:view("u32", 3000, 2)
w:store(1, 5)
assert(w:add(1, 1) == 5 and w:cas(1, 6, 7) and w:load(1) == 7 and w:wake(1) == 0 and w:wait(1, 0) == 7)
local ok, message, code = w:wait(1, 7, 0.001)
if code == "ENOMEM" then return ok, message, code end
assert(not ok and code == "ETIMEDOUT")
