/* pool.c - lists of values as bytes, for lipc.pool: what goes between a pool and its workers, which are
** the same program on the same machine.  No kernel object; the rest of the pool is lua/lipc/pool.lua.
** A value is a byte that says what it is, then 4 or 8 bytes of a number, or a string's length and the string.
** fork, close: nothing.
** SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <string.h>

#include "lipc_kit.h"

enum { NIL, FALSE, TRUE, SMALL, INTEGER, FLOAT, STRING };

#define BATCH 16 /* values left on the stack before they are popped at once */

/* Where bytes go: those that there is room for, the others are counted. */
struct sink {
  char *p;
  size_t room, size;
};

static void put (struct sink *to, unsigned char tag, const void *value, size_t len) {
  if (to->size + len < to->room) {
    to->p[to->size] = (char)tag;
    memcpy(to->p + to->size + 1, value, len);
  }
  to->size += 1 + len;
}

static void put_number (lua_State *L, struct sink *to) {
  if (lua_isinteger(L, -1)) {
    int64_t i = lua_tointeger(L, -1);
    int32_t small = (int32_t)i;
    if (small == i) put(to, SMALL, &small, sizeof small);
    else put(to, INTEGER, &i, sizeof i);
  } else {
    double d = lua_tonumber(L, -1);
    put(to, FLOAT, &d, sizeof d);
  }
}

static bool put_string (lua_State *L, struct sink *to) {
  size_t len;
  const char *s = lua_tolstring(L, -1, &len);
  uint64_t n = len;
  put(to, STRING, &n, sizeof n);
  if (to->size > PTRDIFF_MAX || len > PTRDIFF_MAX - to->size) return false;
  if (to->size + len <= to->room) memcpy(to->p + to->size, s, len);
  to->size += len;
  return true;
}

/* Puts n values of the list at index 1, from that one on; false: one of them cannot be packed. */
static bool put_all (lua_State *L, lua_Integer from, lua_Integer n, struct sink *to) {
  bool good = true;
  luaL_checkstack(L, BATCH, NULL);
  int top = lua_gettop(L);
  for (lua_Integer i = 0; i < n && good; i++) {
    switch (lua_rawgeti(L, 1, from + i)) {
      case LUA_TNUMBER: put_number(L, to); break;
      case LUA_TSTRING: good = put_string(L, to); break;
      case LUA_TBOOLEAN: put(to, lua_toboolean(L, -1) ? TRUE : FALSE, "", 0); break;
      case LUA_TNIL: put(to, NIL, "", 0); break;
      default: good = false;
    }
    if (i % BATCH == BATCH - 1) lua_settop(L, top);
  }
  lua_settop(L, top);
  return good;
}

/* pack(list, from, n) -> bytes | nil: list[from] to list[from + n - 1], without metamethods; nil: one of
** them is neither nil nor boolean, number or string */
static int l_pool_pack (lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer from = luaL_checkinteger(L, 2), n = luaL_checkinteger(L, 3);
  struct sink to = {lipc_scratch(L), LIPC_SCRATCH, 0};
  if (!put_all(L, from, n, &to)) return 0;
  if (to.size <= to.room) {
    lua_pushlstring(L, to.p, to.size);
    return 1;
  }
  luaL_Buffer b;
  to = (struct sink){luaL_buffinitsize(L, &b, to.size), to.size, 0};
  if (!put_all(L, from, n, &to) || to.size > to.room)
    return 0; /* a finaliser has changed the list meanwhile */
  luaL_pushresultsize(&b, to.size);
  return 1;
}

/* Takes bytes from *p into value; false: there are not so many. */
static bool get (const char **p, const char *end, void *value, size_t size) {
  if ((size_t)(end - *p) < size) return false;
  memcpy(value, *p, size);
  *p += size;
  return true;
}

/* Pushes the value at *p and moves on; false: the bytes are bad. */
static bool get_value (lua_State *L, const char **p, const char *end) {
  unsigned char tag;
  union {
    int32_t small;
    int64_t integer;
    double number;
    uint64_t len;
  } v;
  if (!get(p, end, &tag, 1)) return false;
  switch (tag) {
    case NIL: lua_pushnil(L); return true;
    case FALSE:
    case TRUE: lua_pushboolean(L, tag == TRUE); return true;
    case SMALL:
      if (!get(p, end, &v, sizeof v.small)) return false;
      lua_pushinteger(L, v.small);
      return true;
    case INTEGER:
      if (!get(p, end, &v, sizeof v.integer)) return false;
      lua_pushinteger(L, v.integer);
      return true;
    case FLOAT:
      if (!get(p, end, &v, sizeof v.number)) return false;
      lua_pushnumber(L, v.number);
      return true;
    case STRING:
      if (!get(p, end, &v, sizeof v.len) || v.len > (uint64_t)(end - *p)) return false;
      lua_pushlstring(L, *p, (size_t)v.len);
      *p += v.len;
      return true;
    default: return false;
  }
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
    if (!get_value(L, &p, end)) {
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
