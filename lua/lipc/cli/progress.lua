-- progress.lua - a bar on standard error, if that is a terminal, for what takes longer than a moment; internal.
-- SPDX-License-Identifier: MIT

local ipc = require "lipc"

local PATIENCE = 0.5 -- what takes no longer is not worth a bar

local Bar = {}
Bar.__index = Bar

---@param done integer
function Bar:update(done)
  if not self.bar then
    if ipc.now() < self.due then return end
    self.bar = ipc.progress.bar { label = self.label, total = self.total }
  end
  self.bar:update(done)
end

function Bar:close()
  if self.bar then self.bar:close() end
end
Bar.__close = Bar.close

---@param label string
---@param total integer
local function bar(label, total)
  return setmetatable({ label = label, total = total, due = ipc.now() + PATIENCE }, Bar)
end

return { bar = bar }
