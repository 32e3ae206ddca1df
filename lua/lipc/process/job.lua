--- Internal: processes and Lua functions that belong together, with the pipes between them and us, run
-- by a loop of their own until all have ended, the time is over, or an error (Ctrl-C) comes.
local ipc = require "lipc"
local core = require "lipc.process.core"
local loop = require "lipc.loop"
local bad_seconds = require("lipc.loop.waiting").bad_seconds

local now, huge = ipc.now, math.huge

local Job = {}
Job.__index = Job

local DYING = 5 -- seconds that killed processes get to be gone

-- ---- errors ----

-- Misuse is reported where the user's code is, not in here.
local function blame()
  local level = 2
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then return "" end
    if info.what ~= "C" and not info.short_src:find "lipc/process[/.]" then
      return info.currentline > 0 and ("%s:%d: "):format(info.short_src, info.currentline) or ""
    end
    level = level + 1
  end
end

-- Raises "bad argument #1 to 'run' (...)".
local function misuse(op, format, ...)
  error(("%sbad argument #1 to '%s' (%s)"):format(blame(), op:match "[^.]+$", format:format(...)), 0)
end

-- Calls a function of the core; its misuse becomes ours.
local function checked(op, ok, ...)
  if ok then return ... end
  local err = ...
  local what = type(err) == "string" and err:match "bad argument #%d+ to '[^']*' %((.*)%)$"
  if what then misuse(op, "%s", what) end
  error(err, 0)
end

-- ---- making ----

-- options: timeout, kill_after, max; op is the name for messages.
function Job.new(op, options)
  local l, message, code = loop.new()
  if not l then return nil, message, code end
  local timeout = options.timeout
  return setmetatable({
    op = op,
    loop = l,
    deadline = timeout and timeout < huge and now() + timeout or huge,
    kill_after = options.kill_after or 1,
    max = options.max or huge,
    members = {},   -- { process =, leads = } of each process
    owned = {},     -- streams to be closed in the end
    buffers = {},   -- reader -> what it gave
    outputs = {},   -- buffered output of a Lua function -> { task =, flusher =, broken = }
    running = 0,    -- processes and functions that have not ended
    alive = 0,      -- processes among them
  }, Job)
end

function Job:own(stream)
  self.owned[#self.owned + 1] = stream
  return stream
end

-- A pipe inside of the job: reader, writer | nil, message, code.
function Job:pipe()
  local r, w, code = ipc.pipe.open()
  if not r then return nil, w, code end
  return self:own(r), self:own(w)
end

-- Waits for the end of a process too, which remains its owner's.
function Job:watch(process)
  self.running = self.running + 1
  self.alive = self.alive + 1
  self.loop:wrap(function()
    process:exited()
    self.running = self.running - 1
    self.alive = self.alive - 1
  end)
end

-- Takes a process in.
function Job:add(process, leads)
  self.members[#self.members + 1] = { process = process, leads = leads }
  self:watch(process)
  return process
end

-- Starts a program, or fn in a forked child.  All that are to be in a group of ours join the first's.
function Job:start(spec, grouped, fn)
  local join = grouped and spec.pgroup == nil and not spec.session
  if join then spec.pgroup = self.leader or true end
  spec.kill_on_close = true
  local process, message, code
  if fn then
    process, message, code = checked(self.op, pcall(core.fork, fn, spec))
  else
    process, message, code = checked(self.op, pcall(core.spawn, spec))
  end
  if not process then return nil, (message:gsub("^process%.%a+", self.op)), code end
  if join and not self.leader then self.leader = process end
  local leads = spec.pgroup == true or spec.session == true
  return self:add(process, leads)
end

-- ---- what runs in the loop ----

-- Reads until the end, or until nobody is left who could write.
function Job:collect(reader, buffer)
  buffer = buffer or { size = 0 }
  self.buffers[reader] = buffer
  self.loop:wrap(function()
    while not buffer.done do self:take(reader, buffer) end
  end)
  return buffer
end

function Job:take(reader, buffer, timeout)
  local chunk, message, code = reader:readsome(65536, timeout)
  if chunk then
    buffer[#buffer + 1] = chunk
    buffer.size = buffer.size + #chunk
    if buffer.size > self.max then self:fail("output is longer than max", "EMSGSIZE") end
  elseif code ~= "ETIMEDOUT" then
    buffer.done = true
    if code ~= "EOF" then self:fail(message, code) end
  end
  return chunk
end

-- Writes a string, or what a function returns call after call until nil; then closes.  source keeps
-- how far it came, for another attempt; pieces of one size go or stay as a whole.
function Job:feed(writer, source, size)
  self.loop:wrap(function()
    repeat
      local text = source.text or source.next()
      source.text = text
      local at = source.at or 1
      while text and at <= #text do
        local whole = at == 1 and #text <= size
        if not writer:write(whole and text or text:sub(at, at + size - 1)) then
          source.over = true -- nobody reads any more: not our error
          break
        end
        at = at + size
        source.at = at
      end
      source.text, source.at = nil, nil
    until source.over or not text or not source.next
    source.over = true
    writer:close()
  end)
end

-- Runs a Lua function as a stage: its status is put into entry.
function Job:run(entry, fn, input, output, errors)
  local stage = {}
  self.running = self.running + 1
  if entry.close[output] and output ~= errors then
    output:setvbuf "full"
    self.outputs[output] = stage
  end
  stage.task = self.loop:wrap(function()
    local ok, value, message = xpcall(fn, debug.traceback, input, output, errors)
    local broken = stage.broken or core.breaks(output)
    local status = { ok = true, code = 0 }
    if not ok then
      status = { ok = false, code = 1, error = tostring(value) }
    elseif value == false or (value == nil and message ~= nil) then
      status = { ok = false, code = 1, error = message ~= nil and tostring(message) or nil }
    end
    self.outputs[output] = nil
    core.breaks(output, false)
    for _, stream in ipairs { input, output, errors } do
      local done, why, code = true, nil, nil
      if entry.close[stream] then done, why, code = stream:close() elseif stream.flush then stream:flush() end
      if not done and stream == output and status.ok then -- what was still buffered could not go
        status, broken = { ok = false, code = 1, error = why }, code == "EPIPE"
      end
    end
    if broken and not status.ok then status = { ok = false, signal = "SIGPIPE", core = false } end
    entry.status = core.newstatus(status)
    self.running = self.running - 1
  end)
end

-- What Lua stages wrote goes on whenever they wait, for whatever: nobody has to flush for the next stage.
function Job:flush()
  for output, stage in pairs(self.outputs) do
    if not stage.flusher then
      local open, done, _, code = pcall(output.flush, output, 0)
      if not open then -- closed by the stage itself
        self.outputs[output] = nil
      elseif code == "EPIPE" then -- a program would get SIGPIPE
        self.outputs[output] = nil
        stage.broken = true
        stage.task:cancel "broken pipe"
      elseif not done and code == "ETIMEDOUT" then
        stage.flusher = self.loop:wrap(function()
          pcall(output.flush, output)
          stage.flusher = nil
        end)
      end
    end
  end
end

function Job:fail(message, code)
  if not self.failure then self.failure = { message = message, code = code } end
end

-- ---- to the end ----

-- Turns of the loop until done() or the deadline: whether it was done.
function Job:turn(deadline, done)
  while not done() do
    local left = deadline - now()
    if left <= 0 then return false end
    self:flush()
    if not self.loop:step(left) and not done() then ipc.sleep(math.min(left, 0.01)) end
  end
  return true
end

function Job:signal(name)
  for _, m in ipairs(self.members) do
    if m.leads then m.process:killgroup(name) else m.process:kill(name) end
  end
end

-- Whether a grandchild runs on; zombies that somebody else has to reap do not count.
function Job:populated()
  for _, m in ipairs(self.members) do
    if m.leads and core.grouprunning(m.process) then return true end
  end
  return false
end

-- SIGTERM to all, and after a while SIGKILL to what is left, grandchildren too.
function Job:terminate()
  local function gone() return self.alive == 0 end
  if self.kill_after > 0 then
    local deadline = now() + self.kill_after
    self:signal "SIGTERM"
    self:turn(deadline, gone)
    local pause = 0.001
    while now() < deadline and self:populated() do
      self:turn(math.min(deadline, now() + pause), function() return false end)
      pause = math.min(pause * 2, 0.05)
    end
  end
  self:signal "SIGKILL"
  self:turn(now() + DYING, gone)
end

-- Runs everything until it has ended.  true | nil, message, code; kill: what still runs after a
-- failure is ended.
function Job:finish(kill)
  local in_time = self:turn(self.deadline, function() return self.running == 0 or self.failure end)
  if not in_time then self:fail("timed out", "ETIMEDOUT") end
  if self.failure and kill then self:terminate() end
  self.loop:close()
  -- A grandchild may keep a pipe open for ever, or fill it for ever: what was in it counts.
  for reader, buffer in pairs(self.buffers) do
    local most = buffer.size + (reader:capacity() or 65536)
    while not buffer.done and buffer.size < most do
      if not self:take(reader, buffer, 0) then break end
    end
  end
  if not self.failure then return true end
  return nil, self.failure.message, self.failure.code
end

-- Kills what runs and closes what is open; also in a forked stage, where it only closes.
function Job:close()
  self.loop:close()
  for _, m in ipairs(self.members) do m.process:close() end
  for _, stream in ipairs(self.owned) do
    if io.type(stream) == nil then pcall(stream.settimeout, stream, 0) end
    stream:close()
  end
end

Job.__close = Job.close

return { new = Job.new, misuse = misuse, checked = checked, bad_seconds = bad_seconds }
