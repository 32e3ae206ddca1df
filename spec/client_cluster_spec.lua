-- ipc.connect against three nodes of Debian's nats-server, one of which is killed while traffic flows.
local ipc = require "lipc"
local nats = require "support.nats"

local SECONDS = 60

describe("client with a cluster of nats-servers", function()
  local nodes

  -- start_node(routes) -> its port for the others
  local function start_node(routes)
    local server = nats.start(("cluster { name: c, listen: \"127.0.0.1:-1\", routes: [%s] }"):format(routes))
    nodes[#nodes + 1] = server
    local listening = "Listening for route connections on 127%.0%.0%.1:(%d+)"
    local port = table.concat(server.said, "\n"):match(listening) -- it may have come before it was ready
    while not port do port = assert(server.log:read "l"):match(listening) end
    return port
  end

  before_each(function()
    nodes = {}
    local routes = ("\"nats-route://127.0.0.1:%s\""):format(start_node "")
    start_node(routes)
    start_node(routes)
  end)
  after_each(function()
    for _, node in ipairs(nodes) do node:stop() end
  end)

  local function in_loop(fn)
    local loop <close> = assert(ipc.loop.new())
    loop:wrap(fn, loop)
    assert.is_true(loop:run())
  end
  local function both(name, fn)
    it(name .. ", in a plain script", function() fn() end)
    it(name .. ", in a task", function() in_loop(fn) end)
  end

  -- The nodes find each other in their own time, and tell.
  local function wait_for_all(c)
    while #c:servers() < #nodes do assert.is_true(c:flush(SECONDS)) end
  end

  both("goes to a node that it was not told of", function()
    local c <close> = assert(ipc.connect(nodes[1].url))
    wait_for_all(c)
    local sub = assert(c:subscribe "a")
    assert.is_true(c:flush(SECONDS))
    nodes[1]:stop()
    assert.equal("ECONNRESET", (select(3, sub:next(SECONDS))))
    assert(c:publish("a", "again"))
    assert.equal("again", assert(sub:next(SECONDS)).data)
    assert.is_true(c:url() == nodes[2].url or c:url() == nodes[3].url, c:url())
  end)

  it("loses nothing that was confirmed, and gets everything again, when a node is killed while traffic flows", function()
    in_loop(function(loop)
      local statuses = {}
      local publisher <close> = assert(ipc.connect(nodes[1].url, {
        onstatus = function(status) statuses[#statuses + 1] = status end, onerror = function() end,
      }))
      local moving <close> = assert(ipc.connect(nodes[1].url, { onerror = function() end })) -- on the node that dies
      local staying <close> = assert(ipc.connect(nodes[2].url))
      for _, c in ipairs { publisher, moving, staying } do wait_for_all(c) end
      local seen, moved = {}, {}
      assert(staying:subscribe("n.*", function(msg) seen[tonumber(msg.data)] = true end))
      assert(moving:subscribe("n.*", function(msg) moved[tonumber(msg.data)] = true end))
      assert(staying:subscribe("double", { queue = "q" }, function(msg) msg:respond(2 * msg.data) end))
      assert.is_true(staying:flush(SECONDS))
      assert.is_true(moving:flush(SECONDS))
      while not seen[0] do -- the subscription has come to the other node
        assert(publisher:publish("n.x", "0"))
        assert.is_true(publisher:flush(SECONDS))
      end
      do -- and to the third, which the publisher may move to
        local third <close> = assert(ipc.connect(nodes[3].url))
        while not seen[-1] do
          assert(third:publish("n.x", "-1"))
          assert.is_true(third:flush(SECONDS))
        end
      end

      local confirmed, doubtful, number = {}, 0, 0
      local function batch(middle)
        local from = number + 1
        for i = from, from + 99 do
          number = i
          assert(publisher:publish("n.x", i))
          if middle and i == from + 50 then
            ipc.sleep(0.001)
            middle()
          end
        end
        local ok, _, code = publisher:flush(SECONDS)
        if not ok then
          assert.equal("ECONNRESET", code)
          doubtful = doubtful + 1
          return
        end
        for i = from, number do confirmed[#confirmed + 1] = i end
      end
      for _ = 1, 20 do batch() end
      batch(function() nodes[1]:stop() end)
      for _ = 1, 20 do batch() end
      assert.equal(1, doubtful) -- that of the moment, no other

      assert.is_true(moving:flush(SECONDS)) -- it is somewhere else now, and subscribed
      assert.is_true(moving:url() ~= nodes[1].url)
      -- what is published from now on is to arrive everywhere; the way between two nodes is asked by asking
      local last = number
      repeat batch() ipc.sleep(0.001) until moved[number] and seen[number]
      for _, i in ipairs(confirmed) do
        if not seen[i] then error(("%d was confirmed and is lost"):format(i)) end
      end
      assert.is_true(#confirmed >= 4000)
      assert.is_true(number > last)
      assert.equal("42", assert(publisher:request("double", 21, SECONDS)).data)
      assert.same({ "connected", "disconnected", "reconnecting", "connected" }, { table.unpack(statuses, 1, 4) })
      assert.same({ 1, 1 }, { publisher:stats().disconnects, publisher:stats().reconnects })
      for _, c in ipairs { publisher, moving, staying } do c:close() end
      assert.is_truthy(loop)
    end)
  end)

  it("moves a plain script, which hears of it by the next call", function()
    local c <close> = assert(ipc.connect(nodes[1].url))
    wait_for_all(c)
    assert.is_true(c:publish("a", "1") and c:flush(SECONDS))
    nodes[1]:stop()
    assert(c:publish("a", "2"))
    local ok, message, code = c:flush(SECONDS)
    assert.is_nil(ok)
    assert.equal("ECONNRESET", code, message)
    assert.is_true(c:publish("a", "3") and c:flush(SECONDS))
  end)

  it("hears of a node that will end", function()
    local heard = {}
    local c <close> = assert(ipc.connect(nodes[1].url, { onstatus = function(status) heard[status] = true end }))
    wait_for_all(c)
    assert.is_true(c:flush(SECONDS))
    assert(nodes[1].process:kill "SIGUSR2") -- lame duck mode
    while not heard["lame duck"] and not heard.disconnected do c:run(0.01) end
    assert.is_true(heard["lame duck"])
  end)
end)
