-- The benches of the broker, for bench/run.lua: against nats-server with the same clients, Lua and libnats, and against
-- redis-server and mosquitto with clients in C; round trips; what other subscriptions and idle connections cost.  `tools` is
-- what run.lua measures and reports with.
-- COUNT sets the messages of a run.
return function(tools)
  local servers = require "broker_servers"
  local COUNT = tonumber(os.getenv "COUNT") or 500000
  local LUA_CLIENT = tools.lua .. " bench/peer_broker.lua"
  local C_CLIENT = { nats = "build/bench/nats", redis = "build/bench/redis", mosquitto = "build/bench/mosquitto" }

  local median = tools.median

  local function build(...)
    for _, name in ipairs { ... } do
      assert(os.execute(("%s -std=gnu11 -O2 -Wall -o %s bench/%s.c -l%s"):format(tools.cc, C_CLIENT[name], name,
        name == "redis" and "hiredis" or name)))
    end
  end

  -- Runs measure(start), where start(kind) -> process, url starts a server that ends with this.
  local function with_servers(measure)
    local running <close> = setmetatable({}, { __close = function(list)
      for i = #list, 1, -1 do servers.stop(list[i]) end
    end })
    return measure(function(kind)
      local process, url
      if kind == "unix" or kind == "tcp" then
        process, url = servers.ours(tools.lua, kind)
      else
        process, url = servers[kind]()
      end
      running[#running + 1] = process
      return process, url
    end, running)
  end

  -- A ratio of two variants, round by round.
  local function compare(name, unit, values, a, b, target, other)
    local scale = unit == "k/s" and 1e3 or 1
    tools.report(name, unit, { lua = median { table.unpack(values[a]) } / scale, c = median { table.unpack(values[b]) } / scale },
      tools.ratio_of(values, a, b), target, other)
  end

  local function print_costs(variants, costs)
    local list = {}
    for _, variant in ipairs(variants) do
      list[#list + 1] = ("%s %.2f"):format(variant.name, median { table.unpack(costs[variant.name]) })
    end
    print(("%34s processor time of the broker, us a message published: %s"):format("", table.concat(list, ", ")))
  end

  -- One publisher, some subscribers.
  local function fan(subscribers)
    return function(name)
      build("nats", "redis", "mosquitto")
      with_servers(function(start)
        local count = subscribers == 1 and COUNT or COUNT // 3
        local unix, unix_url = start "unix"
        local tcp, tcp_url = start "tcp"
        local nats, nats_url = start "nats"
        local redis, redis_port = start "redis"
        local mosquitto, mosquitto_port = start "mosquitto"
        local variants = {
          { name = "unix", server = unix, url = unix_url, client = LUA_CLIENT, count = count },
          { name = "tcp", server = tcp, url = tcp_url, client = LUA_CLIENT, count = count },
          { name = "nats", server = nats, url = nats_url, client = LUA_CLIENT, count = count },
          { name = "tcp, C", server = tcp, url = tcp_url, client = C_CLIENT.nats, count = count },
          { name = "nats, C", server = nats, url = nats_url, client = C_CLIENT.nats, count = count },
          { name = "redis, C", server = redis, url = redis_port, client = C_CLIENT.redis, count = count // 2 },
          { name = "mosquitto, C", server = mosquitto, url = mosquitto_port, client = C_CLIENT.mosquitto, count = count // 5 },
        }
        local values, costs = servers.measure(variants, tools.rounds, subscribers)
        compare(name .. ", Lua, Unix", "k/s", values, "unix", "nats", { at_least = 1 }, "nats")
        compare(name .. ", Lua, TCP", "k/s", values, "tcp", "nats", { at_least = 1 }, "nats")
        compare(name .. ", libnats", "k/s", values, "tcp, C", "nats, C", { at_least = 0.6 }, "nats")
        for _, other in ipairs { "redis", "mosquitto" } do
          compare(name .. ", in C", "k/s", values, "tcp, C", other .. ", C", { at_least = 1 }, other)
          compare(name .. ", Lua, Unix", "k/s", values, "unix", other .. ", C", nil, other .. ", C")
        end
        print_costs(variants, costs)
      end)
    end
  end

  local function round_trip(name)
    build "nats"
    with_servers(function(start)
      local count = COUNT // 50
      local variants = {}
      for _, kind in ipairs { "unix", "tcp", "nats" } do
        local server, url = start(kind)
        variants[#variants + 1] = {
          name = kind, server = server, url = url, client = LUA_CLIENT, count = count,
          responder = { tools.lua, "bench/peer_broker.lua", "reply", url },
        }
        if kind ~= "unix" then
          variants[#variants + 1] = {
            name = kind .. ", C", server = server, url = url, client = C_CLIENT.nats, count = count,
            responder = { C_CLIENT.nats, "reply", url, "0" },
          }
        end
      end
      local values = servers.measure(variants, tools.rounds, 0)
      compare(name .. ", Lua, Unix", "us", values, "unix", "nats", { at_most = 1.5 }, "nats")
      compare(name .. ", Lua, TCP", "us", values, "tcp", "nats", { at_most = 1.5 }, "nats")
      compare(name .. ", libnats", "us", values, "tcp, C", "nats, C", { at_most = 1.5 }, "nats")
    end)
  end

  -- The rate of one publisher and one subscriber beside `numbers` of something else: one broker for each number.
  local function beside(role, numbers)
    return function(name)
      with_servers(function(start, running)
        local variants = {}
        for _, number in ipairs(numbers) do
          local server, url = start "unix"
          if number > 0 then
            running[#running + 1] = servers.spawn(tools.lua, "bench/peer_broker.lua", role, url, tostring(number))
          end
          variants[#variants + 1] = { name = tostring(number), server = server, url = url, client = LUA_CLIENT, count = COUNT }
        end
        local values, costs = servers.measure(variants, tools.rounds, 1)
        local list = {}
        for _, variant in ipairs(variants) do
          list[#list + 1] = ("%s %.0f"):format(variant.name, median { table.unpack(values[variant.name]) } / 1e3)
        end
        if role == "hold" then
          compare(name, "k/s", values, "10000", "10", { at_least = 0.8 }, "10")
        else
          compare(name, "k/s", values, tostring(numbers[2]), tostring(numbers[1]), { at_least = 0.95 }, "none")
        end
        print(("%34s k/s: %s"):format("", table.concat(list, ", ")))
        print_costs(variants, costs)
      end)
    end
  end

  return {
    { "broker 1 to 1, 128 B", fan(1) },
    { "broker 1 to 4, 128 B", fan(4) },
    { "broker, round trip", round_trip },
    { "broker, 10,000 subscriptions", beside("hold", { 10, 100, 1000, 10000, 100000 }) },
    { "broker, 1,000 connections idle", beside("idle", { 0, 1000 }) },
  }
end
