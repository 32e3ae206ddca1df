/* sync.c - locks in shared memory: mutex, condition, reader-writer lock, barrier, once.  POSIX.
** fork: both processes look at the same structure; the child holds nothing of what its parent holds.
** close: gives back what the object holds; the structure stays.
** SPDX-License-Identifier: MIT */
#include "sync.h"

void lipc_sync_stat (lua_State *L, const struct lipc_placed *p) {
  lua_Integer offset = (lua_Integer)p->offset, size = (lua_Integer)p->size;
  lua_createtable(L, 0, 8);
  lua_pushstring(L, p->h.cls->label);
  lua_setfield(L, -2, "type");
  lua_getiuservalue(L, 1, LIPC_UV_NAME);
  lua_setfield(L, -2, "name");
  lipc_setinteger(L, "offset", offset);
  lipc_setinteger(L, "size", size);
}

/* ---- the module ---- */

/* mutex|cond|rwlock|barrier|once(map, offset, opts, owned): sync_*.c */

/* sizeof(type[, {slots=, parties=}]) -> bytes that one takes in a mapping */
static int l_sync_sizeof (lua_State *L) {
  static const char *const types[] = {"mutex", "cond",      "rwlock", "barrier",
                                      "once",  "semaphore", NULL};
  static const char *const names[] = {"slots", "parties", NULL};
  int type = luaL_checkoption(L, 1, NULL, types);
  lipc_checkopts(L, 2, names);
  lua_Integer slots = lipc_optint(L, 2, "slots", 1, LIPC_SYNC_MAX, 0);
  lua_Integer parties = lipc_optint(L, 2, "parties", 1, LIPC_SYNC_MAX, 0);
  luaL_argcheck(L, slots == 0 || type == 2, 2, "option 'slots' is for a rwlock");
  luaL_argcheck(L, (parties != 0) == (type == 3), 2, "a barrier, and no other, needs 'parties'");
  size_t size = type == 0   ? lipc_mutex_size()
                : type == 1 ? lipc_cond_size()
                : type == 2 ? lipc_rwlock_size(slots != 0 ? slots : LIPC_RWLOCK_SLOTS)
                : type == 3 ? lipc_barrier_size(parties)
                : type == 4 ? lipc_once_size()
                            : sizeof(struct lipc_sync_header) + LIPC_SEM_SIZE;
  lua_pushinteger(L, (lua_Integer)size);
  return 1;
}

static const luaL_Reg funcs[] = {
  {"mutex", lipc_sync_mutex},
  {"cond", lipc_sync_cond},
  {"rwlock", lipc_sync_rwlock},
  {"barrier", lipc_sync_barrier},
  {"once", lipc_sync_once},
  {"sizeof", l_sync_sizeof},
  {NULL, NULL},
};

int lipc_open_sync (lua_State *L) {
  lipc_class(L, &lipc_mutex_class);
  lipc_class(L, &lipc_cond_class);
  lipc_class(L, &lipc_rwlock_class);
  lipc_class(L, &lipc_barrier_class);
  lipc_class(L, &lipc_once_class);
  lipc_module(L, funcs);
  lipc_setinteger(L, "ALIGN", LIPC_SYNC_ALIGN);
  lipc_setinteger(L, "NATIVE_OFFSET", LIPC_MUTEX_OFFSET);
  return 1;
}
