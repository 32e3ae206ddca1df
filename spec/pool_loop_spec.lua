-- Pools under a loop: only the coroutine that called waits, several share the workers, and may leave at any time.
local ipc = require "lipc"
local pools = require "support.pools"

local numbers = pools.numbers

local function slowly(x)
  ipc.sleep(0.01)
  return x
end

local schedulers = {
  { "ipc.loop", function()
    local loop = assert(ipc.loop.new())
    return { spawn = function(fn) loop:wrap(fn) end, run = function()
      loop:run()
      loop:close()
    end }
  end },
  { "cqueues", function()
    local adapter = require "lipc.adapter.cqueues"
    local cq = require("cqueues").new()
    return { spawn = function(fn) adapter.wrap(cq, fn) end, run = function() assert(cq:loop()) end }
  end },
  { "luv", function()
    local adapter = require "lipc.adapter.luv"
    local failed
    adapter.onerror(function(_, traceback) failed = traceback end)
    return { spawn = adapter.wrap, run = function()
      require("luv").run()
      adapter.onerror(nil)
      if failed then error(failed, 0) end
    end }
  end },
}

for _, s in ipairs(schedulers) do
  describe("a pool under " .. s[1], function()
    it("lets other coroutines run while one waits", function()
      local pool <close> = ipc.pool { workers = 2 }
      local scheduler = s[2]()
      local r, w <close> = assert(ipc.pipe.open())
      local ticks, done = 0, false
      scheduler.spawn(function()
        assert.same({ 1, 2, 3, 4 }, pool:map(function(x)
          assert(r:readsome(1)) -- what the ticks let go; no more, which would be another's
          return x
        end, { 1, 2, 3, 4 }, { chunk = 1 }))
        done = true
      end)
      scheduler.spawn(function()
        while not done do
          ipc.sleep(0.001)
          ticks = ticks + 1
          if ticks == 3 then assert(w:write "1234") end
        end
      end)
      scheduler.run()
      assert.is_true(ticks >= 3, ticks)
      r:close()
    end)

    it("serves several coroutines at once", function()
      local pool <close> = ipc.pool { workers = 2 }
      local scheduler = s[2]()
      local finished = 0
      for k = 1, 8 do
        scheduler.spawn(function()
          if k % 4 == 0 then
            local n = 0
            for i, v in pool:imap(function(x) return x * k end, numbers(200)) do
              n = n + 1
              assert.equal(n, i)
              assert.equal(i * k, v)
              if i % 50 == 0 then ipc.sleep(0.001) end
            end
            assert.equal(200, n)
          elseif k % 4 == 1 then
            for i = 1, 10 do assert.equal(i + k, pool:apply(function(x) return x + k end, i)) end
          else
            local told
            local r = assert(pool:map(function(x) return x * k end, numbers(300), { progress = function(n) told = n end }))
            for i = 1, 300 do assert.equal(i * k, r[i]) end
            assert.equal(300, told)
          end
          finished = finished + 1
        end)
      end
      scheduler.run()
      assert.equal(8, finished)
    end)
  end)
end

describe("a pool under a loop", function()
  it("goes on for others when the coroutine that waits for all is cancelled", function()
    local pool <close> = ipc.pool { workers = 2 }
    local loop <close> = ipc.loop.new()
    local r, w <close> = assert(ipc.pipe.open())
    local results = {}
    local tasks = {}
    for k = 1, 6 do
      tasks[k] = loop:wrap(function()
        results[k] = assert(pool:map(function(x)
          r:readsome(1) -- until the others are cancelled
          return x
        end, { k, k, k, k }, { chunk = 1 }))
      end)
    end
    loop:wrap(function()
      ipc.sleep(0.005)
      tasks[1]:cancel "enough"
      ipc.sleep(0.005)
      tasks[2]:cancel "enough"
      tasks[4]:cancel "enough"
      w:write(("x"):rep(24))
    end)
    loop:run()
    r:close()
    for k = 1, 6 do
      if k == 1 or k == 2 or k == 4 then
        assert.is_nil(results[k])
        assert.equal("cancelled", tasks[k]:status())
      else
        assert.same({ k, k, k, k }, results[k])
      end
    end
    assert.equal(0, pool:stat().pending)
  end)

  it("gives the places of a call that was given up to those that wait", function()
    local pool <close> = ipc.pool { workers = 2 }
    local loop <close> = ipc.loop.new()
    local futures = { pool:submit(ipc.sleep, 1000), pool:submit(ipc.sleep, 1000) }
    local result
    loop:wrap(function() result = pool:map(slowly, { 1, 2, 3 }, 60) end)
    loop:wrap(function()
      ipc.sleep(0.01)
      for _, future in ipairs(futures) do assert.is_true(future:cancel()) end
    end)
    loop:run()
    assert.same({ 1, 2, 3 }, result)
  end)

  it("gives each its own timeout", function()
    local pool <close> = ipc.pool { workers = 2 }
    local loop <close> = ipc.loop.new()
    local codes = {}
    loop:wrap(function() codes[1] = select(3, pool:map(ipc.sleep, { 1000 }, 0.02)) end)
    loop:wrap(function() codes[2] = select(3, pool:map(ipc.sleep, { 1000 }, 0.01)) end)
    loop:wrap(function() codes[3] = pool:map(slowly, { 1, 2, 3 })[3] end)
    loop:run()
    assert.same({ "ETIMEDOUT", "ETIMEDOUT", 3 }, codes)
  end)

  it("gives everybody ECANCELED when it is closed", function()
    local pool = ipc.pool { workers = 2 }
    local loop <close> = ipc.loop.new()
    local codes = {}
    for k = 1, 3 do loop:wrap(function() codes[k] = select(3, pool:map(ipc.sleep, { 1000, 1000 })) end) end
    loop:wrap(function()
      local ok, err = pcall(function()
        for _ in pool:imap(ipc.sleep, { 1000 }) do error "never" end
      end)
      codes[4] = not ok and err.code
    end)
    loop:wrap(function()
      ipc.sleep(0.02)
      pool:close()
    end)
    loop:run()
    assert.same({ "ECANCELED", "ECANCELED", "ECANCELED", "ECANCELED" }, codes)
  end)

  it("ends its calls when the loop is closed", function()
    local pool <close> = ipc.pool { workers = 2 }
    local loop = ipc.loop.new()
    loop:wrap(function() pool:map(ipc.sleep, { 1000, 1000 }) end)
    loop:wrap(function() pool:map(ipc.sleep, { 1000, 1000 }) end)
    loop:step(0)
    loop:step(0.01)
    loop:close()
    assert.equal(0, pool:stat().pending)
    assert.same({ 5 }, pool:map(slowly, { 5 }, 60))
  end)

  it("takes items from a source that waits", function()
    local pool <close> = ipc.pool { workers = 2 }
    local loop <close> = ipc.loop.new()
    local r, w = assert(ipc.pipe.open())
    local got = {}
    loop:wrap(function()
      for i, v in pool:imap(function(line) return line:upper() end, r:lines()) do got[i] = v end
    end)
    loop:wrap(function()
      for _, word in ipairs { "one", "two", "three" } do
        ipc.sleep(0.002)
        w:write(word, "\n")
      end
      w:close()
    end)
    loop:run()
    r:close()
    assert.same({ "ONE", "TWO", "THREE" }, got)
  end)

  it("is fed by hand where nobody waits", function()
    local pool <close> = ipc.pool { workers = 1 }
    local future = pool:submit(function(x) return x + 1 end, 1)
    local deadline = ipc.now() + 60
    while not future:done() do
      assert(ipc.now() < deadline)
      ipc.sleep(0.001)
    end
    assert.equal(2, future:get(0))
  end)
end)
