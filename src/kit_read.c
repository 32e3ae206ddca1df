/* kit_read.c - the reading half of a stream: buffered, formats and results as those of the io library
** in the Lua reference manual; what differs is said at the functions.
** SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <string.h>

#include "kit_stream.h"

#define FIRSTBUF 16384 /* of the read buffer */
#define KEEPBUF  65536 /* an empty read buffer larger than this is given back */

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
    if (s->rend - s->rpos != have) { /* short of memory, a finaliser ran and used the stream */
      lipc_realloc(L, p, cap, 0);
      luaL_error(L, "not enough memory");
    }
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
  size_t n, have = s->rend - s->rpos, least = s->ahead > 0 ? s->ahead : FIRSTBUF / 2;
  make_room(L, s, have > least ? have : least);
  int r = lipcsys_read(s->h.fd, &s->h.io, s->rbuf + s->rend, s->rcap - s->rend, &n);
  if (r < 0) return r;
  s->ended = n == 0;
  if (n == s->rcap - s->rend && least < KEEPBUF / 2) s->ahead = 2 * least; /* there is more */
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
  bool over; /* too long: no numeral */
};

static bool accept_one (struct numeral *u, const char *set) {
  if (u->i >= u->n) {
    u->more = true;
    return false;
  }
  if (u->over || u->p[u->i] == '\0' || strchr(set, u->p[u->i]) == NULL) return false;
  if (u->i == 200) {
    u->over = true;
    return false;
  }
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
  struct numeral u = {p + blank, 0, n - blank, false, false};
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
  if (u.i > 0 && !u.over) m.verdict = FOUND;
  else m.verdict = m.take == n && !u.over ? NOTHING : NONUMBER;
  return m;
}

/* The letter of the format at index i, or 0 for a count.  As in the io library only the first letter
** counts: "line" is "l". */
static char letter_of (lua_State *L, int i) {
  if (lua_type(L, i) == LUA_TNUMBER) return 0;
  const char *f = lua_tostring(L, i);
  return f[*f == '*'];
}

/* The format at stack index i ('l', 'L', 'n', 'a' or a count), already checked. */
static struct match match_format (lua_State *L, int i, Stream *s, size_t at, bool last) {
  const char *p = s->rbuf + at;
  size_t n = s->rend - at;
  struct match m = {MORE, 0, 0, 0};
  char letter = letter_of(L, i);
  switch (letter) {
    case 0: {
      size_t count = (size_t)lua_tointeger(L, i);
      if (n >= count && n > 0) m = (struct match){FOUND, 0, count, count};
      else if (last) m = (struct match){n > 0 ? FOUND : NOTHING, 0, n, n};
      return m;
    }
    case 'n': return match_number(p, n, last);
    case 'a':
      if (last) m = (struct match){FOUND, 0, n, n};
      return m;
    default: {
      const char *nl = n > s->scanned ? memchr(p + s->scanned, '\n', n - s->scanned) : NULL;
      if (nl != NULL) {
        size_t len = (size_t)(nl - p);
        m = (struct match){FOUND, 0, len + (letter == 'L'), len + 1};
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
  if (letter_of(L, i) == 'n') {
    char buf[201];
    memcpy(buf, p, len);
    buf[len] = '\0';
    return lua_stringtonumber(L, buf) != 0;
  }
  lua_pushlstring(L, p, len);
  return true;
}

/* Pushes the results of the first n formats and consumes them.  0; -LIPC_ENUMBER when one is no
** numeral: the results before it are there and it is consumed too, as in liolib.  To push may run
** finalisers: one that closes the stream, or reads from it, has taken the rest away: -ECANCELED. */
static int take_formats (lua_State *L, Stream *s, int first, int n, bool last) {
  luaL_checkstack(L, n + 4, "too many formats");
  const char *buf = s->rbuf;
  size_t at = s->rpos, rpos = s->rpos, rend = s->rend;
  bool good = true;
  for (int i = first; i < first + n && good; i++) {
    if (s->rbuf != buf || s->rpos != rpos || s->rend != rend) return -ECANCELED;
    s->scanned = 0;
    struct match m = match_format(L, i, s, at, last);
    good = m.verdict == FOUND && push_match(L, i, s->rbuf + at + m.skip, m.len);
    at += m.take;
  }
  s->scanned = 0;
  if (s->rbuf == buf && s->rpos == rpos && s->rend == rend) consume(L, s, at - rpos);
  return good ? 0 : -LIPC_ENUMBER;
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
    if (m.verdict == NONUMBER || m.verdict == NOTHING) got++; /* for the blanks before it */
    int taken = take_formats(L, s, 2, got, s->ended);
    if (taken == -ECANCELED) r = taken;
    else if (m.verdict == NOTHING) r = -LIPC_EEOF;
    else if (r == 0) r = taken;
    if (r < 0) lipc_failself(L, "read", r);
    return lua_gettop(L) - top;
  }
}
static const struct lipc_op read_op = {"read", read_step, LIPC_IN, NULL};

/* The commonest read of all: a line that is in the buffer already.  keep: with its end. */
static bool quick_line (lua_State *L, Stream *s, bool keep) {
  if (s->rend == s->rpos || !lipc_stream_isplain(s, LIPC_IN)) return false;
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

/* The iterator: upvalues are the metatable, the stream, the number of formats and the formats. */
static int lines_next (lua_State *L) {
  int n = (int)lua_tointeger(L, lua_upvalueindex(3));
  lua_settop(L, 0);
  luaL_checkstack(L, n + 2, "too many formats");
  lua_pushvalue(L, lua_upvalueindex(2));
  for (int i = 1; i <= n; i++) lua_pushvalue(L, lua_upvalueindex(3 + i));
  return lipc_drive(L, &lines_op, n + 2);
}

/* The same for the single formats "l" and "L". */
static int lines_next_l (lua_State *L) {
  Stream *s = lua_touserdata(L, lua_upvalueindex(2));
  return lipc_isopen(&s->h) && quick_line(L, s, false) ? 1 : lines_next(L);
}
static int lines_next_L (lua_State *L) {
  Stream *s = lua_touserdata(L, lua_upvalueindex(2));
  return lipc_isopen(&s->h) && quick_line(L, s, true) ? 1 : lines_next(L);
}

/* s:lines(...) -> iterator over read(...): nil at the end; an error or a timeout raises */
static int l_stream_lines (lua_State *L) {
  lipc_checkaccess(L, LIPC_IN);
  if (lua_gettop(L) == 1) lua_pushliteral(L, "l");
  int n = lua_gettop(L) - 1;
  luaL_argcheck(L, n <= 250, 252, "too many formats");
  check_formats(L, 2, n + 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  const char *only = n == 1 && lua_type(L, 3) == LUA_TSTRING ? lua_tostring(L, 3) : "";
  if (*only == '*') only++;
  lua_pushinteger(L, n);
  lua_insert(L, 3);
  lua_pushcclosure(L,
                   *only == 'l'   ? lines_next_l
                   : *only == 'L' ? lines_next_L
                                  : lines_next,
                   n + 3);
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

bool lipc_stream_buffered (const struct lipc_handle *h) {
  const Stream *s = (const Stream *)h;
  return s->rend > s->rpos;
}

const luaL_Reg lipc_stream_reads[] = {
  {"read", l_stream_read},
  {"lines", l_stream_lines},
  {"readsome", l_stream_readsome},
  {NULL, NULL},
};
