-- A classic mistake: a signal lost in a race, and the right way.
--
--   if not arrived then pause() end          what comes between the test and the pause is lost,
--                                            and the pause lasts for ever
--
-- Wrong programs are written so in every language.  Two right ways follow the wrong one.
local ipc = require "lipc"
local signal = ipc.signal
local me = signal.getpid()

-- The wrong way, in slow motion: the signal comes between the test and the wait.  This wait does not
-- know what we wait for; it would last for ever, so it is given an end here.
local arrived = false
local on = signal.on("SIGUSR1", function() arrived = true end)
if not arrived then
  signal.kill(me, "SIGUSR1") -- somebody's, at the worst moment: its callback runs now, not in the wait
  local ok = ipc.sleep(0.2)
  print("wrong: slept to the end although the signal was there: " .. tostring(ok and arrived))
end

-- Right, 1: the callback makes something ready that we wait for.  What is in the pipe stays there.
on:close()
local news, teller = assert(ipc.pipe.open())
on = signal.on("SIGUSR1", function() teller:write "!" end)
signal.kill(me, "SIGUSR1")
print("right: the pipe says " .. assert(news:readsome(1, 5)))
on:close()

-- Right, 2: the signal is blocked and queued; it cannot come at a bad moment, only be fetched.
local queue = assert(signal.set { "SIGUSR1" })
signal.kill(me, "SIGUSR1")
local info = assert(queue:receive(5))
print(("right: the queue says %s from process %s"):format(info.signal, info.pid == me and "itself" or info.pid))
queue:close()

-- A mistake of another kind: counting signals.  Ordinary ones that come together are one; real-time
-- ones are queued, each with its value.
local both = assert(signal.set { "SIGUSR1", "SIGRTMIN+1" })
for i = 1, 3 do
  signal.kill(me, "SIGUSR1")
  assert(signal.sigqueue(me, "SIGRTMIN+1", i * 10))
end
local counted, values = 0, {}
while true do
  info = both:receive(0)
  if not info then break end
  if info.signal == "SIGUSR1" then counted = counted + 1 else values[#values + 1] = info.value end
end
print(("sent 3 and 3: %d of SIGUSR1, real-time values %s"):format(counted, table.concat(values, " ")))
