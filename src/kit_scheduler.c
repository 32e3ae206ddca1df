/* kit_scheduler.c - which coroutine is under which scheduler, and what is asked of schedulers.
** SPDX-License-Identifier: MIT */
#include "lipc_kit.h"

/* Registry keys, by address.  waiters: coroutine -> its waiter (weak keys).  schedulers: the set of
** waiters (weak keys). */
static const char waiters_key, schedulers_key;

void lipc_pushweak (lua_State *L, const void *key, const char *mode) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushstring(L, mode);
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

bool lipc_pushwaiter (lua_State *L) {
  if (!lua_isyieldable(L)) return false;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &waiters_key) == LUA_TTABLE) {
    lua_pushthread(L);
    if (lua_rawget(L, -2) != LUA_TNIL) {
      lua_remove(L, -2);
      return true;
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return false;
}

struct question {
  const char *name;
  int fd; /* the argument; -1: none, and one that says true ends it */
};

static int ask_schedulers (lua_State *L) {
  const struct question *q = lua_touserdata(L, 1);
  bool yes = false;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &schedulers_key);
  lua_pushnil(L);
  while (!yes && lua_next(L, 2)) {
    lua_pop(L, 1);
    lua_getfield(L, -1, q->name);
    if (q->fd >= 0) lua_pushinteger(L, q->fd);
    int status = lua_pcall(L, q->fd >= 0, 1, 0);
    if (status == LUA_ERRMEM) return lua_error(L);
    if (status == LUA_OK) yes = q->fd < 0 && lua_toboolean(L, -1);
    lua_pop(L, 1);
  }
  lua_pushboolean(L, yes);
  return 1;
}

/* Calls a function of every scheduler.  Never raises: who closes must get to the end. */
static bool each_scheduler (lua_State *L, const char *name, int fd) {
  struct question q = {name, fd};
  if (!lua_checkstack(L, 4)) return false;
  bool yes = lua_rawgetp(L, LUA_REGISTRYINDEX, &schedulers_key) == LUA_TTABLE;
  lua_pop(L, 1);
  if (!yes) return false;
  int status, tries = 3;
  do { /* memory may be there the next time, and who is not woken waits for ever */
    lua_pushcfunction(L, ask_schedulers);
    lua_pushlightuserdata(L, &q);
    status = lua_pcall(L, 1, 1, 0);
    yes = status == LUA_OK && lua_toboolean(L, -1);
    lua_pop(L, 1);
  } while (status == LUA_ERRMEM && --tries > 0);
  return yes;
}

void lipc_cancel (lua_State *L, int fd) { each_scheduler(L, "cancel", fd); }

bool lipc_anyrunning (lua_State *L) { return each_scheduler(L, "running", -1); }

void lipc_watched (lua_State *L, struct lipc_handle *h) {
  if (h->watched || h->fd < 0) return;
  h->watched = true;
  lipc_cancel(L, h->fd);
}

void lipc_forgetschedulers (lua_State *L) {
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &waiters_key);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &schedulers_key);
}

/* setwaiter(waiter | nil[, co]): puts the coroutine (default: the running one) under a scheduler:
** waiter.wait(fd | nil, "r"|"w"|"rw"|nil, deadline | nil), waiter.cancel(fd), waiter.running() */
int lipc_setwaiter (lua_State *L) {
  if (!lua_isnil(L, 1)) {
    luaL_checktype(L, 1, LUA_TTABLE);
    static const char *const need[] = {"wait", "cancel", "running"};
    for (int i = 0; i < 3; i++) {
      if (lua_getfield(L, 1, need[i]) != LUA_TFUNCTION)
        luaL_argerror(L, 1, lua_pushfstring(L, "field '%s': function expected", need[i]));
      lua_pop(L, 1);
    }
  }
  if (lua_isnoneornil(L, 2)) {
    lua_settop(L, 1);
    lua_pushthread(L);
  }
  luaL_checktype(L, 2, LUA_TTHREAD);
  lua_settop(L, 2);
  if (!lua_isnil(L, 1)) {
    lipc_pushweak(L, &schedulers_key, "k");
    lua_pushvalue(L, 1);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
  }
  lipc_pushweak(L, &waiters_key, "k");
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 1);
  lua_rawset(L, -3);
  return 0;
}
