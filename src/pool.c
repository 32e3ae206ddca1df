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
static size_t size_of (lua_State *L, int type) {
  if (type == LUA_TNUMBER) return NUMBER;
  if (type == LUA_TSTRING) return NUMBER + lua_rawlen(L, -1);
  return type == LUA_TNIL || type == LUA_TBOOLEAN ? 1 : 0;
}

static void put8 (char *p, unsigned char tag, const void *value) {
  *p = (char)tag;
  memcpy(p + 1, value, 8);
}

/* Puts the value on top where there is room for it. */
static void put (lua_State *L, int type, char *p) {
  if (type == LUA_TNUMBER) {
    int64_t i = lua_tointeger(L, -1);
    double d = lua_tonumber(L, -1);
    if (lua_isinteger(L, -1)) put8(p, INTEGER, &i);
    else put8(p, FLOAT, &d);
  } else if (type == LUA_TSTRING) {
    size_t len;
    const char *s = lua_tolstring(L, -1, &len);
    uint64_t n = len;
    put8(p, STRING, &n);
    memcpy(p + NUMBER, s, len);
  } else {
    *p = type == LUA_TNIL ? NIL : lua_toboolean(L, -1) ? TRUE : FALSE;
  }
}

/* Puts n values of the list at index 1, from that one on: how many bytes it took.  -E2BIG: there is no
** room; -EINVAL: one of them cannot be packed.  Without p it only counts. */
static ptrdiff_t put_all (lua_State *L, lua_Integer from, lua_Integer n, char *p, size_t room) {
  size_t size = 0;
  for (lua_Integer i = 0; i < n; i++) {
    int type = lua_rawgeti(L, 1, from + i);
    size_t one = size_of(L, type);
    if (one == 0 || one > room - size) {
      lua_pop(L, 1);
      return one == 0 ? -EINVAL : -E2BIG;
    }
    if (p != NULL) put(L, type, p + size);
    lua_pop(L, 1);
    size += one;
  }
  return (ptrdiff_t)size;
}

/* pack(list, from, n) -> bytes | nil: list[from] to list[from + n - 1], without metamethods; nil: one of
** them is neither nil nor boolean, number or string */
static int l_pool_pack (lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer from = luaL_checkinteger(L, 2), n = luaL_checkinteger(L, 3);
  char *scratch = lipc_scratch(L);
  ptrdiff_t size = put_all(L, from, n, scratch, LIPC_SCRATCH);
  if (size >= 0) {
    lua_pushlstring(L, scratch, (size_t)size);
    return 1;
  }
  if (size == -E2BIG) size = put_all(L, from, n, NULL, PTRDIFF_MAX);
  if (size < 0) return 0;
  luaL_Buffer b;
  char *p = luaL_buffinitsize(L, &b, (size_t)size);
  size = put_all(L, from, n, p, (size_t)size); /* a finaliser may have changed the list meanwhile */
  if (size < 0) return 0;
  luaL_pushresultsize(&b, (size_t)size);
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

/* columns(file) -> integer | nil: how wide this terminal is, 0 when it does not know; nil: it is none
** -- see ioctl_tty(2) */
static int l_pool_columns (lua_State *L) {
  int columns = 0;
  if (lipcsys_columns(lipc_checkfd(L, 1), &columns) < 0) lua_pushnil(L);
  else lua_pushinteger(L, columns);
  return 1;
}

static const luaL_Reg funcs[] = {
  {"pack", l_pool_pack}, {"unpack", l_pool_unpack},
  {"room", l_pool_room}, {"columns", l_pool_columns},
  {NULL, NULL},
};

int lipc_open_pool (lua_State *L) { return lipc_module(L, funcs); }
