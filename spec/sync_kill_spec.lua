-- Some hundred of the kills of `make chaos`.
local kills = ({ asan = 60, valgrind = 5 })[os.getenv "LIPC_SPEC_MODE"] or 300

describe("kill -9 of those who use", function()
  for _, kind in ipairs { "mutex", "rwlock", "cond", "barrier", "once" } do
    it("a " .. kind .. " loses nothing", function()
      local p = assert(io.popen(("exec %s spec/chaos/sync.lua %s %d 2>&1"):format(os.getenv "LUA", kind, kills)))
      local output = p:read "a"
      local ok = p:close()
      assert.is_true(ok, output)
      assert.matches("0 wrong", output)
    end)
  end
end)
