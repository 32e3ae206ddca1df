-- Sockets in the file system: who may take a path over, who removes it, modes; abstract names;
-- credentials; the rendezvous directory.
local ipc = require "lipc"
local socket = ipc.socket
local hoststate = require "support.hoststate"
local names = require "support.names"
local peers = require "support.peers"
local probe = require "support.probe"

local function shell(...)
  return peers.done(peers.run("sh", "-c", (...), "sh", select(2, ...)))
end

local function mode_of(path) return shell("stat -c '%a %F' \"$1\"", path):match "^[^\n]*" end
local function exists(path) return os.execute("test -e '" .. path .. "'") == true end

-- Leaves a socket at the path that nobody is bound to any more.
local function stale(path, type)
  peers.done(peers.python("s = socket.socket(socket.AF_UNIX, getattr(socket, A[1])); s.bind(A[0])", path,
    type or "SOCK_STREAM"))
end

describe("a listener at a path", function()
  local path
  before_each(function() path = names.path ".sock" end)
  after_each(function() os.remove(path) end)

  it("has mode 0600 whatever the umask, which stays", function()
    local before = hoststate.before()
    local l = assert(socket.listen { path = path })
    assert.equal("600 socket", mode_of(path))
    l:close()
    assert.same({}, hoststate.diff(before, hoststate.take()))
  end)

  it("has exactly the mode that was asked for", function()
    for _, mode in ipairs { "0666", "0660", "0777", "0000" } do
      local l = assert(socket.listen { path = path, mode = tonumber(mode, 8) })
      assert.equal(("%o socket"):format(tonumber(mode, 8)), mode_of(path))
      l:close()
    end
  end)

  it("is never open to others for a moment", function()
    assert.equal("600\n640\n0\n", peers.done(peers.host([[
      require "support.probe".umask(0)
      for _, mode in ipairs { 0x180, 0x1a0, 0 } do
        local l = assert(socket.listen { path = ..., mode = mode })
        print(("%o"):format(boundmode()))
        l:close()
      end
    ]], path)))
  end)

  it("goes when it is closed or collected, and stays with unlink = false", function()
    local l = assert(socket.listen { path = path })
    assert.is_true(exists(path))
    l:close()
    assert.is_false(exists(path))
    l = assert(socket.listen { path = path }) -- luacheck: ignore
    l = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_false(exists(path))
    l = assert(socket.listen { path = path, unlink = false })
    l:close()
    assert.is_true(exists(path))
  end)

  it("stays when the descriptor is given away", function()
    local l = assert(socket.listen { path = path })
    local fd = l:detach()
    assert.is_true(exists(path))
    local again = socket.fromfd(fd)
    again:close()
    assert.is_true(exists(path))
  end)

  it("is found again by a relative path after the working directory changed", function()
    local dir = names.path()
    assert(os.execute("mkdir " .. dir))
    local here = probe.readlink "/proc/self/cwd"
    probe.chdir(dir)
    local l = assert(socket.listen { path = "x.sock" })
    probe.chdir(here)
    l:close()
    assert.is_true(os.remove(dir)) -- it is empty
  end)

  it("does not go when the path is another's meanwhile", function()
    local l = assert(socket.listen { path = path })
    os.remove(path)
    local f = assert(io.open(path, "w"))
    f:write "mine"
    f:close()
    l:close()
    assert.is_true(exists(path))
  end)

  it("is not removed by a forked child", function()
    local l = assert(socket.listen { path = path })
    assert.equal(0, probe.inchild(function() assert(l:close()) end))
    assert.is_true(exists(path))
    assert(socket.connect { path = path }):close()
    l:close()
    assert.is_false(exists(path))
  end)

  for _, type in ipairs { "SOCK_STREAM", "SOCK_DGRAM", "SOCK_SEQPACKET" } do
    it("takes the place of a dead " .. type, function()
      stale(path, type)
      assert.equal("EADDRINUSE", (select(3, socket.listen { path = path, replace = false })))
      local l = assert(socket.listen { path = path })
      local c = assert(socket.connect { path = path })
      local s = assert(l:accept(60))
      c:close()
      s:close()
      l:close()
    end)

    for _, listens in ipairs(type == "SOCK_DGRAM" and { "" } or { "", "listens" }) do
      it("leaves a living " .. type .. " alone, which notices nothing " .. listens, function()
        local gate, name = peers.gate()
        local p = peers.python([[
s = socket.socket(socket.AF_UNIX, getattr(socket, A[1])); s.bind(A[0])
if A[2]: s.listen()
wait(A[3])
s.setblocking(False)
try: print('saw', s.accept() if A[2] else s.recv(1))
except OSError as e: print('saw nothing')
]], path, type, listens, name)
        local hold = assert(gate:accept(60))
        for _ = 1, 3 do
          local l, message, code = socket.listen { path = path }
          assert.is_nil(l)
          assert.equal("EADDRINUSE", code)
          assert.equal("socket.listen " .. path .. ": Address already in use", message)
        end
        assert.equal("EADDRINUSE", (select(3, socket.datagram { path = path })))
        assert.is_true(exists(path))
        hold:close()
        assert.equal("saw nothing\n", peers.done(p))
        gate:close()
      end)
    end
  end

  it("is told from a dead one while it listens with a full backlog", function()
    local l = assert(socket.listen { path = path, backlog = 0 })
    local c = assert(socket.connect { path = path })
    assert.equal("EADDRINUSE", (select(3, socket.listen { path = path })))
    c:close()
    l:close()
  end)

  it("never takes the place of what is no socket", function()
    local target = names.path()
    for _, make in ipairs { "echo precious > \"$1\"", "mkdir \"$1\"", "mkfifo \"$1\"", "ln -s \"$2\" \"$1\"",
      "echo precious > \"$2\"; ln -s \"$2\" \"$1\"" } do
      shell(make, path, target)
      local before = mode_of(path)
      local l, message, code = socket.listen { path = path }
      assert.is_nil(l)
      assert.equal("ENOTSOCK", code)
      assert.matches("Socket operation on non%-socket$", message)
      assert.equal(before, mode_of(path))
      shell("rm -rf \"$1\" \"$2\"", path, target)
    end
  end)

  it("is won by exactly one of many that start at once", function()
    for _ = 1, 4 do
      stale(path)
      local go = assert(socket.listen { abstract = names.new() })
      local p, gate = {}, {}
      for i = 1, 5 do
        p[i] = peers.lua([[
          local socket = require "lipc".socket
          local gate = assert(socket.connect { abstract = arg[1] })
          gate:read(1)
          local l, _, code = socket.listen { path = arg[2] }
          print(l and "listening" or code)
          io.flush()
          gate:read(1)
        ]], go:getsockname().abstract, path)
        gate[i] = assert(go:accept(60))
      end
      for i = 1, 5 do assert(gate[i]:write "g") end
      local count = {}
      for i = 1, 5 do
        local line = p[i]:read "l"
        count[line] = (count[line] or 0) + 1
      end
      -- EBUSY: one of the others stood still with the lock in hand
      assert.same({ 1, 4 }, { count.listening, (count.EADDRINUSE or 0) + (count.EBUSY or 0) })
      for i = 1, 5 do gate[i]:close() end
      for i = 1, 5 do peers.done(p[i]) end
      go:close()
      assert.is_false(exists(path))
    end
  end)

  it("is taken over under a lock, so that nobody does at the same time", function()
    stale(path)
    local gate, name = peers.gate()
    local p = peers.host([[
      local path, name = ...
      local gate = assert(socket.connect { abstract = name })
      holdunlink(gate:fd())
      local l = assert(socket.listen { path = path }) -- has found that it is dead, and is about to remove it
      holdunlink(-1)
      print "listening"
      local s = assert(l:accept(60))
      print(s:read "a")
      l:close()
    ]], path, name)
    local hold = assert(gate:accept(60))
    assert.equal("unlinking", p:read "l")
    local l, message, code = socket.listen { path = path }
    assert.is_nil(l)
    assert.equal("EBUSY", code, message)
    hold:close()
    assert.equal("listening", p:read "l")
    assert.equal("EADDRINUSE", (select(3, socket.listen { path = path })))
    local c = assert(socket.connect { path = path })
    assert(c:write "hello")
    c:close()
    assert.equal("hello\n", peers.done(p))
    gate:close()
  end)

  it("fails clearly for a directory that does not exist or may not be written", function()
    local l, message, code = socket.listen { path = path .. "/no/x" }
    assert.is_nil(l)
    assert.is_truthy(code == "ENOENT" or code == "ENOTDIR", message)
  end)

  it("refuses a path that an address cannot hold, by name", function()
    for _, f in ipairs { socket.listen, socket.connect, socket.datagram } do
      assert.has_error.matches(function() f { path = "/" .. ("x"):rep(107) } end,
        "option 'path': 108 bytes, but a socket address holds 107")
      assert.has_error.matches(function() f { path = "" } end, "option 'path': empty string")
      assert.has_error.matches(function() f { path = "a\0b" } end, "option 'path': string contains zeros")
    end
    local long = "/tmp/" .. ("x"):rep(107 - 5)
    assert.equal("ENOENT", (select(3, socket.connect { path = long })))
    local l = assert(socket.listen { path = long })
    assert(socket.connect { path = long }):close()
    l:close()
    assert.is_false(exists(long))
  end)
end)

describe("an abstract name", function()
  it("is binary, and free again after close", function()
    local name = names.new() .. "\0\1x"
    local l = assert(socket.listen { abstract = name })
    assert.same({ family = "unix", abstract = name }, l:getsockname())
    assert.equal("lipc.socket.listener @" .. name:gsub("[\0\1]", "@") .. " (fd " .. l:fd() .. ")", tostring(l))
    local again, message, code = socket.listen { abstract = name }
    assert.is_nil(again)
    assert.equal("EADDRINUSE", code)
    assert.equal("socket.listen @" .. name:gsub("[\0\1]", "@") .. ": Address already in use", message)
    local c = assert(socket.connect { abstract = name })
    assert.same({ family = "unix", abstract = name }, c:getpeername())
    assert.same({ family = "unix" }, c:getsockname())
    c:close()
    l:close()
    assert.equal("ECONNREFUSED", (select(3, socket.connect { abstract = name })))
    assert(socket.listen { abstract = name }):close()
  end)

  it("is chosen by the kernel when it is empty", function()
    local d = assert(socket.datagram { abstract = "" })
    local a = d:getsockname()
    assert.is_true(#a.abstract > 0)
    local e = assert(socket.datagram {})
    assert.is_true(e:sendto("x", a))
    assert.equal("x", d:recv(10, 60))
    d:close()
    e:close()
  end)

  it("refuses one that is too long", function()
    assert.has_error.matches(function() socket.listen { abstract = ("x"):rep(108) } end,
      "option 'abstract': 108 bytes, but a socket address holds 107")
    assert(socket.listen { abstract = ("x"):rep(107) }):close()
  end)
end)

describe("peercred", function()
  it("says who connected, and who listens", function()
    local path = names.path ".sock"
    local l = assert(socket.listen { path = path })
    local p = peers.python([[
s = socket.socket(socket.AF_UNIX); s.connect(A[0])
print(os.getpid())
print(*struct.unpack('3i', s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))
s.recv(1)
]], path)
    local s = assert(l:accept(60))
    local pid = p:read "n"
    local uid = probe.getuid()
    local cred = assert(s:peercred())
    assert.same({ pid = pid, uid = uid, gid = cred.gid }, cred)
    assert.equal(probe.getpid(), p:read "n")
    s:close()
    peers.done(p)
    l:close()
  end)

  it("fails on what has no peer", function()
    local d = assert(socket.datagram {})
    local cred, message, code = d:peercred()
    assert.is_nil(cred)
    assert.equal("ENOTCONN", code)
    assert.matches("^socket:peercred", message)
    d:close()
  end)
end)

describe("socket.runtimedir", function()
  local dir
  before_each(function()
    dir = names.path()
    assert(os.execute("mkdir -m 700 " .. dir))
  end)
  after_each(function() os.execute("rm -rf " .. dir) end)

  local function ask(xdg)
    return peers.done(peers.run("env", "XDG_RUNTIME_DIR=" .. xdg, os.getenv "LUA" or "lua5.4", "-e", [[
      local path, message, code = require "lipc".socket.runtimedir()
      print(path or message, code)
    ]]))
  end

  it("makes $XDG_RUNTIME_DIR/lipc for this user alone", function()
    assert.equal(dir .. "/lipc\tnil\n", ask(dir))
    assert.equal("700 directory", mode_of(dir .. "/lipc"))
    assert.equal(dir .. "/lipc\tnil\n", ask(dir))
  end)

  it("refuses one that others may enter, a link and a file", function()
    local reason = ": not a directory of this user alone (mode 0700)\tEPERM\n"
    assert(os.execute("mkdir -m 755 " .. dir .. "/lipc"))
    assert.equal("socket.runtimedir " .. dir .. "/lipc" .. reason, ask(dir))
    assert(os.execute(("rm -r %s/lipc; mkdir -m 700 %s/own; ln -s own %s/lipc"):format(dir, dir, dir)))
    assert.matches("Not a directory\tENOTDIR", ask(dir))
    assert(os.execute(("rm %s/lipc; touch %s/lipc"):format(dir, dir)))
    assert.matches("Not a directory\tENOTDIR", ask(dir))
  end)

  it("does not trust a base that others may write to, or none", function()
    local fallback = "/tmp/lipc-" .. probe.getuid()
    assert(os.execute("chmod 777 " .. dir))
    assert.matches("^" .. fallback:gsub("%-", "%%-"), (ask(dir):gsub("socket.runtimedir ", "")))
    assert.matches("^" .. fallback:gsub("%-", "%%-"), (ask("relative"):gsub("socket.runtimedir ", "")))
    assert.matches("^" .. fallback:gsub("%-", "%%-"), (ask(""):gsub("socket.runtimedir ", "")))
  end)

  it("refuses what belongs to somebody else", function()
    if probe.getuid() ~= 0 then return pending "needs root to make a directory of another user" end
    assert(os.execute(("mkdir -m 700 %s/lipc && chown 65534 %s/lipc"):format(dir, dir)))
    assert.matches("not a directory of this user alone.*EPERM", ask(dir))
  end)
end)
