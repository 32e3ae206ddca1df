-- adopt(fromfd, fd): adopts a duplicate of fd, which is closed again when there is no memory for that
local probe = require "support.probe"
return function(fromfd, fd)
  local copy = probe.dup(fd)
  local ok, object = pcall(fromfd, copy)
  if ok then return object end
  probe.close(copy)
  error(object, 0)
end
