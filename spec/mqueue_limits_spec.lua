-- POSIX message queues: the kernel's limits, each with its name, its value and how to raise it; and the
-- list of those there are.  In name spaces of their own, where nobody else's queues count.
local mq = require "support.mqueue"

describe("mqueue", function()
  mq.watch { setup = setup, teardown = teardown, before_each = before_each, after_each = after_each }

  local function isolated(...)
    local out = mq.isolated(...)
    if not out then pending "no name spaces for this user" end
    return out
  end

  describe("names the limit:", function()
    it("of queues", function()
      local out = isolated [[
        local n = 0
        while true do
          local q, message, code = ipc.mqueue.open("/q" .. n, { create = true, maxmsg = 1, msgsize = 1 })
          if not q then return print(n, message, code) end
          q:close()
          n = n + 1
        end]]
      local max, value = out:match("^(%d+)\tmqueue.open /q%d+: No space left on device %(queues of the whole system: "
        .. "fs.mqueue.queues_max is (%d+); raise it by sysctl, or unlink some%)\tENOSPC\n$")
      assert.is_truthy(max, out)
      assert.equal(max, value)
    end)

    it("of messages, and of their size", function()
      local out = isolated [[
        local function limit(name)
          local f <close> = io.open("/proc/sys/fs/mqueue/" .. name)
          return f:read "n"
        end
        local function try(opts)
          opts.create = true
          local q, message, code = ipc.mqueue.open("/q", opts)
          print(q and "made" or message:gsub(limit "msg_max", "MAX"):gsub(limit "msgsize_max", "SIZE"))
          assert(q or code == "EINVAL")
          ipc.mqueue.unlink "/q"
        end
        try { maxmsg = limit "msg_max", msgsize = limit "msgsize_max" }
        try { maxmsg = 70000, msgsize = 1 }
        try { maxmsg = 1, msgsize = 20000000 }]]
      assert.equal([[
made
mqueue.open /q: Invalid argument (maxmsg 70000 is more than fs.mqueue.msg_max, which is MAX; raise it by sysctl, to 65536 at most)
mqueue.open /q: Invalid argument (msgsize 20000000 is more than fs.mqueue.msgsize_max, which is SIZE; raise it by sysctl, to 16777216 at most)
]], out)
    end)

    it("of bytes, to the byte", function()
      local script = [[
        local q, message, code = ipc.mqueue.open("/q", { create = true, maxmsg = 10, msgsize = 100 })
        print(q or message, code or ipc.mqueue.open "/q" and "there")]]
      local need = 10 * (100 + 2 * 6 * string.packsize "l")
      assert.matches("^lipc.mqueue /q %(fd %d+%)\tthere\n$", isolated(script, nil, ("prlimit --msgqueue=%d"):format(need)))
      assert.equal(("mqueue.open /q: Too many open files (this queue takes %d bytes of RLIMIT_MSGQUEUE, which is %d for all "
        .. "queues of this user; raise it by ulimit -q)\tEMFILE\n"):format(need, need - 1),
        isolated(script, nil, ("prlimit --msgqueue=%d"):format(need - 1)))
    end)

    it("of descriptors", function()
      local script = [[
        local hold = {}
        repeat
          local f = io.open "/proc/self/stat"
          hold[#hold + 1] = f
        until not f
        print(ipc.mqueue.open("/q", { create = true, maxmsg = 1, msgsize = 1 }))
        print(ipc.mqueue.open "/q")]]
      local message = "nil\tmqueue.open /q: Too many open files "
        .. "(RLIMIT_NOFILE is 30: see ulimit -n)\tEMFILE\n"
      assert.equal(message:rep(2), isolated(script, nil, "prlimit --nofile=30"))
    end)
  end)

  describe("list", function()
    it("says what there is", function()
      local out = isolated([[
        local names = { "name", "mode", "uid", "gid", "size", "maxmsg", "msgsize", "curmsgs", "notify", "pid", "signo", "signal" }
        local function show(list)
          for i = 1, #list do
            local words, known = {}, {}
            for _, key in ipairs(names) do
              local value = list[i][key]
              if key == "pid" and value then value = value == ipc.signal.getpid() and "me" or "other" end
              words[#words + 1] = value ~= nil and key .. "=" .. value or nil
              known[key] = true
            end
            for key in pairs(list[i]) do assert(known[key], key) end
            print(table.concat(words, " "))
          end
        end
        local list = assert(ipc.mqueue.list())
        assert(#list == 0)
        local new = { create = true, maxmsg = 3, msgsize = 50, mode = 416 }
        local b = assert(ipc.mqueue.open("/b", new))
        local c = assert(ipc.mqueue.open("/c", new))
        local a = assert(ipc.mqueue.open("/a", { create = true, maxmsg = 2, msgsize = 10, mode = 0 }))
        local x = assert(ipc.mqueue.open("/b2", { create = true, maxmsg = 1, msgsize = 1 }))
        b:send "five!"
        b:send "12"
        c:notify "SIGUSR1"
        show(ipc.mqueue.list())
        c:notify()
        for _, how in ipairs { 0, -1 } do
          local p <close> = ipc.process.spawn { arg[1], "notify", "/c", how, 1, stdin = "pipe", stdout = "pipe" }
          assert(p.stdout:read() == "asked")
          for _, q in ipairs(ipc.mqueue.list()) do if q.notify then show { q } end end
          p.stdin:close()
          assert(p:wait(60).ok)
        end
        print(a:stat().mode .. " " .. x:getattr().maxmsg)]], mq.mounted)
      assert.equal([[
name=/a mode=0 uid=0 gid=0
name=/b mode=416 uid=0 gid=0 size=7 maxmsg=3 msgsize=50 curmsgs=2
name=/b2 mode=384 uid=0 gid=0 size=0 maxmsg=1 msgsize=1 curmsgs=0
name=/c mode=416 uid=0 gid=0 size=0 maxmsg=3 msgsize=50 curmsgs=0 notify=signal pid=me signo=10 signal=SIGUSR1
name=/c mode=416 uid=0 gid=0 size=0 maxmsg=3 msgsize=50 curmsgs=0 notify=none pid=other
name=/c mode=416 uid=0 gid=0 size=0 maxmsg=3 msgsize=50 curmsgs=0 notify=thread pid=other
0 1
]], out)
    end)

    it("agrees with what the file system shows to others", function()
      local out = isolated([[
        local made = {}
        for i = 1, 20 do
          made[i] = assert(ipc.mqueue.open("/q" .. i, { create = true, maxmsg = 1, msgsize = i }))
          assert(made[i]:send(("x"):rep(i)))
        end
        local mine = {}
        for i, q in ipairs(ipc.mqueue.list()) do mine[i] = q.name .. " " .. q.size end
        local p = io.popen "cd /dev/mqueue && for f in *; do sed 's,^QSIZE:\\([0-9]*\\).*,/'$f' \\1,' $f; done | LC_ALL=C sort"
        local theirs = p:read "a"
        p:close()
        print(#mine, #ipc.mqueue.list(), table.concat(mine, "\n") .. "\n" == theirs, mine[1])]], mq.mounted)
      assert.equal("20\t20\ttrue\t/q1 1\n", out)
    end)

    it("says how to mount it where it is not", function()
      local message = "nil\tmqueue.list /dev/mqueue: No such file or directory (not mounted: mkdir -p /dev/mqueue && "
        .. "mount -t mqueue none /dev/mqueue)\tENOENT\n"
      local script = "print(ipc.mqueue.list())"
      assert.equal(message, isolated(script))
      assert.equal(message, isolated(script, "mkdir /dev/mqueue"))
      assert.equal("table", isolated(script, mq.mounted):match "^%l+")
    end)

    it("is what the message says", function()
      local out = isolated([[
        local _, message = ipc.mqueue.list()
        assert(os.execute(message:match "not mounted: (.*)%)"))
        print(#ipc.mqueue.list())]])
      assert.equal("0\n", out)
    end)
  end)
end)
