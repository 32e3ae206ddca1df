-- The examples of pools, run as a reader would run them.
local names = require "support.names"
local peer = require "support.peer"
local programs = require "support.programs"

describe("the example", function()
  it("pool_wordcount counts every word once, as sort and uniq do", function()
    local path = names.path ".txt"
    local f = assert(io.open(path, "w"))
    f:write(("alpha Beta gamma, "):rep(20000), "beta\n", ("w"):rep(200000), " ", ("%s "):rep(3):format("x", "Y", "z"))
    f:close()
    local out, status = programs.output { programs.lua, "examples/pool_wordcount.lua", path, stderr = "stdout" }
    os.remove(path)
    assert.is_true(status.ok, out)
    assert.matches("counting 100%%\n", out)
    assert.matches("\n +20001 beta\n +20000 alpha\n +20000 gamma\n +1 w+\n +1 x\n +1 y\n +1 z\n$", out)
    local words = programs.sh("cat /usr/share/common-licenses/GPL-2 /usr/share/common-licenses/Artistic | tr A-Z a-z "
      .. "| LC_ALL=C tr -cs a-z '\\n' | sed /^$/d | LC_ALL=C sort | uniq -c | LC_ALL=C sort -k1,1nr -k2 | head -10")
    out = peer.example("pool_wordcount", "/usr/share/common-licenses/GPL-2", "/usr/share/common-licenses/Artistic")
    local function compact(text) return (text:gsub("counting %d+%%\n", ""):gsub("\n%s+", "\n"):gsub("^%s+", "")) end
    assert.equal(compact(words), compact(out))
  end)

  it("pool_wordcount shows a bar on a terminal, and says which file it cannot read", function()
    local out = programs.sh(("script -qec '%s examples/pool_wordcount.lua /usr/share/common-licenses/GPL-2' /dev/null"):format(
      programs.lua), { stdin = "null", env_add = { TERM = "xterm", COLUMNS = "80" } })
    assert.matches("counting %[#+%] 100%%", out)
    local text, ok = peer.example("pool_wordcount", "/nonexistent")
    assert.is_nil(ok)
    assert.matches("/nonexistent: No such file or directory", text, 1, true)
  end)
end)
