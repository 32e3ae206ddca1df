-- Loaded by busted before the specs (see .busted).  After every spec file, with its objects
-- collected, the process must be as it was before: else the file fails, with what it left behind.
local busted = require "busted"

local ok, hoststate = pcall(require, "support.hoststate")
if not ok then
  error("run the specs by `make test` (TEST=spec/x_spec.lua for one): " .. tostring(hoststate), 0)
end

-- Keeps the descriptors of its loop for as long as the Lua state lives.
pcall(require, "luv")

local before, loaded, globals, patience

-- The tests of a file are still referenced here; let go of what they hold.
local function forget(element)
  for _, child in ipairs(busted.children(element)) do
    forget(child)
    child.run, child.env = nil, nil
  end
end

busted.subscribe({ "file", "start" }, function()
  loaded = {}
  for name in pairs(package.loaded) do loaded[name] = true end
  globals = {}
  for name in next, _G do globals[name] = true end
  before = hoststate.before()
  patience = tonumber(os.getenv "LIPC_SPEC_PATIENCE") or 60
  return nil, true
end)

-- First of the subscribers, so that the closing line of a file knows the result.
busted.subscribe({ "file", "end" }, function(element)
  forget(element)
  element.env = nil
  for name in next, _G do
    if not globals[name] then rawset(_G, name, nil) end
  end
  for name in pairs(package.loaded) do
    if not loaded[name] then package.loaded[name] = nil end
  end
  local found = hoststate.settle(before, patience)
  if #found > 0 then
    local message = "the process is not as it was before this file:\n  " .. table.concat(found, "\n  ")
    local trace = { short_src = element.name, currentline = 0, traceback = "", message = message }
    busted.publish({ "error", "file" }, element, busted.parent(element), message, trace)
  end
  return nil, true
end, { priority = 1 })
