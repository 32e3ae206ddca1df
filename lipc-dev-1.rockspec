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
        "src/core.c",
        "src/eventfd.c",
        "src/fifo.c",
        "src/kit_callbacks.c",
        "src/kit_features.c",
        "src/kit_pipebuf.c",
        "src/kit_read.c",
        "src/kit_wait.c",
        "src/kit_write.c",
        "src/lipc_kit.c",
        "src/pipe.c",
        "src/poll.c",
        "src/process.c",
        "src/process_options.c",
        "src/process_stream.c",
        "src/signal.c",
        "src/socket.c",
        "src/socket_addr.c",
        "src/socket_msg.c",
        "src/socket_open.c",
        "src/socket_opt.c",
        "src/sys_child.c",
        "src/sys_errors.c",
        "src/sys_features.c",
        "src/sys_file.c",
        "src/sys_linux.c",
        "src/sys_poll.c",
        "src/sys_posix.c",
        "src/sys_process.c",
        "src/sys_resolve.c",
        "src/sys_signal.c",
        "src/sys_signame.c",
        "src/sys_sigqueue.c",
        "src/sys_socket.c",
        "src/sys_sockopt.c",
        "src/sys_sockpath.c",
        "src/sys_spawn.c",
        "src/timer.c",
      },
    },
    ["lipc.adapter.cqueues"] = "lua/lipc/adapter/cqueues.lua",
    ["lipc.adapter.luv"] = "lua/lipc/adapter/luv.lua",
    ["lipc.broker"] = "lua/lipc/broker.lua",
    ["lipc.broker.child"] = "lua/lipc/broker/child.lua",
    ["lipc.broker.connection"] = "lua/lipc/broker/connection.lua",
    ["lipc.broker.credentials"] = "lua/lipc/broker/credentials.lua",
    ["lipc.broker.listener"] = "lua/lipc/broker/listener.lua",
    ["lipc.broker.options"] = "lua/lipc/broker/options.lua",
    ["lipc.client"] = "lua/lipc/client.lua",
    ["lipc.client.connection"] = "lua/lipc/client/connection.lua",
    ["lipc.client.message"] = "lua/lipc/client/message.lua",
    ["lipc.client.subscription"] = "lua/lipc/client/subscription.lua",
    ["lipc.client.url"] = "lua/lipc/client/url.lua",
    ["lipc"] = "lua/lipc/init.lua",
    ["lipc.loop"] = "lua/lipc/loop.lua",
    ["lipc.loop.heap"] = "lua/lipc/loop/heap.lua",
    ["lipc.loop.task"] = "lua/lipc/loop/task.lua",
    ["lipc.loop.waiting"] = "lua/lipc/loop/waiting.lua",
    ["lipc.meta.eventfd"] = "lua/lipc/meta/eventfd.lua",
    ["lipc.meta.fifo"] = "lua/lipc/meta/fifo.lua",
    ["lipc.meta"] = "lua/lipc/meta/init.lua",
    ["lipc.meta.object"] = "lua/lipc/meta/object.lua",
    ["lipc.meta.pipe"] = "lua/lipc/meta/pipe.lua",
    ["lipc.meta.signal"] = "lua/lipc/meta/signal.lua",
    ["lipc.meta.socket"] = "lua/lipc/meta/socket.lua",
    ["lipc.meta.stream"] = "lua/lipc/meta/stream.lua",
    ["lipc.meta.timer"] = "lua/lipc/meta/timer.lua",
    ["lipc.process"] = "lua/lipc/process.lua",
    ["lipc.process.cmd"] = "lua/lipc/process/cmd.lua",
    ["lipc.process.communicate"] = "lua/lipc/process/communicate.lua",
    ["lipc.process.core"] = "lua/lipc/process/core.lua",
    ["lipc.process.job"] = "lua/lipc/process/job.lua",
    ["lipc.process.pipeline"] = "lua/lipc/process/pipeline.lua",
    ["lipc.proto.headers"] = "lua/lipc/proto/headers.lua",
    ["lipc.proto.json"] = "lua/lipc/proto/json.lua",
    ["lipc.proto.nats_client"] = "lua/lipc/proto/nats_client.lua",
    ["lipc.proto.nats_client_parser"] = "lua/lipc/proto/nats_client_parser.lua",
    ["lipc.proto.nats_errors"] = "lua/lipc/proto/nats_errors.lua",
    ["lipc.proto.nats_parser"] = "lua/lipc/proto/nats_parser.lua",
    ["lipc.proto.nats_router"] = "lua/lipc/proto/nats_router.lua",
    ["lipc.proto.nats_server"] = "lua/lipc/proto/nats_server.lua",
    ["lipc.proto.nats_server_parser"] = "lua/lipc/proto/nats_server_parser.lua",
    ["lipc.proto.nats_session"] = "lua/lipc/proto/nats_session.lua",
    ["lipc.proto.subject"] = "lua/lipc/proto/subject.lua",
    ["lipc.proto.sublist"] = "lua/lipc/proto/sublist.lua",
  },
  copy_directories = { "doc", "examples" },
}
