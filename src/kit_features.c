/* kit_features.c - ipc.features(): what this kernel and this build can do.
** SPDX-License-Identifier: MIT */
#include "lipc_kit.h"

/* features() -> {epoll = true, ..., kernel =, machine =, platform =, lua =}: a new table each time; what
** is missing is false   -- see uname(2) */
static int l_features (lua_State *L) {
  struct lipcsys_feature list[LIPC_MAXFEATURES];
  char release[128], machine[128];
  int n = lipcsys_features(list);
  int r = lipcsys_uname(release, machine, sizeof release);
  if (r < 0) return lipc_fail(L, "features", NULL, r);
  lua_createtable(L, 0, n + 4);
  for (int i = 0; i < n; i++) {
    lua_pushboolean(L, list[i].there);
    lua_setfield(L, -2, list[i].name);
  }
  lua_pushstring(L, release);
  lua_setfield(L, -2, "kernel");
  lua_pushstring(L, machine);
  lua_setfield(L, -2, "machine");
  lua_pushstring(L, lipcsys_platform());
  lua_setfield(L, -2, "platform");
  int version = (int)lua_version(L);
  lua_pushfstring(L, "%d.%d", version / 100, version % 100);
  lua_setfield(L, -2, "lua");
  return 1;
}

/* The module is the function: ipc.features(). */
int lipc_open_features (lua_State *L) {
  lua_pushcfunction(L, l_features);
  return 1;
}
