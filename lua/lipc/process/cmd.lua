--- Internal: ipc.cmd, commands that are put together by `/`.
local pipeline = require "lipc.process.pipeline"

local Command = { __name = "lipc.command" }
Command.__index = Command

local function is_command(v) return getmetatable(v) == Command end

local function callable(v)
  if type(v) == "function" then return true end
  local mt = type(v) == "table" and getmetatable(v)
  return type(mt) == "table" and mt.__call ~= nil
end

local function stages_of(v)
  if is_command(v) then return v.stages end
  if callable(v) or type(v) == "table" then return { v } end
  error(("attempt to join a command with a %s value"):format(type(v)), 3)
end

-- a / b: the output of a is the input of b
function Command.__div(a, b)
  local stages = {}
  for _, side in ipairs { stages_of(a), stages_of(b) } do
    for _, s in ipairs(side) do stages[#stages + 1] = s end
  end
  return setmetatable({ stages = stages }, Command)
end

local function check(self, options, name)
  if not is_command(self) then
    error(("bad argument #1 to '%s' (lipc.command expected, got %s)"):format(name, type(self)), 3)
  end
  if options ~= nil and type(options) ~= "table" then
    error(("bad argument #1 to '%s' (table expected, got %s)"):format(name, type(options)), 3)
  end
  for k in pairs(options or {}) do
    if not (pipeline.of_all[k] or pipeline.of_each[k]) then
      error(("bad argument #1 to '%s' (unknown option '%s')"):format(name, tostring(k)), 3)
    end
  end
end

function Command:run(options)
  check(self, options, "run")
  return pipeline.run("cmd.run", self.stages, options or {})
end

function Command:output(options)
  check(self, options, "output")
  local copy = { check = true }
  for k, v in pairs(options or {}) do copy[k] = v end
  local result, message, code, partial = pipeline.run("cmd.output", self.stages, copy)
  if not result then return nil, message, code, partial end
  return result.stdout or ""
end

function Command:__tostring()
  local words = {}
  for i, s in ipairs(self.stages) do
    if callable(s) or callable(s[1]) then
      words[i] = "function"
    else
      local quoted = {}
      for k, word in ipairs(s) do
        word = tostring(word)
        quoted[k] = word:find "^[%w_./:=@%%+,-]+$" and word or "'" .. word:gsub("'", [['\'']]) .. "'"
      end
      words[i] = table.concat(quoted, " ")
    end
  end
  return table.concat(words, " | ")
end

-- cmd("grep", "x"), cmd { "grep", "x", cwd = "/" }, cmd(fn)
return function(...)
  local first = ...
  local stage
  if select("#", ...) == 1 and (type(first) == "table" or callable(first)) then
    if is_command(first) then return first end
    stage = first
  else
    stage = { ... }
    for i = 1, select("#", ...) do
      local v = stage[i]
      if type(v) ~= "string" and type(v) ~= "number" then
        error(("bad argument #%d to 'cmd' (string expected, got %s)"):format(i, type(v)), 3)
      end
    end
    if not stage[1] then error("bad argument #1 to 'cmd' (string expected, got no value)", 3) end
  end
  return setmetatable({ stages = { stage } }, Command)
end
