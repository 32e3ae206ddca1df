/* core.c - luaopen_lipc_core: a table with the opener of each mechanism, called on first use.
** SPDX-License-Identifier: MIT */
#include "lipc_kit.h"

static const luaL_Reg openers[] = {
#define LIPC_MODULE(name) {#name, lipc_open_##name},
#include "modules.def"
#undef LIPC_MODULE
  {NULL, NULL},
};

__attribute__((visibility("default"))) int luaopen_lipc_core (lua_State *L);

int luaopen_lipc_core (lua_State *L) {
  int r = lipcsys_pin();
  if (r < 0) return luaL_error(L, "lipc: cannot install the fork hook: error %d", -r);
  lipc_getstate(L); /* first, so that it is finalised last */
  return lipc_module(L, openers);
}
