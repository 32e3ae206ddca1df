/* sync_mutex.c - robust mutexes, which programs in C can share; pthread_mutexattr_setrobust(3).
** The owner is a thread and a coroutine: the object knows which coroutine before the C library is
** asked.  While it is held the mapping may not go: the C library keeps a pointer to it, so it is given back
** first, or, when another thread has it, or its file was cut off, the memory stays.
** SPDX-License-Identifier: MIT */
#include "sync.h"

#include <stddef.h>
#include <string.h>

#define LOOK_UP 0.1 /* seconds in the C library in one go: signals do not end its wait */

struct mutex {
  struct lipc_sync_header
    header; /* reserved: the object that holds it, which recursion could pass over */
  _Alignas(8) unsigned char native[LIPC_MUTEX_SIZE];
  _Atomic uint32_t type;
};
_Static_assert(offsetof(struct mutex, native) == LIPC_MUTEX_OFFSET, "documented");

static const struct lipc_sync_what what = {"mutex", LIPC_KIND_MUTEX, 1};

size_t lipc_mutex_size (void) { return sizeof(struct mutex); }

static void *native (const Mutex *m, void *memory) {
  return m->raw ? memory : (char *)memory + LIPC_MUTEX_OFFSET;
}

static bool is_mine (const lua_State *L, const Mutex *m) { return lipc_hold_mine(L, &m->p); }

static bool is_held (const Mutex *m) {
  return m->p.hold.owner != NULL && m->p.hold.forkgen == lipcsys_forkgen;
}

/* ---- giving back ---- */

/* 0, or -EPERM when another thread has taken it.  Of zeros, where its file was cut off, the C library cannot see
** that they are one of the mutexes that this thread holds: its list of these goes on leading through them. */
static int give (Mutex *m, void *memory) {
  bool token = m->recursive && !m->raw;
  if (token) lipc_put(&((struct mutex *)memory)->header.reserved, 0);
  int r = lipcsys_mutexunlock(native(m, memory));
  if (r < 0 && token) lipc_put(&((struct mutex *)memory)->header.reserved, (uintptr_t)m);
  if (lipc_map_lost(m->p.map)) m->p.map->stays = true;
  return r;
}

static void forget (Mutex *m) {
  m->p.hold.owner = NULL;
  m->depth = 0;
  lipc_map_unpin(&m->p.hold.pin);
}

static bool map_goes (struct lipc_pin *pin) {
  Mutex *m = (Mutex *)((char *)pin - offsetof(Mutex, p.hold.pin));
  void *memory = lipc_placed_peek(&m->p);
  bool given = !is_held(m) || memory == NULL || give(m, memory) == 0;
  forget(m);
  return given;
}

/* Another thread has taken it, which alone can give it back: the memory stays from now on. */
static int leave_behind (Mutex *m) {
  m->p.map->stays = true;
  forget(m);
  return -EPERM;
}

static int mutex_release (lua_State *L, struct lipc_handle *h, int fd) {
  Mutex *m = (Mutex *)h;
  void *memory = m->p.map != NULL ? lipc_placed_peek(&m->p) : NULL;
  int r = 0;
  (void)fd;
  if (memory != NULL && is_held(m) && give(m, memory) < 0) r = leave_behind(m);
  if (m->p.map != NULL) forget(m);
  int released = lipc_placed_release(L, &m->p);
  return r < 0 ? r : released;
}

/* ---- taking ---- */

/* The C library has given it to this thread: err is 0 or -EOWNERDEAD. */
static int taken (lua_State *L, Mutex *m, void *memory, int err) {
  if (m->recursive && !m->raw) {
    struct mutex *shared = memory;
    uint64_t other = lipc_get(&shared->header.reserved);
    if (err == 0 && other != 0) { /* this thread has it already, by another object */
      lipcsys_mutexunlock(native(m, memory));
      return -EAGAIN;
    }
    lipc_put(&shared->header.reserved, (uintptr_t)m);
  }
  struct lipc_hold *hold = &m->p.hold;
  if (hold->pin.link != NULL) lipc_map_unpin(&hold->pin); /* a forked child's, from its parent */
  hold->owner = L;
  hold->forkgen = lipcsys_forkgen;
  hold->serial = ++m->taken;
  hold->pin.gone = map_goes;
  m->depth = 1;
  lipc_map_pin(m->p.map, &hold->pin);
  lipc_keep_owner(L, &m->p, 1);
  lipc_map_done(L, 1, m->p.map);
  return err;
}

static int take (lua_State *L, Mutex *m, void *memory) {
  if (is_held(m)) { /* another coroutine's: it waits as another process would */
    if (m->p.hold.owner != L) return -EAGAIN;
    if (!m->recursive) return -EDEADLK;
    if (m->depth == UINT32_MAX) return -EOVERFLOW;
    m->depth++;
    return 0;
  }
  int r = lipcsys_mutextry(native(m, memory));
  return r == 0 || r == -EOWNERDEAD ? taken(L, m, memory, r) : r;
}

int lipc_mutex_failed (lua_State *L, const char *op, int err) {
  const char *note = NULL;
  switch (err) {
    case -EDEADLK: note = "this coroutine, or this thread by another object, holds it"; break;
    case -EPERM: note = "this coroutine, in this thread, does not hold it"; break;
    case -ENOTRECOVERABLE: note = "who held it died, and it was not made consistent"; break;
    case -EINVAL: note = "what is there is no mutex"; break;
    default: break;
  }
  return lipc_failselfnote(L, op, err, note);
}

static int success (lua_State *L, int err) {
  lua_pushboolean(L, 1);
  if (err == 0) return 1;
  lua_pushliteral(L, "EOWNERDEAD");
  return 2;
}

static int call_with (lua_State *L, const Mutex *m, int t, int err) {
  lua_pushinteger(L, (lua_Integer)m->p.hold.serial);
  lua_setiuservalue(L, t - 1, LIPC_HELD_UV);
  if (m->depth == 1) lipc_drop_owner(L, &m->p, 1);
  return lipc_heldnote(L, 2, t, err == 0 ? NULL : "EOWNERDEAD");
}

static int lock_step (lua_State *L, int t) {
  Mutex *m = lua_touserdata(L, 1);
  (void)t;
  int r = take(L, m, lipc_placed_at(L, &m->p));
  if (r == 0 || r == -EOWNERDEAD) return success(L, r);
  return r == -EAGAIN ? lipc_again(0) : lipc_mutex_failed(L, "lock", r);
}
static const struct lipc_op lock_op = {"lock", lock_step, 0, NULL};

static int trylock_step (lua_State *L, int t) {
  Mutex *m = lua_touserdata(L, 1);
  (void)t;
  int r = take(L, m, lipc_placed_at(L, &m->p));
  if (r == 0 || r == -EOWNERDEAD) return success(L, r);
  return r == -EAGAIN ? lipc_again(0) : lipc_mutex_failed(L, "trylock", r);
}
static const struct lipc_op trylock_op = {"trylock", trylock_step, 0, NULL};

static int with_step (lua_State *L, int t) {
  Mutex *m = lua_touserdata(L, 1);
  int r = take(L, m, lipc_placed_at(L, &m->p));
  if (r == -EAGAIN) return lipc_again(0);
  if (r < 0 && r != -EOWNERDEAD) return lipc_mutex_failed(L, "with", r);
  return call_with(L, m, t, r);
}
static const struct lipc_op with_op = {"with", with_step, 0, NULL};

/* ---- for conditions ---- */

int lipc_mutex_leave (lua_State *L, Mutex *m, struct lipc_mutex_kept *ret_kept) {
  void *memory = lipc_placed_peek(&m->p);
  if (memory == NULL || !is_mine(L, m)) return -EPERM;
  struct lipc_mutex_kept kept = {m->p.hold.serial, m->depth};
  int r = give(m, memory);
  if (r < 0) return r;
  forget(m);
  *ret_kept = kept;
  return 0;
}

/* It is held again: what the wait has come to. */
static int relocked (lua_State *L, Mutex *m, int err) {
  int outcome = (int)lua_tointeger(L, LIPC_WAIT_OUTCOME), n = 1;
  m->p.hold.serial = (unsigned)lua_tointeger(L, LIPC_WAIT_SERIAL);
  m->depth = (unsigned)lua_tointeger(L, LIPC_WAIT_DEPTH);
  if (outcome < 0) {
    lua_pushvalue(L, LIPC_WAIT_COND);
    lua_replace(L, 1);
    n = lipc_failself(L, "wait", outcome);
  } else {
    lua_pushboolean(L, 1);
  }
  if (err == 0) return n;
  lua_pushliteral(L, "EOWNERDEAD");
  return n + 1;
}

/* The failure is the condition's. */
static int not_relocked (lua_State *L, int t, int err) {
  (void)t;
  lua_pushvalue(L, LIPC_WAIT_COND);
  lua_replace(L, 1);
  return lipc_mutex_failed(L, "wait", err);
}

static int relock_step (lua_State *L, int t) {
  Mutex *m = lua_touserdata(L, 1);
  int r = is_held(m) ? -EAGAIN : take(L, m, lipc_placed_at(L, &m->p));
  if (r == -EAGAIN) return lipc_again(0);
  return r == 0 || r == -EOWNERDEAD ? relocked(L, m, r) : not_relocked(L, t, r);
}
static const struct lipc_op relock_op = {"wait", relock_step, 0, not_relocked};

int lipc_mutex_relock (lua_State *L, int t, int outcome) {
  lua_settop(L, t);
  lua_pushinteger(L, outcome);
  lua_replace(L, LIPC_WAIT_OUTCOME);
  lua_pushvalue(L, LIPC_WAIT_MUTEX);
  lua_replace(L, 1);
  lua_pushnumber(L,
                 1e9); /* as good as for ever, and allowed where only a loop could go on waiting */
  lua_replace(L, t);
  return lipc_drivenew(L, &relock_op, t);
}

/* ---- waiting in the C library ---- */

static int mutex_block (lua_State *L, const struct lipc_op *op, int t, double seconds) {
  Mutex *m = lua_touserdata(L, 1);
  void *memory = lipc_placed_at(L, &m->p);
  if (is_held(m)) return lipc_nap(L, seconds < 1e-3 ? seconds : 1e-3); /* by another coroutine */
  int r = lipcsys_mutexwait(native(m, memory), seconds < LOOK_UP ? seconds : LOOK_UP);
  if (r == 0 || r == -EOWNERDEAD) r = taken(L, m, memory, r);
  if (r == -EAGAIN) return lipc_nap(L, seconds < 1e-3 ? seconds : 1e-3);
  if (r == -ETIMEDOUT) return r;
  if (r < 0 && r != -EOWNERDEAD)
    return lipc_done(op == &relock_op ? not_relocked(L, t, r) : lipc_mutex_failed(L, op->name, r));
  if (op == &with_op) return lipc_done(call_with(L, m, t, r));
  return lipc_done(op == &relock_op ? relocked(L, m, r) : success(L, r));
}

/* m:lock([timeout]) -> true | true, "EOWNERDEAD" | nil, msg, code.  EOWNERDEAD: it is held, and who held it
** before died; "ETIMEDOUT"; "EDEADLK": held by this coroutine (recursive: counts); "ENOTRECOVERABLE"
** -- see pthread_mutex_lock(3), pthread_mutex_clocklock(3) */
static int l_mutex_lock (lua_State *L) { return lipc_drive(L, &lock_op, 2); }

/* m:trylock() -> as lock(0)   -- see pthread_mutex_trylock(3) */
static int l_mutex_trylock (lua_State *L) {
  lua_settop(L, 1);
  lua_pushinteger(L, 0);
  return lipc_drive(L, &trylock_op, 2);
}

/* m:unlock() -> true | nil, msg, "EPERM": by the coroutine that locked it, in its thread.  Without consistent()
** after EOWNERDEAD it is ENOTRECOVERABLE from now on, for all   -- see pthread_mutex_unlock(3) */
static int l_mutex_unlock (lua_State *L) {
  Mutex *m = lipc_checkopen(L, 1);
  void *memory = lipc_placed_at(L, &m->p);
  int r = is_mine(L, m) ? 0 : -EPERM;
  if (r == 0 && m->depth > 1) {
    m->depth--;
  } else if (r == 0) {
    r = give(m, memory);
    if (r == 0) forget(m);
    if (r == 0) lipc_drop_owner(L, &m->p, 1);
  }
  lipc_map_done(L, 1, m->p.map);
  if (r < 0) return lipc_mutex_failed(L, "unlock", r);
  lua_pushboolean(L, 1);
  return 1;
}

/* Gives back what with took: not what was taken anew after the function had given it back. */
static void with_over (lua_State *L, struct lipc_handle *h) {
  Mutex *m = (Mutex *)h;
  void *memory = m->p.map != NULL ? lipc_placed_peek(&m->p) : NULL;
  lua_getiuservalue(L, 1, LIPC_HELD_UV);
  if (memory == NULL || !is_held(m) || lua_tointeger(L, -1) != (lua_Integer)m->p.hold.serial)
    return;
  if (m->depth > 1) m->depth--;
  else if (give(m, memory) == 0) forget(m);
  lipc_held_owner(L, is_held(m));
}

/* m:with(fn[, timeout]) -> what fn(m[, "EOWNERDEAD"]) returns | nil, msg, code: locked while fn runs, given
** back when it ends, by whatever way   -- see pthread_mutex_lock(3) */
static int l_mutex_with (lua_State *L) {
  lipc_checkopen(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  return lipc_with(L, &with_op, 3, with_over);
}

/* m:consistent() -> true | nil, msg, code: what it protects is in order again, after EOWNERDEAD.  "EPERM": not
** held by this coroutine; "EINVAL": nobody died   -- see pthread_mutex_consistent(3) */
static int l_mutex_consistent (lua_State *L) {
  Mutex *m = lipc_checkopen(L, 1);
  void *memory = lipc_placed_at(L, &m->p);
  if (!is_mine(L, m)) return lipc_mutex_failed(L, "consistent", -EPERM);
  int r = lipcsys_mutexconsistent(native(m, memory));
  if (r < 0) return lipc_failselfnote(L, "consistent", r, "nobody died who held it");
  lua_pushboolean(L, 1);
  return 1;
}

/* m:stat() -> {type=, name=, offset=, size=, kind=, raw=, held=}: held: by this coroutine */
static int l_mutex_stat (lua_State *L) {
  Mutex *m = lipc_checkopen(L, 1);
  bool mine = is_mine(L, m), recursive = m->recursive, raw = m->raw;
  lipc_sync_stat(L, &m->p);
  lua_pushboolean(L, recursive);
  lua_setfield(L, -2, "recursive");
  lua_pushboolean(L, raw);
  lua_setfield(L, -2, "raw");
  lua_pushboolean(L, mine);
  lua_setfield(L, -2, "held");
  return 1;
}

static const luaL_Reg methods[] = {
  {"lock", l_mutex_lock}, {"trylock", l_mutex_trylock},       {"unlock", l_mutex_unlock},
  {"with", l_mutex_with}, {"consistent", l_mutex_consistent}, {"stat", l_mutex_stat},
  {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, NULL};
const struct lipc_class lipc_mutex_class = {.tname = "lipc.sync.mutex",
                                            .label = "mutex",
                                            .size = sizeof(Mutex),
                                            .values = LIPC_PLACED_VALUES,
                                            .methods = all_methods,
                                            .release = mutex_release,
                                            .block = mutex_block};

/* ---- opening ---- */

struct wanted {
  enum lipcsys_mutextype type;
  bool told; /* type is not the default */
};

static void init (void *memory, const void *arg) {
  const struct wanted *w = arg;
  struct mutex *shared = memory;
  lipc_put(&shared->header.reserved, 0);
  lipc_put(&shared->type, (uint32_t)w->type);
  lipcsys_mutexinit(shared->native, w->type);
}

static const char *const types[] = {"normal", "recursive", "errorcheck", NULL};

static int open_raw (lua_State *L, struct lipc_sync_making *k, struct wanted w) {
  int n;
  k->raw = true;
  k->size = lipcsys_mutexsize();
  Mutex *m = lipc_sync_object(L, k, &n);
  if (m == NULL) return n;
  m->raw = true;
  m->recursive = w.type == LIPC_MUTEX_RECURSIVE;
  if (k->create) lipcsys_mutexinit(lipc_placed_peek(&m->p), w.type);
  return 1;
}

static int open_ours (lua_State *L, struct lipc_sync_making *k, struct wanted w) {
  int n;
  k->arg = &w;
  Mutex *m = lipc_sync_object(L, k, &n);
  if (m == NULL) return n;
  struct mutex *shared = lipc_placed_peek(&m->p);
  uint32_t type = lipc_get(&shared->type);
  int obj = lua_gettop(L);
  if (type > LIPC_MUTEX_ERRORCHECK)
    return lipc_failnote(L, k->op, lipc_sync_refuse(L, obj), -EPROTO, "its type is none");
  if (w.told && type != w.type)
    return lipc_failother(L, k->op, lipc_sync_refuse(L, obj), "type", types[type], types[w.type]);
  m->recursive = type == LIPC_MUTEX_RECURSIVE;
  return 1;
}

/* mutex(map, offset[, {create=, exclusive=, type=, raw=}]) -> Mutex | nil, msg, code.  type: "normal",
** "recursive", "errorcheck"; raw: a bare pthread_mutex_t, without header; with create it is initialised
** whatever is there   -- see pthread_mutex_init(3), pthread_mutexattr_setrobust(3) */
int lipc_sync_mutex (lua_State *L) {
  static const char *const names[] = {"create", "exclusive", "type", "raw", NULL};
  struct lipc_sync_making k = {.cls = &lipc_mutex_class,
                               .what = &what,
                               .op = "sync.mutex",
                               .size = sizeof(struct mutex),
                               .least = sizeof(struct mutex),
                               .init = init};
  struct wanted w = {LIPC_MUTEX_NORMAL, false};
  lipc_checkopts(L, 3, names);
  lipc_sync_options(L, &k);
  bool raw = lipc_optbool(L, 3, "raw", false);
  const char *name = lipc_optstring(L, 3, "type", NULL);
  if (name != NULL) {
    w.told = true;
    while (types[w.type] != NULL && strcmp(types[w.type], name) != 0) w.type++;
    luaL_argcheck(L, types[w.type] != NULL, 3,
                  "option 'type': \"normal\", \"recursive\" or \"errorcheck\" expected");
  }
  luaL_argcheck(L, !raw || !k.exclusive, 3,
                "option 'exclusive' needs a header, and 'raw' has none");
  return raw ? open_raw(L, &k, w) : open_ours(L, &k, w);
}
