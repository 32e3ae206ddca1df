-- What a single client's transcript cannot show, asked of Debian's nats-server and of our broker: INFO, errors of a whole
-- connection, and what several clients see of each other.
local dkjson = require "dkjson"
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"

-- Both servers by the same options: start(options) -> { url = }, to be closed.
local SERVERS = {
  ["nats-server"] = function(options)
    local parts = {}
    for key, value in pairs(options) do
      if key == "ping_interval" or key == "write_deadline" then value = ("%dms"):format(value * 1000 // 1) end
      if key == "auth_timeout" then
        parts[#parts + 1] = ("authorization { token: t, timeout: %g }"):format(value)
      else
        parts[#parts + 1] = key .. ": " .. dkjson.encode(value)
      end
    end
    local server = nats.start(table.concat(parts, "\n"))
    return setmetatable({ url = server.url }, { __close = function() server:stop() end })
  end,
  ["our broker"] = function(options)
    local copy = { path = names.path ".sock", tcp = "127.0.0.1:0", insecure = not options.auth_timeout }
    for key, value in pairs(options) do copy[key] = value end
    if options.auth_timeout then copy.token = "t" end
    copy.name, copy.server_name = options.server_name, nil
    local handle = assert(ipc.broker.start(copy))
    return setmetatable({ url = handle:url "tcp" }, { __close = function() handle:close() end })
  end,
}

-- Members of nats-server's INFO that ours has not: facts about a program in Go.
local NOT_OURS = { go = true, git_commit = true }

for name, start in pairs(SERVERS) do
  describe("reference: " .. name, function()
    local open = {}
    after_each(function()
      for _, socket in ipairs(open) do socket:close() end
      open = {}
    end)

    local function connect(url, options)
      local socket = nats.open(url, options)
      open[#open + 1] = socket
      return socket
    end

    local function info(url)
      local socket <close> = nats.connect(url)
      return dkjson.decode(assert((assert(socket:read "L"):match "^INFO (.-) *\r\n$")))
    end

    -- What comes up to the answer to a PING.
    local function answers(socket, input)
      assert(socket:write(input or "", "PING\r\n"))
      local parts = {}
      while true do
        local line = assert(nats.line(socket))
        if line == "PONG\r\n" then return table.concat(parts) end
        parts[#parts + 1] = line
      end
    end

    it("says in INFO", function()
      local server <close> = start { max_payload = 4096, server_name = "mine" }
      local said = info(server.url)
      for key in pairs(NOT_OURS) do said[key] = nil end
      assert.equal(math.tointeger(server.url:match ":(%d+)$"), said.port)
      assert.is_true(#said.server_id >= 24)
      assert.matches("^2%.9%.", said.version)
      assert.equal("integer", math.type(said.client_id))
      said.port, said.server_id, said.version, said.client_id = nil, nil, nil, nil
      assert.same({
        server_name = "mine", proto = 1, host = "127.0.0.1", headers = true, max_payload = 4096, client_ip = "127.0.0.1",
      }, said)
    end)

    it("says in INFO that credentials are needed", function()
      local server <close> = start { auth_timeout = 60 }
      assert.is_true(info(server.url).auth_required)
    end)

    it("ends who does not say who it is", function()
      local server <close> = start { auth_timeout = 0.05 }
      local socket <close> = nats.connect(server.url)
      assert.matches("^INFO [^\n]*\n%-ERR 'Authentication Timeout'\r\n$", nats.rest(socket))
    end)

    it("ends who does not answer its PINGs", function()
      local server <close> = start { ping_interval = 0.05, ping_max = 1 }
      local socket <close> = nats.connect(server.url)
      assert.matches("^INFO ", assert(socket:read "L"))
      assert(socket:write 'CONNECT {"verbose":false,"pedantic":false}\r\n') -- and no PING: its PONG would come before or after
      assert.matches("^PING\r\n%-ERR 'Stale Connection'\r\n$", nats.rest(socket))
    end)

    it("takes so many connections", function()
      local server <close> = start { max_connections = 1 }
      local first <close> = connect(server.url)
      local second <close> = nats.connect(server.url)
      assert.matches("%-ERR 'maximum connections exceeded'\r\n$", nats.rest(second))
      nats.sync(first)
    end)

    it("ends who breaks the protocol, and nobody else", function()
      local server <close> = start { max_payload = 64, max_control_line = 128 }
      local witness = connect(server.url)
      assert.equal("", answers(witness, "SUB > 1\r\n"))
      for input, text in pairs {
        ["FOO\r\n"] = "Unknown Protocol Operation", ["PUB a 65\r\n"] = "Maximum Payload Violation",
        ["PUB a 999999999\r\n"] = "Maximum Payload Violation",
        ["SUB " .. ("x"):rep(200) .. " 1\r\n"] = "maximum control line exceeded",
        ["PUB " .. ("x"):rep(10 << 20) .. " 0\r\n\r\n"] = "maximum control line exceeded",
      } do
        local socket <close> = connect(server.url)
        socket:write(input)
        local said = nats.rest(socket)
        -- a server that closes with bytes unread may lose its last word
        assert.is_true(said == "-ERR '" .. text .. "'\r\n" or #input > 1 << 20 and said == "", said)
      end
      assert.equal("", answers(witness))
    end)

    it("gives a message to all, to one of each group, and with headers to who understands them", function()
      local server <close> = start {}
      local plain = connect(server.url)
      local headers = connect(server.url, '{"verbose":false,"headers":true}')
      local writer = connect(server.url, '{"verbose":false,"headers":true,"echo":false}')
      assert.equal("", answers(plain, "SUB a.* 1\r\nSUB a.b g 2\r\n"))
      assert.equal("", answers(headers, "SUB a.> 1\r\n"))
      assert.equal("", answers(writer, "SUB > 1\r\nSUB a.b h 2\r\nHPUB a.b r 15 17\r\nNATS/1.0\r\nA\r\n\r\nhi\r\n"))
      local got = {}
      for i = 1, 2 do got[i] = nats.line(plain) .. nats.line(plain) end
      table.sort(got)
      assert.same({ "MSG a.b 1 r 2\r\nhi\r\n", "MSG a.b 2 r 2\r\nhi\r\n" }, got)
      assert.equal("HMSG a.b 1 r 15 17\r\nNATS/1.0\r\nA\r\n\r\nhi\r\n", answers(headers))
      assert.equal("", answers(plain))
      assert.equal("", answers(writer))
    end)

    it("shares among a group, and ends a subscription after its maximum across publishers", function()
      local server <close> = start {}
      local a, b = connect(server.url), connect(server.url)
      local writers = { connect(server.url), connect(server.url) }
      assert.equal("", answers(a, "SUB w g 1\r\nSUB m 2\r\nUNSUB 2 3\r\n"))
      assert.equal("", answers(b, "SUB w g 1\r\n"))
      for i = 1, 100 do assert.equal("", answers(writers[i % 2 + 1], "PUB w 2\r\nhi\r\nPUB m 2\r\nho\r\n")) end
      local said_a, said_b = answers(a), answers(b)
      local at_a, at_b = select(2, said_a:gsub("MSG w 1 2\r\nhi\r\n", "")), select(2, said_b:gsub("MSG w 1 2\r\nhi\r\n", ""))
      assert.equal(100, at_a + at_b)
      assert.is_true(at_a > 10 and at_b > 10)
      assert.equal(3, select(2, said_a:gsub("MSG m 2 2\r\nho\r\n", "")))
    end)
  end)
end
