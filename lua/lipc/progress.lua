--- ipc.progress: a line on the terminal that shows how far something has come.
local ipc = require "lipc"
local columns = require("lipc.core").pool().columns

local now, forks = ipc.now, require("lipc.core").wait().forks

local Bar = {}
Bar.__index = Bar
Bar.__name = "lipc.progress.bar"

local known = { label = "string", total = "number", width = "number", interval = "number", plain = "boolean", file = true }

local function check_bar(self, op)
  if getmetatable(self) ~= Bar then
    error(("bad argument #1 to '%s' (lipc.progress.bar expected, got %s)"):format(op, type(self)), 3)
  end
end

local function clock(seconds)
  seconds = math.ceil(seconds)
  if seconds >= 3600 then return ("%d:%02d:%02d"):format(seconds // 3600, seconds // 60 % 60, seconds % 60) end
  return ("%d:%02d"):format(seconds // 60, seconds % 60)
end

local function percent(done, total)
  if total <= 0 then return 100 end
  return math.floor(math.min(done / total, 1) * 100)
end

-- "label [#####.....]  50%  500/1000  0:07", no longer than the line is wide.
local function text(self)
  local done, total = self.done, self.total
  local elapsed = now() - self.began
  local head = self.label and self.label .. " " or ""
  if not total then return head .. ("%d  %s"):format(done, clock(elapsed)) end
  local left = done >= total and elapsed or done > 0 and elapsed / done * (total - done) or 0
  local tail = (" %3d%%  %d/%d  %s"):format(percent(done, total), done, total, clock(left))
  local room = math.min(self.width - 1 - #head - #tail - 2, 40)
  if room < 5 then return head .. tail end
  local filled = percent(done, total) * room // 100
  return ("%s[%s%s]%s"):format(head, ("#"):rep(filled), ("."):rep(room - filled), tail)
end

local function draw(self)
  local line = text(self):sub(1, math.max(self.width - 1, 1))
  local blank = (" "):rep(self.drawn - #line) -- what a longer one has left
  self.drawn, self.shown = #line, self.done
  self.file:write("\r", line, blank, ("\b"):rep(#blank))
  self.file:flush()
end

local function say(self) -- on what is no terminal: a line for each quarter
  if not self.plain or not self.total then return end
  local quarter = percent(self.done, self.total) // 25
  if quarter > self.quarter then
    self.quarter = quarter
    self.file:write(self.label and self.label .. " " or "", percent(self.done, self.total), "%\n")
    self.file:flush()
  end
end

-- A number that can be shown as a whole one.
local function check_number(op, arg, n)
  if type(n) ~= "number" then
    error(("bad argument #%d to '%s' (number expected, got %s)"):format(arg, op, type(n)), 3)
  end
  if not math.tointeger(math.floor(n)) then error(("bad argument #%d to '%s' (%s is out of range)"):format(arg, op, n), 3) end
end

function Bar:update(done, total)
  check_bar(self, "update")
  check_number("update", 1, done)
  if total ~= nil then check_number("update", 2, total) end
  if self.closed then return self end
  self.done, self.total = math.floor(done), total and math.floor(total) or self.total
  if not self.terminal then
    say(self)
    return self
  end
  local finished = self.total and self.done >= self.total
  local time = now()
  if finished or time >= self.due then
    self.due = time + self.interval
    draw(self)
    if finished then self:close() end
  end
  return self
end

function Bar:advance(n)
  check_bar(self, "advance")
  if n ~= nil then check_number("advance", 1, n) end
  return self:update(self.done + (n or 1))
end

-- Takes the line away, for something else to be written; the next update draws it again.
function Bar:clear()
  check_bar(self, "clear")
  if self.drawn > 0 then
    self.file:write("\r", (" "):rep(self.drawn), "\r")
    self.file:flush()
    self.drawn, self.due = 0, 0
  end
  return self
end

function Bar:close()
  check_bar(self, "close")
  if not self.closed then
    self.closed = true
    if self.drawn > 0 and self.generation == forks() then -- the line is not a forked child's
      if self.shown ~= self.done then draw(self) end
      self.drawn = 0
      self.file:write "\n"
      self.file:flush()
    end
  end
  return true
end

Bar.__close = Bar.close
Bar.__gc = Bar.close
Bar.__call = Bar.update

function Bar:__tostring()
  return ("lipc.progress.bar (%d%s%s)"):format(self.done, self.total and "/" .. self.total or "",
    self.closed and ", closed" or "")
end

local progress = {}

local function width_of(file, given)
  local wide = columns(file)
  if not wide or os.getenv "TERM" == "dumb" then return nil end
  local columns_variable = math.tointeger(tonumber(os.getenv "COLUMNS"))
  return given or columns_variable and columns_variable > 0 and columns_variable or wide > 0 and wide or 80
end

function progress.bar(options)
  options = options or {}
  if type(options) ~= "table" then
    error(("bad argument #1 to 'bar' (table expected, got %s)"):format(type(options)), 2)
  end
  for k, v in pairs(options) do
    if not known[k] then error(("bad argument #1 to 'bar' (unknown option '%s')"):format(tostring(k)), 2) end
    if known[k] ~= true and type(v) ~= known[k] then
      error(("bad argument #1 to 'bar' (option '%s': %s expected, got %s)"):format(k, known[k], type(v)), 2)
    end
    if k == "total" or k == "width" then
      if not math.tointeger(math.floor(v)) then
        error(("bad argument #1 to 'bar' (option '%s': %s is out of range)"):format(k, v), 2)
      end
    end
    if type(v) == "number" and (v < 0 or v ~= v) then
      error(("bad argument #1 to 'bar' (option '%s': must not be %s)"):format(k, v < 0 and "negative" or "NaN"), 2)
    end
  end
  local file = options.file or io.stderr
  if io.type(file) ~= "file" then
    error(("bad argument #1 to 'bar' (option 'file': open file expected, got %s)"):format(io.type(file) or type(file)), 2)
  end
  local width = width_of(file, options.width and math.floor(options.width))
  return setmetatable({
    file = file, label = options.label, total = options.total and math.floor(options.total), terminal = width ~= nil,
    width = width or 80, interval = options.interval or 0.1, plain = options.plain, done = 0, drawn = 0, due = 0,
    generation = forks(),
    quarter = -1, began = now(), closed = false,
  }, Bar)
end

return progress
