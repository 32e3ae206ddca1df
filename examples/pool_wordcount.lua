-- The ten commonest words of some files, counted by several processes: pool:map with a progress bar.
--
--   lua5.4 examples/pool_wordcount.lua [FILE ...]       default: the licence texts of Debian
--
-- WORKERS=n sets the number of workers (default: the number of processors).
local ipc = require "lipc"

local PIECE = 1 << 16 -- bytes of a file that are counted at once

local files = table.move(arg, 1, #arg, 1, {})
if #files == 0 then
  local found = assert(ipc.process.run { "find", "/usr/share/common-licenses", "-type", "f", check = true })
  for path in found.stdout:gmatch "[^\n]+" do files[#files + 1] = path end
end

-- The pieces: whole words, so that none is cut in two.
local pieces = {}
for _, path in ipairs(files) do
  local file <close> = assert(io.open(path, "rb"))
  local text = file:read "a"
  local from = 1
  while from <= #text do
    local to = text:find("%A", from + PIECE) or #text
    pieces[#pieces + 1] = text:sub(from, to)
    from = to + 1
  end
end

local function count(text)
  local words = {}
  for word in text:lower():gmatch "%a+" do words[word] = (words[word] or 0) + 1 end
  return words
end

local pool <close> = ipc.pool { workers = math.tointeger(tonumber(os.getenv "WORKERS")) }
local counted = assert(pool:map(count, pieces, { progress = ipc.progress.bar { label = "counting", plain = true } }))

local total = {}
for _, words in ipairs(counted) do
  for word, n in pairs(words) do total[word] = (total[word] or 0) + n end
end
local top = {}
for word, n in pairs(total) do top[#top + 1] = { word = word, n = n } end
table.sort(top, function(a, b) return a.n > b.n or a.n == b.n and a.word < b.word end)
for i = 1, math.min(10, #top) do print(("%8d %s"):format(top[i].n, top[i].word)) end
