/* view_range.c - views: many elements at once.  SPDX-License-Identifier: MIT */
#include "view.h"

/* ---- ranges ---- */

size_t view_checkrange (lua_State *L, int arg, const View *v, bool whole, size_t *ret_first) {
  lua_Integer n = (lua_Integer)v->n;
  lua_Integer i = whole ? luaL_optinteger(L, arg, 1) : luaL_checkinteger(L, arg);
  lua_Integer j = luaL_optinteger(L, arg + 1, whole ? n : i);
  if (i < 1 || i > n + (j == i - 1)) view_noelement(L, arg, v);
  if (j < i - 1 || j > n) view_noelement(L, arg + 1, v);
  *ret_first = (size_t)i - 1;
  return (size_t)(j - i + 1);
}

char *view_range (lua_State *L, const View *v, size_t i, size_t n) {
  if (v->end > v->map->size || v->map->size == 0) view_gone(L, v);
  return n > 0 ? v->map->base + v->offset + i * v->stride : NULL;
}

/* v:get(i[, j]) -> value ...: element i, or those from i to j */
static int l_view_get (lua_State *L) {
  const View *v = view_self(L);
  size_t first, n = view_checkrange(L, 2, v, false, &first);
  if (n >= INT32_MAX || !lua_checkstack(L, (int)n))
    luaL_argerror(L, 3, "too many results (totable has no limit)");
  const char *p = view_range(L, v, first, n);
  for (size_t i = 0; i < n; i++) view_push(L, v, first + i, p + i * v->stride);
  lipc_map_done(L, 1, v->map);
  return (int)n;
}

/* v:totable([i[, j]]) -> {value ...}: all elements, or those from i to j */
static int l_view_totable (lua_State *L) {
  const View *v = view_self(L);
  size_t first, n = view_checkrange(L, 2, v, true, &first);
  luaL_argcheck(L, n <= INT32_MAX, 2, "too many elements for a table");
  lua_createtable(L, (int)n, 0);
  const char *p = view_range(L, v, first, n); /* a finaliser may have closed it */
  for (size_t i = 0; i < n; i++) {
    view_push(L, v, first + i, p + i * v->stride);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lipc_map_done(L, 1, v->map);
  return 1;
}

/* v:set(i, value ...), v:set(i, {value ...}): elements from i on.  What does not fit raises; those
** before it are stored then */
static int l_view_set (lua_State *L) {
  const View *v = view_self(L);
  lua_Integer i = luaL_checkinteger(L, 2);
  bool table = lua_type(L, 3) == LUA_TTABLE;
  lua_Integer n = table ? luaL_len(L, 3) : lua_gettop(L) - 2;
  if (i < 1 || i > (lua_Integer)v->n + (n == 0)) view_noelement(L, 2, v);
  if (n > (lua_Integer)v->n - i + 1)
    luaL_argerror(L, 3,
                  lua_pushfstring(L, "%I values from index %I on are out of bounds (length %I)",
                                  (LUAI_UACINT)n, (LUAI_UACINT)i, (LUAI_UACINT)v->n));
  view_checkwrite(L, v);
  for (lua_Integer k = 0; k < n; k++) {
    if (table) lua_geti(L, 3, k + 1);
    char *p = view_range(L, v, (size_t)(i - 1 + k), 1); /* a metamethod may have closed it */
    view_take(L, 3, table ? -1 : (int)(3 + k), v, p);
    if (table) lua_pop(L, 1);
  }
  lipc_map_done(L, 1, v->map);
  return 0;
}

const luaL_Reg view_range_methods[] = {
  {"get", l_view_get},
  {"totable", l_view_totable},
  {"set", l_view_set},
  {NULL, NULL},
};
