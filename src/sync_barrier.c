/* sync_barrier.c - barriers: who waits has a slot with its process in it; one that dies while it waits does
** not count any more.  A slot counts only in the generation that it names: one store, of the next
** generation, lets all go and empties all slots.  Not the C library's: a dead participant stays in its count.
** SPDX-License-Identifier: MIT */
#include "sync.h"

#include <stddef.h>

#define LOOK_UP 0.1 /* seconds asleep, or between two looks whether the others are alive */

struct slot {
  _Atomic uint32_t ticket; /* the generation it waits in, plus 1; 0: free.  Written last */
  _Atomic uint32_t pid;
  _Atomic uint64_t start;
};

struct barrier {
  struct lipc_sync_header header;
  _Atomic uint32_t generation; /* slept on */
  _Atomic uint32_t resets; /* bit n: generation n, modulo 32, ended by reset */
  struct slot slots[]; /* as many as parties */
};

typedef struct Barrier {
  struct lipc_placed p;
  unsigned parties;
  double looked;
  struct waiter *waiters; /* the calls that wait by this object: closing it withdraws them */
} Barrier;

static const struct lipc_sync_what what = {"barrier", LIPC_KIND_BARRIER, 1};

size_t lipc_barrier_size (lua_Integer parties) {
  return sizeof(struct barrier) + (size_t)parties * sizeof(struct slot);
}

/* Never 0, so that zeroed slots are free. */
static uint32_t ticket_of (uint32_t generation) { return generation + 1 != 0 ? generation + 1 : 1; }

static uint32_t bit_of (uint32_t generation) { return (uint32_t)1 << generation % 32; }

/* ---- the slots ---- */

static unsigned count (const Barrier *b, const struct barrier *m, uint32_t generation,
                       int *ret_free) {
  unsigned n = 0;
  for (unsigned i = 0; i < b->parties; i++) {
    if (lipc_get(&m->slots[i].ticket) == ticket_of(generation)) n++;
    else *ret_free = (int)i;
  }
  return n;
}

/* Inside the word lock, which it leaves: ends a generation. */
static void advance (struct barrier *m, uint32_t generation, bool reset) {
  uint32_t resets = lipc_get(&m->resets), bit = bit_of(generation);
  lipc_put(&m->resets, reset ? resets | bit : resets & ~bit);
  LIPC_STEP("barrier.outcome");
  lipc_put(&m->generation, generation + 1);
  LIPC_STEP("barrier.generation");
  lipc_sync_leave(&m->header);
  LIPC_STEP("barrier.left");
  lipcsys_futexwake(&m->generation, INT32_MAX);
}

/* Outside the word lock: those who died while they waited wait no more. */
static void sweep (Barrier *b, struct barrier *m, uint32_t generation) {
  uint32_t ticket = ticket_of(generation);
  b->looked = lipcsys_now();
  for (unsigned i = 0; i < b->parties; i++) {
    struct slot *s = &m->slots[i];
    struct lipcsys_who who = {lipc_get(&s->pid), lipc_get(&s->start)};
    if (lipc_get(&s->ticket) != ticket || lipcsys_isalive(who)) continue;
    if (lipc_sync_lock(&b->p, &m->header) < 0) return;
    if (lipc_get(&m->generation) == generation && lipc_get(&s->ticket) == ticket &&
        lipc_get(&s->pid) == who.pid && lipc_get(&s->start) == who.start)
      lipc_put(&s->ticket, 0);
    LIPC_STEP("barrier.dropped");
    lipc_sync_leave(&m->header);
  }
}

/* ---- one who waits ---- */

/* It withdraws when its call ends before the others have come, by whatever way. */
struct waiter {
  Barrier *b; /* its object is the user value, which keeps it */
  struct waiter *next, **link;
  unsigned forkgen;
  int slot; /* -1: none */
  uint32_t generation;
};

static const char waiter_tname[] = "(lipc barrier waiter)";

static bool is_there (const struct waiter *w, const struct slot *s) {
  struct lipcsys_who self = lipcsys_self();
  return lipc_get(&s->ticket) == ticket_of(w->generation) && lipc_get(&s->pid) == self.pid &&
         lipc_get(&s->start) == self.start;
}

/* false: too late, the others have come. */
static bool withdraw (struct waiter *w) {
  struct barrier *m = w->b->p.map != NULL ? lipc_placed_peek(&w->b->p) : NULL;
  bool there = true;
  if (w->slot < 0 || m == NULL || w->forkgen != lipcsys_forkgen) return true;
  int r = lipcsys_word_lock(&m->header.lock, LIPC_SYNC_PATIENCE);
  if (r == 0 || r == -EOWNERDEAD) {
    there = lipc_get(&m->generation) == w->generation;
    if (there && is_there(w, &m->slots[w->slot])) lipc_put(&m->slots[w->slot].ticket, 0);
    LIPC_STEP("barrier.withdrawn");
    lipc_sync_leave(&m->header);
  }
  w->slot = -1;
  return there;
}

static void unlink_waiter (struct waiter *w) {
  if (w->link == NULL) return;
  *w->link = w->next;
  if (w->next != NULL) w->next->link = w->link;
  w->link = NULL;
}

static int waiter_close (lua_State *L) {
  struct waiter *w = luaL_checkudata(L, 1, waiter_tname);
  withdraw(w);
  unlink_waiter(w);
  return 0;
}

static void new_waiter (lua_State *L, Barrier *b) {
  struct waiter *w = lua_newuserdatauv(L, sizeof *w, 1);
  *w = (struct waiter){.b = b, .slot = -1, .forkgen = lipcsys_forkgen};
  if (luaL_newmetatable(L, waiter_tname)) {
    lua_pushcfunction(L, waiter_close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, waiter_close);
    lua_setfield(L, -2, "__close");
  }
  lua_setmetatable(L, -2);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  w->next = b->waiters;
  w->link = &b->waiters;
  if (w->next != NULL) w->next->link = &w->next;
  b->waiters = w;
}

/* The frame: the barrier, the waiter, the timeout. */
enum { WAITER = 2, TIMEOUT };

static int finished (lua_State *L, bool serial) {
  lua_pushboolean(L, 1);
  lua_pushboolean(L, serial);
  return 2;
}

/* Somebody has ended the generation. */
static int ended (lua_State *L, struct waiter *w, const struct barrier *m) {
  bool reset = (lipc_get(&m->resets) & bit_of(w->generation)) != 0;
  w->slot = -1;
  if (reset) return lipc_failselfnote(L, "wait", -ECANCELED, "the barrier was reset");
  return finished(L, false);
}

/* Inside the word lock: has a slot, or is the last.  Leaves it. */
static int arrive (lua_State *L, Barrier *b, struct barrier *m, struct waiter *w) {
  struct lipcsys_who self = lipcsys_self();
  uint32_t generation = lipc_get(&m->generation);
  int at = -1;
  unsigned n = count(b, m, generation, &at);
  if (n + 1 >= b->parties) {
    advance(m, generation, false);
    return finished(L, true);
  }
  struct slot *s = &m->slots[at];
  lipc_put(&s->ticket, 0);
  lipc_put(&s->pid, self.pid);
  lipc_put(&s->start, self.start);
  LIPC_STEP("barrier.named");
  lipc_put(&s->ticket, ticket_of(generation));
  LIPC_STEP("barrier.arrived");
  lipc_sync_leave(&m->header);
  w->generation = generation;
  w->slot = at;
  return 0;
}

static int wait_step (lua_State *L, int t) {
  Barrier *b = lua_touserdata(L, 1);
  struct barrier *m = lipc_placed_at(L, &b->p);
  struct waiter *w = lua_touserdata(L, WAITER);
  (void)t;
  if (w->slot >= 0) {
    if (atomic_load(&m->generation) != w->generation) return ended(L, w, m);
    if (lipcsys_now() - b->looked >= LOOK_UP) sweep(b, m, w->generation);
    if (is_there(w, &m->slots[w->slot])) return lipc_again(0);
    if (atomic_load(&m->generation) != w->generation) return ended(L, w, m);
    w->slot = -1; /* somebody has written there */
  }
  sweep(b, m, lipc_get(&m->generation)); /* else the dead would let the living go */
  if (lipc_sync_lock(&b->p, &m->header) < 0) return lipc_again(0);
  int n = arrive(L, b, m, w);
  lipc_map_done(L, 1, b->p.map);
  return n > 0 ? n : lipc_again(0);
}

static int wait_over (lua_State *L, int t, int err) {
  const Barrier *b = lua_touserdata(L, 1);
  struct waiter *w = lua_touserdata(L, WAITER);
  (void)t;
  if (!withdraw(w)) {
    const struct barrier *m = lipc_placed_peek(&b->p);
    if (m != NULL) return ended(L, w, m);
  }
  return lipc_failself(L, "wait", err);
}
static const struct lipc_op wait_op = {"wait", wait_step, 0, wait_over};

static int barrier_block (lua_State *L, const struct lipc_op *op, int t, double seconds) {
  const Barrier *b = lua_touserdata(L, 1);
  struct barrier *m = lipc_placed_at(L, &b->p);
  const struct waiter *w = lua_touserdata(L, WAITER);
  (void)t;
  if (op != &wait_op || w->slot < 0)
    return lipc_nap(L, seconds < LIPC_SYNC_SHORT ? seconds : LIPC_SYNC_SHORT);
  int r = lipcsys_futexwait(&m->generation, w->generation, seconds < LOOK_UP ? seconds : LOOK_UP);
  return r == -EINTR ? r : 0;
}

/* ---- methods ---- */

/* b:wait([timeout]) -> true, serial | nil, msg, code: until as many wait as the barrier has parties.  serial is
** true for one of them, the last.  "ETIMEDOUT": it does not count any more; "ECANCELED": reset
** -- see pthread_barrier_wait(3) */
static int l_barrier_wait (lua_State *L) {
  Barrier *b = lipc_checkopen(L, 1);
  lua_settop(L, 2);
  lipc_checktimeout(L, 2, 0);
  new_waiter(L, b);
  lua_insert(L, WAITER);
  lua_toclose(L, WAITER);
  return lipc_drive(L, &wait_op, TIMEOUT);
}

static int reset_step (lua_State *L, int t) {
  Barrier *b = lua_touserdata(L, 1);
  struct barrier *m = lipc_placed_at(L, &b->p);
  (void)t;
  if (lipc_sync_lock(&b->p, &m->header) < 0) return lipc_again(0);
  advance(m, lipc_get(&m->generation), true);
  lua_pushboolean(L, 1);
  return 1;
}
static const struct lipc_op reset_op = {"reset", reset_step, 0, NULL};

/* b:reset() -> true: all who wait now get "ECANCELED", and it begins anew */
static int l_barrier_reset (lua_State *L) {
  lua_settop(L, 1);
  lua_pushnumber(L, LIPC_SYNC_PATIENCE);
  return lipc_drive(L, &reset_op, 2);
}

/* b:stat() -> {type=, name=, offset=, size=, parties=, waiting=, generation=} */
static int l_barrier_stat (lua_State *L) {
  Barrier *b = lipc_checkopen(L, 1);
  struct barrier *m = lipc_placed_at(L, &b->p);
  uint32_t generation = lipc_get(&m->generation);
  int at = -1;
  unsigned waiting = count(b, m, generation, &at), parties = b->parties;
  lipc_sync_stat(L, &b->p);
  lipc_setinteger(L, "parties", parties);
  lipc_setinteger(L, "waiting", waiting);
  lipc_setinteger(L, "generation", generation);
  return 1;
}

static int barrier_release (lua_State *L, struct lipc_handle *h, int fd) {
  Barrier *b = (Barrier *)h;
  (void)fd;
  for (struct waiter *w = b->waiters; w != NULL; w = w->next) withdraw(w);
  return lipc_placed_release(L, &b->p);
}

static const luaL_Reg methods[] = {
  {"wait", l_barrier_wait},
  {"reset", l_barrier_reset},
  {"stat", l_barrier_stat},
  {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, NULL};
const struct lipc_class lipc_barrier_class = {.tname = "lipc.sync.barrier",
                                              .label = "barrier",
                                              .size = sizeof(Barrier),
                                              .values = LIPC_PLACED_VALUES,
                                              .methods = all_methods,
                                              .release = barrier_release,
                                              .block = barrier_block};

/* ---- opening ---- */

static void init (void *memory, const void *arg) {
  struct barrier *m = memory;
  unsigned parties = *(const unsigned *)arg;
  lipc_put(&m->generation, 0);
  lipc_put(&m->resets, 0);
  for (unsigned i = 0; i < parties; i++) lipc_put(&m->slots[i].ticket, 0);
}

/* barrier(map, offset[, {create=, exclusive=, parties=}]) -> Barrier | nil, msg, code.  parties: how many
** must come; needed with create, and "EINVAL" where it was made for another number   -- see pthread_barrier_init(3) */
int lipc_sync_barrier (lua_State *L) {
  static const char *const names[] = {"create", "exclusive", "parties", NULL};
  struct lipc_sync_making k = {.cls = &lipc_barrier_class,
                               .what = &what,
                               .op = "sync.barrier",
                               .least = lipc_barrier_size(1),
                               .most = lipc_barrier_size(LIPC_SYNC_MAX),
                               .init = init};
  int n;
  lipc_checkopts(L, 3, names);
  lipc_sync_options(L, &k);
  unsigned parties = (unsigned)lipc_optint(L, 3, "parties", 1, LIPC_SYNC_MAX, 0);
  luaL_argcheck(L, !k.create || parties > 0, 3, "option 'create' needs 'parties'");
  k.arg = &parties;
  k.size = lipc_barrier_size(parties);
  Barrier *b = lipc_sync_object(L, &k, &n);
  if (b == NULL) return n;
  b->parties = (unsigned)((b->p.size - sizeof(struct barrier)) / sizeof(struct slot));
  if (parties == 0 || parties == b->parties) return 1;
  return lipc_failothern(L, k.op, lipc_sync_refuse(L, lua_gettop(L)), "parties", b->parties,
                         parties);
}
