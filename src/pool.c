/* pool.c - lists of values as bytes, for lipc.pool: what goes between a pool and its workers, which are
** the same program on the same machine.  No kernel object; the rest of the pool is lua/lipc/pool.lua.
** A value is a byte that says what it is, then 8 bytes of a number, or a string's length and the string.
** fork, close: nothing.
** SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <string.h>

#include "lipc_kit.h"

enum { NIL, FALSE, TRUE, INTEGER, FLOAT, STRING };

#define NUMBER (1 + 8) /* bytes of a number, and of a string without its content */

/* How many bytes the value on top takes; 0: it cannot be packed. */
static size_t size_of (lua_State *L) {
  switch (lua_type(L, -1)) {
  case LUA_TNIL:
  case LUA_TBOOLEAN: return 1;
  case LUA_TNUMBER: return NUMBER;
  case LUA_TSTRING: return NUMBER + lua_rawlen(L, -1);
  default: return 0;
  }
}

static char *put8 (char *p, unsigned char tag, const void *value) {
  *p++ = (char)tag;
  memcpy(p, value, 8);
  return p + 8;
}

/* Puts the value on top, which takes that many bytes. */
static char *put (lua_State *L, char *p, size_t size) {
  if (size == 1) {
    *p++ = lua_isnil(L, -1) ? NIL : lua_toboolean(L, -1) ? TRUE : FALSE;
    return p;
  }
  if (lua_isinteger(L, -1)) {
    int64_t i = lua_tointeger(L, -1);
    return put8(p, INTEGER, &i);
  }
  if (lua_type(L, -1) == LUA_TNUMBER) {
    double d = lua_tonumber(L, -1);
    return put8(p, FLOAT, &d);
  }
  size_t len;
  const char *s = lua_tolstring(L, -1, &len);
  uint64_t n = len;
  p = put8(p, STRING, &n);
  memcpy(p, s, len);
  return p + len;
}

/* pack(list, from, n) -> bytes | nil: list[from] to list[from + n - 1], without metamethods; nil: one of
** them is neither nil nor boolean, number or string */
static int l_pool_pack (lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer from = luaL_checkinteger(L, 2), n = luaL_checkinteger(L, 3);
  size_t size = 0;
  for (lua_Integer i = 0; i < n; i++) {
    lua_rawgeti(L, 1, from + i);
    size_t one = size_of(L);
    lua_pop(L, 1);
    if (one == 0 || size + one < size) return 0;
    size += one;
  }
  luaL_Buffer b;
  bool small = size <= LIPC_SCRATCH;
  char *start = small ? lipc_scratch(L) : luaL_buffinitsize(L, &b, size);
  char *p = start, *end = start + size;
  for (lua_Integer i = 0; i < n; i++) {
    lua_rawgeti(L, 1, from + i);
    size_t one = size_of(L); /* a finaliser may have changed the list meanwhile */
    if (one == 0 || one > (size_t)(end - p)) return 0;
    p = put(L, p, one);
    lua_pop(L, 1);
  }
  if (small) lua_pushlstring(L, start, (size_t)(p - start));
  else luaL_pushresultsize(&b, (size_t)(p - start));
  return 1;
}

/* Pushes the value at *p and moves on; false: the bytes are bad. */
static bool take (lua_State *L, const char **p, const char *end) {
  uint64_t bits;
  double d;
  if (*p >= end) return false;
  unsigned char tag = (unsigned char)*(*p)++;
  if (tag <= TRUE) {
    if (tag == NIL) lua_pushnil(L);
    else lua_pushboolean(L, tag == TRUE);
    return true;
  }
  if (end - *p < 8 || tag > STRING) return false;
  memcpy(&bits, *p, 8);
  memcpy(&d, *p, 8);
  *p += 8;
  if (tag == INTEGER) {
    lua_pushinteger(L, (lua_Integer)bits);
  } else if (tag == FLOAT) {
    lua_pushnumber(L, d);
  } else {
    if (bits > (uint64_t)(end - *p)) return false;
    lua_pushlstring(L, *p, (size_t)bits);
    *p += bits;
  }
  return true;
}

/* unpack(bytes, at, stop, list, from, n) -> boolean: the n values in bytes[at] to bytes[stop] become
** list[from] and on; false: these are not the bytes of n values */
static int l_pool_unpack (lua_State *L) {
  size_t len;
  const char *bytes = luaL_checklstring(L, 1, &len);
  lua_Integer at = luaL_checkinteger(L, 2), stop = luaL_checkinteger(L, 3);
  luaL_checktype(L, 4, LUA_TTABLE);
  lua_Integer from = luaL_checkinteger(L, 5), n = luaL_checkinteger(L, 6);
  luaL_argcheck(L, stop >= 0 && (size_t)stop <= len, 3, "out of range");
  luaL_argcheck(L, at >= 1 && at <= stop + 1, 2, "out of range");
  const char *p = bytes + (at - 1), *end = bytes + stop;
  for (lua_Integer i = 0; i < n; i++) {
    if (!take(L, &p, end)) {
      lua_pushboolean(L, 0);
      return 1;
    }
    lua_rawseti(L, 4, from + i);
  }
  lua_pushboolean(L, p == end);
  return 1;
}

/* room(n) -> table: an empty one with places for n values, in whatever order they will come */
static int l_pool_room (lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  lua_createtable(L, n < 0 ? 0 : n > 1 << 26 ? 1 << 26 : (int)n, 0);
  return 1;
}

static const luaL_Reg funcs[] = {
  {"pack", l_pool_pack},
  {"unpack", l_pool_unpack},
  {"room", l_pool_room},
  {NULL, NULL},
};

int lipc_open_pool (lua_State *L) { return lipc_module(L, funcs); }
