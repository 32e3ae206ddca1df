/* sync_rwlock.c - reader-writer locks: which coroutine reads or writes by this object.  An object has one slot
** in the memory (sync_rwslots.c), which its readers share.
** SPDX-License-Identifier: MIT */
#include "sync_rwlock.h"

#include <stddef.h>

enum { UV_READERS = LIPC_UV_PLACED }; /* coroutine (weak) -> how often it reads */

static const struct lipc_sync_what what = {"rwlock", LIPC_KIND_RWLOCK, 1};

size_t lipc_rwlock_size (lua_Integer slots) {
  return sizeof(struct lipc_rwmem) + (size_t)slots * sizeof(struct lipc_rwslot);
}

/* ---- this process ---- */

/* Of the object at that index: for each coroutine that is still there. */
static void new_readers (lua_State *L, int obj) {
  lua_newtable(L);
  luaL_newmetatable(L, "(lipc rwlock readers)");
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_setiuservalue(L, obj, UV_READERS);
}

/* A forked child holds nothing of what its parent holds. */
static void know_process (lua_State *L, Rwlock *rw) {
  if (rw->forkgen == lipcsys_forkgen) return;
  new_readers(L, 1);
  rw->forkgen = lipcsys_forkgen;
  rw->slot = rw->wish = -1;
  rw->readers = 0;
  rw->p.hold.owner = NULL;
}

/* How often the coroutine at index co reads, by the object at index obj.  -1: nothing is kept of it. */
static lua_Integer reads_of (lua_State *L, int obj, int co) {
  lua_getiuservalue(L, obj, UV_READERS);
  lua_pushvalue(L, co);
  lua_Integer n = lua_rawget(L, -2) == LUA_TNIL ? -1 : lua_tointeger(L, -1);
  lua_pop(L, 2);
  return n;
}

/* Allocates for one of which nothing is kept, and never else.  n < 0: nothing is to be kept. */
static void set_reads (lua_State *L, int obj, int co, lua_Integer n) {
  lua_getiuservalue(L, obj, UV_READERS);
  lua_pushvalue(L, co);
  if (n >= 0) lua_pushinteger(L, n);
  else lua_pushnil(L);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

/* ---- taking ---- */

static bool map_goes (struct lipc_pin *pin);

static void pin_map (Rwlock *rw) {
  if (rw->p.hold.pin.link != NULL) return;
  rw->p.hold.pin.gone = map_goes;
  lipc_map_pin(rw->p.map, &rw->p.hold.pin);
}

/* The coroutine is on top: of which something is kept already, so that nothing can fail any more. */
static void own (lua_State *L, Rwlock *rw, bool write) {
  pin_map(rw);
  if (write) {
    rw->p.hold.owner = L;
    rw->p.hold.forkgen = lipcsys_forkgen;
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, LIPC_UV_OWNER);
  } else {
    rw->readers++;
    set_reads(L, 1, lua_gettop(L), 1);
  }
}

static int attempt (lua_State *L, Rwlock *rw, bool write, bool waits) {
  struct lipc_rwmem *m = lipc_placed_at(L, &rw->p);
  for (bool swept = false;; swept = true) {
    int r = lipc_sync_lock(&rw->p, &m->header);
    if (r < 0) return r;
    struct lipc_rwview v = lipc_rw_look(rw, m);
    r = write ? lipc_rw_write(rw, m, v, waits) : lipc_rw_read(rw, m, v);
    if (r == 0 || r == -EOWNERDEAD) own(L, rw, write);
    if (r != -EAGAIN && r != -ENOSPC) return r;
    if (swept || (waits && lipcsys_now() - rw->looked < LIPC_RW_LOOKUP)) return r;
    lipc_rw_sweep(rw, m);
  }
}

/* waits: it is not the first attempt of the call. */
static int take (lua_State *L, Rwlock *rw, bool write, bool waits) {
  know_process(L, rw);
  lua_pushthread(L);
  int co = lua_gettop(L);
  lua_Integer reads = write && rw->readers == 0 ? -1 : reads_of(L, 1, co);
  int r;
  if (lipc_hold_mine(L, &rw->p) || (write && reads > 0)) {
    r = -EDEADLK;
  } else if (reads > 0) { /* again, and also while a writer waits, who waits for this one */
    rw->readers++;
    set_reads(L, 1, co, reads + 1);
    r = 0;
  } else {
    if (!write) set_reads(L, 1, co, 0);
    r = attempt(L, rw, write, waits);
    if (!write && r < 0 && r != -EOWNERDEAD) set_reads(L, 1, co, -1);
  }
  lua_settop(L, co - 1);
  lipc_map_done(L, 1, rw->p.map);
  return r;
}

/* ---- giving back ---- */

static int empty_slot (Rwlock *rw, double seconds) {
  struct lipc_rwmem *m = lipc_placed_peek(&rw->p);
  int r = m != NULL && rw->slot >= 0 ? lipc_rw_empty(rw, m, rw->slot, seconds) : 0;
  if (r < 0) return r;
  rw->slot = -1;
  rw->p.hold.owner = NULL;
  rw->readers = 0;
  lipc_map_unpin(&rw->p.hold.pin);
  return 0;
}

static void drop_wish (Rwlock *rw) {
  struct lipc_rwmem *m = lipc_placed_peek(&rw->p);
  if (m != NULL && rw->wish >= 0) lipc_rw_empty(rw, m, rw->wish, LIPC_SYNC_SHORT);
  rw->wish = -1; /* it would not count for long */
}

static bool map_goes (struct lipc_pin *pin) {
  Rwlock *rw = (Rwlock *)((char *)pin - offsetof(Rwlock, p.hold.pin));
  if (rw->forkgen == lipcsys_forkgen) empty_slot(rw, LIPC_SYNC_PATIENCE);
  return true;
}

static int rwlock_release (lua_State *L, struct lipc_handle *h, int fd) {
  Rwlock *rw = (Rwlock *)h;
  (void)fd;
  if (rw->p.map != NULL && rw->forkgen == lipcsys_forkgen) {
    drop_wish(rw);
    empty_slot(rw, LIPC_SYNC_PATIENCE);
  }
  rw->p.hold.owner = NULL;
  return lipc_placed_release(L, &rw->p);
}

/* What the coroutine at index co holds by the object at index obj: it writes, or one of its reads. */
static int give (lua_State *L, Rwlock *rw, int obj, int co, double seconds) {
  if (rw->forkgen != lipcsys_forkgen) return -EPERM;
  if (rw->p.hold.owner != NULL && rw->p.hold.owner == lua_tothread(L, co)) {
    int r = empty_slot(rw, seconds);
    if (r < 0) return r;
    lua_pushnil(L);
    lua_setiuservalue(L, obj, LIPC_UV_OWNER);
    return 0;
  }
  lua_Integer reads = rw->readers > 0 ? reads_of(L, obj, co) : 0;
  if (reads <= 0) return -EPERM;
  unsigned left = rw->readers - 1;
  int r = left == 0 ? empty_slot(rw, seconds) : 0;
  if (r < 0) return r;
  rw->readers = left;
  set_reads(L, obj, co, reads > 1 ? reads - 1 : -1);
  return 0;
}

/* ---- waiting ---- */

static int failed (lua_State *L, const char *op, int err) {
  const Rwlock *rw = lua_touserdata(L, 1);
  const char *note = NULL;
  switch (err) {
    case -EDEADLK: note = "this coroutine holds it already"; break;
    case -EPERM: note = "this coroutine does not hold it"; break;
    case -ENOTRECOVERABLE: note = "a writer died, and it was not made consistent"; break;
    case -EPROTO: note = "what is there was overwritten"; break;
    case -ENOSPC:
      note = lua_pushfstring(L, "all %d slots are taken: see the option 'slots'", (int)rw->nslots);
      break;
    default: break;
  }
  return lipc_failselfnote(L, op, err, note);
}

/* Whether this attempt is not the call's first: a value above what is the driver's says so. */
static bool is_again (lua_State *L, int t) {
  bool again = lua_gettop(L) >= t + 2;
  if (!again) lua_settop(L, t + 2);
  return again;
}

static int lock_once (lua_State *L, const char *op, bool write, int t) {
  Rwlock *rw = lua_touserdata(L, 1);
  int r = take(L, rw, write, is_again(L, t));
  if (r == -EAGAIN) return lipc_again(0);
  if (r < 0 && r != -EOWNERDEAD) return failed(L, op, r);
  lua_pushboolean(L, 1);
  if (r == 0) return 1;
  lua_pushliteral(L, "EOWNERDEAD");
  return 2;
}

static int over (lua_State *L, const char *op, int err) {
  Rwlock *rw = lua_touserdata(L, 1);
  if (lipc_isopen(&rw->p.h) && rw->forkgen == lipcsys_forkgen) drop_wish(rw);
  return failed(L, op, err);
}

#define OPERATION(name, write)                                                          \
  static int name##_step(lua_State *L, int t) { return lock_once(L, #name, write, t); } \
  static int name##_over(lua_State *L, int t, int err) {                                \
    (void)t;                                                                            \
    return over(L, #name, err);                                                         \
  }                                                                                     \
  static const struct lipc_op name##_op = {#name, name##_step, 0, name##_over};
OPERATION(rdlock, false)
OPERATION(tryrdlock, false)
OPERATION(wrlock, true)
OPERATION(trywrlock, true)

static bool wants_write (lua_State *L) { return lua_tostring(L, 2)[0] == 'w'; }

static int with_step (lua_State *L, int t) {
  Rwlock *rw = lua_touserdata(L, 1);
  int r = take(L, rw, wants_write(L), is_again(L, t));
  if (r == -EAGAIN) return lipc_again(0);
  if (r < 0 && r != -EOWNERDEAD) return failed(L, "with", r);
  lipc_drop_owner(L, &rw->p, 1);
  return lipc_heldnote(L, 3, t, r == 0 ? NULL : "EOWNERDEAD");
}
static int with_failed (lua_State *L, int t, int err) {
  (void)t;
  return over(L, "with", err);
}
static const struct lipc_op with_op = {"with", with_step, 0, with_failed};

static void with_over (lua_State *L, struct lipc_handle *h) {
  Rwlock *rw = (Rwlock *)h;
  if (rw->p.map == NULL) return;
  lua_getiuservalue(L, 1, 1);
  lua_getiuservalue(L, 1, LIPC_HELD_COROUTINE);
  int co = lua_gettop(L);
  give(L, rw, co - 1, co, LIPC_SYNC_PATIENCE);
  lua_settop(L, co - 2);
  if (rw->p.hold.owner != NULL) lipc_held_owner(L, true);
}

static int rwlock_block (lua_State *L, const struct lipc_op *op, int t, double seconds) {
  Rwlock *rw = lua_touserdata(L, 1);
  (void)t;
  bool write = op == &wrlock_op || op == &trywrlock_op || (op == &with_op && wants_write(L));
  if (op != &rdlock_op && !write && op != &with_op) return lipc_nap(L, LIPC_SYNC_SHORT);
  return lipc_rw_sleep(rw, lipc_placed_at(L, &rw->p), write, seconds);
}

/* ---- methods ---- */

/* rw:rdlock([timeout]) -> true | true, "EOWNERDEAD" | nil, msg, code: with others that read; again by who reads
** already.  EOWNERDEAD: a writer died, and what he wrote is as he left it; "ETIMEDOUT"; "EDEADLK": this coroutine
** writes; "ENOSPC": no slot is free; "ENOTRECOVERABLE"   -- see pthread_rwlock_rdlock(3) */
static int l_rwlock_rdlock (lua_State *L) { return lipc_drive(L, &rdlock_op, 2); }

/* rw:tryrdlock() -> as rdlock(0)   -- see pthread_rwlock_tryrdlock(3) */
static int l_rwlock_tryrdlock (lua_State *L) {
  lua_settop(L, 1);
  lua_pushinteger(L, 0);
  return lipc_drive(L, &tryrdlock_op, 2);
}

/* rw:wrlock([timeout]) -> true | true, "EOWNERDEAD" | nil, msg, code: alone.  EOWNERDEAD: it is held, and a writer
** died before; consistent() says that all is in order again; "EDEADLK": this coroutine reads or writes
** -- see pthread_rwlock_wrlock(3) */
static int l_rwlock_wrlock (lua_State *L) { return lipc_drive(L, &wrlock_op, 2); }

/* rw:trywrlock() -> as wrlock(0)   -- see pthread_rwlock_trywrlock(3) */
static int l_rwlock_trywrlock (lua_State *L) {
  lua_settop(L, 1);
  lua_pushinteger(L, 0);
  return lipc_drive(L, &trywrlock_op, 2);
}

static int unlock_step (lua_State *L, int t) {
  Rwlock *rw = lua_touserdata(L, 1);
  (void)t;
  lipc_placed_at(L, &rw->p);
  lua_pushthread(L);
  int r = give(L, rw, 1, lua_gettop(L), LIPC_SYNC_SHORT);
  lua_settop(L, t + 1);
  if (r == -EAGAIN) return lipc_again(0);
  if (r < 0) return failed(L, "unlock", r);
  lua_pushboolean(L, 1);
  return 1;
}
static const struct lipc_op unlock_op = {"unlock", unlock_step, 0, NULL};

/* rw:unlock() -> true | nil, msg, "EPERM": what this coroutine holds.  After EOWNERDEAD to a writer, without
** consistent(), it is ENOTRECOVERABLE from now on, for all   -- see pthread_rwlock_unlock(3) */
static int l_rwlock_unlock (lua_State *L) {
  lua_settop(L, 1);
  lua_pushnumber(L, LIPC_SYNC_PATIENCE);
  return lipc_drive(L, &unlock_op, 2);
}

/* rw:with("read"|"write", fn[, timeout]) -> what fn(rw[, "EOWNERDEAD"]) returns | nil, msg, code: held while fn
** runs, given back when it ends, by whatever way */
static int l_rwlock_with (lua_State *L) {
  static const char *const modes[] = {"read", "write", NULL};
  lipc_checkopen(L, 1);
  luaL_checkoption(L, 2, NULL, modes);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  return lipc_with(L, &with_op, 4, with_over);
}

static int consistent_step (lua_State *L, int t) {
  Rwlock *rw = lua_touserdata(L, 1);
  struct lipc_rwmem *m = lipc_placed_at(L, &rw->p);
  (void)t;
  if (!lipc_hold_mine(L, &rw->p) || rw->slot < 0) return failed(L, "consistent", -EPERM);
  int r = lipc_rw_mend(rw, m);
  if (r == -EAGAIN) return lipc_again(0);
  if (r < 0) return lipc_failselfnote(L, "consistent", -EINVAL, "no writer died");
  lua_pushboolean(L, 1);
  return 1;
}
static const struct lipc_op consistent_op = {"consistent", consistent_step, 0, NULL};

/* rw:consistent() -> true | nil, msg, code: what is protected is in order again, after EOWNERDEAD.  "EPERM": this
** coroutine does not write; "EINVAL": no writer died   -- see pthread_mutex_consistent(3) */
static int l_rwlock_consistent (lua_State *L) {
  lua_settop(L, 1);
  lua_pushnumber(L, LIPC_SYNC_PATIENCE);
  return lipc_drive(L, &consistent_op, 2);
}

/* rw:stat() -> {type=, name=, offset=, size=, slots=, readers=, writer=, waiting=, state=}: as the slots say it:
** objects that read, a process that writes, writers that wait; state "ok", "orphaned", "lost" */
static int l_rwlock_stat (lua_State *L) {
  static const char *const states[] = {"ok", "orphaned", "lost"};
  Rwlock *rw = lipc_checkopen(L, 1);
  struct lipc_rwmem *m = lipc_placed_at(L, &rw->p);
  uint32_t state = lipc_get(&m->state);
  unsigned slots = rw->nslots;
  struct lipc_rwcount n = lipc_rw_count(rw, m);
  lipc_sync_stat(L, &rw->p);
  lipc_setinteger(L, "slots", slots);
  lipc_setinteger(L, "readers", n.readers);
  lipc_setinteger(L, "waiting", n.waiting);
  if (n.writer != 0) lipc_setinteger(L, "writer", n.writer);
  lua_pushstring(L, state <= STATE_LOST ? states[state] : "overwritten");
  lua_setfield(L, -2, "state");
  return 1;
}

static const luaL_Reg methods[] = {
  {"rdlock", l_rwlock_rdlock},
  {"tryrdlock", l_rwlock_tryrdlock},
  {"wrlock", l_rwlock_wrlock},
  {"trywrlock", l_rwlock_trywrlock},
  {"unlock", l_rwlock_unlock},
  {"with", l_rwlock_with},
  {"consistent", l_rwlock_consistent},
  {"stat", l_rwlock_stat},
  {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, NULL};
const struct lipc_class lipc_rwlock_class = {.tname = "lipc.sync.rwlock",
                                             .label = "rwlock",
                                             .size = sizeof(Rwlock),
                                             .values = LIPC_PLACED_VALUES + 1,
                                             .methods = all_methods,
                                             .release = rwlock_release,
                                             .block = rwlock_block};

/* ---- opening ---- */

/* rwlock(map, offset[, {create=, exclusive=, slots=}]) -> Rwlock | nil, msg, code.  slots: how many objects can
** hold it, or wait to write, at once (64), and "EINVAL" where it was made for another number
** -- see pthread_rwlock_init(3) */
int lipc_sync_rwlock (lua_State *L) {
  static const char *const names[] = {"create", "exclusive", "slots", NULL};
  struct lipc_sync_making k = {.cls = &lipc_rwlock_class,
                               .what = &what,
                               .op = "sync.rwlock",
                               .least = lipc_rwlock_size(1),
                               .init = lipc_rw_init};
  int n;
  lipc_checkopts(L, 3, names);
  lipc_sync_options(L, &k);
  unsigned slots = (unsigned)lipc_optint(L, 3, "slots", 1, LIPC_SYNC_MAX, 0);
  unsigned nslots = slots != 0 ? slots : LIPC_RWLOCK_SLOTS;
  k.arg = &nslots;
  k.size = lipc_rwlock_size(nslots);
  k.most = lipc_rwlock_size(LIPC_SYNC_MAX);
  Rwlock *rw = lipc_sync_object(L, &k, &n);
  if (rw == NULL) return n;
  rw->nslots = (unsigned)((rw->p.size - sizeof(struct lipc_rwmem)) / sizeof(struct lipc_rwslot));
  rw->slot = rw->wish = -1;
  rw->forkgen = lipcsys_forkgen;
  int obj = lua_gettop(L);
  if (slots != 0 && slots != rw->nslots)
    return lipc_failothern(L, k.op, lipc_sync_refuse(L, obj), "slots", rw->nslots, slots);
  new_readers(L, obj);
  return 1;
}
