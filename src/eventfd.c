/* eventfd.c - a 64-bit counter behind a descriptor.  Linux, FreeBSD 13; eventfd(2).
** fork: both processes share the counter.  close: the descriptor only.
** SPDX-License-Identifier: MIT */
#include "lipc_kit.h"

typedef struct Eventfd {
  struct lipc_handle h;
} Eventfd;

static int add_step (lua_State *L, int t) {
  (void)t;
  Eventfd *e = lua_touserdata(L, 1);
  lua_Integer n = lua_tointeger(L, 2);
  int r = lipcsys_eventfd_add(e->h.fd, &e->h.io, (uint64_t)n);
  /* the kernel says ready as soon as there is room for 1: for more, try again after pauses */
  if (r == -EAGAIN) return n == 1 ? lipc_again(LIPC_OUT) : lipc_pause(0);
  return lipc_result(L, "add", r);
}
static const struct lipc_op add_op = {"add", add_step, 0, NULL};

/* e:add(n[, timeout]) -> true | nil, msg, code: adds n >= 0, waiting while the sum would pass
** 2^64-2   -- see eventfd(2) */
static int l_eventfd_add (lua_State *L) {
  luaL_argcheck(L, luaL_checkinteger(L, 2) >= 0, 2, "must not be negative");
  return lipc_drive(L, &add_op, 3);
}

static int take_step (lua_State *L, int t) {
  (void)t;
  Eventfd *e = lua_touserdata(L, 1);
  uint64_t v = 0;
  size_t n;
  int r = lipcsys_read(e->h.fd, &e->h.io, &v, sizeof v, &n);
  if (r == -EAGAIN) return lipc_again(LIPC_IN);
  if (r < 0) return lipc_failself(L, "take", r);
  lua_pushinteger(L, (lua_Integer)v);
  return 1;
}
static const struct lipc_op take_op = {"take", take_step, 0, NULL};

/* e:take([timeout]) -> count | nil, msg, code: waits until the counter is not zero, then gives it and
** sets it to zero (a semaphore: gives 1 and takes 1)   -- see eventfd(2) */
static int l_eventfd_take (lua_State *L) { return lipc_drive(L, &take_op, 2); }

static const luaL_Reg methods[] = {
  {"add", l_eventfd_add},
  {"take", l_eventfd_take},
  {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, NULL};
static const struct lipc_class eventfd_class = {
  .tname = "lipc.eventfd", .label = "eventfd", .size = sizeof(Eventfd), .methods = all_methods};

/* open([{initial=, semaphore=}]) -> Eventfd | nil, msg, code   -- see eventfd(2) */
static int l_eventfd_open (lua_State *L) {
  static const char *const names[] = {"initial", "semaphore", NULL};
  lipc_checkopts(L, 1, names);
  unsigned initial = (unsigned)lipc_optint(L, 1, "initial", 0, UINT32_MAX, 0);
  bool semaphore = lipc_optbool(L, 1, "semaphore", false);
  Eventfd *e = lipc_new(L, &eventfd_class);
  e->h.io = LIPC_IO_NONBLOCK;
  e->h.access = LIPC_IN | LIPC_OUT;
  int r = lipcsys_eventfd(initial, semaphore, &e->h.fd);
  return r < 0 ? lipc_fail(L, "eventfd.open", NULL, r) : 1;
}

/* fromfd(n) -> Eventfd: adopts an eventfd that somebody else made; it keeps its flags */
static int l_eventfd_fromfd (lua_State *L) {
  return lipc_fromfd(L, &eventfd_class, lipcsys_iseventfd, "an eventfd", LIPC_IN | LIPC_OUT);
}

static const luaL_Reg funcs[] = {
  {"open", l_eventfd_open},
  {"fromfd", l_eventfd_fromfd},
  {NULL, NULL},
};

int lipc_open_eventfd (lua_State *L) { return lipc_register(L, &eventfd_class, funcs); }
