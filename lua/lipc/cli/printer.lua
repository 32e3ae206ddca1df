-- printer.lua - shows messages: their bytes as they are, or for people; internal.    SPDX-License-Identifier: MIT

local failure = require "lipc.cli.failure"

local printer = {}

---Text of strangers for a terminal: nothing in it moves the cursor or worse.
---@param text string
---@param lines? boolean  line ends and tabs may stay
---@return string
function printer.safe(text, lines)
  local function escape(bytes)
    return (bytes:gsub(".", function (c) return ("\\x%02X"):format(c:byte()) end))
  end
  if not utf8.len(text) then text = text:gsub("[\x80-\xff]", escape) end
  text = text:gsub("\xc2[\x80-\x9f]", escape)
  return (text:gsub(lines and "[%z\1-\8\11-\31\127]" or "[%z\1-\31\127]", escape))
end

local function write(...)
  failure.check_output(io.stdout:write(...))
end

local function header_lines(message, clean)
  local lines, names = {}, {}
  for name in pairs(message.headers or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local values = message.headers[name]
    for _, value in ipairs(type(values) == "table" and values or { values }) do
      lines[#lines + 1] = clean(name) .. ": " .. clean(value) .. "\n"
    end
  end
  return table.concat(lines)
end

local function as_it_is(text) return text end

---Declares how messages are to be shown.
---@param command table
---@param default "raw"|"pretty"
function printer.options(command, default)
  local other = default == "raw" and "pretty" or "raw"
  command:mutex(
    command:flag("-r --raw", "The data as they are, each followed by the end of a line"
      .. (other == "pretty" and " (the default)." or ".")),
    command:flag("--pretty", "With number, subject and reply subject, and nothing that a terminal would obey"
      .. (other == "raw" and " (the default)." or ".")))
  command:flag("-0 --null", "With --raw: followed by a byte 0 instead of the end of a line.")
  command:flag("--headers", "Headers too, each on a line, and an empty line after them.")
end

---Makes the function that shows messages.
---@param default "raw"|"pretty"
---@return fun(message: table, number: integer)
function printer.new(arguments, default)
  local raw = arguments.raw or default == "raw" and not arguments.pretty
  if raw then
    local ending = arguments.null and "\0" or "\n"
    return function (message)
      if arguments.headers then write(header_lines(message, as_it_is), "\n") end
      write(message.data, ending)
    end
  end
  if arguments.null then failure.misuse "option '-0' is for --raw" end
  return function (message, number)
    local reply = message.reply and "  reply " .. printer.safe(message.reply) or ""
    write("[", number, "] ", printer.safe(message.subject), reply, "\n")
    if arguments.headers and message.headers then write(header_lines(message, printer.safe), "\n") end
    local data = printer.safe(message.data, true)
    write(data, data:sub(-1) == "\n" and "\n" or "\n\n")
  end
end

return printer
