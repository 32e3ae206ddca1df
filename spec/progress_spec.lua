-- ipc.progress: what a terminal sees, and what others do.
local ipc = require "lipc"
local names = require "support.names"
local programs = require "support.programs"

-- What a script writes to a terminal of so many columns (a pseudo-terminal by script(1)).
local function terminal(text, columns, env)
  local path = names.path ".lua"
  local f = assert(io.open(path, "w"))
  f:write("local ipc = require 'lipc'\n", text)
  f:close()
  local out = programs.sh(("stty_cols=%d; script -qec \"stty cols $stty_cols -opost; exec %s %s\" /dev/null"):format(
    columns, programs.lua, path), { stdin = "null", stderr = "null", env_add = env or { COLUMNS = false, TERM = "xterm" } })
  os.remove(path)
  return out
end

describe("a progress bar", function()
  it("is drawn on a terminal, no wider than that, and ends its line when full", function()
    local out = terminal([[
      local bar = ipc.progress.bar { label = "work", total = 4, interval = 0 }
      for i = 0, 4 do bar:update(i) end
      bar:update(4)
      print "after"]], 60)
    local lines = {}
    for line in out:gmatch "[^\r\n]+" do lines[#lines + 1] = line end
    assert.equal(6, #lines, out)
    assert.matches("^work %[%.+%]   0%%  0/4  0:%d%d$", lines[1])
    assert.matches("^work %[#+%.+%]  50%%  2/4  0:%d%d *\b*$", lines[3])
    assert.matches("^work %[#+%] 100%%  4/4  0:%d%d *\b*$", lines[5])
    assert.equal("after", lines[6])
    for i = 1, 5 do assert.is_true(#lines[i]:gsub("\b", "") < 60) end
    assert.matches("\r\nafter" , (out:gsub("\n", "\r\n"):gsub("\r\r", "\r")))
  end)

  it("keeps to COLUMNS, and to narrow terminals", function()
    local script = [[
      local bar = ipc.progress.bar { label = "a label", total = 4, interval = 0 }
      bar(2)
      bar:close()]]
    for line in terminal(script, 200, { COLUMNS = "30", TERM = "xterm" }):gmatch "[^\r\n]+" do assert.is_true(#line < 30, line) end
    for line in terminal(script, 10):gmatch "[^\r\n]+" do assert.is_true(#line < 10, line) end
  end)

  it("is drawn at most every interval, and its last state before the line ends", function()
    local out = terminal([[
      local bar <close> = ipc.progress.bar { total = 100000, interval = 1000 }
      for i = 1, 5000 do bar:advance() end]], 80)
    local n = select(2, out:gsub("\r[^\n]", ""))
    assert.equal(2, n)
    assert.matches("5000/100000", out)
  end)

  it("leaves no half line at an error", function()
    for _, script in ipairs {
      "local bar <close> = ipc.progress.bar { total = 10, interval = 0 } bar(3) error 'oh'",
      "local pool <close> = ipc.pool { workers = 1 } assert(pool:map(function(x) if x == 5 then error 'oh' end end, "
        .. "{ 1, 2, 3, 4, 5 }, { chunk = 1, progress = ipc.progress.bar { interval = 0 } }))",
    } do
      local out = terminal(script, 80)
      assert.matches("\n[^\n]*oh", out)
      assert.is_nil(out:find "%]  %d+%%[^\n]*oh")
    end
  end)

  it("takes its line away for other output", function()
    local out = terminal([[
      local bar <close> = ipc.progress.bar { total = 10, interval = 0 }
      bar(3)
      bar:clear()
      io.stderr:write "other\n"
      bar(4)]], 80)
    assert.matches("\r +\rother\n", out)
  end)

  it("counts where the total is not known", function()
    assert.matches("lines 7  0:%d%d", terminal([[
      local bar <close> = ipc.progress.bar { label = "lines", interval = 0 }
      bar:advance(7)]], 80))
  end)

  it("is silent elsewhere, or plain", function()
    local function written(options, n)
      local path = names.path()
      local file = assert(io.open(path, "w"))
      options.file = file
      local bar = ipc.progress.bar(options)
      for i = 0, n do bar(i, n) end
      bar:close()
      file:close()
      local text = programs.slurp(path)
      os.remove(path)
      return text
    end
    assert.equal("", written({ label = "x" }, 100))
    assert.equal("x 0%\nx 25%\nx 50%\nx 75%\nx 100%\n", written({ label = "x", plain = true }, 100))
    assert.equal("0%\n50%\n100%\n", written({ plain = true }, 2))
    assert.equal("", terminal("local bar <close> = ipc.progress.bar{ interval = 0 } bar(1, 2)", 80, { TERM = "dumb" }))
  end)

  it("is not a forked child's to end", function()
    local out = terminal([[
      local bar = ipc.progress.bar { total = 10, interval = 0 }
      bar(3)
      local p = ipc.process.fork(function() bar:close() bar = nil collectgarbage() end)
      p:wait()
      bar(4)
      bar:close()]], 80)
    assert.equal(1, select(2, out:gsub("\n", "")))
  end)

  it("names mistakes", function()
    local bar = ipc.progress.bar { total = 2 }
    assert.has_error(function() bar:update() end, "bad argument #1 to 'update' (number expected, got nil)")
    assert.has_error(function() bar:update(0 / 0) end, ("bad argument #1 to 'update' (%s is out of range)"):format(0 / 0))
    assert.has_error(function() bar:update(math.huge) end, "bad argument #1 to 'update' (inf is out of range)")
    assert.has_error(function() bar:update(1, "2") end, "bad argument #2 to 'update' (number expected, got string)")
    assert.has_error(function() bar:update(1, math.huge) end, "bad argument #2 to 'update' (inf is out of range)")
    assert.has_error(function() bar:advance "1" end, "bad argument #1 to 'advance' (number expected, got string)")
    assert.has_error(function() ipc.progress.bar { total = math.huge } end,
      "bad argument #1 to 'bar' (option 'total': inf is out of range)")
    assert.has_error(function() bar.update({}, 1) end, "bad argument #1 to 'update' (lipc.progress.bar expected, got table)")
    assert.has_error(function() ipc.progress.bar { totals = 2 } end, "bad argument #1 to 'bar' (unknown option 'totals')")
    assert.has_error(function() ipc.progress.bar { total = "2" } end,
      "bad argument #1 to 'bar' (option 'total': number expected, got string)")
    assert.has_error(function() ipc.progress.bar { width = -1 } end, "bad argument #1 to 'bar' (option 'width': must not be negative)")
    assert.has_error(function() ipc.progress.bar { file = 3 } end, "bad argument #1 to 'bar' (option 'file': open file expected, got number)")
    assert.equal("lipc.progress.bar (1/2)", tostring(bar:advance()))
    assert.is_true(bar:close())
    assert.is_true(bar:close())
    assert.equal("lipc.progress.bar (1/2, closed)", tostring(bar:update(2)))
  end)
end)
