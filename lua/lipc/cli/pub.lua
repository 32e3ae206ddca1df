-- pub.lua - lipc pub: publishes; internal.    SPDX-License-Identifier: MIT

local connect = require "lipc.cli.connect"
local failure = require "lipc.cli.failure"
local progress = require "lipc.cli.progress"

local pub = { summary = "Publish a message." }

function pub.options(command)
  command:argument("subject", "Where to.")
  command:argument("data", "What; all of standard input when it is left out."):args "?"
  command:flag("-l --lines", "Each line of standard input is a message, published as it comes.")
  command:option("-c --count", "So many times."):convert(connect.count):default "1":argname "N"
  command:option("--reply", "The subject for answers."):argname "SUBJECT"
  command:option("-t --timeout", "Seconds that the broker may take to confirm.")
    :convert(connect.seconds):default "5":argname "SECONDS"
  connect.header_option(command)
  connect.options(command)
end

local must = failure.must

function pub.run(arguments)
  local options = { reply = arguments.reply, headers = connect.headers(arguments.header) }
  if not next(options) then options = nil end
  if arguments.lines and (arguments.data or arguments.count > 1) then
    failure.misuse "option '-l' takes no data and no count"
  end
  local client <close> = connect.open(arguments, { reconnect = false, timeout = arguments.timeout })
  if arguments.lines then
    for line in io.lines() do must(client:publish(arguments.subject, line, options)) end
  else
    local data, count = connect.data(arguments.data), arguments.count
    if count > 1 then client:setvbuf "full" end
    local bar <close> = progress.bar("pub", count)
    for i = 1, count do
      must(client:publish(arguments.subject, data, options))
      if i % 1000 == 0 then bar:update(i) end
    end
    bar:update(count)
  end
  must(client:flush(arguments.timeout))
end

return pub
