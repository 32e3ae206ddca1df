-- The state of this process that a guest must leave as it found it: descriptors, children,
-- threads, mappings of shared memory, names in the kernel, signal dispositions and mask, umask,
-- working directory, locale.
--
--   local hoststate = require "support.hoststate"
--   local before = hoststate.before()
--   ...
--   assert.same({}, hoststate.diff(before, hoststate.take()))   -- a list of sentences
--
-- spec/helper.lua asks this after every spec file.  SPDX-License-Identifier: MIT
local probe = require "support.probe"

local hoststate = {}

-- Changes that are part of the design, not leaks: kind -> key -> reason.
hoststate.allowed = {
  signal = {},
}

local run_mark = os.getenv "LIPC_SPEC_RUN"

local function slurp(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local s = f:read "a"
  f:close()
  return s
end

local function numbers(dir)
  local list = {}
  for _, name in ipairs(probe.list(dir) or {}) do
    local n = math.tointeger(tonumber(name))
    if n then list[#list + 1] = n end
  end
  return list
end

-- The name and state of a process, its parent; nil when it is gone.
local function procstat(pid)
  local s = slurp("/proc/" .. pid .. "/stat")
  if not s then return nil end
  local name, state, ppid = s:match "^%d+ %((.*)%) (%a) (%d+)"
  return name, state, math.tointeger(tonumber(ppid))
end

local function is_ours(pid)
  if not run_mark then return false end
  local env = slurp("/proc/" .. pid .. "/environ")
  return env ~= nil and ("\0" .. env):find("\0LIPC_SPEC_RUN=" .. run_mark .. "\0", 1, true) ~= nil
end

-- Children, dead or alive, and processes that carry the mark of this run: orphans, that is.
local function processes()
  local self, found = probe.getpid(), {}
  for _, pid in ipairs(numbers "/proc") do
    if pid ~= self then
      local name, state, ppid = procstat(pid)
      if ppid == self then
        found[pid] = ("child %d (%s)%s"):format(pid, name, state == "Z" and ", a zombie" or "")
      elseif name and state ~= "Z" and is_ours(pid) then
        found[pid] = ("orphaned process %d (%s)"):format(pid, name)
      end
    end
  end
  return found
end

-- Names and identifiers in the kernel are everybody's.  A name that contains the process id of a
-- living process of another run of the specs is not ours (names in specs are made by
-- support.names); what has nothing of lipc in it counts only where nothing else runs.
local function foreign(name)
  local pid = name:match "lipc[-.](%d+)"
  if pid then
    return tonumber(pid) ~= probe.getpid() and procstat(pid) ~= nil and not is_ours(pid)
  end
  return (os.getenv "CI" or "") == "" and not name:find("lipc", 1, true)
end

local function names(dir, list)
  local found = {}
  for _, name in ipairs(list or probe.list(dir) or {}) do
    if not foreign(name) then found[name] = dir .. "/" .. name end
  end
  return found
end

-- Without being root only where they are mounted.  valgrind does not know the calls, and says so.
local function mqueues()
  return names("/dev/mqueue", os.getenv "LIPC_SPEC_MODE" ~= "valgrind" and probe.mqueues() or nil)
end

local function sysv(kind)
  local found, uid = {}, probe.getuid()
  local path = "/proc/sysvipc/" .. kind
  local columns
  for line in (slurp(path) or ""):gmatch "[^\n]+" do
    local fields = {}
    for word in line:gmatch "%S+" do fields[#fields + 1] = word end
    if not columns then
      columns = {}
      for i, word in ipairs(fields) do columns[word] = i end
    else
      local id = fields[2]
      local maker = fields[columns.cpid or 0]
      local theirs = maker and tonumber(maker) ~= probe.getpid() and procstat(maker) ~= nil
        and not is_ours(maker)
      if tonumber(fields[columns.uid]) == uid and not theirs then
        found[id] = ("System V %s id %s (key %s)"):format(kind, id, fields[1])
      end
    end
  end
  return found
end

local function mappings()
  local found = {}
  for line in (slurp "/proc/self/maps" or ""):gmatch "[^\n]+" do
    local range, name = line:match "^(%S+) %S+ %S+ %S+ %d+%s+(.+)$"
    if name and (name:find "^/dev/shm/" or name:find "^/memfd:" or name:find "^/SYSV" or name:find "^/dev/zero") then
      found[range .. name] = ("mapping of %s at %s"):format(name, range)
    end
  end
  return found
end

local function descriptors()
  local found = probe.fds()
  for fd, target in pairs(found) do
    found[fd] = ("descriptor %d -> %s"):format(fd, target)
  end
  return found
end

local function threads()
  local found = {}
  for _, tid in ipairs(numbers "/proc/self/task") do found[tid] = "thread " .. tid end
  return found
end

-- What exists now and did not before, or differs.
local kinds = {
  descriptor = descriptors,
  process = processes,
  thread = threads,
  shm = function() return names "/dev/shm" end,
  mqueue = mqueues,
  ["sysv msg"] = function() return sysv "msg" end,
  ["sysv shm"] = function() return sysv "shm" end,
  ["sysv sem"] = function() return sysv "sem" end,
  mapping = mappings,
}

-- What is one value and must be the same.
local values = {
  mask = probe.mask,
  ["alternate signal stack"] = probe.altstack,
  umask = function() return (slurp "/proc/self/status" or ""):match "Umask:%s*(%d+)" end,
  ["working directory"] = function() return (probe.readlink "/proc/self/cwd") end,
  locale = function() return os.setlocale(nil) end,
}

-- The state to compare with.  What nothing holds any more goes first: a collection in between must
-- not look like something that was closed behind its owner's back.
function hoststate.before()
  collectgarbage()
  collectgarbage()
  return hoststate.take()
end

function hoststate.take()
  local state = { signal = probe.dispositions() }
  for kind, look in pairs(kinds) do state[kind] = look() end
  for name, look in pairs(values) do state[name] = look() end
  return state
end

-- Sentences that say what `after` has more than, or different from, `before`; empty when nothing.
function hoststate.diff(before, after)
  local found = {}
  for kind in pairs(kinds) do
    for key, what in pairs(after[kind]) do
      if not before[kind][key] then
        found[#found + 1] = "left behind: " .. what
      elseif kind == "descriptor" and before[kind][key] ~= what then
        found[#found + 1] = ("changed: %s, before: %s"):format(what, before[kind][key])
      end
    end
  end
  for fd, what in pairs(before.descriptor) do
    if not after.descriptor[fd] then
      found[#found + 1] = "closed behind its owner's back: " .. what
    end
  end
  for s = 1, 64 do
    local was, is = before.signal[s], after.signal[s]
    if was ~= is and not hoststate.allowed.signal[s] then
      found[#found + 1] = ("changed: disposition of signal %d is %s, was %s"):format(s, is, was)
    end
  end
  for name in pairs(values) do
    if before[name] ~= after[name] then
      found[#found + 1] = ("changed: %s is %s, was %s"):format(name, after[name], before[name])
    end
  end
  table.sort(found)
  return found
end

-- Like diff(before, take()), but gives what is on its way out (a process that was killed, a thread
-- that ends) until the deadline to go.
function hoststate.settle(before, seconds)
  local deadline = probe.now() + (seconds or 60)
  while true do
    collectgarbage()
    collectgarbage()
    local found = hoststate.diff(before, hoststate.take())
    if #found == 0 or probe.now() > deadline then return found end
    probe.pause(0.01)
  end
end

return hoststate
