-- The command lipc as a whole: help, misuse; bench, top, ls and rm; what it shows on a terminal.
local cli = require "support.cli"
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"
local peers = require "support.peers"
local sysv = require "support.sysv"

local SECONDS = 60

describe("lipc", function()
  it("shows its help, that of every command, and its version", function()
    local status, out, err = cli.run { "--help" }
    assert.same({ 0, "" }, { status, err })
    for _, name in ipairs { "broker", "pub", "sub", "request", "reply", "bench", "top", "ls", "rm" } do
      assert.matches("\n +" .. name .. " +%u", out)
      for _, words in ipairs { { name, "--help" }, { name, "-h" }, { "help", name } } do
        local one, text, more = cli.run(words)
        assert.same({ 0, "" }, { one, more })
        assert.matches("^Usage: lipc " .. name .. " ", text)
      end
    end
    assert.same({ 0, ipc._VERSION .. "\n", "" }, { cli.run { "--version" } })
  end)

  it("finds its modules where it is installed, by whatever path it is called", function()
    local prefix, path = names.path(), package.path .. ";" .. package.cpath
    local function module(name) return assert(package.searchpath(name, path)) end
    assert(ipc.process.run {
      "sh", "-ec", [[
        mkdir -p "$1/bin" "$1/share/lua/5.4" "$1/lib/lua/5.4/lipc" "$1/it's there"
        cp lua/lipc/cli/lipc "$1/bin"
        ln -s "${2%/init.lua}" "$1/share/lua/5.4/lipc"
        ln -s "$3" "$1/lib/lua/5.4/lipc/core.so"
        ln -s "$4" "$1/share/lua/5.4/argparse.lua"
        ln -s "$5" "$1/share/lua/5.4/dkjson.lua"
        ln -s "$1/bin/lipc" "$1/absolute"
        ln -s ../absolute "$1/it's there/again"
      ]], "sh", prefix, module "lipc", module "lipc.core", module "argparse", module "dkjson", check = true,
    })
    for call, directory in pairs {
      [prefix .. "/bin/lipc"] = "/", ["bin/lipc"] = prefix, ["./lipc"] = prefix .. "/bin", lipc = prefix .. "/bin",
      [prefix .. "/absolute"] = "/", absolute = prefix, ["./again"] = prefix .. "/it's there", ["it's there/again"] = prefix,
    } do
      local result = assert(ipc.process.run {
        os.getenv "LUA" or "lua5.4", call, "--version", cwd = directory, timeout = SECONDS,
        env_add = { LUA_PATH = "/nonexistent/?.lua", LUA_CPATH = "/nonexistent/?.so" },
      })
      assert.same({ 0, ipc._VERSION .. "\n", "" }, { result.status.code, result.stdout, result.stderr }, call)
    end
    assert(os.execute("rm -r " .. prefix))
  end)

  it("says what it needs, where argparse is not installed", function()
    local result = assert(ipc.process.run {
      os.getenv "LUA" or "lua5.4", "-e", "package.preload.argparse = function() error 'none' end", "lua/lipc/cli/lipc", "pub", "a", "b",
      stdin = "null", timeout = SECONDS,
    })
    assert.equal(1, result.status.code)
    assert.equal("lipc pub: it needs the Lua module argparse (Debian package lua-argparse, or `luarocks install argparse`)\n",
      result.stderr)
  end)

  it("says how it is called, and ends with 2", function()
    for _, case in ipairs {
      { {}, "lipc: a command is required" },
      { { "frobnicate" }, "lipc: unknown command 'frobnicate'" },
      { { "help", "frobnicate" }, "lipc: unknown command 'frobnicate'" },
      { { "top", "-i", "0" }, "lipc top: 0.1 seconds or more expected, got '0'" },
      { { "pub" }, "lipc pub: missing argument 'subject'" },
      { { "pub", "a", "-x" }, "lipc pub: unknown option '-x'" },
      { { "pub", "a", "b", "c" }, "lipc pub: too many arguments" },
      { { "pub", "a", "b", "-H", "x" }, "lipc pub: option '-H': 'Name: value' expected, got 'x'" },
      { { "pub", "a", "b", "-c", "0" }, "lipc pub: positive number expected, got '0'" },
      { { "pub", "a", "b", "-l" }, "lipc pub: option '-l' takes no data and no count" },
      { { "pub", "a", "b", "-s", "http://x" }, "lipc pub: option '-s': unknown scheme 'http'" },
      { { "sub", "a", "-0" }, "lipc sub: option '-0' is for --raw" },
      { { "sub", "a", "-t", "x" }, "lipc sub: seconds expected, got 'x'" },
      { { "reply", "a" }, "lipc reply: either an answer or '--command' is needed" },
      { { "request", "a", "--replies", "x" }, "lipc request: number expected, got 'x'" },
      { { "bench", "pub", "-c", "2", "--clients", "3" }, "lipc bench: option '--clients': more than messages" },
      { { "rm" }, "lipc rm: what? Names, '--match' or '--stale'" },
      { { "ls", "-k", "pipe" }, "lipc ls: argument for option '-k' must be one of 'shm', 'semaphore', 'mqueue', 'sysv.msg', "
        .. "'sysv.shm', 'sysv.sem', 'socket', 'fifo'" },
      { { "pub", "a", "b", env = { NATS_URL = "http://x" } }, "lipc pub: $NATS_URL: unknown scheme 'http'" },
    } do
      local status, out, err = cli.run(case[1])
      assert.same({ 2, "", case[2] }, { status, out, err:match "^[^\n]*" })
    end
  end)

  it("says that no broker is there", function()
    local path = names.path ".sock"
    for _, words in ipairs { { "pub", "a", "b" }, { "sub", "a" }, { "request", "a" }, { "reply", "a", "b" }, { "bench", "pub" }, { "top" } } do
      words[#words + 1], words[#words + 2] = "-s", "unix://" .. path
      assert.same({ 1, "", ("lipc %s: connect unix://%s: No such file or directory (is a broker running?)\n"):format(words[1], path) },
        { cli.run(words) })
    end
  end)

  it("shows the help of all by help alone", function()
    assert.same({ cli.run { "--help" } }, { cli.run { "help" } })
  end)
end)

describe("lipc bench", function()
  local function both(name, fn)
    it(name .. ", with our broker", function()
      local broker <close> = assert(ipc.broker.start { path = names.path ".sock" })
      fn(broker:url())
    end)
    it(name .. ", with nats-server", function()
      local server <close> = nats.start()
      fn(server.url)
    end)
  end

  both("measures publishing and receiving", function(url)
    local sub = cli.start { "bench", "sub", "-s", url, "--count", "3000" }
    cli.expect(sub, "^lipc bench: listening on bench$")
    local status, out, err = cli.run { "bench", "pub", "-s", url, "--count", "3000", "--size", "100" }
    assert.same({ 0, "" }, { status, err })
    assert.matches("^published 3,000 messages, 300,000 bytes in [%d.]+ s: [%d,]+ messages/s, [%d.]+ MiB/s\n$", out)
    status, out, err = cli.finish(sub)
    assert.same({ 0, "" }, { status, err })
    assert.matches("^received 3,000 messages, 300,000 bytes in ", out)
  end)

  both("measures round trips", function(url)
    local reply = cli.start { "reply", "-s", url, "-v", "rtt", "pong", "-c", "200" }
    cli.expect(reply, "listening")
    local status, out = cli.run { "bench", "request", "rtt", "-s", url, "-c", "200" }
    assert.equal(0, status)
    assert.matches("^asked 200 messages, 25,600 bytes in .*\nround trip: mean [%d.]+ us, median [%d.]+, 90%% [%d.]+, 99%% [%d.]+, longest [%d.]+\n$", out)
    assert.equal(0, (cli.finish(reply)))
    local err
    status, out, err = cli.run { "bench", "request", "rtt", "-s", url, "-c", "1" }
    assert.same({ 1, "", "lipc bench: rtt: no responders\n" }, { status, out, err })
  end)

  -- The line about each of several clients is right by itself, and together with the line about all.
  local function check_each(out, clients)
    local whole = out:match "s: ([%d,]+) messages/s"
    local n, min, avg, max = out:match "\neach of (%d+) clients: min ([%d,]+), avg ([%d,]+), max ([%d,]+) messages/s\n"
    local function number(text) return tonumber((text:gsub(",", ""))) end
    assert.equal(tostring(clients), n, out)
    min, avg, max, whole = number(min), number(avg), number(max), number(whole)
    assert.is_true(0 < min and min <= avg and avg <= max and whole <= clients * max + clients, out)
  end

  both("measures several clients at once", function(url)
    local all = cli.start { "bench", "sub", "-s", url, "-c", "3000", "--clients", "2" }
    local group = cli.start { "bench", "sub", "-s", url, "-c", "3000", "--clients", "3", "-q", "g" }
    cli.expect(all, "^lipc bench: listening on bench$")
    cli.expect(group, "^lipc bench: listening on bench$")
    local status, out, err = cli.run { "bench", "pub", "-s", url, "-c", "3000", "--size", "100", "--clients", "7" }
    assert.same({ 0, "" }, { status, err })
    assert.matches("^published 3,000 messages, 300,000 bytes in [%d.]+ s: [^\n]*\n[^\n]*\n$", out)
    check_each(out, 7)
    status, out, err = cli.finish(all)
    assert.same({ 0, "" }, { status, err })
    assert.matches("^received 6,000 messages, 600,000 bytes in ", out)
    check_each(out, 2)
    status, out, err = cli.finish(group)
    assert.same({ 0, "" }, { status, err })
    assert.matches("^received 3,000 messages, 300,000 bytes in ", out)
    check_each(out, 3)
    local reply = cli.start { "reply", "-s", url, "-v", "rtt", "pong", "-c", "201" }
    cli.expect(reply, "listening")
    status, out, err = cli.run { "bench", "request", "rtt", "-s", url, "-c", "201", "--clients", "2" }
    assert.same({ 0, "" }, { status, err })
    assert.matches("^asked 201 messages, 25,728 bytes in .*\nround trip: mean [%d.]+ us, median [%d.]+, .*longest [%d.]+\n$", out)
    check_each(out, 2)
    assert.equal(0, (cli.finish(reply)))
    -- one that fails is the failure of all
    status, out, err = cli.run { "bench", "request", "rtt", "-s", url, "-c", "2", "--clients", "2" }
    assert.same({ 1, "", "lipc bench: rtt: no responders\n" }, { status, out, err })
  end)

  it("has a connection for each client, all before the first one begins, and leaves none of them behind", function()
    local broker <close> = assert(ipc.broker.start { path = names.path ".sock", max_connections = 3 })
    local status, out, err = cli.run { "bench", "pub", "-s", broker:url(), "--clients", "4" }
    assert.same({ 1, "" }, { status, out })
    assert.matches("^lipc bench: connect unix://.*: maximum connections exceeded\n$", err)
    local sub = cli.start { "bench", "sub", "-s", broker:url(), "--clients", "3", "-t", "600" }
    cli.expect(sub, "listening")
    assert.equal(1, (cli.run { "pub", "x", "y", "-s", broker:url() }))
    assert(sub:kill "SIGINT")
    status, out, err = cli.finish(sub)
    assert.is_true(status == 130 or status == "SIGINT", status)
    assert.same({ "", "" }, { out, err })
    local _
    repeat status, _, err = cli.run { "pub", "x", "y", "-s", broker:url() } until status == 0
    assert.equal("", err)
  end)
end)

-- What a program writes on a terminal of its own; standard output is that terminal, or only standard error.
local TERMINAL = [[
import os, pty, select, signal, time
want, words = A[0].encode(), A[1:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(words[0], words)
import fcntl, termios
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 12, 100, 0, 0))
seen = b''
killed = False
while True:
    try: data = os.read(fd, 65536)
    except OSError: break
    if not data: break
    seen += data
    if want and want in seen and not killed:
        killed = True
        os.write(fd, b'\x03') # Ctrl-C
os.waitpid(pid, 0)
sys.stdout.buffer.write(seen); sys.stdout.flush()
]]

local function on_terminal(want, ...)
  return peers.done(peers.python(TERMINAL, want, os.getenv "LUA" or "lua5.4", "lua/lipc/cli/lipc", ...))
end

describe("lipc top", function()
  local broker, url, client
  before_each(function() -- a broker each, which knows of no client of the test before
    broker = assert(ipc.broker.start { path = names.path ".sock", tcp = "127.0.0.1:0", insecure = true })
    url = broker:url()
    client = assert(ipc.connect(url, { name = "a \27[2Jname" }))
  end)
  after_each(function()
    client:close()
    broker:close()
  end)

  local function while_talking(process)
    assert(client:subscribe("talk.a", function() end))
    while process:status() == false do
      for _ = 1, 50 do assert(client:publish("talk.a", ("x"):rep(1000))) end
      assert(client:publish("talk.b", ""))
      assert(client:flush(SECONDS))
    end
    return cli.finish(process)
  end

  it("shows connections and subjects once", function()
    local status, out, err = while_talking(cli.start { "top", "--once", "-s", url, "-i", "2" })
    assert.same({ 0, "" }, { status, err })
    assert.matches("^unix://%S+  connections 2  subscriptions 2  memory [%d.]+[MG]  slow consumers 0\n", out)
    assert.matches("\nin [%d.]+k? msgs/s [%d.]+[kM]B/s  out [%d.]+k? msgs/s [%d.]+[kM]B/s\n", out)
    assert.matches("\nCID  FROM .*  NAME\n", out)
    assert.matches("\n%d+ +pid " .. ipc.signal.getpid() .. " +1 +%S+ .*  a \\x1B%[2Jname\n", out)
    assert.matches("\nMSGS/s  SUBJECT\n[%d.]+k? +talk%.a\n[%d.]+k? +talk%.b\n", out)
  end)

  it("counts what it shows", function()
    assert(client:subscribe("n", function() end))
    for _ = 1, 10 do assert(client:publish("n", "12345")) end
    assert(client:flush(SECONDS))
    local answer = assert(client:request("$SYS.REQ.SERVER.PING.CONNZ", "{}", SECONDS))
    local data = require "dkjson".decode(answer.data).data
    assert.same({ 1, 1, 0 }, { data.total, data.num_connections, data.offset })
    local one = data.connections[1]
    -- the question is not counted yet
    assert.same({ 10, 10, 2, ipc.signal.getpid() }, { one.in_msgs, one.out_msgs, one.subscriptions, one.pid })
    assert.same({}, require "dkjson".decode(assert(client:request("$SYS.REQ.SERVER.PING.CONNZ", '{"offset":1}', SECONDS)).data)
      .data.connections)
    local subjects = require "dkjson".decode(assert(client:request("$SYS.REQ.SERVER.PING.SUBJZ", "?", SECONDS)).data).data.subjects
    local seen = {}
    for _, subject in ipairs(subjects) do seen[subject.subject] = subject.msgs end
    assert.equal(10, seen.n)
    assert.is_nil(seen["$SYS.REQ.SERVER.PING.CONNZ"])
    assert.equal("ENORESPONDERS", (select(3, client:request("$SYS.REQ.SERVER.PING.NOSUCH", "", SECONDS))))
  end)

  it("is told nothing over the network, and by a server that does not tell", function()
    local server <close> = nats.start()
    for _, where in ipairs { broker:url "tcp", server.url } do
      local status, _, err = cli.run { "top", "--once", "-s", where }
      assert.equal(1, status)
      assert.matches("^lipc top: nats://%S+: it does not tell; ", err)
    end
  end)

  it("is not upset by whoever else answers", function()
    local server <close> = nats.start()
    local other <close> = assert(ipc.connect(server.url))
    local sub = assert(other:subscribe "$SYS.REQ.SERVER.PING.*")
    assert(other:flush(SECONDS))
    local process = cli.start { "top", "--once", "-i", "0.1", "-s", server.url }
    while not process:wait(0) do
      local message = sub:next(0.05)
      if message then
        local connections = message.subject:find "CONNZ$" and '[{"cid":1.5,"subscriptions":1e999,"name":[]},7]' or "0.5"
        assert(message:respond('{"data":{"total":1.5,"mem":0.5,"slow_consumers":1e300,"connections":' .. connections .. "}}"))
      end
    end
    local status, out, err = cli.finish(process)
    assert.same({ 0, "" }, { status, err })
    assert.matches("connections 0 ", out)
  end)

  it("asks a nats-server by its system account", function()
    local server <close> = nats.start [[
      accounts { SYS: { users: [ { user: admin, password: p } ] }, A: { users: [ { user: u, password: p } ] } }
      system_account: SYS]]
    local where = server.url:gsub("//", "//admin:p@")
    local status, out, err = cli.run { "top", "--once", "-i", "0.1", "-s", where }
    assert.same({ 0, "" }, { status, err })
    assert.matches("connections 1  subscriptions %d+  memory", out)
    assert.matches("\n%d+ +127%.0%.0%.1:%d+ +%d+ .*  lipc top\n", out)
  end)

  it("stays when the broker goes, until another one comes", function()
    local path = names.path ".sock"
    local first = assert(ipc.broker.start { path = path })
    local process = cli.start { "top", "-i", "0.1", "-s", first:url() }
    assert.matches("^unix://", process.stdout:read "l")
    assert(first:stop())
    cli.expect(process, "^lipc: disconnected: ")
    local second <close> = assert(ipc.broker.start { path = path })
    cli.expect(process, "^lipc: connected again to ")
    local c <close> = assert(ipc.connect(second:url(), { name = "the second's" }))
    assert(c:flush(SECONDS))
    repeat until assert(process.stdout:read "l"):find "the second's$" -- after what the first one has told
    assert(process:kill "SIGINT")
    assert.equal(130, (cli.finish(process)))
  end)

  it("stays on a terminal until Ctrl-C", function()
    local process = cli.start { "bench", "pub", "talk.c", "-c", "100000000", "-s", url }
    local out = on_terminal("talk.c", "top", "-s", url, "-i", "0.1")
    assert(process:kill "SIGKILL")
    cli.finish(process)
    assert.matches("^\27%[H\27%[J", (out:gsub("^%^C", "")))
    assert.matches("\n[%d.]+[kM]? +talk%.c\r\n", out)
    assert.is_nil(out:find("traceback", 1, true))
  end)
end)

describe("lipc on a terminal", function()
  it("shows a bar while it takes long, and none elsewhere", function()
    local broker <close> = assert(ipc.broker.start { path = names.path ".sock" })
    local reply = cli.start { "reply", "-s", broker:url(), "-v", "slow", "-c", "128", "--command", "sleep 0.01" }
    cli.expect(reply, "listening")
    local process = peers.python(TERMINAL, "", os.getenv "LUA" or "lua5.4", "lua/lipc/cli/lipc",
      "bench", "request", "slow", "-c", "128", "-s", broker:url())
    local out = peers.done(process)
    assert.equal(0, (cli.finish(reply)))
    assert.matches("\rrequest %[#*%.*%] +%d+%%  %d+/128", out)
    assert.matches("100%%  128/128  [%d:]+\r\n", out)
    assert.matches("asked 128 messages", out)
  end)
end)

describe("lipc ls and rm", function()
  local function make()
    local name = "/" .. names.new()
    local object = assert(ipc.semaphore.open(name, { create = true }))
    return name, object
  end

  it("list what there is", function()
    local name, object = make()
    local status, out, err = cli.run { "ls", "--match", name:sub(1, -2) .. "?", "-k", "semaphore" }
    assert.same({ 0, "" }, { status, err })
    assert.matches("^KIND +OWNER +MODE +BYTES +AGE +IDLE +CREATOR +NAME\nsemaphore +%S+ +0600 +%d+ +%d+s +%d+s +%a+ +" .. name:gsub("%-", "%%-") .. "\n$", out)
    assert.same({ 0, "semaphore\t" .. name .. "\n", "" }, { cli.run { "ls", "-1", "--match", name } })
    status, out = cli.run { "ls", "-u", "-k", "semaphore", "--match", name }
    assert.equal(0, status)
    assert.matches(" " .. ipc.signal.getpid() .. "%?? +" .. name:gsub("%-", "%%-"), out)
    assert.same({ 0, "", "" }, { cli.run { "ls", "--match", name:sub(2) } })
    object:close()
    ipc.semaphore.unlink(name)
  end)

  it("remove what nobody uses, and by force what is used", function()
    local name, object = make()
    local status, out, err = cli.run { "rm", name }
    assert.same({ 1, "" }, { status, out })
    assert.matches("^lipc rm: semaphore " .. name:gsub("%-", "%%-") .. ": .+\n$", err)
    object:close()
    assert.same({ 0, "would remove semaphore " .. name .. "\n", "" }, { cli.run { "rm", "-n", name } })
    assert.same({ 0, "removed semaphore " .. name .. "\n", "" }, { cli.run { "rm", name } })
    assert.same({ 1, "", "lipc rm: " .. name .. ": no such object\n" }, { cli.run { "rm", name } })
    name, object = make()
    assert.same({ 0, "removed semaphore " .. name .. "\n", "" }, { cli.run { "rm", "-f", "--match", name .. "*" } })
    object:close()
  end)

  it("remove nothing by a name that objects of several kinds have, unless told of which kind", function()
    local name, semaphore = make()
    semaphore:close()
    local memory = assert(ipc.shm.open(name, { create = true, size = 1 }))
    memory:close()
    local other, one_more = make()
    one_more:close()
    local refusal = ("lipc rm: %s: several kinds have this name (semaphore, shm): pick one with -k\n"):format(name)
    for _, flag in ipairs { "-n", "-f", "-a" } do
      assert.same({ 1, "", refusal }, { cli.run { "rm", flag, name } })
    end
    assert.same({ 1, ("removed semaphore %s\n"):format(other), refusal }, { cli.run { "rm", name, other } })
    assert.same({ 0, ("shm\t%s\nsemaphore\t%s\n"):format(name, name), "" }, { cli.run { "ls", "-1", "--match", name } })
    assert.same({ 0, ("removed shm %s\n"):format(name), "" }, { cli.run { "rm", "-k", "shm", name } })
    assert.same({ 0, ("removed semaphore %s\n"):format(name), "" }, { cli.run { "rm", name } })
    -- a key is a name in each of the three kinds of System V
    local key = sysv.key()
    local hex = ("0x%08x"):format(key)
    assert(ipc.sysv.msg.open(key, { create = true })):close()
    local set = assert(ipc.sysv.sem.open(key, { create = true }))
    assert.same({ 1, "", ("lipc rm: %s: several kinds have this name (sysv.msg, sysv.sem): pick one with -k\n"):format(hex) },
      { cli.run { "rm", "-f", hex } })
    assert(set:remove())
    assert.same({ 0, ("removed sysv.msg %s\n"):format(hex), "" }, { cli.run { "rm", "-f", hex } })
    local private <close> = assert(ipc.sysv.msg.open("private", { unlink = true })) -- one of those whose key is 0
    assert.same({ 1, "", "lipc rm: 0x00000000: no such object\n" }, { cli.run { "rm", "-fn", "0x00000000" } })
    local by_id = "0x00000000 id " .. private:id()
    assert.same({ 0, ("would remove sysv.msg %s\n"):format(by_id), "" }, { cli.run { "rm", "-fn", "-k", "sysv.msg", by_id } })
  end)
end)
