-- The same questions about waiting, put to every type that can wait.
local ipc = require "lipc"
local types = require "conformance.types"

local function close_all(list)
  for _, o in ipairs(list) do o:close() end
end

-- Runs body beside a coroutine that counts its turns; returns the count.
local function beside_ticks(body)
  local loop, ticks, over = ipc.loop.new(), 0, false
  loop:wrap(function()
    while not over do
      ticks = ticks + 1
      ipc.sleep(0.001)
    end
  end)
  loop:wrap(function()
    local ok, message = pcall(body, loop, function() return ticks end)
    over = true
    if not ok then error(message, 0) end
  end)
  loop:run()
  loop:close()
  return ticks
end

for _, type in ipairs(types) do
  if type.wait then
    describe(type.name, function()
      it("honours a timeout and says ETIMEDOUT", function()
        local o, others = type.open()
        local started = ipc.now()
        local result, message, code = type.wait(o, 0.05)
        assert.is_nil(result)
        assert.equal("ETIMEDOUT", code)
        assert.matches(": timed out$", message)
        assert.is_true(ipc.now() - started >= 0.05)
        assert.equal("ETIMEDOUT", (select(3, type.wait(o, 0))))
        o:close()
        close_all(others)
      end)

      it("refuses a negative timeout, NaN and what is no number", function()
        local o, others = type.open()
        for _, bad in ipairs { -1, 0 / 0, "soon" } do
          assert.has_error(function() type.wait(o, bad) end)
        end
        o:close()
        close_all(others)
      end)

      it("finishes when the peer acts", function()
        local o, others = type.open()
        type.ready(o, others)
        assert.is_truthy(type.wait(o, 60))
        o:close()
        close_all(others)
      end)

      it("suspends only its coroutine under the loop", function()
        local o, others = type.open()
        beside_ticks(function(loop, ticks)
          loop:wrap(function()
            while ticks() < 20 do ipc.sleep(0.001) end
            type.ready(o, others)
          end)
          local result, message = type.wait(o, 60)
          assert(result, message)
          assert(ticks() >= 20)
        end)
        o:close()
        close_all(others)
      end)

      it("honours a timeout under the loop", function()
        local o, others = type.open()
        beside_ticks(function(_, ticks)
          local patience = ipc.now() + 60
          repeat -- once, as a rule; a machine that stands still lets nothing tick meanwhile
            local result, _, code = type.wait(o, 0.05)
            assert.is_nil(result)
            assert.equal("ETIMEDOUT", code)
            assert(ipc.now() < patience, "nothing runs beside it")
          until ticks() >= 5
        end)
        o:close()
        close_all(others)
      end)

      it("ends with ECANCELED when another coroutine closes it meanwhile", function()
        local o, others = type.open()
        beside_ticks(function(loop, ticks)
          loop:wrap(function()
            while ticks() < 5 do ipc.sleep(0.001) end
            o:close()
          end)
          local result, _, code = type.wait(o, 60)
          assert.is_nil(result)
          assert.equal("ECANCELED", code)
        end)
        close_all(others)
      end)

      it("ends with ECANCELED when a callback closes it on the way in", function()
        local o, others = type.open()
        local on = assert(ipc.signal.on("SIGUSR1", function() o:close() end))
        os.execute(("kill -USR1 %d"):format(ipc.signal.getpid())) -- has come when this returns
        local result, _, code = type.wait(o, 60)
        assert.is_nil(result)
        assert.equal("ECANCELED", code)
        on:close()
        close_all(others)
      end)

      it("ends with ECANCELED when a callback closes it between the look and the sleep", function()
        local o, others = type.open()
        debug.sethook(function() -- as that of a Ctrl-C: what waits calls it from C
          if debug.getinfo(3, "S").what == "C" then
            debug.sethook()
            o:close()
          end
        end, "c")
        local result, _, code = type.wait(o, 60)
        debug.sethook()
        assert.is_nil(result)
        assert.equal("ECANCELED", code)
        close_all(others)
      end)
    end)
  end
end
