-- request.lua - lipc request: asks, and shows the answers; internal.    SPDX-License-Identifier: MIT

local connect = require "lipc.cli.connect"
local failure = require "lipc.cli.failure"
local printer = require "lipc.cli.printer"

local CONNECTING = 2

local request = { summary = "Ask, and show the answer." }

function request.options(command)
  command:argument("subject", "Whom.")
  command:argument("data", "What; all of standard input when it is left out."):args "?"
  command:option("-t --timeout", "Seconds to wait for all answers."):convert(connect.seconds):default "5":argname "SECONDS"
  command:option("--replies", "So many answers; 0: all that come in time."):default "1":argname "N":convert(function (text)
    local n = math.tointeger(tonumber(text))
    if not n or n < 0 then return nil, "number expected, got '" .. text .. "'" end
    return n
  end)
  command:option("--stall", "With --replies: no longer than this for one more answer.")
    :convert(connect.seconds):argname "SECONDS"
  printer.options(command, "raw")
  connect.header_option(command)
  connect.options(command)
end

-- A responder tells of its failures in a header, see `lipc reply`.
local function complaint(answer)
  local text = answer.headers and answer.headers["Nats-Service-Error"]
  return type(text) == "table" and text[1] or text
end

function request.run(arguments)
  local show = printer.new(arguments, "raw")
  local headers = connect.headers(arguments.header)
  -- few seconds for the answers do not mean that there must be a connection in as few
  local client <close> = connect.open(arguments, { reconnect = false, timeout = math.max(arguments.timeout, CONNECTING) })
  local answers <close> = failure.must(client:requestmany(arguments.subject, connect.data(arguments.data), {
    headers = headers, timeout = arguments.timeout, stall = arguments.stall,
    max = arguments.replies > 0 and arguments.replies or nil,
  }))
  local number, problem = 0, nil
  while true do
    local answer, message, code = answers:next()
    if not answer then
      -- fewer answers than wanted are a failure
      if code ~= "EOF" and (number == 0 or number < arguments.replies) then failure.fail(message) end
      break
    end
    number = number + 1
    show(answer, number)
    failure.check_output(io.stdout:flush())
    problem = problem or complaint(answer)
  end
  if problem then failure.fail(printer.safe(problem)) end
end

return request
