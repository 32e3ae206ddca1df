/* embed.c - a host with lipc linked in: embed 'chunk'.  It has no files to load modules from.
** SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "lua.h"
#include "lauxlib.h"
#include "lualib.h"
#include "lipc.h"

int main (int argc, char **argv) {
  lua_State *L = luaL_newstate();
  if (!L || argc != 2) return 2;
  luaL_openlibs(L);
  lipc_preload(L);
  int bad = luaL_dostring(L, "package.path, package.cpath = '', ''") || luaL_dostring(L, argv[1]);
  if (bad) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  if (lua_gettop(L) > bad) return 3; /* lipc_preload left something */
  lua_close(L);
  return bad;
}
