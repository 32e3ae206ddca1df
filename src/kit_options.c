/* kit_options.c - the arguments of functions: tables of options, names and paths.
** SPDX-License-Identifier: MIT */
#include "lipc_kit.h"

#include <math.h>
#include <string.h>

void lipc_checkopts (lua_State *L, int idx, const char *const names[]) {
  if (lua_isnoneornil(L, idx)) return;
  luaL_checktype(L, idx, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    int i = 0;
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TSTRING)
      while (names[i] != NULL && strcmp(names[i], lua_tostring(L, -1)) != 0) i++;
    if (lua_type(L, -1) != LUA_TSTRING || names[i] == NULL) {
      const char *key = luaL_tolstring(L, -1, NULL);
      luaL_argerror(L, idx, lua_pushfstring(L, "unknown option '%s'", key));
    }
  }
  if (!lua_getmetatable(L, idx)) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lipc_copyopts(L, idx, names);
  lua_replace(L, idx);
}

void lipc_copyopts (lua_State *L, int idx, const char *const names[]) {
  for (int i = 0; names[i] != NULL; i++) {
    lua_getfield(L, idx, names[i]);
    lua_setfield(L, -2, names[i]);
  }
}

/* Pushes option name; false (nothing pushed) when it is not given. */
static bool option (lua_State *L, int idx, const char *name) {
  if (lua_type(L, idx) != LUA_TTABLE) return false;
  if (lua_getfield(L, idx, name) != LUA_TNIL) return true;
  lua_pop(L, 1);
  return false;
}

/* Of the option on top. */
static int badoption (lua_State *L, int idx, const char *name, const char *expected) {
  return luaL_argerror(
    L, idx,
    lua_pushfstring(L, "option '%s': %s expected, got %s", name, expected, luaL_typename(L, -1)));
}

lua_Integer lipc_optint (lua_State *L, int idx, const char *name, lua_Integer lo, lua_Integer hi,
                         lua_Integer dflt) {
  if (!option(L, idx, name)) return dflt;
  int ok;
  lua_Integer n = lua_tointegerx(L, -1, &ok);
  if (!ok || lua_type(L, -1) != LUA_TNUMBER) badoption(L, idx, name, "integer");
  if (n < lo || n > hi)
    luaL_argerror(L, idx,
                  lua_pushfstring(L, "option '%s': %I is out of range", name, (LUAI_UACINT)n));
  lua_pop(L, 1);
  return n;
}

lua_Integer lipc_tomode (lua_State *L, int idx, lua_Integer most) {
  lua_Integer n = 0;
  size_t len;
  int ok = 0;
  if (lua_type(L, idx) == LUA_TSTRING) {
    const char *s = lua_tolstring(L, idx, &len);
    for (size_t i = 0; i < len; i++) {
      if (s[i] < '0' || s[i] > '7') return LIPC_NOMODE;
      if (n <= most) n = n * 8 + (s[i] - '0'); /* else it is too much already */
    }
    ok = len > 0;
  } else if (lua_type(L, idx) == LUA_TNUMBER) {
    n = lua_tointegerx(L, idx, &ok);
  }
  if (!ok) return LIPC_NOMODE;
  return 0 <= n && n <= most ? n : LIPC_BADMODE;
}

unsigned lipc_optmode (lua_State *L, int idx, const char *name, unsigned most, unsigned dflt) {
  if (!option(L, idx, name)) return dflt;
  lua_Integer n = lipc_tomode(L, -1, most);
  if (n < 0) {
    bool text = lua_type(L, -1) == LUA_TSTRING;
    const char *got = luaL_tolstring(L, -1, NULL);
    if (text) got = lua_pushfstring(L, "\"%s\"", got);
    else if (n == LIPC_NOMODE) got = luaL_typename(L, -2);
    if (n == LIPC_NOMODE)
      lua_pushfstring(L, "option '%s': octal string such as \"0600\" or integer expected, got %s",
                      name, got);
    else
      lua_pushfstring(L,
                      "option '%s': %s is out of range (octal digits are written as a string: "
                      "\"0000\" to \"%s\")",
                      name, got, most == 0777 ? "0777" : "7777");
    luaL_argerror(L, idx, lua_tostring(L, -1));
  }
  lua_pop(L, 1);
  return (unsigned)n;
}

double lipc_optseconds (lua_State *L, int idx, const char *name, double dflt) {
  if (!option(L, idx, name)) return dflt;
  bool other = strcmp(name, "timeout") != 0; /* else as lipc_checktimeout says it */
  if (lua_type(L, -1) != LUA_TNUMBER)
    badoption(L, idx, name, other ? "time in seconds" : "timeout in seconds");
  double s = lua_tonumber(L, -1);
  if (!(s >= 0))
    luaL_argerror(L, idx,
                  lua_pushfstring(L, "option '%s': %s must not be %s", name, other ? "time" : name,
                                  isnan(s) ? "NaN" : "negative"));
  lua_pop(L, 1);
  return s;
}

bool lipc_optbool (lua_State *L, int idx, const char *name, bool dflt) {
  if (!option(L, idx, name)) return dflt;
  if (lua_type(L, -1) != LUA_TBOOLEAN) badoption(L, idx, name, "boolean");
  bool b = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return b;
}

const char *lipc_optstring (lua_State *L, int idx, const char *name, const char *dflt) {
  if (!option(L, idx, name)) return dflt;
  if (lua_type(L, -1) != LUA_TSTRING) badoption(L, idx, name, "string");
  size_t len;
  const char *s = lua_tolstring(L, -1, &len);
  if (strlen(s) != len)
    luaL_argerror(L, idx, lua_pushfstring(L, "option '%s': string contains zeros", name));
  lua_pop(L, 1);
  return s;
}

const char *lipc_checkpath (lua_State *L, int arg) {
  size_t len;
  const char *s = luaL_checklstring(L, arg, &len);
  luaL_argcheck(L, strlen(s) == len, arg, "string contains zeros");
  luaL_argcheck(L, len > 0, arg, "empty string");
  return s;
}

const char *lipc_checkname (lua_State *L, int arg, size_t max) {
  const char *s = lipc_checkpath(L, arg);
  luaL_argcheck(L, s[0] == '/', arg, "name must begin with '/'");
  luaL_argcheck(L, s[1] != '\0', arg, "nothing behind the '/'");
  luaL_argcheck(L, strchr(s + 1, '/') == NULL, arg, "name must contain no other '/'");
  if (strlen(s + 1) > max)
    luaL_argerror(
      L, arg, lua_pushfstring(L, "name is too long (at most %d bytes behind the '/')", (int)max));
  return s;
}

void lipc_splitopts (lua_State *L, int idx, const char *const names[]) {
  lua_settop(L, idx);
  if (lua_type(L, idx) != LUA_TTABLE) {
    lipc_checktimeout(L, idx, 0); /* while it is where the caller has put it */
    lua_pushnil(L);
    lua_insert(L, idx);
    return;
  }
  lipc_checkopts(L, idx, names);
  double timeout = lipc_optseconds(L, idx, "timeout", -1);
  if (timeout < 0) lua_pushnil(L);
  else lua_pushnumber(L, timeout);
}
