/* view_copy.c - views: from one to another, comparing, finding.  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <math.h>

#include "view.h"

static bool same_type (const View *a, const View *b) {
  return a->t.kind == b->t.kind && a->t.size == b->t.size && a->t.layout == b->t.layout;
}

/* ---- copying ---- */

/* Elements of one type, n > 0 of them.  Source and target may overlap in any way: then the source is
** taken out of the way first, unless memmove does. */
static void move (lua_State *L, const View *to, size_t i, const View *from, size_t j, size_t n) {
  size_t size = to->t.size, span = (n - 1) * from->stride + size;
  char *dst = view_address(L, to, i);
  const char *src = view_address(L, from, j);
  if (view_packed(to) && view_packed(from)) {
    memmove(dst, src, n * size);
    return;
  }
  if (src < dst + (n - 1) * to->stride + size && dst < src + span) {
    char *copy = lua_newuserdatauv(L, span, 0); /* a finaliser may close the mapping */
    src = memcpy(copy, view_address(L, from, j), span);
    dst = view_target(L, to, i);
  }
  for (size_t k = 0; k < n; k++) memcpy(dst + k * to->stride, src + k * from->stride, size);
}

/* Of different types: values, as v[i] = w[j] would do it.  One part of memory seen in two ways must be
** read before it is written. */
static void convert (lua_State *L, const View *to, size_t i, const View *from, int src, size_t j,
                     size_t n) {
  View copy = *from;
  struct lipc_map memory = *from->map;
  if (to->map == from->map) {
    size_t span = (n - 1) * from->stride + from->t.size;
    memory.base = lua_newuserdatauv(L, span, 0);
    memcpy(memory.base, view_address(L, from, j), span);
    memory.size = span;
    copy.map = &memory;
    copy.offset = j = 0;
    copy.end = span;
    from = &copy;
  }
  for (size_t k = 0; k < n; k++) {
    view_push(L, src, from, j + k, false);
    view_take(L, 1, to, i + k, src, -1);
    lua_pop(L, 1);
  }
}

/* v:copy(i, source[, j[, k]]) -> v: elements j to k of another view (all) go to element i and those behind it.
** Values: a number that the type cannot have raises; those before it are stored then */
static int l_view_copy (lua_State *L) {
  const View *to = view_self(L), *from = view_checkview(L, 3);
  lua_Integer i = luaL_checkinteger(L, 2);
  size_t j, n = view_checkrange(L, 4, from, true, &j);
  if (i < 1 || (lua_Unsigned)i > to->n + (n == 0)) view_noelement(L, 2, to);
  if (n > to->n - (size_t)i + 1)
    luaL_argerror(L, 3,
                  lua_pushfstring(L, "%I elements from index %I on are out of bounds (length %I)",
                                  (LUAI_UACINT)n, (LUAI_UACINT)i, (LUAI_UACINT)to->n));
  view_checkwrite(L, to);
  bool same = same_type(to, from);
  if (!same && (to->t.kind >= VIEW_RECORD || from->t.kind >= VIEW_RECORD))
    luaL_argerror(L, 3, "records of another layout");
  if (n > 0 && same) move(L, to, (size_t)i - 1, from, j, n);
  else if (n > 0) convert(L, to, (size_t)i - 1, from, 3, j, n);
  view_done(L, 3, from->map);
  view_done(L, 1, to->map);
  lua_settop(L, 1);
  return 1;
}

/* ---- comparing ---- */

/* How the values a and b, on top, are ordered; 2: not at all (NaN).  Strings by their bytes, whatever
** the locale.  Pops them. */
static int order (lua_State *L, bool is_unsigned) {
  int r = 2;
  if (is_unsigned) {
    lua_Unsigned a = (lua_Unsigned)lua_tointeger(L, -2), b = (lua_Unsigned)lua_tointeger(L, -1);
    r = a < b ? -1 : a > b;
  } else if (lua_type(L, -1) == LUA_TSTRING) {
    size_t m, n;
    const char *a = lua_tolstring(L, -2, &m), *b = lua_tolstring(L, -1, &n);
    r = memcmp(a, b, m < n ? m : n);
    r = r != 0 ? (r > 0) - (r < 0) : (m > n) - (m < n);
  } else if (lua_rawequal(L, -2, -1)) {
    r = 0;
  } else if (lua_compare(L, -2, -1, LUA_OPLT)) {
    r = -1;
  } else if (lua_compare(L, -1, -2, LUA_OPLT)) {
    r = 1;
  }
  lua_pop(L, 2);
  return r;
}

/* The first element, below n, where they differ; n: none.  *ret_order as above. */
static size_t difference (lua_State *L, const View *a, const View *b, size_t n, int *ret_order) {
  bool is_unsigned = a->t.kind == VIEW_U64 && b->t.kind == VIEW_U64;
  *ret_order = 0;
  if (n == 0) return 0;
  if (same_type(a, b) && view_packed(a) && view_packed(b) && view_isinteger(a->t.kind) &&
      memcmp(view_address(L, a, 0), view_address(L, b, 0), n * a->t.size) == 0)
    return n;
  for (size_t i = 0; i < n; i++) {
    view_push(L, 1, a, i, false);
    view_push(L, 2, b, i, false);
    *ret_order = order(L, is_unsigned);
    if (*ret_order != 0) return i;
  }
  return n;
}

static void check_comparable (lua_State *L, const View *a, const View *b) {
  luaL_argcheck(L, a->t.kind < VIEW_RECORD, 1, "records are compared field by field");
  luaL_argcheck(L, b->t.kind < VIEW_RECORD, 2, "records are compared field by field");
  luaL_argcheck(L, view_isnumber(a->t.kind) == view_isnumber(b->t.kind), 2,
                "numbers are not compared with strings");
}

/* v:compare(other) -> -1, 0, 1, index: which of them comes first: by the first elements that differ, whose index
** is the second result; else the shorter one.  nil, index: these two have no order (NaN) */
static int l_view_compare (lua_State *L) {
  const View *a = view_self(L), *b = view_checkview(L, 2);
  int r;
  lua_settop(L, 2);
  check_comparable(L, a, b);
  size_t n = a->n < b->n ? a->n : b->n, i = difference(L, a, b, n, &r);
  view_done(L, 1, a->map);
  view_done(L, 2, b->map);
  if (r == 0) r = a->n < b->n ? -1 : a->n > b->n;
  if (r == 2) lua_pushnil(L);
  else lua_pushinteger(L, r);
  lua_pushinteger(L, (lua_Integer)i + 1);
  return r == 0 ? (lua_pop(L, 1), 1) : 2;
}

/* v:equal(other) -> boolean: as many elements, and each equal to the other's */
static int l_view_equal (lua_State *L) {
  const View *a = view_self(L), *b = view_checkview(L, 2);
  int r = 1;
  lua_settop(L, 2);
  check_comparable(L, a, b);
  if (a->n == b->n) difference(L, a, b, a->n, &r);
  view_done(L, 1, a->map);
  view_done(L, 2, b->map);
  lua_pushboolean(L, r == 0);
  return 1;
}

/* ---- finding ---- */

/* The results for n bytes at p: one index when that is 0, for an element; NULL: nil. */
static int found (lua_State *L, const View *v, const char *p, size_t n) {
  view_done(L, 1, v->map);
  if (p == NULL) {
    lua_pushnil(L);
    return 1;
  }
  lua_Integer i = p - (v->map->base + v->offset) + 1;
  lua_pushinteger(L, i);
  if (n == 0) return 1;
  lua_pushinteger(L, i + (lua_Integer)n - 1);
  return 2;
}

/* v:find(value[, init]) -> index | nil: the first element from init (1) on that equals it, as v[i] == value says;
** v:find(string[, init]) -> first, last | nil in views of bytes: where these bytes lie */
static int l_view_find (lua_State *L) {
  const View *v = view_self(L);
  lua_Integer init = luaL_optinteger(L, 3, 1);
  int type = lua_type(L, 2);
  bool bytes = v->t.kind == VIEW_U8 && view_packed(v);
  size_t len;
  luaL_argcheck(L, v->t.kind < VIEW_RECORD, 1, "records are found by their fields");
  if (init < 1 || (lua_Unsigned)init - 1 > v->n) view_noelement(L, 3, v);
  if (type != (view_isnumber(v->t.kind) ? LUA_TNUMBER : LUA_TSTRING) &&
      !(type == LUA_TSTRING && bytes))
    view_badvalue(L, 2, 2, &v->t);
  size_t i = (size_t)init - 1, n = v->n - i;
  if (type == LUA_TSTRING && bytes) {
    const char *s = lua_tolstring(L, 2, &len), *p = n > 0 ? view_address(L, v, i) : s;
    if (len > n) p = NULL;
    else if (len > 0) p = memmem(p, n, s, len);
    if (len > 0 || p == NULL) return found(L, v, p, len);
    lua_pushinteger(L, init); /* nothing is everywhere, as string.find has it */
    lua_pushinteger(L, init - 1);
    return 2;
  }
  lua_settop(L, 2);
  if (bytes && n > 0) {
    int ok;
    lua_Integer x = lua_tointegerx(L, 2, &ok);
    const char *p = ok && x == (uint8_t)x ? memchr(view_address(L, v, i), (int)x, n) : NULL;
    return found(L, v, p, 0);
  }
  for (; i < v->n; i++) {
    view_push(L, 1, v, i, false);
    if (lua_rawequal(L, 2, 3)) {
      lua_pushinteger(L, (lua_Integer)i + 1);
      break;
    }
    lua_settop(L, 2);
  }
  view_done(L, 1, v->map);
  if (i == v->n) lua_pushnil(L);
  return 1;
}

const luaL_Reg view_copy_methods[] = {
  {"copy", l_view_copy},
  {"compare", l_view_compare},
  {"equal", l_view_equal},
  {"find", l_view_find},
  {NULL, NULL},
};
