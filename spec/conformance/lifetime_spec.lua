-- The same questions about the life of an object, put to every type.
local types = require "conformance.types"
local probe = require "support.probe"

local function close_all(list)
  for _, o in ipairs(list) do o:close() end
end

for _, type in ipairs(types) do
  describe(type.name, function()
    it("closes once and says true every time", function()
      local o, others = type.open()
      assert.is_true(o:close())
      assert.is_true(o:close())
      close_all(others)
    end)

    it("raises when used after close, and says so in tostring", function()
      local o, others = type.open()
      assert.matches("^" .. type.name:gsub("%.", "%%."), tostring(o))
      assert.not_matches("closed", tostring(o))
      o:close()
      assert.has_error.matches(function() type.fails(o) end, "closed")
      assert.matches("%(closed%)$", tostring(o))
      close_all(others)
    end)

    it("refuses another self by name", function()
      local o, others = type.open()
      for _, self in ipairs { {}, io.stdout, "x" } do
        local ok, message = pcall(o.close, self)
        assert.is_false(ok)
        assert.matches(type.name .. " expected", message, 1, true)
      end
      o:close()
      close_all(others)
    end)

    local held = type.held == nil and probe.fds or type.held
    -- A process that was dropped is killed; its descriptor goes when it has died.
    local function settled(before)
      local deadline = probe.now() + 60
      repeat
        collectgarbage()
        collectgarbage()
        local same = pcall(assert.same, before, held())
        if not same then probe.pause(0.01) end
      until same or probe.now() > deadline
      assert.same(before, held())
    end

    if held then it("gives back what it holds when it is collected or its block ends", function()
      collectgarbage()
      collectgarbage()
      local before = held()
      ;(function()
        local o, others = type.open()
        assert.is_not.same(before, held())
        return nil, o, others -- alive until here
      end)()
      settled(before)
      local kept -- so that it is the end of the block that gives back
      do
        local o <close>, others = type.open()
        kept = o
        close_all(others)
      end
      settled(before)
      assert.matches("closed", tostring(kept))
    end) end

    if type.failing then it("is half-built without harm when the system refuses", function()
      local script = ([[
        local ipc = require "lipc"
        local mechanism = %q
        local _ = ipc[mechanism]
        local hold = {}
        while true do
          local f = io.open "/dev/null"
          if not f then break end
          hold[#hold + 1] = f
        end
        for _ = 1, 3 do
          local o, message, code = %s
          assert(o == nil and code == "EMFILE", message)
          assert(message:find("Too many open files (RLIMIT_NOFILE is 24: see ulimit -n)", 1, true), message)
        end
        collectgarbage()
      ]]):format(type.name:match "^lipc%.(%w+)", type.failing)
      local path = os.tmpname()
      local f = assert(io.open(path, "w"))
      f:write(script)
      f:close()
      local p = assert(io.popen("ulimit -n 24; exec lua5.4 " .. path .. " 2>&1"))
      local output = p:read "a"
      local ok = p:close()
      os.remove(path)
      assert.equal("", output)
      assert.is_true(ok)
    end) end
  end)
end
