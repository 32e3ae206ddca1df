-- Dictionaries in shared memory: what they hold, how much, several processes, all of it at one instant.
local ipc = require "lipc"
local bad = require "support.misuse"
local names = require "support.names"
local peer = require "support.peer"

local shared = ipc.shared

local seed = tonumber(os.getenv "SEED") or string.unpack("I3", assert(io.open("/dev/urandom", "rb")):read(3))

describe("shared.dict", function()
  local d

  before_each(function() d = assert(shared.dict { capacity = 100 }) end)
  after_each(function() d:close() end)

  it("holds strings, integers, floats and booleans, as they were", function()
    local values = { "", "x", ("\0\1\255"):rep(700), 0, -1, math.mininteger, 1.0, 0.1, math.huge, true, false }
    for i, x in ipairs(values) do
      for _, key in ipairs { "k" .. i, ("key\0"):rep(40) .. i } do
        assert.is_nil(d:get(key))
        assert.is_true(d:set(key, x))
        assert.equal(x, d:get(key))
        assert.equal(math.type(x), math.type(d:get(key)))
      end
    end
    assert.is_true(d:set("", "empty key"))
    assert.equal("empty key", d:get "")
    assert.equal(2 * #values + 1, d:count())
    assert.equal(2 * #values + 1, #d)
    assert.is_true(d:set("nan", 0 / 0))
    assert.not_equal(d:get "nan", d:get "nan")
  end)

  it("replaces, deletes, and says whether there was one", function()
    assert.is_true(d:set("k", 1))
    assert.is_true(d:set("k", "two"))
    assert.equal("two", d:get "k")
    assert.equal(1, d:count())
    assert.is_true(d:delete "k")
    assert.is_false(d:delete "k")
    assert.is_nil(d:get "k")
    assert.equal(0, d:count())
    assert.equal(1, select("#", d:get "k"))
  end)

  it("adds up as one step", function()
    assert.equal(5, d:add("n", 5))
    assert.equal(7, d:add("n", 2))
    assert.equal(7.5, d:add("n", 0.5))
    assert.equal("float", math.type(d:add("n", 1)))
    assert.is_true(d:set("n", math.maxinteger))
    assert.same({ nil, "shared.dict:add: Numerical result out of range (the sum is no integer of 64 bits)", "ERANGE" },
      { d:add("n", 1) })
    assert.equal(math.maxinteger, d:get "n")
    for _, other in ipairs { "5", true, ("long"):rep(1000) } do
      assert.is_true(d:set("s", other))
      assert.same({ nil, "shared.dict:add: Invalid argument (what is there is no number)", "EINVAL" }, { d:add("s", 1) })
      assert.equal(other, d:get "s")
    end
  end)

  it("updates by a function under the lock", function()
    assert.equal(1, d:update("k", function(old)
      assert.is_nil(old)
      return 1
    end))
    assert.equal("1!", d:update("k", function(old) return old .. "!" end))
    assert.is_nil(d:update("k", function() return nil end))
    assert.equal(0, d:count())
    assert.is_false(d:update("k", function() return false end))
    assert.is_false((pcall(d.update, d, "k", error)))
    assert.is_false(d:get("k", 0))
    local ok, message = pcall(function() return (d:update("k", function() return {} end)) end)
    assert.is_false(ok)
    assert.matches("shared_dict_spec%.lua:%d+: bad argument #2 to 'update' %(its result: string, number or boolean expected",
      message)
    assert.error_matches(function() d:update("k") end, "#2 to 'update' %(function expected, got nil%)")
    assert.error_matches(function() d:update(5, print) end, "#1 to 'update' %(string expected, got number%)")
    assert.equal(1, select("#", d:update("n", function() return 2 end)))
    assert.equal(1, select("#", d:update("n", function() end)))
    d:with(function()
      assert.equal(3, d:update("k", function() return 3 end))
      assert.equal(3, d:get "k")
      assert.equal(1, #d)
    end)
  end)

  it("gives its entries at one instant, whatever is done to it meanwhile", function()
    local expected = {}
    for i = 1, 50 do
      expected["k" .. i] = i
      d:set("k" .. i, i)
    end
    for _, iterate in ipairs { function() return d:pairs() end, function() return pairs(d) end } do
      local got = {}
      for k, x in iterate() do
        assert.is_nil(got[k])
        got[k] = x
        d:set(k, x)
        d:delete("k1")
        d:set("k1", 1)
        d:set("new", 1)
        d:delete "new"
      end
      assert.same(expected, got)
    end
    assert.same(expected, d:snapshot())
    assert.is_true(d:clear())
    assert.same({}, d:snapshot())
    for _ in pairs(d) do error "none" end
  end)

  it("says when it is full, and loses nothing", function()
    for i = 1, 100 do assert.is_true(d:set("k" .. i, i)) end
    local ok, message, code = d:set("one more", 1)
    assert.is_nil(ok)
    assert.equal("ENOSPC", code)
    assert.matches("^shared.dict:set: No space left on device %(100 of 100 entries, 100 of %d+ blocks of 64 bytes", message)
    assert.equal("ENOSPC", select(3, d:add("one more", 1)))
    for i = 1, 100 do assert.equal(2 * i, d:add("k" .. i, i)) end -- a replaced one needs no entry more
    local long = ("x"):rep(1 << 20)
    ok, message, code = d:set("k1", long)
    assert.is_nil(ok)
    assert.equal("ENOSPC", code)
    assert.matches("100 of 100 entries", message)
    assert.equal(2, d:get "k1")
    assert.is_true(d:delete "k2")
    assert.is_true(d:set("one more", 1))
    assert.equal(100, #d)
  end)

  it("has room for what it was made for, in whatever pieces", function()
    for _, sizes in ipairs { { 1, 10000 }, { 10, 1000 }, { 100, 100 }, { 39, 45 }, { 1000, 0 }, { 50, 64 } } do
      local n, each = sizes[1], sizes[2]
      local full <close> = assert(shared.dict { capacity = n, bytes = n * each })
      for round = 1, 2 do
        for i = 1, n do
          local key = ("%d"):format(i):sub(1, each)
          if each == 0 then break end
          assert(full:set(key, (tostring(round)):rep(each - #key)))
        end
        if each > 0 then assert.equal(n, full:count()) end
        assert.is_true(full:clear())
      end
    end
  end)

  it("refuses misuse", function()
    bad("#2.*string expected, got number", d.get, d, 1)
    bad("#2.*string expected", d.set, d, nil, 1)
    bad("#3.*value expected, got nil %(delete removes a key%)", d.set, d, "k", nil)
    bad("#3.*value expected, got nil", d.set, d, "k")
    bad("#3.*string, number or boolean expected, got table", d.set, d, "k", {})
    bad("#3.*number expected", d.add, d, "k", "1")
    bad("#3.*negative", d.get, d, "k", -1)
    bad("#4.*timeout in seconds expected", d.set, d, "k", 1, "soon")
    bad("lipc.shared.dict expected", d.get, io.stdout, "k")
    bad("capacity' is needed", shared.dict, {})
    bad("capacity' is needed", shared.dict)
    bad("capacity': 0 is out of range", shared.dict, { capacity = 0 })
    bad("capacity': integer expected, got string", shared.dict, { capacity = "5" })
    bad("bytes': integer expected, got string", shared.dict, { capacity = 5, bytes = "500" })
    bad("capacity': 2147483648 is out of range", shared.dict, { capacity = 1 << 31 })
    bad("bytes': %-1 is out of range", shared.dict, { capacity = 1, bytes = -1 })
    bad("bytes': 9223372036854775807 is out of range", shared.dict, { capacity = 1, bytes = math.maxinteger })
    bad("bytes': integer expected", shared.dict, { capacity = 1, bytes = {} })
    bad("unknown option 'size'", shared.dict, { size = 1 })
    assert.is_false((pcall(function() d.k = 1 end)))
    assert.is_nil(d.k)
    d:close()
    for _, method in ipairs { "get", "set", "delete", "add", "count", "clear", "pairs", "snapshot", "stat", "lock" } do
      bad("closed shared.dict", d[method], d, "k", 1)
    end
    bad("closed shared.dict", function() return #d end)
    bad("closed shared.dict", function() return pairs(d) end)
  end)

  it("is one by name, with what its maker said", function()
    local name = "/" .. names.new()
    local mine <close> = assert(shared.dict { name = name, create = true, unlink = true, capacity = 10, bytes = 1000 })
    assert.is_true(mine:set("from", "parent"))
    local out, ok = peer.run([[local d = assert(ipc.shared.dict { name = arg[1] })
      print(d:get "from", d:set("n", 1), d:stat().capacity)
      d = assert(ipc.shared.dict { name = arg[1], create = true, capacity = 10 })
      print(d:stat().capacity, d:stat().count, assert(ipc.shared.open(arg[1])):get "n")]], name)
    assert.is_true(ok, out)
    assert.equal("parent\ttrue\t10\n10\t2\t1\n", out)
    assert.equal(1, mine:get "n")
    local stat = mine:stat()
    assert.equal(name, stat.name)
    assert.equal("dict", stat.type)
    assert.equal(2 * 64, stat.used)
  end)

  it("reads a value that grows meanwhile", function()
    local big <close> = assert(shared.dict { capacity = 4, bytes = 1 << 20 })
    local writer <close> = assert(ipc.process.fork(function()
      for i = 1, 3000 do assert(big:set("k", ("v"):rep(i * 53 % 100000))) end
      assert(big:set("over", true))
    end))
    while not big:get "over" do
      local x = big:get "k"
      assert.is_true(x == nil or x == ("v"):rep(#x))
      for _, y in pairs(big) do assert.is_true(y == true or y == ("v"):rep(#y)) end
    end
    assert.equal(0, assert(writer:wait(60)).code)
  end)

  -- Random operations, the same on a table of Lua.
  local function model(dict, random, prefix, rounds)
    local table_, n = {}, 0
    local function key() return prefix .. ("k"):rep(random(0, 3) * 30) .. random(1, 60) end
    local function value()
      local what = random(1, 6)
      if what == 1 then return random(0) end
      if what == 2 then return random() end
      if what == 3 then return random(2) == 1 end
      return ("v"):rep(random(0, what == 4 and 20 or 300))
    end
    for _ = 1, rounds do
      local op, k = random(1, 100), key()
      if op <= 40 then
        local x = value()
        local ok, message, code = dict:set(k, x)
        if ok then
          if table_[k] == nil then n = n + 1 end
          table_[k] = x
        else
          assert(code == "ENOSPC", message)
        end
      elseif op <= 60 then
        assert(dict:delete(k) == (table_[k] ~= nil))
        if table_[k] ~= nil then n = n - 1 end
        table_[k] = nil
      elseif op <= 70 and (math.type(table_[k]) == "float" or table_[k] == nil) then
        local sum, message, code = dict:add(k, 0.25)
        if sum then
          assert(sum == (table_[k] or 0) + 0.25, "sum")
          if table_[k] == nil then n = n + 1 end
          table_[k] = sum
        else
          assert(code == "ENOSPC", message)
        end
      else
        local got = dict:get(k)
        assert(got == table_[k] and math.type(got) == math.type(table_[k]), k)
      end
    end
    local mine = 0
    for k, x in dict:pairs() do
      if k:sub(1, #prefix) == prefix then
        mine = mine + 1
        assert(table_[k] == x, k)
      end
    end
    assert(mine == n, ("%d entries of %d"):format(mine, n))
    return n
  end

  it("does what a table does, and several processes do not disturb each other", function()
    local one <close> = assert(shared.dict { capacity = 50, bytes = 4000 })
    math.randomseed(seed)
    local n = model(one, math.random, "", 20000)
    assert.equal(n, one:count(), "seed " .. seed)
    local all <close> = assert(shared.dict { capacity = 300, bytes = 20000 })
    local counts <close> = assert(shared.array("i32", 4))
    local children = {}
    for i = 1, 4 do
      children[i] = assert(ipc.process.fork(function()
        math.randomseed(seed + i)
        counts[i] = model(all, math.random, i .. ":", 10000)
      end))
    end
    local sum = 0
    for i, p in ipairs(children) do
      local status = assert(p:wait(100))
      assert.equal(0, status.code, ("seed %d: %s"):format(seed, tostring(status.error)))
      p:close()
      sum = sum + counts[i]
    end
    assert.equal(sum, all:count())
  end)

  it("goes by the loop while another process has the lock", function()
    local loop = ipc.loop.new()
    local r, w = assert(ipc.pipe.open())
    local back, go = assert(ipc.pipe.open())
    local holder <close> = assert(ipc.process.fork(function()
      d:with(function()
        assert(w:write "x")
        assert(back:read(1))
      end)
    end))
    assert.equal("x", r:read(1))
    local turns, got = 0
    loop:wrap(function() got = d:add("k", 1) end)
    loop:wrap(function()
      for _ = 1, 20 do
        turns = turns + 1
        ipc.sleep(0.001)
      end
      assert.is_nil(got)
      assert(go:write "x")
    end)
    loop:run()
    loop:close()
    assert.equal(1, got)
    assert.equal(20, turns)
    assert.equal(0, assert(holder:wait(60)).code)
    for _, o in ipairs { r, w, back, go } do o:close() end
  end)

  -- In a process with little memory, where a collection begins and ends within one call.
  it("raises when a finaliser closes it in the middle of a call", function()
    local out, ok = peer.run [[
      local shared = ipc.shared
      collectgarbage("incremental", 10, 1000, 20)
      local closed = 0
      local function try(object, f, ...)
        local inside
        setmetatable({}, { __gc = function() if inside then closed = closed + 1 object:close() end end })
        inside = true
        local ok, message = pcall(f, object, ...)
        inside = false
        if not ok then assert(message:find("closed shared", 1, true), message) end
      end
      for _ = 1, 100 do
        local d <close> = assert(shared.dict { capacity = 4, bytes = 1 << 20 })
        assert(d:set("key", ("x"):rep(300000)))
        try(d, d.get, "key")
        local e <close> = assert(shared.dict { capacity = 4, bytes = 1 << 20 })
        assert(e:set("key", ("x"):rep(300000)))
        try(e, e.snapshot)
        local v <close> = assert(shared.value("string", ("x"):rep(300000), { capacity = 300000 }))
        try(v, v.get)
      end
      print(closed)]]
    assert.is_true(ok, out)
    assert.is_true(assert(tonumber(out), out) > 0)
  end)
end)
