/* kit_held.c - what every with(fn) is made of: taken, the function called, given back.
** SPDX-License-Identifier: MIT */
#include "lipc_kit.h"

static const char held_tname[] = "(lipc held)";

struct held {
  struct lipc_handle *h; /* its object is the user value, which keeps it */
  void (*release)(lua_State *L, struct lipc_handle *h);
  unsigned forkgen; /* of the process that took it, which alone gives it back */
  bool taken;
};

/* Runs when the call ends: by return, by an error, by coroutine.close, or when its coroutine, which was
** never closed, is collected. */
static int held_close (lua_State *L) {
  struct held *held = luaL_checkudata(L, 1, held_tname);
  if (held->taken && held->forkgen == lipcsys_forkgen) held->release(L, held->h);
  held->taken = false;
  return 0;
}

static void held_metatable (lua_State *L) {
  if (luaL_getmetatable(L, held_tname) != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_createtable(L, 0, 3);
  lua_pushcfunction(L, held_close);
  lua_setfield(L, -2, "__close");
  lua_pushcfunction(L, held_close);
  lua_setfield(L, -2, "__gc");
  lua_pushstring(L, held_tname);
  lua_setfield(L, -2, "__name");
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, held_tname);
}

/* The guard is made before anything is taken: then it cannot fail any more. */
int lipc_with (lua_State *L, const struct lipc_op *op, int t,
               void (*release)(lua_State *L, struct lipc_handle *h)) {
  lua_settop(L, t);
  struct lipc_handle *h = lipc_checkopen(L, 1);
  lipc_checktimeout(L, t, 0); /* here it has its number among the arguments */
  struct held *held = lua_newuserdatauv(L, sizeof *held, LIPC_HELD_COROUTINE);
  *held = (struct held){.h = h, .release = release};
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  held_metatable(L);
  lua_setmetatable(L, -2);
  lua_insert(L, t);
  return lipc_drive(L, op, t + 1);
}

static int held_done (lua_State *L, int status, lua_KContext base) {
  (void)status;
  return lua_gettop(L) - (int)base;
}

int lipc_held (lua_State *L, int fn, int t) { return lipc_heldnote(L, fn, t, NULL); }

int lipc_heldnote (lua_State *L, int fn, int t, const char *note) {
  struct held *held = lua_touserdata(L, t - 1);
  held->forkgen = lipcsys_forkgen;
  held->taken = true;
  lua_pushthread(L);
  lua_setiuservalue(L, t - 1, LIPC_HELD_COROUTINE);
  lua_pushvalue(L, t - 1);
  lua_toclose(L, -1);
  int base = lua_gettop(L);
  luaL_checkstack(L, 5, NULL);
  lua_pushvalue(L, fn);
  lua_pushvalue(L, 1);
  if (note != NULL) lua_pushstring(L, note);
  lua_callk(L, note != NULL ? 2 : 1, LUA_MULTRET, base, held_done);
  return held_done(L, LUA_OK, base);
}
