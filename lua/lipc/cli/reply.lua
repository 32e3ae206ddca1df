-- reply.lua - lipc reply: answers requests, with fixed words or with what a command prints; internal.
-- SPDX-License-Identifier: MIT

local ipc = require "lipc"
local connect = require "lipc.cli.connect"
local failure = require "lipc.cli.failure"
local safe = require("lipc.cli.printer").safe

local reply = { summary = "Answer requests." }

function reply.options(command)
  command:argument("subject", "Which.")
  command:argument("answer", "What to answer."):args "?"
  command:option("--command", "What to answer is the output of this shell command. It has the request on standard input, "
    .. "its subject in $LIPC_SUBJECT and its header X-Name in $LIPC_HEADER_X_NAME: letters are capitals, all but letters and "
    .. "digits is _, several values under one name are joined by ', '. When it fails, or prints more than the broker takes, "
    .. "the answer has the headers Nats-Service-Error and Nats-Service-Error-Code, its exit status or the name of an error.")
    :argname "COMMAND"
  command:option("-q --queue", "Join this group: each request goes to one member of it."):argname "GROUP"
  command:option("-c --count", "End after so many requests."):convert(connect.count):argname "N"
  command:option("-j --jobs", "So many commands at once."):convert(connect.count):default "1":argname "N"
  command:option("-t --timeout", "A command that takes longer is ended."):convert(connect.seconds):argname "SECONDS"
  command:flag("-v --verbose", "Say on standard error when the broker has the subscription, and each request.")
  connect.header_option(command)
  connect.options(command)
end

-- Names and values of environment variables are strings of C.  Values that come under one name are joined, as a web server does
-- it for CGI: those of a header in their order, headers whose names become the same in that of their bytes.
local function environment(message)
  local headers, names = message.headers or {}, {}
  for name in pairs(headers) do names[#names + 1] = name end
  table.sort(names)
  local variables = {}
  for _, name in ipairs(names) do
    local value = headers[name]
    if type(value) == "table" then value = table.concat(value, ", ") end
    name = "LIPC_HEADER_" .. name:upper():gsub("[^A-Z0-9]", "_")
    variables[name] = (variables[name] and variables[name] .. ", " or "") .. value:gsub("%z", "")
  end
  variables.LIPC_SUBJECT = message.subject
  return variables
end

-- The headers that tell a requester what went wrong, as micro-services of NATS do.
local function failed(text, code)
  return { ["Nats-Service-Error"] = text:gsub("[\r\n]+", " "), ["Nats-Service-Error-Code"] = code }
end

-- The next request.  A lost connection is waited for; nil: there are no more.
local function next_message(subscription)
  while true do
    local message, problem, code = subscription:next()
    if message then return message end
    if code == "EOF" then return nil end
    if code ~= "ECONNRESET" then failure.fail(problem) end
  end
end

-- What a command makes of a message: data, headers.  No more is taken from it than the broker would.
local function run(arguments, message, most)
  if message.subject:find("\0", 1, true) then -- shortened it would be another one
    return "", failed("a byte 0 in the subject", "EINVAL")
  end
  local result, problem, code, partial = ipc.process.run {
    "sh", "-c", arguments.command, input = message.data, stderr = "inherit", env_add = environment(message),
    timeout = arguments.timeout, max = most, pgroup = true,
  }
  if result and result.ok then return result.stdout end
  if code == "EMSGSIZE" then return "", failed(("the command prints more than max_payload, %d bytes"):format(most), code) end
  local output = (result or partial or {}).stdout or ""
  local status = result and result.status
  if status then problem = "the command ended with " .. tostring(status) end
  if code == "ETIMEDOUT" then problem = "the command took longer than it may" end
  return output, failed(problem, status and status.code or code)
end

-- The requester gets an answer in any case: one that is too large is replaced by one that says so.
local function respond(message, data, headers, failure_headers)
  local fields = { table.unpack(headers or {}) }
  for name, value in pairs(failure_headers or {}) do fields[name] = value end
  local ok, problem, code = message:respond(data, { headers = next(fields) and fields or nil })
  if code == "EMSGSIZE" then
    fields = failure_headers or failed("the answer is larger than max_payload", code)
    ok, problem = message:respond("", { headers = fields })
  end
  if not ok then io.stderr:write("lipc reply: ", safe(problem), "\n") end
end

local function answer_all(arguments, client, subscription, headers, counter)
  for message in next_message, subscription do
    counter.taken = counter.taken + 1
    if arguments.count and counter.taken > arguments.count then return end
    if arguments.verbose then io.stderr:write("lipc reply: ", safe(message.subject), "\n") end
    local data, more = arguments.answer, nil
    if arguments.command then data, more = run(arguments, message, client:stats().max_payload) end
    if message.reply then respond(message, data, headers, more) end
  end
end

-- By SIGTERM a supervisor ends it, by SIGHUP a terminal that goes away: the commands that run are to end with it, as at Ctrl-C.
-- -> what, after loop:run(), closes the loop with them and ends by the signal that has come, if one has
local function take_signals(loop)
  local registrations, came = {}, nil
  for _, name in ipairs { "SIGTERM", "SIGHUP" } do
    if ipc.signal.disposition(name) ~= "ignore" then -- nohup
      registrations[#registrations + 1] = failure.must(ipc.signal.on(name, function ()
        came = came or name
        loop:stop()
      end))
    end
  end
  return function ()
    if not came then return end
    loop:close()
    for _, one in ipairs(registrations) do one:close() end
    ipc.signal.raise(came)
  end
end

function reply.run(arguments)
  if (arguments.answer == nil) == (arguments.command == nil) then
    failure.misuse "either an answer or '--command' is needed"
  end
  local headers = connect.headers(arguments.header)
  local loop <close> = failure.must(ipc.loop.new())
  local problem
  local function guarded(fn, ...)
    local results = table.pack(xpcall(fn, function (what)
      return failure.is(what) and what or debug.traceback(tostring(what), 2)
    end, ...))
    if not results[1] then problem = problem or results[2] end
  end
  loop:wrap(guarded, function ()
    local options = connect.staying()
    local complain = options.onerror
    options.onerror = nil -- at first the flush says what the broker refuses
    local client <close> = connect.open(arguments, options)
    local subscription = failure.must(client:subscribe(arguments.subject, { queue = arguments.queue, max = arguments.count }))
    failure.must(client:flush(10))
    client:onerror(complain)
    if arguments.verbose then io.stderr:write("lipc reply: listening on ", arguments.subject, "\n") end
    local counter, tasks = { taken = 0 }, {}
    for i = 1, arguments.jobs do
      tasks[i] = loop:wrap(guarded, answer_all, arguments, client, subscription, headers, counter)
    end
    for _, task in ipairs(tasks) do task:join() end
    if not problem then failure.must(client:flush(10)) end
  end)
  local end_by_signal = take_signals(loop)
  loop:run()
  end_by_signal()
  if problem then error(problem, 0) end
end

return reply
