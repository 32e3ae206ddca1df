/* timer.c - a timer behind a descriptor that is readable when it has expired; timerfd_create(2).
** Linux.  fork: both processes share the timer.  close: the descriptor; the timer ends with the last.
** SPDX-License-Identifier: MIT */
#include "lipc_kit.h"

#include <string.h>

typedef struct Timer {
  struct lipc_handle h;
} Timer;

static const char *const clock_names[] = {"monotonic", "realtime", "boottime", NULL};

/* A time in seconds that the kernel can count. */
static double check_seconds (lua_State *L, int arg) {
  double s = luaL_checknumber(L, arg);
  luaL_argcheck(L, s >= 0 && s <= 1e12, arg, "seconds out of range");
  return s;
}

/* t:set(seconds[, {interval=, absolute=, cancel=}]) -> t | nil, msg, code: fires after so many seconds
** (absolute: at that time on its clock), then every interval; replaces what was set.  cancel: on an
** absolute "realtime" timer, setting the clock makes wait fail with ECANCELED
** -- see timerfd_settime(2) */
static int l_timer_set (lua_State *L) {
  static const char *const names[] = {"interval", "absolute", "cancel", NULL};
  Timer *t = lipc_checkopen(L, 1);
  double first = check_seconds(L, 2);
  lipc_checkopts(L, 3, names);
  double interval = lipc_optseconds(L, 3, "interval", 0);
  luaL_argcheck(L, interval <= 1e12, 3, "option 'interval': out of range");
  unsigned flags = lipc_optbool(L, 3, "absolute", false) ? LIPC_TIMER_ABSOLUTE : 0;
  if (lipc_optbool(L, 3, "cancel", false)) flags |= LIPC_TIMER_CANCEL;
  luaL_argcheck(L, flags != LIPC_TIMER_CANCEL, 3, "option 'cancel' needs 'absolute'");
  int r = lipcsys_settimer(t->h.fd, first, interval, flags);
  if (r < 0) return lipc_failself(L, "set", r);
  lua_settop(L, 1);
  return 1;
}

/* t:disarm() -> t | nil, msg, code: what has expired and was not waited for is gone too */
static int l_timer_disarm (lua_State *L) {
  Timer *t = lipc_checkopen(L, 1);
  int r = lipcsys_settimer(t->h.fd, -1, 0, 0);
  if (r < 0) return lipc_failself(L, "disarm", r);
  lua_settop(L, 1);
  return 1;
}

/* t:get() -> left, interval | nil, msg, code: seconds until it fires next (0: disarmed), and the
** interval (0: once)   -- see timerfd_gettime(2) */
static int l_timer_get (lua_State *L) {
  Timer *t = lipc_checkopen(L, 1);
  double left, interval;
  int r = lipcsys_gettimer(t->h.fd, &left, &interval);
  if (r < 0) return lipc_failself(L, "get", r);
  lua_pushnumber(L, left);
  lua_pushnumber(L, interval);
  return 2;
}

static int wait_step (lua_State *L, int at) {
  Timer *t = lua_touserdata(L, 1);
  uint64_t v = 0;
  size_t n;
  (void)at;
  int r = lipcsys_read(t->h.fd, &t->h.io, &v, sizeof v, &n);
  if (r == -EAGAIN) return lipc_again(LIPC_IN);
  if (r < 0) return lipc_failself(L, "wait", r);
  lua_pushinteger(L, (lua_Integer)v);
  return 1;
}
static const struct lipc_op wait_op = {"wait", wait_step, 0, NULL};

/* t:wait([timeout]) -> expirations | nil, msg, code: waits until it has fired, and says how often since
** the last wait or set.  ECANCELED: the clock was set (cancel), or the timer closed meanwhile
** -- see timerfd_create(2), read */
static int l_timer_wait (lua_State *L) { return lipc_drive(L, &wait_op, 2); }

static const luaL_Reg methods[] = {
  {"set", l_timer_set}, {"disarm", l_timer_disarm}, {"get", l_timer_get}, {"wait", l_timer_wait},
  {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, NULL};
static const struct lipc_class timer_class = {
  .tname = "lipc.timer", .label = "timer", .size = sizeof(Timer), .methods = all_methods};

/* open([{clock=}]) -> Timer | nil, msg, code: disarmed.  clock: "monotonic" (stands still while the
** machine sleeps), "boottime" (does not), "realtime" (can be set)   -- see timerfd_create(2) */
static int l_timer_open (lua_State *L) {
  static const char *const names[] = {"clock", NULL};
  lipc_checkopts(L, 1, names);
  const char *name = lipc_optstring(L, 1, "clock", clock_names[0]);
  int clock = 0;
  while (clock_names[clock] != NULL && strcmp(clock_names[clock], name) != 0) clock++;
  if (clock_names[clock] == NULL)
    luaL_argerror(L, 1, lua_pushfstring(L, "option 'clock': no such clock '%s'", name));
  Timer *t = lipc_new(L, &timer_class);
  t->h.io = LIPC_IO_NONBLOCK;
  t->h.access = LIPC_IN;
  int r = lipcsys_timer((enum lipcsys_clock)clock, &t->h.fd);
  return r < 0 ? lipc_fail(L, "timer.open", NULL, r) : 1;
}

/* fromfd(n) -> Timer: adopts a timer that somebody else made; it keeps its flags */
static int l_timer_fromfd (lua_State *L) {
  return lipc_fromfd(L, &timer_class, lipcsys_istimer, "a timer", LIPC_IN);
}

/* now([clock]) -> seconds on that clock, for absolute times   -- see clock_gettime(2) */
static int l_timer_now (lua_State *L) {
  double now;
  int clock = luaL_checkoption(L, 1, clock_names[0], clock_names);
  int r = lipcsys_clocknow((enum lipcsys_clock)clock, &now);
  if (r < 0) return lipc_fail(L, "timer.now", NULL, r);
  lua_pushnumber(L, now);
  return 1;
}

static const luaL_Reg funcs[] = {
  {"open", l_timer_open},
  {"fromfd", l_timer_fromfd},
  {"now", l_timer_now},
  {NULL, NULL},
};

int lipc_open_timer (lua_State *L) { return lipc_register(L, &timer_class, funcs); }
