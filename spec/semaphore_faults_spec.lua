-- POSIX semaphores: names, files that are none, limits, misuse.
local ipc = require "lipc"
local bad = require "support.misuse"
local names = require "support.names"
local peer = require "support.peer"

local semaphore = ipc.semaphore

describe("semaphore", function()
  local name

  before_each(function() name = "/" .. names.new() end)

  it("refuses names that are none, and says why", function()
    for wrong, why in pairs {
      ["x"] = "name must begin with '/'",
      [""] = "empty string",
      ["/"] = "nothing behind the '/'",
      ["/a/b"] = "name must contain no other '/'",
      ["//a"] = "name must contain no other '/'",
      ["/a\0b"] = "string contains zeros",
      ["/" .. ("n"):rep(252)] = "name is too long (at most 251 bytes behind the '/')",
    } do
      for _, f in ipairs { semaphore.open, semaphore.binary, semaphore.unlink } do
        local ok, message = pcall(f, wrong)
        assert.is_false(ok)
        assert.is_truthy(message:find("bad argument #1", 1, true), message)
        assert.is_truthy(message:find(why, 1, true), message)
      end
    end
    assert.error_matches(function() semaphore.open() end, "#1.*string expected")
    assert.error_matches(function() semaphore.open {} end, "#1.*string expected")
    local long = name .. ("n"):rep(252 - #name)
    assert.equal(252, #long)
    local s <close> = assert(semaphore.open(long, { create = true, unlink = true }))
    assert.is_true(s:post())
  end)

  it("refuses misuse", function()
    local s <close> = assert(semaphore.open(name, { create = true, unlink = true }))
    bad("option 'initial' needs 'create'", semaphore.open, name, { initial = 0 })
    bad("option 'exclusive' needs 'create'", semaphore.open, name, { exclusive = true })
    bad("option 'unlink' needs 'create'", semaphore.open, name, { unlink = true })
    bad("'initial': %-1 is out of range", semaphore.open, name, { create = true, initial = -1 })
    bad("'initial': 2147483648 is out of range", semaphore.open, name, { create = true, initial = 1 << 31 })
    bad("'initial': integer expected, got string", semaphore.open, name, { create = true, initial = "1" })
    bad("'initial': integer expected, got number", semaphore.open, name, { create = true, initial = 1.5 })
    bad("'mode': 512 is out of range", semaphore.open, name, { create = true, mode = 512 })
    bad("'create': boolean expected, got number", semaphore.open, name, { create = 1 })
    bad("unknown option 'value'", semaphore.open, name, { value = 1 })
    bad("#2.*table expected", semaphore.open, name, 1)
    bad("#2.*out of range", s.post, s, 0)
    bad("#2.*out of range", s.post, s, -1)
    bad("#2.*out of range", s.post, s, semaphore.VALUE_MAX + 1)
    bad("#2.*number expected", s.post, s, {})
    bad("#2.*no integer representation", s.post, s, 1.5)
    bad("#2.*negative", s.wait, s, -1)
    bad("#2", s.wait, s, 0 / 0)
    bad("#2.*timeout in seconds expected", s.wait, s, "soon")
    bad("#2.*function expected", s.with, s)
    bad("#2.*function expected", s.with, s, 1)
    bad("#3.*negative", s.with, s, print, -1)
    bad("lipc.semaphore expected", s.wait, io.stdout)
    bad("has no descriptor", s.fd, s)
    bad("has no descriptor", s.detach, s)
    assert.equal(0, s:value())
    s:close()
    for _, method in ipairs { "wait", "trywait", "post", "value", "stat" } do bad("closed semaphore", s[method], s) end
    bad("closed semaphore", s.with, s, print)
  end)

  it("raises when another process has cut its file off, in whatever call", function()
    local path = "/dev/shm/sem." .. name:sub(2)
    local lost = "lost semaphore: another process has cut its file off"
    for method, args in pairs {
      wait = { 10 }, trywait = {}, post = {}, value = {}, stat = {}, with = { print }, ["post of several"] = { 3 },
    } do
      local s <close> = assert(semaphore.open(name, { create = true, initial = 1 }))
      local same <close> = assert(semaphore.open(name)) -- the same memory: the C library maps it once
      assert(os.execute("truncate -s 0 " .. path))
      method = method:match "^%a+"
      assert.error_matches(function() s[method](s, table.unpack(args)) end, lost, 1, true)
      assert.error_matches(function() same:post() end, lost, 1, true)
      assert(os.execute("truncate -s 32 " .. path))
      local again <close> = assert(semaphore.open(name))
      assert.error_matches(function() again:value() end, lost, 1, true)
      assert(semaphore.unlink(name))
      local new <close> = assert(semaphore.open(name, { create = true, unlink = true, initial = 2 }))
      assert.equal(2, new:value())
    end
    -- while it waits
    local p = peer.lua([[
      local s = assert(ipc.semaphore.open(arg[1], { create = true }))
      print "waiting"
      io.stdout:flush()
      print(pcall(s.wait, s))]], name)
    assert.equal("waiting", p:read "l")
    assert(os.execute("truncate -s 0 " .. path))
    assert.matches(lost, p:read "a", 1, true)
    p:close()
    assert(semaphore.unlink(name))
  end)

  it("refuses to open what is no semaphore, or would end the process by SIGBUS", function()
    local path = "/dev/shm/sem." .. name:sub(2)
    local expected = { nil, ("semaphore.open %s: Invalid argument (what has that name is no semaphore)"):format(name),
      "EINVAL" }
    for _, command in ipairs { ": >%s", "printf short >%s", "mkdir %s", "mkfifo %s", "ln -s /etc/passwd %s" } do
      assert(os.execute(command:format(path)))
      assert.same(expected, { semaphore.open(name) })
      assert.same(expected, { semaphore.open(name, { create = true }) })
      assert.equal("EEXIST", select(3, semaphore.open(name, { create = true, exclusive = true })))
      assert(os.execute("rm -rf " .. path))
    end
  end)

  it("says that it may not", function()
    if require "support.probe".getuid() ~= 0 then return end -- needs another user
    local s <close> = assert(semaphore.open(name, { create = true, unlink = true }))
    local out = peer.sh("setpriv --reuid 65534 --clear-groups " ..
      peer.command([[print(ipc.semaphore.open(arg[1]))
        print(ipc.semaphore.unlink(arg[1]))]], name) .. " 2>&1")
    assert.equal(("nil\tsemaphore.open %s: Permission denied\tEACCES\n"):format(name)
      .. ("nil\tsemaphore.unlink %s: Permission denied\tEACCES\n"):format(name), out:read "a")
    out:close()
    assert.equal(0, s:value())
  end)

  it("names the limit of descriptors", function()
    local p = peer.sh("ulimit -n 24; exec " .. peer.command([[
      local _, hold = ipc.semaphore, {}
      repeat hold[#hold + 1] = io.open "/dev/null" until #hold > 100 or not io.open "/dev/null"
      repeat local f = io.open "/dev/null" hold[#hold + 1] = f until not f
      print(ipc.semaphore.open(arg[1], { create = true }))]], name) .. " 2>&1")
    assert.equal(("nil\tsemaphore.open %s: Too many open files ("):format(name)
      .. "RLIMIT_NOFILE is 24: see ulimit -n)\tEMFILE\n", p:read "a")
    p:close()
  end)

  it("names the file system that is full", function()
    local p = peer.sh("unshare -m sh -c " .. peer.quote(
      "mount -t tmpfs -o size=4k tmpfs /dev/shm 2>/dev/null || { echo no mount; exit; }; printf x >/dev/shm/x; " ..
      "exec " .. peer.command([[print(ipc.semaphore.open("/a", { create = true }))]])) .. " 2>&1")
    local out = p:read "a"
    p:close()
    if out:find "no mount" or out:find "Operation not permitted" then return end -- needs the right to mount
    assert.equal("nil\tsemaphore.open /a: No space left on device (/dev/shm has 4 KiB and is full: "
      .. "mount -o remount,size=...)\tENOSPC\n", out)
  end)

  it("may be closed by a finaliser inside its own stat", function()
    for _ = 1, 300 do
      local s = assert(ipc.semaphore.open(name, { create = true, initial = 3, unlink = true }))
      for _ = 1, 5 do setmetatable({}, { __gc = function() s:close() end }) end
      local ok, stat = pcall(s.stat, s)
      assert.is_true(not ok or stat.value == 3)
      s:close()
    end
    collectgarbage()
  end)
end)
