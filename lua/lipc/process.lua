--- ipc.process: programs and copies of this process as objects, and pipelines of them.
local core = require "lipc.process.core"

local process = { spawn = core.spawn, fork = core.fork }

local loaded = {}
local function part(name) -- what waits is loaded when it is first used
  local p = loaded[name]
  if not p then
    p = require("lipc.process." .. name)
    loaded[name] = p
  end
  return p
end

function process.run(spec)
  local pipeline = part "pipeline"
  if type(spec) ~= "table" then
    pipeline.misuse("process.run", "table expected, got %s", type(spec))
  end
  local stage, options = {}, {}
  for k, v in pairs(spec) do
    if pipeline.of_all[k] then options[k] = v else stage[k] = v end
  end
  return pipeline.run("process.run", { stage }, options)
end

function process.pipeline(spec)
  local pipeline = part "pipeline"
  if type(spec) ~= "table" then
    pipeline.misuse("process.pipeline", "table expected, got %s", type(spec))
  end
  local stages, options, last = {}, {}, 0
  for k in pairs(spec) do
    if math.type(k) == "integer" and k > last then last = k end
  end
  for i = 1, last do
    if spec[i] == nil then pipeline.misuse("process.pipeline", "the list of stages has a hole at %d", i) end
    stages[i] = spec[i]
  end
  for k, v in pairs(spec) do
    if pipeline.of_all[k] or pipeline.of_each[k] then
      options[k] = v
    elseif not stages[k] then
      pipeline.misuse("process.pipeline", "unknown option '%s'", tostring(k))
    end
  end
  return pipeline.run("process.pipeline", stages, options)
end

if core.methods then -- the first time in this state
  function core.methods:communicate(input, options)
    return part "communicate"(self, input, options)
  end
end

return process
