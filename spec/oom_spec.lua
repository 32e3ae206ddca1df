-- The allocation-failure sweep (spec/host/oom.c): what it lets pass and what it finds.
local names = require "support.names"

local function sweep(text)
  local script, out = names.path ".lua", names.path ".out"
  local f = assert(io.open(script, "w"))
  f:write(text)
  f:close()
  local ok = os.execute(("sh .build/oom %s >%s 2>&1 </dev/null"):format(script, out))
  f = assert(io.open(out))
  local output = f:read "a"
  f:close()
  os.remove(script)
  os.remove(out)
  return ok, output
end

local function finds(text, message)
  local ok, output = sweep(text)
  assert.is_nil(ok, output)
  assert.is_truthy(output:find(message, 1, true), output)
  assert.is_truthy(output:find "\n0 passed, 1 failed\n$", output)
end

describe("the allocation sweep", function()
  it("passes a script whose failures are memory errors", function()
    local ok, output = sweep [[local t = {} for i = 1, 10 do t[i] = ("x"):rep(i) end]]
    assert.is_true(ok, output)
    assert.is_truthy(output:match "[1-9]%d* failures survived", output)
    assert.is_truthy(output:find "\n1 passed, 0 failed\n$", output)
  end)

  it("passes one that reports ENOMEM", function()
    local ok, output = sweep [[
      local ok = pcall(string.rep, "x", 1000)
      if not ok then return nil, "text: Cannot allocate memory", "ENOMEM" end]]
    assert.is_true(ok, output)
  end)

  it("finds another error", function()
    finds([[local ok = pcall(string.rep, "x", 1000) if not ok then error "lost" end]], "not a memory error")
  end)

  it("finds another code", function()
    finds([[
      local ok = pcall(string.rep, "x", 1000)
      if not ok then return nil, "text: Invalid argument", "EINVAL" end]], '"text: Invalid argument", EINVAL')
  end)

  it("finds a script that never passes, or allocates nothing", function()
    finds([[error "always"]], "with all the memory it wants")
    finds([[return 1]], "allocates nothing")
  end)

  it("finds a descriptor, a zombie, a thread, a changed mask or disposition", function()
    local leak = [[
      local probe = require "support.probe"
      local ok = pcall(string.rep, "x", 1000)
      if not ok then %s end]]
    finds(leak:format "probe.dup(1)", "a descriptor is left open")
    finds(leak:format "probe.fork(true)", "a zombie is left")
    finds(leak:format "probe.block(10)", "the signal mask changed")
    finds(leak:format "probe.ignore(10)", "a signal disposition changed")
    finds(leak:format "probe.thread()", "a thread is left running")
  end)
end)
