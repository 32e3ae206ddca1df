-- Files in general: length, blanks at line ends, tabs; and for each mechanism its source, spec, API
-- text and example.
package.path = ".lint/?.lua;" .. package.path
local tree = require "tree"

local MAX_LINES = 520

local function check(path, tabs)
  local text, lines = tree.read(path), 0
  for n, line in tree.lines(text) do
    if line ~= "" then lines = n end
    if line:find "[ \t\r]$" then tree.fail(path .. ":" .. n, "blanks at the end of the line") end
    if not tabs and line:find "\t" then tree.fail(path .. ":" .. n, "a tab") end
  end
  if lines > MAX_LINES then tree.fail(path, "%d lines; split it by concept (limit %d)", lines, MAX_LINES) end
  if text ~= "" and text:sub(-1) ~= "\n" then tree.fail(path, "no newline at the end") end
  if text:find "\n\n$" then tree.fail(path, "empty lines at the end") end
end

for _, dir in ipairs { "src", "lua", "spec", "bench", "examples", "doc", ".lint", ".build", ".ci" } do
  for _, path in ipairs(tree.files(dir, "c", "h", "def", "lua", "md", "py", "sh")) do check(path) end
end
local scripts = { ".lint/run", ".build/deps", ".build/specs", ".build/oom", ".ci/run" }
for _, path in ipairs { "README.md", "CHANGELOG.md", table.unpack(scripts) } do
  if tree.exists(path) then check(path) else tree.fail(path, "missing") end
end
check("Makefile", true)

-- The top level is fixed.
local allowed = {
  ["Makefile"] = true, ["lipc-dev-1.rockspec"] = true, ["src"] = true, ["lua"] = true, ["spec"] = true,
  ["examples"] = true, ["README.md"] = true, ["LICENSE"] = true, ["CHANGELOG.md"] = true, ["bench"] = true,
  ["doc"] = true,
}
local p = assert(io.popen "git ls-files 2>/dev/null | sed 's,/.*,,' | sort -u")
for name in p:lines() do
  if not allowed[name] and name:sub(1, 1) ~= "." then tree.fail(name, "does not belong at the top level") end
end
p:close()

local examples = table.concat(tree.files("examples", "lua", "c", "py"), "\n")
for _, m in ipairs(tree.mechanisms()) do
  for _, path in ipairs { "src/%s.c", "spec/%s_spec.lua", "lua/lipc/meta/%s.lua" } do
    path = path:format(m)
    if not tree.exists(path) then tree.fail(path, "missing: every mechanism has one") end
  end
  if not examples:find("/" .. m .. "[%w_]*%.") then
    tree.fail(("examples/%s*.lua"):format(m), "missing: every mechanism has one")
  end
end

tree.finish()
