-- The rockspec's lists match the tree.  `lua5.4 .lint/rockspec.lua --write` brings them up to date.
package.path = ".lint/?.lua;" .. package.path
local tree = require "tree"

local path = "lipc-dev-1.rockspec"
local text = tree.read(path)

-- The list as it should be.
local want = { '  modules = {\n    ["lipc.core"] = {\n      sources = {\n' }
for _, file in ipairs(tree.files("src", "c")) do want[#want + 1] = ('        "%s",\n'):format(file) end
want[#want + 1] = "      },\n    },\n"
for _, file in ipairs(tree.files("lua", "lua")) do
  local name = file:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
  want[#want + 1] = ('    ["%s"] = "%s",\n'):format(name, file)
end
want[#want + 1] = "  },\n"
want = table.concat(want)

local from, to = text:find "  modules = {\n.-\n  },\n"
assert(from, path .. ": no modules list found")

if arg[1] == "--write" then
  local f = assert(io.open(path, "w"))
  f:write(text:sub(1, from - 1), want, text:sub(to + 1))
  assert(f:close())
  return
end

if text:sub(from, to) ~= want then
  local have = {}
  for line in text:sub(from, to):gmatch "[^\n]+" do have[line] = true end
  for line in want:gmatch "[^\n]+" do
    if not have[line] then tree.fail(path, "missing: %s", line) end
    have[line] = nil
  end
  for line in pairs(have) do tree.fail(path, "not in the tree: %s", line) end
  tree.fail(path, "lists do not match the tree; lua5.4 .lint/rockspec.lua --write")
end

local env = {}
assert(load(text, "@" .. path, "t", env))()
local bin = env.build.install and env.build.install.bin or {}
if tree.exists "lua/lipc/cli/lipc" and bin.lipc ~= "lua/lipc/cli/lipc" then
  tree.fail(path, 'install.bin does not have lipc = "lua/lipc/cli/lipc"')
end
for _, dir in ipairs(env.build.copy_directories or {}) do
  if not os.execute("test -d " .. dir) then tree.fail(path, "copy_directories: no directory %s", dir) end
end
-- No flags, no probes: what the builtin build would need them for is in the sources.
local core = env.build.modules["lipc.core"]
for key in pairs(core) do
  if key ~= "sources" then tree.fail(path, "lipc.core has %s: the build takes no flags", key) end
end

tree.finish()
