-- The main job: both ways of counting agree, also where a word lies across the border of two jobs.
local names = require "support.names"
local programs = require "support.programs"

local function count(text, ...)
  local path = names.path ".txt"
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
  local output, status = programs.output { programs.lua, "examples/wordcount.lua", path, stderr = "stdout", ... }
  os.remove(path)
  return output, status
end

describe("examples/wordcount.lua", function()
  it("counts what is there, twice", function()
    local output, status = count(("alpha Beta gamma, "):rep(40000) .. "beta" .. (" %s"):rep(3):format("x", "Y", "z"))
    assert.is_true(status.ok, output)
    assert.matches("40001 beta +40001 beta", output)
    assert.matches("40000 alpha +40000 alpha", output)
    assert.matches("40000 gamma +40000 gamma", output)
    assert.matches("1 y +1 y", output)
  end)

  it("counts a word once that is longer than a job", function()
    local output, status = count("one " .. ("a"):rep(600000) .. " two two")
    assert.is_true(status.ok, output:sub(-500))
    assert.matches("2 two +2 two", output)
    assert.matches("1 one +1 one", output)
    local _, n = output:gsub("1 a+%s", "")
    assert.equal(2, n)
  end)

  it("takes several files", function()
    local output, status = count("one two", "/usr/share/common-licenses/GPL-2", "/usr/share/common-licenses/Apache-2.0")
    assert.is_true(status.ok, output)
    assert.matches("%d+ the +%d+ the", output)
  end)

  it("says which file it cannot read", function()
    local output, status = count("one", "/nonexistent")
    assert.is_false(status.ok)
    assert.matches("cat: /nonexistent: No such file or directory", output, 1, true)
  end)
end)
