-- ipc.broker: who gets in and what they may do, asked of Debian's nats-server and of ours.
local access = require "lipc.broker.access"
local dkjson = require "dkjson"
local ipc = require "lipc"
local names = require "support.names"
local nats = require "support.nats"

local SECONDS = 30

-- The same for both servers: nats-server's configuration is JSON too.
local USERS = {
  { user = "all", password = "p" },
  { user = "list", password = "p", permissions = { publish = { "a", "b.*" }, subscribe = "c.>" } },
  { user = "deny", password = "p", permissions = { publish = { deny = { "x.>" } }, subscribe = { deny = { "x.*", "y z" } } } },
  {
    user = "queues", password = "p",
    permissions = { subscribe = { allow = { "q v1", "q v2.>", "w.*", "r", "r v1" }, deny = { "w.no *.prod", "d", "d v1" } } },
  },
  { user = "none", password = "p", permissions = { publish = { deny = ">" }, subscribe = { deny = ">" } } },
  { user = "service", password = "p", permissions = { subscribe = "ask.*", allow_responses = true } },
  {
    user = "stream", password = "p",
    permissions = { publish = { allow = "log", deny = "_INBOX.>" }, subscribe = "ask.*", allow_responses = { max = 3, expires = 60 } },
  },
  {
    user = "hasty", password = "p",
    permissions = { subscribe = "ask.*", allow_responses = { max = -1, expires = 0.001 } },
  },
  { user = "default", password = "p" },
}
local DEFAULT = { publish = { allow = { ">" }, deny = { "secret" } } }
USERS[1].permissions = { publish = ">", subscribe = ">" } -- more than the default

-- What nats-server's configuration calls the same.
local function configuration(users, default)
  local list = {}
  for i, one in ipairs(users) do
    local copy = dkjson.decode(dkjson.encode(one))
    local responses = copy.permissions and copy.permissions.allow_responses
    if type(responses) == "table" then
      responses.expires = ("%dms"):format(responses.expires * 1000 // 1)
    end
    list[i] = copy
  end
  return "authorization: " .. dkjson.encode { users = list, default_permissions = default }
end

local function refused(what, subject, rest)
  return ("-ERR 'Permissions Violation for %s to \"%s\"%s'\r\n"):format(what, subject, rest or "")
end
local function pub(subject) return ("PUB %s 2\r\nhi\r\n"):format(subject) end
local function no_pub(subject) return refused("Publish", subject) end
local function no_sub(subject, rest) return refused("Subscription", subject, rest) end

-- user, what it sends, what it gets; and what it gets of ours where that is stricter
local ANSWERS = {
  { "all", pub "any" .. "SUB any 1\r\n", "" },
  { "list", pub "a" .. pub "b.x", "" },
  { "list", pub "b" .. pub "b.x.y" .. pub "A", no_pub "b" .. no_pub "b.x.y" .. no_pub "A" },
  { "list", "PUB no.1 reply.to 2\r\nhi\r\n", no_pub "no.1" },
  { "list", 'CONNECT {"user":"list","pass":"p","headers":true,"verbose":false}\r\nHPUB no 12 14\r\nNATS/1.0\r\n\r\nhi\r\n', no_pub "no" },
  { "list", "SUB c.x 1\r\nSUB c.* 2\r\nSUB c.> 3\r\nSUB c.x g 4\r\n", "" },
  { "list", "SUB c 1\r\nSUB > 2\r\nSUB * 3\r\n", no_sub "c" .. no_sub ">" .. no_sub "*" },
  { "list", "SUB c g 1\r\n", no_sub("c", ' using queue "g"') },
  { "list", 'SUB "x" 1\r\n' .. pub 'a"b', no_sub '\\"x\\"' .. no_pub 'a\\"b' },
  { "list", pub "a\x0bb\x01\\\xff" .. pub "\xc3\xa9", no_pub "a\\vb\\x01\\\\\\xff" .. no_pub "\xc3\xa9" },
  { "list", 'CONNECT {"user":"list","pass":"p","verbose":true}\r\n' .. pub "a" .. pub "z" .. "SUB z 1\r\n",
    "+OK\r\n+OK\r\n" .. no_pub "z" .. no_sub "z" },
  { "list", "SUB z 1\r\nUNSUB 1\r\nSUB c.z 1\r\n", no_sub "z" },
  { "deny", pub "x" .. pub "x.y" .. pub "x.y.z", no_pub "x.y" .. no_pub "x.y.z" },
  { "deny", "SUB x 1\r\nSUB x.y 2\r\nSUB x.y.z 3\r\nSUB x.* 4\r\nSUB > 5\r\n", no_sub "x.y" .. no_sub "x.*" },
  { "deny", "SUB y 1\r\nSUB y w 2\r\nSUB y z 3\r\n", no_sub("y", ' using queue "z"') },
  { "queues", "SUB q v1 1\r\nSUB q v2.x 2\r\n", "" },
  { "queues", "SUB q 1\r\nSUB q v3 2\r\nSUB q v2 3\r\n",
    no_sub "q" .. no_sub("q", ' using queue "v3"') .. no_sub("q", ' using queue "v2"') },
  { "queues", "SUB r 1\r\nSUB r v1 2\r\nSUB r v2 3\r\n", no_sub("r", ' using queue "v2"') },
  { "queues", "SUB w.no 1\r\nSUB w.no a.prod 2\r\nSUB w.no a.dev 3\r\n", no_sub("w.no", ' using queue "a.prod"') },
  { "none", pub "a" .. "SUB a 1\r\nSUB > 2\r\n", no_pub "a" .. no_sub "a" .. no_sub ">" },
  { "service", pub "a" .. "SUB ask.x 1\r\nSUB b 2\r\n", no_pub "a" .. no_sub "b" },
  { "stream", pub "log" .. pub "a", no_pub "a" },
  { "default", pub "a" .. pub "secret" .. "SUB secret 1\r\n", no_pub "secret" },
  -- a wildcard that is wider than what is allowed
  { "queues", "SUB w.> 1\r\n", "", no_sub "w.>" },
}

-- Both servers: start(users, default) -> { url =, reload(users, default) }, to be closed.
local SERVERS = {
  ["nats-server"] = function(users, default)
    local server = nats.start(configuration(users, default))
    local self = { url = server.url }
    function self.reload(again, other) server:reload(configuration(again, other)) end
    return setmetatable(self, { __close = function() server:stop() end })
  end,
  ["our broker"] = function(users, default)
    local path = names.path ".conf"
    local function write(list, other)
      local file = assert(io.open(path, "w"))
      local function put(value)
        if type(value) ~= "table" then return ("%q"):format(value) end
        local parts = {}
        for key, one in pairs(value) do parts[#parts + 1] = ("[%q] = %s"):format(key, put(one)) end
        return "{ " .. table.concat(parts, ", ") .. " }"
      end
      file:write("users = ", put(list), "\ndefault_permissions = ", other and put(other) or "nil", "\n")
      file:close()
    end
    write(users, default)
    local log = names.path ".log"
    local handle = assert(ipc.broker.start { path = false, tcp = "127.0.0.1:0", config = path, log = log })
    local self = { url = handle:url(), count = 0 }
    function self.reload(again, other)
      write(again, other)
      self.count = self.count + 1
      assert(handle:reload())
      local patience = ipc.now() + SECONDS
      repeat
        assert(ipc.now() < patience, "not reloaded")
        local file = assert(io.open(log))
        local _, reloads = file:read "a":gsub("%[INF%] Reloaded", "")
        file:close()
      until reloads == self.count
    end
    return setmetatable(self, { __close = function()
      handle:close()
      os.remove(path)
      os.remove(log)
    end })
  end,
}

describe("access", function()
  local open = {}
  after_each(function()
    for _, socket in ipairs(open) do socket:close() end
    open = {}
  end)

  -- Instructions of Lua, not seconds.
  local function cost(authenticate, user, pass)
    local count = 0
    debug.sethook(function() count = count + 1 end, "", 1)
    local found = authenticate({ peer = {} }, { user = user, pass = pass })
    debug.sethook()
    return count, found
  end

  it("compares what is given with what is right in a time that says nothing of it", function()
    local authenticate = access.new { users = {
      { user = "short", password = "ab" }, { user = "long", password = ("ab"):rep(200) },
    } }
    for _, given in ipairs { "", "a", "b", "ax", "abab", ("ab"):rep(199), ("ab"):rep(201) } do
      local short, no = cost(authenticate, "short", given)
      assert.is_false(no or false)
      local long = cost(authenticate, "long", given)
      assert.equal(short, long)
      assert.is_true(math.abs(cost(authenticate, "nobody", given) - short) < 10)
    end
    assert.is_true(select(2, cost(authenticate, "short", "ab")))
    assert.is_true(select(2, cost(authenticate, "long", ("ab"):rep(200))))
  end)

  local function login(url, user, password)
    local socket = nats.open(url, dkjson.encode {
      user = user, pass = password or "p", verbose = false, pedantic = false, headers = true, no_responders = true,
    })
    open[#open + 1] = socket
    return socket
  end

  -- The answers up to that to a PING.
  local function answers(socket, input)
    assert(socket:write(input, "PING\r\n"))
    local parts = {}
    while true do
      local line = assert(nats.line(socket))
      if line == "PONG\r\n" then return table.concat(parts) end
      parts[#parts + 1] = line
    end
  end

  for name, start in pairs(SERVERS) do
    describe("by " .. name, function()
      it("is what the users' permissions say, with these words", function()
        local server <close> = start(USERS, DEFAULT)
        for _, row in ipairs(ANSWERS) do
          local user, input, answer, stricter = table.unpack(row)
          if stricter and name == "our broker" then answer = stricter end
          assert.equal(answer, answers(login(server.url, user), input), user .. " sends " .. input)
        end
      end)

      it("is refused to who is not known", function()
        local server <close> = start(USERS, DEFAULT)
        for _, text in ipairs {
          '{"user":"all","pass":"x"}', '{"user":"all"}', '{"user":"nobody","pass":"p"}', '{"auth_token":"p"}', "{}",
          '{"user":"","pass":""}', '{"user":"all","pass":"pp"}', '{"pass":"p"}',
        } do
          local socket <close> = nats.connect(server.url)
          assert(socket:read "L")
          assert(socket:write("CONNECT ", text, "\r\n"))
          assert.equal("-ERR 'Authorization Violation'\r\n", nats.rest(socket), text)
        end
      end)

      it("leaves out of a wildcard what is denied", function()
        local server <close> = start(USERS, DEFAULT)
        local reader, writer = login(server.url, "deny"), login(server.url, "all")
        assert.equal("", answers(reader, "SUB > 1\r\nSUB *.> g 2\r\n"))
        assert.equal("", answers(writer, pub "x.1" .. pub "x.1.2" .. pub "y"))
        local got = {}
        for i = 1, 3 do
          got[i] = assert(nats.line(reader))
          assert(nats.line(reader))
        end
        table.sort(got)
        assert.same({ "MSG x.1.2 1 2\r\n", "MSG x.1.2 2 2\r\n", "MSG y 1 2\r\n" }, got)
        nats.sync(reader)
      end)

      -- Who may only answer is asked, and answers `times`.
      local function ask(server, user, times, before)
        local client, service = login(server.url, "all"), login(server.url, user)
        assert.equal("", answers(service, "SUB ask.* 1\r\n"))
        assert.equal("", answers(client, "SUB _INBOX.me 9\r\nPUB ask.x _INBOX.me 2\r\nhi\r\n"))
        assert.equal("MSG ask.x 1 _INBOX.me 2\r\n", nats.line(service))
        assert.equal("hi\r\n", nats.line(service))
        if before then before() end
        local said = answers(service, pub "_INBOX.me":rep(times))
        return said, select(2, answers(client, ""):gsub("MSG _INBOX.me 9 2\r\nhi\r\n", "")), service
      end

      it("to answer only is once, by default", function()
        local server <close> = start(USERS, DEFAULT)
        local said, got, service = ask(server, "service", 2)
        assert.equal(1, got)
        assert.equal(no_pub "_INBOX.me", said)
        assert.equal(no_pub "_INBOX.other", answers(service, pub "_INBOX.other"))
      end)

      it("to answer is so often, although it is denied", function()
        local server <close> = start(USERS, DEFAULT)
        local said, got = ask(server, "stream", 4)
        assert.equal(3, got)
        assert.equal(no_pub "_INBOX.me", said)
      end)

      it("to answer ends in time", function()
        local server <close> = start(USERS, DEFAULT)
        local said, got = ask(server, "hasty", 1, function() ipc.sleep(0.05) end)
        assert.equal(0, got)
        assert.equal(no_pub "_INBOX.me", said)
      end)

      it("refused is told to whom it was about", function()
        local server <close> = start(USERS, DEFAULT)
        local function client(user)
          return (assert(ipc.connect((server.url:gsub("//.*@", "//"):gsub("//", "//" .. user .. ":p@")))))
        end
        local function try(c)
          local none, message, code = c:request("no.such", "", SECONDS)
          assert.same({ nil, 'client:request no.such: Permissions Violation for Publish to "no.such"', "EPERM" }, { none, message, code })
          assert.equal("EPERM", (select(3, assert(c:requestmany("no.such", "", SECONDS)):next())))
          local said = select(2, pcall(function() for _ in assert(c:requestmany("no.such", "", SECONDS)) do error "an answer" end end))
          assert.matches('broker_access_spec.lua:%d+: client:requestmany no.such: Permissions Violation for Publish to "no.such"$', said)
        end
        local list <close> = client "list"
        local loop <close> = assert(ipc.loop.new())
        -- a user who may hear no answers learns that first, whatever becomes of the question
        local none, message, code = list:request("a", "", SECONDS)
        assert.same({ nil, "EPERM" }, { none, code })
        assert.matches('^client:request a: Permissions Violation for Subscription to "_INBOX.*%*", so that no answer can come$', message)
        assert.is_true(list:flush(SECONDS))
        local hears = { user = "hears", password = "p", permissions = { publish = { "a" }, subscribe = "_INBOX.>" } }
        server.reload({ hears }, DEFAULT)
        local hearing <close> = client "hears"
        try(hearing)
        assert.is_true(hearing:flush(SECONDS)) -- the calls have said it
        loop:wrap(try, hearing)
        loop:wrap(try, hearing)
        loop:run()
        assert.is_true(hearing:flush(SECONDS))
        local sub, heard = hearing:subscribe "other", {}
        local group = hearing:subscribe("other", { queue = "g" })
        for _, one in ipairs { sub, group } do
          local _, text, why = one:next(SECONDS)
          heard[#heard + 1] = why .. " " .. text
        end
        assert.same({
          'EPERM subscription:next other: Permissions Violation for Subscription to "other"',
          'EPERM subscription:next other: Permissions Violation for Subscription to "other" using queue "g"',
        }, heard)
        assert.equal("ETIMEDOUT", (select(3, sub:next(0)))) -- once
        assert.equal("EPERM", (select(3, hearing:flush(SECONDS))))
      end)

      it("changes with a reload, for those who are there too", function()
        local before = {
          { user = "goes", password = "p" }, { user = "changes", password = "p" }, { user = "stays", password = "p" },
          { user = "less", password = "p", permissions = { publish = ">", subscribe = ">" } },
        }
        local after = {
          { user = "changes", password = "another" }, { user = "stays", password = "p" }, { user = "comes", password = "p" },
          { user = "less", password = "p", permissions = { publish = "a", subscribe = "a" } },
        }
        local server <close> = start(before)
        local goes, changes = login(server.url, "goes"), login(server.url, "changes")
        local stays, less = login(server.url, "stays"), login(server.url, "less")
        assert.equal("", answers(stays, "SUB a 1\r\n"))
        assert.equal("MSG b 2 2\r\nhi\r\n", answers(less, "SUB a 1\r\nSUB b 2\r\nSUB a g 3\r\n" .. pub "b"))
        server.reload(after)
        -- nats-server closes without a word when the whole user has gone
        assert.equal(name == "nats-server" and "" or "-ERR 'Authorization Violation'\r\n", nats.rest(goes))
        assert.equal("-ERR 'Authorization Violation'\r\n", nats.rest(changes))
        assert.equal(no_sub("b", ' (sid "2")'), nats.line(less))
        assert.equal(no_pub "b", answers(less, pub "b"))
        assert.equal("", answers(login(server.url, "comes"), pub "b"))
        assert.equal("", answers(login(server.url, "changes", "another"), pub "b"))
        nats.sync(less)
        nats.sync(stays)
        server.reload(before)
        assert.equal("", answers(less, pub "c"))
        assert.equal("", answers(stays, ""))
      end)
    end)
  end
end)
