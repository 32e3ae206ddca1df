/* kit_pipebuf.c - the kernel's pipe buffer: its capacity, and moving (splice) or copying (tee) its
** contents without taking them through this process.  splice(2), tee(2), pipe(7).  What an object
** has read ahead, or not flushed yet, keeps its place in the order.
** SPDX-License-Identifier: MIT */
#include "kit_pipebuf.h"

#define SURE 4096 /* so much is taken by what polls as writable: PIPE_BUF */

/* p:capacity([bytes]) -> bytes | nil, msg, code: the kernel's buffer; a new size is rounded up, and
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

/* One of the two descriptors of a transfer, with its object when it has one. */
struct end {
  int fd;
  struct lipc_handle *h;
  Stream *s; /* the object when it is a stream: it may hold data of its own */
};

static struct end self_end (lua_State *L) {
  Stream *s = lua_touserdata(L, 1);
  return (struct end){s->h.fd, &s->h, s};
}

static struct end other_end (lua_State *L) {
  struct lipc_handle *h = lipc_testany(L, 2);
  if (h != NULL && !lipc_isopen(h)) return (struct end){-1, h, NULL};
  return (struct end){lipc_checkfd(L, 2), h, h != NULL ? lipc_stream_test(h) : NULL};
}

static int find_io (struct end e, unsigned *ret_io) {
  struct lipcsys_fdinfo info;
  if (e.h != NULL) {
    *ret_io = e.h->io;
    return 0;
  }
  int r = lipcsys_fdinfo(e.fd, &info);
  if (r == 0) *ret_io = info.io;
  return r;
}

/* SPLICE_F_NONBLOCK is for pipes only: of another descriptor in blocking mode it has to be seen first
** that it is ready, and it gets no more than what there will be room for. */
static int look (struct end e, unsigned dir, size_t *max) {
  unsigned io = 0;
  bool wake;
  int r = find_io(e, &io);
  if (r < 0 || io & (LIPC_IO_NONBLOCK | LIPC_IO_PIPE | LIPC_IO_REGULAR)) return r;
  if (dir == LIPC_OUT && *max > SURE) *max = SURE;
  r = lipcsys_wait(e.fd, dir, -1, 0, &wake);
  return r == -ETIMEDOUT ? -EAGAIN : r;
}

/* What was read ahead comes before what is in the pipe, by an ordinary write. */
static int send_readahead (const Stream *from, struct end to, size_t max, size_t *ret_n) {
  unsigned io = 0;
  size_t n = from->rend - from->rpos;
  int r = find_io(to, &io);
  if (r < 0) return r;
  return lipcsys_write(to.fd, to.h != NULL ? &to.h->io : &io, from->rbuf + from->rpos,
                       n < max ? n : max, ret_n);
}

/* One attempt; *ret_local when it was our own buffers that stood still, so that only `to` matters. */
static int attempt (struct end from, struct end to, size_t max, bool copy, size_t *ret_n,
                    bool *ret_local) {
  int r = 0;
  *ret_local = true;
  if (to.s != NULL) r = lipc_stream_flushsome(to.s);
  if (r < 0) return r;
  if (from.s != NULL && from.s->rend > from.s->rpos) {
    r = send_readahead(from.s, to, max, ret_n);
    if (r == 0 && !copy) from.s->rpos += *ret_n;
    return r;
  }
  *ret_local = false;
  if (!copy) {
    if ((r = look(from, LIPC_IN, &max)) < 0) return r;
    if ((r = look(to, LIPC_OUT, &max)) < 0) return r;
  }
  return copy ? lipcsys_tee(from.fd, to.fd, max, ret_n)
              : lipcsys_splice(from.fd, to.fd, max, ret_n);
}

/* When it would block, finds out which of the two is not ready and waits for that one. */
static int transfer (lua_State *L, const char *op, bool outwards, bool copy) {
  struct end self = self_end(L), other = other_end(L);
  struct end from = outwards ? self : other, to = outwards ? other : self;
  size_t n;
  bool local, wake;
  if (other.fd < 0) return lipc_failself(L, op, -ECANCELED); /* closed while we waited */
  int r = attempt(from, to, (size_t)lua_tointeger(L, 3), copy, &n, &local);
  if (r == -EAGAIN) {
    bool input = !local && lipcsys_wait(from.fd, LIPC_IN, -1, 0, &wake) == -ETIMEDOUT;
    unsigned event = input ? LIPC_IN : LIPC_OUT;
    if (input == outwards) return lipc_again(event);
    return lipc_again_on(self.h, other.fd, other.h, event);
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
  return transfer(L, "splice", true, false);
}
static const struct lipc_op splice_out_op = {"splice", splice_out_step, LIPC_IN, NULL};

/* reader:splice(to, max[, timeout]) -> bytes | nil, msg, code: moves up to max bytes to a descriptor,
** file or object without copying them through this process   -- see splice(2) */
static int l_reader_splice (lua_State *L) { return check_transfer(L, &splice_out_op); }

static int splice_in_step (lua_State *L, int t) {
  (void)t;
  return transfer(L, "splice", false, false);
}
static const struct lipc_op splice_in_op = {"splice", splice_in_step, LIPC_OUT, NULL};

/* writer:splice(from, max[, timeout]) -> bytes | nil, msg, code: the same into this pipe */
static int l_writer_splice (lua_State *L) { return check_transfer(L, &splice_in_op); }

static int tee_step (lua_State *L, int t) {
  (void)t;
  return transfer(L, "tee", true, true);
}
static const struct lipc_op tee_op = {"tee", tee_step, LIPC_IN, NULL};

/* reader:tee(to, max[, timeout]) -> bytes | nil, msg, code: copies to another pipe, from the first
** unread byte on, what stays to be read here   -- see tee(2) */
static int l_reader_tee (lua_State *L) { return check_transfer(L, &tee_op); }

const luaL_Reg lipc_pipe_reads[] = {
  {"capacity", l_pipe_capacity},
  {"splice", l_reader_splice},
  {"tee", l_reader_tee},
  {NULL, NULL},
};
const luaL_Reg lipc_pipe_writes[] = {
  {"capacity", l_pipe_capacity},
  {"splice", l_writer_splice},
  {NULL, NULL},
};
