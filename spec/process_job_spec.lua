-- What runs in one process beside the programs of a pipeline: the output of Lua functions is buffered, and nobody
-- has to flush for it to flow.
local ipc = require "lipc"
local process, pipe = ipc.process, ipc.pipe

local function upper(input, output)
  for line in input:lines "L" do output:write(line:upper()) end
end

describe("the output of a Lua stage", function()
  local r, w
  before_each(function() r, w = assert(pipe.open()) end)
  after_each(function()
    r:close()
    w:close()
  end)

  it("is buffered: many lines go at once", function()
    local sizes = {}
    assert(process.pipeline {
      function(_, output)
        for _ = 1, 1000 do output:write "line\n" end
      end,
      function(input)
        for chunk in function() return (input:readsome(65536)) end do sizes[#sizes + 1] = #chunk end
      end,
    })
    local sum = 0
    for _, n in ipairs(sizes) do sum = sum + n end
    assert.equal(5000, sum)
    assert.is_true(#sizes < 50, #sizes)
  end)

  it("goes on whenever the stage waits for input", function()
    local result = assert(process.pipeline {
      { "sh", "-c", "echo a; read x <&3; echo b", fds = { [3] = r } },
      upper,
      function(input, output)
        output:write(input:read "L")
        w:write "go\n" -- the first stage goes on only now
        output:write(input:read "a")
      end,
      timeout = 60,
    })
    assert.same({ "A\nB\n", true }, { result.stdout, result.ok })
  end)

  it("goes on whenever the stage waits for something else, also when the pipe is full", function()
    for _, size in ipairs { 1, 70000 } do
      local result = assert(process.pipeline {
        function(_, output)
          for _ = 1, size do output:write "x" end
          assert.equal("go", r:read())
          output:write "y"
        end,
        function(input, output)
          ipc.sleep(0.01)
          output:write(#input:read(size))
          w:write "go\n"
          output:write(input:read "a")
        end,
        timeout = 60,
      })
      assert.same({ size .. "y", true }, { result.stdout, result.ok })
    end
  end)

  it("ends the stage when nobody reads it any more", function()
    local result = assert(process.pipeline {
      { "sh", "-c", "while echo y; do sleep 0.01; done" }, upper, { "head", "-1" }, timeout = 60,
    })
    assert.same({ "Y\n", "SIGPIPE", true }, { result.stdout, result.stages[2].status.signal, result.ok })
    -- at the end of the stage too
    result = assert(process.pipeline {
      function(_, output)
        output:write "late"
        r:read()
      end,
      function(input)
        input:close()
        w:write "go\n"
      end,
      timeout = 60,
    })
    assert.equal("SIGPIPE", result.stages[1].status.signal)
  end)

  it("that could not be written is the failure of the stage", function()
    local result = assert(process.pipeline {
      function(_, output) output:write "x" end, stdout = { path = "/dev/full", mode = "a" },
    })
    assert.is_false(result.ok)
    assert.matches("No space left", result.status.error)
  end)

  it("is the function's to flush or unbuffer, or close", function()
    local result = assert(process.pipeline {
      function(_, output)
        assert(output:setvbuf "no")
        output:write "a"
        output:setvbuf "line"
        output:write "b\n"
        assert(output:flush())
        output:close()
        r:read()
      end,
      function(input, output)
        output:write(input:read "a")
        w:write "go\n"
      end,
      timeout = 60,
    })
    assert.same({ "ab\n", true }, { result.stdout, result.ok })
  end)
end)
