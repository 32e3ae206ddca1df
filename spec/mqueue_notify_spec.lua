-- POSIX message queues: mq_notify, with a signal.
local ipc = require "lipc"
local child = require "support.child"
local mq = require "support.mqueue"
local peer = require "support.peer"
local probe = require "support.probe"

local SOON = 30 -- seconds: longer than anything here takes

describe("mqueue notify", function()
  local signal = ipc.signal
  local open
  mq.watch { setup = setup, teardown = teardown, before_each = before_each, after_each = after_each }
  before_each(function() open = {} end)
  after_each(function()
    for _, o in ipairs(open) do o:close() end
  end)
  local function keep(o)
    open[#open + 1] = o
    return o
  end

  it("tells a queue of signals who sent, once, when a message comes to the empty queue", function()
    local q, name = mq.new()
    local set = keep(assert(signal.set { "SIGUSR1" }))
    assert.is_true(q:notify("SIGUSR1", { value = -5 }))
    local p = peer.sh(("echo $$; exec %s send %s 0 61 0 62"):format(mq.path(), name))
    local pid = p:read "n"
    local info = assert(set:receive(SOON))
    assert.same({ signal = "SIGUSR1", signo = info.signo, code = "SI_MESGQ", pid = pid, uid = probe.getuid(), value = -5 },
      info)
    p:close()
    assert.equal("ETIMEDOUT", select(3, set:receive(0))) -- once
    assert.equal("a", q:receive(0))
    assert.is_true(q:notify(info.signo)) -- again, by number; but the queue is not empty
    assert.is_true(q:send "c")
    assert.equal("ETIMEDOUT", select(3, set:receive(0)))
    q:receive(0)
    q:receive(0)
    assert.is_true(q:send "d")
    info = assert(set:receive(SOON))
    assert.same({ "SI_MESGQ", 0, probe.getpid() }, { info.code, info.value, info.pid })
  end)

  it("runs a callback", function()
    local q, name = mq.new()
    local got
    keep(assert(signal.on("SIGUSR2", function(signame) got = signame .. " " .. q:receive(0) end)))
    assert.is_true(q:notify "SIGUSR2")
    assert.equal("sent\n", mq.twinout("send", name, 2, mq.hex "news"))
    signal.dispatch()
    assert.equal("SIGUSR2 news", got)
  end)

  it("takes real-time signals, queued one by one", function()
    local a, b = mq.new(), mq.new()
    local set = keep(assert(signal.set { "SIGRTMIN+2" }))
    assert.is_true(a:notify("SIGRTMIN+2", { value = 1 }))
    assert.is_true(b:notify("SIGRTMIN+2", { value = 2147483647 }))
    a:send "x"
    b:send "y"
    assert.equal(1, set:receive(SOON).value)
    assert.equal(2147483647, set:receive(SOON).value)
  end)

  it("is taken back, by notify without a signal and by close", function()
    local q, name = mq.new()
    local set = keep(assert(signal.set { "SIGUSR1" }))
    assert.is_true(q:notify "SIGUSR1")
    assert.is_true(q:notify())
    assert.is_true(q:notify()) -- there is none: no harm
    q:send "x"
    q:receive()
    assert.equal("ETIMEDOUT", select(3, set:receive(0)))
    assert.is_true(q:notify "SIGUSR1")
    local other = mq.keep(assert(ipc.mqueue.open(name)))
    other:close() -- any descriptor of the queue in this process
    q:send "y"
    assert.equal("ETIMEDOUT", select(3, set:receive(0)))
  end)

  it("is for one process at a time", function()
    local q, name = mq.new()
    local p = mq.twin("notify", name, 10, 77)
    assert.equal("asked", p:read "l")
    local busy = { nil,
      ("mqueue:notify %s: Device or resource busy (one process at a time can ask for it, and one has; it takes that back by notify())"):format(name),
      "EBUSY" }
    assert.same(busy, { q:notify "SIGUSR1" })
    assert.is_true(q:notify()) -- takes back our own only
    assert.same(busy, { q:notify "SIGUSR1" })
    assert.is_true(q:send "x")
    assert.equal(("SI_MESGQ 77 from %d"):format(probe.getpid()), p:read "l") -- a program in C, told by lipc's message
    p:close()
    assert.is_true(q:notify "SIGUSR1")
    assert.same(busy, { q:notify "SIGUSR1" }) -- our own counts too
    assert.is_true(q:notify())
  end)

  it("comes although lipc waits for the message; not where a program in C blocks for it", function()
    local q, name = mq.new()
    local set = keep(assert(signal.set { "SIGUSR1" }))
    assert.is_true(q:notify "SIGUSR1")
    local p = mq.twin("receive", name, 1)
    child.sleeping(tonumber(p:read "l":match "^receiving (%d+)$"))
    assert.is_true(q:send "x")
    assert.equal("0 78", p:read "l")
    p:close()
    assert.equal("ETIMEDOUT", select(3, set:receive(0)))

    local sender = peer.lua([[
      require "support.child".sleeping(tonumber(arg[2]))
      assert(ipc.mqueue.open(arg[1]):send "y")]], name, probe.getpid())
    assert.equal("y", q:receive(SOON))
    assert.equal("SI_MESGQ", set:receive(SOON).code)
    sender:close()
  end)

  it("refuses misuse", function()
    local q = mq.new()
    assert.error_matches(function() q:notify "SIGNONE" end, "#1.*unknown signal 'SIGNONE'")
    assert.error_matches(function() q:notify(0) end, "#1.*no signal has number 0")
    assert.error_matches(function() q:notify {} end, "#1.*signal name or number expected")
    assert.error_matches(function() q:notify("SIGUSR1", { value = 1 << 31 }) end, "option 'value': 2147483648 is out of range")
    assert.error_matches(function() q:notify("SIGUSR1", { val = 1 }) end, "unknown option 'val'")
    assert.error_matches(function() q:notify(nil, { value = 1 }) end, "#2.*options without a signal")
  end)
end)
