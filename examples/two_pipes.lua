-- Two pipes, one for each direction: questions to a child, answers from it.
local ipc = require "lipc"

local questions_r, questions_w = assert(ipc.pipe.open())
local answers_r, answers_w = assert(ipc.pipe.open())

local child = assert(ipc.process.fork(function()
  questions_w:close()
  answers_r:close()
  for n in questions_r:lines "n" do answers_w:write(n * n, "\n") end
end))
questions_r:close()
answers_w:close()

for i = 1, 5 do
  questions_w:write(i, "\n")
  print(("%d squared is %d"):format(i, answers_r:read "n"))
end
questions_w:close() -- no more questions: the child ends
print("child: " .. tostring(child:wait()))

-- a program instead of a copy of this one
local sed = assert(ipc.process.spawn { "sed", "-u", "s/^/you said: /", stdin = "pipe", stdout = "pipe" })
sed.stdin:write "anything\n"
print(sed.stdout:read())
sed.stdin:close()
print("sed: " .. tostring(sed:wait()))
