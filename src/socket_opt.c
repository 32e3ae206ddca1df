/* socket_opt.c - what can be asked of and said to every socket: options, names, who the peer is.
** socket(7), tcp(7), unix(7).  SPDX-License-Identifier: MIT */
#include "socket.h"

#include <limits.h>
#include <string.h>

/* ---- options ---- */

static const struct lipcsys_sockopt *check_option (lua_State *L, int arg) {
  const char *name = luaL_checkstring(L, arg);
  const struct lipcsys_sockopt *o = lipcsys_sockopt(name);
  if (o == NULL) luaL_argerror(L, arg, lua_pushfstring(L, "unknown socket option '%s'", name));
  return o;
}

/* The value on top of the stack as the number that the system layer wants; false: wrong type. */
static bool to_value (lua_State *L, const struct lipcsys_sockopt *o, long *ret_value) {
  int ok;
  if (lua_isboolean(L, -1)) {
    bool b = lua_toboolean(L, -1);
    *ret_value = o->kind == LIPC_OPT_LINGER ? -1 : b;
    return o->kind == LIPC_OPT_BOOL || (o->kind == LIPC_OPT_LINGER && !b);
  }
  lua_Integer n = lua_tointegerx(L, -1, &ok);
  *ret_value = (long)n;
  return ok && lua_type(L, -1) == LUA_TNUMBER && 0 <= n && n <= INT_MAX &&
         (o->kind == LIPC_OPT_INT || o->kind == LIPC_OPT_LINGER);
}

static const char *expected (const struct lipcsys_sockopt *o) {
  return o->kind == LIPC_OPT_BOOL     ? "boolean"
         : o->kind == LIPC_OPT_LINGER ? "seconds (an integer) or false"
                                      : "integer that is not negative";
}

/* s:setoption(name, value) -> s | nil, msg, code: broadcast, cork, dontroute, keepalive, nodelay,
** oobinline, passcred, quickack, reuseaddr, reuseport, v6only (booleans); keepidle, keepintvl
** (seconds), keepcnt, priority, rcvbuf, sndbuf (bytes), ttl, user_timeout (milliseconds) (integers);
** linger (seconds or false)   -- see socket(7), tcp(7), ip(7), ipv6(7) */
static int l_socket_setoption (lua_State *L) {
  const struct lipc_handle *h = lipc_checkopen(L, 1);
  const struct lipcsys_sockopt *o = check_option(L, 2);
  long value;
  luaL_checkany(L, 3);
  lua_settop(L, 3);
  if (o->readonly) luaL_argerror(L, 2, lua_pushfstring(L, "option '%s' can only be read", o->name));
  if (!to_value(L, o, &value))
    luaL_argerror(
      L, 3, lua_pushfstring(L, "%s expected, got %s", expected(o), luaL_tolstring(L, 3, NULL)));
  int r = lipcsys_setsockopt(h->fd, o, value);
  if (r < 0) return lipc_failself(L, "setoption", r);
  lua_settop(L, 1);
  return 1;
}

/* s:getoption(name) -> value | nil, msg, code: those of setoption, and acceptconn, error (a code name
** or false; reading clears it), family, type.  sndbuf and rcvbuf are what the kernel made of them
** -- see getsockopt(2) */
static int l_socket_getoption (lua_State *L) {
  const struct lipc_handle *h = lipc_checkopen(L, 1);
  const struct lipcsys_sockopt *o = check_option(L, 2);
  long v;
  int r = lipcsys_getsockopt(h->fd, o, &v);
  if (r < 0) return lipc_failself(L, "getoption", r);
  switch (o->kind) {
    case LIPC_OPT_BOOL: lua_pushboolean(L, v != 0); break;
    case LIPC_OPT_INT: lua_pushinteger(L, v); break;
    case LIPC_OPT_TYPE: lua_pushstring(L, lipc_socket_types[v]); break;
    case LIPC_OPT_FAMILY: lua_pushstring(L, lipc_socket_families[v]); break;
    case LIPC_OPT_LINGER:
      if (v < 0) lua_pushboolean(L, 0);
      else lua_pushinteger(L, v);
      break;
    case LIPC_OPT_ERROR: {
      const char *name = v != 0 ? lipcsys_errname((int)v) : NULL;
      if (name != NULL) lua_pushstring(L, name);
      else if (v != 0) lua_pushfstring(L, "E%d", (int)v);
      else lua_pushboolean(L, 0);
      break;
    }
  }
  return 1;
}

const char *const lipc_socket_settable[] = {
  "broadcast", "keepalive", "keepcnt", "keepidle",  "keepintvl",    "linger", "nodelay", "passcred",
  "rcvbuf",    "reuseaddr", "sndbuf",  "reuseport", "user_timeout", "v6only", NULL};

int lipc_socket_setall (lua_State *L, int idx, int fd) {
  for (int i = 0; lipc_socket_settable[i] != NULL; i++) {
    const struct lipcsys_sockopt *o = lipcsys_sockopt(lipc_socket_settable[i]);
    long value;
    if (lua_getfield(L, idx, lipc_socket_settable[i]) != LUA_TNIL) {
      if (o == NULL) return -ENOPROTOOPT;
      if (!to_value(L, o, &value))
        luaL_argerror(L, 1,
                      lua_pushfstring(L, "option '%s': %s expected, got %s", o->name, expected(o),
                                      luaL_tolstring(L, -1, NULL)));
      int r = fd >= 0 ? lipcsys_setsockopt(fd, o, value) : 0;
      if (r < 0) return r;
    }
    lua_pop(L, 1);
  }
  return 0;
}

/* ---- names ---- */

/* s:getsockname() -> {family=, path= | abstract= | host=, port=} | nil, msg, code: its own address
** -- see getsockname(2) */
static int l_socket_getsockname (lua_State *L) {
  const struct lipc_handle *h = lipc_checkopen(L, 1);
  struct lipcsys_addr a;
  int r = lipcsys_sockname(h->fd, &a);
  if (r < 0) return lipc_failself(L, "getsockname", r);
  lipc_socket_pushaddr(L, &a);
  return 1;
}

/* s:getpeername() -> {family=, path= | abstract= | host=, port=} | nil, msg, code: the other side's;
** only the family when it has no name   -- see getpeername(2) */
static int l_socket_getpeername (lua_State *L) {
  const struct lipc_handle *h = lipc_checkopen(L, 1);
  struct lipcsys_addr a;
  int r = lipcsys_peername(h->fd, &a);
  if (r < 0) return lipc_failself(L, "getpeername", r);
  lipc_socket_pushaddr(L, &a);
  return 1;
}

/* s:peercred() -> {pid=, uid=, gid=} | nil, msg, code: who called connect, listen or pair, as the
** kernel noted it then; pid only where the platform tells   -- see unix(7) SO_PEERCRED */
static int l_socket_peercred (lua_State *L) {
  const struct lipc_handle *h = lipc_checkopen(L, 1);
  struct lipcsys_cred c;
  int r = lipcsys_peercred(h->fd, &c);
  if (r < 0) return lipc_failself(L, "peercred", r);
  lua_createtable(L, 0, 3);
  if (c.pid != 0) {
    lua_pushinteger(L, c.pid);
    lua_setfield(L, -2, "pid");
  }
  lua_pushinteger(L, c.uid);
  lua_setfield(L, -2, "uid");
  lua_pushinteger(L, c.gid);
  lua_setfield(L, -2, "gid");
  return 1;
}

const luaL_Reg lipc_socket_common[] = {
  {"setoption", l_socket_setoption},     {"getoption", l_socket_getoption},
  {"getsockname", l_socket_getsockname}, {"getpeername", l_socket_getpeername},
  {"peercred", l_socket_peercred},       {NULL, NULL},
};

/* ---- the rendezvous directory ---- */

/* runtimedir() -> path | nil, msg, code: $XDG_RUNTIME_DIR/lipc, else /tmp/lipc-<uid>; made with mode
** 0700 when missing.  "EPERM": somebody else owns it or others may enter   -- see mkdir(2) */
int lipc_socket_runtimedir (lua_State *L) {
  char path[4096];
  int r = lipcsys_runtimedir(path, sizeof path);
  if (r < 0) return lipc_fail(L, "socket.runtimedir", path, r);
  lua_pushstring(L, path);
  return 1;
}
