-- The layers, and what no layer may do.  sys includes libc only; the kit includes sys; a binding
-- includes kit and sys and no other binding; only sys_*.c tests the platform; lua/lipc/proto requires
-- proto only.
package.path = ".lint/?.lua;" .. package.path
local tree = require "tree"

local lua_headers = { ["lua.h"] = true, ["lauxlib.h"] = true, ["lualib.h"] = true, ["luaconf.h"] = true }
local mechanisms = tree.mechanisms()

local function layer_of(file)
  if file == "lipc_sys.h" or file:find "^sys_.*%.[ch]$" then return "sys" end
  if file:find "^lipc_kit%.[ch]$" or file:find "^kit_.*%.[ch]$" then return "kit" end
  if file == "core.c" then return "core" end
  if file == "lipc.h" then return "public" end
  return "binding"
end

-- The mechanism that a binding file belongs to: socket.c and socket_addr.c to "socket".
local function mechanism_of(file)
  local stem, best = file:match "^[^.]+", nil
  for _, m in ipairs(mechanisms) do
    if (stem == m or stem:sub(1, #m + 1) == m .. "_") and (not best or #m > #best) then best = m end
  end
  return best or stem
end

local function may_include(layer, file, header)
  local target = layer_of(header)
  if lua_headers[header] then return layer ~= "sys" end
  if layer == "sys" then return target == "sys" end
  if layer == "public" then return false end
  if header == "modules.def" then return layer == "kit" or layer == "core" end
  if layer == "kit" then return target == "kit" or target == "sys" end
  if layer == "core" then return target ~= "binding" end
  return target == "kit" or target == "sys"
    or (target == "binding" and mechanism_of(header) == mechanism_of(file))
end

-- What a preprocessor condition may test outside sys_*.c: not the platform.
local function harmless(word)
  return word == "defined" or word:find "^lipc_[%w_]*h$" or word:find "^kit_[%w_]*h$" or word:find "^LIPC_"
    or word:find "^LUA_VERSION" or word == "__cplusplus" or word == "NDEBUG" or word:find "^__SANITIZE"
    or word:find "^[%w]+_h$" or word:find "^[%w]+_[%w_]+_h$"
end

local forbidden = {
  perror = "a library prints nothing",
  printf = "a library prints nothing",
  fprintf = "a library prints nothing",
  vfprintf = "a library prints nothing",
  dprintf = "a library prints nothing",
  puts = "a library prints nothing",
  putchar = "a library prints nothing",
  exit = "a guest does not end its host",
  abort = "a guest does not end its host",
  assert = "a guest does not end its host (lua_assert, static_assert)",
  system = "no shells",
  popen = "no shells",
  sprintf = "snprintf",
  strcpy = "checked copies only",
  strcat = "checked copies only",
  gets = "checked copies only",
  alloca = "the stack of a coroutine's thread may be small",
  setlocale = "the host's locale stays",
  strtok = "not for several threads",
  gmtime = "not for several threads",
  localtime = "not for several threads",
  umask = "the host's umask stays",
  chdir = "the host's working directory stays",
}
-- In a child between fork and exec these are what was asked for.
local in_sys = { umask = true, chdir = true }

for _, path in ipairs(tree.files("src", "c", "h", "def")) do
  local file = path:match "[^/]+$"
  local layer = layer_of(file)
  local raw = tree.read(path)
  for n, line in tree.lines(raw) do
    local header = line:match '^%s*#%s*include%s*"([^"]+)"'
    local system = line:match "^%s*#%s*include%s*<([^>]+)>"
    if header and not may_include(layer, file, header) then
      tree.fail(path .. ":" .. n, 'a file of layer %s may not include "%s"', layer, header)
    elseif system and lua_headers[system:match "[^/]+$"] and layer == "sys" then
      tree.fail(path .. ":" .. n, "the system layer knows nothing of Lua (<%s>)", system)
    end
  end
  for n, line in tree.lines(tree.strip_c(raw)) do
    local where = path .. ":" .. n
    local condition = line:match "^%s*#%s*el?if(.*)$" or line:match "^%s*#%s*if(.*)$"
    if condition and not file:find "^sys_" then
      for word in condition:gsub("^n?def", ""):gmatch "[%a_][%w_]*" do
        if not harmless(word) then tree.fail(where, "only src/sys_*.c may test the platform (%s)", word) end
      end
    end
    if not file:find "^sys_" then
      local word = line:match "%f[%w_](SYS_%w+)" or line:match "%f[%w_](__NR_%w+)" or line:match "%f[%w_](syscall)%s*%("
      if word then tree.fail(where, "system calls by number belong in src/sys_*.c (%s)", word) end
    end
    for word in line:gmatch "%f[%w_]([%a_][%w_]*)%s*%(" do
      if forbidden[word] and not (layer == "sys" and in_sys[word]) then
        tree.fail(where, "%s: %s", word, forbidden[word])
      end
    end
  end
  if layer == "binding" and file:find "%.c$" then
    local before = ""
    for n, line in tree.lines(raw) do
      local name = line:match "^static int (l_[%w_]+) %(lua_State %*L%) {"
      if name and not before:find "%*/%s*$" then
        tree.fail(path .. ":" .. n, "%s has no header comment", name)
      end
      before = line
    end
  end
end

-- Lua: who requires whom.
local outside = { dkjson = true } -- well-kept libraries that anything may use
for _, path in ipairs(tree.files("lua", "lua")) do
  local cli = path:find "^lua/lipc/cli/"
  local proto, adapter = path:find "^lua/lipc/proto/", path:match "^lua/lipc/adapter/([%w_]+)%.lua$"
  for n, line in tree.lines(tree.read(path)) do
    local code = line:gsub("%-%-.*", "")
    for name in code:gmatch "%f[%w_]require%s*%(?%s*[\"']([^\"']+)[\"']" do
      local ours = name == "lipc" or name:find "^lipc%."
      local ok = outside[name] or ours or (adapter and (name == adapter or name:find("^" .. adapter .. "%.")))
      if cli and name == "argparse" then ok = true end
    if proto then ok = outside[name] or name:find "^lipc%.proto%." end
      if name:find "^lipc%.meta" then ok = false end
      if not ok then tree.fail(path .. ":" .. n, 'may not require "%s"', name) end
    end
    if code:find "%f[%w_]os%.exit" and not path:find "^lua/lipc/cli/" then
      tree.fail(path .. ":" .. n, "a guest does not end its host (os.exit)")
    end
  end
end

tree.finish()
