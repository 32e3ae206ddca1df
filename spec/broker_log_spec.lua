-- ipc.broker: what it writes down, and where.
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"
local peer = require "support.peer"

local SECONDS = 30

describe("the log of a broker", function()
  local handle
  local open, paths = {}, {}

  after_each(function()
    for _, socket in ipairs(open) do socket:close() end
    if handle then handle:close() end
    for _, path in ipairs(paths) do os.execute(("rm -rf '%s'"):format(path)) end
    open, paths, handle = {}, {}, nil
  end)

  local function path(suffix)
    local one = names.path(suffix)
    paths[#paths + 1] = one
    return one
  end

  local function read(where)
    local file = assert(io.open(where))
    local text = file:read "a"
    file:close()
    return text
  end

  local function start(options)
    handle = assert(ipc.broker.start(options))
    return handle
  end

  local function connect(url, ...)
    local socket = nats.open(url, ...)
    open[#open + 1] = socket
    return socket
  end

  -- Waits for what is not said otherwise.
  local function await(what)
    local patience = ipc.now() + SECONDS
    while not what() do
      assert(ipc.now() < patience, "it does not come")
      ipc.sleep(0.001)
    end
  end

  it("is nothing unless asked for", function()
    local script = [[
      local loop = ipc.loop.new()
      local broker = assert(ipc.broker.new { path = arg[1], log = load("return " .. arg[2])() }:wrap(loop))
      loop:wrap(function() local c = assert(ipc.connect(broker:url())) c:close() broker:stop() end)
      loop:run()
    ]]
    assert.equal("", (peer.run(script, path ".sock", "nil")))
    assert.matches("^%[%d+%] %d+/%d%d/%d%d %d%d:%d%d:%d%d %[INF%] Starting lipc broker", (peer.run(script, path ".sock", "true")))
  end)

  it("is a line for each event, in a file or by a function", function()
    local log, socket = path ".log", path ".sock"
    start { path = socket, log = log, debug = true, trace = true, token = "s3cret", tcp = "127.0.0.1:0" }
    local c = connect("unix://" .. socket, '{"verbose":false,"name":"x"}')
    assert(c:write 'CONNECT {"verbose":false,"auth_token":"s3cret","name":"y"}\r\n')
    nats.sync(c)
    local bad = nats.connect(handle:url "tcp")
    assert(bad:write 'CONNECT {"auth_token":"s3cret?"}\r\n')
    nats.rest(bad)
    bad:close()
    c:close()
    await(function() return read(log):find "closed: Client Closed" end)
    handle:stop()
    local text = read(log)
    assert.is_nil((text:find "s3cret"))
    for _, pattern in ipairs {
      "<<%- %[CONNECT {%.%.%.}\\r\\nPING\\r\\n%]\n", "<<%- %[34 bytes before it is let in%]\n",
      "%[INF%] Listening for client connections on unix://" .. socket:gsub("%p", "%%%0") .. "\n",
      "%[INF%] Listening for client connections on 127%.0%.0%.1:%d+\n",
      "%[INF%] Server is ready\n", "%[INF%] Shutting down\n",
      "%[DBG%] user %d+:process %d+ %- cid:1 %- Client connection created\n",
      "%[TRC%] user %d+:process %d+ %- cid:1 %- <<%- %[CONNECT {.*\\r\\nPING\\r\\n%]\n",
      "%[TRC%] user %d+:process %d+ %- cid:1 %- %->> %[PONG\\r\\n%]\n",
      "%[WRN%] 127%.0%.0%.1:%d+ %- cid:2 %- Authorization Violation\n",
    } do
      assert.matches(pattern, text)
    end
    local levels = {}
    local broker = assert(ipc.broker.new { path = socket, log = function(line, level) levels[#levels + 1] = level .. #line end }:listen())
    broker:stop()
    assert.equal(4, #levels)
    assert.matches("^INF", levels[1])
  end)

  describe("that cannot be opened", function()
    local function exists(where) return os.rename(where, where) ~= nil end

    it("keeps the broker from starting, as with nats-server", function()
      local socket, directory = path ".sock", path()
      assert(os.execute("mkdir " .. directory))
      for reason, case in pairs {
        ["No such file or directory"] = { "/nonexistent/log", "ENOENT" }, ["Is a directory"] = { directory, "EISDIR" },
      } do
        local where, code = table.unpack(case)
        local loop <close> = assert(ipc.loop.new())
        for _, fn in ipairs {
          ipc.broker.start,
          function(options) return ipc.broker.new(options):listen() end,
          function(options) return ipc.broker.new(options):wrap(loop) end,
          ipc.broker.run,
        } do
          assert.same({ nil, ("broker.listen %s: %s"):format(where, reason), code }, { fn { path = socket, log = where } })
          assert.is_false(exists(socket))
        end
        assert.is_true(loop:run())
        local theirs = assert(ipc.process.run { "nats-server", "-a", "127.0.0.1", "-p", "-1", "-l", where, timeout = SECONDS })
        assert.equal(1, theirs.status.code)
      end
    end)

    it("keeps a reload from changing anything", function()
      local log = path ".log"
      local broker <close> = assert(ipc.broker.new { path = path ".sock", log = log, max_connections = 7 }:listen())
      local none, message, code = broker:reload { log = "/nonexistent/log", max_connections = 9 }
      assert.same({ nil, "broker.reload /nonexistent/log: No such file or directory", "ENOENT" }, { none, message, code })
      assert.equal(7, broker.options.max_connections)
      assert.matches("%[ERR%] Failed to reload: /nonexistent/log: No such file or directory\n$", read(log))
      local other = path ".log"
      assert.equal(broker, broker:reload { log = other, max_connections = 9 })
      assert.matches("%[INF%] Reloaded\n$", read(other))
      assert(os.remove(other))
      assert(os.execute("mkdir " .. other)) -- the same file, which could be opened once
      assert.equal("EISDIR", (select(3, broker:reload { max_connections = 8 })))
      assert.equal(9, broker.options.max_connections)
    end)

    it("is noted in the old one at SIGHUP", function()
      local config, log, socket = path ".conf", path ".log", path ".sock"
      local function write(where)
        local file = assert(io.open(config, "w"))
        file:write(("log = %q"):format(where))
        file:close()
      end
      write(log)
      start { config = config, path = socket }
      write "/nonexistent/log"
      assert(handle:reload())
      await(function() return read(log):find("%[ERR%] Failed to reload: /nonexistent/log: No such file or directory\n$") end)
      nats.sync(connect(handle:url()))
      write(log)
      assert(handle:reload())
      await(function() return read(log):find "%[INF%] Reloaded\n$" end)
    end)
  end)
end)
