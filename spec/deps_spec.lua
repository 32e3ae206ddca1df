-- The dependency step (.build/deps), with an apt-get, a sudo and an id that only pretend.
local names = require "support.names"

local dir

local function sh(...)
  local out = dir .. "/output"
  local ok, _, code = os.execute(("(%s) >%s 2>&1 </dev/null"):format(string.format(...), out))
  local f = assert(io.open(out))
  local text = f:read "a"
  f:close()
  return text, ok and 0 or code
end

local function tool(name, text)
  local f = assert(io.open(dir .. "/bin/" .. name, "w"))
  f:write("#!/bin/sh\n", text, "\n")
  f:close()
  os.execute("chmod +x " .. dir .. "/bin/" .. name)
end

local function deps(list) return sh("PATH=%s/bin sh %s/.build/deps 'make x' %s", dir, dir, list) end

local function log()
  local f = io.open(dir .. "/log")
  local text = f and f:read "a" or ""
  if f then f:close() end
  return text
end

describe("the dependency step", function()
  before_each(function()
    dir = names.path()
    assert(os.execute(("mkdir -p %s/bin %s/.build && cp .build/deps %s/.build/"):format(dir, dir, dir)))
    -- nothing but these is to be found
    for _, name in ipairs { "sh", "env", "cksum", "tr", "dirname", "mkdir", "touch", "rm" } do
      assert(os.execute(('ln -s "$(command -v %s)" %s/bin/'):format(name, dir)))
    end
    tool("true", "exit 0")
    tool("id", "echo 1000")
    tool("dpkg-query", ('for p; do :; done; [ -e %s/has-$p ] && echo installed'):format(dir))
    tool("apt-cache", ("[ -e %s/lists ]"):format(dir))
    tool("apt-get", ([[
      echo "apt-get $*" >>%s/log
      case "$*" in
      *update*) touch %s/lists ;;
      *install*) while [ "$1" != install ]; do shift; done; shift; for p; do touch %s/has-$p; done ;;
      esac]]):format(dir, dir, dir))
  end)

  after_each(function() os.execute("rm -rf " .. dir) end)

  it("asks for nothing when nothing is missing", function()
    sh("touch %s/has-alpha %s/has-beta", dir, dir)
    local text, code = deps "alpha beta"
    assert.equal(0, code)
    assert.equal("", text)
    assert.equal("", log())
  end)

  it("installs as root what is missing, and that only, after an update only when one is needed", function()
    sh("touch %s/has-alpha %s/lists", dir, dir)
    tool("id", "echo 0")
    local text, code = deps "alpha beta gamma"
    assert.equal(0, code, text)
    assert.is_truthy(log():find "^apt%-get [^\n]*%-%-no%-install%-recommends install beta gamma\n$", log())
    sh("rm %s/lists %s/has-*", dir, dir)
    text, code = deps "alpha"
    assert.equal(0, code, text)
    assert.is_truthy(log():find "update\n[^\n]*install alpha\n$", log())
  end)

  it("starts at once the second time", function()
    tool("id", "echo 0")
    assert.equal(0, select(2, deps "alpha"))
    sh("rm %s/log %s/bin/dpkg-query", dir, dir)
    assert.equal(0, select(2, deps "alpha"))
    assert.equal("", log())
  end)

  it("uses sudo where it asks no password", function()
    tool("sudo", ('echo "sudo $*" >>%s/log; shift; exec "$@"'):format(dir))
    local text, code = deps "alpha"
    assert.equal(0, code, text)
    assert.is_truthy(log():find "\nsudo %-n env [^\n]*apt%-get [^\n]*install alpha\n", log())
  end)

  it("prints the one command and fails where it may not install", function()
    sh("touch %s/has-alpha %s/lists", dir, dir)
    for _, sudo in ipairs { false, "exit 1" } do
      if sudo then tool("sudo", sudo) end
      local text, code = deps "alpha beta gamma"
      assert.equal(1, code)
      local n = 0
      for line in text:gmatch "[^\n]+" do
        if line:find "^%s+sudo apt%-get update && sudo apt%-get install [^\n]* beta gamma$" then n = n + 1 end
      end
      assert.equal(1, n, text)
      assert.equal("", log())
    end
  end)

  it("names what is needed where there is no apt", function()
    sh("rm %s/bin/apt-get", dir)
    local text, code = deps "alpha beta"
    assert.equal(1, code)
    assert.is_truthy(text:find "alpha beta\n", text)
    assert.is_truthy(text:find("no apt-get", 1, true), text)
  end)

  it("fails when a package is still missing afterwards", function()
    tool("id", "echo 0")
    tool("apt-get", ("touch %s/lists"):format(dir))
    local text, code = deps "alpha"
    assert.equal(1, code)
    assert.is_truthy(text:find("still missing after installation: alpha", 1, true), text)
  end)
end)
