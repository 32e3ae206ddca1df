-- progress.lua - a bar on standard error while something takes long, if that is a terminal; internal.
-- SPDX-License-Identifier: MIT

local ipc = require "lipc"
local terminal = require "lipc.cli.terminal"

local WIDTH = 30
local INTERVAL = 0.1 -- seconds between two drawings
local PATIENCE = 0.5 -- what takes no longer is not worth a bar

local Bar = {}
Bar.__index = Bar

local function draw(self)
  local done = self.total > 0 and math.min(self.done / self.total, 1) or 1
  local full = math.floor(done * WIDTH)
  io.stderr:write(("\r%s [%s%s] %3d%%  %d/%d"):format(self.label, ("#"):rep(full), ("."):rep(WIDTH - full),
    math.floor(100 * done), self.done, self.total))
  self.drawn = true
end

---@param done integer
function Bar:update(done)
  self.done = done
  local now = ipc.now()
  if now < self.due then return end
  if self.visible == nil then self.visible = terminal.is(2) end
  self.due = self.visible and now + INTERVAL or math.huge
  if self.visible then draw(self) end
end

function Bar:close()
  if not self.drawn then return end
  draw(self)
  io.stderr:write "\n"
  self.drawn = nil
end
Bar.__close = Bar.close

---@param label string
---@param total integer
local function bar(label, total)
  return setmetatable({ label = label, total = total, done = 0, due = ipc.now() + PATIENCE }, Bar)
end

return { bar = bar }
