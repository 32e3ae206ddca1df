/* kit_held.c - what every with(fn) is made of: taken, the function called, given back.
** SPDX-License-Identifier: MIT */
#include "lipc_kit.h"

static const char held_tname[] = "(lipc held)";

struct held {
  struct lipc_handle *h; /* its object is at index 1 as long as this is on the stack */
  void (*release)(lua_State *L, struct lipc_handle *h);
};

/* Runs when the call ends: by return, by an error, or by coroutine.close. */
static int held_close (lua_State *L) {
  struct held *held = luaL_checkudata(L, 1, held_tname);
  if (held->h != NULL) held->release(L, held->h);
  held->h = NULL;
  return 0;
}

/* The guard is made before anything is taken: then it cannot fail any more. */
int lipc_with (lua_State *L, const struct lipc_op *op, int t,
               void (*release)(lua_State *L, struct lipc_handle *h)) {
  lua_settop(L, t);
  struct lipc_handle *h = lipc_checkopen(L, 1);
  struct held *held = lua_newuserdatauv(L, sizeof *held, 0);
  held->h = h;
  held->release = release;
  lipc_metatable(L, held_tname, "__close", held_close);
  lua_setmetatable(L, -2);
  lua_insert(L, t);
  return lipc_drive(L, op, t + 1);
}

static int held_done (lua_State *L, int status, lua_KContext base) {
  (void)status;
  return lua_gettop(L) - (int)base;
}

int lipc_held (lua_State *L, int fn, int t) {
  lua_pushvalue(L, t - 1);
  lua_toclose(L, -1);
  int base = lua_gettop(L);
  luaL_checkstack(L, 4, NULL);
  lua_pushvalue(L, fn);
  lua_pushvalue(L, 1);
  lua_callk(L, 1, LUA_MULTRET, base, held_done);
  return held_done(L, LUA_OK, base);
}
