-- Capacity, splice and tee: what pipes and FIFOs share.
local ipc = require "lipc"
local names = require "support.names"
local peer = require "support.peer"

local SOON = 30 -- seconds: longer than anything here takes

describe("pipe buffer", function()
  local r, w, r2, w2, path

  before_each(function()
    r, w = assert(ipc.pipe.open())
    r2, w2 = assert(ipc.pipe.open())
    for _, s in ipairs { r, w, r2, w2 } do s:settimeout(SOON) end
    path = names.path()
  end)
  after_each(function()
    for _, s in ipairs { r, w, r2, w2 } do s:close() end
    os.remove(path)
  end)

  local function contents()
    local f = assert(io.open(path, "rb"))
    local s = f:read "a"
    f:close()
    return s
  end

  describe("capacity", function()
    it("is what the kernel says, and can be set from both ends", function()
      assert.equal(r:capacity(), w:capacity())
      assert.equal(16384, r:capacity(10000)) -- rounded up
      assert.equal(16384, w:capacity())
      assert.equal(32768, w:capacity(32768))
      w:settimeout(0)
      assert.equal(32768, select(4, w:write(("x"):rep(100000))))
      assert.same({ nil, "pipe:capacity: Device or resource busy", "EBUSY" }, { w:capacity(4096) })
    end)

    it("refuses misuse", function()
      assert.error_matches(function() r:capacity(0) end, "#1.*range")
      assert.error_matches(function() r:capacity(1 << 40) end, "#1.*range")
      assert.error_matches(function() r:capacity "x" end, "#1")
    end)
  end)

  describe("splice", function()
    it("moves to a file, a pipe, a descriptor", function()
      local f = assert(io.open(path, "wb"))
      w:write "to the file, to the pipe, to the number"
      assert.equal(12, r:splice(f, 12))
      assert.equal(13, r:splice(w2, 13))
      assert.equal(14, r:splice(w2:fd(), 100))
      f:close()
      assert.equal("to the file,", contents())
      assert.equal(" to the pipe, to the number", r2:readsome(100))
    end)

    it("moves from a file, a pipe, a descriptor", function()
      local f = assert(io.open(path, "w+b"))
      f:write "from the file"
      f:seek "set"
      assert.equal(13, w:splice(f, 100))
      assert.same({ nil, "pipe:splice: end of stream", "EOF" }, { w:splice(f, 100) })
      f:close()
      w2:write ", from the pipe, from the number"
      assert.equal(15, w:splice(r2, 15))
      assert.equal(17, w:splice(r2:fd(), 100))
      assert.equal("from the file, from the pipe, from the number", r:readsome(100))
    end)

    it("moves a megabyte between programs", function()
      local p = peer.sh "head -c 1000000 /dev/zero | tr '\\0' x"
      local f = assert(io.open(path, "wb"))
      -- popen's file is a pipe, in blocking mode
      local moved = 0
      repeat
        local n = w:splice(p, 65536)
        if n then
          while n > 0 do
            local m = assert(r:splice(f, n))
            n, moved = n - m, moved + m
          end
        end
      until not n
      p:close()
      f:close()
      assert.equal(1000000, moved)
      assert.is_true(contents() == ("x"):rep(1000000))
    end)

    it("waits for whichever side is not ready", function()
      assert.same({ nil, "pipe:splice: timed out", "ETIMEDOUT" }, { r:splice(w2, 10, 0.01) })
      assert.same({ nil, "pipe:splice: timed out", "ETIMEDOUT" }, { w2:splice(r, 10, 0.01) })
      w:write "here"
      w2:write(("x"):rep(w2:capacity()))
      assert.same({ nil, "pipe:splice: timed out", "ETIMEDOUT" }, { r:splice(w2, 10, 0.01) })
      assert.same({ nil, "pipe:splice: timed out", "ETIMEDOUT" }, { w2:splice(r, 10, 0.01) })
      r2:read(w2:capacity())
      assert.equal(4, r:splice(w2, 10, 0))
      w:close()
      assert.same({ nil, "pipe:splice: end of stream", "EOF" }, { r:splice(w2, 10) })
    end)

    it("does not block in a socket that is in blocking mode", function()
      local a, b = assert(ipc.socket.pair())
      assert(ipc.process.spawn { "true", fds = { [3] = a } }):wait(60) -- a program's descriptors block
      assert.same({ nil, "pipe:splice: timed out", "ETIMEDOUT" }, { w:splice(a, 10, 0.01) })
      a:settimeout(0)
      repeat until not a:write(("x"):rep(4096))
      w:write(("y"):rep(60000))
      assert.same({ nil, "pipe:splice: timed out", "ETIMEDOUT" }, { r:splice(a, 60000, 0.01) })
      assert.same({ nil, "pipe:splice: timed out", "ETIMEDOUT" }, { r:splice(a:fd(), 60000, 0) })
      b:settimeout(0)
      repeat until not b:readsome(65536)
      local moved = assert(r:splice(a, 60000, 60))
      assert.equal(("y"):rep(moved), b:read(moved))
      b:write "z"
      assert.equal(1, w:splice(a, 10, 60))
      a:close()
      b:close()
    end)

    it("is cancelled when the other end is closed meanwhile", function()
      local loop = ipc.loop.new()
      w:write "here"
      w2:write(("x"):rep(w2:capacity()))
      local results
      loop:run(
        function() results = { r:splice(w2, 10) } end,
        function() w2:close() end
      )
      loop:close()
      assert.same({ nil, "pipe:splice: Operation canceled", "ECANCELED" }, results)
    end)

    it("keeps the order of what was read ahead, and of what was not flushed", function()
      w2:setvbuf "full"
      w2:write "1"
      w:write "line\n23"
      assert.equal("line", r:read())
      w:write "45"
      assert.equal(2, r:splice(w2, 100))
      assert.equal(2, r:splice(w2, 100))
      assert.equal("12345", r2:readsome(100))
      w:write "line\n67"
      r:read()
      assert.equal(1, w2:splice(r, 1))
      assert.equal(1, w2:splice(r, 1))
      assert.equal("67", r2:readsome(100))
    end)

    it("refuses misuse", function()
      assert.error_matches(function() r:splice() end, "#1.*descriptor, file or lipc object")
      assert.error_matches(function() r:splice(w2) end, "#2")
      assert.error_matches(function() r:splice(w2, 0) end, "#2.*positive")
      w2:close()
      assert.error_matches(function() r:splice(w2, 1) end, "#1.*closed pipe")
      assert.equal("EINVAL", select(3, w:splice(r, 1))) -- into itself
    end)
  end)

  describe("tee", function()
    it("copies what stays to be read", function()
      w:write "abcdef"
      assert.equal(3, r:tee(w2, 3))
      assert.equal(6, r:tee(w2, 100))
      assert.equal("abcabcdef", r2:readsome(100))
      assert.equal("abcdef", r:readsome(100))
    end)

    it("begins with what was read ahead", function()
      w:write "line\nrest"
      r:read()
      w:write "more"
      assert.equal(4, r:tee(w2, 100))
      assert.equal("rest", r2:readsome(100))
      assert.equal("restmore", r:read(8))
    end)

    it("waits, ends and fails as splice does", function()
      assert.same({ nil, "pipe:tee: timed out", "ETIMEDOUT" }, { r:tee(w2, 10, 0.01) })
      local f = io.tmpfile()
      w:write "x"
      assert.same({ nil, "pipe:tee: Invalid argument", "EINVAL" }, { r:tee(f, 10) })
      f:close()
      assert.equal("x", r:readsome(1))
      w:close()
      assert.same({ nil, "pipe:tee: end of stream", "EOF" }, { r:tee(w2, 10) })
    end)
  end)
end)
