/* kit_hold.c - the lock of a structure in shared memory that may be held while Lua code runs: who holds
** it is written down, and whoever wants it looks whether that process is still there.
** SPDX-License-Identifier: MIT */
#include "kit_sync.h"

#include <stddef.h>

#define LONGEST 0.1 /* seconds asleep without a look at who holds it */

/* ---- who holds it ---- */

struct record {
  struct lipcsys_who who;
  uint64_t token;
};

static struct record read_record (const struct lipc_sync_holder *o) {
  return (struct record){{lipc_get(&o->pid), lipc_get(&o->start)}, lipc_get(&o->token)};
}

static bool is_held (uint32_t state) {
  return state == LIPC_HOLDER_HELD || state == LIPC_HOLDER_INCONSISTENT;
}

/* Called inside the word lock, which it leaves for a look at the process that holds it.  0: inside, and it
** is held no more; else not inside. */
static int drop_dead (struct lipc_placed *p, struct lipc_sync_base *b) {
  struct record r = read_record(&b->holder);
  lipc_sync_leave(&b->header);
  if (lipcsys_isalive(r.who)) return -EAGAIN;
  int err = lipc_sync_lock(p, &b->header);
  if (err < 0) return err;
  struct record now = read_record(&b->holder);
  if (is_held(lipc_get(&b->holder.state)) && now.who.pid == r.who.pid &&
      now.who.start == r.who.start && now.token == r.token) {
    lipc_put(&b->holder.state, LIPC_HOLDER_ORPHANED);
    LIPC_STEP("holder.orphaned");
  } else if (is_held(lipc_get(&b->holder.state))) { /* somebody was faster */
    lipc_sync_leave(&b->header);
    return -EAGAIN;
  }
  return 0;
}

/* Inside the word lock, held by nobody else.  0 or a negative errno, not inside. */
static int enter (lua_State *L, struct lipc_placed *p, struct lipc_sync_base *b, bool anew) {
  int r = lipc_sync_lock(p, &b->header);
  if (r < 0) return r;
  if (is_held(lipc_get(&b->holder.state)) && !lipc_hold_mine(L, p)) {
    r = drop_dead(p, b);
    if (r < 0) return r;
  }
  uint32_t state = lipc_get(&b->holder.state);
  if (state > LIPC_HOLDER_LOST && anew) lipc_put(&b->holder.state, state = LIPC_HOLDER_FREE);
  if (state < LIPC_HOLDER_LOST) return 0;
  lipc_sync_leave(&b->header);
  return state == LIPC_HOLDER_LOST ? -ENOTRECOVERABLE : -EPROTO;
}

int lipc_sync_enter (lua_State *L, struct lipc_placed *p, struct lipc_sync_base *b) {
  int r = enter(L, p, b, false);
  return r < 0 ? r : lipc_get(&b->holder.state) == LIPC_HOLDER_ORPHANED;
}

int lipc_sync_enteranew (lua_State *L, struct lipc_placed *p, struct lipc_sync_base *b) {
  int r = enter(L, p, b, true);
  return r < 0 ? r : lipc_get(&b->holder.state) == LIPC_HOLDER_ORPHANED;
}

/* ---- taking it and giving it back ---- */

static struct lipc_placed *placed_of (struct lipc_pin *pin) {
  return (struct lipc_placed *)((char *)pin - offsetof(struct lipc_placed, hold.pin));
}

static bool map_goes (struct lipc_pin *pin) {
  lipc_hold_give(placed_of(pin), LIPC_SYNC_PATIENCE);
  return true;
}

int lipc_hold_take (lua_State *L, struct lipc_placed *p, struct lipc_sync_base *b) {
  if (lipc_hold_mine(L, p)) return -EDEADLK;
  int r = enter(L, p, b, false);
  if (r < 0) return r;
  struct lipcsys_who self = lipcsys_self();
  bool orphaned = lipc_get(&b->holder.state) == LIPC_HOLDER_ORPHANED;
  lipc_put(&b->holder.pid, self.pid);
  lipc_put(&b->holder.start, self.start);
  lipc_put(&b->holder.token, (uintptr_t)p);
  LIPC_STEP("holder.named");
  lipc_put(&b->holder.state, orphaned ? LIPC_HOLDER_INCONSISTENT : LIPC_HOLDER_HELD);
  LIPC_STEP("holder.held");
  lipc_sync_leave(&b->header);
  p->hold.owner = L;
  p->hold.forkgen = lipcsys_forkgen;
  p->hold.serial++;
  p->hold.pin.gone = map_goes;
  lipc_map_unpin(&p->hold.pin); /* a forked child's, from its parent */
  lipc_map_pin(p->map, &p->hold.pin);
  lipc_keep_owner(L, p, 1);
  lipc_map_done(L, 1, p->map);
  return orphaned ? -EOWNERDEAD : 0;
}

/* Whether what the structure says is that this object holds it. */
static bool is_ours (const struct lipc_placed *p, const struct lipc_sync_base *b) {
  struct lipcsys_who self = lipcsys_self();
  struct record r = read_record(&b->holder);
  return is_held(lipc_get(&b->holder.state)) && r.who.pid == self.pid &&
         r.who.start == self.start && r.token == (uintptr_t)p;
}

int lipc_hold_give (struct lipc_placed *p, double seconds) {
  struct lipc_sync_base *b = lipc_placed_peek(p);
  bool held = p->hold.owner != NULL && p->hold.forkgen == lipcsys_forkgen, wake = false;
  if (held && b != NULL) {
    int r = lipcsys_word_lock(&b->header.lock, seconds);
    if (r < 0 && r != -EOWNERDEAD) return -EAGAIN;
    if (r == -EOWNERDEAD && p->repair != NULL) p->repair(p, b);
    if (is_ours(p, b)) { /* else somebody has written there */
      bool lost = lipc_get(&b->holder.state) == LIPC_HOLDER_INCONSISTENT;
      lipc_put(&b->holder.state, lost ? LIPC_HOLDER_LOST : LIPC_HOLDER_FREE);
      LIPC_STEP("holder.free");
      wake = lipc_get(&b->holder.waiting) != 0;
      if (wake) {
        lipc_put(&b->holder.waiting, 0);
        LIPC_STEP("holder.quiet");
        atomic_fetch_add(&b->holder.seq, 1);
        LIPC_STEP("holder.seq");
      }
    }
    lipc_sync_leave(&b->header);
    if (wake) lipcsys_futexwake(&b->holder.seq, INT32_MAX);
  }
  p->hold.owner = NULL;
  lipc_map_unpin(&p->hold.pin);
  return 0;
}

int lipc_sync_block (lua_State *L, const struct lipc_op *op, int t, double seconds) {
  struct lipc_placed *p = lua_touserdata(L, 1);
  struct lipc_sync_base *b = lipc_placed_peek(p);
  (void)op;
  (void)t;
  if (b == NULL || lipc_hold_mine(L, p))
    return lipc_nap(L, seconds < LIPC_SYNC_SHORT ? seconds : LIPC_SYNC_SHORT);
  int r = lipcsys_word_lock(&b->header.lock, seconds < LONGEST ? seconds : LONGEST);
  if (r == -EOWNERDEAD && p->repair != NULL) p->repair(p, b);
  else if (r < 0 && r != -EOWNERDEAD) return 0;
  uint32_t seq = lipc_get(&b->holder.seq);
  bool held = is_held(lipc_get(&b->holder.state));
  if (held) lipc_put(&b->holder.waiting, 1);
  lipc_sync_leave(&b->header);
  if (!held) return 0;
  r = lipcsys_futexwait(&b->holder.seq, seq, seconds < LONGEST ? seconds : LONGEST);
  return r == -EINTR ? r : 0;
}

/* ---- methods ---- */

int lipc_hold_failed (lua_State *L, const char *op, int err) {
  const char *note = NULL;
  switch (err) {
    case -EDEADLK: note = "this coroutine holds it already"; break;
    case -EPERM: note = "this coroutine does not hold it"; break;
    case -EPROTO: note = "what is there was overwritten"; break;
    case -ENOTRECOVERABLE: note = "who held it died, and it was not made consistent"; break;
    default: break;
  }
  return lipc_failselfnote(L, op, err, note);
}

static int lock_once (lua_State *L, const char *op) {
  struct lipc_placed *p = lua_touserdata(L, 1);
  int r = lipc_hold_take(L, p, lipc_placed_at(L, p));
  if (r == -EAGAIN) return lipc_again(0);
  if (r < 0 && r != -EOWNERDEAD) return lipc_hold_failed(L, op, r);
  lua_pushboolean(L, 1);
  if (r == 0) return 1;
  lua_pushliteral(L, "EOWNERDEAD");
  return 2;
}

static int lock_step (lua_State *L, int t) {
  (void)t;
  return lock_once(L, "lock");
}
static const struct lipc_op lock_op = {"lock", lock_step, 0, NULL};

/* x:lock([timeout]) -> true | true, "EOWNERDEAD" | nil, msg, code: until unlock.  EOWNERDEAD: it is held,
** and who held it before died; consistent() says that what it protects is in order again */
static int l_hold_lock (lua_State *L) { return lipc_drive(L, &lock_op, 2); }

static int trylock_step (lua_State *L, int t) {
  (void)t;
  return lock_once(L, "trylock");
}
static const struct lipc_op trylock_op = {"trylock", trylock_step, 0, NULL};

/* x:trylock() -> as lock(0) */
static int l_hold_trylock (lua_State *L) {
  lua_settop(L, 1);
  lua_pushinteger(L, 0);
  return lipc_drive(L, &trylock_op, 2);
}

static int unlock_step (lua_State *L, int t) {
  struct lipc_placed *p = lua_touserdata(L, 1);
  (void)t;
  lipc_placed_at(L, p);
  if (!lipc_hold_mine(L, p)) return lipc_hold_failed(L, "unlock", -EPERM);
  if (lipc_hold_give(p, LIPC_SYNC_SHORT) < 0) return lipc_again(0);
  lipc_drop_owner(L, p, 1);
  lua_pushboolean(L, 1);
  return 1;
}
static const struct lipc_op unlock_op = {"unlock", unlock_step, 0, NULL};

/* x:unlock() -> true | nil, msg, "EPERM": by the coroutine that locked it.  Without consistent() after
** EOWNERDEAD it is ENOTRECOVERABLE from now on, for all */
static int l_hold_unlock (lua_State *L) {
  lua_settop(L, 1);
  lua_pushnumber(L, LIPC_SYNC_PATIENCE);
  return lipc_drive(L, &unlock_op, 2);
}

int lipc_hold_mend (struct lipc_placed *p, struct lipc_sync_base *b) {
  int r = lipc_sync_lock(p, &b->header);
  if (r < 0) return r;
  bool needed = is_ours(p, b) && lipc_get(&b->holder.state) == LIPC_HOLDER_INCONSISTENT;
  if (needed) lipc_put(&b->holder.state, LIPC_HOLDER_HELD);
  LIPC_STEP("holder.consistent");
  lipc_sync_leave(&b->header);
  return needed ? 0 : -EINVAL;
}

static int consistent_step (lua_State *L, int t) {
  struct lipc_placed *p = lua_touserdata(L, 1);
  struct lipc_sync_base *b = lipc_placed_at(L, p);
  (void)t;
  if (!lipc_hold_mine(L, p)) return lipc_hold_failed(L, "consistent", -EPERM);
  int r = lipc_hold_mend(p, b);
  if (r == -EAGAIN) return lipc_again(0);
  if (r < 0) return lipc_failselfnote(L, "consistent", -EINVAL, "nobody died who held it");
  lua_pushboolean(L, 1);
  return 1;
}
static const struct lipc_op consistent_op = {"consistent", consistent_step, 0, NULL};

/* x:consistent() -> true | nil, msg, code: what is protected is in order again, after EOWNERDEAD.
** "EPERM": not held by this coroutine; "EINVAL": nobody died   -- see pthread_mutex_consistent(3) */
static int l_hold_consistent (lua_State *L) {
  lua_settop(L, 1);
  lua_pushnumber(L, LIPC_SYNC_PATIENCE);
  return lipc_drive(L, &consistent_op, 2);
}

static int with_step (lua_State *L, int t) {
  struct lipc_placed *p = lua_touserdata(L, 1);
  int r = lipc_hold_take(L, p, lipc_placed_at(L, p));
  if (r == -EAGAIN) return lipc_again(0);
  if (r < 0 && r != -EOWNERDEAD) return lipc_hold_failed(L, "with", r);
  lua_pushinteger(L, (lua_Integer)p->hold.serial);
  lua_setiuservalue(L, t - 1, LIPC_HELD_UV);
  lipc_drop_owner(L, p, 1);
  return lipc_heldnote(L, 2, t, r == 0 ? NULL : "EOWNERDEAD");
}
static const struct lipc_op with_op = {"with", with_step, 0, NULL};

/* The function may have given it back itself, and another coroutine taken it. */
static void with_over (lua_State *L, struct lipc_handle *h) {
  struct lipc_placed *p = (struct lipc_placed *)h;
  lua_getiuservalue(L, 1, LIPC_HELD_UV);
  if (lua_tointeger(L, -1) != (lua_Integer)p->hold.serial) return;
  lipc_held_owner(L, lipc_hold_give(p, LIPC_SYNC_PATIENCE) < 0);
}

/* x:with(fn[, timeout]) -> what fn(x[, "EOWNERDEAD"]) returns | nil, msg, code: held while fn runs, given
** back when it ends, by whatever way */
static int l_hold_with (lua_State *L) {
  lipc_checkopen(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  return lipc_with(L, &with_op, 3, with_over);
}

const luaL_Reg lipc_hold_methods[] = {
  {"lock", l_hold_lock}, {"trylock", l_hold_trylock},       {"unlock", l_hold_unlock},
  {"with", l_hold_with}, {"consistent", l_hold_consistent}, {NULL, NULL},
};
