/* kit_write.c - the writing half of a stream: every byte accounted for, unbuffered unless setvbuf asks;
** and closing, which flushes.  fork: a child starts with an empty write buffer.
** SPDX-License-Identifier: MIT */
#include <limits.h>
#include <string.h>

#include "kit_stream.h"

#define DEFAULTBUF 16384 /* of setvbuf */

/* Registry key, by address: the set of streams for which setvbuf was called (weak keys). */
static const char buffering_key;

/* After fork the buffered bytes are the parent's to write. */
static void own_buffer (Stream *s) {
  if (s->h.forkgen != lipcsys_forkgen) {
    s->h.forkgen = lipcsys_forkgen;
    s->wpos = s->wend = 0;
  }
}

/* Writes what is buffered: 0 when all of it went. */
static int flush_some (Stream *s) {
  while (s->wpos < s->wend) {
    size_t n;
    int r = lipcsys_write(s->h.fd, &s->h.io, s->wbuf + s->wpos, s->wend - s->wpos, &n);
    if (r < 0) return r;
    s->wpos += n;
  }
  s->wpos = s->wend = 0;
  return 0;
}

int lipc_stream_flushsome (Stream *s) {
  own_buffer(s);
  return flush_some(s);
}

/* Of the strings at first .. last, those bytes that come after `done`. */
static int gather (lua_State *L, int first, int last, size_t done, struct lipcsys_piece *p) {
  int n = 0;
  for (int i = first; i <= last && n < LIPC_MAXPIECES; i++) {
    size_t len;
    const char *data = lua_tolstring(L, i, &len);
    if (done >= len) {
      done -= len;
      continue;
    }
    p[n].data = data + done;
    p[n++].size = len - done;
    done = 0;
  }
  return n;
}

/* done bytes of this call are in the kernel or in the buffer: remember it for the next attempt */
static int write_again (lua_State *L, int t, size_t done) {
  lua_settop(L, t + 1);
  lua_pushinteger(L, (lua_Integer)done);
  return lipc_again(LIPC_OUT);
}

static int write_failed (lua_State *L, size_t done, int err) {
  Stream *s = lua_touserdata(L, 1);
  lipc_failself(L, "write", err);
  if (s->raises && err == -EPIPE) {
    s->raised = true;
    lua_settop(L, -2);
    return lua_error(L);
  }
  lua_pushinteger(L, (lua_Integer)done);
  return 4;
}

static size_t write_total (lua_State *L, int t) {
  size_t total = 0;
  for (int i = 2; i < t; i++) total += lua_rawlen(L, i);
  return total;
}

/* Straight to the descriptor, nothing buffered. */
static int write_direct (lua_State *L, Stream *s, int t, size_t done, size_t total) {
  while (done < total) {
    struct lipcsys_piece p[LIPC_MAXPIECES];
    size_t n;
    int pieces = gather(L, 2, t - 1, done, p), r;
    if (pieces == 1) r = lipcsys_write(s->h.fd, &s->h.io, p->data, p->size, &n);
    else r = lipcsys_writev(s->h.fd, &s->h.io, p, pieces, &n);
    if (r == -EAGAIN) return write_again(L, t, done);
    if (r < 0) return write_failed(L, done, r);
    done += n;
  }
  lua_pushvalue(L, 1);
  return 1;
}

/* Through the buffer; what does not fit into an empty buffer goes straight. */
static int write_buffered (lua_State *L, Stream *s, int t, size_t done, size_t total) {
  /* all of it was buffered by an earlier attempt: what goes on is the flush of a line */
  bool line = done > 0 && done == total;
  own_buffer(s);
  if (total - done > s->wcap - s->wend) {
    int r = flush_some(s);
    if (r == -EAGAIN) return write_again(L, t, done);
    if (r < 0) return write_failed(L, done, r);
    if (total - done >= s->wcap) return write_direct(L, s, t, done, total);
  }
  struct lipcsys_piece p[LIPC_MAXPIECES];
  for (int n; done < total;) {
    n = gather(L, 2, t - 1, done, p);
    for (int i = 0; i < n; i++) {
      memcpy(s->wbuf + s->wend, p[i].data, p[i].size);
      s->wend += p[i].size;
      done += p[i].size;
      line = line || (s->vbuf == LIPC_VBUF_LINE && memchr(p[i].data, '\n', p[i].size) != NULL);
    }
  }
  if (line) {
    int r = flush_some(s);
    if (r == -EAGAIN) return write_again(L, t, done);
    if (r < 0) return write_failed(L, done, r);
  }
  lua_pushvalue(L, 1);
  return 1;
}

/* The commonest write of all: one string that fits into the buffer. */
static bool quick_put (Stream *s, const char *data, size_t size) {
  own_buffer(s);
  if (s->vbuf != LIPC_VBUF_FULL || size > s->wcap - s->wend) return false;
  memcpy(s->wbuf + s->wend, data, size);
  s->wend += size;
  return true;
}

static int write_step (lua_State *L, int t) {
  Stream *s = lua_touserdata(L, 1);
  size_t done = lua_gettop(L) > t + 1 ? (size_t)lua_tointeger(L, t + 2) : 0;
  if (t == 3 && done == 0) { /* one string, the short way */
    size_t size;
    const char *data = lua_tolstring(L, 2, &size);
    if (s->vbuf != LIPC_VBUF_NO) {
      if (!quick_put(s, data, size)) return write_buffered(L, s, t, 0, size);
      lua_pushvalue(L, 1);
      return 1;
    }
    int r = size > 0 ? lipcsys_write(s->h.fd, &s->h.io, data, size, &done) : 0;
    if (r == -EAGAIN) return write_again(L, t, 0);
    if (r < 0) return write_failed(L, 0, r);
    if (done == size) {
      lua_pushvalue(L, 1);
      return 1;
    }
  }
  size_t total = write_total(L, t);
  if (s->vbuf == LIPC_VBUF_NO) return write_direct(L, s, t, done, total);
  return write_buffered(L, s, t, done, total);
}

static int write_giveup (lua_State *L, int t, int err) {
  return write_failed(L, lua_gettop(L) > t + 1 ? (size_t)lua_tointeger(L, t + 2) : 0, err);
}
static const struct lipc_op write_op = {"write", write_step, LIPC_OUT, write_giveup};

/* s:write(...) -> s | nil, msg, code, written: strings and numbers, one system call for up to 16 of
** them.  written counts the bytes of this call that went (or, buffered, were taken)
** -- see write(2), pipe(7) */
static int l_stream_write (lua_State *L) {
  int top = lua_gettop(L);
  for (int i = 2; i <= top; i++) luaL_checkstring(L, i);
  return lipc_drive(L, &write_op, top + 1);
}

static int flush_step (lua_State *L, int t) {
  Stream *s = lua_touserdata(L, 1);
  (void)t;
  int r = lipc_stream_flushsome(s);
  if (r == -EAGAIN) return lipc_again(LIPC_OUT);
  if (r < 0) return lipc_failself(L, "flush", r);
  lua_pushvalue(L, 1);
  return 1;
}
static const struct lipc_op flush_op = {"flush", flush_step, LIPC_OUT, NULL};

/* s:flush([timeout]) -> s | nil, msg, code: what is left stays buffered */
static int l_stream_flush (lua_State *L) { return lipc_drive(L, &flush_op, 2); }

static const char *const vbuf_names[] = {"no", "full", "line", NULL};

static int setvbuf_step (lua_State *L, int t) {
  Stream *s = lua_touserdata(L, 1);
  enum lipc_vbuf mode = (enum lipc_vbuf)luaL_checkoption(L, 2, NULL, vbuf_names);
  (void)t;
  int r = lipc_stream_flushsome(s);
  if (r == -EAGAIN) return lipc_again(LIPC_OUT);
  if (r < 0) return lipc_failself(L, "setvbuf", r);
  size_t cap = mode == LIPC_VBUF_NO ? 0 : (size_t)luaL_optinteger(L, 3, DEFAULTBUF);
  s->vbuf = LIPC_VBUF_NO; /* in case that there is no memory */
  s->wbuf = lipc_realloc(L, s->wbuf, s->wcap, cap);
  s->wcap = cap;
  s->vbuf = mode;
  lua_pushvalue(L, 1);
  return 1;
}
static const struct lipc_op setvbuf_op = {"setvbuf", setvbuf_step, LIPC_OUT, NULL};

/* s:setvbuf("no" | "full" | "line"[, size]) -> s | nil, msg, code: writing only; flushes first
** -- see setvbuf(3) */
static int l_stream_setvbuf (lua_State *L) {
  lipc_checkaccess(L, LIPC_OUT);
  luaL_checkoption(L, 2, NULL, vbuf_names);
  lua_Integer size = luaL_optinteger(L, 3, DEFAULTBUF);
  luaL_argcheck(L, 0 < size && size <= INT_MAX, 3, "size out of range");
  lua_settop(L, 3);
  lipc_pushweak(L, &buffering_key, "k");
  lua_pushvalue(L, 1);
  lua_pushboolean(L, 1);
  lua_rawset(L, 4);
  lua_settop(L, 3);
  return lipc_drive(L, &setvbuf_op, 4);
}

int lipc_stream_flushall (lua_State *L) {
  int set = lua_gettop(L) + 1, failed = 0;
  lua_Integer n = 0;
  lipc_pushweak(L, &buffering_key, "k");
  lua_newtable(L); /* a list: what runs during a wait may change the set */
  for (lua_pushnil(L); lua_next(L, set); lua_pop(L, 1)) {
    lua_pushvalue(L, -2);
    lua_rawseti(L, set + 1, ++n);
  }
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, set + 1, i);
    Stream *s = lua_touserdata(L, -1);
    own_buffer(s);
    if (lipc_isopen(&s->h) && s->wend > s->wpos && lua_getmetatable(L, -1)) {
      lua_pushcclosure(L, l_stream_flush, 1);
      lua_insert(L, -2);
      lua_call(L, 1, 3);
      if (failed == 0 && lua_isnil(L, -3)) {
        failed = 3;
        lua_rotate(L, set, 3); /* kept below the set */
        set += 3;
        continue;
      }
      lua_pop(L, 2);
    }
    lua_pop(L, 1);
  }
  lua_settop(L, set - 1);
  return failed;
}

/* ---- closing ---- */

/* The descriptor goes whatever the flush said; its failure is what the caller hears. */
static int close_end (lua_State *L, int err) {
  Stream *s = lua_touserdata(L, 1);
  int r = lipc_isopen(&s->h) ? lipc_shut(L, &s->h) : 0;
  return lipc_result(L, "close", err < 0 ? err : r);
}

static int close_step (lua_State *L, int t) {
  Stream *s = lua_touserdata(L, 1);
  (void)t;
  own_buffer(s);
  int r = flush_some(s);
  return r == -EAGAIN ? lipc_again(LIPC_OUT) : close_end(L, r);
}
static int close_giveup (lua_State *L, int t, int err) {
  (void)t;
  return close_end(L, err);
}
static const struct lipc_op close_op = {"close", close_step, 0, close_giveup};

/* s:close() -> true | nil, msg, code: flushes within the default timeout; closed in any case */
static int l_stream_close (lua_State *L) {
  Stream *s = lipc_check(L, 1);
  if (!lipc_isopen(&s->h) || s->wend == s->wpos) return close_end(L, 0);
  lua_settop(L, 1);
  lua_toclose(L, 1); /* gone also when an error (Ctrl-C, a cancelled task) ends the wait */
  return lipc_drive(L, &close_op, 2);
}

int lipc_stream_release (lua_State *L, struct lipc_handle *h, int fd) {
  Stream *s = (Stream *)h;
  if (fd >= 0) { /* collected or left by a block: one attempt for what is buffered */
    own_buffer(s);
    s->h.fd = fd;
    (void)flush_some(s);
    s->h.fd = LIPC_CLOSED;
  }
  lipc_realloc(L, s->rbuf, s->rcap, 0);
  lipc_realloc(L, s->wbuf, s->wcap, 0);
  s->rbuf = s->wbuf = NULL;
  s->rcap = s->rpos = s->rend = s->wcap = s->wpos = s->wend = 0;
  s->vbuf = LIPC_VBUF_NO;
  return fd >= 0 ? lipcsys_close(fd) : 0;
}

Stream *lipc_stream_test (struct lipc_handle *h) {
  for (const luaL_Reg *const *m = h->cls->methods; *m != NULL; m++)
    if (*m == lipc_stream_reads || *m == lipc_stream_writes) return (Stream *)h;
  return NULL;
}

const luaL_Reg lipc_stream_writes[] = {
  {"write", l_stream_write},
  {"flush", l_stream_flush},
  {"setvbuf", l_stream_setvbuf},
  {"close", l_stream_close},
  {NULL, NULL},
};
