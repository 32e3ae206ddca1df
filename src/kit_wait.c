/* kit_wait.c - the one waiting point: every call that may wait runs through lipc_drive.
** Under a scheduler the coroutine yields to it, elsewhere the thread polls; deadlines, EINTR,
** closing meanwhile and two coroutines in one object are dealt with here and nowhere else.
** SPDX-License-Identifier: MIT */
#include "lipc_kit.h"

#include <math.h>

/* The thread never sleeps longer than this in one go: it bounds how late a Ctrl-C is noticed that
** came between the look for it and the system call, or that another thread received. */
#define SLICE 0.5

/* Registry key, by address: struct lipc_gate* -> owner (weak values). */
static const char gates_key;

static const char guard_tname[] = "(lipc guard)";

/* ---- who is inside a direction ---- */

static struct lipc_gate *gate_of (struct lipc_handle *h, unsigned dir) {
  return &h->gate[dir == LIPC_OUT];
}

static bool is_dead (lua_State *co) {
  lua_Debug ar;
  switch (lua_status(co)) {
    case LUA_YIELD: return false;
    case LUA_OK: return lua_getstack(co, 0, &ar) == 0 && lua_gettop(co) == 0;
    default: return true;
  }
}

/* Whether the direction is somebody else's.  One that died or was collected has lost it. */
static bool is_taken (lua_State *L, struct lipc_gate *g) {
  if (g->owner == NULL) return false;
  lipc_pushweak(L, &gates_key, "v");
  lua_rawgetp(L, -1, g);
  lua_State *owner = lua_tothread(L, -1);
  lua_pop(L, 2);
  if (owner == NULL || is_dead(owner) || g->forkgen != lipcsys_forkgen) {
    g->owner = NULL;
    return false;
  }
  if (owner == L)
    luaL_error(L, "object is busy: this call comes from a callback inside its own wait");
  return true;
}

/* A coroutine that died of an error keeps its guard until somebody closes it: by then the direction
** may be another's. */
static void leave (lua_State *L, struct lipc_handle *h, unsigned dir) {
  struct lipc_gate *g = gate_of(h, dir);
  if (g->owner != L) return;
  g->owner = NULL;
  lipc_pushweak(L, &gates_key, "v");
  lua_pushnil(L);
  lua_rawsetp(L, -2, g);
  lua_pop(L, 1);
  if (g->contested) {
    g->contested = false;
    if (h->fd >= 0) lipc_cancel(L, h->fd);
  }
}

struct guard {
  struct lipc_handle *h;
  unsigned dir;
};

/* Runs when the call ends: by return, by an error, or by coroutine.close. */
static int guard_close (lua_State *L) {
  struct guard *gd = luaL_checkudata(L, 1, guard_tname);
  leave(L, gd->h, gd->dir);
  return 0;
}

/* Makes the direction ours until this call ends; slot is the stack slot that sees to the end. */
static void enter (lua_State *L, struct lipc_handle *h, unsigned dir, int slot) {
  int uv = LIPC_UV_GUARD + (dir == LIPC_OUT);
  if (lua_getiuservalue(L, 1, uv) == LUA_TNIL) {
    lua_pop(L, 1);
    struct guard *gd = lua_newuserdatauv(L, sizeof *gd, 0);
    gd->h = h;
    gd->dir = dir;
    lipc_metatable(L, guard_tname, "__close", guard_close);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, uv);
  }
  lua_replace(L, slot);
  lipc_pushweak(L, &gates_key, "v");
  lua_pushthread(L);
  lua_rawsetp(L, -2, gate_of(h, dir));
  lua_pop(L, 1);
  lua_toclose(L, slot);
  gate_of(h, dir)->owner = L;
  gate_of(h, dir)->forkgen = lipcsys_forkgen;
}

/* ---- interruptions ---- */

static int nothing (lua_State *L) {
  (void)L;
  return 0;
}

/* `lua` turns Ctrl-C into a debug hook on the main thread that fires at the next call; C code that
** waits makes that call.  In a coroutine the main thread's hook is lent to it: one that takes itself
** off (as that of `lua` does) was for now, any other is a debugger's and stays where it was. */
static void run_hook (lua_State *L, lua_State *main) {
  if (L == main) {
    lua_pushcfunction(L, nothing);
    lua_call(L, 0, 0);
    return;
  }
  lua_Hook own = lua_gethook(L), lent = lua_gethook(main);
  int mask = lua_gethookmask(L), count = lua_gethookcount(L);
  lua_sethook(L, lent, lua_gethookmask(main), lua_gethookcount(main));
  lua_pushcfunction(L, nothing);
  int status = lua_pcall(L, 0, 0, 0);
  if (lua_gethook(L) == NULL) lua_sethook(main, NULL, 0, 0);
  lua_sethook(L, own, mask, count);
  if (status != LUA_OK) lua_error(L);
}

void lipc_interrupts (lua_State *L) {
  struct lipc_state *st = lipc_getstate(L);
  luaL_checkstack(L, 4, NULL);
  if (lua_gethookmask(st->main) & LUA_MASKCALL) run_hook(L, st->main);
  if (atomic_load_explicit(&lipcsys_alarm, memory_order_acquire) != 0 && st->dispatch != NULL)
    st->dispatch(L);
}

/* ---- the wait itself ---- */

double lipc_checktimeout (lua_State *L, int idx, double dflt) {
  if (lua_isnoneornil(L, idx)) return dflt;
  if (lua_type(L, idx) != LUA_TNUMBER) luaL_typeerror(L, idx, "timeout in seconds");
  double s = lua_tonumber(L, idx);
  luaL_argcheck(L, s >= 0, idx,
                isnan(s) ? "timeout must not be NaN" : "timeout must not be negative");
  return s;
}

int lipc_again_on (struct lipc_handle *h, int fd, struct lipc_handle *with, unsigned events) {
  h->other = fd;
  if (with != NULL) with->watched = true;
  return lipc_again(events);
}

int lipc_nap (lua_State *L, double seconds) {
  bool wake = false;
  int r = lipcsys_wait(-1, 0, lipc_getstate(L)->wakefd, seconds, &wake);
  return wake ? -EINTR : r;
}

static int waitfd (const struct lipc_handle *h) { return h->other >= 0 ? h->other : h->fd; }

/* Blocks the thread until something may have changed: 0, an error, or the number of results when the
** class has done the operation by waiting.  events 0: there is nothing to poll for. */
static int block (lua_State *L, const struct lipc_op *op, int t, unsigned events, double deadline) {
  const struct lipc_handle *h = lua_touserdata(L, 1);
  bool wake = false;
  double seconds = SLICE;
  lipcsys_reap(); /* children that were given up while they ran */
  lipc_interrupts(L);
  if (!lipc_isopen(h)) return 0; /* a callback has closed it: there is nothing to wait for */
  if (deadline < HUGE_VAL) {
    seconds = deadline - lipcsys_now();
    if (seconds > SLICE) seconds = SLICE;
    if (seconds < 0) seconds = 0;
  }
  int r = h->cls->block != NULL ? h->cls->block(L, op, t, seconds)
                                : lipcsys_wait(events != 0 ? waitfd(h) : -1, events,
                                               lipc_getstate(L)->wakefd, seconds, &wake);
  if (r == -EINTR || r == -ETIMEDOUT || wake) {
    lipc_interrupts(L);
    return 0;
  }
  return r;
}

static int giveup (lua_State *L, const struct lipc_op *op, int t, int err) {
  return op->giveup != NULL ? op->giveup(L, t, err) : lipc_failself(L, op->name, err);
}

/* What the driver knows about a call, packed into the one integer that survives a yield: two flags
** and how often it has paused. */
enum { HAS_DEADLINE = 1, HAS_GATE = 2, PAUSED = 4, PAUSES = 15 * PAUSED, FLAGBITS = 6 };

/* The end of the next pause (50 us, doubled each time to 5 ms; 10 ms when that has not been enough a few
** times: then a wait of ten seconds costs less than a hundredth of the processor) or of everything. */
static double pause_end (int *flags, double deadline) {
  double pause = 50e-6 * (1 << (*flags & PAUSES) / PAUSED), end;
  if (pause > 5e-3) pause = (*flags & PAUSES) == PAUSES ? 10e-3 : 5e-3;
  if ((*flags & PAUSES) != PAUSES) *flags += PAUSED;
  end = lipcsys_now() + pause;
  return end < deadline ? end : deadline;
}

/* A call that need not wait lets the other coroutines run all the same when so many before it, on the
** same object, have not waited: else one that is always ready would keep the thread for ever. */
#define STREAK   256
#define GIVE_WAY 8u /* beside LIPC_IN, LIPC_OUT, LIPC_PAUSE */

static int resumed (lua_State *L, int status, lua_KContext ctx);

/* Turns the timeout at t into a deadline, the first time, which stays there.  Not 0: it is over. */
static int look_at_clock (lua_State *L, const struct lipc_handle *h, int t, int *flags) {
  if (*flags & HAS_DEADLINE)
    return lua_tonumber(L, t) < HUGE_VAL && lipcsys_now() >= lua_tonumber(L, t) ? -ETIMEDOUT : 0;
  double s = lua_isnil(L, t) ? h->timeout : lua_tonumber(L, t);
  if (s == 0) return -ETIMEDOUT;
  lua_pushnumber(L, s == HUGE_VAL ? HUGE_VAL : lipcsys_now() + s);
  lua_replace(L, t);
  *flags |= HAS_DEADLINE;
  return 0;
}

/* What one wait is for. */
struct wait {
  unsigned events; /* LIPC_IN, LIPC_OUT, or 0: only its end or a cancel */
  double until; /* when to try again at the latest */
  bool queued; /* for another coroutine to leave the direction */
};

/* Hands the coroutine, whose waiter is on top, to its scheduler.  Comes back through resumed where the
** scheduler yields, and here where it does not. */
static void yield_for (lua_State *L, const struct lipc_op *op, int t, int flags, struct wait w) {
  struct lipc_handle *h = lua_touserdata(L, 1);
  if (w.queued || h->other >= 0) { /* nobody wakes us when the one inside dies there, or when */
    double look = lipcsys_now() + 0.1; /* the other descriptor is closed */
    if (look < w.until) w.until = look;
  } else if (h->cls->block != NULL && w.events == 0) {
    w.until = pause_end(&flags, w.until);
  }
  h->streak = 0;
  lua_getfield(L, -1, "wait");
  lua_pushinteger(L, (lua_Integer)t << FLAGBITS | flags);
  lua_replace(L, -3);
  lipc_watched(L, h);
  if (waitfd(h) >= 0) lua_pushinteger(L, waitfd(h));
  else lua_pushnil(L);
  if (w.events == 0 || waitfd(h) < 0) lua_pushnil(L);
  else lua_pushstring(L, w.events == LIPC_IN ? "r" : w.events == LIPC_OUT ? "w" : "rw");
  if (w.until < HUGE_VAL) lua_pushnumber(L, w.until);
  else lua_pushnil(L);
  lua_callk(L, 3, 0, (lua_KContext)op, resumed);
  lua_pop(L, 1);
}

/* Raises where blocking could never end. */
static void check_block (lua_State *L, int t, bool queued) {
  if (lua_tonumber(L, t) < HUGE_VAL) return;
  if (queued) luaL_error(L, "cannot wait here: another coroutine is inside this operation");
  if (lipc_anyrunning(L))
    luaL_error(L, "cannot wait here: this would block the running loop for ever");
}

static int drive (lua_State *L, const struct lipc_op *op, int t, int flags, int tried) {
  struct lipc_handle *h = lua_touserdata(L, 1);
  for (;;) {
    struct wait w = {0, HUGE_VAL, false};
    if (!lipc_isopen(h)) return giveup(L, op, t, -ECANCELED);
    if (op->owns && !(flags & HAS_GATE) && is_taken(L, gate_of(h, op->owns))) {
      gate_of(h, op->owns)->contested = w.queued = true;
    } else {
      if (tried == 0) h->other = -1;
      int r = tried != 0 ? tried : op->step(L, t);
      if (r >= 0) return r;
      w.events = (unsigned)(-r - 1);
    }
    tried = 0;
    int over = look_at_clock(L, h, t, &flags);
    if (over < 0) return giveup(L, op, t, over);
    luaL_checkstack(L, 8, NULL);
    if (op->owns && !w.queued && !(flags & HAS_GATE)) {
      enter(L, h, op->owns, t + 1);
      flags |= HAS_GATE;
    }
    w.until = w.events & GIVE_WAY ? 0 : lua_tonumber(L, t);
    if (w.events & LIPC_PAUSE) w.until = pause_end(&flags, w.until);
    w.events &= LIPC_IN | LIPC_OUT;
    if (w.events != 0) h->want = w.events;
    if (lipc_pushwaiter(L)) {
      yield_for(L, op, t, flags, w);
    } else {
      check_block(L, t, w.queued);
      int r = block(L, op, t, w.events, w.until);
      if (r > 0) return r == LIPC_NORESULTS ? 0 : r;
      if (r < 0) return giveup(L, op, t, r);
    }
    if (atomic_load_explicit(&lipcsys_alarm, memory_order_relaxed) != 0) lipc_interrupts(L);
  }
}

/* The scheduler has resumed us: what drive pushed is on top. */
static int resumed (lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  lua_Integer packed = lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (atomic_load_explicit(&lipcsys_alarm, memory_order_relaxed) != 0) lipc_interrupts(L);
  return drive(L, (const struct lipc_op *)ctx, (int)(packed >> FLAGBITS),
               (int)(packed & ((1 << FLAGBITS) - 1)), 0);
}

/* The first attempt, which most calls are over with. */
static int first (lua_State *L, const struct lipc_op *op, int t, struct lipc_handle *h) {
  h->other = -1; /* of a call that gave up */
  if (!lua_isnil(L, t)) lipc_checktimeout(L, t, 0);
  if (atomic_load_explicit(&lipcsys_alarm, memory_order_relaxed) != 0) {
    lipc_interrupts(L);
    if (!lipc_isopen(h)) return giveup(L, op, t, -ECANCELED);
  }
  if (op->owns && h->gate[op->owns == LIPC_OUT].owner != NULL) return drive(L, op, t, 0, 0);
  if (++h->streak >= STREAK) {
    h->streak = 0;
    if ((lua_isnil(L, t) ? h->timeout : lua_tonumber(L, t)) > 0 && lipc_pushwaiter(L)) {
      lua_pop(L, 1);
      return drive(L, op, t, 0, lipc_again(GIVE_WAY));
    }
  }
  int r = op->step(L, t);
  return r >= 0 ? r : drive(L, op, t, 0, r);
}

int lipc_drivenew (lua_State *L, const struct lipc_op *op, int t) {
  lua_settop(L, t + 1);
  return first(L, op, t, lua_touserdata(L, 1));
}

int lipc_drive (lua_State *L, const struct lipc_op *op, int t) {
  lua_settop(L, t);
  /* as lipc_checkaccess does, but the metatable may stay: it lies in the slot at t+1 */
  struct lipc_handle *h = lua_touserdata(L, 1);
  if (!lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(1)) || !lipc_isopen(h) ||
      (op->owns & ~h->access) != 0) {
    lua_settop(L, t);
    lipc_checkaccess(L, op->owns); /* says what is wrong */
  }
  return first(L, op, t, h);
}

/* ---- the module: ipc.setwaiter, ipc.sleep, ipc.now ---- */

static int sleep_step (lua_State *L, int t) {
  (void)L;
  (void)t;
  return lipc_again(0);
}

static int sleep_over (lua_State *L, int t, int err) {
  (void)t;
  if (err != -ETIMEDOUT) return lipc_failself(L, "sleep", err);
  lua_pushboolean(L, 1);
  return 1;
}

static const struct lipc_op sleep_op = {"sleep", sleep_step, 0, sleep_over};

/* sleep(seconds) -> true: lets the other coroutines of the scheduler run meanwhile */
static int l_sleep (lua_State *L) {
  if (lua_isnoneornil(L, 1)) luaL_typeerror(L, 1, "timeout in seconds");
  double s = lipc_checktimeout(L, 1, 0);
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2)); /* an object that is never ready */
  lua_pushnumber(L, s > 0 ? s : 1e-9); /* 0 still lets the others run */
  return lipc_drive(L, &sleep_op, 2);
}

/* now() -> seconds on the monotonic clock   -- see clock_gettime(2) */
static int l_now (lua_State *L) {
  lua_pushnumber(L, lipcsys_now());
  return 1;
}

/* forks() -> count: how many forks lie between this process and the one that loaded lipc; for what
** must begin anew in a child */
static int l_forks (lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lipcsys_forkgen);
  return 1;
}

static const luaL_Reg *const no_methods[] = {NULL};
static const struct lipc_class clock_class = {.tname = "(lipc clock)",
                                              .label = "clock",
                                              .size = sizeof(struct lipc_handle),
                                              .methods = no_methods};

static const luaL_Reg funcs[] = {
  {"setwaiter", lipc_setwaiter},
  {"now", l_now},
  {"forks", l_forks},
  {NULL, NULL},
};

int lipc_open_wait (lua_State *L) {
  lipc_register(L, &clock_class, funcs);
  luaL_getmetatable(L, clock_class.tname);
  struct lipc_handle *h = lipc_new(L, &clock_class);
  h->fd = LIPC_NOFD;
  lua_pushcclosure(L, l_sleep, 2);
  lua_setfield(L, -2, "sleep");
  return 1;
}
