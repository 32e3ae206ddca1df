-- The examples of System V queues and segments.
local names = require "support.names"
local peer = require "support.peer"
local support = require "support.sysv"

local lua = os.getenv "LUA" or "lua5.4"

describe("the example", function()
  it("sysv_msg_sender and sysv_msg_receiver: two unrelated processes, in any order", function()
    local path = names.path ".key"
    assert(io.open(path, "w")):close()
    local key = require "lipc".sysv.ftok(path, "A")
    local args = " " .. peer.quote(path)
    local receiver = peer.sh(lua .. " examples/sysv_msg_receiver.lua" .. args .. " 2>&1")
    assert.equal("sent\t2\n", (peer.example("sysv_msg_sender", path, "one", "two words")))
    assert.equal("type 1: one\ntype 1: two words\n", receiver:read "a")
    assert.is_true(receiver:close())
    assert.equal("sent\t1\n", (peer.example("sysv_msg_sender", path)))
    assert.equal("type 1: hello\n", (peer.example("sysv_msg_receiver", path)))
    for _, o in pairs(support.byid "msg") do assert.not_equal(key, o.key) end
    os.remove(path)
  end)

  it("sysv_shm_steps", function()
    local out = peer.shown "sysv_shm_steps"
    assert.equal([[
1. made: 4096 bytes
2. attached: 1 time
3. written
4. detached: 0 times
5. another process reads: Hello, world
6. removed: ENOENT
]], out)
  end)

  it("mistake_msgsz", function()
    local out = peer.shown "mistake_msgsz"
    assert.equal([[
max = 5: message too large (it has 13 bytes, max is 5)
received: 13 bytes, "hello........"
sent by lipc: 5 bytes
]], out)
  end)
end)
