-- Streams, on pipes: reading as Lua's own files do, accounted writing, buffering, endings.
local ipc = require "lipc"
local names = require "support.names"
local peer = require "support.peer"
local probe = require "support.probe"

local SOON = 30 -- seconds: longer than anything here takes

describe("stream", function()
  local r, w

  before_each(function()
    r, w = assert(ipc.pipe.open())
    r:settimeout(SOON)
    w:settimeout(SOON)
  end)
  after_each(function()
    r:close()
    w:close()
  end)

  -- a process that has the write end as its output
  local function feeding(command)
    local p = peer.sh(("exec 3>/proc/%d/fd/%d; echo ready; { %s; } >&3"):format(probe.getpid(), w:fd(), command))
    assert.equal("ready", p:read())
    return p
  end

  local function file_with(data)
    local f = assert(io.tmpfile())
    f:write(data)
    f:seek "set"
    return f
  end

  -- What a file gives for `formats`, and the rest; of a pipe the same, without the reason of a failure.
  local function results(n, ...)
    local t = table.pack(...)
    for i = 1, n do
      if t[i] == nil then
        for k = i, t.n do t[k] = nil end
        t.n, t[i] = i, "(fail)"
        break
      end
    end
    return t
  end

  local function text(t)
    local out = {}
    for i = 1, t.n do out[i] = math.type(t[i]) and ("%s %s"):format(math.type(t[i]), t[i]) or ("%q"):format(t[i]) end
    return table.concat(out, ", ")
  end

  describe("read", function()
    local function same_as_file(data, ...)
      local n = math.max(1, select("#", ...))
      local f = file_with(data)
      local a, b = ipc.pipe.open()
      assert(b:write(data))
      b:close()
      for _ = 1, 4 do -- the same call again and again, beyond the end
        local want, got = results(n, f:read(...)), results(n, a:read(...))
        assert.equal(text(want), text(got), ("%q read as %s"):format(data, text(table.pack(...))))
      end
      assert.equal(f:read "a", a:read "a")
      f:close()
      a:close()
    end

    it("takes the formats of Lua's files", function()
      same_as_file "one\ntwo\n\nlast"
      same_as_file("one\ntwo\n\nlast", "L")
      same_as_file("one\ntwo\n\nlast", "a")
      same_as_file("one\ntwo\n\nlast", "*l", "*L", "*a")
      same_as_file("one\ntwo\n\nlast", 3, 0, 100)
      same_as_file("", "a", "a")
      same_as_file("", "l")
      same_as_file("", 0)
      same_as_file("x", 0, 1, 0)
      same_as_file("a\0b\n\0", "l", "l")
      same_as_file("12 0x1F 1e2 -5 +.5 0x.8p1", "n", "n", "n", "n", "n", "n")
      same_as_file("  7 x 8", "n", "n", "n")
      same_as_file("0x", "n", "l")
      same_as_file("1e+", "n", "l")
      same_as_file("9223372036854775807 9223372036854775808", "n", "n")
      same_as_file(("1"):rep(199) .. " 2", "n", "n")
      same_as_file(("1"):rep(200) .. " 2", "n", "n")
      same_as_file(("1"):rep(300) .. " 2", "n", "n", "l")
      same_as_file((" "):rep(5000) .. "3", "n")
    end)

    -- Random texts and formats; all at once, and then byte by byte with a timeout after each.
    local chars = { "0", "1", "9", "x", "X", "p", "e", "E", "a", "F", "+", "-", ".", " ", "\n", "\t" }
    local choices = { "n", "l", "L", "n", "n", 0, 1, 3, 7, "a" }
    local function random_case()
      local data, formats = {}, {}
      for i = 1, math.random(0, 40) do data[i] = chars[math.random(#chars)] end
      for i = 1, math.random(1, 4) do formats[i] = choices[math.random(#choices)] end
      return table.concat(data), formats
    end

    it("takes formats by their first letter, as Lua does", function()
      local line = ("x"):rep(5000)
      assert(w:write(line, "\n", line, "\n12 and the rest\n"))
      w:close()
      assert.same({ line, line .. "\n", 12, " and the rest\n" }, { r:read("line", "*Line", "number", "*all, on and on") })
    end)

    it("agrees with files on random input", function()
      local seed = math.random(1 << 30)
      math.randomseed(seed)
      for _ = 1, 1000 do
        local data, formats = random_case()
        local ok, why = pcall(same_as_file, data, table.unpack(formats))
        if not ok then error(("seed %d: %s"):format(seed, why), 0) end
      end
    end)

    it("keeps what it had when time ran out, for the next attempt", function()
      local seed = math.random(1 << 30)
      math.randomseed(seed)
      for _ = 1, 300 do
        local data, formats = random_case()
        local f, a, b = file_with(data), ipc.pipe.open()
        a:settimeout(0)
        local want, got = {}, {}
        for i = 1, #data + 1 do
          if i <= #data then assert(b:write(data:sub(i, i))) else b:close() end
          repeat
            local t = table.pack(a:read(table.unpack(formats)))
            local late = t[t.n] == "ETIMEDOUT"
            if late then assert.same({ nil, "pipe:read: timed out", "ETIMEDOUT", n = 3 }, t) end
            if not late then got[#got + 1] = text(results(#formats, table.unpack(t, 1, t.n))) end
          until late or #got > 200 or (i > #data and t[t.n] == "EOF") or t[1] == ""
        end
        for i = 1, #got do want[i] = text(results(#formats, f:read(table.unpack(formats)))) end
        assert.same(want, got, ("seed %d: %q"):format(seed, data))
        f:close()
        a:close()
      end
    end)

    it("gives earlier results before the reason when it ends between formats", function()
      w:write "one\n2 x"
      w:close()
      assert.same({ "one", 2, nil, "pipe:read: malformed number", "EINVAL", n = 5 },
        table.pack(r:read("l", "n", "n", "l")))
      assert.same({ "x", nil, "pipe:read: end of stream", "EOF", n = 4 }, table.pack(r:read("l", "l")))
      assert.same({ nil, "pipe:read: end of stream", "EOF", n = 3 }, table.pack(r:read()))
      assert.equal("", r:read "a")
    end)

    it("refuses misuse", function()
      assert.error_matches(function() r:read "x" end, "#1.*invalid format")
      assert.error_matches(function() r:read("l", {}) end, "#2")
      assert.error_matches(function() r:read(-1) end, "#1.*negative")
      assert.error_matches(function() r.read(w) end, "lipc.pipe.reader expected")
      r:close()
      assert.error_matches(function() r:read() end, "closed pipe")
    end)

    it("survives a finaliser that closes the stream, or reads from it, between two results", function()
      -- in a process of its own: how often the collector works depends on what a process holds
      local out, ok = peer.run [[
        local ipc = require "lipc"
        collectgarbage "incremental"
        collectgarbage("setpause", 0)
        collectgarbage("setstepmul", 1000)
        local lines = ("x"):rep(3000) .. "\n" .. ("y"):rep(3000) .. "\n" .. ("z"):rep(3000) .. "\n"
        local function close(s) s:close() end
        for _, use in ipairs { close, function(s) s:read(5000) end } do
          local hit
          for _ = 1, 100000 do
            local a, b = assert(ipc.pipe.open())
            assert(b:write(lines))
            b:close()
            setmetatable({}, { __gc = function() use(a) end })
            local t = table.pack(pcall(a.read, a, "l", "l", "l"))
            hit = t[t.n] == "ECANCELED"
            a:close()
            if hit then break end
          end
          print(hit)
        end
      ]]
      assert.same({ "true\ntrue\n", true }, { out, ok })
    end)

    it("takes lines longer than any buffer", function()
      local p = feeding [[head -c 1000000 /dev/zero | tr '\0' y; echo; head -c 300000 /dev/zero | tr '\0' z]]
      w:close()
      assert.equal(("y"):rep(1000000), r:read())
      assert.equal(("z"):rep(300000), r:read "L")
      p:close()
    end)

    it("gives a count as soon as it is there", function()
      w:write "12345"
      assert.same({ "1", "234" }, { r:read(1, 3) })
      assert.equal("", r:read(0))
      r:settimeout(0)
      assert.equal("ETIMEDOUT", select(3, r:read(2)))
      w:write "6"
      assert.equal("56", r:read(2))
    end)
  end)

  describe("lines", function()
    it("gives line after line until the end", function()
      w:write "a\n\nb"
      w:close()
      local got = {}
      for line in r:lines() do got[#got + 1] = line end
      assert.same({ "a", "", "b" }, got)
      for _ in r:lines() do error "there is none" end
    end)

    it("takes formats", function()
      w:write "1 one\n2 two\n3"
      w:close()
      local got = {}
      for n, line in r:lines("n", "L") do got[#got + 1] = n .. (line or "") end
      assert.same({ "1 one\n", "2 two\n", "3" }, got)
      assert.error_matches(function() r:lines "q" end, "invalid format")
    end)

    it("raises what is not the end", function()
      w:write "a\nb"
      r:settimeout(0.01)
      local got = {}
      assert.error_matches(function()
        for line in r:lines() do got[#got + 1] = line end
      end, "pipe:.*timed out")
      assert.same({ "a" }, got)
      r:settimeout(SOON)
      w:close()
      assert.equal("b", r:read())
    end)
  end)

  describe("readsome", function()
    it("gives what there is, at most max", function()
      w:write "abcdef"
      assert.equal("ab", r:readsome(2))
      assert.equal("cdef", r:readsome(1000000))
      assert.same({ nil, "pipe:readsome: timed out", "ETIMEDOUT" }, { r:readsome(1, 0) })
      w:close()
      assert.same({ nil, "pipe:readsome: end of stream", "EOF" }, { r:readsome(1) })
      assert.error_matches(function() r:readsome(0) end, "#1.*positive")
    end)

    it("gives first what was read ahead, and timeout() says so", function()
      w:write "line\nrest"
      assert.is_nil(r:timeout())
      assert.equal("line", r:read())
      assert.equal(0, r:timeout())
      w:write "more"
      assert.equal("rest", r:readsome(100))
      assert.is_nil(r:timeout())
      assert.equal("more", r:readsome(100))
    end)
  end)

  describe("write", function()
    it("takes strings and numbers, and gives the stream", function()
      assert.equal(w, w:write("a", 1, 2.5, "", "b"))
      assert.equal(w, w:write())
      assert.equal(w, w:write "")
      local many = {}
      for i = 1, 200 do many[i] = i end
      w:write(table.unpack(many))
      w:close()
      assert.equal("a12.5b" .. table.concat(many), r:read "a")
      assert.error_matches(function() w:write "x" end, "closed pipe")
    end)

    it("refuses what is no string", function()
      assert.error_matches(function() w:write("a", {}) end, "#2.*string expected")
      r:settimeout(0)
      assert.equal("ETIMEDOUT", select(3, r:readsome(10))) -- nothing of it went
    end)

    it("to a full pipe says how much went", function()
      local capacity = w:capacity()
      w:settimeout(0.02)
      local data = ("0123456789"):rep(capacity // 5)
      local start = ipc.now()
      assert.same({ nil, "pipe:write: timed out", "ETIMEDOUT", capacity }, { w:write("x", data, "y") })
      assert.is_true(ipc.now() - start >= 0.02)
      assert.same({ nil, "pipe:write: timed out", "ETIMEDOUT", 0 }, { w:write "z" })
      w:close()
      assert.equal("x" .. data:sub(1, capacity - 1), r:read "a")
    end)

    it("goes on from there", function()
      local data, sent, got = ("abcdefghij"):rep(100000), 0, {}
      w:settimeout(0)
      repeat
        local ok, _, code, n = w:write(data:sub(sent + 1))
        assert.is_true(ok == w or code == "ETIMEDOUT")
        sent = ok and #data or sent + n
        local s = r:readsome(50000, 0)
        got[#got + 1] = s
      until ok
      w:close()
      got[#got + 1] = r:read "a"
      assert.is_true(data == table.concat(got))
    end)

    it("says how much went before the reader left", function()
      local p = peer.sh(("exec </proc/%d/fd/%d; echo ready; exec head -c 100000 >/dev/null"):format(
        probe.getpid(), r:fd()))
      assert.equal("ready", p:read())
      r:close()
      local _, message, code, n = w:write(("x"):rep(5000000))
      assert.equal("pipe:write: Broken pipe", message)
      assert.equal("EPIPE", code)
      assert.is_true(n >= 100000 and n < 5000000, n)
      p:close()
    end)
  end)

  describe("setvbuf", function()
    local function there()
      r:settimeout(0)
      return (r:readsome(1000000))
    end

    it("full holds writes back until the buffer is full, flush or close", function()
      assert.equal(w, w:setvbuf("full", 10))
      assert.equal(w, w:write "12345")
      assert.is_nil(there())
      w:write "67890"
      assert.is_nil(there())
      w:write "a"
      assert.equal("1234567890", there())
      assert.equal(w, w:flush())
      assert.equal("a", there())
      w:write(("b"):rep(25), "c") -- larger than the buffer
      assert.equal(("b"):rep(25) .. "c", there())
      w:write "last"
      assert.is_true(w:close())
      assert.equal("last", there())
    end)

    it("line sends on when a line ends", function()
      w:setvbuf "line"
      w:write "abc"
      assert.is_nil(there())
      w:write("d\ne", "f")
      assert.equal("abcd\nef", there())
      w:write(1, "\n")
      assert.equal("1\n", there())
    end)

    it("no sends at once, and what was held back before it", function()
      w:setvbuf "full"
      w:write "old"
      w:setvbuf "no"
      assert.equal("old", there())
      w:write "new"
      assert.equal("new", there())
    end)

    it("keeps what could not be sent, and counts what it took", function()
      local capacity = w:capacity()
      w:write(("x"):rep(capacity))
      w:setvbuf("full", 100)
      w:settimeout(0)
      assert.equal(w, w:write(("a"):rep(60)))
      assert.same({ nil, "pipe:write: timed out", "ETIMEDOUT", 0 }, { w:write(("b"):rep(60)) })
      assert.same({ nil, "pipe:flush: timed out", "ETIMEDOUT" }, { w:flush() })
      assert.same({ nil, "pipe:setvbuf: timed out", "ETIMEDOUT" }, { w:setvbuf "no" })
      assert.equal(capacity, #there())
      assert.equal(w, w:flush())
      assert.equal(("a"):rep(60), there())
    end)

    it("close reports what it could not send, and closes", function()
      w:write(("x"):rep(w:capacity()))
      w:setvbuf "full"
      w:write "lost"
      w:settimeout(0.01)
      assert.same({ nil, "pipe:close: timed out", "ETIMEDOUT" }, { w:close() })
      assert.is_true(w:close())
      assert.equal("lipc.pipe.writer (closed)", tostring(w))
      r:settimeout(SOON)
      assert.is_nil(r:read "a":find "lost")
    end)

    it("close closes also when an error ends its wait", function()
      local loop = ipc.loop.new()
      local full = ("x"):rep(w:capacity())
      w:settimeout()
      w:setvbuf("full", #full + 1)
      w:write(full)
      w:flush()
      w:write(full)
      loop:run(function()
        -- no task, and so it cannot wait for ever
        local ok, message = coroutine.wrap(function() return pcall(w.close, w) end)()
        assert.is_false(ok)
        assert.matches("cannot wait here", message)
        assert.matches("closed", tostring(w))
      end)
      loop:close()
      assert.same({ full, nil, "pipe:read: end of stream", "EOF" }, { r:read(#full, 1) })
    end)

    it("reports a dead reader at the flush", function()
      w:setvbuf "full"
      assert.equal(w, w:write "x")
      r:close()
      assert.same({ nil, "pipe:flush: Broken pipe", "EPIPE" }, { w:flush() })
      assert.same({ nil, "pipe:close: Broken pipe", "EPIPE" }, { w:close() })
    end)

    it("refuses misuse", function()
      assert.error_matches(function() w:setvbuf "some" end, "#1.*'some'")
      assert.error_matches(function() w:setvbuf("full", 0) end, "#2.*range")
      assert.is_nil(r.setvbuf)
    end)

    it("leaves a forked child with an empty buffer", function()
      local path = names.path()
      finally(function() os.remove(path) end)
      local out = peer.run([[
        local probe = require "support.probe"
        local r, w = assert(ipc.pipe.open())
        w:setvbuf "full"
        w:write "parent's"
        local me = probe.getpid()
        probe.forkhere()
        if probe.getpid() ~= me then
          w:write " child's"
          w:close()
          os.exit(0, true)
        end
        probe.waitall()
        w:close()
        print(r:read "a")]], path)
      assert.equal(" child'sparent's\n", out)
    end)
  end)

  it("ends for the reader when the writer closes, and the other direction goes on", function()
    local back, there = ipc.pipe.open()
    local p = peer.sh(("exec </proc/%d/fd/%d 3>/proc/%d/fd/%d; echo ready; exec sort -n >&3"):format(
      probe.getpid(), r:fd(), probe.getpid(), there:fd()))
    assert.equal("ready", p:read())
    there:close()
    r:close()
    for i = 1000, 1, -1 do assert(w:write(i, "\n")) end
    back:settimeout(0)
    assert.equal("ETIMEDOUT", select(3, back:read())) -- sort waits for the end
    assert.is_true(w:close())
    back:settimeout(SOON)
    local n = 0
    for line in back:lines() do
      n = n + 1
      assert.equal(tostring(n), line)
    end
    assert.equal(1000, n)
    back:close()
    p:close()
  end)

  it("goes on with the flush of a line that had to wait", function()
    local filled = 0
    w:settimeout(0)
    repeat
      local ok, _, _, part = w:write(("x"):rep(4096))
      filled = filled + (ok and 4096 or part)
    until not ok
    w:setvbuf("line", 8192)
    w:settimeout(SOON)
    local loop <close> = ipc.loop.new()
    local written = false
    loop:wrap(function()
      assert.equal(w, w:write "a line\n")
      written = true
    end)
    loop:step(0)
    assert.is_false(written) -- all of it is in the buffer, and waits
    loop:wrap(function() assert.equal(filled, #r:read(filled)) end)
    loop:run()
    assert.is_true(written)
    assert.equal("a line\n", r:readsome(100, SOON))
  end)
end)
