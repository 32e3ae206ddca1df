-- Views: atomic operations, and waiting for a word, between processes.
local ipc = require "lipc"
local child = require "support.child"
local names = require "support.names"
local probe = require "support.probe"
local ticks = require "support.ticks"

local SOON = 60 -- seconds: longer than anything here takes

local function fails(pattern, f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  assert.matches(pattern, message)
end

describe("atomic operations", function()
  local m
  before_each(function() m = assert(ipc.mmap.anonymous(4096)) end)
  after_each(function() m:close() end)

  it("say what was there, and wrap around", function()
    for name, range in pairs {
      i32 = { -2147483648, 2147483647 }, u32 = { 0, 4294967295 }, i64 = { math.mininteger, math.maxinteger },
    } do
      local v = m:view(name, 64, 4):fill(0)
      v:store(2, range[2])
      assert.same({ range[2], range[2] }, { v:load(2), v[2] })
      assert.equal(range[2], v:add(2, 1))
      assert.equal(range[1], v:load(2))
      assert.equal(range[1], v:sub(2, 1))
      assert.equal(range[2], v[2])
      assert.equal(range[2], v:exchange(2, 5))
      assert.equal(5, v:add(2, -3))
      assert.same({ true, 2 }, { v:cas(2, 2, 9) })
      assert.same({ false, 9 }, { v:cas(2, 2, 1) })
      assert.equal(9, v:band(2, 12))
      assert.equal(8, v:bor(2, 3))
      assert.equal(11, v:bxor(2, 1))
      assert.equal(10, v[2])
      assert.same({ 0, 0 }, { v[1], v[3] })
      assert.equal("integer", math.type(v:add(2, 1.0)))
    end
    local u = m:view "u64"
    assert.equal(0, u:sub(1, 1))
    assert.equal(-1, u:add(1, 2))
    assert.equal(1, u[1])
    local i, w = m:view("i32", 128, 1), m:view("u32", 128, 1)
    assert.equal(0, i:bor(1, 0xffffffff)) -- the bits count
    assert.equal(-1, i[1])
    assert.equal(4294967295, w:band(1, -2))
    assert.equal(0xfffffffe, w[1])
  end)

  it("take each order that they may have", function()
    local v = m:view "i32"
    for _, name in ipairs { "relaxed", "acquire", "release", "acq_rel", "seq_cst" } do
      assert.equal(name ~= "release" and name ~= "acq_rel", (pcall(v.load, v, 1, name)))
      assert.equal(name ~= "acquire" and name ~= "acq_rel", (pcall(v.store, v, 1, 0, name)))
      for _, method in ipairs { "add", "sub", "exchange", "band", "bor", "bxor" } do
        assert.equal(0, v[method](v, 1, 0, name))
      end
      assert.is_true(v:cas(1, 0, 0, name))
      local w = m:view("u64", 64, 1)
      if pcall(v.load, v, 1, name) then assert.equal(0, w:load(1, name)) end
      if pcall(v.store, v, 1, 0, name) then w:store(1, 0, name) end
    end
    fails("order 'release' is not for this", v.load, v, 1, "release")
    fails("invalid option 'consume'", v.add, v, 1, 1, "consume")
    fails("invalid option 'consume'", v.cas, v, 1, 1, 1, "consume")
  end)

  it("refuse what they cannot do", function()
    for _, name in ipairs { "i8", "u16", "f32", "f64", "bytes" } do
      local v = m:view(name)
      fails("elements of " .. name .. " are not for this", v.load, v, 1)
      fails("it takes i32 and u32", v.wait, v, 1, 0)
    end
    local v = m:view("i32", 2)
    fails("element lies at offset 2: not aligned", v.load, v, 1)
    fails("not aligned", m:view("i64", 4).add, m:view("i64", 4), 1, 1)
    v = m:view("i32", 0, 4)
    fails("'add' %(index 5 is out of bounds %(length 4%)", function() v:add(5, 1) end)
    fails("out of bounds", v.load, v, 0)
    fails("index expected", v.load, v)
    fails("number expected for i32, got no value", v.add, v, 1)
    fails("4294967296 is out of range for i32", v.add, v, 1, 1 << 32)
    fails("4294967295 is out of range for i32", v.store, v, 1, 0xffffffff)
    fails("4294967295 is out of range for i32", v.exchange, v, 1, 0xffffffff)
    fails("out of range for i32", v.cas, v, 1, 1 << 40, 1)
    fails("out of range for i32", v.cas, v, 1, 1, 1 << 40)
    fails("no integer representation", v.add, v, 1, 0.5)
    fails("out of range for i32", v.wait, v, 1, 1 << 40)
    fails("i32 and u32", m:view("i64").wait, m:view "i64", 1, 0)
    fails("i32 and u32", m:view("u64").wake, m:view "u64", 1)
    fails("must be positive", v.wake, v, 1, 0)
    fails("timeout must not be negative", v.wait, v, 1, 0, -1)
    fails("#3 .*timeout in seconds expected, got string", function() v:wait(1, 0, "1") end)
    m:close()
    for method, args in pairs {
      load = { 1 }, store = { 1, 1 }, add = { 1, 1 }, cas = { 1, 1, 1 }, wait = { 1, 1, 0 }, wake = { 1 },
    } do
      fails("closed", v[method], v, table.unpack(args))
    end
  end)

  it("lose nothing between processes", function()
    local N = 20000
    local v, w = m:view("i32", 0, 4), m:view("u64", 64, 4)
    local all = {}
    for i = 1, 4 do
      all[i] = assert(ipc.process.fork(function()
        for _ = 1, N do
          v:add(1, 1)
          w:sub(1, 3)
          repeat
            local x = w:load(2)
          until (w:cas(2, x, x + 2))
          v:bxor(2, 1 << i)
        end
        v:bor(3, 1 << i)
        v:band(4, ~(1 << i))
      end))
    end
    v[4] = -1
    for i = 1, 4 do assert(all[i]:wait(SOON)) end
    assert.equal(4 * N, v[1])
    assert.equal(-12 * N, w[1])
    assert.equal(8 * N, w[2])
    assert.same({ 0, 30 }, { v[2], v[3] })
  end)

  it("agree with a C program's", function()
    local name = "/" .. names.new()
    local s <close> = assert(ipc.shm.open(name, { create = true, size = 4096, unlink = true }))
    local v = s:view "i32"
    local p = assert(ipc.process.spawn { "build/host/viewtwin", "count", name, "300000" })
    for _ = 1, 100000 do v:add(1, 1) end
    assert.equal(0, assert(p:wait(SOON)).code)
    assert.equal(400000, v[1])
  end)
end)

describe("waiting for a word", function()
  local m, v
  before_each(function()
    m = assert(ipc.mmap.anonymous(4096))
    v = m:view "i32"
  end)
  after_each(function() m:close() end)

  it("ends at once when it is not as expected, and at its deadline", function()
    v[3] = 7
    assert.equal(7, v:wait(3, 0))
    assert.equal(7, v:wait(3, 0.0, 0))
    local t = probe.now()
    assert.same({ nil, "view:wait: timed out", "ETIMEDOUT" }, { v:wait(3, 7, 0) })
    assert.same({ nil, "view:wait: timed out", "ETIMEDOUT" }, { v:wait(3, 7.0, 0.05) })
    assert.is_true(probe.now() - t >= 0.05)
    assert.equal(0, v:wake(3))
    local u = m:view "u32"
    v[1] = -1
    assert.equal(4294967295, u:wait(1, 0))
    assert.same({ nil, "view:wait: timed out", "ETIMEDOUT" }, { u:wait(1, 4294967295, 0.01) })
    assert.same({ nil, "view:wait: timed out", "ETIMEDOUT" }, { v:wait(1, -1, 0.01) })
  end)

  it("wakes another process, in turns", function()
    local p = assert(ipc.process.fork(function()
      for i = 1, 500 do
        assert(v:wait(1, i - 1, SOON) == i)
        v:store(2, i)
        v:wake(2)
      end
    end))
    for i = 1, 500 do
      v:store(1, i)
      v:wake(1)
      assert.equal(i, v:wait(2, i - 1, SOON))
    end
    assert(p:wait(SOON))
  end)

  it("sleeps in the kernel, and counts whom it wakes", function()
    local all = {}
    for i = 1, 3 do
      all[i] = assert(ipc.process.fork(function() return v:wait(1, 0, SOON) == 5 and 9 or 1 end))
    end
    for i = 1, 3 do assert.equal("S", child.sleeping(all[i]:pid())) end
    local woken, deadline = 0, probe.now() + SOON -- they look up twice a second: one may just be awake
    repeat
      assert(probe.now() < deadline, "nobody was woken")
      local n = v:wake(1, 1)
      assert.is_true(n <= 1)
      woken = woken + n
    until woken >= 3
    v:store(1, 5)
    assert.is_true(v:wake(1) <= 3)
    for i = 1, 3 do
      local status = assert(all[i]:wait(SOON))
      assert.equal(9, status.code)
    end
  end)

  it("is waited for in fields of records", function()
    local r = m:view(ipc.view.layout { { "x", "i64" }, { "state", "u32" } }, 8, 10)
    local p = assert(ipc.process.fork(function()
      r:field("state"):store(7, 1)
      r:field("state"):wake(7)
    end))
    assert.equal(1, r:field("state"):wait(7, 0, SOON))
    assert(p:wait(SOON))
  end)

  for _, backend in ipairs { "epoll", "poll" } do
    it("lets the other coroutines run, on " .. backend, function()
      local loop = assert(ipc.loop.new { backend = backend })
      local s = { spawn = function(fn) loop:wrap(fn) end, run = function() assert(loop:run()) end }
      local n, x = ticks.beside(s, function() v:store(1, 4) end, function() return v:wait(1, 0, SOON) end)
      assert.is_true(n >= 3)
      assert.equal(4, x)
      local message, code
      n, x, message, code = ticks.beside(s, function() end, function() return v:wait(1, 4, 0.05) end)
      assert.is_true(n >= 1) -- as often as the machine lets it
      assert.same({ nil, "view:wait: timed out", "ETIMEDOUT" }, { x, message, code })
      n, x, message, code = ticks.beside(s, function() m:close() end, function() return v:wait(1, 4, SOON) end)
      assert.is_true(n >= 3)
      assert.same({ nil, "view:wait: Operation canceled", "ECANCELED" }, { x, message, code })
      loop:close()
    end)
  end

  it("several coroutines wait, each for its own", function()
    local loop = assert(ipc.loop.new())
    local got = {}
    for i = 1, 5 do
      loop:wrap(function() got[i] = v:wait(i, 0, SOON) end)
    end
    loop:wrap(function()
      for i = 5, 1, -1 do
        v:store(i, i * 10)
        ipc.sleep(0)
      end
    end)
    assert(loop:run())
    assert.same({ 10, 20, 30, 40, 50 }, got)
    loop:close()
  end)

  it("is ended by closing the mapping in a signal's callback", function()
    local on = assert(ipc.signal.on("SIGUSR1", function() m:close() end))
    local p = assert(ipc.process.fork(function()
      child.sleeping(tonumber(io.open "/proc/self/stat":read "a":match "%) %a (%d+)"))
      ipc.signal.kill(tonumber(io.open "/proc/self/stat":read "a":match "%) %a (%d+)"), "SIGUSR1")
    end))
    assert.same({ nil, "view:wait: Operation canceled", "ECANCELED" }, { v:wait(1, 0, SOON) })
    on:close()
    assert(p:wait(SOON))
  end)

  it("raises when the file was cut off", function()
    local path = names.path()
    local f = assert(io.open(path, "w"))
    f:write(("\0"):rep(8192)):close()
    local file = assert(ipc.mmap.open(path))
    local w = file:view("i32", 4096)
    assert.same({ nil, "view:wait: timed out", "ETIMEDOUT" }, { w:wait(1, 0, 0.01) })
    assert(os.execute("truncate -s 0 " .. path))
    fails("lost mapping", w.wait, w, 1, 0, SOON)
    fails("lost mapping", w.load, w, 1)
    os.remove(path)
    file:close()
  end)
end)
