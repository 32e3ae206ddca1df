-- misuse(pattern, f, ...): the call raises an error that matches.
local assert = require "luassert"

return function(pattern, f, ...)
  local arguments = table.pack(...)
  assert.error_matches(function() f(table.unpack(arguments, 1, arguments.n)) end, pattern)
end
