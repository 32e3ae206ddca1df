-- Two queues for two directions between two processes: what a process sends into a queue that it also
-- reads may come back to itself.
local ipc = require "lipc"

local base = os.getenv "TALK" or "/lipc-example-talk"
local new = { create = true, exclusive = true, unlink = true, maxmsg = 4, msgsize = 128 }

local questions = assert(ipc.mqueue.open(base .. "-questions", new))
local answers = assert(ipc.mqueue.open(base .. "-answers", new))

-- The child opens them by name, as a program that is no relative would.
local child = assert(ipc.process.fork(function()
  local q <close> = assert(ipc.mqueue.open(base .. "-questions", { access = "r" }))
  local a <close> = assert(ipc.mqueue.open(base .. "-answers", { access = "w" }))
  while true do
    local question = assert(q:receive(10))
    if question == "" then return end -- a message may be empty: the sign to end
    assert(a:send(question:upper(), 10))
  end
end))

for _, question in ipairs { "is anybody there?", "who is it?" } do
  assert(questions:send(question, 10))
  local answer = assert(answers:receive(10))
  print(question, answer)
end
assert(questions:send("", 10))
print("child: " .. tostring(child:wait(10)))

questions:close() -- made with unlink: removed with it
answers:close()
print(ipc.mqueue.open(base .. "-answers"))
