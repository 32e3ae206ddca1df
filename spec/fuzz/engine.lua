-- engine.lua - random and mutated input for the state machines of the NATS protocol.  A round is a function of seed and number:
-- what failed once fails again.
--   engine.run { target = "server", seed = 1, from = 1, rounds = 1000, stop = function(done) ... end } -> rounds, failure or nil
-- A target says what one input must satisfy; the corpus (corpus/<target>.txt) has inputs to begin with, a line each, in the
-- escapes of Lua (\r \n \t \xHH): every input that found a defect belongs there.    SPDX-License-Identifier: MIT
local random, concat = math.random, table.concat

local engine = { targets = require "fuzz.targets" }

-- Memory that the rounds may leave behind, garbage collected.
local MOST_KEPT = 8 << 20

local ESCAPES = { r = "\r", n = "\n", t = "\t" }

function engine.decode(line)
  return (line:gsub("\\(.)(%x?%x?)", function(c, digits)
    if c == "x" then return string.char(tonumber(digits, 16)) end
    return (ESCAPES[c] or c) .. digits
  end))
end

function engine.encode(data)
  return (data:gsub("[\0-\31\127-\255\\]", function(c)
    return c == "\r" and "\\r" or c == "\n" and "\\n" or ("\\x%02x"):format(c:byte())
  end))
end

function engine.corpus(target)
  local list = {}
  for line in io.lines(("spec/fuzz/corpus/%s.txt"):format(engine.targets[target].corpus)) do
    if line ~= "" and line:sub(1, 1) ~= "#" then list[#list + 1] = engine.decode(line) end
  end
  return list
end

-- Input that nobody thought of

local NUMBERS = {
  "0", "1", "2", "00000", "-1", "+1", "4095", "4096", "4097", "65535", "1048576", "1048577", "2147483647", "2147483648",
  "4294967296", "999999999", "9999999999", "18446744073709551616", "1e3", "0x10", "1.5", "nan", "",
}

local function bytes(most)
  local list = {}
  for i = 1, random(0, most) do list[i] = string.char(random(0, 255)) end
  return concat(list)
end

local function range(data)
  local from = random(#data + 1)
  return from, math.min(#data, from + random(0, random(2) == 1 and 4 or 40))
end

local mutations = {
  function(data) -- a byte changes
    local at = random(#data + 1)
    return data:sub(1, at - 1) .. string.char(random(0, 255)) .. data:sub(at + 1)
  end,
  function(data) -- one goes
    local at = random(#data + 1)
    return data:sub(1, at - 1) .. data:sub(at + 1)
  end,
  function(data) -- some go
    local from, to = range(data)
    return data:sub(1, from - 1) .. data:sub(to + 1)
  end,
  function(data) -- some come again, perhaps often
    local from, to = range(data)
    return data:sub(1, to) .. data:sub(from, to):rep(random(8) == 1 and random(400) or 1) .. data:sub(to + 1)
  end,
  function(data) -- some come
    local at = random(#data + 1)
    return data:sub(1, at - 1) .. bytes(6) .. data:sub(at)
  end,
  function(data) -- a number becomes another
    local starts = {}
    for at in data:gmatch "()%f[%d]%d+" do starts[#starts + 1] = at end
    if #starts == 0 then return data end
    local at = starts[random(#starts)]
    return data:sub(1, at - 1) .. data:sub(at):gsub("^%d+", NUMBERS[random(#NUMBERS)])
  end,
  function(data) -- a blank becomes others
    local starts = {}
    for at in data:gmatch "()[ \t]" do starts[#starts + 1] = at end
    if #starts == 0 then return data end
    local at = starts[random(#starts)]
    return data:sub(1, at - 1) .. ({ "\t", "  ", " \t ", "", "\v", (" "):rep(random(5000)) })[random(6)] .. data:sub(at + 1)
  end,
  function(data) -- a word becomes another case
    return (data:gsub("%a+", function(word) return random(4) == 1 and word:lower() or word:upper() end, random(3)))
  end,
  function(data) -- line ends
    return (data:gsub("\r\n", ({ "\n", "\r", "\r\r\n", "\n\r", "" })[random(5)], random(2)))
  end,
}

local function make(corpus)
  local parts = {}
  for i = 1, random(6) do parts[i] = corpus[random(#corpus)] end
  local data = concat(parts)
  if random(50) == 1 then data = bytes(300) end
  for _ = 1, random(0, 4) do data = mutations[random(#mutations)](data) end
  return data
end

---The input of one round.
function engine.input(options, round)
  math.randomseed(options.seed, round)
  return make(options.inputs)
end

local function kept()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count" * 1024
end

function engine.run(options)
  local target = engine.targets[options.target]
  options.inputs = options.inputs or engine.corpus(options.target)
  local before = kept()
  local done = 0
  for round = options.from or 1, options.rounds or math.maxinteger do
    local data = engine.input(options, round)
    local ok, problem = xpcall(target.check, debug.traceback, data, random)
    if ok and round % 4096 == 0 and kept() - before > MOST_KEPT then
      ok, problem = false, "memory is kept: " .. (kept() - before) .. " bytes"
    end
    if not ok then return done, { round = round, input = data, problem = problem } end
    done = done + 1
    if options.stop and done % 64 == 0 and options.stop(done) then break end
  end
  return done
end

return engine
