-- The examples of poll, loop and the adapters, run as a reader would run them.
local peer = require "support.peer"

local expected = {
  ["poll"] = "the pipe is ready for r: a message\nthe counter is at 1\n",
  ["loop_tasks"] = table.concat({
    "the sum is\t55",
    "the bed is made",
    "the sleeper:\tnil\tcancelled: it is morning\tECANCELED",
    "the broken one:\tthis went wrong",
    "tick",
    "tock",
    "",
  }, "\n"),
  ["loop_in_cqueues"] = "cqueues: a line through a pipe\nlipc's loop: another line\n",
  ["loop_in_luv"] = "luv: a line through a pipe\nlipc's loop: another line\n",
}

describe("the example", function()
  for name, output in pairs(expected) do
    it(name, function()
      local got = peer.shown(name)
      if name == "poll" then -- whichever comes first
        local lines = {}
        for line in got:gmatch "[^\n]+\n" do table.insert(lines, line) end
        table.sort(lines, function(a, b) return a > b end)
        got = table.concat(lines)
      end
      assert.equal(output, got)
    end)
  end
end)
