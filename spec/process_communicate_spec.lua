-- communicate: writing to a process and reading all that it says, at the same time.
local ipc = require "lipc"
local process, pipe = ipc.process, ipc.pipe

describe("communicate", function()
  local big = ("0123456789abcde\n"):rep(1 << 18) -- 4 MiB

  it("writes and reads at the same time", function()
    local p = assert(process.spawn { "sh", "-c", "tee /dev/stderr", stdin = "pipe", stdout = "pipe", stderr = "pipe" })
    local r = assert(p:communicate(big))
    assert.is_true(r.stdout == big and r.stderr == big)
    assert.same({ ok = true, code = 0 }, r.status)
    p:close()
  end)

  it("goes on after a deadline where it was", function()
    local r, w = assert(pipe.open())
    local p = assert(process.spawn { "sh", "-c", "head -c 100000; read x <&3; cat", stdin = "pipe", stdout = "pipe",
      fds = { [3] = r } })
    r:close()
    local ok, message, code, partial = p:communicate(big, { timeout = 0.05 })
    assert.same({ nil, "process:communicate: timed out", "ETIMEDOUT" }, { ok, message, code })
    assert.is_true(#partial.stdout <= 100000)
    assert.is_false(p:status())
    w:write "go\n"
    local result = assert(p:communicate())
    assert.equal(#big, #result.stdout)
    assert.is_true(result.stdout == big)
    w:close()
    p:close()
  end)

  it("has a limit, and does not mind a child that does not read", function()
    local p = assert(process.spawn { "cat", stdin = "pipe", stdout = "pipe" })
    assert.equal("EMSGSIZE", select(3, p:communicate(big, { max = 1000 })))
    p:kill()
    p:wait(60)
    p:close()
    p = assert(process.spawn { "true", stdin = "pipe" })
    assert.is_true(assert(p:communicate(big)).status.ok)
    p:close()
    p = assert(process.spawn { "true" })
    assert.has_error(function() p:communicate "x" end)
    p:wait(60)
    p:close()
  end)
end)
