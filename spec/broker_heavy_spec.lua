-- ipc.broker under much: a gigabyte past a client that does not read, thousands of clients and subscriptions.
-- LIPC_HEAVY=1 runs the full sizes (a minute); without it they are a tenth.  What was measured goes to stderr then.
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"

local SECONDS = 120
local FULL = os.getenv "LIPC_HEAVY" ~= nil
local PART = FULL and 1 or 10
local MIB = 1 << 20

-- Resident memory of a process in bytes: now, and the most it ever was.
local function resident(pid)
  local file = assert(io.open("/proc/" .. pid .. "/status"))
  local text = file:read "a"
  file:close()
  return 1024 * text:match "VmRSS:%s*(%d+)", 1024 * text:match "VmHWM:%s*(%d+)"
end

local function report(...)
  if FULL then io.stderr:write("\n    ", string.format(...)) end
end

-- A broker in an interpreter of its own (one that is forked has the memory of this process, too), whose
-- standard input keeps it alive: the process, the broker's url and pid.  Who reads is not to be cut for a busy machine's sake.
local function of_its_own(max_pending)
  local script = [[
    local broker <close> = assert(require "lipc".broker.start { path = %q, max_pending = %d, write_deadline = 5 })
    print(broker:url(), broker:pid())
    io.stdout:flush()
    io.read "a"
  ]]
  local process = assert(ipc.process.spawn { os.getenv "LUA" or "lua5.4", "-e",
    script:format(names.path ".sock", max_pending), stdin = "pipe", stdout = "pipe", kill_on_close = true })
  process.stdout:settimeout(SECONDS)
  return process, assert(process.stdout:read "l"):match "^(%S+)%s+(%d+)$"
end

describe("broker under much", function()
  local handle
  after_each(function()
    if handle then handle:close() end
    handle = nil
  end)

  -- Sends messages of 1,000 bytes, numbered, and reads them back elsewhere; a third client reads nothing.
  local function past_lazy(max_pending)
    local process <close>, url, pid = of_its_own(max_pending)
    local lazy, reader = nats.open(url), nats.open(url)
    for _, one in ipairs { lazy, reader } do
      assert(one:write "SUB big 1\r\n")
      nats.sync(one)
    end
    local size, total = 1000, 1000 * MIB // PART
    local count = total // size
    local publisher <close> = assert(ipc.process.fork(function()
      local socket, batch = nats.open(url), {}
      local filler = ("x"):rep(size - 12)
      for i = 1, count do
        batch[#batch + 1] = ("PUB big %d\r\n%012d%s\r\n"):format(size, i, filler)
        if #batch == 64 or i == count then
          assert(socket:write(table.concat(batch)))
          batch = {}
        end
      end
      nats.sync(socket)
    end, { kill_on_close = true }))
    local head = ("MSG big 1 %d\r\n"):format(size)
    local unit = #head + size + 2
    for i = 1, count do
      local message = assert(reader:read(unit))
      if message:sub(1, #head) ~= head or tonumber(message:sub(#head + 1, #head + 12)) ~= i then
        error(("message %d is %s"):format(i, message:sub(1, #head + 12)))
      end
    end
    assert.is_true(assert(publisher:wait(SECONDS)).ok)
    local _, most = resident(pid)
    report("%d MB past a client that does not read, max_pending %d MiB: resident at most %.1f MB", total // 1000000,
      max_pending // MIB, most / 1e6)
    assert.is_true(most < max_pending + 20 * MIB, most)
    nats.rest(lazy) -- it was cut
    lazy:close()
    reader:close()
    process.stdin:close()
    assert.is_true(assert(process:wait(SECONDS)).ok)
    process.stdout:close()
  end

  -- The broker's memory is not that of a process under a sanitizer.
  if os.getenv "LIPC_SPEC_MODE" ~= "asan" then
    it("keeps its memory and the others' order past a client that does not read", function()
      past_lazy(16 * MIB)
    end)
  end

  it("serves 2,000 clients", function()
    local count = 2000 // PART
    handle = assert(ipc.broker.start { path = names.path ".sock" })
    local before, clients = resident(handle:pid()), {}
    for i = 1, count do
      clients[i] = nats.open(handle:url())
    end
    local after = resident(handle:pid())
    report("%d idle clients: %.1f kB each", count, (after - before) / count / 1000)
    for i = 1, count do assert(clients[i]:write("SUB all ", i, "\r\nSUB one.", i, " x\r\n")) end
    for i = 1, count do nats.sync(clients[i]) end
    assert(clients[1]:write "PUB all 5\r\nhello\r\n")
    for i = 1, count do
      assert.equal(("MSG all %d 5\r\n"):format(i), clients[i]:read "L")
      assert.equal("hello\r\n", clients[i]:read "L")
    end
    for i = 1, count do assert(clients[i]:write("PUB one.", count + 1 - i, " 2\r\nhi\r\n")) end
    for i = 1, count do
      assert.equal(("MSG one.%d x 2\r\n"):format(i), clients[i]:read "L")
      assert.equal("hi\r\n", clients[i]:read "L")
    end
    for i = 1, count do clients[i]:close() end
  end)

  it("serves 100,000 subscriptions", function()
    local clients, each = 10, 10000 // PART
    handle = assert(ipc.broker.start { path = names.path ".sock" })
    local sockets = {}
    for c = 1, clients do sockets[c] = nats.open(handle:url()) end
    local before = resident(handle:pid())
    for c = 1, clients do
      local lines = {}
      for i = 1, each do lines[i] = ("SUB sensors.%d.%d.temp %d\r\n"):format(c, i, i) end
      assert(sockets[c]:write(table.concat(lines)))
      nats.sync(sockets[c])
    end
    local after = resident(handle:pid())
    report("%d subscriptions of three levels: %.2f kB each\n", clients * each, (after - before) / (clients * each) / 1000)
    for c = 1, clients do
      local i = each * c // clients
      assert(sockets[1]:write(("PUB sensors.%d.%d.temp 2\r\n21\r\n"):format(c, i)))
      assert.equal(("MSG sensors.%d.%d.temp %d 2\r\n"):format(c, i, i), sockets[c]:read "L")
      assert.equal("21\r\n", sockets[c]:read "L")
    end
    -- and lets go of them
    for c = 2, clients do sockets[c]:close() end
    assert(sockets[1]:write "SUB sensors.> all\r\nPUB sensors.2.1.temp 2\r\n20\r\n")
    assert.equal("MSG sensors.2.1.temp all 2\r\n", sockets[1]:read "L")
    sockets[1]:close()
  end)
end)
