-- What both roles share: pieces, limits, cost.  The operations are in the specs of the roles.
local support = require "spec.proto_support"

local ROLES = {
  server = { module = "lipc.proto.nats_server_parser", message = "PUB subject.x %d\r\n", method = "pub" },
  client = { module = "lipc.proto.nats_client_parser", message = "MSG subject.x 1 %d\r\n", method = "msg" },
}

for role, is in pairs(ROLES) do
  describe("proto.nats_parser, " .. role, function ()
    local parsers = require(is.module)

    local function open(limits)
      local handler, events = support.recorder()
      return parsers.new(handler, limits), events
    end

    local function message(payload)
      return is.message:format(#payload) .. payload .. "\r\n"
    end

    it("stops for good at a failure", function ()
      local parser, events = open()
      assert.is_false(parser:feed("PING\r\nFOO\r\nPING\r\n"))
      assert.is_false(parser:feed("PING\r\n"))
      assert.same({ "ping()", 'fail("Unknown Protocol Operation")' }, events)
    end)

    it("stops when a handler says so", function ()
      local parser, events = open()
      parser.handler.ping = function () parser:stop() end
      assert.is_false(parser:feed("PONG\r\nPING\r\nPONG\r\n" .. message "x"))
      assert.same({ "pong()" }, events)
    end)

    it("takes nothing for nothing", function ()
      local parser, events = open()
      assert.is_true(parser:feed "")
      parser:feed "PI"
      parser:feed ""
      parser:feed "NG\r\n"
      assert.same({ "ping()" }, events)
    end)

    it("refuses a payload that does not end where it should", function ()
      for _, text in ipairs { "abcxx", "abc\r\r", "abc\n\n", "abcd\r\n" } do
        for _, step in ipairs { 100, 1 } do
          local parser, events = open()
          support.feed_cut(parser, is.message:format(3) .. text, step)
          assert.same({ 'fail("Unknown Protocol Operation")' }, events, text)
        end
      end
    end)

    it("bounds payloads and control lines", function ()
      local cases = {
        { message(("x"):rep(10)), true },
        { message(("x"):rep(11)), 'fail("Maximum Payload Violation")' },
        { "PING" .. (" "):rep(100) .. "\r\n", 'fail("maximum control line exceeded")' },
        { "PING" .. (" "):rep(500), 'fail("maximum control line exceeded")' },
        { is.message:gsub("%%d", ("9"):rep(60)), 'fail("maximum control line exceeded")' },
        { is.message:gsub("%%d", ("9"):rep(12)), 'fail("Parser Error")' },
        { ("x"):rep(10), 'fail("Unknown Protocol Operation")' },
      }
      for i, case in ipairs(cases) do
        for _, step in ipairs { 1000, 1, 7 } do
          local parser, events = open { max_payload = 10, max_control_line = 60 }
          support.feed_cut(parser, case[1], step)
          assert.equal(1, #events, i)
          if case[2] == true then
            assert.matches("^" .. is.method, events[1])
          else
            assert.equal(case[2], events[1])
          end
        end
      end
    end)

    it("holds no more than its limits", function ()
      local parser = open { max_payload = 1000, max_control_line = 100 }
      for _, input in ipairs { "PING" .. (" "):rep(1000), is.message:format(1000) .. ("x"):rep(1001) } do
        for i = 1, #input do
          parser:feed(input:sub(i, i))
          assert.is_true(parser.held <= 1100)
          assert.is_true(#parser.pieces <= 512)
        end
        parser = open { max_payload = 1000, max_control_line = 100 }
      end
    end)

    it("joins a payload from any pieces", function ()
      local payload = {}
      for i = 1, 5000 do
        payload[i] = string.char(i % 256)
      end
      payload = table.concat(payload)
      for _, step in ipairs { 1, 2, 3, 511, 512, 513, 4999, 6000 } do
        local got = {}
        local handler = setmetatable({}, { __index = function () return function (_, ...) got[#got + 1] = { ... } end end })
        local parser = parsers.new(handler)
        support.feed_cut(parser, (message(payload) .. message ""):rep(2), step)
        assert.equal(4, #got, step)
        for i = 1, 3, 2 do
          local data = role == "server" and got[i][3]:sub(-5002, -3) or got[i][4]
          assert.is_true(data == payload, step)
        end
      end
    end)

    -- Cost: allocation shows what is copied, and a counting string library what is looked at.

    local function sink()
      return setmetatable({}, { __index = function () return function () return 0 end end })
    end

    local function cost_of(input_of, step)
      local function run(size)
        local input, pieces = input_of(size), {}
        for at = 1, #input, step do
          pieces[#pieces + 1] = input:sub(at, at + step - 1)
        end
        local counts = support.counted({ "lipc.proto.nats_parser", is.module }, function (counts)
          local parser = require(is.module).new(sink(), { max_payload = 1 << 24, max_control_line = 1 << 24 })
          counts.calls, counts.bytes = 0, 0
          for i = 1, #pieces do
            parser:feed(pieces[i])
          end
        end)
        local parser = parsers.new(sink(), { max_payload = 1 << 24, max_control_line = 1 << 24 })
        local allocated = support.allocated(function ()
          for i = 1, #pieces do
            parser:feed(pieces[i])
          end
        end)
        return counts, allocated
      end
      local small, small_allocated = run(60000)
      local large, large_allocated = run(240000)
      -- Four times the input; quadratic cost would be sixteen times.
      assert.is_true(large.calls <= 6 * small.calls + 100, ("calls %d %d"):format(small.calls, large.calls))
      assert.is_true(large.bytes <= 6 * small.bytes + 1000, ("bytes %d %d"):format(small.bytes, large.bytes))
      assert.is_true(large_allocated <= 6 * small_allocated + 10000, ("%d %d"):format(small_allocated, large_allocated))
      assert.is_true(large_allocated <= 240000 * 100, large_allocated)
    end

    local inputs = {
      ["a payload"] = function (size) return message(("x"):rep(size)) end,
      ["a control line with its end"] = function (size) return "PING" .. (" "):rep(size) .. "\r\n" end,
      ["a control line without end"] = function (size) return is.message:sub(1, 4) .. ("9"):rep(size) end,
      ["a subject without end"] = function (size) return is.message:sub(1, 4) .. ("a"):rep(size) end,
      ["many short words"] = function (size) return is.message:sub(1, 4) .. ("a "):rep(size // 2) end,
      ["many small messages"] = function (size) return message("x"):rep(size // 20) end,
    }
    for name, input in pairs(inputs) do
      for _, step in ipairs { 1, 50, 1 << 20 } do
        it(("has linear cost: %s in pieces of %d"):format(name, step), function () cost_of(input, step) end)
      end
    end

    it("takes a megabyte in pieces of 50 bytes", function ()
      local parser, events = open()
      local input = message(("x"):rep(1 << 20))
      local allocated = support.allocated(function ()
        for at = 1, #input, 50 do
          parser:feed(input:sub(at, at + 49))
        end
      end)
      assert.equal(1, #events)
      assert.is_true(allocated < 20 * #input, allocated)
    end)

    it("never raises, whatever comes, and says the same however it is cut", function ()
      local seed = support.seed("parser fuzz " .. role)
      local bits = {
        "PUB ", "MSG ", "HPUB ", "HMSG ", "SUB ", "UNSUB ", "PING", "PONG", "INFO ", "CONNECT ", "+OK", "-ERR ", "{}", "a", "b.c", ">", "1", "2",
        "3 5", "0", "99999999999", "\r\n", "\r\n", "\r\n", "\n", "\r", " ", "\t", "\0", "\xff", "xyz", "pub a 2\r\nhi\r\n", message "hello",
      }
      for round = 1, 1500 do
        local parts = {}
        for i = 1, math.random(12) do
          parts[i] = bits[math.random(#bits)]
        end
        local input = table.concat(parts)
        local whole, events = open { max_control_line = 40, max_payload = 50 }
        whole:feed(input)
        for _, step in ipairs { 1, -4 } do
          local cut, cut_events = open { max_control_line = 40, max_payload = 50 }
          support.feed_cut(cut, input, step)
          assert.same(events, cut_events, ("seed %d round %d input %q"):format(seed, round, input))
        end
      end
    end)
  end)
end
