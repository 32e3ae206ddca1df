-- The API text against the live module, both ways: what lua/lipc/meta/*.lua describes exists, and
-- what exists is described.  The conventions are in doc/contributing.md.
package.path = ".lint/?.lua;" .. package.path
local tree = require "tree"
local luacats = require "luacats"

local ipc = require "lipc"
local mechanisms = tree.mechanisms()

local function get(name) -- a module may raise on a name it does not have
  local ok, value = pcall(function() return ipc[name] end)
  if ok then return value end
end

-- 1. Read all of the text.
local classes, files = {}, {}
for _, path in ipairs(tree.files("lua/lipc/meta", "lua")) do
  local meta, found, problems = luacats.parse(tree.read(path))
  for _, p in ipairs(problems) do tree.fail(path .. ":" .. p[1], "%s", p[2]) end
  if meta then
    files[meta] = path
    local stem = path:match "([^/]+)%.lua$"
    if meta:gsub("^lipc%.", "") ~= stem and not (meta == "lipc" and stem == "init")
      and meta:gsub("^lipc%.", ""):gsub("%.", "_") ~= stem then
      tree.fail(path, "says ---@meta %s", meta)
    end
  end
  for name, class in pairs(found) do
    class.path = path
    if classes[name] then tree.fail(path .. ":" .. class.line, "class %s is also in %s", name, classes[name].path) end
    classes[name] = class
  end
end

-- What a class has, with what its parents have.
local function collect(name, kind, into, seen)
  into, seen = into or {}, seen or {}
  local class = classes[name]
  if class and not seen[name] then
    seen[name] = true
    for key, value in pairs(class[kind]) do into[key] = into[key] or value end
    for _, parent in ipairs(class.parents) do collect(parent, kind, into, seen) end
  end
  return into
end

local function keys(t, is)
  local list = {}
  for key, value in pairs(t) do
    if type(key) == "string" and not key:find "^_" and is(value) then list[#list + 1] = key end
  end
  table.sort(list)
  return list
end
local function is_function(v) return type(v) == "function" end
local function is_other(v) return type(v) ~= "function" end

-- 2. Modules: `lipc.<m>.module` describes what require "lipc"[m] has; class `lipc` the module itself.
local checked = {}
local function check_module(name, live)
  local class = classes[name]
  if not class then return tree.fail("lua/lipc/meta", "no class %s", name) end
  checked[name] = true
  local where = class.path .. ":" .. class.line
  local functions, fields = collect(name, "functions"), collect(name, "fields")
  for _, key in ipairs(keys(live, is_function)) do
    if not functions[key] and not fields[key] then tree.fail(where, "%s.%s is not described", name, key) end
  end
  for _, key in ipairs(keys(live, is_other)) do
    if not fields[key] and not (type(live[key]) == "table" and classes[name:gsub("module$", key .. ".module")]) then
      tree.fail(where, "%s.%s is not described (---@field)", name, key)
    end
  end
  for key, f in pairs(functions) do
    if type(f) == "table" and live[key] == nil then
      tree.fail(class.path .. ":" .. f.line, "%s.%s does not exist", name, key)
    end
  end
  for key in pairs(fields) do
    if key:find "^[%a_]" and live[key] == nil then tree.fail(where, "field %s.%s does not exist", name, key) end
  end
end

local live_classes = {} -- name -> metatable
local function note_metatable(mt)
  local name = type(mt) == "table" and rawget(mt, "__name")
  if type(name) == "string" and name:find "^lipc%." then live_classes[name] = mt end
end

-- Lua's own classes are found through the functions of the modules: any table among their upvalues,
-- or theirs, that has __name.
local seen = {}
local function walk(value, depth)
  if seen[value] or depth > 100 then return end
  if type(value) == "function" then
    seen[value] = true
    for i = 1, 255 do
      local name, up = debug.getupvalue(value, i)
      if not name then break end
      if name ~= "_ENV" and (type(up) == "table" or type(up) == "function") then walk(up, depth + 1) end
    end
  elseif type(value) == "table" and value ~= _G and value ~= package.loaded then
    seen[value] = true
    note_metatable(value)
    note_metatable(getmetatable(value))
    for key, v in next, value do
      if type(key) == "string" and (type(v) == "table" or type(v) == "function") then walk(v, depth + 1) end
    end
  end
end

local function check_sub(prefix, live)
  for key, value in pairs(live) do
    local sub = prefix .. "." .. tostring(key) .. ".module"
    if type(value) == "table" and classes[sub] then
      check_module(sub, value)
      check_sub(prefix .. "." .. key, value)
    end
  end
end

local lua_modules = {}
for _, path in ipairs(tree.files("lua/lipc", "lua")) do
  local name = path:match "^lua/lipc/([%w_]+)%.lua$" or path:match "^lua/lipc/(adapter/[%w_]+)%.lua$"
  if name and name ~= "init" and not tree.read(path):match "^[^\n]*\n?[^\n]*\n?[^\n]*":find "[Ii]nternal" then
    lua_modules[#lua_modules + 1] = (name:gsub("/", "."))
  end
end

local function live_module(name)
  if get(name) ~= nil then return get(name) end
  local ok, value = pcall(require, "lipc." .. name)
  if ok then return value end
  tree.fail("lua/lipc/meta", "cannot load lipc.%s: %s", name, tostring(value))
end

-- functions of the module itself may be loaded on first use
for key in pairs(classes["lipc"] and classes["lipc"].functions or {}) do get(key) end

local done = {}
for _, list in ipairs { mechanisms, lua_modules } do
  for _, name in ipairs(list) do
    local live = not done[name] and live_module(name)
    done[name] = true
    if live then
      if not files["lipc." .. name] then
        tree.fail("lua/lipc/meta/" .. name:gsub("%.", "_") .. ".lua", "missing, or without ---@meta lipc.%s", name)
      end
      if type(live) == "table" then
        if classes["lipc." .. name .. ".module"] or files["lipc." .. name] then
          check_module("lipc." .. name .. ".module", live)
          check_sub("lipc." .. name, live)
        end
        walk(live, 0)
      end
    end
  end
end
walk(ipc, 0)

-- the module itself: its functions, and a field for each submodule
if not classes["lipc"] then
  tree.fail("lua/lipc/meta/init.lua", "no class lipc")
else
  checked["lipc"] = true
  local functions, fields = classes["lipc"].functions, classes["lipc"].fields
  local where = classes["lipc"].path .. ":" .. classes["lipc"].line
  for _, key in ipairs(keys(ipc, is_function)) do
    if not functions[key] then tree.fail(where, "lipc.%s is not described", key) end
  end
  for key in pairs(functions) do
    if get(key) == nil then tree.fail(where, "lipc.%s does not exist", key) end
  end
  for key in pairs(fields) do
    if get(key) == nil then tree.fail(where, "field lipc.%s does not exist", key) end
  end
  for name in pairs(done) do
    if not name:find(".", 1, true) and not fields[name] and get(name) ~= nil then
      tree.fail(where, "no ---@field %s lipc.%s.module", name, name)
    end
  end
end

-- 3. Types: the class of the same name as the metatable's __name describes its methods.
for _, mt in pairs(debug.getregistry()) do note_metatable(mt) end

local function methods_of(mt)
  local index = rawget(mt, "__index")
  if type(index) == "table" then return index end
  if type(index) == "function" then -- elements by number, methods by name: an upvalue, as metatables may be
    for i = 1, 255 do
      local name, up = debug.getupvalue(index, i)
      if not name then break end
      if type(up) == "table" and not rawget(up, "__name") and name ~= "_ENV" then return up end
    end
  end
  return {}
end

for name, mt in pairs(live_classes) do
  local methods = methods_of(mt)
  local class = classes[name]
  local live = keys(methods, is_function)
  if not class then
    if #live > 0 then tree.fail("lua/lipc/meta", "no class %s (methods: %s)", name, table.concat(live, ", ")) end
  else
    checked[name] = true
    local where = class.path .. ":" .. class.line
    local described, fields = collect(name, "functions"), collect(name, "fields")
    for _, key in ipairs(live) do
      if not described[key] and not fields[key] then tree.fail(where, "%s:%s is not described", name, key) end
    end
    for key, f in pairs(described) do
      if type(methods[key]) ~= "function" then
        tree.fail(where, "%s:%s does not exist (line %d)", name, key, f.line)
      elseif not f.method then
        tree.fail(where, "%s.%s is a method: write function X:%s()", name, key, key)
      end
    end
  end
end

-- 4. A class with functions is live, or the parent of one that is.
local parents = {}
for _, class in pairs(classes) do
  for _, parent in ipairs(class.parents) do
    parents[parent] = true
    if not classes[parent] and parent ~= "table" and parent ~= "userdata" then
      tree.fail(class.path .. ":" .. class.line, "no class %s", parent)
    end
  end
end
for name, class in pairs(classes) do
  if next(class.functions) and not checked[name] and not parents[name] then
    tree.fail(class.path .. ":" .. class.line, "class %s has functions, but no such type or module exists", name)
  end
end

tree.finish()
