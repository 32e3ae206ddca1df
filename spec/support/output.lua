-- Output of a run of the specs: a line for each file, the failures in full, these once more after the
-- last file, and at the very end, alone on its line, `N passed, N failed[, N skipped]`.  A skipped test is a failure when the
-- environment has CI=true.  -Xoutput verbose (make test V=1): a line for each test with its time.
return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()

  local verbose = options.verbose
  for _, word in ipairs(options.arguments or {}) do
    if word == "verbose" then verbose = true end
  end
  local ci = (os.getenv "CI" or "") ~= "" and os.getenv "CI" ~= "false"
  local total = { passed = 0, failed = 0, skipped = 0 }
  local file = { passed = 0, failed = 0, skipped = 0 }

  local function say(...)
    io.stdout:write(string.format(...))
    io.stdout:flush()
  end

  local function count(what)
    total[what] = total[what] + 1
    file[what] = file[what] + 1
  end

  local failures = {}

  local function describe(kind, element, message, trace)
    local where = trace or element.trace
    local name = element.descriptor == "file" and element.name or handler.getFullName(element)
    local lines = { ("%s: %s"):format(kind, name or "?") }
    if where and where.short_src and (where.currentline or 0) > 0 then
      lines[#lines + 1] = ("at %s:%d"):format(where.short_src, where.currentline)
    end
    lines[#lines + 1] = tostring(message or "no message")
    if where and where.traceback and where.traceback ~= "" and kind == "error" then
      lines[#lines + 1] = where.traceback
    end
    local text = table.concat(lines, "\n"):gsub("\n", "\n  ")
    say("\n%s\n", text)
    if kind ~= "skipped" then failures[#failures + 1] = text end
  end

  busted.subscribe({ "suite", "start" }, function(_, run, runs, seed)
    if runs > 1 then say("run %d of %d\n", run, runs) end
    if seed then say("shuffled, SEED=%d\n", seed) end
    return nil, true
  end)

  busted.subscribe({ "file", "start" }, function(element)
    file = { passed = 0, failed = 0, skipped = 0, open = true }
    say("%s ", element.name)
    if verbose then say "\n" end
    return nil, true
  end)

  busted.subscribe({ "file", "end" }, function(element)
    -- The leak check of spec/helper.lua comes first: its errors have been counted by now.
    local n = file.passed + file.failed + file.skipped
    if n == 0 then
      count "failed"
      say "has no test that ran "
    end
    say("%s%d passed%s%s, %.2f s\n", verbose and "  " or "", file.passed,
      file.failed > 0 and (", %d FAILED"):format(file.failed) or "",
      file.skipped > 0 and (", %d skipped"):format(file.skipped) or "", element.duration or 0)
    return nil, true
  end, { priority = 100 })

  busted.subscribe({ "test", "start" }, function(element)
    if verbose then say("  %s ", handler.getFullName(element)) end
    return nil, true
  end)

  local pendings = {}
  busted.subscribe({ "pending" }, function(element, _, message)
    pendings[element] = message
    return nil, true
  end)

  busted.subscribe({ "test", "end" }, function(element, _, status)
    if verbose then say("%s %.3f s\n", status == "success" and "ok" or status, element.duration or 0) end
    if status == "success" then
      count "passed"
    elseif status == "pending" then
      count(ci and "failed" or "skipped")
      describe(ci and "skipped (a failure here)" or "skipped", element, pendings[element] or "pending")
    elseif status == "failure" then
      count "failed"
    end -- "error" was counted where it was reported
    return nil, true
  end)

  busted.subscribe({ "failure" }, function(element, _, message, trace)
    if element.descriptor ~= "it" then count "failed" end -- a test's is counted at its end
    describe("failure", element, message, trace)
    return nil, true
  end)

  busted.subscribe({ "error" }, function(element, _, message, trace)
    count "failed"
    describe("error", element, message, trace)
    return nil, true
  end)

  busted.subscribe({ "exit" }, function()
    if total.passed + total.failed == 0 then total.failed = 1 end
    if #failures > 0 then say("\nfailures:\n%s\n", table.concat(failures, "\n")) end
    say("\n%d passed, %d failed%s\n", total.passed, total.failed,
      total.skipped > 0 and (", %d skipped"):format(total.skipped) or "")
    -- with the state closed, so that finalisers run and leak detectors see the end
    os.exit(total.failed == 0, true)
  end, { priority = 100 })

  return handler
end
