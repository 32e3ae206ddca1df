/* flock_range.c - locks on ranges of bytes, fcntl(2): of the open file description by default, so that
** closing another descriptor of the file does not drop them; or POSIX's, which belong to the process,
** are not inherited by fork, and go when it closes any descriptor of the file.
** SPDX-License-Identifier: MIT */
#include "flock.h"

/* The file is there as long as the range is, and has closed it when it is closed itself. */
static int range_release (lua_State *L, struct lipc_handle *h, int fd) {
  Lock *range = (Lock *)h;
  (void)L;
  (void)fd;
  if (range->link == NULL) return 0;
  *range->link = range->next;
  if (range->next != NULL) range->next->link = range->link;
  range->link = NULL;
  lipc_lock_drop(range, range->file->h.fd);
  return 0;
}

/* __gc: what it has locked is the file's from now on, and ends with that: the lock of a range that nobody
** kept would else end at some moment or other. */
static int l_range_gc (lua_State *L) {
  Lock *range = lipc_check(L, 1);
  if (lipc_isopen(&range->h) && range->held != LIPC_LK_NONE) range->file->strays = true;
  range->held = LIPC_LK_NONE;
  lipc_shut(L, &range->h);
  return 0;
}

static const luaL_Reg methods[] = {
  {"__gc", l_range_gc},
  {NULL, NULL},
};
static const luaL_Reg *const range_lists[] = {methods, lipc_lock_methods, NULL};
const struct lipc_class lipc_range_class = {.tname = "lipc.flock.range",
                                            .label = "flock.range",
                                            .size = sizeof(Lock),
                                            .values = 1,
                                            .methods = range_lists,
                                            .release = range_release,
                                            .block = lipc_lock_block};

/* The name of the range on top: that of its file, which may have none, and the bytes. */
static void name_range (lua_State *L, lua_Integer start, lua_Integer length) {
  bool named = lua_getiuservalue(L, 1, LIPC_UV_NAME) == LUA_TSTRING;
  lua_pushfstring(L, "%s%sbytes %I ", named ? lua_tostring(L, -1) : "", named ? ", " : "",
                  (LUAI_UACINT)start);
  if (length != 0) lua_pushfstring(L, "to %I", (LUAI_UACINT)(start + length - 1));
  else lua_pushliteral(L, "on");
  lua_concat(L, 2);
  lua_setiuservalue(L, -3, LIPC_UV_NAME);
  lua_pop(L, 1);
}

/* f:range(start, length[, {posix=}]) -> Range: length bytes from byte offset start (from 0); length nil or
** 0: to the end, wherever that will be.  Locks nothing yet.  posix: the lock is the process's, not the
** description's   -- see fcntl(2) */
int lipc_lock_range (lua_State *L) {
  static const char *const names[] = {"posix", NULL};
  Lock *f = lipc_checkopen(L, 1);
  lua_Integer start = luaL_checkinteger(L, 2), length = luaL_optinteger(L, 3, 0);
  lua_settop(L, 4);
  lipc_checkopts(L, 4, names);
  lipc_checkopen(L, 1); /* a metamethod may have closed it */
  bool posix = lipc_optbool(L, 4, "posix", false);
  luaL_argcheck(L, start >= 0, 2, "must not be negative");
  luaL_argcheck(L, length >= 0, 3, "must not be negative");
  luaL_argcheck(L, length <= LUA_MAXINTEGER - start, 3, "out of range");
  Lock *range = lipc_new(L, &lipc_range_class);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, LIPC_UV_FREE);
  name_range(L, start, length);
  range->kind = posix ? LIPC_LK_POSIX : LIPC_LK_OFD;
  range->start = start;
  range->length = length;
  range->file = f;
  range->next = f->next;
  if (range->next != NULL) range->next->link = &range->next;
  range->link = &f->next;
  f->next = range;
  range->h.fd = LIPC_NOFD;
  return 1;
}
