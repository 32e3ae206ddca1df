-- The compiled objects: core.so exports luaopen_lipc_core and nothing else; no mutable C globals but
-- those listed, with their reason, in .lint/globals.
package.path = ".lint/?.lua;" .. package.path
local tree = require "tree"

local p = assert(io.popen "nm -D --defined-only build/lib/lipc/core.so")
local seen
for line in p:lines() do
  local name = line:match "%S+$"
  if name == "luaopen_lipc_core" then
    seen = true
  else
    tree.fail("build/lib/lipc/core.so", "exports %s (hide it: #pragma GCC visibility)", name)
  end
end
p:close()
if not seen then tree.fail("build/lib/lipc/core.so", "does not export luaopen_lipc_core") end

local allowed = {}
for n, line in tree.lines(tree.read ".lint/globals") do
  local object, symbol, reason = line:match "^([%w_]+)%s+([%w_]+)%s+(%S.*)$"
  if object then
    allowed[object .. " " .. symbol] = reason
  elseif line:find "%S" and not line:find "^#" then
    tree.fail(".lint/globals:" .. n, "not `object symbol reason`")
  end
end
local used = {}
for _, source in ipairs(tree.files("src", "c")) do
  local object = source:match "([^/]+)%.c$"
  p = assert(io.popen("objdump -t build/obj/" .. object .. ".o"))
  for line in p:lines() do
    -- value, flags, section, size, name
    local flags, section, size, name = line:match "^%x+ (.......) (%S+)%s+(%x+)%s+(%S+)$"
    if flags and flags:find "O" and (section:find "^%.t?bss" or section:find "^%.t?data" or section == "*COM*")
      and not section:find "^%.data%.rel%.ro" and tonumber(size, 16) > 0 then
      local key = object .. " " .. name:gsub("%.%d+$", "")
      used[key] = true
      if not allowed[key] then
        tree.fail("src/" .. object .. ".c", "mutable global %s: the module lives in several states and"
          .. " threads; make it const, or give the reason in .lint/globals", name)
      end
    end
  end
  p:close()
end
for key in pairs(allowed) do
  if not used[key] then tree.fail(".lint/globals", "%s: no such global", key) end
end

tree.finish()
