-- System V keys and the list of all objects: ftok(3), ipcs(1).
local ipc = require "lipc"
local names = require "support.names"
local support = require "support.sysv"

local sysv = ipc.sysv

describe("sysv.ftok", function()
  local path
  before_each(function()
    path = names.path ".ftok"
    assert(io.open(path, "w")):close()
  end)
  after_each(function() os.remove(path) end)

  it("gives what C and Python give", function()
    for _, id in ipairs { 1, 65, 127, 128, 255 } do
      local key = assert(sysv.ftok(path, id))
      assert.equal("integer", math.type(key))
      assert.equal(key .. "\n", support.twin("ftok", path, id))
      assert.equal(key .. "\n", support.python("print(sysv_ipc.ftok(sys.argv[1], int(sys.argv[2]), True))", path, id))
    end
    assert.equal(sysv.ftok(path, 65), sysv.ftok(path, "A"))
    assert.equal(sysv.ftok(path, 255), sysv.ftok(path, "\xff"))
    assert.equal(sysv.ftok(path, 1), sysv.ftok(path))
    assert.not_equal(sysv.ftok(path, 1), sysv.ftok(path, 2))
  end)

  it("says what is wrong with the file", function()
    os.remove(path)
    assert.same({ nil, ("sysv.ftok %s: No such file or directory"):format(path), "ENOENT" }, { sysv.ftok(path) })
  end)

  it("refuses misuse", function()
    for _, bad in ipairs { 0, 256, -1, 1 << 40 } do
      assert.error_matches(function() sysv.ftok(path, bad) end, "#2 .*must be from 1 to 255")
    end
    assert.error_matches(function() sysv.ftok(path, "") end, "#2 .*string of one byte expected")
    assert.error_matches(function() sysv.ftok(path, "AB") end, "#2 .*string of one byte expected")
    assert.error_matches(function() sysv.ftok(path, "\0") end, "#2 .*must be from 1 to 255")
    assert.error_matches(function() sysv.ftok(path, {}) end, "#2")
    assert.error_matches(function() sysv.ftok() end, "#1")
    assert.error_matches(function() sysv.ftok "a\0b" end, "#1")
  end)
end)

describe("a System V key", function()
  it("is an integer of 32 bits, signed or not, or private", function()
    local key = support.key() | 0x80000000
    local q <close> = assert(sysv.msg.open(key, { create = true, exclusive = true, unlink = true }))
    local signed = key - (1 << 32)
    assert.equal(signed, q:key())
    local same <close> = assert(sysv.msg.open(signed))
    assert.equal(q:id(), same:id())
    local by_id <close> = assert(sysv.msg.fromid(q:id()))
    assert.equal(signed, by_id:key())
    assert.equal(("lipc.sysv.msg key 0x%08x, id %d (open)"):format(key, q:id()), tostring(by_id))
    local a <close> = assert(sysv.msg.open("private", { unlink = true }))
    local b <close> = assert(sysv.msg.open(sysv.PRIVATE, { create = true, unlink = true }))
    assert.equal(0, a:key())
    assert.not_equal(a:id(), b:id())
  end)

  it("that is something else is refused", function()
    for _, open in ipairs { sysv.msg.open, sysv.shm.open } do
      for _, bad in ipairs { 1 << 32, -(1 << 31) - 1, 1.5, "42", "Private", {} } do
        assert.error_matches(function() open(bad) end, "#1")
      end
      assert.error_matches(function() open() end, '#1 .*integer key or "private" expected, got no value')
      assert.error_matches(function() open(1, { exclusive = true }) end, "option 'exclusive' needs 'create'")
      assert.error_matches(function() open(1, { unlink = true }) end, "option 'unlink' needs 'create'")
      assert.error_matches(function() open("private", { create = false }) end, "a private key always creates")
      assert.error_matches(function() open(1, { create = 1 }) end, "option 'create': boolean expected, got number")
      assert.error_matches(function() open(1, { mode = 512 }) end, "option 'mode': 512 is out of range")
      assert.error_matches(function() open(1, { max = 1 }) end, "unknown option 'max'")
    end
    for _, fromid in ipairs { sysv.msg.fromid, sysv.shm.fromid } do
      for _, bad in ipairs { -1, 1 << 31, 1.5, "1", {} } do
        assert.error_matches(function() fromid(bad) end, "#1")
      end
      assert.same({ "EINVAL" }, { select(3, fromid(0x7fffffff)) })
    end
    assert.equal("sysv.msg.fromid id 2147483647: Invalid argument", (select(2, sysv.msg.fromid(0x7fffffff))))
  end)
end)

describe("sysv.list", function()
  -- The rows of a table of ipcs by identifier, each a list of words; empty columns are missing.
  local function ipcs(option)
    local rows = {}
    for line in support.output("LC_ALL=C ipcs " .. option):gmatch "[^\n]+" do
      local words = {}
      for word in line:gmatch "%S+" do words[#words + 1] = word end
      if line:find "^0x" then rows[tonumber(words[2])] = words end
    end
    return rows
  end

  it("shows queues, segments and semaphore sets as ipcs does", function()
    local q <close> = assert(sysv.msg.open(support.key(), { create = true, mode = 416, unlink = true })) -- 0640
    local s <close> = assert(sysv.shm.open(support.key(), { create = true, size = 5000, unlink = true }))
    local sem = tonumber(support.output "ipcmk -S 3 -p 0600":match "(%d+)%s*$")
    assert(q:send(1, "hello") and q:send(2, ""))
    assert(s:attach())
    local all = assert(sysv.list())
    for kind, option in pairs { msg = "-q", shm = "-m", sem = "-s" } do
      local shown = ipcs(option)
      local mine = { msg = q:id(), shm = s:id(), sem = sem }
      local found
      for _, o in ipairs(all[kind]) do
        local row = shown[o.id]
        if o.id == mine[kind] then
          found = o
          assert.same({ ("0x%08x"):format(o.key & 0xffffffff), o.owner, ("%o"):format(o.mode) },
            { row[1], row[3], row[4] })
          if kind == "msg" then assert.same({ row[5], row[6] }, { tostring(o.cbytes), tostring(o.qnum) }) end
          if kind == "shm" then assert.same({ row[5], row[6] }, { tostring(o.size), tostring(o.nattch) }) end
          if kind == "sem" then assert.same({ row[5] }, { tostring(o.nsems) }) end
        end
      end
      assert.is_table(found, kind)
    end
    os.execute("ipcrm -s " .. sem)
    local mine = support.byid "msg"[q:id()]
    assert.equal(416, mine.mode)
    assert.equal(q:key(), mine.key)
    assert.equal(5, mine.cbytes)
    assert.equal(q:stat().lspid, mine.lspid)
    mine = support.byid "shm"[s:id()]
    assert.equal(false, mine.dest)
    assert(s:remove())
    mine = support.byid "shm"[s:id()]
    assert.equal(true, mine.dest)
    assert.equal(384, mine.mode)
    assert.equal("dest", ipcs "-m"[s:id()][7])
    assert.is_nil(support.byid "sem"[sem])
  end)

  it("shows many, and none", function()
    local out = support.namespace("", [[
      local list = ipc.sysv.list()
      print(#list.msg, #list.shm, #list.sem)
      for i = 1, 300 do assert(ipc.sysv.msg.open("private")) end
      local ids, n = {}, 0
      for _, q in ipairs(ipc.sysv.list "msg") do
        if not ids[q.id] then n = n + 1 end
        ids[q.id] = true
      end
      print(n)]])
    if not out then return pending "no IPC name space of one's own here" end
    assert.equal("0\t0\t0\n300\n", out)
  end)

  it("refuses misuse", function()
    assert.error_matches(function() sysv.list "pipes" end, "#1 .*invalid option 'pipes'")
    assert.error_matches(function() sysv.list {} end, "#1")
  end)
end)
