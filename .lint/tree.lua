-- What the checks share: lists of files, reading, stripping comments, reporting.
local tree = {}

local failures = 0

function tree.fail(where, ...)
  failures = failures + 1
  io.stderr:write(where, ": ", string.format(...), "\n")
end

function tree.finish() os.exit(failures == 0, true) end

-- tree.files("src", "c", "h") -> sorted paths of files with these endings below a directory
function tree.files(dir, ...)
  local names = {}
  for _, ending in ipairs { ... } do names[#names + 1] = ("-name '*.%s'"):format(ending) end
  local list = {}
  local p = assert(io.popen(("test -d %s && find %s -type f \\( %s \\) | LC_ALL=C sort")
    :format(dir, dir, table.concat(names, " -o "))))
  for path in p:lines() do list[#list + 1] = path end
  p:close()
  return list
end

function tree.exists(path)
  local f = io.open(path)
  return f ~= nil and f:close()
end

function tree.read(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read "a"
  f:close()
  return text
end

-- C without comments, strings and characters; lines stay where they were.
function tree.strip_c(text)
  local out, i = {}, 1
  while i <= #text do
    local from, _, what = text:find([[([/"'])]], i)
    if not from then break end
    local to
    if what == "/" then
      if text:sub(from, from + 1) == "/*" then
        to = select(2, text:find("*/", from + 2, true)) or #text
      elseif text:sub(from, from + 1) == "//" then
        to = (text:find("\n", from, true) or #text + 1) - 1
      end
    else
      to = from
      repeat
        to = to + 1
        local c = text:sub(to, to)
        if c == "\\" then to = to + 1 end
      until c == what or to > #text
    end
    if to then
      local gone = text:sub(from, to)
      out[#out + 1] = text:sub(i, from - 1)
      out[#out + 1] = what == "/" and " " or what .. what
      out[#out + 1] = gone:gsub("[^\n]", "")
      i = to + 1
    else
      out[#out + 1] = text:sub(i, from)
      i = from + 1
    end
  end
  out[#out + 1] = text:sub(i)
  return table.concat(out)
end

-- The mechanisms in src/modules.def, in order.  What lies in kit_<name>.c is the kit's own part that is
-- seen from Lua, not a mechanism.
function tree.mechanisms()
  local list = {}
  if tree.exists "src/modules.def" then
    for name in tree.strip_c(tree.read "src/modules.def"):gmatch "LIPC_MODULE%s*%(%s*([%w_]+)" do
      if not tree.exists("src/kit_" .. name .. ".c") then list[#list + 1] = name end
    end
  end
  return list
end

-- for number, line in tree.lines(text)
function tree.lines(text)
  local n = 0
  local next_line = text:gmatch "([^\n]*)\n?"
  return function()
    n = n + 1
    local line = next_line()
    if line then return n, line end
  end
end

return tree
