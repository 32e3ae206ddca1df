/* view_range.c - views: many elements at once, from and to tables and strings.
** SPDX-License-Identifier: MIT */
#include "view.h"

size_t view_checkrange (lua_State *L, int arg, const View *v, bool whole, size_t *ret_first) {
  lua_Integer n = (lua_Integer)v->n;
  lua_Integer i = whole ? luaL_optinteger(L, arg, 1) : luaL_checkinteger(L, arg);
  lua_Integer j = luaL_optinteger(L, arg + 1, whole ? n : i);
  if (i < 1 || i > n + (j == i - 1)) view_noelement(L, arg, v);
  if (j < i - 1 || j > n) view_noelement(L, arg + 1, v);
  *ret_first = (size_t)i - 1;
  return (size_t)(j - i + 1);
}

/* The number of values that argument arg + 1 (and those behind it) has for the elements from the one
** in arg on. */
static size_t check_room (lua_State *L, int arg, const View *v, lua_Integer n, size_t *ret_first) {
  lua_Integer i = luaL_checkinteger(L, arg), len = (lua_Integer)v->n;
  if (i < 1 || i > len + (n <= 0)) view_noelement(L, arg, v);
  if (n > len - i + 1)
    luaL_argerror(L, arg + 1,
                  lua_pushfstring(L, "%I elements from index %I on are out of bounds (length %I)",
                                  (LUAI_UACINT)n, (LUAI_UACINT)i, (LUAI_UACINT)len));
  *ret_first = (size_t)i - 1;
  return n > 0 ? (size_t)n : 0;
}

/* ---- values ---- */

/* v:get(i[, j]) -> value ...: element i, or those from i to j */
static int l_view_get (lua_State *L) {
  const View *v = view_self(L);
  size_t first, n = view_checkrange(L, 2, v, false, &first);
  if (n > INT32_MAX / 2 || !lua_checkstack(L, (int)n + LUA_MINSTACK))
    luaL_argerror(L, 3, "too many results (totable has no limit)");
  for (size_t i = 0; i < n; i++) view_push(L, 1, v, first + i, false);
  view_done(L, 1, v->map);
  return (int)n;
}

/* v:totable([i[, j]]) -> {value ...}: all elements, or those from i to j */
static int l_view_totable (lua_State *L) {
  const View *v = view_self(L);
  size_t first, n = view_checkrange(L, 2, v, true, &first);
  luaL_argcheck(L, n <= INT32_MAX, 2, "too many elements for a table");
  lua_createtable(L, (int)n, 0); /* a finaliser may close the mapping */
  if (view_isnumber(v->t.kind)) { /* nothing runs in between */
    const char *p = n > 0 ? view_address(L, v, first) : NULL;
    for (size_t i = 0; i < n; i++, p += v->stride) {
      view_pushnumber(L, v->t.kind, p);
      lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    n = 0;
  }
  for (size_t i = 0; i < n; i++) {
    view_push(L, 1, v, first + i, false);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  view_done(L, 1, v->map);
  return 1;
}

/* Whether argument 3 is a list of values, and not a value itself: that of a record has names, that of
** an array no tables. */
static bool is_list (lua_State *L, const View *v) {
  if (lua_type(L, 3) != LUA_TTABLE || lua_gettop(L) != 3) return false;
  if (v->t.kind < VIEW_RECORD) return true;
  if (v->t.kind == VIEW_ARRAY && v->t.layout->f[0].t.kind >= VIEW_RECORD) return false;
  bool list = lua_geti(L, 3, 1) == LUA_TTABLE;
  lua_pop(L, 1);
  return list;
}

/* From the list at 3, where nothing runs in between. */
static void set_numbers (lua_State *L, const View *v, size_t n, char *p) {
  lua_settop(L, 3);
  for (size_t k = 1; k <= n; k++, p += v->stride) {
    if (lua_rawgeti(L, 3, (lua_Integer)k) != LUA_TNUMBER || !view_putknown(L, -1, v->t.kind, p))
      view_badvalue(L, 3, -1, &v->t);
    if (k % 16 == 0) lua_settop(L, 3); /* cheaper than to pop each */
  }
}

/* v:set(i, value ...) -> v, v:set(i, {value ...}) -> v: elements from i on.  What does not fit raises;
** those before it are stored then */
static int l_view_set (lua_State *L) {
  const View *v = view_self(L);
  bool list = is_list(L, v);
  size_t first, n = check_room(L, 2, v, list ? luaL_len(L, 3) : lua_gettop(L) - 2, &first);
  view_checkwrite(L, v);
  if (list && view_isnumber(v->t.kind) && !lua_getmetatable(L, 3)) {
    if (n > 0) set_numbers(L, v, n, view_address(L, v, first));
    n = 0;
  }
  for (size_t k = 0; k < n; k++) {
    if (list) lua_geti(L, 3, (lua_Integer)k + 1); /* a metamethod may close the mapping */
    view_take(L, 1, v, first + k, 3, list ? -1 : (int)k + 3);
    if (list) lua_pop(L, 1);
  }
  view_done(L, 1, v->map);
  lua_settop(L, 1);
  return 1;
}

/* v:fill(value[, i[, j]]) -> v: that value in all elements, or in those from i to j */
static int l_view_fill (lua_State *L) {
  const View *v = view_self(L);
  size_t first, n = view_checkrange(L, 3, v, true, &first);
  luaL_checkany(L, 2);
  view_checkwrite(L, v);
  if (!view_isnumber(v->t.kind)) {
    for (size_t i = 0; i < n; i++) view_take(L, 1, v, first + i, 2, 2);
  } else {
    union {
      char bytes[8];
      uint16_t u16;
      uint32_t u32;
      uint64_t u64;
    } x;
    if (!view_putnumber(L, 2, v->t.kind, x.bytes)) view_badvalue(L, 2, 2, &v->t);
    char *p = n > 0 ? view_address(L, v, first) : NULL;
    if (v->t.size == 1 && v->stride == 1) {
      if (n > 0) memset(p, x.bytes[0], n);
    } else {
      for (size_t i = 0; i < n; i++, p += v->stride) switch (v->t.size) {
          case 1: *p = x.bytes[0]; break;
          case 2: view_store_uint16_t(p, x.u16); break;
          case 4: view_store_uint32_t(p, x.u32); break;
          default: view_store_uint64_t(p, x.u64); break;
        }
    }
  }
  view_done(L, 1, v->map);
  lua_settop(L, 1);
  return 1;
}

/* ---- bytes ---- */

/* v:string([i[, j]]) -> the bytes of all elements, or of those from i to j, as they are in memory */
static int l_view_string (lua_State *L) {
  const View *v = view_self(L);
  size_t first, n = view_checkrange(L, 2, v, true, &first), size = v->t.size;
  if (n == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  const char *p = view_address(L, v, first);
  if (view_packed(v)) {
    view_pushbytes(L, p, n * size, VIEW_U8);
  } else {
    luaL_Buffer b;
    char *to = luaL_buffinitsize(L, &b, n * size); /* a finaliser may close the mapping */
    p = view_address(L, v, first);
    for (size_t i = 0; i < n; i++) memcpy(to + i * size, p + i * v->stride, size);
    luaL_pushresultsize(&b, n * size);
  }
  view_done(L, 1, v->map);
  return 1;
}

/* v:setstring(i, s) -> v: the bytes of s into memory from element i on, of which it must be a whole
** number */
static int l_view_setstring (lua_State *L) {
  const View *v = view_self(L);
  size_t first, len, size = v->t.size;
  const char *s = luaL_checklstring(L, 3, &len);
  if (len % size != 0)
    luaL_argerror(L, 3,
                  lua_pushfstring(L, "%I bytes are no whole number of elements of %I bytes",
                                  (LUAI_UACINT)len, (LUAI_UACINT)size));
  size_t n = check_room(L, 2, v, (lua_Integer)(len / size), &first);
  view_checkwrite(L, v);
  if (n > 0) {
    char *p = view_address(L, v, first);
    if (view_packed(v)) memcpy(p, s, len);
    else
      for (size_t i = 0; i < n; i++) memcpy(p + i * v->stride, s + i * size, size);
    view_done(L, 1, v->map);
  }
  lua_settop(L, 1);
  return 1;
}

/* ---- parts ---- */

/* v:slice(i[, j]) -> a view of the elements from i to j (the last); its own count from 1 */
static int l_view_slice (lua_State *L) {
  const View *v = view_self(L);
  size_t first, n;
  luaL_checkinteger(L, 2);
  n = view_checkrange(L, 2, v, true, &first);
  lua_getiuservalue(L, 1, VIEW_UV_LAYOUT);
  view_newpart(L, 1, v, v->t, v->t.layout != NULL ? lua_gettop(L) : 0,
               v->offset + first * v->stride, n, v->stride);
  return 1;
}

/* The iterator of ipairs: (v, i) -> i + 1, its element; nil behind the last one */
static int next_element (lua_State *L) {
  const View *v = view_self(L);
  lua_Integer i = luaL_checkinteger(L, 2);
  if (i < 0 || i >= (lua_Integer)v->n) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushinteger(L, i + 1);
  view_push(L, 1, v, (size_t)i, true);
  view_done(L, 1, v->map);
  return 2;
}

/* v:ipairs() -> iterator: for i, x in v:ipairs() do ... end; pairs(v) is the same */
int view_ipairs (lua_State *L) {
  view_self(L);
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, next_element, 1);
  lua_insert(L, 1);
  lua_pushinteger(L, 0);
  return 3;
}

const luaL_Reg view_range_methods[] = {
  {"get", l_view_get},     {"set", l_view_set},       {"totable", l_view_totable},
  {"fill", l_view_fill},   {"string", l_view_string}, {"setstring", l_view_setstring},
  {"slice", l_view_slice}, {"ipairs", view_ipairs},   {NULL, NULL},
};
