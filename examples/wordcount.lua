-- The ten commonest words of a corpus, counted twice: by a pipeline of programs with a Lua function
-- among them, and by a broker with worker processes.  The two must agree.
--
--   lua5.4 examples/wordcount.lua [FILE ...]        default: the licence texts of Debian
--
-- WORKERS=n sets the number of workers (default 2).
local ipc = require "lipc"
local json = require "dkjson"

local TOP = 10
local CHUNK = 1 << 18 -- bytes in a job: the words of so few fit into one message, whatever they are
local workers = math.tointeger(tonumber(os.getenv "WORKERS" or 2))
assert(workers and workers > 0, "WORKERS: a positive number expected")

local function corpus()
  if #arg > 0 then return table.move(arg, 1, #arg, 1, {}) end
  local found = assert(ipc.process.run { "find", "/usr/share/common-licenses", "-type", "f", check = true })
  local files = {}
  for path in found.stdout:gmatch "[^\n]+" do files[#files + 1] = path end
  table.sort(files)
  assert(#files > 0, "no licence texts on this machine: name some files")
  return files
end

-- ---- a line that moves on a terminal, a few plain ones elsewhere ----

local on_terminal = os.execute "test -t 2"

local function progress(what, total)
  local done, shown = 0, -1
  return function(step)
    done = done + step
    local percent = total > 0 and done * 100 // total or 100
    if on_terminal then
      local filled = percent * 40 // 100
      io.stderr:write("\r", what, " [", ("#"):rep(filled), ("."):rep(40 - filled), "] ", percent, "%",
        percent == 100 and "\n" or "")
    elseif percent // 25 > shown then
      shown = percent // 25
      io.stderr:write(what, " ", percent, "%\n")
    end
  end
end

-- ---- first way: cat | tr | lower case | sort | uniq -c | sort -rn | head ----

local function by_pipeline(files)
  local cat = { "cat", "--", table.unpack(files) }
  local function lower(input, output)
    for block in function() return (input:readsome(65536)) end do output:write(block:lower()) end
  end
  local result = assert(ipc.process.pipeline {
    cat, { "tr", "-cs", "A-Za-z", "\n" }, lower, { "sed", "/^$/d" }, { "sort" }, { "uniq", "-c" },
    { "sort", "-k1,1nr", "-k2" }, { "head", "-n", TOP },
    env_add = { LC_ALL = "C" }, stdout = "pipe", check = true,
  })
  local top = {}
  for count, word in result.stdout:gmatch "(%d+) (%a+)\n" do
    top[#top + 1] = { word = word, count = tonumber(count) }
  end
  return top
end

-- ---- second way: jobs to a queue group of workers, answers merged ----

-- The words that begin in bytes [from, to) of a file.
local function count_words(job)
  local file = assert(io.open(job.path, "rb"))
  local before = ""
  if job.from > 0 then
    file:seek("set", job.from - 1)
    before = file:read(1)
  end
  local text = file:read(job.to - job.from) or ""
  if before:find "%a" then text = text:gsub("^%a+", "", 1) end
  if text:find "%a$" then
    repeat -- the last word may go on beyond
      local more = file:read(64)
      text = text .. (more and more:match "^%a*" or "")
    until not more or more:find "%A"
  end
  file:close()
  local counts = {}
  for word in text:lower():gmatch "%a+" do counts[word] = (counts[word] or 0) + 1 end
  return counts
end

local function worker(url)
  local c = assert(ipc.connect(url))
  c:subscribe("count", { queue = "workers" }, function(msg)
    msg:respond(json.encode(count_words(json.decode(msg.data))))
  end)
  c:subscribe("finish", function() c:stop() end)
  assert(c:flush(30)) -- the broker knows the subscriptions now
  assert(c:publish("ready", ""))
  assert(c:run())
  assert(c:close())
end

-- A list of jobs, and the bytes in all of them.
local function jobs_of(files)
  local jobs, total = {}, 0
  for _, path in ipairs(files) do
    local file = assert(io.open(path, "rb"))
    local size = file:seek "end"
    file:close()
    total = total + size
    for from = 0, size - 1, CHUNK do
      jobs[#jobs + 1] = { path = path, from = from, to = math.min(from + CHUNK, size) }
    end
  end
  return jobs, total
end

local function by_broker(files)
  local path = os.tmpname()
  os.remove(path)
  local broker <close> = assert(ipc.broker.start { path = path })
  local url = broker:url()
  local c = assert(ipc.connect(url))
  local ready = assert(c:subscribe "ready")
  assert(c:flush(30))
  local crew = {}
  for i = 1, workers do crew[i] = assert(ipc.process.fork(function() worker(url) end)) end
  for _ = 1, workers do assert(ready:next(30)) end

  local counts, loop, taken = {}, ipc.loop.new(), 0
  local jobs, total = jobs_of(files)
  local advance = progress("broker:", total)
  local function ask() -- one job in flight for each of these
    while jobs[taken + 1] do
      taken = taken + 1
      local job = jobs[taken]
      local answer = assert(c:request("count", json.encode(job), 120))
      for word, n in pairs(json.decode(answer.data)) do counts[word] = (counts[word] or 0) + n end
      advance(job.to - job.from)
    end
  end
  for _ = 1, 2 * workers do loop:wrap(ask) end
  loop:run()

  assert(c:publish("finish", ""))
  assert(c:close())
  for _, process in ipairs(crew) do
    local status = assert(process:wait(30))
    assert(status.ok, status.error)
  end
  local top = {}
  for word, n in pairs(counts) do top[#top + 1] = { word = word, count = n } end
  table.sort(top, function(a, b) return a.count > b.count or a.count == b.count and a.word < b.word end)
  return table.move(top, 1, TOP, 1, {})
end

-- ---- both, side by side ----

local files = corpus()
io.stderr:write("pipeline: ", #files, " files\n")
local first = by_pipeline(files)
local second = by_broker(files)

local same = #first == #second
print(("%-24s %-24s"):format("pipeline", "broker"))
for i = 1, math.max(#first, #second) do
  local a, b = first[i] or {}, second[i] or {}
  same = same and a.word == b.word and a.count == b.count
  print(("%8s %-15s %8s %-15s"):format(a.count or "-", a.word or "-", b.count or "-", b.word or "-"))
end
if not same then
  io.stderr:write "the two tables differ\n"
  os.exit(1)
end
