/* sync_cond.c - conditions: a sequence word, read while the mutex is held, waited on after it was given back.
** Signalling makes it grow and wakes all, so that nothing depends on who is woken: he may be killed then.
** Not the C library's: that hangs when a waiter is killed.
** SPDX-License-Identifier: MIT */
#include "sync.h"

#include <math.h>

#define LOOK_UP 0.1 /* seconds asleep without a look: the signaller may be killed before he wakes */

struct cond {
  struct lipc_sync_header header;
  _Atomic uint32_t seq; /* grows with each signal: slept on */
  _Atomic uint32_t waiting; /* somebody may sleep */
};

typedef struct Cond {
  struct lipc_placed p;
} Cond;

static const struct lipc_sync_what what = {"cond", LIPC_KIND_COND, 1};

size_t lipc_cond_size (void) { return sizeof(struct cond); }

/* ---- waiting ---- */

static bool is_signalled (lua_State *L, const struct cond *shared) {
  return atomic_load(&shared->seq) != (uint32_t)lua_tointeger(L, LIPC_WAIT_SEQ);
}

static int wait_step (lua_State *L, int t) {
  const Cond *c = lua_touserdata(L, 1);
  if (!is_signalled(L, lipc_placed_at(L, &c->p))) return lipc_again(0);
  return lipc_mutex_relock(L, t, 0);
}
static const struct lipc_op wait_op = {"wait", wait_step, 0, lipc_mutex_relock};

static int cond_block (lua_State *L, const struct lipc_op *op, int t, double seconds) {
  const Cond *c = lua_touserdata(L, 1);
  struct cond *shared = lipc_placed_at(L, &c->p);
  (void)op;
  (void)t;
  atomic_store(&shared->waiting, 1);
  LIPC_STEP("cond.waiting");
  if (is_signalled(L, shared)) return 0;
  int r = lipcsys_futexwait(&shared->seq, (uint32_t)lua_tointeger(L, LIPC_WAIT_SEQ),
                            seconds < LOOK_UP ? seconds : LOOK_UP);
  return r == -EINTR ? r : 0;
}

/* c:wait(mutex[, timeout]) -> true | nil, msg, code: gives the mutex back, waits for a signal, has the
** mutex again; also when the time is over or the condition was closed.  A last result "EOWNERDEAD": who
** held the mutex meanwhile died.  "EPERM": this coroutine does not hold it (nor afterwards);
** "ENOTRECOVERABLE": nobody will hold it again   -- see pthread_cond_timedwait(3) */
static int l_cond_wait (lua_State *L) {
  const Cond *c = lipc_checkopen(L, 1);
  Mutex *m = lipc_test(L, 2, &lipc_mutex_class);
  struct lipc_mutex_kept kept;
  if (m == NULL) return luaL_typeerror(L, 2, lipc_mutex_class.tname);
  luaL_argcheck(L, lipc_isopen(&m->p.h), 2, "closed mutex");
  double timeout = lipc_checktimeout(L, 3, c->p.h.timeout);
  struct cond *shared = lipc_placed_at(L, &c->p);
  if (timeout == HUGE_VAL && lipc_anyrunning(L)) { /* before the mutex is given back */
    if (!lipc_pushwaiter(L))
      return luaL_error(L, "cannot wait here: this would block the running loop for ever");
    lua_pop(L, 1);
  }
  luaL_checkstack(L, LIPC_WAIT_TIMEOUT + 2, NULL);
  lua_settop(L, 2);
  uint32_t seq = atomic_load(&shared->seq);
  int r = lipc_mutex_leave(L, m, &kept);
  if (r < 0) return lipc_failselfnote(L, "wait", r, "this coroutine does not hold the mutex");
  lua_pushvalue(L, 1);
  lua_pushinteger(L, (lua_Integer)kept.serial);
  lua_pushinteger(L, (lua_Integer)kept.depth);
  lua_pushinteger(L, (lua_Integer)seq);
  lua_pushinteger(L, 0);
  lua_pushnumber(L, timeout);
  return lipc_drive(L, &wait_op, LIPC_WAIT_TIMEOUT);
}

/* ---- signalling ---- */

static int wake (lua_State *L) {
  const Cond *c = lipc_checkopen(L, 1);
  struct cond *shared = lipc_placed_at(L, &c->p);
  atomic_fetch_add(&shared->seq, 1);
  lipc_map_done(L, 1, c->p.map);
  LIPC_STEP("cond.seq");
  if (atomic_load(&shared->waiting) != 0) {
    atomic_store(&shared->waiting, 0);
    LIPC_STEP("cond.quiet");
    lipcsys_futexwake(&shared->seq, INT32_MAX);
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* c:signal() -> true: who waits looks again at what he waits for; at least one   -- see pthread_cond_signal(3) */
static int l_cond_signal (lua_State *L) { return wake(L); }

/* c:broadcast() -> true: the same, said of all   -- see pthread_cond_broadcast(3) */
static int l_cond_broadcast (lua_State *L) { return wake(L); }

/* c:stat() -> {type=, name=, offset=, size=, signals=}: signals: how many there were, modulo 2^32 */
static int l_cond_stat (lua_State *L) {
  const Cond *c = lipc_checkopen(L, 1);
  const struct cond *shared = lipc_placed_at(L, &c->p);
  lua_Integer signals = lipc_get(&shared->seq);
  lipc_sync_stat(L, &c->p);
  lipc_setinteger(L, "signals", signals);
  return 1;
}

static int cond_release (lua_State *L, struct lipc_handle *h, int fd) {
  (void)fd;
  return lipc_placed_release(L, (struct lipc_placed *)h);
}

static const luaL_Reg methods[] = {
  {"wait", l_cond_wait},
  {"signal", l_cond_signal},
  {"broadcast", l_cond_broadcast},
  {"stat", l_cond_stat},
  {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, NULL};
const struct lipc_class lipc_cond_class = {.tname = "lipc.sync.cond",
                                           .label = "cond",
                                           .size = sizeof(Cond),
                                           .values = LIPC_PLACED_VALUES,
                                           .methods = all_methods,
                                           .release = cond_release,
                                           .block = cond_block};

static void init (void *memory, const void *arg) {
  struct cond *shared = memory;
  (void)arg;
  lipc_put(&shared->seq, 0);
  lipc_put(&shared->waiting, 0);
}

/* cond(map, offset[, {create=, exclusive=}]) -> Cond | nil, msg, code   -- see pthread_cond_init(3) */
int lipc_sync_cond (lua_State *L) {
  static const char *const names[] = {"create", "exclusive", NULL};
  struct lipc_sync_making k = {.cls = &lipc_cond_class,
                               .what = &what,
                               .op = "sync.cond",
                               .size = sizeof(struct cond),
                               .least = sizeof(struct cond),
                               .init = init};
  int n;
  lipc_checkopts(L, 3, names);
  lipc_sync_options(L, &k);
  return lipc_sync_object(L, &k, &n) != NULL ? 1 : n;
}
