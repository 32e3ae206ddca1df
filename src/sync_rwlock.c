/* sync_rwlock.c - reader-writer locks: a slot for each object that reads, writes or wants to write, with
** its process in it, so that those who died are found.  What is allowed follows from the slots alone; a
** slot counts from the one store of its state on.  Writers go first: while one waits, no new reader
** comes in.  Who waits to write says so for a third of a second at a time, so that nobody is kept out
** by one who has given up, stands still or is dead.  Not the C library's: a dead reader keeps that locked.
** SPDX-License-Identifier: MIT */
#include "sync.h"

#include <stddef.h>

#define LOOK_UP 0.1 /* seconds asleep, or between two looks whether the others are alive */
#define LEASE   0.35 /* seconds that a writer's wish counts */

enum { SLOT_FREE, SLOT_READS, SLOT_WRITES, SLOT_REPAIRS, SLOT_WANTS };
enum { STATE_OK, STATE_ORPHANED, STATE_LOST };

struct slot {
  _Atomic uint32_t
    state; /* SLOT_*; repairs: writes, was told EOWNERDEAD, and has not called consistent() */
  _Atomic uint32_t pid;
  _Atomic uint64_t start;
  _Atomic uint64_t token; /* the object there */
  _Atomic uint64_t until; /* SLOT_WANTS: nanoseconds on the monotonic clock */
};

struct rwlock {
  struct lipc_sync_header header;
  _Atomic uint32_t seq; /* grows when something is given back: slept on */
  _Atomic uint32_t waiting; /* somebody may sleep */
  _Atomic uint32_t state; /* STATE_* */
  _Atomic uint32_t reserved;
  struct slot slots[];
};

typedef struct Rwlock {
  struct lipc_placed p; /* its hold: of the coroutine that writes */
  unsigned nslots;
  int slot; /* what it reads or writes in, or -1 */
  int wish; /* where it says that it wants to write, or -1 */
  unsigned forkgen; /* of the process whose they are */
  unsigned readers; /* how often its coroutines read */
  double looked; /* when it last looked who is alive */
} Rwlock;

enum { UV_READERS = LIPC_UV_PLACED }; /* coroutine -> how often it reads */

static const struct lipc_sync_what what = {"rwlock", LIPC_KIND_RWLOCK, 1};

size_t lipc_rwlock_size (lua_Integer slots) {
  return sizeof(struct rwlock) + (size_t)slots * sizeof(struct slot);
}

static uint64_t nanoseconds (double seconds) { return (uint64_t)(seconds * 1e9); }

static bool writes (uint32_t state) { return state == SLOT_WRITES || state == SLOT_REPAIRS; }

/* ---- the slots: all of this inside the word lock ---- */

static bool is_wish (const struct slot *s, uint64_t now) {
  return lipc_get(&s->state) == SLOT_WANTS && lipc_get(&s->until) > now;
}

static bool is_usable (const struct slot *s, uint64_t now) {
  uint32_t state = lipc_get(&s->state);
  return state == SLOT_FREE || state > SLOT_WANTS || (state == SLOT_WANTS && !is_wish(s, now));
}

struct view {
  bool reader, writer; /* others */
  bool wish; /* anybody's */
  int free; /* a slot, or -1 */
};

static struct view look_at (const Rwlock *rw, const struct rwlock *m) {
  struct view v = {false, false, false, -1};
  uint64_t now = 0;
  for (unsigned i = 0; i < rw->nslots; i++) {
    uint32_t state = lipc_get(&m->slots[i].state);
    if (state == SLOT_FREE) {
      if (v.free < 0) v.free = (int)i;
      continue;
    }
    if ((int)i == rw->slot) continue;
    if (state == SLOT_WANTS && now == 0) now = nanoseconds(lipcsys_now());
    if (state == SLOT_READS) v.reader = true;
    else if (writes(state)) v.writer = true;
    else if (is_usable(&m->slots[i], now)) v.free = (int)i;
    else v.wish = true;
  }
  return v;
}

/* Whether a slot is this object's still: a wish that was not renewed goes to others. */
static bool is_ours (const Rwlock *rw, const struct slot *s) {
  struct lipcsys_who self = lipcsys_self();
  return lipc_get(&s->token) == (uintptr_t)rw && lipc_get(&s->pid) == self.pid &&
         lipc_get(&s->start) == self.start;
}

static void fill (const Rwlock *rw, struct slot *s, uint32_t state) {
  struct lipcsys_who self = lipcsys_self();
  lipc_put(&s->state, SLOT_FREE);
  LIPC_STEP("rwlock.emptied");
  lipc_put(&s->pid, self.pid);
  lipc_put(&s->start, self.start);
  lipc_put(&s->token, (uintptr_t)rw);
  lipc_put(&s->until, nanoseconds(lipcsys_now() + LEASE));
  LIPC_STEP("rwlock.named");
  lipc_put(&s->state, state);
  LIPC_STEP("rwlock.filled");
}

/* What is given back may let others in. */
static bool notify (struct rwlock *m) {
  if (lipc_get(&m->waiting) == 0) return false;
  lipc_put(&m->waiting, 0);
  LIPC_STEP("rwlock.quiet");
  atomic_fetch_add(&m->seq, 1);
  LIPC_STEP("rwlock.seq");
  return true;
}

static void leave (struct rwlock *m, bool wake) {
  lipc_sync_leave(&m->header);
  if (wake) lipcsys_futexwake(&m->seq, INT32_MAX);
}

/* ---- who died ---- */

/* Outside the word lock: looks at the processes of the others, drops what the dead have. */
static void sweep (Rwlock *rw, struct rwlock *m) {
  uint32_t self = lipcsys_self().pid;
  bool wake = false;
  rw->looked = lipcsys_now();
  for (unsigned i = 0; i < rw->nslots; i++) {
    struct slot *s = &m->slots[i];
    uint32_t state = lipc_get(&s->state);
    struct lipcsys_who who = {lipc_get(&s->pid), lipc_get(&s->start)};
    if (state == SLOT_FREE || state > SLOT_REPAIRS) continue;
    if ((who.pid == self && (int)i == rw->slot) || lipcsys_isalive(who)) continue;
    if (lipc_sync_lock(&rw->p, &m->header) < 0) return;
    state = lipc_get(&s->state);
    if (state != SLOT_FREE && state <= SLOT_REPAIRS && lipc_get(&s->pid) == who.pid &&
        lipc_get(&s->start) == who.start) {
      if (writes(state) && lipc_get(&m->state) != STATE_LOST) lipc_put(&m->state, STATE_ORPHANED);
      LIPC_STEP("rwlock.orphaned");
      lipc_put(&s->state, SLOT_FREE);
      LIPC_STEP("rwlock.dropped");
      wake = notify(m);
    }
    leave(m, wake);
  }
}

/* ---- this process ---- */

/* A forked child holds nothing of what its parent holds. */
static void know_process (lua_State *L, Rwlock *rw) {
  if (rw->forkgen == lipcsys_forkgen) return;
  lua_newtable(L);
  lua_setiuservalue(L, 1, UV_READERS);
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

/* Inside the word lock, which it leaves. */
static int take_read (Rwlock *rw, struct rwlock *m, struct view v) {
  uint32_t state = lipc_get(&m->state);
  int r = state == STATE_ORPHANED ? -EOWNERDEAD : 0;
  if (state > STATE_ORPHANED) r = state == STATE_LOST ? -ENOTRECOVERABLE : -EPROTO;
  else if (v.writer || v.wish || rw->p.hold.owner != NULL) r = -EAGAIN;
  else if (rw->slot < 0 && v.free < 0) r = -ENOSPC;
  else if (rw->slot < 0) fill(rw, &m->slots[rw->slot = v.free], SLOT_READS);
  leave(m, false);
  return r;
}

/* The same.  What it waits for is written down meanwhile. */
static int take_write (Rwlock *rw, struct rwlock *m, struct view v, bool waits) {
  uint32_t state = lipc_get(&m->state);
  int r = state == STATE_ORPHANED ? -EOWNERDEAD : 0;
  if (rw->wish >= 0 && !is_ours(rw, &m->slots[rw->wish])) rw->wish = -1;
  int at = rw->wish >= 0 ? rw->wish : v.free;
  if (state > STATE_ORPHANED) r = state == STATE_LOST ? -ENOTRECOVERABLE : -EPROTO;
  else if (v.writer || v.reader || rw->slot >= 0) r = -EAGAIN;
  else if (at < 0) r = -ENOSPC;
  if (r == -EAGAIN && waits && at >= 0) {
    fill(rw, &m->slots[at], SLOT_WANTS);
    rw->wish = at;
  }
  if (r == 0 || r == -EOWNERDEAD) {
    fill(rw, &m->slots[at], r == 0 ? SLOT_WRITES : SLOT_REPAIRS);
    rw->slot = at;
    rw->wish = -1;
    if (r < 0) lipc_put(&m->state, STATE_OK);
    LIPC_STEP("rwlock.inherited");
  }
  leave(m, false);
  return r;
}

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
  struct rwlock *m = lipc_placed_at(L, &rw->p);
  for (bool swept = false;; swept = true) {
    int r = lipc_sync_lock(&rw->p, &m->header);
    if (r < 0) return r;
    struct view v = look_at(rw, m);
    r = write ? take_write(rw, m, v, waits) : take_read(rw, m, v);
    if (r == 0 || r == -EOWNERDEAD) own(L, rw, write);
    if (r != -EAGAIN && r != -ENOSPC) return r;
    if (swept || (waits && lipcsys_now() - rw->looked < LOOK_UP)) return r;
    sweep(rw, m);
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
  return r;
}

/* ---- giving back ---- */

/* Empties one of this object's slots.  -EAGAIN: somebody stays inside the word lock for so long. */
static int empty (Rwlock *rw, struct rwlock *m, int at, double seconds) {
  int r = lipcsys_word_lock(&m->header.lock, seconds);
  if (r < 0 && r != -EOWNERDEAD) return -EAGAIN;
  bool wake = false;
  struct slot *s = &m->slots[at];
  if (is_ours(rw, s)) { /* else somebody has written there */
    if (lipc_get(&s->state) == SLOT_REPAIRS) lipc_put(&m->state, STATE_LOST);
    LIPC_STEP("rwlock.lost");
    lipc_put(&s->state, SLOT_FREE);
    LIPC_STEP("rwlock.freed");
    wake = notify(m);
  }
  leave(m, wake);
  return 0;
}

static int empty_slot (Rwlock *rw, double seconds) {
  struct rwlock *m = lipc_placed_peek(&rw->p);
  int r = m != NULL && rw->slot >= 0 ? empty(rw, m, rw->slot, seconds) : 0;
  if (r < 0) return r;
  rw->slot = -1;
  rw->p.hold.owner = NULL;
  rw->readers = 0;
  lipc_map_unpin(&rw->p.hold.pin);
  return 0;
}

static void drop_wish (Rwlock *rw) {
  struct rwlock *m = lipc_placed_peek(&rw->p);
  if (m != NULL && rw->wish >= 0) empty(rw, m, rw->wish, LIPC_SYNC_SHORT);
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

/* Sleeps until something was given back, unless it could be had now. */
static int sleep_for (Rwlock *rw, struct rwlock *m, bool write, double seconds) {
  if (seconds > LOOK_UP) seconds = LOOK_UP;
  int r = lipcsys_word_lock(&m->header.lock, seconds);
  if (r < 0 && r != -EOWNERDEAD) return r == -EINTR ? r : 0;
  struct view v = look_at(rw, m);
  bool wait = v.writer || rw->p.hold.owner != NULL || (write ? v.reader || rw->slot >= 0 : v.wish);
  if (wait) lipc_put(&m->waiting, 1);
  uint32_t seq = lipc_get(&m->seq);
  leave(m, false);
  if (!wait) return 0;
  r = lipcsys_futexwait(&m->seq, seq, seconds);
  return r == -EINTR ? r : 0;
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
  lua_pushthread(L);
  lua_setiuservalue(L, t - 1, LIPC_HELD_UV);
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
  lua_getiuservalue(L, 1, LIPC_HELD_UV);
  int co = lua_gettop(L);
  give(L, rw, co - 1, co, LIPC_SYNC_PATIENCE);
  lua_settop(L, co - 2);
}

static int rwlock_block (lua_State *L, const struct lipc_op *op, int t, double seconds) {
  Rwlock *rw = lua_touserdata(L, 1);
  (void)t;
  bool write = op == &wrlock_op || op == &trywrlock_op || (op == &with_op && wants_write(L));
  if (op != &rdlock_op && !write && op != &with_op) return lipc_nap(L, LIPC_SYNC_SHORT);
  return sleep_for(rw, lipc_placed_at(L, &rw->p), write, seconds);
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
  struct rwlock *m = lipc_placed_at(L, &rw->p);
  (void)t;
  if (!lipc_hold_mine(L, &rw->p) || rw->slot < 0) return failed(L, "consistent", -EPERM);
  if (lipc_sync_lock(&rw->p, &m->header) < 0) return lipc_again(0);
  struct slot *s = &m->slots[rw->slot];
  bool needed = is_ours(rw, s) && lipc_get(&s->state) == SLOT_REPAIRS;
  if (needed) lipc_put(&s->state, SLOT_WRITES);
  LIPC_STEP("rwlock.consistent");
  leave(m, false);
  if (!needed) return lipc_failselfnote(L, "consistent", -EINVAL, "no writer died");
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
  struct rwlock *m = lipc_placed_at(L, &rw->p);
  uint32_t state = lipc_get(&m->state), readers = 0, waiting = 0, writer = 0;
  unsigned slots = rw->nslots;
  uint64_t now = nanoseconds(lipcsys_now());
  for (unsigned i = 0; i < slots; i++) {
    uint32_t is = lipc_get(&m->slots[i].state);
    readers += is == SLOT_READS;
    waiting += is_wish(&m->slots[i], now);
    if (writes(is)) writer = lipc_get(&m->slots[i].pid);
  }
  lipc_sync_stat(L, &rw->p);
  lipc_setinteger(L, "slots", slots);
  lipc_setinteger(L, "readers", readers);
  lipc_setinteger(L, "waiting", waiting);
  if (writer != 0) lipc_setinteger(L, "writer", writer);
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

static void init (void *memory, const void *arg) {
  struct rwlock *m = memory;
  unsigned nslots = *(const unsigned *)arg;
  lipc_put(&m->seq, 0);
  lipc_put(&m->waiting, 0);
  lipc_put(&m->state, STATE_OK);
  for (unsigned i = 0; i < nslots; i++) lipc_put(&m->slots[i].state, SLOT_FREE);
}

/* rwlock(map, offset[, {create=, exclusive=, slots=}]) -> Rwlock | nil, msg, code.  slots: how many objects can
** hold it, or wait to write, at once, of one that is made (64)   -- see pthread_rwlock_init(3) */
int lipc_sync_rwlock (lua_State *L) {
  static const char *const names[] = {"create", "exclusive", "slots", NULL};
  struct lipc_sync_making k = {.cls = &lipc_rwlock_class,
                               .what = &what,
                               .op = "sync.rwlock",
                               .least = lipc_rwlock_size(1),
                               .init = init};
  int n;
  lipc_checkopts(L, 3, names);
  lipc_sync_options(L, &k);
  unsigned nslots = (unsigned)lipc_optint(L, 3, "slots", 1, LIPC_SYNC_MAX, LIPC_RWLOCK_SLOTS);
  k.arg = &nslots;
  k.size = lipc_rwlock_size(nslots);
  k.most = lipc_rwlock_size(LIPC_SYNC_MAX);
  Rwlock *rw = lipc_sync_object(L, &k, &n);
  if (rw == NULL) return n;
  rw->nslots = (unsigned)((rw->p.size - sizeof(struct rwlock)) / sizeof(struct slot));
  rw->slot = rw->wish = -1;
  rw->forkgen = lipcsys_forkgen;
  lua_newtable(L);
  lua_setiuservalue(L, -2, UV_READERS);
  return 1;
}
