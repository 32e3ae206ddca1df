/* kit_stream.c - buffered reading and accounted writing on a descriptor that never blocks.
** Formats and return values are those of the Lua reference manual, io library; what differs is
** said at the functions.  fork: a child starts with an empty write buffer.
** SPDX-License-Identifier: MIT */
#include "kit_stream.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#define FIRSTBUF 4096 /* of the read buffer, and the default of setvbuf */
#define KEEPBUF  65536 /* an empty read buffer larger than this is given back */

static Stream *check_direction (lua_State *L, unsigned dir) {
  Stream *s = lipc_checkopen(L, 1);
  if (!(s->h.access & dir))
    luaL_argerror(L, 1,
                  lua_pushfstring(L, "%s is not open for %s", s->h.cls->label,
                                  dir == LIPC_IN ? "reading" : "writing"));
  return s;
}

/* ---- reading ---- */

/* Room for at least `more` bytes behind what is there. */
static void make_room (lua_State *L, Stream *s, size_t more) {
  size_t have = s->rend - s->rpos;
  if (s->rcap - s->rend >= more) return;
  if (s->rpos > 0 && s->rcap - have >= more && s->rpos >= s->rcap / 2) {
    memmove(s->rbuf, s->rbuf + s->rpos, have);
  } else {
    size_t cap = s->rcap < FIRSTBUF ? FIRSTBUF : s->rcap;
    while (cap - have < more) {
      if (cap > SIZE_MAX / 2) luaL_error(L, "not enough memory");
      cap *= 2;
    }
    char *p = lipc_realloc(L, NULL, 0, cap);
    if (have > 0) memcpy(p, s->rbuf + s->rpos, have);
    lipc_realloc(L, s->rbuf, s->rcap, 0);
    s->rbuf = p;
    s->rcap = cap;
  }
  s->rpos = 0;
  s->rend = have;
}

/* One read into the buffer.  0: something came, or the end (s->ended); -EAGAIN; another error. */
static int fill (lua_State *L, Stream *s) {
  size_t n;
  make_room(L, s, s->rend - s->rpos > FIRSTBUF ? s->rend - s->rpos : FIRSTBUF / 2);
  int r = lipcsys_read(s->h.fd, &s->h.io, s->rbuf + s->rend, s->rcap - s->rend, &n);
  if (r < 0) return r;
  s->ended = n == 0;
  s->rend += n;
  return 0;
}

static void consume (lua_State *L, Stream *s, size_t n) {
  s->rpos += n;
  if (s->rpos < s->rend) return;
  s->rpos = s->rend = 0;
  if (s->rcap > KEEPBUF) {
    lipc_realloc(L, s->rbuf, s->rcap, 0);
    s->rbuf = NULL;
    s->rcap = 0;
  }
}

/* A format applied to the bytes from a place on: what it gives and how much it takes. */
struct match {
  enum { FOUND, MORE, NOTHING, NONUMBER } verdict;
  size_t skip, len; /* where the result begins and its bytes */
  size_t take; /* bytes consumed */
};

/* The longest prefix that can be a numeral, as liolib reads it: at most 200 bytes. */
struct numeral {
  const char *p;
  size_t i, n;
  bool more; /* ran into the end of the buffer */
};

static bool accept_one (struct numeral *u, const char *set) {
  if (u->i >= u->n || u->i >= 200) {
    u->more = u->i >= u->n;
    return false;
  }
  if (u->p[u->i] == '\0' || strchr(set, u->p[u->i]) == NULL) return false;
  u->i++;
  return true;
}

static int accept_digits (struct numeral *u, const char *digits) {
  int n = 0;
  while (accept_one(u, digits)) n++;
  return n;
}

static struct match match_number (const char *p, size_t n, bool last) {
  struct match m = {MORE, 0, 0, 0};
  size_t blank = 0;
  while (blank < n && isspace((unsigned char)p[blank])) blank++;
  struct numeral u = {p + blank, 0, n - blank, false};
  const char *digits = "0123456789", *exponent = "eE";
  int count = 0;
  accept_one(&u, "+-");
  if (accept_one(&u, "0")) {
    if (accept_one(&u, "xX")) {
      digits = "0123456789abcdefABCDEF";
      exponent = "pP";
    } else {
      count = 1;
    }
  }
  count += accept_digits(&u, digits);
  if (accept_one(&u, ".")) count += accept_digits(&u, digits);
  if (count > 0 && accept_one(&u, exponent)) {
    accept_one(&u, "+-");
    accept_digits(&u, "0123456789");
  }
  if (u.more && !last) return m;
  m.take = blank + u.i;
  m.skip = blank;
  m.len = u.i;
  m.verdict = m.take == n && u.i == 0 ? NOTHING : u.i == 0 ? NONUMBER : FOUND;
  return m;
}

/* The format at stack index i ('l', 'L', 'n', 'a' or a count), already checked. */
static struct match match_format (lua_State *L, int i, Stream *s, size_t at, bool last) {
  const char *p = s->rbuf + at;
  size_t n = s->rend - at;
  struct match m = {MORE, 0, 0, 0};
  if (lua_type(L, i) == LUA_TNUMBER) {
    size_t count = (size_t)lua_tointeger(L, i);
    if (n >= count && n > 0) m = (struct match){FOUND, 0, count, count};
    else if (last) m = (struct match){n > 0 ? FOUND : NOTHING, 0, n, n};
    return m;
  }
  const char *f = lua_tostring(L, i);
  if (*f == '*') f++;
  switch (*f) {
    case 'n': return match_number(p, n, last);
    case 'a':
      if (last) m = (struct match){FOUND, 0, n, n};
      return m;
    default: {
      const char *nl = n > s->scanned ? memchr(p + s->scanned, '\n', n - s->scanned) : NULL;
      if (nl != NULL) {
        size_t len = (size_t)(nl - p);
        m = (struct match){FOUND, 0, len + (*f == 'L'), len + 1};
      } else if (last) {
        m = (struct match){n > 0 ? FOUND : NOTHING, 0, n, n};
      } else {
        s->scanned = n;
      }
      return m;
    }
  }
}

/* Pushes what the format at index i found at p; false: nothing pushed, it was no numeral. */
static bool push_match (lua_State *L, int i, const char *p, size_t len) {
  if (lua_type(L, i) == LUA_TSTRING && strchr(lua_tostring(L, i), 'n') != NULL) {
    char buf[201];
    memcpy(buf, p, len);
    buf[len] = '\0';
    return lua_stringtonumber(L, buf) != 0;
  }
  lua_pushlstring(L, p, len);
  return true;
}

/* Pushes the results of the first n formats and consumes them.  False when one is no numeral: the
** results before it are there and it is consumed too, as in liolib. */
static bool take_formats (lua_State *L, Stream *s, int first, int n, bool last) {
  luaL_checkstack(L, n + 4, "too many formats");
  size_t at = s->rpos;
  bool good = true;
  for (int i = first; i < first + n && good; i++) {
    s->scanned = 0;
    struct match m = match_format(L, i, s, at, last);
    good = m.verdict == FOUND && push_match(L, i, s->rbuf + at + m.skip, m.len);
    at += m.take;
  }
  s->scanned = 0;
  consume(L, s, at - s->rpos);
  return good;
}

/* read: all formats or nothing, unless the stream ends or breaks in between. */
static int read_step (lua_State *L, int t) {
  Stream *s = lua_touserdata(L, 1);
  int n = t - 2; /* formats at 2 .. t-1 */
  if (lua_gettop(L) == t + 1) { /* first attempt of this call */
    s->format = s->start = s->scanned = 0;
    s->ended = false;
    lua_pushboolean(L, 1);
  }
  for (;;) {
    struct match m = {FOUND, 0, 0, 0};
    while ((int)s->format < n) {
      m = match_format(L, 2 + (int)s->format, s, s->rpos + s->start, s->ended);
      if (m.verdict != FOUND) break;
      s->start += m.take;
      s->scanned = 0;
      s->format++;
    }
    int r = 0;
    if (m.verdict == MORE) {
      r = fill(L, s);
      if (r == 0) continue;
      if (r == -EAGAIN) return lipc_again(LIPC_IN);
    }
    /* all there, or the stream has no more of what the current format wants */
    int top = lua_gettop(L), got = (int)s->format;
    if (m.verdict == NONUMBER) got++;
    bool good = take_formats(L, s, 2, got, s->ended) && got == n && r == 0;
    if (!good)
      lipc_failself(L, "read", m.verdict == NOTHING ? -LIPC_EEOF : r < 0 ? r : -LIPC_ENUMBER);
    return lua_gettop(L) - top;
  }
}
static const struct lipc_op read_op = {"read", read_step, LIPC_IN, NULL};

/* Whether the step of an operation may be tried here and now, without the driver. */
static bool is_plain (const Stream *s, unsigned dir) {
  return s->h.gate[dir == LIPC_OUT].owner == NULL &&
         atomic_load_explicit(&lipcsys_alarm, memory_order_relaxed) == 0;
}

/* The commonest read of all: a line that is in the buffer already.  keep: with its end. */
static bool quick_line (lua_State *L, Stream *s, bool keep) {
  if (s->rend == s->rpos || !is_plain(s, LIPC_IN)) return false;
  const char *p = s->rbuf + s->rpos, *nl = memchr(p, '\n', s->rend - s->rpos);
  if (nl == NULL) return false;
  size_t len = (size_t)(nl - p);
  lua_pushlstring(L, p, len + keep);
  consume(L, s, len + 1);
  return true;
}

static void check_formats (lua_State *L, int first, int last) {
  for (int i = first; i <= last; i++) {
    if (lua_type(L, i) == LUA_TNUMBER) {
      luaL_argcheck(L, luaL_checkinteger(L, i) >= 0, i, "count must not be negative");
    } else {
      const char *f = luaL_checkstring(L, i);
      if (*f == '*') f++;
      luaL_argcheck(L, *f != '\0' && strchr("nlLa", *f) != NULL, i, "invalid format");
    }
  }
}

/* s:read(...) -> one result for each format (default "l") | ..., nil, msg, code: "l", "L", "n", "a",
** or a count of bytes.  Nothing is consumed until all are there; at the end or an error those that
** were complete come first.  A timeout keeps what was read for the next call. */
static int l_stream_read (lua_State *L) {
  if (lua_gettop(L) == 1) {
    Stream *s = lipc_checkopen(L, 1);
    if (s->h.access & LIPC_IN && quick_line(L, s, false)) return 1;
    lua_pushliteral(L, "l");
  }
  check_formats(L, 2, lua_gettop(L));
  return lipc_drive(L, &read_op, lua_gettop(L) + 1);
}

static int lines_step (lua_State *L, int t) {
  int n = read_step(L, t);
  if (n < 0 || !lua_isnil(L, -n)) return n;
  if (strcmp(lua_tostring(L, -1), "EOF") != 0) return luaL_error(L, "%s", lua_tostring(L, -2));
  lua_pushnil(L);
  return 1;
}
static int lines_giveup (lua_State *L, int t, int err) {
  (void)t;
  lipc_failself(L, "lines", err);
  return luaL_error(L, "%s", lua_tostring(L, -2));
}
static const struct lipc_op lines_op = {"lines", lines_step, LIPC_IN, lines_giveup};

/* The iterator: upvalues are the metatable, the stream, and the formats. */
static int lines_next (lua_State *L) {
  int n = (int)lua_tointeger(L, lua_upvalueindex(3));
  if (n < 0) { /* one format, which is "l" (-1) or "L" (-2) */
    Stream *s = lua_touserdata(L, lua_upvalueindex(2));
    if (lipc_isopen(&s->h) && quick_line(L, s, n == -2)) return 1;
    n = 1;
  }
  lua_settop(L, 0);
  luaL_checkstack(L, n + 2, "too many formats");
  lua_pushvalue(L, lua_upvalueindex(2));
  for (int i = 1; i <= n; i++) lua_pushvalue(L, lua_upvalueindex(3 + i));
  return lipc_drive(L, &lines_op, n + 2);
}

/* s:lines(...) -> iterator over read(...): nil at the end; an error or a timeout raises */
static int l_stream_lines (lua_State *L) {
  check_direction(L, LIPC_IN);
  if (lua_gettop(L) == 1) lua_pushliteral(L, "l");
  int n = lua_gettop(L) - 1;
  luaL_argcheck(L, n <= 250, 252, "too many formats");
  check_formats(L, 2, n + 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  const char *only = n == 1 && lua_type(L, 3) == LUA_TSTRING ? lua_tostring(L, 3) : "";
  if (*only == '*') only++;
  lua_pushinteger(L, *only == 'l' ? -1 : *only == 'L' ? -2 : n);
  lua_insert(L, 3);
  lua_pushcclosure(L, lines_next, n + 3);
  return 1;
}

static int readsome_step (lua_State *L, int t) {
  Stream *s = lua_touserdata(L, 1);
  size_t max = (size_t)lua_tointeger(L, 2), n = s->rend - s->rpos;
  (void)t;
  if (n > 0) {
    if (n > max) n = max;
    lua_pushlstring(L, s->rbuf + s->rpos, n);
    consume(L, s, n);
    return 1;
  }
  char small[1024];
  char *buf = max <= sizeof small ? small : lipc_scratch(L);
  int r = lipcsys_read(s->h.fd, &s->h.io, buf, max < LIPC_SCRATCH ? max : LIPC_SCRATCH, &n);
  if (r == -EAGAIN) return lipc_again(LIPC_IN);
  if (r < 0) return lipc_failself(L, "readsome", r);
  if (n == 0) return lipc_failself(L, "readsome", -LIPC_EEOF);
  lua_pushlstring(L, buf, n);
  return 1;
}
static const struct lipc_op readsome_op = {"readsome", readsome_step, LIPC_IN, NULL};

/* s:readsome(max[, timeout]) -> string of 1 .. max bytes | nil, msg, code: what is there, as soon as
** something is; at most 64 KiB in one go   -- see read(2) */
static int l_stream_readsome (lua_State *L) {
  luaL_argcheck(L, luaL_checkinteger(L, 2) > 0, 2, "must be positive");
  return lipc_drive(L, &readsome_op, 3);
}

/* ---- writing ---- */

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

int lipc_stream_push (Stream *s) {
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
  lipc_failself(L, "write", err);
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
  bool line = false;
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
  if (line || (s->vbuf == LIPC_VBUF_LINE && lua_toboolean(L, t + 3))) {
    int r = flush_some(s);
    if (r == -EAGAIN) {
      write_again(L, t, done);
      lua_pushboolean(L, 1); /* all is buffered, the flush goes on */
      return lipc_again(LIPC_OUT);
    }
    if (r < 0) return write_failed(L, done, r);
  }
  lua_pushvalue(L, 1);
  return 1;
}

static int write_step (lua_State *L, int t) {
  Stream *s = lua_touserdata(L, 1);
  size_t done = lua_gettop(L) > t + 1 ? (size_t)lua_tointeger(L, t + 2) : 0;
  if (t == 3 && done == 0 && s->vbuf != LIPC_VBUF_LINE) { /* one string, the short way */
    size_t size;
    const char *data = lua_tolstring(L, 2, &size);
    if (s->vbuf == LIPC_VBUF_FULL) {
      own_buffer(s);
      if (size > s->wcap - s->wend) return write_buffered(L, s, t, 0, size);
      memcpy(s->wbuf + s->wend, data, size);
      s->wend += size;
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
  own_buffer(s);
  int r = flush_some(s);
  if (r == -EAGAIN) return lipc_again(LIPC_OUT);
  if (r < 0) return lipc_failself(L, "flush", r);
  lua_pushvalue(L, 1);
  return 1;
}
static const struct lipc_op flush_op = {"flush", flush_step, LIPC_OUT, NULL};

/* s:flush([timeout]) -> s | nil, msg, code: what is left stays buffered */
static int l_stream_flush (lua_State *L) { return lipc_drive(L, &flush_op, 2); }

/* s:setvbuf("no" | "full" | "line"[, size]) -> s | nil, msg, code: writing only; flushes first
** -- see setvbuf(3) */
static int l_stream_setvbuf (lua_State *L) {
  static const char *const modes[] = {"no", "full", "line", NULL};
  Stream *s = check_direction(L, LIPC_OUT);
  enum lipc_vbuf mode = (enum lipc_vbuf)luaL_checkoption(L, 2, NULL, modes);
  lua_Integer size = luaL_optinteger(L, 3, FIRSTBUF);
  luaL_argcheck(L, 0 < size && size <= INT_MAX, 3, "size out of range");
  own_buffer(s);
  if (s->wend > s->wpos) {
    int r = flush_some(s);
    if (r < 0) return lipc_failself(L, "setvbuf", r);
  }
  s->vbuf = LIPC_VBUF_NO;
  size_t cap = mode == LIPC_VBUF_NO ? 0 : (size_t)size;
  s->wbuf = lipc_realloc(L, s->wbuf, s->wcap, cap);
  s->wcap = cap;
  s->wpos = s->wend = 0;
  s->vbuf = mode;
  lua_settop(L, 1);
  return 1;
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

bool lipc_stream_buffered (const struct lipc_handle *h) {
  const Stream *s = (const Stream *)h;
  return s->rend > s->rpos;
}

const luaL_Reg lipc_stream_reads[] = {{"read", l_stream_read},
                                      {"lines", l_stream_lines},
                                      {"readsome", l_stream_readsome},
                                      {"close", l_stream_close},
                                      {NULL, NULL}};
const luaL_Reg lipc_stream_writes[] = {{"write", l_stream_write},
                                       {"flush", l_stream_flush},
                                       {"setvbuf", l_stream_setvbuf},
                                       {"close", l_stream_close},
                                       {NULL, NULL}};
