-- System V semaphore sets: making and finding them, and the moment between.
local ipc = require "lipc"
local bad = require "support.misuse"
local child = require "support.child"
local peer = require "support.peer"
local probe = require "support.probe"
local programs = require "support.programs"

local sem = ipc.sysv.sem

describe("sysv.sem", function()
  local key, keyname

  before_each(function()
    local random = io.open("/dev/urandom", "rb")
    key = string.unpack("i4", random:read(4)) | 1
    random:close()
    keyname = ("key 0x%08x"):format(key & 0xffffffff)
  end)
  after_each(function()
    local s = sem.open(key)
    if s then s:remove() end
  end)

  it("is made only when it is told to, and then found", function()
    assert.same({ nil, ("sysv.sem.open %s: No such file or directory"):format(keyname), "ENOENT" }, { sem.open(key) })
    local s <close> = assert(sem.open(key, { create = true, nsems = 3 }))
    assert.equal(key, s:key())
    assert.same({ 0, 0, 0 }, s:getall())
    local again <close> = assert(sem.open(key))
    assert.equal(s:id(), again:id())
    assert.equal(3, #again)
    assert.equal(3, #assert(sem.open(key, { nsems = 2 })))
    assert.equal(3, #assert(sem.fromid(s:id())))
    assert.same({ nil, ("sysv.sem.open %s: Invalid argument (nsems is 3, 4 asked for)"):format(keyname),
      "EINVAL" }, { sem.open(key, { nsems = 4 }) })
    assert.same({ nil, ("sysv.sem.open %s: File exists"):format(keyname), "EEXIST" },
      { sem.open(key, { create = true, exclusive = true }) })
  end)

  it("says what it is, and changes its owner and mode", function()
    local s <close> = assert(sem.open(key, { create = true, mode = 416, initial = { 1, 2 } })) -- 0640
    local st = s:stat()
    assert.same({ "sysv semaphore set", key, s:id(), 416, 2 }, { st.type, st.key, st.id, st.mode, st.nsems })
    assert.equal(probe.getuid(), st.uid)
    assert.equal(probe.getuid(), st.cuid)
    assert.is_true(st.otime > 0)
    assert.is_true(st.ctime > 0)
    assert.is_true(s:set { mode = 384 })
    assert.equal(384, s:stat().mode)
    assert.equal(384, assert(sem.open("private", { unlink = true })):stat().mode)
    local listed
    for _, e in ipairs(ipc.sysv.list "sem") do
      if e.id == s:id() then listed = e end
    end
    assert.equal(2, listed.nsems)
    if probe.getuid() == 0 then
      assert.is_true(s:set { uid = 65534, gid = 65534 })
      assert.equal(65534, s:stat().uid)
      assert.is_true(s:set { uid = 0 })
      local out = peer.sh("setpriv --reuid 65534 --regid 1 --clear-groups " .. peer.command([[
        print(ipc.sysv.sem.fromid(tonumber(arg[1])))
        print(ipc.sysv.sem.open(tonumber(arg[2])))]], s:id(), key) .. " 2>&1")
      assert.equal(("nil\tsysv.sem.fromid id %d: Permission denied\tEACCES\n"):format(s:id())
        .. ("nil\tsysv.sem.open %s: Permission denied\tEACCES\n"):format(keyname), out:read "a")
      out:close()
    end
  end)

  it("is seen, made and removed by ipcs, ipcmk and ipcrm", function()
    local p = peer.sh "ipcmk -S 3 -p 600"
    local id = tonumber(p:read "a":match "%d+")
    p:close()
    local made = assert(sem.fromid(id))
    assert.equal(3, #made)
    assert.is_true(made:post(3, { n = 4 }))
    p = peer.sh("ipcs -s -i " .. id)
    assert.matches("\n2%s+4%s", p:read "a")
    p:close()
    peer.sh("ipcrm -s " .. id):close()
    assert.equal("EIDRM", select(3, made:post(1)))
    local s <close> = assert(sem.open(key, { create = true }))
    p = peer.sh "ipcs -s"
    assert.is_truthy(p:read "a":find(("0x%08x %d"):format(key & 0xffffffff, s:id()), 1, true))
    p:close()
  end)

  it("is shared with Python", function()
    local s <close> = assert(sem.open(key, { create = true, initial = 0 }))
    local p = peer.sh("exec /usr/bin/python3 -c " .. peer.quote([[
import sysv_ipc, sys
s = sysv_ipc.Semaphore(]] .. key .. [[)
s.acquire()
print("acquired", s.value, s.o_time > 0, flush=True)
s.release(3)
s.Z()
print("zero", flush=True)]]))
    programs.eventually(function() return s:getncnt(1) == 1 end)
    assert.is_true(s:post(1))
    assert.equal("acquired 0 True", p:read())
    assert.is_true(s:wait(1, { n = 3, timeout = 60 }))
    assert.equal("zero\n", p:read "a")
    p:close()
    s:remove()
    p = peer.sh("exec /usr/bin/python3 -c " .. peer.quote([[
import sysv_ipc
s = sysv_ipc.Semaphore(]] .. key .. [[, sysv_ipc.IPC_CREX, initial_value=4)
print(s.o_time)]]))
    assert.equal("0\n", p:read "a") -- no operation, and it has ended
    p:close()
    local t <close> = assert(sem.open(key))
    assert.equal(4, t:getval(1))
    local waited = { sem.open(key, { create = true, initial = 1, timeout = 0.02 }) }
    assert.same({ nil, ("sysv.sem.open %s: timed out (it was made and never initialised: its maker has ended, or does no "
      .. "operation. If so: ipcrm -s %d, or fromid(%d):remove())"):format(keyname, t:id(), t:id()), "ETIMEDOUT" }, waited)
    assert.is_true(t:post(1))
    local u <close> = assert(sem.open(key, { create = true, initial = 1, timeout = 0 }))
    assert.equal(5, u:getval(1))
  end)

  it("is never seen half-made, however many open it at once", function()
    local start <close> = assert(sem.open("private", { initial = 1, unlink = true }))
    for round = 1, 10 do
      local peers = {}
      start:setval(1, 1)
      for i = 1, 6 do
        peers[i] = peer.lua([[
          assert(ipc.sysv.sem.fromid(tonumber(arg[2])):zero(1, 60)) -- all begin together
          local s = assert(ipc.sysv.sem.open(tonumber(arg[1]), { create = true, initial = { 7, 32767, 0 }, timeout = 60 }))
          local v = s:getall()
          assert(v[1] == 7 and v[2] == 32767 and v[3] == 0, table.concat(v, " "))
          assert(s:stat().otime > 0)
          print(s:id())]], key, start:id())
      end
      programs.eventually(function() return start:getzcnt(1) == 6 end)
      start:setval(1, 0)
      local ids = {}
      for _, p in ipairs(peers) do
        ids[#ids + 1] = p:read "a"
        p:close()
      end
      for _, id in ipairs(ids) do assert.equal(ids[1], id) end
      assert.matches("^%d+\n$", ids[1], "round " .. round)
      sem.open(key):remove()
    end
  end)

  it("waits for a maker that is not ready, also under the loop, and others run meanwhile", function()
    local raw = assert(sem.open(key, { create = true, nsems = 2 })) -- without `initial`: as a maker that was stopped in between
    assert.equal(0, raw:stat().otime)
    local got, ticks, loop = nil, 0, ipc.loop.new()
    loop:wrap(function() got = assert(sem.open(key, { create = true, initial = { 3, 4 } })) end)
    loop:wrap(function()
      while ticks < 20 do
        ipc.sleep(0.001)
        ticks = ticks + 1
      end
      assert.is_nil(got)
      raw:setall { 3, 4 }
      raw:op { { num = 1, op = 1 }, { num = 1, op = -1 } }
    end)
    loop:run()
    loop:close()
    assert.same({ 3, 4 }, got:getall())
    raw:remove()
    local p, finish = child.lua([[
      local s = require "lipc".sysv.sem.open(tonumber((...)), { create = true, nsems = 1 })
      ready()
      io.read()]], key)
    assert(p:read "n")
    finish() -- the maker has ended
    assert.is_truthy(sem.open(key)) -- plain: as it is
    for _, opts in ipairs { { initialized = true, timeout = 0.01 }, { create = true, initial = 1, timeout = 0 } } do
      local s, message, code = sem.open(key, opts)
      assert.is_nil(s)
      assert.equal("ETIMEDOUT", code)
      assert.matches("it was made and never initialised", message)
    end
    -- repaired meanwhile: the one that waits makes it
    local out
    loop = ipc.loop.new()
    loop:wrap(function() out = assert(sem.open(key, { create = true, initial = 8 })) end)
    loop:wrap(function()
      ipc.sleep(0.005)
      sem.open(key):remove()
    end)
    loop:run()
    loop:close()
    assert.equal(8, out:getval(1))
  end)

  it("of a maker that is killed at any moment: whole, or said not to be", function()
    for i = 1, 60 do
      local p = assert(ipc.process.spawn { "sh", "-c", "exec " .. peer.command([[
        local sem, key = ipc.sysv.sem, tonumber(arg[1])
        io.write "x" io.stdout:flush()
        local all = {}
        for i = 1, 2000 do all[i] = 5 end
        while true do sem.open(key, { create = true, initial = all }):remove() end]], key), stdout = "pipe" })
      assert.equal("x", p.stdout:read(1))
      ipc.sleep((i % 7) * 0.0003)
      assert(ipc.signal.kill(p:pid(), "SIGKILL"))
      assert(p:wait(60))
      p:close()
      local s, message, code = sem.open(key, { initialized = true, timeout = 0 })
      if s then
        for _, v in ipairs(s:getall()) do assert.equal(5, v) end
        s:remove()
      elseif code == "ETIMEDOUT" then
        assert.matches("never initialised", message)
        sem.open(key):remove()
      else
        assert.equal("ENOENT", code)
      end
    end
    for _, call in ipairs { "semctl", "semop,semtimedop" } do -- between making and values, values and operation
      local p = peer.sh(("exec strace -qq -o /dev/null -e trace=%s -e inject=%s:signal=SIGKILL:when=1 %s"):format(call, call,
        peer.command("ipc.sysv.sem.open(tonumber(arg[1]), { create = true, initial = { 6, 6 } })", key)))
      p:read "a"
      assert.is_nil((p:close()))
      local plain = assert(sem.open(key))
      assert.equal(0, plain:stat().otime)
      assert.equal("ETIMEDOUT", select(3, sem.open(key, { create = true, initial = { 6, 6 }, timeout = 0 })))
      plain:remove()
    end
  end)

  it("names the limits that it meets", function()
    local msl = math.tointeger(tonumber((programs.slurp "/proc/sys/kernel/sem":match "%d+")))
    if msl < 65536 then
      assert.same({ nil, ("sysv.sem.open %s: Invalid argument (SEMMSL, the first number of kernel.sem, is %d: see sysctl)")
        :format(keyname, msl), "EINVAL" }, { sem.open(key, { create = true, nsems = msl + 1 }) })
    end
    -- in an IPC name space of its own, with a limit of its own
    local p = peer.sh("unshare -i sh -c " .. peer.quote("echo '250 32000 32 1' >/proc/sys/kernel/sem || exit 7; exec "
      .. peer.command [[
        local a = assert(ipc.sysv.sem.open("private"))
        print(ipc.sysv.sem.open("private"))
        a:remove()]]) .. " 2>&1")
    local out = p:read "a"
    local _, _, status = p:close()
    if status == 7 or out:find "Operation not permitted" then return end
    assert.equal("nil\tsysv.sem.open key 0x00000000: No space left on device (kernel.sem allows 1 sets (SEMMNI) and 32000 "
      .. "semaphores (SEMMNS): remove some (ipcs -s), or see sysctl)\tENOSPC\n", out)
  end)

  it("refuses misuse", function()
    local s <close> = assert(sem.open("private", { nsems = 2, unlink = true }))
    bad('#1.*integer key or "private" expected', sem.open, "x")
    bad("#1.*more than 32 bits", sem.open, 1 << 32)
    bad("'initial' needs 'create'", sem.open, key, { initial = 1 })
    bad("'nsems': 0 is out of range", sem.open, key, { create = true, nsems = 0 })
    bad("'initial': 32768 is out of range", sem.open, key, { create = true, initial = 32768 })
    bad("'initial': integer expected, got string", sem.open, key, { create = true, initial = "1" })
    bad("'initial': 2 values for 3 semaphores", sem.open, key, { create = true, nsems = 3, initial = { 1, 2 } })
    bad("'initial': value 2 is no integer from 0 to 32767", sem.open, key, { create = true, initial = { 1, -1 } })
    bad("'initial': no value in it", sem.open, key, { create = true, initial = {} })
    bad("unknown option 'size'", sem.open, key, { size = 1 })
    bad("'timeout': timeout must not be negative", sem.open, key, { timeout = -1 })
    bad("#1.*not an identifier", sem.fromid, -1)
    assert.is_nil(sem.open(key)) -- none of these has made one
    for _, method in ipairs { "wait", "post", "zero", "getval", "getncnt", "getzcnt", "getpid", "setval", "with" } do
      for _, num in ipairs { 0, 3, -1 } do bad("#2.*the set has semaphores 1 to 2", s[method], s, num) end
      bad("#2.*number expected", s[method], s)
      bad("lipc.sysv.sem expected", s[method], io.stdout, 1)
    end
    bad("'n': 0 is out of range", s.wait, s, 1, { n = 0 })
    bad("'n': 32768 is out of range", s.post, s, 1, { n = 32768 })
    bad("'undo': boolean expected", s.post, s, 1, { undo = 1 })
    bad("unknown option 'timeout'", s.post, s, 1, { timeout = 1 })
    bad("#3.*table expected", s.post, s, 1, 1)
    bad("#3.*negative", s.wait, s, 1, -1)
    bad("#3.*timeout in seconds expected", s.zero, s, 1, {})
    bad("#3.*value must be from 0 to 32767", s.setval, s, 1, 32768)
    bad("#3.*number expected", s.setval, s, 1)
    bad("#2.*1 values for 2 semaphores", s.setall, s, { 1 })
    bad("#2.*value 2 is no integer", s.setall, s, { 1, "2" })
    bad("#2.*table expected", s.setall, s)
    bad("#3.*function expected", s.with, s, 1, {})
    bad("#4.*negative", s.with, s, 1, print, -1)
    bad("#2.*no operation in it", s.op, s, {})
    bad("#2.*table expected", s.op, s)
    bad("#2.*operation 2: table expected, got number", s.op, s, { { num = 1, op = 1 }, 1 })
    bad("operation 1: 'num': integer expected, got nil", s.op, s, { { op = 1 } })
    bad("operation 1: 'num': the set has semaphores 1 to 2", s.op, s, { { num = 3, op = 1 } })
    bad("operation 1: 'op': integer expected, got string", s.op, s, { { num = 1, op = "1" } })
    bad("operation 1: 'op' has no integer representation", s.op, s, { { num = 1, op = 1.5 } })
    bad("operation 1: 'op' is out of range", s.op, s, { { num = 1, op = 40000 } })
    bad("operation 1: 'undo': boolean expected, got number", s.op, s, { { num = 1, op = 1, undo = 1 } })
    bad("operation 1: unknown field 'nowiat'", s.op, s, { { num = 1, op = 1, nowiat = true } })
    bad("has no descriptor", s.fd, s)
    assert.same({ 0, 0 }, s:getall())
    s:close()
    bad("closed sysv.sem", s.wait, s, 1)
    bad("closed sysv.sem", s.op, s, { { num = 1, op = 1 } })
    bad("closed sysv.sem", function() return #s end)
    bad("closed sysv.sem", s.remove, s)
  end)
end)
