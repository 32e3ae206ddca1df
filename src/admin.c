/* admin.c - what the machine's named objects and processes are asked for by lua/lipc/admin.lua, which
** says what it means; shm_overview(7), mq_overview(7), proc(5).  Linux.
** fork: nothing is kept.  close: neither.  SPDX-License-Identifier: MIT */
#include "lipc_kit.h"

#include <string.h>

static const char *const places[] = {"shm", "mqueue", "dir", NULL};
static const char *const place_names[] = {"/dev/shm", LIPC_MQ_DIR};
static const char *const types[] = {"file", "socket", "fifo", "directory"};

/* The place that the arguments at 1, 2 and 3 name; its name for messages. */
static const char *check_place (lua_State *L, struct lipcsys_place *ret) {
  *ret = (struct lipcsys_place){.where = luaL_checkoption(L, 1, NULL, places), .uid = -1};
  if (ret->where != LIPC_AT_DIR) return place_names[ret->where];
  ret->path = lipc_checkpath(L, 2);
  ret->uid = (long)luaL_optinteger(L, 3, -1);
  return ret->path;
}

static void set_number (lua_State *L, const char *name, double n) {
  lua_pushnumber(L, n);
  lua_setfield(L, -2, name);
}

static void set_string (lua_State *L, const char *name, const char *s) {
  lua_pushstring(L, s);
  lua_setfield(L, -2, name);
}

static void push_named (lua_State *L, const struct lipcsys_named *o) {
  char buf[4096];
  const char *owner = lipcsys_username((uint32_t)o->uid, buf, sizeof buf);
  lua_createtable(L, 0, 16);
  set_string(L, "name", o->name);
  set_string(L, "identity", o->identity);
  set_string(L, "type", types[o->type]);
  if (owner != NULL) set_string(L, "owner", owner);
  lipc_setinteger(L, "mode", o->mode);
  lipc_setinteger(L, "uid", (lua_Integer)o->uid);
  lipc_setinteger(L, "gid", (lua_Integer)o->gid);
  if (o->size != UINT64_MAX) lipc_setinteger(L, "size", (lua_Integer)o->size);
  lipc_setinteger(L, "dev", (lua_Integer)o->dev);
  lipc_setinteger(L, "ino", (lua_Integer)o->ino);
  set_number(L, "changed", o->changed);
  if (o->born != 0) set_number(L, "born", o->born);
  lipc_setinteger(L, "curmsgs", o->curmsgs);
  if (o->type != LIPC_IS_SOCKET) return;
  lua_pushboolean(L, o->bound);
  lua_setfield(L, -2, "bound");
}

/* named("shm" | "mqueue" | "dir"[, path[, uid]]) -> array of tables as push_named makes them | nil, msg, code
** -- see statx(2) */
static int l_admin_named (lua_State *L) {
  struct lipcsys_place place;
  struct lipcsys_named *list = NULL;
  size_t max = 0, n = 0;
  int r;
  const char *object = check_place(L, &place);
  lua_settop(L, 4);
  for (;;) { /* they may become more while we look */
    r = lipcsys_named(&place, list, max, &n);
    if (r < 0 || n <= max) break;
    max = n + 8;
    list = lua_newuserdatauv(L, max * sizeof *list, 0);
    lua_replace(L, 4);
  }
  if (r == -ENOENT && place.where == LIPC_AT_MQUEUE)
    return lipc_failnote(L, "admin.list", object, r,
                         "not mounted: mkdir -p " LIPC_MQ_DIR
                         " && mount -t mqueue none " LIPC_MQ_DIR);
  if (r < 0) return lipc_fail(L, "admin.list", object, r);
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    push_named(L, &list[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* remove(place, path, uid, name, identity, how) -> true | nil, msg, code: how has in it "a" to fail with
** EPROTONOSUPPORT where the kernel does not tell whether it is open, "f" to remove it open or not, "d" not
** to remove it; ESTALE: another object has that name   -- see unlink(2), fcntl(2) F_SETLEASE */
static int l_admin_remove (lua_State *L) {
  struct lipcsys_place place;
  check_place(L, &place);
  const char *name = lipc_checkpath(L, 4), *identity = luaL_checkstring(L, 5);
  const char *how = luaL_checkstring(L, 6);
  luaL_argcheck(L, strchr(name, '/') == NULL, 4, "no name in a directory");
  unsigned flags = (strchr(how, 'a') != NULL ? LIPC_RM_ASK : 0) |
                   (strchr(how, 'f') != NULL ? LIPC_RM_FORCE : 0) |
                   (strchr(how, 'd') != NULL ? LIPC_RM_DRY : 0);
  int r = lipcsys_rmnamed(&place, name, identity, flags);
  if (r < 0) return lipc_fail(L, "admin.remove", name, r);
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- processes ---- */

/* Pushes a userdata with the pids; how many. */
static int push_pids (lua_State *L, long **ret_list, size_t *ret_n, bool *ret_hidden) {
  size_t max = 0, n = 0;
  int r;
  *ret_list = NULL;
  lua_pushnil(L);
  while ((r = lipcsys_pids(*ret_list, max, &n, ret_hidden)) == 0 && n > max) {
    max = n + 64;
    *ret_list = lua_newuserdatauv(L, max * sizeof **ret_list, 0);
    lua_replace(L, -2);
  }
  *ret_n = n;
  return r;
}

/* From {what=, dev=, ino=} at each index of the array at 1. */
static struct lipcsys_wanted *check_wanted (lua_State *L, size_t n) {
  static const char *const kinds[] = {"file", "socket", "segment", NULL};
  struct lipcsys_wanted *list = lua_newuserdatauv(L, (n + 1) * sizeof *list, 0);
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_getfield(L, -1, "what");
    lua_getfield(L, -2, "dev");
    lua_getfield(L, -3, "ino");
    list[i] = (struct lipcsys_wanted){.what = luaL_checkoption(L, -3, NULL, kinds),
                                      .dev = (uint64_t)lua_tointeger(L, -2),
                                      .ino = (uint64_t)luaL_checkinteger(L, -1),
                                      .index = i};
    lua_pop(L, 4);
  }
  lipcsys_sortwanted(list, n);
  return list;
}

/* Appends the pid to the arrays, in the table at index 2, of what was hit. */
static void add_hits (lua_State *L, struct lipcsys_wanted *list, size_t n, long pid) {
  for (size_t i = 0; i < n; i++) {
    if (!list[i].hit) continue;
    list[i].hit = false;
    lua_rawgeti(L, 2, (lua_Integer)list[i].index + 1);
    lua_pushinteger(L, pid);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
  }
}

/* users({{what = "file" | "socket" | "segment", dev=, ino=} ...}) -> an array of arrays of pids, how many
** processes of this user and how many of others have descriptors that could not be seen, the same of
** mappings | nil, msg, code   -- see proc(5) fd, maps */
static int l_admin_users (lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  size_t n = lua_rawlen(L, 1), npids;
  lua_Integer unseen[4] = {0};
  long *pids, uid = lipcsys_euid();
  bool hidden;
  lua_createtable(L, (int)n, 0);
  for (size_t i = 1; i <= n; i++) {
    lua_newtable(L);
    lua_rawseti(L, 2, (lua_Integer)i);
  }
  struct lipcsys_wanted *list = check_wanted(L, n);
  int r = push_pids(L, &pids, &npids, &hidden);
  if (r < 0) return lipc_fail(L, "admin.list", "/proc", r);
  if (hidden) unseen[1] = unseen[3] = 1;
  for (size_t i = 0; i < npids; i++) {
    struct lipcsys_procinfo info;
    unsigned what;
    lipcsys_opened(pids[i], list, n, &what);
    add_hits(L, list, n, pids[i]);
    if (what == 0 || lipcsys_procinfo(pids[i], &info) < 0 || !info.opens) continue;
    int whose = info.uid == uid ? 0 : 1;
    if (what & LIPC_UNSEEN_FD) unseen[whose]++;
    if (what & LIPC_UNSEEN_MAP) unseen[2 + whose]++;
  }
  lua_settop(L, 2);
  for (int i = 0; i < 4; i++) lua_pushinteger(L, unseen[i]);
  return 5;
}

/* procage(pid) -> seconds since that process began | nil: there is none, or it has ended  -- see proc(5) */
static int l_admin_procage (lua_State *L) {
  struct lipcsys_procinfo info;
  if (lipcsys_procinfo((long)luaL_checkinteger(L, 1), &info) < 0 || !info.running) return 0;
  lua_pushnumber(L, info.age);
  return 1;
}

/* unixsockets() -> the text of /proc/net/unix | nil, msg, code   -- see proc(5) */
static int l_admin_unixsockets (lua_State *L) {
  size_t size = 65536, n = 0;
  for (;;) {
    char *buf = lua_newuserdatauv(L, size, 0);
    int r = lipcsys_slurp("/proc/net/unix", buf, size, &n);
    if (r == 0) {
      lua_pushlstring(L, buf, n);
      return 1;
    }
    lua_pop(L, 1);
    if (r != -ENOBUFS) return lipc_fail(L, "admin.list", "/proc/net/unix", r);
    size *= 2;
  }
}

/* self() -> effective user id, seconds since 1970, bytes of a semaphore   -- see geteuid(2) */
static int l_admin_self (lua_State *L) {
  double now = 0;
  lipcsys_clocknow(LIPC_CLOCK_REALTIME, &now);
  lua_pushinteger(L, lipcsys_euid());
  lua_pushnumber(L, now);
  lua_pushinteger(L, (lua_Integer)lipcsys_semsize());
  return 3;
}

static const luaL_Reg funcs[] = {
  {"named", l_admin_named},
  {"remove", l_admin_remove},
  {"users", l_admin_users},
  {"procage", l_admin_procage},
  {"unixsockets", l_admin_unixsockets},
  {"self", l_admin_self},
  {NULL, NULL},
};

int lipc_open_admin (lua_State *L) { return lipc_module(L, funcs); }
