/* pipe.c - a one-way channel between relatives; pipe(2), pipe(7).  POSIX; packets, capacity, splice
** and tee are Linux's.  fork: both processes hold both ends, so close the one not used, or the end
** of the stream never comes.  close of all writers: end of stream; of all readers: EPIPE.
** SPDX-License-Identifier: MIT */
#include "kit_pipebuf.h"

static const luaL_Reg *const reader_lists[] = {lipc_pipe_reads, lipc_stream_reads, NULL};
static const luaL_Reg *const writer_lists[] = {lipc_pipe_writes, lipc_stream_writes, NULL};

static const struct lipc_class reader_class = {.tname = "lipc.pipe.reader",
                                               .label = "pipe",
                                               .size = sizeof(Stream),
                                               .methods = reader_lists,
                                               .release = lipc_stream_release,
                                               .buffered = lipc_stream_buffered};
static const struct lipc_class writer_class = {.tname = "lipc.pipe.writer",
                                               .label = "pipe",
                                               .size = sizeof(Stream),
                                               .methods = writer_lists,
                                               .release = lipc_stream_release};

/* open([{size=, packet=}]) -> reader, writer | nil, msg, code: size in bytes (rounded up by the
** kernel), packet: each write is one message of at most PIPE_BUF   -- see pipe2(2) */
static int l_pipe_open (lua_State *L) {
  static const char *const names[] = {"size", "packet", NULL};
  int fds[2];
  size_t got;
  lipc_checkopts(L, 1, names);
  lua_Integer size = lipc_optint(L, 1, "size", 1, INT32_MAX, 0);
  bool packet = lipc_optbool(L, 1, "packet", false);
  Stream *r = lipc_new(L, &reader_class), *w = lipc_new(L, &writer_class);
  int e = lipcsys_pipe(packet, fds);
  if (e < 0) return lipc_fail(L, "pipe.open", NULL, e);
  r->h.fd = fds[0];
  w->h.fd = fds[1];
  r->h.io = w->h.io = LIPC_IO_NONBLOCK | LIPC_IO_PIPE;
  r->h.access = LIPC_IN;
  w->h.access = LIPC_OUT;
  if (size > 0 && (e = lipcsys_setpipesize(fds[1], (size_t)size, &got)) < 0) {
    lipc_shut(L, &r->h);
    lipc_shut(L, &w->h);
    return lipc_fail(L, "pipe.open", NULL, e);
  }
  return 2;
}

/* fromfd(n) -> reader or writer: adopts one end of a pipe or FIFO; it keeps its flags */
static int l_pipe_fromfd (lua_State *L) {
  struct lipc_handle adopted;
  struct lipcsys_fdinfo info;
  int fd = lipc_adopt(L, 1, &adopted, &info);
  luaL_argcheck(L, info.io & LIPC_IO_PIPE, 1, "not a pipe");
  Stream *s = lipc_new(L, info.access & LIPC_IN ? &reader_class : &writer_class);
  s->h.io = info.io;
  s->h.access = info.access & LIPC_IN ? LIPC_IN : LIPC_OUT;
  s->h.fd = fd;
  return 1;
}

static const luaL_Reg funcs[] = {
  {"open", l_pipe_open},
  {"fromfd", l_pipe_fromfd},
  {NULL, NULL},
};

int lipc_open_pipe (lua_State *L) {
  lipc_class(L, &reader_class);
  return lipc_register(L, &writer_class, funcs);
}
