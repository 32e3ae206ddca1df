-- Locks against programs that were not written here: flock(1), Python's fcntl module, a program in C.
local ipc = require "lipc"
local child = require "support.child"
local names = require "support.names"
local peer = require "support.peer"

local PYTHON = "/usr/bin/python3"
local SOON = 30 -- seconds: longer than anything here takes

describe("flock and", function()
  local path, open

  before_each(function()
    path, open = names.path(), {}
    io.open(path, "w"):close()
  end)
  after_each(function()
    for _, o in ipairs(open) do o:close() end
    os.remove(path)
  end)
  local function keep(o)
    open[#open + 1] = o
    return o
  end
  local function new() return keep(assert(ipc.flock.open(path))) end

  -- A program that prints a line when it holds the lock and goes on until its input ends.
  local function holder(words)
    words.stdin, words.stdout = "pipe", "pipe"
    words.kill_on_close = true
    local p = keep(assert(ipc.process.spawn(words)))
    p.stdout:settimeout(SOON)
    assert.equal("held", p.stdout:read())
    return p, function()
      p.stdin:close()
      assert(p:wait(SOON))
    end
  end

  -- A program that waits for a lock: its line and status once it has it.
  local function waiter(words, release)
    words.stdout = "pipe"
    words.kill_on_close = true
    local p = keep(assert(ipc.process.spawn(words)))
    p.stdout:settimeout(SOON)
    assert.equal("asks", p.stdout:read())
    child.sleeping(p:pid())
    release()
    assert.equal("held", p.stdout:read())
    assert.equal(0, assert(p:wait(SOON)).code)
  end

  describe("flock(1)", function()
    it("are in each other's way, shared and exclusive", function()
      local f = new()
      local function try(flag) return os.execute(("flock -n %s %s true"):format(flag, path)) == true end
      for _, case in ipairs { { "exclusive", false, false }, { "shared", true, false }, { nil, true, true } } do
        if case[1] then assert(f:lock(case[1])) else f:unlock() end
        assert.equal(case[2], try "-s")
        assert.equal(case[3], try "-x")
      end
      for flag, shared in pairs { ["-s"] = true, ["-x"] = false } do
        local _, finish = holder { "flock", flag, path, "sh", "-c", "echo held; read x" }
        assert.equal(shared, f:trylock "shared" == true)
        f:unlock()
        assert.is_nil(f:trylock "exclusive")
        local ok, who = f:test "exclusive"
        assert.is_false(ok)
        assert.equal("flock", who.kind)
        assert.equal(shared and "shared" or "exclusive", who.mode)
        assert.equal(2, #who.pids) -- flock and its command
        finish()
        assert.is_true(f:lock("exclusive", SOON))
        f:unlock()
      end
    end)

    it("wait for each other", function()
      local f = new()
      assert(f:lock "exclusive")
      waiter({ "sh", "-c", 'echo asks; exec flock "$0" echo held', path }, function() f:unlock() end)
      local p, finish = holder { "flock", path, "sh", "-c", "echo held; read x" }
      local loop, got = ipc.loop.new(), nil
      loop:wrap(function() got = f:lock("shared", SOON) end)
      loop:wrap(function()
        ipc.sleep(0.02)
        finish()
      end)
      loop:run()
      loop:close()
      assert.is_true(got)
      assert.is_truthy(p)
    end)

    it("agree on a lock file", function()
      local pidfile = names.path ".pid"
      local lf = keep(assert(ipc.flock.lockfile(pidfile)))
      assert.is_nil(os.execute(("flock -n %s true"):format(pidfile)))
      lf:close()
      finally(function() os.remove(pidfile) end)
      local p, finish = holder { "flock", pidfile, "sh", "-c", "echo held; read x" }
      local _, message, code = ipc.flock.lockfile(pidfile)
      assert.equal("ETIMEDOUT", code)
      assert.matches("held by process %d+%)$", message)
      assert.is_number(ipc.flock.holder(pidfile))
      finish()
      assert.is_truthy(p)
      assert.is_false(keep(assert(ipc.flock.lockfile(pidfile, { timeout = SOON }))):stale())
    end)
  end)

  local python = [[
import errno, fcntl, os, struct, sys
f = open(sys.argv[1], "r+b", buffering=0)
def ofd(cmd, kind, start, length):
    r = fcntl.fcntl(f, cmd, struct.pack("hhqqi", kind, os.SEEK_SET, start, length, 0))
    return struct.unpack("hhqqi", r)
def attempt(g):
    try:
        g()
        return "yes"
    except OSError as e:
        return errno.errorcode[e.errno]
]]
  local function script(text) return { PYTHON, "-c", python .. text, path } end
  local function ask(text)
    local words = script(text)
    words.stdout = "pipe"
    local p = keep(assert(ipc.process.spawn(words)))
    local out = p.stdout:read "a"
    assert.equal(0, assert(p:wait(SOON)).code)
    return out
  end
  local GO_ON = '\nprint("held", flush=True)\nsys.stdin.read()'

  describe("Python's", function()
    it("fcntl.flock are in each other's way", function()
      local f = new()
      local try = 'print(attempt(lambda: fcntl.flock(f, fcntl.%s | fcntl.LOCK_NB)))'
      assert(f:lock "shared")
      assert.equal("yes\n", ask(try:format "LOCK_SH"))
      assert.equal("EAGAIN\n", ask(try:format "LOCK_EX"))
      f:unlock()
      local p, finish = holder(script("fcntl.flock(f, fcntl.LOCK_EX)" .. GO_ON))
      assert.equal("ETIMEDOUT", select(3, f:trylock "shared"))
      assert.equal(p:pid(), select(2, f:test "shared").pid)
      finish()
      assert.is_true(f:lock("exclusive", SOON))
      waiter(script 'print("asks", flush=True)\nfcntl.flock(f, fcntl.LOCK_EX)\nprint("held")', function() f:unlock() end)
    end)

    it("fcntl.lockf, which are POSIX's, are in the way of both kinds of ranges", function()
      local f = new()
      local p, finish = holder(script("fcntl.lockf(f, fcntl.LOCK_EX, 10, 5)" .. GO_ON))
      for _, opts in ipairs { { posix = false }, { posix = true } } do
        local r = f:range(0, 6, opts)
        assert.equal("ETIMEDOUT", select(3, r:trylock "shared"))
        assert.same({ false, { kind = "posix", mode = "exclusive", start = 5, length = 10, pid = p:pid(), pids = { p:pid() } } },
          { r:test "shared" })
        local free = f:range(15, nil, opts)
        assert.is_true(free:trylock "exclusive")
        free:unlock()
      end
      finish()
      for _, opts in ipairs { { posix = false }, { posix = true } } do
        local r <close> = f:range(0, 6, opts)
        assert.is_true(r:lock("exclusive", SOON))
        assert.equal("EAGAIN yes\n", ask [[
print(attempt(lambda: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)),
      attempt(lambda: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 6)))]])
        waiter(script 'print("asks", flush=True)\nfcntl.lockf(f, fcntl.LOCK_EX, 1, 0)\nprint("held")',
          function() r:unlock() end)
      end
    end)

    it("open file description locks are the same thing", function()
      local f = new()
      local p, finish = holder(script("ofd(fcntl.F_OFD_SETLK, fcntl.F_WRLCK, 100, 0)" .. GO_ON))
      local r = f:range(50, 51)
      assert.equal("ETIMEDOUT", select(3, r:trylock "shared"))
      assert.same({ false, { kind = "ofd", mode = "exclusive", start = 100, pid = p:pid(), pids = { p:pid() } } },
        { r:test "shared" })
      finish()
      assert.is_true(r:lock("shared", SOON))
      assert.equal("EAGAIN yes (0, 0, 50, 51, -1)\n", ask [[
print(attempt(lambda: ofd(fcntl.F_OFD_SETLK, fcntl.F_WRLCK, 100, 1)),
      attempt(lambda: ofd(fcntl.F_OFD_SETLK, fcntl.F_RDLCK, 100, 1)),
      ofd(fcntl.F_OFD_GETLK, fcntl.F_WRLCK, 0, 0))]])
      waiter(script 'print("asks", flush=True)\nofd(fcntl.F_OFD_SETLKW, fcntl.F_WRLCK, 0, 0)\nprint("held")',
        function() r:unlock() end)
    end)
  end)

  it("a program in C lock the same", function()
    local source, program = names.path ".c", names.path()
    local c = assert(io.open(source, "w"))
    c:write [[
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
int main (int argc, char **argv) {
  int fd = open(argv[1], O_RDWR);
  struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 7, .l_len = 3}, g = l;
  (void)argc;
  printf("%d ", flock(fd, LOCK_EX | LOCK_NB) < 0 ? errno == EWOULDBLOCK : -1);
  printf("%d ", fcntl(fd, F_OFD_SETLK, &l) < 0 ? errno == EAGAIN : -1);
  l.l_start = 10;
  printf("%d ", fcntl(fd, F_OFD_SETLK, &l) < 0 ? errno : -1);
  fcntl(fd, F_GETLK, &g);
  printf("%d %d %d %d\n", g.l_type == F_WRLCK, (int)g.l_start, (int)g.l_len, (int)g.l_pid);
  fflush(stdout);
  if (flock(fd, LOCK_EX) == 0) puts("held");
  return 0;
}]]
    c:close()
    assert(os.execute(("%s -o %s %s"):format(os.getenv "CC" or "cc", program, source)))
    finally(function()
      os.remove(source)
      os.remove(program)
    end)
    local f = new()
    local r = f:range(0, 10)
    assert(f:lock "shared" and r:lock "exclusive")
    local p = keep(assert(ipc.process.spawn { program, path, stdout = "pipe", kill_on_close = true }))
    p.stdout:settimeout(SOON)
    assert.equal("1 1 -1 1 0 10 -1", p.stdout:read())
    child.sleeping(p:pid())
    f:unlock()
    assert.equal("held", p.stdout:read())
    assert.equal(0, assert(p:wait(SOON)).code)
  end)

  it("strace: one system call each", function()
    local out = peer.sh("ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 strace -e trace=flock,fcntl,getpid,clock_gettime " .. peer.command([[
      local f = ipc.flock.open(arg[1])
      local r = f:range(0, 5)
      io.stderr:write "BEGIN\n"
      f:lock "exclusive" f:unlock()
      r:lock "shared" r:unlock()
      io.stderr:write "END\n"]], path) .. " 2>&1"):read "a"
    local _, count = out:match "BEGIN\n(.*)END":gsub("\n", "")
    assert.equal(4, count, out)
  end)
end)
