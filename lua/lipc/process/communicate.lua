--- Internal: p:communicate, which writes to a process and reads all that it says at the same time.
local integer = require "lipc.integer"
local job = require "lipc.process.job"

-- What an attempt that ran out of time had got so far; OVER: one came to the end.
local unfinished = setmetatable({}, { __mode = "k" })
local OVER = {}

local PIECE = 4096 -- PIPE_BUF: a piece is written as a whole or not at all

local function is_closed(stream)
  return stream ~= nil and not pcall(stream.fd, stream)
end

local function check(p, input, options)
  local function misuse(arg, format, ...)
    error(("bad argument #%d to 'communicate' (%s)"):format(arg, format:format(...)), 4)
  end
  p:status() -- raises when it is none, or closed
  if unfinished[p] == OVER then
    error("calling 'communicate' on bad self (it has communicated to the end already)", 3)
  end
  for _, name in ipairs { "stdout", "stderr" } do
    if is_closed(p[name]) then error(("calling 'communicate' on bad self (its %s is closed)"):format(name), 3) end
  end
  if input ~= nil and type(input) ~= "string" then misuse(1, "string expected, got %s", type(input)) end
  if input and not p.stdin then misuse(1, "its stdin is no pipe") end
  if input and not unfinished[p] and is_closed(p.stdin) then misuse(1, "its stdin is closed") end
  if options ~= nil and type(options) ~= "table" then misuse(2, "table expected, got %s", type(options)) end
  for k, v in pairs(options or {}) do
    if k ~= "timeout" and k ~= "max" then misuse(2, "unknown option '%s'", tostring(k)) end
    local problem = k == "timeout" and job.bad_seconds(v)
    if k == "max" and (not integer(v) or v < 0) then
      problem = "size in bytes expected, got " .. (type(v) == "number" and tostring(v) or type(v))
    end
    if problem then misuse(2, "option '%s': %s", k, problem) end
  end
end

return function(p, input, options)
  check(p, input, options)
  local j <close>, message, code = job.new("process.communicate", options or {})
  if not j then return nil, message, code end
  local state = unfinished[p] or { source = { text = input or "" }, stdout = { size = 0 }, stderr = { size = 0 } }
  unfinished[p] = state
  j:watch(p)
  if p.stdin and not state.source.over then j:feed(p.stdin, state.source, PIECE) end
  for _, name in ipairs { "stdout", "stderr" } do
    if p[name] then j:collect(p[name], state[name]) end
  end
  local ok
  ok, message, code = j:finish(false)
  local result = {
    stdout = p.stdout and table.concat(state.stdout),
    stderr = p.stderr and table.concat(state.stderr),
  }
  if not ok then return nil, "process:communicate: " .. message, code, result end
  unfinished[p] = OVER
  result.status, message, code = p:wait()
  if not result.status then return nil, message, code, result end
  for _, name in ipairs { "stdin", "stdout", "stderr" } do
    if p[name] then p[name]:close() end
  end
  return result
end
