rockspec_format = "3.0"
package = "lipc"
version = "dev-1"
source = {
  url = ".", -- names the archive when there is a release; `luarocks make` does not read it
}
description = {
  summary = "Every way processes talk to each other, as Lua objects",
  detailed = [[
Pipes, FIFOs, sockets, message queues, shared memory, semaphores, locks, signals and child
processes as Lua objects of one shape, each wait with a deadline; and over them brokered messaging
in pure Lua that speaks the NATS client protocol.]],
  license = "MIT",
  labels = { "ipc", "process", "pipe", "socket", "shared-memory", "messaging", "posix" },
}
supported_platforms = { "unix" }
dependencies = {
  "lua >= 5.4, < 5.5",
  "dkjson >= 2.5",
}
test_dependencies = {
  "busted >= 2.1",
}
-- The lists are checked against the tree by `make lint` (.lint/rockspec).  No flags and no probes:
-- the sources say what is visible, and find out themselves what the system has.
build = {
  type = "builtin",
  modules = {
    ["lipc.core"] = {
      sources = {
      },
    },
  },
  copy_directories = { "doc", "examples" },
}
