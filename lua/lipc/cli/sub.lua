-- sub.lua - lipc sub: shows what is published; internal.    SPDX-License-Identifier: MIT

local ipc = require "lipc"
local connect = require "lipc.cli.connect"
local failure = require "lipc.cli.failure"
local printer = require "lipc.cli.printer"

local sub = { summary = "Show messages as they come." }

function sub.options(command)
  command:argument("subject", "What to listen to; * stands for one token, > at the end for all that follow."):args "+"
  command:option("-q --queue", "Join this group: each message goes to one member of it."):argname "GROUP"
  command:option("-c --count", "End after so many messages."):convert(connect.count):argname "N"
  command:option("-t --timeout", "End, with status 1, when so many seconds have passed.")
    :convert(connect.seconds):argname "SECONDS"
  command:flag("-v --verbose", "Say on standard error when the broker has the subscriptions.")
  printer.options(command, "pretty")
  connect.options(command)
end

local must = failure.must

function sub.run(arguments)
  local show = printer.new(arguments, "pretty")
  local deadline = arguments.timeout and ipc.now() + arguments.timeout or math.huge
  local client <close> = connect.open(arguments, connect.staying())
  local number, max = 0, arguments.count
  for _, subject in ipairs(arguments.subject) do
    must(client:subscribe(subject, { queue = arguments.queue }, function (message)
      if number == max then return end
      number = number + 1
      show(message, number)
      if client:stats().messages_held == 0 then failure.check_output(io.stdout:flush()) end
      if number == max then client:stop() end
    end))
  end
  client:onerror(function (message, code)
    if failure.is(message) then error(message, 0) end -- of the function above
    if code == "EPERM" then failure.fail(message) end
    if code ~= "ECONNRESET" then io.stderr:write("lipc sub: ", printer.safe(message), "\n") end
  end)
  must(client:flush(math.min(10, arguments.timeout or 10)))
  if arguments.verbose then io.stderr:write("lipc sub: listening on ", table.concat(arguments.subject, " "), "\n") end
  while number ~= max do
    must(client:run(deadline < math.huge and math.max(0, deadline - ipc.now()) or nil))
    if number ~= max and ipc.now() >= deadline then failure.fail "timed out" end
  end
end

return sub
