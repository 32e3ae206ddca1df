/* pipe.c - a one-way channel between relatives; pipe(2), pipe(7).  POSIX; packets, capacity, splice
** and tee are Linux's.  fork: both processes hold both ends, so close the one not used, or the end
** of the stream never comes.  close of all writers: end of stream; of all readers: EPIPE.
** SPDX-License-Identifier: MIT */
#include "kit_stream.h"

/* r:capacity([bytes]) -> bytes | nil, msg, code: the kernel's buffer; a new size is rounded up, and
** limited by /proc/sys/fs/pipe-max-size   -- see fcntl(2) F_SETPIPE_SZ */
static int l_pipe_capacity (lua_State *L) {
  Stream *s = lipc_checkopen(L, 1);
  size_t size;
  int r;
  if (lua_isnoneornil(L, 2)) {
    r = lipcsys_getpipesize(s->h.fd, &size);
  } else {
    lua_Integer want = luaL_checkinteger(L, 2);
    luaL_argcheck(L, 0 < want && want <= INT32_MAX, 2, "size out of range");
    r = lipcsys_setpipesize(s->h.fd, (size_t)want, &size);
  }
  if (r < 0) return lipc_failself(L, "capacity", r);
  lua_pushinteger(L, (lua_Integer)size);
  return 1;
}

/* What was read ahead goes first, by an ordinary write: to is where, with its object or NULL. */
static int pass_buffered (Stream *s, int to, struct lipc_handle *with, size_t max, size_t *ret_n) {
  struct lipcsys_fdinfo info;
  unsigned plain = 0, *io = with != NULL ? &with->io : &plain;
  int r = 0;
  if (with == NULL && (r = lipcsys_fdinfo(to, &info)) == 0) plain = info.io;
  size_t n = s->rend - s->rpos;
  if (r == 0) r = lipcsys_write(to, io, s->rbuf + s->rpos, n < max ? n : max, ret_n);
  if (r == 0) s->rpos += *ret_n;
  return r;
}

/* Moves or copies; when it would block, finds out which of the two is not ready and waits for it. */
static int transfer (lua_State *L, const char *op, bool outwards,
                     int move(int, int, size_t, size_t *)) {
  Stream *s = lua_touserdata(L, 1);
  struct lipc_handle *with = lipc_testany(L, 2);
  int fd = lipc_checkfd(L, 2), from = outwards ? s->h.fd : fd, to = outwards ? fd : s->h.fd;
  size_t max = (size_t)lua_tointeger(L, 3), n;
  int r;
  if (s->rend > s->rpos && outwards && move == lipcsys_splice)
    r = pass_buffered(s, fd, with, max, &n);
  else r = move(from, to, max, &n);
  if (r == -EAGAIN) {
    bool wake;
    unsigned mine = outwards ? LIPC_IN : LIPC_OUT;
    if (s->rend == s->rpos && lipcsys_wait(s->h.fd, mine, -1, 0, &wake) == -ETIMEDOUT)
      return lipc_again(mine);
    return lipc_again_on(&s->h, fd, with, outwards ? LIPC_OUT : LIPC_IN);
  }
  if (r == 0 && n == 0) r = -LIPC_EEOF;
  if (r < 0) return lipc_failself(L, op, r);
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static int check_transfer (lua_State *L, const struct lipc_op *op) {
  lipc_checkopen(L, 1);
  lipc_checkfd(L, 2);
  luaL_argcheck(L, luaL_checkinteger(L, 3) > 0, 3, "must be positive");
  return lipc_drive(L, op, 4);
}

static int splice_out_step (lua_State *L, int t) {
  (void)t;
  return transfer(L, "splice", true, lipcsys_splice);
}
static const struct lipc_op splice_out_op = {"splice", splice_out_step, LIPC_IN, NULL};

/* reader:splice(to, max[, timeout]) -> bytes | nil, msg, code: moves up to max bytes to a descriptor,
** file or object without copying them through this process   -- see splice(2) */
static int l_reader_splice (lua_State *L) { return check_transfer(L, &splice_out_op); }

static int splice_in_step (lua_State *L, int t) {
  (void)t;
  return transfer(L, "splice", false, lipcsys_splice);
}
static const struct lipc_op splice_in_op = {"splice", splice_in_step, LIPC_OUT, NULL};

/* writer:splice(from, max[, timeout]) -> bytes | nil, msg, code: the same into this pipe */
static int l_writer_splice (lua_State *L) { return check_transfer(L, &splice_in_op); }

static int tee_step (lua_State *L, int t) {
  (void)t;
  return transfer(L, "tee", true, lipcsys_tee);
}
static const struct lipc_op tee_op = {"tee", tee_step, LIPC_IN, NULL};

/* reader:tee(to, max[, timeout]) -> bytes | nil, msg, code: copies to another pipe what stays to be
** read here; not what was already read ahead   -- see tee(2) */
static int l_reader_tee (lua_State *L) { return check_transfer(L, &tee_op); }

static const luaL_Reg reader_methods[] = {
  {"capacity", l_pipe_capacity}, {"splice", l_reader_splice}, {"tee", l_reader_tee}, {NULL, NULL}};
static const luaL_Reg writer_methods[] = {
  {"capacity", l_pipe_capacity}, {"splice", l_writer_splice}, {NULL, NULL}};
static const luaL_Reg *const reader_lists[] = {reader_methods, lipc_stream_reads, NULL};
static const luaL_Reg *const writer_lists[] = {writer_methods, lipc_stream_writes, NULL};

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

static const luaL_Reg funcs[] = {{"open", l_pipe_open}, {"fromfd", l_pipe_fromfd}, {NULL, NULL}};

int lipc_open_pipe (lua_State *L) {
  lipc_class(L, &reader_class);
  return lipc_register(L, &writer_class, funcs);
}
