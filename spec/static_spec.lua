-- build/liblipc.a: a host in C that links it finds all of lipc without any file.
local names = require "support.names"

local function run(command)
  local p = assert(io.popen(command .. " 2>&1"))
  local text = p:read "a"
  local ok = p:close()
  return ok, text
end

describe("the static library", function()
  local host = names.path ".bin"

  setup(function()
    local ok, text = run(("%s -Wall -Werror -Isrc -I'%s' -pthread -o %s spec/host/embed.c build/liblipc.a %s")
      :format(os.getenv "CC" or "cc", os.getenv "LUA_INCDIR" or "/usr/include/lua5.4", host,
        os.getenv "LUA_LIB" or "-llua5.4"))
    assert(ok, text)
  end)

  teardown(function() os.remove(host) end)

  it("runs a script with an empty package.path", function()
    local ok, text = run(host .. [[ 'local ipc = require "lipc"
      assert(package.path == "" and package.cpath == "")
      local r, w = assert(ipc.pipe.open())
      w:write "through a pipe"
      w:close()
      print(r:read "a")']])
    assert.is_true(ok, text)
    assert.equal("through a pipe\n", text)
  end)

  it("names the Lua files in tracebacks", function()
    local ok, text = run(host .. [[ 'local ipc = require "lipc"
      print(debug.getinfo(getmetatable(ipc).__index, "S").short_src)']])
    assert.is_true(ok, text)
    assert.equal("lipc/init.lua\n", text)
  end)

  it("has every Lua file under its module's name", function()
    local p = assert(io.popen "cd lua && find lipc -name '*.lua' ! -path 'lipc/meta/*'")
    local n = 0
    for path in p:lines() do
      n = n + 1
      local name = path:gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
      local ok, text = run(([[%s 'local load = assert(package.preload["%s"], "not there")
        local _, files = debug.getupvalue(load, 1)
        assert(math.type(files) == "integer")']]):format(host, name))
      assert.is_true(ok, name .. ": " .. text)
    end
    p:close()
    assert.is_true(n > 0)
  end)

  it("says clearly what it does not have", function()
    local ok, text = run(host .. [[ 'require "lipc.no_such_thing"']])
    assert.is_nil(ok)
    assert.is_truthy(text:find("module 'lipc.no_such_thing' not found", 1, true), text)
  end)
end)
