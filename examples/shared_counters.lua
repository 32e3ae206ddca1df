-- Several processes count words into one dictionary; each addition is one step, so that no word is lost.
-- lua shared_counters.lua [processes]
local ipc = require "lipc"
local processes = tonumber(arg[1] or 4)

local text = [[the cat and the dog and the bird]]
local counts = assert(ipc.shared.dict { capacity = 1000 })

local children = {}
for i = 1, processes do
  children[i] = assert(ipc.process.fork(function()
    for _ = 1, 100 do
      for word in text:gmatch "%a+" do assert(counts:add(word, 1)) end
    end
  end))
end
for _, child in ipairs(children) do assert(child:wait()) end

local words = {}
for word in pairs(counts) do words[#words + 1] = word end
table.sort(words)
for _, word in ipairs(words) do print(word, counts:get(word)) end
