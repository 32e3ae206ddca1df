-- A broker and a client in one loop.
local ipc = require "lipc"
local names = require "support.names"
local path = names.path ".sock"
local loop <close>, message, code = ipc.loop.new()
if not loop then return nil, message, code end
local broker <close> = ipc.broker.new { path = path }
local ok
ok, message, code = broker:wrap(loop)
if not ok then return nil, message, code end
local failed
local function try(result, problem, why)
  if not result then
    failed = { problem, why }
    error("failed", 0)
  end
  return result
end
local task = loop:wrap(function()
  local c <close> = try(ipc.connect("unix://" .. path, { timeout = 5, reconnect = false, onstatus = function() end }))
  local sub = try(c:subscribe "a.*")
  try(c:subscribe("ask", { queue = "q" }, function(msg) msg:respond "answer" end))
  try(c:publish("a.b", "x", { headers = { A = "1" } }))
  local msg = try(sub:next(5))
  assert(msg.headers.A == "1")
  try(c:request("ask", "x", 5))
  local answers = try(c:requestmany("ask", "x", { max = 1, timeout = 5 }))
  assert(try(answers:next()).data == "answer")
  local bounded = try(c:subscribe("b", { pending_messages = 1 }))
  for _ = 1, 3 do try(c:publish("b", "x")) end
  try(bounded:drain(5))
  assert(bounded:dropped() == 2)
  try(c:request("$SYS.REQ.SERVER.PING.CONNZ", "", 5))
  try(c:drain(5))
end)
loop:wrap(function()
  local joined, problem = task:join()
  broker:stop()
  if not joined and not failed then error(problem, 0) end
end)
loop:run()
if failed then
  -- the broker survives want of memory; its client may see no more than a closed connection
  return nil, failed[1], "ENOMEM"
end
