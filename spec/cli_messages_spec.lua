-- lipc pub, sub, request and reply in processes, with our broker and with Debian's nats-server.
local cli = require "support.cli"
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"

local SECONDS = 60

local function ours() return assert(ipc.broker.start { path = names.path ".sock" }) end

for name, start in pairs { ["our broker"] = ours, ["nats-server"] = nats.start } do
  describe("lipc with " .. name, function()
    local server, url, client
    setup(function()
      server = start()
      url = type(server.url) == "string" and server.url or server:url()
      client = assert(ipc.connect(url))
    end)
    teardown(function()
      client:close()
      server:stop()
    end)

    local function subscriber(...)
      local process = cli.start { "sub", "-s", url, "-v", ... }
      cli.expect(process, "^lipc sub: listening on ")
      return process
    end

    it("sub shows what pub publishes", function()
      local process = subscriber("a.*", "b.>", "-c", "3")
      assert.same({ 0, "", "" }, { cli.run { "pub", "-s", url, "a.b", "hello" } })
      assert.same({ 0, "", "" }, { cli.run { "pub", "-s", url, "b.x.y", "--reply", "answers", input = "from\nstdin\n" } })
      assert.same({ 0, "", "" }, { cli.run { "pub", "a.c", "\27[2J\xff\u{e4}\u{85}", env = { NATS_URL = url } } })
      local status, out = cli.finish(process)
      assert.equal(0, status)
      assert.equal("[1] a.b\nhello\n\n[2] b.x.y  reply answers\nfrom\nstdin\n\n"
        .. "[3] a.c\n\\x1B[2J\\xFF\\xC3\\xA4\\xC2\\x85\n\n", out)
    end)

    it("sub gives the bytes of messages and their headers, as they are", function()
      local raw, null = subscriber("a", "-c", "2", "--raw"), subscriber("a", "-c", "2", "--raw", "-0")
      local headers = subscriber("a", "-c", "2", "--headers", "--pretty")
      assert.equal(0, (cli.run { "pub", "-s", url, "a", "\27x", "-H", "B: 1", "-H", "A: x y", "-H", "B:2" }))
      assert.equal(0, (cli.run { "pub", "-s", url, "a", input = "" }))
      assert.equal("\27x\n\n", (select(2, cli.finish(raw))))
      assert.equal("\27x\0\0", (select(2, cli.finish(null))))
      assert.equal("[1] a\nA: x y\nB: 1\nB: 2\n\n\\x1Bx\n\n[2] a\n\n\n", (select(2, cli.finish(headers))))
    end)

    it("pub takes lines as messages, and the same one many times", function()
      local process = subscriber("many", "-r", "-c", "1003")
      assert.equal(0, (cli.run { "pub", "-s", url, "many", "--lines", input = "1\n\n3" }))
      assert.equal(0, (cli.run { "pub", "-s", url, "many", "x", "--count", "1000" }))
      local status, out = cli.finish(process)
      assert.equal(0, status)
      assert.equal("1\n\n3\n" .. ("x\n"):rep(1000), out)
    end)

    it("sub shares a queue", function()
      local a, b = subscriber("jobs", "--queue", "q", "-r"), subscriber("jobs", "--queue", "q", "-r")
      assert.equal(0, (cli.run { "pub", "-s", url, "jobs", "x", "-c", "200" }))
      local loop <close> = assert(ipc.loop.new())
      local got, total = {}, 0
      for i, process in ipairs { a, b } do
        got[i] = 0
        loop:wrap(function()
          for line in process.stdout:lines() do
            assert.equal("x", line)
            got[i], total = got[i] + 1, total + 1
            if total == 200 then -- all have come
              a:kill "SIGINT"
              b:kill "SIGINT"
            end
          end
        end)
      end
      assert.is_true(loop:run())
      assert.equal(200, total)
      assert.is_true(got[1] > 0 and got[2] > 0)
      for _, process in ipairs { a, b } do cli.finish(process) end
    end)

    it("sub ends when its time is over", function()
      local status, out, err = cli.run { "sub", "-s", url, "never", "--timeout", "0.5" }
      assert.same({ 1, "" }, { status, out })
      assert.matches("timed out\n$", err)
    end)

    it("sub ends by Ctrl-C, without a word", function()
      local process = subscriber "a"
      assert(process:kill "SIGINT")
      local status, out, err = cli.finish(process)
      assert.is_true(status == 130 or status == "SIGINT", status)
      assert.same({ "", "" }, { out, err })
    end)

    it("request shows the answer of reply", function()
      local process = cli.start { "reply", "-s", url, "-v", "greet", "hello", "-H", "By: me", "-c", "2" }
      cli.expect(process, "^lipc reply: listening on greet$")
      assert.same({ 0, "hello\n", "" }, { cli.run { "request", "-t", "60", "-s", url, "greet", "x" } })
      local status, out = cli.run { "request", "-t", "60", "-s", url, "greet", "--pretty", "--headers" }
      assert.equal(0, status)
      assert.matches("^%[1%] _INBOX%.[%w.]+\nBy: me\n\nhello\n\n$", out)
      assert.equal(0, (cli.finish(process)))
    end)

    it("reply runs a command for each request", function()
      local process = cli.start {
        "reply", "-s", url, "-v", "calc.*", "-q", "workers", "-c", "3", "-j", "2", "--command",
        [[read x; case $x in *[!0-9]*) echo bad >&2; exit 3;; esac; echo "$LIPC_SUBJECT $LIPC_HEADER_X_ID $((x * x))"]],
      }
      cli.expect(process, "listening")
      assert.same({ 0, "calc.sq id7 49\n\n", "" },
        { cli.run { "request", "-t", "60", "-s", url, "calc.sq", "-H", "X-Id: id7", input = "7\n" } })
      local status, out, err = cli.run { "request", "-t", "60", "-s", url, "calc.sq", "--headers", input = "x\n" }
      assert.equal(1, status)
      assert.equal("lipc request: the command ended with exit 3\n", err)
      assert.equal("Nats-Service-Error: the command ended with exit 3\nNats-Service-Error-Code: 3\n\n\n", out)
      -- nothing of the request is a command
      assert.same({ 0, "calc.$(id)  1\n\n", "" }, { cli.run { "request", "-t", "60", "-s", url, "calc.$(id)", input = "1\n" } })
      status, out, err = cli.finish(process)
      assert.equal(0, status, err)
      assert.equal("", out)
      assert.matches("bad\n", err)
    end)

    it("reply ends the commands that run when it is ended", function()
      for _, signal in ipairs { "SIGTERM", "SIGHUP", "SIGINT" } do
        local process = cli.start {
          "reply", "-s", url, "-v", "slow", "-j", "2", "--command", "echo begun >&2; sleep 600; echo never",
        }
        cli.expect(process, "listening")
        for _ = 1, 2 do
          assert(client:publish("slow", ""))
          cli.expect(process, "begun")
        end
        assert(process:kill(signal))
        -- the shells and what they have started have standard error too, which ends when all of them have
        local status, out, err = cli.finish(process)
        assert.same({ signal == "SIGINT" and 130 or signal, "", "" }, { status, out, err })
      end
    end)

    it("reply tells who asks that an answer is too large", function()
      local process = cli.start {
        "reply", "-s", url, "-v", "size", "-c", "5", "-H", "By: me", "--command",
        [[read n; case $n in all) yes;; *) head -c "${n%% *}" /dev/zero | tr '\0' x; exit "${n##* }";; esac]],
      }
      cli.expect(process, "listening")
      local function ask(what) return cli.run { "request", "-s", url, "size", "--headers", what } end
      local function answer(text, code)
        return { 1, ("By: me\nNats-Service-Error: %s\nNats-Service-Error-Code: %s\n\n\n"):format(text, code), "lipc request: " .. text .. "\n" }
      end
      assert.same(answer("the command prints more than max_payload, 1048576 bytes", "EMSGSIZE"), { ask "1048577 0\n" })
      assert.same(answer("the command prints more than max_payload, 1048576 bytes", "EMSGSIZE"), { ask "all\n" }) -- which never ends
      -- these bytes would go, but not the headers beside them
      local function bare(text, code)
        local expected = answer(text, code)
        expected[2] = expected[2]:gsub("^By: me\n", "")
        return expected
      end
      assert.same(bare("the answer is larger than max_payload", "EMSGSIZE"), { ask "1048576 0\n" })
      assert.same(bare("the command ended with exit 3", "3"), { ask "1048576 3\n" })
      local status, out = ask "1048000 0\n"
      assert.same({ 0, #"By: me\n\n" + 1048001 }, { status, #out })
      assert.equal(0, (cli.finish(process)))
    end)

    it("reply gives a command all values of headers that come under one name", function()
      local process = cli.start {
        "reply", "-s", url, "-v", "heads", "-c", "1", "--command", [[printf %s "$LIPC_HEADER_X_ID/$LIPC_HEADER_ONE/$LIPC_SUBJECT"]],
      }
      cli.expect(process, "listening")
      assert.same({ 0, "2, 4, 1, 5, 3/a, b/heads\n", "" }, {
        cli.run { "request", "-s", url, "heads", "", "-H", "X_Id: 1", "-H", "X-Id: 2", "-H", "x-id: 3", "-H", "X-Id: 4", "-H", "X_Id: 5",
          "-H", "One: a", "-H", "One: b" },
      })
      assert.equal(0, (cli.finish(process)))
    end)

    it("reply obeys nothing in subjects, and goes on", function()
      local process = cli.start { "reply", "-s", url, "-v", "odd.*", "-c", "4", "--command", "echo done" }
      cli.expect(process, "listening")
      -- a client that checks nothing
      local socket <close> = nats.open(url)
      assert(socket:write "SUB in 1\r\nPUB odd.\27[2J 0\r\n\r\nPUB odd.a\0b in 0\r\n\r\nPUB odd.a in.\27[2J.* 0\r\n\r\n")
      assert.matches("^H?MSG in 1 ", socket:read "L")
      assert.same({ 0, "done\n\n", "" }, { cli.run { "request", "-t", "60", "-s", url, "odd.x", "" } })
      local status, out, err = cli.finish(process)
      assert.equal(0, status, err)
      assert.equal("", out)
      assert.matches("^lipc reply: odd%.\\x1B%[2J\nlipc reply: odd%.a\\x00b\nlipc reply: odd%.a\n", err)
      assert.is_nil(err:find "[\0\27]")
    end)

    it("reply takes commands that do not read the request", function()
      local process = cli.start { "reply", "-s", url, "-v", "big", "-c", "1", "--command", "echo done" }
      cli.expect(process, "listening")
      assert.same({ 0, "done\n\n", "" }, { cli.run { "request", "-t", "60", "-s", url, "big", input = ("1"):rep(900000) } })
      assert.same({ 0, "", "lipc reply: big\n" }, { cli.finish(process) })
    end)

    it("reply ends a command that takes too long", function()
      local process = cli.start { "reply", "-s", url, "-v", "slow", "-c", "1", "-t", "0.2", "--command", "sleep 1000" }
      cli.expect(process, "listening")
      local status, _, err = cli.run { "request", "-s", url, "slow", "", "-t", "60" }
      assert.equal(1, status)
      assert.equal("lipc request: the command took longer than it may\n", err)
      assert.equal(0, (cli.finish(process)))
    end)

    it("reply answers others while a command runs", function()
      local fifo = names.path ".fifo"
      assert(ipc.fifo.make(fifo))
      local process = cli.start {
        "reply", "-s", url, "-v", "slow", "-c", "2", "-j", "2", "--command",
        ("read x; case $x in no) echo quick;; *) cat %s;; esac"):format(fifo),
      }
      cli.expect(process, "listening")
      local waiting = cli.start { "request", "-s", url, "slow", "yes\n", "-t", "60" }
      cli.expect(process, "^lipc reply: slow$")
      assert.same({ 0, "quick\n\n", "" }, { cli.run { "request", "-t", "60", "-s", url, "slow", "no\n" } })
      local go <close> = assert(ipc.fifo.open(fifo, "w", { timeout = SECONDS }))
      assert(go:write "late\n")
      go:close()
      os.remove(fifo)
      local status, out = cli.finish(waiting)
      assert.same({ 0, "late\n\n" }, { status, out })
      assert.equal(0, (cli.finish(process)))
    end)

    it("request takes several answers", function()
      assert(client:setvbuf "full") -- the three answers go in one piece
      finally(function() client:setvbuf "no" end)
      assert(client:subscribe("who", function(message)
        for i = 1, 3 do message:respond(i) end
      end))
      assert(client:flush(SECONDS))
      local function while_answering(arguments)
        local process = cli.start(arguments)
        while process:status() == false do client:run(0.01) end
        return cli.finish(process)
      end
      local status, out = while_answering { "request", "-t", "60", "-s", url, "who", "x", "--replies", "2" }
      assert.same({ 0, 4 }, { status, #out })
      status, out = while_answering { "request", "-t", "60", "-s", url, "who", "x", "--replies", "0", "--stall", "0.3" }
      assert.same({ 0, 6 }, { status, #out })
      local err
      status, out, err = while_answering { "request", "-s", url, "who", "x", "--replies", "4", "-t", "0.3" }
      assert.same({ 1, "lipc request: who: timed out\n" }, { status, err })
      assert.is_true(#out <= 6, out) -- who is in time
    end)

    it("says what went wrong, and ends with 1", function()
      assert.same({ 1, "", "lipc request: nobody: no responders\n" }, { cli.run { "request", "-t", "60", "-s", url, "nobody", "x" } })
      local mute <close> = assert(client:subscribe "mute")
      assert(client:flush(SECONDS))
      assert.same({ 1, "", "lipc request: mute: timed out\n" }, { cli.run { "request", "-s", url, "mute", "x", "-t", "0.05" } })
      assert.equal("x", assert(mute:next(SECONDS)).data)
      assert.same({ 1, "", "lipc pub: a b: a subject has no blanks\n" },
        { cli.run { "pub", "-s", url, "a b", "x" } })
      assert.equal(1, (cli.run { "pub", "-s", url, "a", input = ("x"):rep(2 << 20) }))
    end)

    it("ends quietly when nobody reads its output", function()
      local process = subscriber("flow", "-r")
      process.stdout:close()
      local status
      repeat
        assert(client:publish("flow", ("x"):rep(1000)))
        assert(client:flush(SECONDS))
        status = process:wait(0.01)
      until status
      assert.equal("SIGPIPE", status.signal)
      assert.equal("", process.stderr:read "a")
      process:close()
      -- where SIGPIPE is ignored
      process = assert(ipc.process.spawn {
        "python3", "-c", "import os,signal,sys; signal.signal(signal.SIGPIPE, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])",
        os.getenv "LUA" or "lua5.4", "lua/lipc/cli/lipc", "sub", "-s", url, "-v", "-r", "flow",
        stdout = "pipe", stderr = "pipe", pdeathsig = "SIGKILL",
      })
      cli.expect(process, "listening")
      process.stdout:close()
      repeat
        assert(client:publish("flow", ("x"):rep(1000)))
        assert(client:flush(SECONDS))
        status = process:wait(0.01)
      until status
      assert.equal(1, status.code)
      assert.equal("", process.stderr:read "a")
      process:close()
    end)
  end)
end

describe("lipc", function()
  it("sub and reply come back after a restart of the broker, and say so", function()
    local path = names.path ".sock"
    local broker = assert(ipc.broker.start { path = path })
    local url = broker:url()
    local sub = cli.start { "sub", "-s", url, "-v", "-r", "-c", "1", "a" }
    local reply = cli.start { "reply", "-s", url, "-v", "-c", "1", "q", "yes" }
    cli.expect(sub, "listening")
    cli.expect(reply, "listening")
    broker:stop()
    cli.expect(sub, "^lipc: disconnected: the server closed the connection$")
    cli.expect(reply, "^lipc: disconnected: ")
    broker = assert(ipc.broker.start { path = path })
    cli.expect(sub, "^lipc: connected again to unix://")
    cli.expect(reply, "^lipc: connected again to ")
    local client <close> = assert(ipc.connect(url))
    local answer
    repeat answer = client:request("q", "", SECONDS) until answer
    assert.equal("yes", answer.data)
    assert.equal(0, (cli.finish(reply)))
    repeat client:publish("a", "x") until sub:wait(0.05)
    local status, out = cli.finish(sub)
    assert.same({ 0, "x\n" }, { status, out })
    broker:stop()
  end)

  it("shows a token, or a user and a password, and is refused without", function()
    local server <close> = nats.start "authorization { user: u, password: p }"
    local args = { "pub", "a", "x", "-s", server.url }
    local status, _, err = cli.run(args)
    assert.equal(1, status)
    assert.matches("^lipc pub: connect nats://127%.0%.0%.1:%d+: Authorization Violation %(it wants a token or a user: .*%)\n$", err)
    status, _, err = cli.run { "pub", "a", "x", "-s", server.url, "--user", "u", "--pass", "q" }
    assert.equal(1, status)
    assert.matches(": Authorization Violation\n$", err)
    assert.equal(0, (cli.run { "pub", "a", "x", "-s", server.url, "--user", "u", "--pass", "p" }))
    assert.equal(0, (cli.run { "pub", "a", "x", "-s", (server.url:gsub("//", "//u:p@")) }))
    local strict <close> = nats.start [[authorization { users: [ { user: u, password: p, permissions: { publish: ok, subscribe: ok } } ] }]]
    local url = strict.url:gsub("//", "//u:p@")
    status, _, err = cli.run { "pub", "no", "x", "-s", url }
    assert.equal(1, status)
    assert.matches('^lipc pub: .*Permissions Violation for Publish to "no"\n$', err)
    status, _, err = cli.run { "sub", "no", "-s", url }
    assert.equal(1, status)
    assert.matches('^lipc sub: .*Permissions Violation for Subscription to "no"\n$', err)
    status, _, err = cli.run { "reply", "no", "x", "-v", "-s", url }
    assert.equal(1, status)
    assert.matches('^lipc reply: .*Permissions Violation for Subscription to "no"\n$', err)
    status, _, err = cli.run { "request", "ok", "x", "-s", url }
    assert.equal(1, status)
    assert.matches('^lipc request: ok: Permissions Violation for Subscription to "_INBOX%..*", so that no answer can come\n$', err)
    status, _, err = cli.run { "top", "--once", "-s", url }
    assert.equal(1, status)
    assert.matches('^lipc top: .*: Permissions Violation for ', err)
  end)
end)
