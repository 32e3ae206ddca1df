-- proto_support.lua - what the specs of the protocol layer share.

local support = {}

---Seeds math.random and prints the seed; LIPC_SEED=<n> in the environment repeats a run.
function support.seed(name)
  local seed = math.tointeger(tonumber(os.getenv "LIPC_SEED")) or (os.time() * 1009 + math.random(1 << 20)) % (1 << 31)
  math.randomseed(seed)
  io.stderr:write(("%s: LIPC_SEED=%d\n"):format(name, seed))
  return seed
end

---A handler that writes down every event as a line.
function support.recorder()
  local events = {}
  local handler = setmetatable({ events = events, run = function () return 0 end }, {
    __index = function (_, name)
      return function (_, ...)
        local parts = table.pack(...)
        for i = 1, parts.n do
          parts[i] = ("%q"):format(parts[i])
        end
        events[#events + 1] = name .. "(" .. table.concat(parts, ",") .. ")"
      end
    end,
  })
  return handler, events
end

---Calls feed with input cut into pieces of `step` bytes, or of random sizes up to -step.
function support.feed_cut(object, input, step)
  local at = 1
  while at <= #input do
    local size = step > 0 and step or math.random(-step)
    object:feed(input:sub(at, at + size - 1))
    at = at + size
  end
end

---Bytes that a function allocates, garbage included: what `part .. chunk` in a loop cannot hide.
function support.allocated(run)
  collectgarbage()
  collectgarbage()
  collectgarbage "stop"
  local before = collectgarbage "count"
  run()
  local after = collectgarbage "count"
  collectgarbage "restart"
  return (after - before) * 1024
end

---Loads a module anew with string functions that count the bytes they may look at and copy; returns it and the counters.
function support.counted(names, run)
  local counts = { calls = 0, bytes = 0 }
  local string = _G["string"]
  local saved, loaded = {}, {}
  for _, name in ipairs { "find", "match", "gmatch", "sub", "gsub", "byte", "upper" } do
    local original = string[name]
    saved[name] = original
    string[name] = function (text, ...)
      counts.calls = counts.calls + 1
      if name == "sub" then
        local piece = original(text, ...)
        counts.bytes = counts.bytes + #piece
        return piece
      end
      if name == "find" then
        local _, from = ...
        local start, stop = original(text, ...)
        counts.bytes = counts.bytes + (stop or #text) - (from and select(2, ...) or 1)
        if start then return original(text, ...) end
        return nil
      end
      return original(text, ...)
    end
  end
  for _, name in ipairs(names) do
    loaded[name] = package.loaded[name]
    package.loaded[name] = nil
  end
  local ok, problem = pcall(run, counts)
  for name, original in pairs(saved) do
    string[name] = original
  end
  for _, name in ipairs(names) do
    package.loaded[name] = loaded[name]
  end
  if not ok then error(problem, 0) end
  return counts
end

return support
