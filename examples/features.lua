-- What this system can do, as far as lipc asks.
local features = require("lipc").features()
local names = {}
for name in pairs(features) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do print(("%-14s %s"):format(name, tostring(features[name]))) end
