/* kit_records.c - equal records in a string: a head, as many bytes of a body as the others have, and a tail.
** For streams of messages in which one after the other has the same form: they are counted and put under
** another head all at once.  No kernel object; lua/lipc/proto/records.lua says the same in Lua.
** fork, close: nothing.
** SPDX-License-Identifier: MIT */
#include <string.h>

#include "lipc_kit.h"

/* The place argument 2 means, as an offset into the string at 1. */
static size_t check_start (lua_State *L, size_t len) {
  lua_Integer from = luaL_checkinteger(L, 2);
  luaL_argcheck(L, from >= 1 && (lua_Unsigned)from - 1 <= len, 2, "out of range");
  return (size_t)from - 1;
}

static size_t check_size (lua_State *L, int arg) {
  lua_Integer n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, n >= 0 && n <= PTRDIFF_MAX / 4, arg, "out of range");
  return (size_t)n;
}

/* count(buffer, from, head, size, tail) -> integer: how many whole records stand at buffer[from], one after
** the other: head, size bytes, tail */
static int l_records_count (lua_State *L) {
  size_t len, headlen, taillen;
  const char *buffer = luaL_checklstring(L, 1, &len);
  size_t at = check_start(L, len);
  const char *head = luaL_checklstring(L, 3, &headlen);
  size_t size = check_size(L, 4);
  const char *tail = luaL_checklstring(L, 5, &taillen);
  size_t width = headlen + size + taillen;
  luaL_argcheck(L, width > 0, 3, "empty record");
  lua_Integer n = 0;
  for (; width <= len - at; at += width, n++) {
    if (memcmp(buffer + at, head, headlen) != 0) break;
    if (memcmp(buffer + at + headlen + size, tail, taillen) != 0) break;
  }
  lua_pushinteger(L, n);
  return 1;
}

static void copy (char *to, const char *from, lua_Integer n, const char *head, size_t headlen,
                  size_t old, size_t rest) {
  for (; n > 0; n--, to += headlen + rest, from += old + rest) {
    memcpy(to, head, headlen);
    memcpy(to + headlen, from + old, rest);
  }
}

/* rehead(buffer, from, count, old, rest, head) -> string: the count records at buffer[from], each old + rest
** bytes, with head in the place of the first old ones */
static int l_records_rehead (lua_State *L) {
  size_t len, headlen;
  const char *buffer = luaL_checklstring(L, 1, &len);
  size_t at = check_start(L, len);
  size_t n = check_size(L, 3), old = check_size(L, 4), rest = check_size(L, 5);
  const char *head = luaL_checklstring(L, 6, &headlen);
  luaL_argcheck(L, n == 0 || old + rest <= (len - at) / n, 3, "out of range");
  luaL_argcheck(L, n == 0 || headlen + rest <= PTRDIFF_MAX / n, 6, "too long");
  size_t total = n * (headlen + rest);
  if (total <= LIPC_SCRATCH) {
    char *scratch = lipc_scratch(L);
    copy(scratch, buffer + at, (lua_Integer)n, head, headlen, old, rest);
    lua_pushlstring(L, scratch, total);
  } else {
    luaL_Buffer b;
    copy(luaL_buffinitsize(L, &b, total), buffer + at, (lua_Integer)n, head, headlen, old, rest);
    luaL_pushresultsize(&b, total);
  }
  return 1;
}

static const luaL_Reg funcs[] = {
  {"count", l_records_count},
  {"rehead", l_records_rehead},
  {NULL, NULL},
};

int lipc_open_records (lua_State *L) { return lipc_module(L, funcs); }
