-- The checks of `make lint` can fail: each is run over a small tree made here, sound at first, then
-- with one thing wrong.  (clang-format, cppcheck and luacheck are not ours to test.)
local names = require "support.names"

local dir

local sound = {
  ["Makefile"] = "all:\n\ttrue\n",
  ["README.md"] = "# x\n",
  ["CHANGELOG.md"] = "# x\n",
  [".ci/run"] = "true\n",
  [".build/deps"] = "true\n",
  [".build/specs"] = "true\n",
  [".build/oom"] = "true\n",
  ["src/modules.def"] = "LIPC_MODULE(pipe)\n",
  ["src/lipc_sys.h"] = "#ifndef lipc_sys_h\n#define lipc_sys_h\n#include <stddef.h>\n#endif\n",
  ["src/sys_linux.c"] = '#if __has_include(<a.h>)\n#endif\n#include "lipc_sys.h"\n#ifdef SYS_futex\n#endif\n',
  ["src/lipc_kit.h"] = '#include "lipc_sys.h"\n#include "lua.h"\n',
  ["src/pipe.c"] = [[
#include "lipc_kit.h"
/* exit(1) and "printf(" in a comment are nothing */
static const char text[] = "printf(1)";
/* open() -> reader */
static int l_pipe_open (lua_State *L) {
]],
  ["src/core.c"] = '#include "lipc_kit.h"\n#include "modules.def"\n',
  ["spec/pipe_spec.lua"] = "\n",
  ["examples/pipe_fork.lua"] = "\n",
  ["lua/lipc/init.lua"] = [[
local Reader = { __name = "lipc.pipe.reader" }
Reader.__index = Reader
function Reader:read() return self end
local ipc = { pipe = { open = function() return setmetatable({}, Reader) end, MAX = 1 } }
function ipc.features() return {} end
return ipc
]],
  ["lua/lipc/proto/subject.lua"] = 'local json = require "dkjson"\nlocal s = require("lipc.proto.nats")\n',
  ["lua/lipc/proto/nats.lua"] = "\n",
  ["lua/lipc/adapter/luv.lua"] = '-- internal\nlocal uv = require "luv"\n',
  ["lua/lipc/meta/init.lua"] = [[
---@meta lipc

---@class lipc
---@field pipe lipc.pipe.module
local ipc = {}

--- What there is.
---@return table
function ipc.features() end
]],
  ["lua/lipc/meta/pipe.lua"] = [[
---@meta lipc.pipe

---@class lipc.pipe.module
---@field MAX integer
local pipe = {}

--- Make one.
---@param size? integer
---@return lipc.pipe.reader
function pipe.open(size) end

---@class lipc.pipe.reader
local Reader = {}

--- Read.
---@return string
function Reader:read() end
]],
  ["lipc-dev-1.rockspec"] = [[
build = {
  modules = {
    ["lipc.core"] = {
      sources = {
        "src/core.c",
        "src/pipe.c",
        "src/sys_linux.c",
      },
    },
    ["lipc.adapter.luv"] = "lua/lipc/adapter/luv.lua",
    ["lipc"] = "lua/lipc/init.lua",
    ["lipc.meta"] = "lua/lipc/meta/init.lua",
    ["lipc.meta.pipe"] = "lua/lipc/meta/pipe.lua",
    ["lipc.proto.nats"] = "lua/lipc/proto/nats.lua",
    ["lipc.proto.subject"] = "lua/lipc/proto/subject.lua",
  },
}
]],
}

local function write(path, text)
  path = dir .. "/" .. path
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

local function check(what)
  local p = assert(io.popen(("cd %s && LUA=%s sh .lint/run %s 2>&1"):format(dir, os.getenv "LUA" or "lua5.4", what)))
  local text = p:read "a"
  return p:close(), text
end

-- With one file changed the check must fail and say this.
local function finds(what, message, path, text)
  write(path, text)
  local ok, output = check(what)
  if sound[path] then write(path, sound[path]) else os.remove(dir .. "/" .. path) end
  assert.is_nil(ok, output)
  assert.is_truthy(output:find(message, 1, true), output)
end

local function replaced(path, from, to)
  local i, j = sound[path]:find(from, 1, true)
  return path, sound[path]:sub(1, i - 1) .. to .. sound[path]:sub(j + 1)
end

describe("lint", function()
  setup(function()
    dir = names.path()
    assert(os.execute(("mkdir -p %s && cp -r .lint %s"):format(dir, dir)))
    for path, text in pairs(sound) do
      os.execute(("mkdir -p %s/%s"):format(dir, path:match "^(.*)/" or ""))
      write(path, text)
    end
  end)

  teardown(function() os.execute("rm -rf " .. dir) end)

  it("passes a sound tree", function()
    local ok, output = check "layers files rockspec meta"
    assert.is_true(ok, output)
    assert.is_truthy(output:find "\n4 passed, 0 failed\n$", output)
  end)

  it("keeps the layers of C", function()
    local sys, kit, pipe = "src/sys_linux.c", "src/lipc_kit.h", "src/pipe.c"
    finds("layers", 'layer sys may not include "lipc_kit.h"', sys, '#include "lipc_kit.h"\n')
    finds("layers", 'layer sys may not include "lua.h"', sys, '#include "lua.h"\n')
    finds("layers", "knows nothing of Lua", sys, "#include <lua5.4/lua.h>\n")
    finds("layers", 'layer kit may not include "pipe.h"', kit, '#include "pipe.h"\n')
    finds("layers", 'layer binding may not include "fifo.h"', pipe, '#include "fifo.h"\n')
    finds("layers", 'layer binding may not include "modules.def"', pipe, '#include "modules.def"\n')
    finds("layers", 'layer public may not include "lipc_kit.h"', "src/lipc.h", '#include "lipc_kit.h"\n')
  end)

  it("keeps tests of the platform in the system layer", function()
    for _, line in ipairs {
      "#ifdef __linux__", "#ifndef SO_PEERCRED", "#if defined(__APPLE__)", "#elif __has_include(<x>)",
    } do
      finds("layers", "only src/sys_*.c may test the platform", "src/pipe.c", line .. "\n#endif\n")
    end
    finds("layers", "only src/sys_*.c may test the platform (__linux__)", "src/lipc_sys.h", "#if __linux__\n#endif\n")
    finds("layers", "by number", "src/pipe.c", "int x = SYS_gettid;\n")
    finds("layers", "by number", "src/pipe.c", "int x = syscall(1);\n")
  end)

  it("forbids what a guest does not do", function()
    finds("layers", "src/pipe.c:2: printf: a library prints nothing", "src/pipe.c", '\nint x = printf("x");\n')
    finds("layers", "exit: a guest", "src/sys_linux.c", "void f (void) { exit (1); }\n")
    finds("layers", "abort: a guest", "src/pipe.c", "void f (void) { abort(); }\n")
    finds("layers", "os.exit", "lua/lipc/init.lua", "os.exit(1)\n")
    finds("layers", "l_pipe_open has no header comment", "src/pipe.c", "static int l_pipe_open (lua_State *L) {\n")
  end)

  it("keeps the layers of Lua", function()
    finds("layers", 'may not require "lipc.loop"', "lua/lipc/proto/nats.lua", 'require "lipc.loop"\n')
    finds("layers", 'may not require "socket"', "lua/lipc/init.lua", "local s = require('socket')\n")
    finds("layers", 'may not require "luv"', "lua/lipc/init.lua", 'local s = require "luv"\n')
  end)

  it("checks files", function()
    finds("files", "521 lines", "src/pipe.c", ("int x;\n"):rep(521))
    finds("files", "README.md:1: blanks at the end", "README.md", "x \n")
    finds("files", "a tab", "src/pipe.c", "\tint x;\n")
    finds("files", "no newline", "src/pipe.c", "int x;")
    finds("files", "spec/fifo_spec.lua: missing", "src/modules.def", "LIPC_MODULE(pipe)\nLIPC_MODULE(fifo)\n")
    finds("files", "examples/fifo*.lua: missing", "src/modules.def", "LIPC_MODULE(fifo)\n")
  end)

  it("compares the rockspec with the tree, and mends it", function()
    finds("rockspec", 'missing:         "src/new.c"', "src/new.c", "int x;\n")
    finds("rockspec", 'missing:     ["lipc.new"]', "lua/lipc/new.lua", "\n")
    local path, text = replaced("lipc-dev-1.rockspec", '        "src/pipe.c",\n', '        "src/gone.c",\n')
    finds("rockspec", 'not in the tree:         "src/gone.c"', path, text)
    finds("rockspec", "takes no flags", replaced(path, "      sources", '      defines = { "X" },\n      sources'))
    write(path, text)
    assert(os.execute(("cd %s && %s .lint/rockspec.lua --write"):format(dir, os.getenv "LUA" or "lua5.4")))
    assert.is_true(check "rockspec")
    local f = assert(io.open(dir .. "/" .. path))
    assert.equal(sound[path], f:read "a")
    f:close()
  end)

  it("compares the API text with the module, both ways", function()
    local pipe, init = "lua/lipc/meta/pipe.lua", "lua/lipc/meta/init.lua"
    local live = "lua/lipc/init.lua"
    finds("meta", "lipc.pipe.module.opens does not exist", replaced(pipe, "pipe.open(", "pipe.opens("))
    finds("meta", "lipc.pipe.module.open is not described", replaced(pipe, "pipe.open(", "pipe.opens("))
    finds("meta", "lipc.pipe.module.make is not described", replaced(live, "MAX = 1", "MAX = 1, make = print"))
    finds("meta", "field lipc.pipe.module.MIN does not exist", replaced(pipe, "MAX", "MIN"))
    finds("meta", "lipc.pipe.module.MAX is not described", replaced(pipe, "MAX", "MIN"))
    finds("meta", "lipc.pipe.reader:read is not described", replaced(pipe, ":read()", ":write()"))
    finds("meta", "lipc.pipe.reader:write does not exist", replaced(pipe, ":read()", ":write()"))
    finds("meta", "is a method", replaced(pipe, ":read()", ".read()"))
    finds("meta", "no class lipc.other", replaced(live, "lipc.pipe.reader", "lipc.other"))
    finds("meta", "no such type or module exists", replaced(live, "lipc.pipe.reader", "lipc.other"))
    finds("meta", "no class lipc.stream", replaced(pipe, "pipe.reader\nlocal", "pipe.reader : lipc.stream\nlocal"))
    finds("meta", "no ---@param size", replaced(pipe, "---@param size? integer\n", ""))
    finds("meta", "no ---@return", replaced(pipe, "---@return string\n", ""))
    finds("meta", "no description", replaced(pipe, "--- Read.\n", ""))
    finds("meta", "no ---@meta", replaced(pipe, "---@meta lipc.pipe\n", ""))
    finds("meta", "no ---@field pipe", replaced(init, "---@field pipe lipc.pipe.module\n", ""))
    finds("meta", "lipc.features is not described", replaced(init, "function ipc.features", "local function f"))
    finds("meta", "missing, or without ---@meta lipc.extra", "lua/lipc/extra.lua", "return {}\n")
  end)
end)
