-- What was made with unlink = true (or is a lock file, or a path that somebody listens at), and how a process ends.
local ipc = require "lipc"
local child = require "support.child"
local names = require "support.names"

local function file(make)
  return function()
    local path = names.path()
    return make, path, function() return (os.remove(path)) ~= nil end
  end
end

local function named(make, unlink)
  return function()
    local name = "/" .. names.new()
    return make, name, function() return (unlink(name)) == true end
  end
end

-- Each: what the process calls, its argument, and a function that says whether it has stayed, and removes it.
local kinds = {
  shm = named("ipc.shm.open(name, { create = true, size = 1, unlink = true })", ipc.shm.unlink),
  semaphore = named("ipc.semaphore.open(name, { create = true, unlink = true })", ipc.semaphore.unlink),
  mqueue = named("ipc.mqueue.open(name, { create = true, unlink = true, maxmsg = 1 })", ipc.mqueue.unlink),
  sync = named("ipc.sync.mutex(name, { create = true, unlink = true })", ipc.shm.unlink),
  shared = named("ipc.shared.value('i64', 0, { name = name, create = true, unlink = true })", ipc.shm.unlink),
  fifo = file "ipc.fifo.open(name, 'rw', { create = true, unlink = true })",
  lockfile = file "ipc.flock.lockfile(name)",
  socket = file "ipc.socket.listen { path = name }",
}
for kind, opts in pairs { msg = "", shm = "size = 1, ", sem = "" } do
  kinds["sysv." .. kind] = function()
    local key = 0x4e000000 | math.random(0, 0xffffff)
    return ("ipc.sysv.%s.open(tonumber(name), { create = true, %sunlink = true })"):format(kind, opts), key, function()
      local there = ipc.sysv[kind].open(key)
      return there ~= nil and there:remove()
    end
  end
end

describe("what goes with its object", function()
  for kind, prepare in pairs(kinds) do
    it("stays when its process ends by os.exit(0), and goes with os.exit(0, true) or close: " .. kind, function()
      for ending, stays in pairs { ["os.exit(0)"] = true, ["os.exit(0, true)"] = false, ["o:close() os.exit(0)"] = false } do
        local make, name, stayed = prepare()
        local _, finish = child.lua(("local ipc, name = require 'lipc', ...\nlocal o = assert(%s)\n%s"):format(make, ending), name)
        assert.same({ true, "" }, { finish() })
        assert.equal(stays, stayed(), ending)
      end
    end)
  end
end)
