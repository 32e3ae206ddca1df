local ipc = require "lipc"
local probe = require "support.probe"

local function run(command)
  local p = assert(io.popen(command))
  local output = p:read "l"
  p:close()
  return output
end

describe("features", function()
  it("names the platform as uname does", function()
    local f = ipc.features()
    assert.equal(run "uname -r", f.kernel)
    assert.equal(run "uname -m", f.machine)
    assert.equal(run("uname -s"):lower(), f.platform)
    assert.equal(_VERSION:match "%d+%.%d+", f.lua)
  end)

  it("says of each thing whether it is there", function()
    local words = { kernel = true, machine = true, platform = true, lua = true }
    local f = ipc.features()
    for name, there in pairs(f) do
      assert.equal(words[name] and "string" or "boolean", type(there), name)
    end
    for _, name in ipairs { "RWF_NOSIGNAL", "RWF_NOWAIT", "clone_pidfd", "close_range", "epoll", "eventfd", "memfd",
      "ofd_locks", "pidfd", "signalfd", "splice", "timerfd" } do
      assert.is_boolean(f[name], name)
    end
    f.epoll = "mine"
    assert.is_boolean(ipc.features().epoll)
  end)

  it("agrees with what can be done", function()
    local f = ipc.features()
    assert.equal(f.eventfd, (ipc.eventfd.open()) ~= nil)
    assert.equal(f.signalfd, (ipc.signal.set "SIGUSR1") ~= nil)
    collectgarbage()
    local version = tonumber(f.kernel:match "^%d+%.%d+" or "0") or 0
    if f.platform == "linux" and version >= 5 then assert.is_true(f.epoll and f.timerfd and f.memfd and f.splice) end
  end)

  it("asks the kernel, not a list: what a filter refuses is not there", function()
    -- as many descriptors as allowed are open: nothing can be tried, and nothing may be claimed missing
    local script = [[
      local ipc, hold = require "lipc", {}
      local features = ipc.features
      local free = features()
      repeat hold[#hold + 1] = io.open "/dev/null" until not io.open "/dev/null"
      local full = features()
      for name, there in pairs(free) do
        if name ~= "ofd_locks" and not name:find "^RWF" then assert(full[name] == there, name) end
      end
      print "same"]]
    assert.equal("same", run(("ulimit -n 40; exec \"$LUA\" -e '%s' 2>&1"):format(script)))
  end)

  it("leaves nothing behind", function()
    local count = function()
      local n = 0
      for _ in pairs(probe.fds()) do n = n + 1 end
      return n
    end
    local before = count()
    for _ = 1, 100 do ipc.features() end
    assert.equal(before, count())
  end)
end)
