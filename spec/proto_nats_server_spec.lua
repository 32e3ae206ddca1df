local dkjson = require "dkjson"
local nats_server = require "lipc.proto.nats_server"

describe("proto.nats_server", function ()
  local function info_of(session)
    local line = session:take()
    return dkjson.decode(assert(line:match "^INFO (.*)\r\n$"))
  end

  it("greets with INFO, a number of its own for each client", function ()
    local server = nats_server.new { max_payload = 1000, info = { server_name = "mine", port = 4222 } }
    local first, second = info_of(server:session { client_ip = "127.0.0.1" }), info_of(server:session())
    assert.equal("mine", first.server_name)
    assert.equal(4222, first.port)
    assert.equal(1000, first.max_payload)
    assert.equal("127.0.0.1", first.client_ip)
    assert.equal(1, first.proto)
    assert.is_true(first.headers)
    assert.is_nil(first.auth_required)
    assert.are_not.equal(first.client_id, second.client_id)
    assert.is_true(info_of(nats_server.new({ authenticate = function () end }):session()).auth_required)
  end)

  it("names each session with something to write once", function ()
    local server = nats_server.new()
    local one, two = server:session(), server:session()
    local dirty, count = server:take_dirty()
    assert.equal(2, count)
    assert.same({ one, two }, dirty)
    one:take()
    two:take()
    one:feed 'CONNECT {"verbose":false}\r\nSUB a 1\r\nPING\r\nPING\r\n'
    dirty, count = server:take_dirty()
    assert.equal(1, count)
    assert.equal(one, dirty[1])
    assert.equal("PONG\r\nPONG\r\n", one:take())
    assert.equal(0, select(2, server:take_dirty()))
    two:feed("x" .. ("y"):rep(10))
    dirty, count = server:take_dirty()
    assert.equal(1, count)
    assert.equal(two, dirty[1])
    assert.equal("Unknown Protocol Operation", two.closing)
  end)

  it("asks who a client is, with all it said and where it comes from", function ()
    local asked
    local server = nats_server.new {
      authenticate = function (session, options)
        asked = { session.peer.uid, options.user, options.name }
        return false, "Go Away"
      end,
    }
    local session = server:session(nil, { uid = 7 })
    session:take()
    session:feed 'CONNECT {"user":"me","name":"n"}\r\n'
    assert.same({ 7, "me", "n" }, asked)
    assert.equal("-ERR 'Go Away'\r\n", session:take())
    assert.equal("Go Away", session.closing)
  end)

  it("lets nothing through before CONNECT when it asks", function ()
    for _, input in ipairs { "SUB a 1\r\n", "PUB a 0\r\n\r\n", "HPUB a 0 0\r\n\r\n", "PING\r\n", "PONG\r\n", "UNSUB 1\r\n", "x\r\n" } do
      local server = nats_server.new { authenticate = function () return true end }
      local session = server:session()
      session:take()
      session:feed(input .. 'CONNECT {"verbose":false}\r\nPING\r\n')
      assert.equal("-ERR 'Authorization Violation'\r\n", session:take(), input)
      assert.equal(0, server.subscriptions.count)
      assert.equal(0, server.messages_in)
    end
  end)

  it("takes permissions back when a second CONNECT brings others", function ()
    local server = nats_server.new {
      authenticate = function (_, options)
        return options.user == "root" or { publish = function () return false end }
      end,
    }
    local session = server:session()
    session:take()
    session:feed 'CONNECT {"verbose":false,"pedantic":false,"user":"x"}\r\nSUB a 1\r\nPUB a 0\r\n\r\n'
    assert.equal("-ERR 'Permissions Violation for Publish to \"a\"'\r\n", session:take())
    session:feed 'CONNECT {"user":"root"}\r\nPUB a 0\r\n\r\n'
    assert.equal("MSG a 1 0\r\n\r\n", session:take())
    session:feed 'CONNECT {"user":"x"}\r\nPUB a 0\r\n\r\n'
    assert.matches("Permissions Violation", session:take())
  end)
end)
