/* poll.c - a set of descriptors, waited for together; epoll(7), poll(2).  POSIX.
** fork: a child's set has the same members and is the child's own.  close of a member: lipc objects
** leave the set by themselves; take out what else there is before it is closed.
** SPDX-License-Identifier: MIT */
#include "lipc_kit.h"

#include <string.h>

#define MOST 256 /* reported by one wait; the others come with the next */

enum { UV_MEMBERS = LIPC_UV_FREE }; /* descriptor -> what was added, where it was not a number */

typedef struct Poller {
  struct lipc_handle h;
  struct lipcsys_poller *set;
  struct lipc_watch watch;
  int wake; /* the state's wakefd, as far as it is in the set */
  int n; /* what the last wait found */
  bool fresh; /* and nobody has been told yet */
  bool woken; /* by p:wake() */
  struct lipcsys_ready ready[MOST];
  int *gone; /* closed members whose objects are still to be let go */
  int ngone, maxgone, nobjects;
} Poller;

static unsigned check_events (lua_State *L, int arg) {
  static const char *const names[] = {"r", "w", "rw", NULL};
  static const unsigned events[] = {LIPC_IN, LIPC_OUT, LIPC_IN | LIPC_OUT};
  return events[luaL_checkoption(L, arg, NULL, names)];
}

static void drop_ready (Poller *p, int fd) {
  for (int i = 0; i < p->n; i++)
    if (p->ready[i].fd == fd) p->ready[i].events = 0;
}

/* A member is about to be closed. */
static void forget (struct lipc_watch *w, int fd) {
  Poller *p = (Poller *)((char *)w - offsetof(Poller, watch));
  if (lipcsys_poller_wanted(p->set, fd) == 0) return;
  lipcsys_poller_forget(p->set, fd);
  if (fd == p->wake) p->wake = -1;
  drop_ready(p, fd);
  if (p->ngone < p->maxgone) p->gone[p->ngone++] = fd;
}

/* Lets go of the objects that were closed as members. */
static void clear_gone (lua_State *L, Poller *p) {
  lua_getiuservalue(L, 1, UV_MEMBERS);
  while (p->ngone > 0) {
    int fd = p->gone[--p->ngone];
    if (lua_rawgeti(L, -1, fd) != LUA_TNIL) p->nobjects--;
    lua_pushnil(L);
    lua_rawseti(L, -3, fd);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* The descriptor that signals make readable belongs to every set. */
static void sync_wake (lua_State *L, Poller *p) {
  int wake = lipc_getstate(L)->wakefd;
  if (wake == p->wake) return;
  if (p->wake >= 0) lipcsys_poller_forget(p->set, p->wake);
  p->wake = -1;
  if (wake >= 0 && lipcsys_poller_put(p->set, wake, LIPC_IN) == 0) p->wake = wake;
}

static Poller *check_poller (lua_State *L) {
  Poller *p = lipc_checkopen(L, 1);
  if (p->ngone > 0) clear_gone(L, p);
  return p;
}

/* The descriptor of a member: as lipc_checkfd, or what its method pollfd gives (ipc.loop, cqueues). */
static int check_member (lua_State *L, int arg) {
  int type = lua_type(L, arg), fd = -1;
  if ((type != LUA_TTABLE && type != LUA_TUSERDATA) || lipc_testany(L, arg) != NULL ||
      luaL_testudata(L, arg, LUA_FILEHANDLE) != NULL)
    return lipc_checkfd(L, arg);
  if (type == LUA_TUSERDATA && luaL_getmetafield(L, arg, "__index") == LUA_TNIL)
    return lipc_checkfd(L, arg);
  if (lua_getfield(L, arg, "pollfd") == LUA_TNIL) return lipc_checkfd(L, arg);
  lua_pushvalue(L, arg);
  lua_call(L, 1, 1);
  const char *problem = lipc_tofd(L, lua_gettop(L), &fd);
  if (problem != NULL) luaL_argerror(L, arg, lua_pushfstring(L, "its pollfd: %s", problem));
  lua_settop(L, 3);
  check_poller(L); /* which that method may have closed */
  return fd;
}

/* Remembers what stands for a descriptor: the object at arg, nothing for a number. */
static void remember (lua_State *L, Poller *p, int arg, int fd) {
  bool object = lua_type(L, arg) == LUA_TUSERDATA || lua_type(L, arg) == LUA_TTABLE;
  if (!object && p->nobjects == 0) return;
  lua_getiuservalue(L, 1, UV_MEMBERS);
  bool had = lua_rawgeti(L, -1, fd) != LUA_TNIL;
  lua_pop(L, 1);
  if (object && !had && p->nobjects + 1 > p->maxgone) {
    int max = p->maxgone < 8 ? 8 : p->maxgone * 2;
    p->gone = lipc_realloc(L, p->gone, sizeof(int) * (size_t)p->maxgone, sizeof(int) * (size_t)max);
    p->maxgone = max;
  }
  if (object) lua_pushvalue(L, arg);
  else lua_pushnil(L);
  lua_rawseti(L, -2, fd);
  lua_pop(L, 1);
  p->nobjects += object - had;
}

/* p:add(what, events) -> true | nil, msg, code: what is an lipc object, a file, a descriptor or anything
** with a method pollfd; events "r", "w" or "rw".  What is there already is changed   -- see epoll_ctl(2) */
static int l_poller_add (lua_State *L) {
  Poller *p = check_poller(L);
  lua_settop(L, 3);
  int fd = check_member(L, 2);
  unsigned events = check_events(L, 3);
  struct lipc_handle *h = lipc_testany(L, 2);
  if (h != NULL) lipc_watched(L, h);
  sync_wake(L, p);
  remember(L, p, 2, fd);
  int r = lipcsys_poller_put(p->set, fd, events);
  if (r < 0) {
    if (lipcsys_poller_wanted(p->set, fd) == 0) {
      lua_pushinteger(L, fd);
      lua_replace(L, 2);
      remember(L, p, 2, fd);
    }
    return lipc_failself(L, "add", r);
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* p:modify(what, events) -> true | nil, msg, code: of a member; "ENOENT": it is none */
static int l_poller_modify (lua_State *L) {
  Poller *p = check_poller(L);
  lua_settop(L, 3);
  int fd = check_member(L, 2);
  unsigned events = check_events(L, 3);
  if (lipcsys_poller_wanted(p->set, fd) == 0) return lipc_failself(L, "modify", -ENOENT);
  return lipc_result(L, "modify", lipcsys_poller_put(p->set, fd, events));
}

/* p:remove(what) -> true: also of what is no member; a closed object left by itself */
static int l_poller_remove (lua_State *L) {
  Poller *p = check_poller(L);
  const struct lipc_handle *h = lipc_testany(L, 2);
  if (h == NULL || h->fd >= 0) {
    int fd = check_member(L, 2);
    lipcsys_poller_forget(p->set, fd);
    drop_ready(p, fd);
    lua_pushinteger(L, fd);
    lua_replace(L, 2);
    remember(L, p, 2, fd);
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* Looks, or sleeps, once; what only a signal made ready does not count. */
static int look (lua_State *L, Poller *p, double seconds) {
  int n;
  sync_wake(L, p);
  p->n = 0;
  int r = lipcsys_poller_wait(p->set, seconds, p->ready, MOST, &n);
  if (r < 0) return r;
  p->n = n;
  for (int i = 0; i < p->n && p->wake >= 0; i++)
    if (p->ready[i].fd == p->wake) {
      p->ready[i] = p->ready[--p->n];
      lipc_interrupts(L);
      break;
    }
  p->fresh = p->n > 0;
  return 0;
}

static int wait_step (lua_State *L, int t) {
  (void)t;
  Poller *p = lua_touserdata(L, 1);
  if (p->woken) {
    p->woken = false;
    lua_pushinteger(L, 0);
    return 1;
  }
  int r = p->fresh ? 0 : look(L, p, 0);
  if (r == -EINTR || (r == 0 && p->n == 0)) return lipc_again(LIPC_IN);
  if (r < 0) return lipc_failself(L, "wait", r);
  p->fresh = false;
  lua_pushinteger(L, p->n);
  return 1;
}

static int block (lua_State *L, const struct lipc_op *op, int t, double seconds) {
  (void)op;
  (void)t;
  return look(L, lua_touserdata(L, 1), seconds);
}

static int wait_over (lua_State *L, int t, int err) {
  (void)t;
  if (err != -ETIMEDOUT) return lipc_failself(L, "wait", err);
  lua_pushnil(L); /* not put together each time: loops ask with timeout 0 at every turn */
  lua_pushliteral(L, "poll:wait: timed out");
  lua_pushliteral(L, "ETIMEDOUT");
  return 3;
}

static const struct lipc_op wait_op = {"wait", wait_step, 0, wait_over};

/* p:wait([timeout]) -> n | nil, msg, code: waits until some are ready; p:ready(1 .. n) tells which.
** Those that are always ready, as regular files are, end every wait; 0: wake ended it   -- see
** epoll_wait(2) */
static int l_poller_wait (lua_State *L) {
  check_poller(L);
  return lipc_drive(L, &wait_op, 2);
}

/* p:wake() -> true: ends the wait that is under way (the caller is a signal callback, then, or a
** finaliser), else the next one */
static int l_poller_wake (lua_State *L) {
  Poller *p = lipc_checkopen(L, 1);
  if (!p->woken) {
    p->woken = true;
    if (p->h.fd >= 0) lipc_cancel(L, p->h.fd);
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* p:ready(i) -> what, "r" | "w" | "rw": what was added, and for what it is ready; nil: it was removed
** or closed since, or there were not so many */
static int l_poller_ready (lua_State *L) {
  Poller *p = lipc_checkopen(L, 1);
  lua_Integer i = luaL_checkinteger(L, 2);
  if (i < 1 || i > p->n || p->ready[i - 1].events == 0) {
    lua_pushnil(L);
    return 1;
  }
  struct lipcsys_ready r = p->ready[i - 1];
  if (p->nobjects > 0) {
    lua_getiuservalue(L, 1, UV_MEMBERS);
    lua_rawgeti(L, -1, r.fd);
  }
  if (p->nobjects == 0 || lua_isnil(L, -1)) lua_pushinteger(L, r.fd);
  if (r.events == LIPC_IN) lua_pushliteral(L, "r");
  else if (r.events == LIPC_OUT) lua_pushliteral(L, "w");
  else lua_pushliteral(L, "rw");
  return 2;
}

/* p:fd(), p:pollfd() -> descriptor: readable when a member is ready */
static int l_poller_fd (lua_State *L) {
  Poller *p = lipc_checkopen(L, 1);
  luaL_argcheck(L, p->h.fd >= 0, 1, "this backend has no descriptor");
  int r = lipcsys_poller_renew(p->set);
  if (r < 0) return lipc_failself(L, "fd", r);
  sync_wake(L, p);
  lua_pushinteger(L, p->h.fd);
  return 1;
}

/* p:stat() -> {backend = "epoll" | "poll", count =} */
static int l_poller_stat (lua_State *L) {
  Poller *p = lipc_checkopen(L, 1);
  int wake = p->wake >= 0 && lipcsys_poller_wanted(p->set, p->wake) != 0;
  lua_createtable(L, 0, 2);
  lua_pushstring(L, p->h.fd >= 0 ? "epoll" : "poll");
  lua_setfield(L, -2, "backend");
  lua_pushinteger(L, lipcsys_poller_count(p->set) - wake);
  lua_setfield(L, -2, "count");
  return 1;
}

static int release (lua_State *L, struct lipc_handle *h, int fd) {
  Poller *p = (Poller *)h;
  lipc_unwatch(&p->watch);
  lipcsys_poller_free(p->set);
  p->set = NULL;
  p->gone = lipc_tryrealloc(L, p->gone, sizeof(int) * (size_t)p->maxgone, 0);
  p->ngone = p->maxgone = p->nobjects = p->n = 0;
  if (lua_getiuservalue(L, 1, UV_MEMBERS) != LUA_TNIL) {
    lua_pushnil(L);
    lua_setiuservalue(L, 1, UV_MEMBERS);
  }
  lua_pop(L, 1);
  return fd >= 0 ? lipcsys_close(fd) : 0;
}

/* Something is ready that the descriptor does not show. */
static bool has_more (const struct lipc_handle *h) {
  const Poller *p = (const Poller *)h;
  return p->fresh || p->woken;
}

static const luaL_Reg methods[] = {
  {"add", l_poller_add},       {"modify", l_poller_modify},
  {"remove", l_poller_remove}, {"wait", l_poller_wait},
  {"ready", l_poller_ready},   {"fd", l_poller_fd},
  {"pollfd", l_poller_fd},     {"stat", l_poller_stat},
  {"wake", l_poller_wake},     {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, NULL};
static const struct lipc_class poller_class = {.tname = "lipc.poller",
                                               .label = "poll",
                                               .size = sizeof(Poller),
                                               .values = 1,
                                               .methods = all_methods,
                                               .release = release,
                                               .buffered = has_more,
                                               .block = block};

/* open([{backend = "epoll" | "poll"}]) -> poller | nil, msg, code: an empty set; the default is the
** best that the system has   -- see epoll_create1(2) */
static int l_poll_open (lua_State *L) {
  static const char *const names[] = {"backend", NULL};
  lipc_checkopts(L, 1, names);
  const char *backend = lipc_optstring(L, 1, "backend", "epoll");
  bool portable = backend[0] == 'p';
  if (strcmp(backend, portable ? "poll" : "epoll") != 0)
    luaL_argerror(L, 1, lua_pushfstring(L, "option 'backend': no backend '%s'", backend));
  Poller *p = lipc_new(L, &poller_class);
  lua_newtable(L);
  lua_setiuservalue(L, -2, UV_MEMBERS);
  int fd;
  int r = lipcsys_poller_new(portable, &p->set, &fd);
  if (r < 0) return lipc_fail(L, "poll.open", NULL, r);
  p->wake = -1;
  p->watch.forget = forget;
  p->h.access = LIPC_IN;
  p->h.io = LIPC_IO_NONBLOCK;
  p->h.fd = fd >= 0 ? fd : LIPC_NOFD;
  lipc_watch(L, &p->watch);
  return 1;
}

static const luaL_Reg funcs[] = {
  {"open", l_poll_open},
  {NULL, NULL},
};

int lipc_open_poll (lua_State *L) { return lipc_register(L, &poller_class, funcs); }
