-- Every block of Lua in README.md is a program that runs.
local ipc = require "lipc"

local text = assert(io.open "README.md"):read "a"
local prelude = 'local ipc = require "lipc"\n'

describe("README.md", function()
  local n = 0
  for block in text:gmatch "```lua\n(.-)```" do
    n = n + 1
    local title = block:match "ipc%.%w+%.?%w*" or "prelude"
    it(("block %d, %s, runs"):format(n, title), function()
      local result = assert(ipc.process.run {
        os.getenv "LUA" or "lua5.4", "-W", "-", input = prelude .. block, stdout = "pipe", stderr = "pipe", timeout = 60,
      })
      assert.equal("", result.stderr)
      assert.is_true(result.status.ok)
      if block:find "print" then assert.not_equal("", result.stdout) end
    end)
  end

  it("has a block for each mechanism", function()
    for name in assert(io.open "src/modules.def"):read("a"):gmatch "LIPC_MODULE%((%w+)%)" do
      local of_the_kit = io.open("src/kit_" .. name .. ".c")
      if of_the_kit then
        of_the_kit:close()
      else
        assert.truthy(text:find("ipc." .. name, 1, true), "no ipc." .. name)
      end
    end
  end)
end)
