/* sync_rwslots.c - the memory of a reader-writer lock: a slot for each object that reads, writes or wants to
** write, with its process in it, so that those who died are found.  What is allowed follows from the slots
** alone; a slot counts from the one store of its state on.  Writers go first: while one waits, no new
** reader comes in.  Who waits to write says so for a third of a second at a time, so that nobody is kept
** out by one who has given up, stands still or is dead.  Not the C library's: a dead reader keeps that
** locked.
** SPDX-License-Identifier: MIT */
#include "sync_rwlock.h"

#define LEASE 0.35 /* seconds that a writer's wish counts */

static uint64_t nanoseconds (double seconds) { return (uint64_t)(seconds * 1e9); }

static bool writes (uint32_t state) { return state == SLOT_WRITES || state == SLOT_REPAIRS; }

/* ---- the slots: all of this inside the word lock ---- */

static bool is_wish (const struct lipc_rwslot *s, uint64_t now) {
  uint64_t until = lipc_get(
    &s->until); /* of before the system was started anew it may be far ahead */
  return lipc_get(&s->state) == SLOT_WANTS && until > now && until - now <= nanoseconds(2 * LEASE);
}

static bool is_usable (const struct lipc_rwslot *s, uint64_t now) {
  uint32_t state = lipc_get(&s->state);
  return state == SLOT_FREE || state > SLOT_WANTS || (state == SLOT_WANTS && !is_wish(s, now));
}

struct lipc_rwview lipc_rw_look (const Rwlock *rw, const struct lipc_rwmem *m) {
  struct lipc_rwview v = {false, false, false, -1};
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
static bool is_ours (const Rwlock *rw, const struct lipc_rwslot *s) {
  struct lipcsys_who self = lipcsys_self();
  return lipc_get(&s->token) == (uintptr_t)rw && lipc_get(&s->pid) == self.pid &&
         lipc_get(&s->start) == self.start;
}

static void fill (const Rwlock *rw, struct lipc_rwslot *s, uint32_t state) {
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
static bool notify (struct lipc_rwmem *m) {
  if (lipc_get(&m->waiting) == 0) return false;
  lipc_put(&m->waiting, 0);
  LIPC_STEP("rwlock.quiet");
  atomic_fetch_add(&m->seq, 1);
  LIPC_STEP("rwlock.seq");
  return true;
}

static void leave (struct lipc_rwmem *m, bool wake) {
  lipc_sync_leave(&m->header);
  if (wake) lipcsys_futexwake(&m->seq, INT32_MAX);
}

/* ---- who died ---- */

void lipc_rw_sweep (Rwlock *rw, struct lipc_rwmem *m) {
  uint32_t self = lipcsys_self().pid;
  bool wake = false;
  rw->looked = lipcsys_now();
  for (unsigned i = 0; i < rw->nslots; i++) {
    struct lipc_rwslot *s = &m->slots[i];
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

/* ---- taking and giving back ---- */

int lipc_rw_read (Rwlock *rw, struct lipc_rwmem *m, struct lipc_rwview v) {
  uint32_t state = lipc_get(&m->state);
  int r = state == STATE_ORPHANED ? -EOWNERDEAD : 0;
  if (state > STATE_ORPHANED) r = state == STATE_LOST ? -ENOTRECOVERABLE : -EPROTO;
  else if (v.writer || v.wish || rw->p.hold.owner != NULL) r = -EAGAIN;
  else if (rw->slot < 0 && v.free < 0) r = -ENOSPC;
  else if (rw->slot < 0) fill(rw, &m->slots[rw->slot = v.free], SLOT_READS);
  leave(m, false);
  return r;
}

int lipc_rw_write (Rwlock *rw, struct lipc_rwmem *m, struct lipc_rwview v, bool waits) {
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

int lipc_rw_empty (const Rwlock *rw, struct lipc_rwmem *m, int at, double seconds) {
  int r = lipcsys_word_lock(&m->header.lock, seconds);
  if (r < 0 && r != -EOWNERDEAD) return -EAGAIN;
  bool wake = false;
  struct lipc_rwslot *s = &m->slots[at];
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

int lipc_rw_mend (Rwlock *rw, struct lipc_rwmem *m) {
  int r = lipc_sync_lock(&rw->p, &m->header);
  if (r < 0) return r;
  struct lipc_rwslot *s = &m->slots[rw->slot];
  bool needed = is_ours(rw, s) && lipc_get(&s->state) == SLOT_REPAIRS;
  if (needed) lipc_put(&s->state, SLOT_WRITES);
  LIPC_STEP("rwlock.consistent");
  leave(m, false);
  return needed ? 0 : -EINVAL;
}

/* ---- waiting, and asking ---- */

int lipc_rw_sleep (const Rwlock *rw, struct lipc_rwmem *m, bool write, double seconds) {
  if (seconds > LIPC_RW_LOOKUP) seconds = LIPC_RW_LOOKUP;
  int r = lipcsys_word_lock(&m->header.lock, seconds);
  if (r < 0 && r != -EOWNERDEAD) return 0;
  struct lipc_rwview v = lipc_rw_look(rw, m);
  bool wait = v.writer || rw->p.hold.owner != NULL || (write ? v.reader || rw->slot >= 0 : v.wish);
  if (wait) lipc_put(&m->waiting, 1);
  uint32_t seq = lipc_get(&m->seq);
  leave(m, false);
  if (!wait) return 0;
  r = lipcsys_futexwait(&m->seq, seq, seconds);
  return r == -EINTR ? r : 0;
}

struct lipc_rwcount lipc_rw_count (const Rwlock *rw, const struct lipc_rwmem *m) {
  struct lipc_rwcount n = {0, 0, 0};
  uint64_t now = nanoseconds(lipcsys_now());
  for (unsigned i = 0; i < rw->nslots; i++) {
    uint32_t state = lipc_get(&m->slots[i].state);
    n.readers += state == SLOT_READS;
    n.waiting += is_wish(&m->slots[i], now);
    if (writes(state)) n.writer = lipc_get(&m->slots[i].pid);
  }
  return n;
}

void lipc_rw_init (void *memory, const void *arg) {
  struct lipc_rwmem *m = memory;
  unsigned nslots = *(const unsigned *)arg;
  lipc_put(&m->seq, 0);
  lipc_put(&m->waiting, 0);
  lipc_put(&m->state, STATE_OK);
  for (unsigned i = 0; i < nslots; i++) lipc_put(&m->slots[i].state, SLOT_FREE);
}
