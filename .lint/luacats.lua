-- Reads LuaCATS definition files (lua/lipc/meta/*.lua; the format is described in
-- doc/contributing.md) into classes with their functions and fields.
local luacats = {}

-- parse(text) -> meta name, classes, problems
-- classes: name -> {line=, parents={}, functions={name -> {line=, method=, params={}}}, fields={name -> line}}
function luacats.parse(text)
  local meta, classes, problems = nil, {}, {}
  local bound = {} -- variable path -> class
  local pending -- the class whose variable comes next
  local block = {} -- the comment lines directly above
  local number = 0

  local function problem(...) problems[#problems + 1] = { number, string.format(...) } end

  local function add_function(path, separator, name, args)
    local class = bound[path]
    if not class then return problem("%s%s%s: no ---@class stands over %s", path, separator, name, path) end
    local f = { line = number, method = separator == ":", params = {} }
    if class.functions[name] then problem("%s%s%s is defined twice", path, separator, name) end
    class.functions[name] = f
    local documented, described, returns = {}, false, false
    for _, line in ipairs(block) do
      local param = line:match "^%-%-%-@param%s+([%w_.]+)%??"
      if param then documented[param] = true end
      if line:find "^%-%-%-@return" or line:find "[Rr]eturns nothing" then returns = true end
      if line:find "^%-%-%-%s*[^%s@|]" then described = true end
      if line:find "^%-%-%-@vararg" then documented["..."] = true end
    end
    for arg in args:gmatch "[%w_.]+" do
      f.params[#f.params + 1] = arg
      if not documented[arg] then problem("%s%s%s: no ---@param %s", path, separator, name, arg) end
      documented[arg] = nil
    end
    if f.method then documented.self = nil end -- for generics: chained methods return what they got
    for param in pairs(documented) do
      problem("%s%s%s: ---@param %s is not among its parameters", path, separator, name, param)
    end
    if not described then problem("%s%s%s: no description", path, separator, name) end
    if not returns then problem("%s%s%s: no ---@return, no \"returns nothing\"", path, separator, name) end
  end

  for line in text:gmatch "([^\n]*)\n?" do
    number = number + 1
    local class, rest = line:match "^%-%-%-@class%s+(%b())%s*(.*)$"
    if not class then rest = line:match "^%-%-%-@class%s+(.*)$" end
    if rest then
      local name, parents = rest:match "^([%w_.]+)%s*:?%s*([%w_.,%s]*)"
      pending = { line = number, parents = {}, functions = {}, fields = {} }
      for parent in (parents or ""):gmatch "[%w_.]+" do pending.parents[#pending.parents + 1] = parent end
      if classes[name] then problem("class %s is defined twice", name) end
      classes[name] = pending
      block = {}
    elseif line:find "^%-%-%-@field" then
      local field = line:match "^%-%-%-@field%s+%l+%s+([%w_]+)%??%s" or ""
      local visibility = line:match "^%-%-%-@field%s+(%l+)"
      if not ({ public = true, private = true, protected = true, package = true })[visibility] then
        field = line:match "^%-%-%-@field%s+([%w_]+)%??%s" or line:match "^%-%-%-@field%s+(%[)" or ""
      end
      if pending then pending.fields[field] = number else problem "---@field without a class" end
    elseif line:find "^%-%-%-" or line:find "^%-%-" then
      meta = meta or line:match "^%-%-%-@meta%s+([%w_.]+)"
      block[#block + 1] = line
    else
      local path = line:match "^local%s+([%w_]+)" or line:match "^([%w_.]+)%s*=%s*{"
      local owner, separator, name, args = line:match "^function%s+([%w_.]-)([.:])([%w_]+)%s*%((.-)%)"
      if owner then
        add_function(owner, separator, name, args)
      elseif path and pending then
        bound[path] = pending
        pending = nil
      elseif line:find "%S" and pending then
        pending = nil -- a class of fields only
      end
      if line:find "%S" then block = {} else block = {}; pending = nil end
    end
  end
  if not meta then problems[#problems + 1] = { 1, "no ---@meta lipc.<name>" } end
  return meta, classes, problems
end

return luacats
