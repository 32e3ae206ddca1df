/* socket_open.c - how sockets come to be: look-up, connecting, listening, binding; socket(2),
** bind(2), connect(2), listen(2), getaddrinfo(3).  All of it through one internal object that is
** driven as any waiting operation is, and becomes the socket in the end.
** SPDX-License-Identifier: MIT */
#include "socket.h"

#include <math.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MAXADDRS 16

enum { CONNECT, LISTEN, DATAGRAM, RESOLVE };

/* Stack of a call: 1 the opening, 2 the options table, 3 the timeout. */
typedef struct Opening {
  struct lipc_handle h;
  int what, family, type;
  struct lipcsys_lookup *job; /* owns h.fd while it runs */
  struct lipcsys_addr addr[MAXADDRS], local;
  int naddr, next;
  int err; /* of the first address that failed */
  bool connecting; /* the outcome is to be asked for when h.fd is writable */
  double deadline, until; /* of the whole call, and of this address */
  int backlog;
  unsigned mode;
  bool replace, unlink, reuse, v6any;
  struct lipc_socket_path path; /* bound by this attempt */
} Opening;

static int opening_release (lua_State *L, struct lipc_handle *h, int fd) {
  Opening *o = (Opening *)h;
  lipc_socket_forget(L, &o->path, true);
  if (o->job != NULL) { /* closes its descriptor */
    lipcsys_lookup_drop(o->job);
    o->job = NULL;
    return 0;
  }
  return fd >= 0 ? lipcsys_close(fd) : 0;
}

static const luaL_Reg *const no_methods[] = {NULL};
static const struct lipc_class opening_class = {.tname = "(lipc socket opening)",
                                                .label = "socket",
                                                .size = sizeof(Opening),
                                                .methods = no_methods,
                                                .release = opening_release};

static const char *op_name (const Opening *o) {
  static const char *const names[] = {"socket.connect", "socket.listen", "socket.datagram",
                                      "socket.resolve"};
  return names[o->what];
}

/* nil, "socket.connect 127.0.0.1:1: Connection refused", code.  The name is the opening's. */
static int failed (lua_State *L, const Opening *o, int err) {
  lua_getiuservalue(L, 1, LIPC_UV_NAME);
  return lipc_fail(L, op_name(o), lua_tostring(L, -1), err);
}

/* The descriptor of this attempt goes; the opening stays usable. */
static void drop (lua_State *L, Opening *o) {
  o->connecting = false;
  if (o->h.fd >= 0) lipc_shut(L, &o->h);
  o->h.fd = LIPC_NOFD;
}

/* ---- results ---- */

/* Turns the descriptor into an object of its class.  s was made before; nothing here can fail, but
** for the name. */
static int become (lua_State *L, Opening *o, Socket *s, const struct lipcsys_addr *a) {
  s->s.h.io = LIPC_IO_NONBLOCK | LIPC_IO_SOCKET;
  s->s.h.access = LIPC_IN | LIPC_OUT;
  s->s.h.watched = o->h.watched;
  s->s.h.fd = o->h.fd;
  s->path = o->path;
  o->h.fd = LIPC_CLOSED;
  o->path.name = NULL;
  o->h.watched = false;
  const char *name = a != NULL ? lipc_socket_pushname(L, a) : "";
  if (name[0] != '\0') lipc_setname(L, 5, name);
  lua_settop(L, 5);
  return 1;
}

/* The new object, at index 5. */
static Socket *product (lua_State *L, const Opening *o) {
  lua_settop(L, 4);
  return lipc_socket_new(L, o->family, o->type, o->what == LISTEN);
}

/* ---- binding to a path ---- */

/* Remembers the path as an absolute one: the working directory may change before the close. */
static void keep_path (lua_State *L, Opening *o, const char *path) {
  char cwd[4096];
  size_t len;
  if (path[0] != '/' && getcwd(cwd, sizeof cwd) != NULL) lua_pushfstring(L, "%s/%s", cwd, path);
  else lua_pushstring(L, path);
  const char *full = lua_tolstring(L, -1, &len);
  o->path = (struct lipc_socket_path){.size = len + 1, .forkgen = lipcsys_forkgen};
  o->path.name = lipc_realloc(L, NULL, 0, len + 1);
  memcpy(o->path.name, full, len + 1);
  lua_pop(L, 1);
}

static int bind_one (lua_State *L, Opening *o, const struct lipcsys_addr *a) {
  struct lipcsys_addrparts p;
  lipcsys_addrparts(a, &p);
  if (p.family != LIPC_AF_UNIX || p.abstract || p.len == 0) return lipcsys_bind(o->h.fd, a);
  if (o->unlink) keep_path(L, o, p.name);
  int r = lipcsys_bindpath(o->h.fd, a, o->mode, o->replace, &o->path.id);
  o->path.bound = r == 0;
  return r;
}

/* ---- attempts ---- */

static int set_named (int fd, const char *name, long value) {
  const struct lipcsys_sockopt *o = lipcsys_sockopt(name);
  return o != NULL ? lipcsys_setsockopt(fd, o, value) : -ENOPROTOOPT;
}

/* A new socket of the address's family with the options of the table set. */
static int make (lua_State *L, Opening *o, const struct lipcsys_addr *a) {
  struct lipcsys_addrparts p;
  int fd, family = o->family;
  if (a != NULL) {
    lipcsys_addrparts(a, &p);
    family = p.family;
  }
  o->family = family;
  int r = lipcsys_socket(family, o->type, &fd);
  if (r < 0) return r;
  o->h.fd = fd;
  if (o->reuse && family != LIPC_AF_UNIX) r = set_named(fd, "reuseaddr", 1);
  if (r == 0 && o->v6any && family == LIPC_AF_INET6) r = set_named(fd, "v6only", 0);
  if (r == 0) r = lipc_socket_setall(L, 2, fd);
  return r;
}

static int open_bound (lua_State *L, Opening *o, const struct lipcsys_addr *a) {
  int r = make(L, o, a);
  if (r < 0) return r;
  if (a != NULL) r = bind_one(L, o, a);
  if (r == 0 && o->what == LISTEN) r = lipcsys_listen(o->h.fd, o->backlog);
  if (r < 0) return r;
  struct lipcsys_addr now;
  return become(L, o, product(L, o),
                a != NULL && lipcsys_sockname(o->h.fd, &now) == 0 ? &now : NULL);
}

/* 1: connected.  0: to be tried again, *events says when.  Else the error of this address. */
static int connect_one (lua_State *L, Opening *o, const struct lipcsys_addr *a, int *again) {
  bool wake;
  int r;
  if (!o->connecting) {
    if (o->h.fd < 0) {
      r = make(L, o, a);
      if (r == 0 && o->local.size > 0) r = bind_one(L, o, &o->local);
      if (r < 0) return r;
      o->until = HUGE_VAL;
      if (o->deadline < HUGE_VAL) { /* an address that never answers leaves time for the others */
        double now = lipcsys_now();
        o->until = now + (o->deadline - now) / (o->naddr - o->next);
      }
    }
    r = lipcsys_connect(o->h.fd, a);
    if (r == 0) return 1;
    if (r == -EAGAIN) {
      *again = lipc_pause(0);
      return 0;
    }
    if (r != -EINPROGRESS) return r;
    o->connecting = true;
  }
  if (lipcsys_wait(o->h.fd, LIPC_OUT, -1, 0, &wake) == 0) {
    r = lipcsys_connected(o->h.fd);
    return r == 0 ? 1 : r;
  }
  if (o->until < HUGE_VAL && lipcsys_now() >= o->until) return -ETIMEDOUT;
  bool last = o->until == HUGE_VAL || o->next + 1 == o->naddr;
  *again = last ? lipc_again(LIPC_OUT) : lipc_pause(LIPC_OUT);
  return 0;
}

/* 0: o->addr is filled; else what the step is to return. */
static int look_up (lua_State *L, Opening *o) {
  if (o->job == NULL) return 0;
  int n = 0, r = lipcsys_lookedup(o->job, o->addr, MAXADDRS, &n);
  if (r == -EAGAIN) return lipc_again(LIPC_IN);
  drop(L, o);
  if (r < 0) return failed(L, o, r);
  o->naddr = n;
  return 0;
}

static int push_addresses (lua_State *L, const Opening *o) {
  lua_createtable(L, o->naddr, 0);
  for (int i = 0; i < o->naddr; i++) {
    lipc_socket_pushaddr(L, &o->addr[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int open_step (lua_State *L, int t) {
  Opening *o = lua_touserdata(L, 1);
  int r = look_up(L, o);
  (void)t;
  if (r != 0) return r;
  if (o->what == RESOLVE) return push_addresses(L, o);
  if (o->what == DATAGRAM && o->naddr == 0) {
    r = open_bound(L, o, NULL);
    return r > 0 ? r : failed(L, o, r);
  }
  for (; o->next < o->naddr; o->next++) {
    const struct lipcsys_addr *a = &o->addr[o->next];
    if (o->what != CONNECT) {
      r = open_bound(L, o, a);
      if (r > 0) return r;
    } else {
      int again = 0;
      r = connect_one(L, o, a, &again);
      if (r == 0) return again;
      if (r > 0) return become(L, o, product(L, o), a);
    }
    if (o->err == 0) o->err = r;
    drop(L, o);
  }
  return failed(L, o, o->err);
}

static int open_giveup (lua_State *L, int t, int err) {
  (void)t;
  return failed(L, lua_touserdata(L, 1), err);
}

static const struct lipc_op open_op = {"open", open_step, 0, open_giveup};

/* ---- the functions ---- */

static const char *const connect_names[] = {"path", "abstract", "host", "port", "family",
                                            "type", "timeout",  "bind", NULL};
static const char *const listen_names[] = {"path",   "abstract", "host",    "port",
                                           "family", "type",     "timeout", "backlog",
                                           "mode",   "replace",  "unlink",  NULL};
static const char *const datagram_names[] = {"path",    "abstract", "host",    "port",   "family",
                                             "timeout", "mode",     "replace", "unlink", NULL};
static const char *const resolve_names[] = {"host", "port", "family", "timeout", NULL};

/* lipc_checkopts with two lists: the function's own names and those of options to set. */
static void check_names (lua_State *L, const char *const *own) {
  static const char *const *const settable = lipc_socket_settable;
  const char *all[40];
  int n = 0;
  for (; *own != NULL; own++) all[n++] = *own;
  for (int i = 0; settable[i] != NULL; i++) all[n++] = settable[i];
  all[n] = NULL;
  lipc_checkopts(L, 1, all);
}

/* Fills in what the options table at 1 says and leaves the stack as the step wants it. */
static Opening *prepare (lua_State *L, int what, const char *const *names) {
  struct lipc_socket_where w;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  if (what == RESOLVE) lipc_checkopts(L, 1, names);
  else check_names(L, names);
  lipc_socket_where(L, 1, what != RESOLVE, &w);
  double timeout = lipc_optseconds(L, 1, "timeout", HUGE_VAL);
  int type = what == DATAGRAM
               ? LIPC_SOCK_DGRAM
               : lipc_socket_choice(L, 1, "type", lipc_socket_types, LIPC_SOCK_STREAM);
  if (what == LISTEN && type == LIPC_SOCK_DGRAM)
    luaL_argerror(L, 1, "option 'type': datagram sockets do not listen; see socket.datagram");
  if (what == RESOLVE && w.host == NULL) luaL_argerror(L, 1, "option 'host' is missing");
  if (type == LIPC_SOCK_SEQPACKET && w.family != LIPC_AF_UNIX)
    luaL_argerror(L, 1, "option 'type': 'seqpacket' needs 'path' or 'abstract'");
  if (w.addr.size == 0 && w.host == NULL && what != DATAGRAM)
    luaL_argerror(L, 1, "one of 'path', 'abstract' and 'host', 'port' expected");
  lipc_socket_setall(L, 1, -1); /* wrong types are misuse, before anything is made */
  Opening *o = lipc_new(L, &opening_class);
  o->what = what;
  o->type = type;
  o->family = w.family != 0 ? w.family : w.host == NULL ? LIPC_AF_UNIX : 0;
  o->deadline = timeout > 0 && timeout < HUGE_VAL ? lipcsys_now() + timeout : HUGE_VAL;
  o->addr[0] = w.addr;
  o->naddr = w.addr.size > 0;
  o->h.fd = LIPC_NOFD;
  o->mode = what == CONNECT ? 0600 : lipc_optmode(L, 1, "mode", 0777, 0600);
  o->replace = lipc_optbool(L, 1, "replace", true);
  o->unlink = lipc_optbool(L, 1, "unlink", true);
  o->backlog = (int)lipc_optint(L, 1, "backlog", 0, INT32_MAX, 4096);
  o->reuse = what == LISTEN && lua_getfield(L, 1, "reuseaddr") == LUA_TNIL;
  lua_settop(L, 2);
  if (w.addr.size > 0 && w.host == NULL) lipc_socket_pushname(L, &w.addr);
  else if (w.host != NULL && what == RESOLVE) lua_pushstring(L, w.host);
  else if (w.host != NULL)
    lua_pushfstring(L, strchr(w.host, ':') != NULL ? "[%s]:%d" : "%s:%d", w.host, w.port);
  else lua_pushnil(L);
  lua_setiuservalue(L, 2, LIPC_UV_NAME);
  lua_insert(L, 1);
  lua_toclose(L, 1);
  if (timeout < HUGE_VAL) lua_pushnumber(L, timeout);
  else lua_pushnil(L);
  if (w.host != NULL && strcasecmp(w.host, "localhost") == 0 && w.family == 0)
    o->naddr += lipcsys_inetaddr("::1", w.port, LIPC_AF_INET6, &o->addr[1]) == 0;
  if (w.host != NULL && strcmp(w.host, "*") == 0 && w.family == 0) {
    lua_getfield(L, 2, "v6only");
    o->v6any = lua_isnil(L, -1);
    lua_pop(L, 1);
    if (o->v6any) o->naddr += lipcsys_inetaddr("0.0.0.0", w.port, LIPC_AF_INET, &o->addr[1]) == 0;
  }
  if (w.host != NULL && w.addr.size == 0) {
    int fd = -1, r = lipcsys_lookup(w.host, w.port, w.family, type, &o->job, &fd);
    if (r < 0) o->err = r;
    else o->h.fd = fd;
  }
  return o;
}

static int run (lua_State *L, const Opening *o) {
  return o->err < 0 ? failed(L, o, o->err) : lipc_drivenew(L, &open_op, 3);
}

/* connect{path= | abstract= | host=, port=[, family=, type=, timeout=, bind=address, options]} ->
** socket | nil, msg, code: tries every address of a host within the timeout.  type: "stream",
** "dgram", "seqpacket"   -- see connect(2) */
static int l_socket_connect (lua_State *L) {
  struct lipcsys_addr local = {0};
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  if (lua_getfield(L, 1, "bind") != LUA_TNIL) {
    lua_insert(L, 1); /* so that a message about it names the right argument */
    if (!lua_istable(L, 1)) luaL_argerror(L, 1, "option 'bind': address table expected");
    lipc_socket_checkaddr(L, 1, &local);
    lua_remove(L, 1);
  }
  Opening *o = prepare(L, CONNECT, connect_names);
  o->local = local;
  return run(L, o);
}

/* listen{path= | abstract= | host=, port=[, family=, type=, backlog=, mode=, replace=, unlink=,
** timeout=, options]} -> listener | nil, msg, code: host "*" is every address of this machine, port 0
** one that is free; mode of the path (default 0600); a path that nobody is bound to any more is
** replaced unless replace = false; the path is removed on close unless unlink = false
** -- see bind(2), listen(2) */
static int l_socket_listen (lua_State *L) { return run(L, prepare(L, LISTEN, listen_names)); }

/* datagram{[path= | abstract= | host=, port=, family=, mode=, replace=, unlink=, timeout=, options]}
** -> message socket | nil, msg, code: bound to the address; without one, an unbound socket of the
** family (default "unix")   -- see socket(2), bind(2) */
static int l_socket_datagram (lua_State *L) { return run(L, prepare(L, DATAGRAM, datagram_names)); }

/* resolve{host=[, port=, family=, timeout=]} -> list of addresses | nil, msg, code: what the host's
** name stands for; the look-up runs in a thread   -- see getaddrinfo(3) */
static int l_socket_resolve (lua_State *L) { return run(L, prepare(L, RESOLVE, resolve_names)); }

void lipc_socket_openers (lua_State *L) {
  static const luaL_Reg funcs[] = {
    {"connect", l_socket_connect},
    {"listen", l_socket_listen},
    {"datagram", l_socket_datagram},
    {"resolve", l_socket_resolve},
    {NULL, NULL},
  };
  lipc_class(L, &opening_class);
  luaL_setfuncs(L, funcs, 0);
}
