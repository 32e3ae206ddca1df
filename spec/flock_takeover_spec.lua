-- Lock files under attack: many starters at once, holders killed at any instant.
local ipc = require "lipc"
local names = require "support.names"
local programs = require "support.programs"

local WORKERS, ROUNDS, KILLS = 4, 200, 300
local SOON = 60 -- seconds: longer than anything here takes
local valgrind = os.getenv "LIPC_SPEC_MODE" == "valgrind" -- which knows no pidfd: no process.fork, no kill

describe("a lock file", function()
  local path, seed

  before_each(function()
    path = names.path ".pid"
    seed = tonumber(os.getenv "SEED" or "") or os.time() ~ ipc.signal.getpid() << 8
    math.randomseed(seed)
  end)
  after_each(function() os.remove(path) end)

  -- A process with a line to and from it.
  local function worker(number, body)
    local request, to = ipc.pipe.open()
    local from, answer = ipc.pipe.open()
    local p = assert(ipc.process.fork(function()
      math.randomseed(seed, number)
      to:close()
      from:close()
      body(request, answer)
    end))
    request:close()
    answer:close()
    return { process = p, to = to, from = from:settimeout(SOON), pid = p:pid() }
  end
  local function finish(w)
    w.process:kill "SIGKILL"
    w.process:wait(SOON)
    for _, o in ipairs { w.process, w.to, w.from } do o:close() end
  end

  it("goes to exactly one of those who start at once", function()
    if valgrind then return pending "valgrind knows no pidfd" end
    local function body(request, answer)
      local lf
      for order in request:lines() do
        if order == "go" then
          local message
          lf, message = ipc.flock.lockfile(path)
          answer:write(lf and ("won %s\n"):format(lf:stale()) or ("lost %s\n"):format(message))
        elseif lf then
          lf:close()
          lf = nil
          answer:write "closed\n"
        end
      end
    end
    local workers, count = {}, 0
    local function start(i)
      count = count + 1
      workers[i] = worker(count, body)
    end
    for i = 1, WORKERS do start(i) end
    local dead = "false"
    for round = 1, ROUNDS do
      local what = ("seed %d, round %d"):format(seed, round)
      for _, w in ipairs(workers) do w.to:write "go\n" end
      local winner, losers = nil, {}
      for i, w in ipairs(workers) do
        local line = assert(w.from:read())
        if line:match "^won" then
          assert.is_nil(winner, what)
          winner = i
          assert.equal("won " .. dead, line, what)
        else
          losers[#losers + 1] = line
        end
      end
      assert.is_truthy(winner, what)
      local pid = workers[winner].pid
      -- who came while the file was still empty has its holder from the kernel, and so none says another
      for _, line in ipairs(losers) do
        assert.matches(("timed out %%(held by process %d%%)"):format(pid), line, what)
      end
      assert.equal(pid, ipc.flock.holder(path), what)
      if math.random(2) == 1 then
        finish(workers[winner])
        start(winner)
        dead = tostring(pid)
      else
        workers[winner].to:write "close\n"
        assert.equal("closed", workers[winner].from:read())
        dead = "false"
      end
    end
    for _, w in ipairs(workers) do finish(w) end
  end)

  it("never has two holders, whenever they are killed", function()
    if valgrind then return pending "valgrind knows no pidfd" end
    local log, witness = names.path(), names.path()
    io.open(witness, "w"):close()
    finally(function()
      os.remove(log)
      os.remove(witness)
    end)
    -- The witness is a lock of its own on a file that stays, of a kind that the kernel drops before any flock(2)
    -- lock when its process dies: in close, not when the description goes.
    local function body()
      local file = assert(ipc.flock.open(witness))
      local f = file:range(0, nil, { posix = true })
      local out = assert(io.open(log, "a"))
      out:setvbuf "no"
      while true do
        local lf, message = ipc.flock.lockfile(path, { timeout = SOON, keep = math.random(4) == 1 })
        if not lf then
          out:write("F " .. message .. "\n")
        else
          out:write(f:trylock "exclusive" and (lf:stale() and "S\n" or "W\n") or "D\n")
          if math.random(4) == 1 then ipc.sleep(math.random() / 2000) end
          f:unlock()
          lf:close()
        end
      end
    end
    local workers, count = {}, 0
    local function start(i)
      count = count + 1
      workers[i] = worker(count, body)
    end
    for i = 1, WORKERS do start(i) end
    local function enough() -- have got it, and from the dead; it depends on who has the processor
      local text = programs.slurp(log)
      return select(2, text:gsub("[^\n]*\n", "")) > KILLS and select(2, text:gsub("S\n", "")) > KILLS / 50
    end
    local kills, patience = 0, ipc.now() + 2 * SOON
    repeat
      ipc.sleep(math.random() * 0.004)
      local i = math.random(WORKERS)
      finish(workers[i])
      start(i)
      kills = kills + 1
    until kills >= KILLS and kills % 50 == 0 and (enough() or ipc.now() > patience)
    for _, w in ipairs(workers) do finish(w) end
    local wins, stale = 0, 0
    for line in io.lines(log) do
      wins = wins + 1
      if line == "S" then stale = stale + 1 end
      assert.matches("^[WS]$", line, ("seed %d"):format(seed))
    end
    assert.is_true(wins > KILLS, ("seed %d: %d wins"):format(seed, wins))
    assert.is_true(stale > KILLS / 50, ("seed %d: only %d holders were killed"):format(seed, stale))
    io.stderr:write(os.getenv "V" and os.getenv "V" ~= "" and
      ("  %d wins, %d of dead holders, seed %d\n"):format(wins, stale, seed) or "")
  end)
end)
