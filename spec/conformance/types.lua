-- Every type of object and how the conformance specs get at it.  A row:
--   name      the metatable's name
--   open()    -> object, list of whatever else must be closed (peers, in the order of use)
--   failing   Lua source for a process of its own that may open no further descriptor: an expression
--             that fails with EMFILE; nil: its constructor needs none
--   held()    -> how many resources of the process such objects hold; default: descriptors; false: none
--   wait(o, timeout)   an operation that cannot finish by itself; what it returns
--   ready(o, others)   makes that operation finish
--   fails(o)  an operation on a closed object that raises
-- SPDX-License-Identifier: MIT
local ipc = require "lipc"
local names = require "support.names"

local function fill(w)
  w:settimeout(0)
  while w:write(("x"):rep(4096)) do end
  w:settimeout()
end

local function queue()
  return assert(ipc.mqueue.open("/" .. names.new(),
    { create = true, exclusive = true, unlink = true, maxmsg = 1, msgsize = 8 }))
end

-- What is open of shared memory: such objects hold no descriptor.
local function mappings()
  local n = 0
  for line in io.lines "/proc/self/maps" do
    if line:find("/dev/shm/", 1, true) then n = n + 1 end
  end
  return n
end

local types = {}

types[#types + 1] = {
  name = "lipc.pipe.reader",
  open = function()
    local r, w = assert(ipc.pipe.open())
    return r, { w }
  end,
  failing = "ipc.pipe.open()",
  wait = function(r, timeout) return r:readsome(10, timeout) end,
  ready = function(_, others) assert(others[1]:write "x") end,
  fails = function(r) r:readsome(1) end,
}

types[#types + 1] = {
  name = "lipc.pipe.writer",
  open = function()
    local r, w = assert(ipc.pipe.open())
    fill(w)
    return w, { r }
  end,
  failing = "ipc.pipe.open()",
  wait = function(w, timeout)
    w:settimeout(timeout)
    return w:write "y"
  end,
  ready = function(_, others) assert(others[1]:readsome(65536)) end,
  fails = function(w) w:write "x" end,
}

types[#types + 1] = {
  name = "lipc.eventfd",
  open = function() return assert(ipc.eventfd.open()), {} end,
  failing = "ipc.eventfd.open()",
  wait = function(e, timeout) return e:take(timeout) end,
  ready = function(e) assert(e:add(1)) end,
  fails = function(e) e:take(0) end,
}

types[#types + 1] = {
  name = "lipc.socket.stream",
  open = function()
    local a, b = assert(ipc.socket.pair())
    return a, { b }
  end,
  failing = "ipc.socket.pair()",
  wait = function(s, timeout) return s:readsome(10, timeout) end,
  ready = function(_, others) assert(others[1]:write "x") end,
  fails = function(s) s:readsome(1) end,
}

types[#types + 1] = {
  name = "lipc.socket.message",
  open = function()
    local a, b = assert(ipc.socket.pair { type = "seqpacket" })
    return a, { b }
  end,
  failing = "ipc.socket.datagram { abstract = '' }",
  wait = function(s, timeout) return s:recv(10, timeout) end,
  ready = function(_, others) assert(others[1]:send "x") end,
  fails = function(s) s:recv(1) end,
}

types[#types + 1] = {
  name = "lipc.socket.listener",
  open = function() return assert(ipc.socket.listen { port = 0 }), {} end,
  failing = "ipc.socket.listen { port = 0 }",
  wait = function(l, timeout) return l:accept(timeout) end,
  ready = function(l, others)
    others[#others + 1] = assert(ipc.socket.connect { port = l:getsockname().port, timeout = 10 })
  end,
  fails = function(l) l:accept(0) end,
}

types[#types + 1] = {
  name = "lipc.process",
  open = function() return assert(ipc.process.spawn { "cat", stdin = "pipe", kill_on_close = true }), {} end,
  failing = "ipc.process.spawn { 'true' }",
  wait = function(p, timeout) return p:wait(timeout) end,
  ready = function(p) p.stdin:close() end,
  fails = function(p) p:wait(0) end,
}

types[#types + 1] = {
  name = "lipc.signal.set",
  open = function() return assert(ipc.signal.set { "SIGUSR2" }), {} end,
  failing = 'ipc.signal.set { "SIGUSR2" }',
  wait = function(q, timeout) return q:receive(timeout) end,
  ready = function() assert(ipc.signal.raise "SIGUSR2") end,
  fails = function(q) q:receive(0) end,
}

types[#types + 1] = {
  name = "lipc.poller",
  open = function() return assert(ipc.poll.open()), {} end,
  failing = "ipc.poll.open()",
  wait = function(p, timeout) return p:wait(timeout) end,
  ready = function(p) p:wake() end,
  fails = function(p) p:wait(0) end,
}

types[#types + 1] = {
  name = "lipc.timer",
  open = function() return assert(ipc.timer.open()), {} end,
  failing = "ipc.timer.open()",
  wait = function(t, timeout) return t:wait(timeout) end,
  ready = function(t) assert(t:set(0)) end,
  fails = function(t) t:wait(0) end,
}

types[#types + 1] = {
  name = "lipc.mqueue",
  open = function() return queue(), {} end,
  failing = "ipc.mqueue.open('/lipc-none', { create = true })",
  wait = function(q, timeout) return q:receive(timeout) end,
  ready = function(q) assert(q:send "x") end,
  fails = function(q) q:receive(0) end,
}

types[#types + 1] = { -- the same, full
  name = "lipc.mqueue",
  open = function()
    local q = queue()
    q:send "x"
    return q, {}
  end,
  wait = function(q, timeout) return q:send("y", timeout) end,
  ready = function(q) assert(q:receive(0)) end,
  fails = function(q) q:send("x", 0) end,
}

types[#types + 1] = {
  name = "lipc.semaphore",
  open = function()
    return assert(ipc.semaphore.open("/" .. names.new(), { create = true, exclusive = true, unlink = true })), {}
  end,
  failing = "ipc.semaphore.open('/lipc-never', { create = true })",
  held = mappings,
  wait = function(s, timeout) return s:wait(timeout) end,
  ready = function(s) assert(s:post()) end,
  fails = function(s) s:wait(0) end,
}

local sets = {} -- ids of those that were made

types[#types + 1] = {
  name = "lipc.sysv.sem",
  open = function()
    local s = assert(ipc.sysv.sem.open("private", { unlink = true }))
    sets[#sets + 1] = s:id()
    return s, {}
  end,
  held = function()
    local n = 0
    for _, id in ipairs(sets) do
      if ipc.sysv.sem.fromid(id) then n = n + 1 end
    end
    return n
  end,
  wait = function(s, timeout) return s:wait(1, timeout) end,
  ready = function(s) assert(s:post(1)) end,
  fails = function(s) s:wait(1, 0) end,
}

-- Of two descriptions of one file, whose name is gone already; the other one holds it.
local function two_locks(range)
  local path = names.path()
  local o = assert(ipc.flock.open(path, { create = true, exclusive = true }))
  local other = assert(ipc.flock.open(path))
  os.remove(path)
  if not range then
    assert(other:lock "exclusive")
    return o, { other }
  end
  local theirs = other:range(0, 10)
  assert(theirs:lock "exclusive")
  return o:range(5, 10), { theirs, other, o }
end

types[#types + 1] = {
  name = "lipc.flock",
  open = function() return two_locks(false) end,
  failing = "ipc.flock.open('/', { access = 'r' })",
  wait = function(f, timeout) return f:lock("exclusive", timeout) end,
  ready = function(_, others) assert(others[1]:unlock()) end,
  fails = function(f) f:trylock "shared" end,
}

types[#types + 1] = {
  name = "lipc.flock.range",
  open = function() return two_locks(true) end,
  -- valgrind lets no signal end F_OFD_SETLKW
  wait = os.getenv "LIPC_SPEC_MODE" ~= "valgrind" and function(r, timeout) return r:lock("shared", timeout) end or nil,
  ready = function(_, others) assert(others[1]:unlock()) end,
  fails = function(r) r:trylock "shared" end,
}

types[#types + 1] = {
  name = "lipc.flock.lockfile",
  open = function() return assert(ipc.flock.lockfile(names.path ".pid")), {} end,
  failing = "ipc.flock.lockfile '/tmp/lipc-never-made.pid'",
  fails = function(f) f:stale() end,
}

types[#types + 1] = {
  name = "lipc.shm",
  open = function() return assert(ipc.shm.open("/" .. names.new(), { create = true, size = 10, unlink = true })), {} end,
  failing = "ipc.shm.open('/lipc-never-made', { create = true, size = 10 })",
  fails = function(s) s:read(0, 1) end,
}

types[#types + 1] = {
  name = "lipc.mmap",
  open = function()
    local path = names.path()
    local m = assert(ipc.mmap.open(path, { create = true, size = 10 }))
    os.remove(path)
    return m, {}
  end,
  failing = "ipc.mmap.open('/etc/passwd', { readonly = true })",
  fails = function(m) m:write(0, "x") end,
}

types[#types + 1] = {
  name = "lipc.sysv.msg",
  open = function() return assert(ipc.sysv.msg.open("private", { unlink = true })), {} end,
  held = false,
  wait = function(q, timeout) return q:receive(1, timeout) end,
  ready = function(q) assert(q:send(1, "x")) end,
  fails = function(q) q:receive(1, 0) end,
}

-- One of lipc.shared, and a child that has its lock until it is told to give it back.
local function shared(make)
  return function()
    local o = make()
    local r, w = assert(ipc.pipe.open())
    local back, go = assert(ipc.pipe.open())
    local p = assert(ipc.process.fork(function()
      o:with(function()
        assert(w:write "x")
        back:read(1)
      end)
    end, { kill_on_close = true }))
    assert(r:read(1) == "x")
    for _, pipe in ipairs { r, w, back } do pipe:close() end
    return o, { go, p }
  end, function(_, others) assert(others[1]:write "x") end
end

for what, make in pairs {
  value = function() return assert(ipc.shared.value("i64", 0)) end,
  dict = function() return assert(ipc.shared.dict { capacity = 10 }) end,
  array = function() return assert(ipc.shared.array("f64", 10)) end,
  struct = function() return assert(ipc.shared.struct { { "x", "f64" } }) end,
} do
  local open, ready = shared(make)
  local function operate(o, timeout)
    if what == "value" then return o:add(1, timeout) end
    if what == "dict" then return o:set("k", 1, timeout) end
    local ok, message, code = o:lock(timeout)
    if ok then o:unlock() end
    return ok, message, code
  end
  types[#types + 1] = {
    name = "lipc.shared." .. what,
    open = open,
    wait = operate,
    ready = ready,
    fails = function(o) o:lock(0) end,
  }
end

-- Locks in shared memory, by name, so that closing them is seen.
local function lock_type(kind, opts, row)
  opts.create, opts.exclusive, opts.unlink = true, true, true
  types[#types + 1] = {
    name = "lipc.sync." .. kind,
    open = function()
      local name = "/" .. names.new()
      local o = assert(ipc.sync[kind](name, opts))
      return o, row.others and row.others(o, name) or {}
    end,
    failing = row.failing,
    held = mappings,
    wait = row.wait,
    ready = row.ready,
    fails = row.fails,
  }
end

lock_type("mutex", {}, {
  failing = "ipc.sync.mutex('/lipc-never', { create = true })",
  others = function(_, name)
    local other = assert(ipc.sync.mutex(name))
    local co = coroutine.create(function() return other:lock(0) end) -- for another coroutine to wait for
    assert(coroutine.resume(co))
    return { other }
  end,
  wait = function(m, timeout) return m:lock(timeout) end,
  ready = function(_, others) others[1]:close() end,
  fails = function(m) m:lock(0) end,
})

local mutexes = setmetatable({}, { __mode = "k" }) -- of conditions

-- A child that does it again and again, until it is closed: what comes before anybody waits is lost.
local function again(others, fn)
  others[#others + 1] = assert(ipc.process.fork(function()
    while true do
      fn()
      ipc.sleep(0.001)
    end
  end, { kill_on_close = true }))
end

lock_type("cond", {}, {
  failing = "ipc.sync.cond('/lipc-never', { create = true })",
  others = function(c)
    local map = assert(ipc.mmap.anonymous(4096))
    mutexes[c] = assert(ipc.sync.mutex(map, 0, { create = true }))
    return { mutexes[c], map }
  end,
  wait = function(c, timeout)
    local m = mutexes[c]
    assert(m:lock())
    if tostring(c):find "closed" then -- by a callback, which lock has run
      m:unlock()
      return nil, "cond:wait: closed", "ECANCELED"
    end
    local r = table.pack(c:wait(m, timeout))
    m:unlock()
    return table.unpack(r, 1, r.n)
  end,
  ready = function(c, others) again(others, function() c:signal() end) end,
  fails = function(c) c:signal() end,
})

lock_type("rwlock", {}, {
  failing = "ipc.sync.rwlock('/lipc-never', { create = true })",
  others = function(_, name)
    local other = assert(ipc.sync.rwlock(name))
    assert(other:wrlock())
    return { other }
  end,
  wait = function(rw, timeout) return rw:rdlock(timeout) end,
  ready = function(_, others) others[1]:close() end,
  fails = function(rw) rw:rdlock(0) end,
})

lock_type("barrier", { parties = 2 }, {
  failing = "ipc.sync.barrier('/lipc-never', { create = true, parties = 2 })",
  others = function(_, name) return { assert(ipc.sync.barrier(name)) } end,
  wait = function(b, timeout) return b:wait(timeout) end,
  ready = function(_, others)
    local other = others[1]
    again(others, function() other:wait(60) end)
  end,
  fails = function(b) b:wait(0) end,
})

return types
