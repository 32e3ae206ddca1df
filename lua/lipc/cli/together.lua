-- together.lua - the same work in several processes that begin at one moment; internal.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local failure = require "lipc.cli.failure"
local codec = ipc.codec

local must = failure.must

local together = {}

-- Seconds between two words of a child about how far it is.
local PAUSE = 0.1

-- In the child.  What it says are lines: "ready"; "at" and how far it is; "done" and the length of the result, which follows.
-- It may begin when the pipe `go` ends.
local function work(fn, argument, go, answers)
  local due = 0
  local ok, result = pcall(fn, argument, function ()
    must(answers:write "ready\n")
    go:read "a"
  end, function (done)
    local now = ipc.now()
    if now < due then return end
    due = now + PAUSE
    must(answers:write("at ", done, "\n"))
  end)
  if not ok then return nil, failure.is(result) and result.message or tostring(result) end
  local bytes = codec.encode(result)
  must(answers:write("done ", #bytes, "\n", bytes))
end

local Child = {}
Child.__index = Child

local function start(fn, argument, go, go_end)
  local answers, answers_end = must(ipc.pipe.open())
  local process = must(ipc.process.fork(function ()
    answers:close()
    go_end:close()
    return work(fn, argument, go, answers_end)
  end, { stdin = "null", pdeathsig = "SIGKILL", kill_on_close = true }))
  answers_end:close()
  return setmetatable({ process = process, answers = answers }, Child)
end

-- The word and the number of its next line; when there is none it has failed.
function Child:hear()
  local line = self.answers:read "l"
  if line then
    local word, number = line:match "^(%l+) ?(%d*)$"
    return word, tonumber(number)
  end
  local status = must(self.process:wait())
  failure.fail(status.error or "a client ended: " .. tostring(status))
end

---Runs fn(argument, start, done) for each argument, in a process of its own if there are several, and returns their results.
---In it start() returns when all have called it, done(n) tells how far it is.
---@param fn fun(argument: any, start: fun(), done: fun(n: integer)): any
---@param arguments any[]
---@param started fun()  all of them have begun
---@param progress fun(done: integer)  the sum of what they tell
---@return any[] results
function together.run(fn, arguments, started, progress)
  if #arguments == 1 then return { fn(arguments[1], started, progress) } end
  local go, go_end = must(ipc.pipe.open())
  local children <close> = setmetatable({}, { __close = function (list)
    for _, child in ipairs(list) do child.process:close() end
  end })
  for i, argument in ipairs(arguments) do children[i] = start(fn, argument, go, go_end) end
  for _, child in ipairs(children) do child:hear() end -- "ready"
  started()
  go_end:close()
  local loop <close> = must(ipc.loop.new())
  local results, sum = {}, 0
  for i, child in ipairs(children) do
    loop:wrap(function ()
      local before = 0
      local word, number = child:hear()
      while word == "at" do
        sum, before = sum + number - before, number
        progress(sum)
        word, number = child:hear()
      end
      results[i] = codec.decode(must(child.answers:read(number)))
    end)
  end
  loop:run()
  return results
end

return together
