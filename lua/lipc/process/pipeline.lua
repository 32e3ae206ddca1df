--- Internal: programs and Lua functions, the output of each the input of the next.
local core = require "lipc.process.core"
local integer = require "lipc.integer"
local job = require "lipc.process.job"

local misuse, bad_seconds = job.misuse, job.bad_seconds

local function set(words)
  local s = {}
  for word in words:gmatch "%S+" do s[word] = true end
  return s
end

-- Of the whole; of the whole and each stage alike.
local of_all = set "stdin stdout stderr input timeout check max kill_after fork pgroup"
local of_each = set "cwd env env_add umask limits nice search pdeathsig keep_mask"
local of_functions = set "fork stdin stdout stderr"
local of_forks = set "fork stdin stdout stderr cwd umask limits nice pdeathsig keep_mask threads session"

local descriptors = set "inherit null pipe stdin stdout stderr"

-- Words that stand for descriptors: who gives another one most likely means something else.
local function check_words(op, options)
  for _, name in ipairs { "stdin", "stdout", "stderr" } do
    local v = options[name]
    if type(v) == "string" and not descriptors[v] then
      misuse(op, "option '%s': invalid value '%s': \"inherit\", \"null\", \"pipe\", \"stdin\", \"stdout\", \"stderr\", "
        .. "a descriptor, a file, an lipc object or {path = ...} expected%s", name, v,
        name == "stdin" and "; text goes into option 'input'" or "")
    end
  end
end

local function check_options(op, options)
  for _, name in ipairs { "timeout", "kill_after" } do
    local problem = bad_seconds(options[name], name == "timeout" and "timeout" or "time")
    if problem then misuse(op, "option '%s': %s", name, problem) end
  end
  local max = options.max
  if max ~= nil and (not integer(max) or max < 0) then
    misuse(op, "option 'max': size in bytes expected, got %s", type(max) == "number" and tostring(max) or type(max))
  end
  check_words(op, options)
  local input = options.input
  if input ~= nil and type(input) ~= "string" and type(input) ~= "function" then
    misuse(op, "option 'input': string or function expected, got %s", type(input))
  end
  if input ~= nil and options.stdin ~= nil then misuse(op, "options 'input' and 'stdin' exclude each other") end
  for _, name in ipairs { "check", "fork" } do
    if options[name] ~= nil and type(options[name]) ~= "boolean" then
      misuse(op, "option '%s': boolean expected, got %s", name, type(options[name]))
    end
  end
end

local function callable(v)
  if type(v) == "function" then return true end
  local mt = type(v) == "table" and getmetatable(v)
  return type(mt) == "table" and mt.__call ~= nil
end

-- { fn =, fork =, name =, spec = } of a stage as the user wrote it.
local function read_stage(op, options, stage, i, n)
  if callable(stage) then stage = { stage } end
  if type(stage) ~= "table" then
    misuse(op, "stage %d: table or function expected, got %s", i, type(stage))
  end
  local spec = {}
  for k, v in pairs(stage) do spec[k] = v end
  check_words(op, spec)
  local s = { spec = spec, close = {} }
  if callable(spec[1]) then
    s.fn, s.name = spec[1], "function"
    s.fork = spec.fork
    if s.fork == nil then s.fork = options.fork end
    for k in pairs(spec) do
      if k ~= 1 and not (s.fork and of_forks or of_functions)[k] then
        misuse(op, "stage %d: unknown option '%s'", i, tostring(k))
      end
    end
    spec[1], spec.fork = nil, nil
  else
    s.name = tostring(spec[1])
  end
  if i > 1 and spec.stdin ~= nil then misuse(op, "stage %d: option 'stdin' is for the first stage", i) end
  if i < n and spec.stdout ~= nil then misuse(op, "stage %d: option 'stdout' is for the last stage", i) end
  for k in pairs(of_each) do
    if spec[k] == nil and options[k] ~= nil and (not s.fn or (s.fork and of_forks[k])) then
      if not ((k == "env" and spec.env_add) or (k == "env_add" and spec.env)) then spec[k] = options[k] end
    end
  end
  return s
end

local names = { [0] = "stdin", "stdout", "stderr" }

-- A stream in this process for what a program would have got as descriptor n.
local function stream(j, s, value, n)
  if type(value) == "userdata" and io.type(value) == nil then return value end
  local mode = n == 0 and "r" or "w"
  if value == "null" then value = "/dev/null"
  elseif value == "inherit" then value = n
  elseif type(value) == "table" then value, mode = value.path, value.mode or mode
  elseif type(value) == "string" then
    misuse(j.op, "option '%s': invalid value '%s' for a Lua function", names[n], value)
  end
  if type(value) == "string" and (mode == "r") ~= (n == 0) then
    misuse(j.op, "mode '%s' for %s", tostring(mode), n == 0 and "input" or "output")
  end
  if n > 0 and io.type(value) == "file" then value:flush() end
  local made, message, code = job.checked(j.op, pcall(core.stream, value, mode))
  if not made then return nil, ("%s: %s"):format(j.op, message), code end
  s.close[made] = true
  return j:own(made)
end

-- A Lua function in this process.
local function start_function(j, s, from, to, err)
  local message, code
  local function open(value, n)
    if value ~= "pipe" then return stream(j, s, value, n) end
    local r, w, c = j:pipe()
    if not r then return nil, w, c end
    local mine = n == 0 and w or r
    local theirs = n == 0 and r or w
    s.close[theirs] = true
    if n > 0 then s[n == 1 and "stdout" or "stderr"] = j:collect(mine) end
    if n == 0 then s.stdin = mine end
    return theirs
  end
  local input, output, errors
  input, message, code = open(from, 0)
  if not input then return nil, message, code end
  if to ~= "stderr" then
    output, message, code = open(to, 1)
    if not output then return nil, message, code end
  end
  if err == "stdout" then
    errors = output
  else
    errors, message, code = open(err, 2)
    if not errors then return nil, message, code end
  end
  output = output or errors
  for _, used in ipairs { input, output } do
    if s.link and s.link[used] then s.close[used] = true end
  end
  core.breaks(output, true)
  j:run(s, s.fn, input, output, errors)
  return true
end

local Traced = { __tostring = function(e) return e[1] end }

-- What a forked child does: the pipes of the others are none of its business.
local function in_child(j, s)
  return function()
    j:close()
    local input, output, errors = core.stream(0, "r"), core.stream(1, "w"), core.stream(2, "w")
    core.breaks(output, true)
    local ok, value, message = xpcall(s.fn, debug.traceback, input, output, errors)
    if not ok then
      if core.breaks(output) then core.brokenpipe() end
      error(setmetatable({ tostring(value) }, Traced), 0)
    end
    output:flush()
    errors:flush()
    if value == false or value == nil then return value, message end -- anything else, numbers too, is success
  end
end

local function start_process(j, s, grouped, from, to, err)
  local spec = s.spec
  spec.stdin, spec.stdout, spec.stderr = from, to, err
  local process, message, code = j:start(spec, grouped, s.fn and in_child(j, s))
  if not process then return nil, message, code end
  s.process = process
  if from == "pipe" then s.stdin = process.stdin end
  if process.stdout then s.stdout = j:collect(process.stdout) end
  if process.stderr then s.stderr = j:collect(process.stderr) end
  return true
end

-- One open file for all stages: opened by each it would be emptied by each.
local function share(j, options)
  local err = options.stderr
  if type(err) == "table" and getmetatable(err) == nil then
    local opened, message, code = stream(j, { close = {} }, err, 2)
    if not opened then return nil, message, code end
    return opened
  end
  return err == nil and "pipe" or err
end

local function start(j, stages, options, grouped)
  local n = #stages
  local err, message, code = share(j, options)
  if not err then return nil, message, code end
  local from = options.input and "pipe" or stages[1].spec.stdin or options.stdin or "inherit"
  for i, s in ipairs(stages) do
    local to, next_from = stages[n].spec.stdout or options.stdout or "pipe", nil
    if i < n then
      next_from, to, code = j:pipe()
      if not next_from then return nil, to, code end
      stages[i + 1].link = { [next_from] = true }
      s.link = s.link or {}
      s.link[to] = true
    end
    local stderr = s.spec.stderr == nil and err or s.spec.stderr
    local ok
    if s.fn and not s.fork then
      ok, message, code = start_function(j, s, from, to, stderr)
    else
      ok, message, code = start_process(j, s, grouped, from, to, stderr)
      if s.link then
        for used in pairs(s.link) do used:close() end -- the child has its own
      end
    end
    if not ok then return nil, message, code end
    from = next_from
  end
  local input = options.input
  if input then
    j:feed(stages[1].stdin, type(input) == "string" and { text = input } or { next = input }, 65536)
  end
  return true
end

-- ---- results ----

local function text(buffer)
  return buffer and table.concat(buffer)
end

local function gather(stages)
  local n = #stages
  local result, errors = { ok = true, stages = {} }, nil
  local lost
  for i, s in ipairs(stages) do
    local status, stderr = s.status, text(s.stderr)
    if s.process then
      local message, code
      status, message, code = s.process:status()
      if status == nil then lost = { message, code } end
    end
    if not status then status = core.newstatus { ok = false, error = "did not end" } end
    result.stages[i] = { name = s.name, status = status, stderr = stderr }
    if stderr then
      errors = errors or {}
      errors[#errors + 1] = stderr
    end
    -- whose reader had enough has done its work
    if not status.ok and not (i < n and status.signal == "SIGPIPE") and result.ok then
      result.ok = false
      result.failed = i
    end
  end
  result.status = result.stages[n].status
  result.stdout = text(stages[n].stdout)
  result.stderr = errors and table.concat(errors)
  return result, lost
end

-- "process.run grep: exit 2: grep: x: No such file or directory"
local function complain(op, result)
  local s = result.stages[result.failed]
  local last = (s.status.error or s.stderr or ""):match "([^\n]+)\n*$"
  if s.status.error then last = s.status.error:match "[^\n]*" end
  return ("%s %s: %s%s"):format(op, s.name, tostring(s.status), last and ": " .. last or ""),
    s.status.signal or "EXIT"
end

-- Runs the stages: result | nil, message, code[, result].
local function run(op, list, options)
  check_options(op, options)
  local n = #list
  if n == 0 then misuse(op, "stages expected") end
  local stages = {}
  for i = 1, n do stages[i] = read_stage(op, options, list[i], i, n) end
  local grouped = options.pgroup
  if grouped == nil then
    -- a group of its own may not read from the terminal; without one a timeout reaches no grandchild
    local from = stages[1].spec.stdin or options.stdin or "inherit"
    grouped = options.timeout ~= nil or options.input ~= nil or from ~= "inherit" or not core.isatty(0)
  end
  local j <close>, message, code = job.new(op, options)
  if not j then return nil, message, code end
  local ok
  ok, message, code = start(j, stages, options, grouped)
  if not ok then return nil, message, code end
  ok, message, code = j:finish(true)
  local result, lost = gather(stages)
  if not ok then
    return nil, ("%s %s: %s"):format(op, stages[n].name, message), code, result
  end
  if lost then return nil, lost[1], lost[2], result end
  if options.check and not result.ok then
    message, code = complain(op, result)
    return nil, message, code, result
  end
  return result
end

return { run = run, misuse = misuse, of_all = of_all, of_each = of_each }
