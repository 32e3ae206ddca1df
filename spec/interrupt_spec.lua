-- Ctrl-C at real `lua5.4` programs: in every wait it becomes the error "interrupted!", which can be caught.
local child = require "support.child"
local signal = require "lipc".signal

local prelude = [[
  local ipc = require "lipc"
  local r, w = assert(ipc.pipe.open())
  -- Runs f, which waits for ever, and then something more, to see that all is well again.
  local function try(f)
    local ok, message = pcall(function() ready() f() end)
    print(ok, message)
    assert(ipc.sleep(0.01))
    assert(w:write "after\n" and r:read() == "after")
    print "well"
  end
]]

local waits = {
  ["a sleep"] = [[try(function() ipc.sleep(math.huge) end)]],
  ["a sleep with an end"] = [[try(function() ipc.sleep(1000) end)]],
  ["reading a pipe"] = [[try(function() r:read() end)]],
  ["lines of a pipe"] = [[try(function() for _ in r:lines() do error "a line" end end)]],
  ["writing a full pipe"] = [[
    local r2, w2 = ipc.pipe.open()
    try(function() while true do w2:write(("x"):rep(4096)) end end)]],
  ["an eventfd"] = [[local e = ipc.eventfd.open() try(function() e:take() end)]],
  ["a queue of signals"] = [[local q = ipc.signal.set { "SIGUSR1" } try(function() q:receive() end)]],
  ["a message queue"] = [[
    local name = "/lipc-" .. ipc.signal.getpid() .. "-interrupt"
    local q <close> = ipc.mqueue.open(name, { create = true, unlink = true })
    try(function() q:receive() end)]],
  ["a coroutine"] = [[try(function() assert(coroutine.wrap(function() r:read() end)()) end)]],
  ["a coroutine in a coroutine"] = [[try(function()
    coroutine.wrap(function() coroutine.wrap(function() ipc.sleep(1000) end)() end)() end)]],
  ["a sort callback"] = [[try(function() table.sort({ 2, 1 }, function() r:readsome(1) end) end)]],
  ["a signal callback"] = [[try(function()
    ipc.signal.on("SIGUSR1", function() r:readsome(1) end)
    ipc.signal.raise "SIGUSR1" end)]],
  ["a running loop"] = [[local loop = ipc.loop.new()
    local r2, w2 <close> = ipc.pipe.open()
    loop:wrap(function() r2:read() end)
    loop:wrap(function() ipc.sleep(1000) end)
    try(function() loop:run() end)
    loop:close()]],
  ["a pipeline"] = [[try(function() ipc.process.run { "cat", stdin = r } end)]],
  ["a wait while signals have callbacks"] = [[ipc.signal.on("SIGUSR1", print) try(function() r:read() end)]],
}

describe("Ctrl-C", function()
  for name, script in pairs(waits) do
    it("ends " .. name, function()
      local p, finish = child.lua(prelude .. script)
      local pid = assert(p:read "n")
      child.sleeping(pid)
      signal.kill(pid, "SIGINT")
      local ok, output = finish()
      assert.is_true(ok, output)
      assert.matches("^%s*false\t[^\n]*interrupted!\nwell\n$", output)
    end)
  end

  it("that nobody catches ends the program with a traceback", function()
    local p, finish = child.lua [[ready() require "lipc".sleep(1000)]]
    local pid = assert(p:read "n")
    child.sleeping(pid)
    signal.kill(pid, "SIGINT")
    local ok, output = finish()
    assert.is_nil(ok)
    assert.matches("exit 1: .*interrupted!\nstack traceback:.*'lipc.*sleep'", output)
  end)

  it("that a callback takes is no error", function()
    local p, finish = child.lua [[
      local ipc = require "lipc"
      local stop
      ipc.signal.on("SIGINT", function(name) stop = name end)
      ready()
      repeat assert(ipc.sleep(1000 * (stop and 0 or 1e-4))) until stop
      print(stop)]]
    signal.kill(assert(p:read "n"), "SIGINT")
    local ok, output = finish()
    assert.is_true(ok, output)
    assert.equal("\nSIGINT\n", output)
  end)

  local seed = os.time() * 1000 + signal.getpid() % 1000
  it(("is never lost at random instants (seed %d)"):format(seed), function()
    math.randomseed(seed)
    for round = 1, 25 do
      local p, finish = child.lua([[
        local ipc = require "lipc"
        local r, w = ipc.pipe.open()
        local r2, w2 = ipc.pipe.open()
        local function work()
          for i = 1, math.huge do
            ipc.sleep(i % 3 * 1e-5)
            w:write "x\n"
            r:read()
            r2:readsome(1, 1e-5)
            coroutine.wrap(function() ipc.sleep(1e-5) end)()
            if i == tonumber(arg[1]) then r2:readsome(1) end
          end
        end
        local ok, message = pcall(function() ready() work() end)
        assert(not ok)
        assert(ipc.sleep(0))
        print(message)
      ]], math.random(1, 60))
      local pid = assert(p:read "n")
      -- instants from the start of the loop to its wait for ever
      for _ = 1, math.random(0, 400000) do seed = seed end
      signal.kill(pid, "SIGINT")
      local ok, output = finish()
      assert.is_true(ok, ("round %d: %s"):format(round, output))
      assert.matches("interrupted!\n$", output, nil, nil, ("round %d"):format(round))
    end
  end)
end)
