/* sys_guard.c - the guard of mappings whose file may become shorter, or whose file system may be full, under
** them: a handler of SIGBUS.
**
** Guarded ranges are in chunks of slots that are never freed.  They change under the signal table's
** lock; the handler takes none: it reads each slot between two looks at its sequence number, and one
** that is just being changed is nobody's who could be faulting.  The handler comes with the first
** guarded range and goes with the last.  It goes on to what was there before, its `next`; a host that
** installs its own on top of ours and may chain to it gets another of ours on top of that, one level up.
** fork: the child has ranges and handler too.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

struct lipcsys_guard {
  _Atomic unsigned sequence; /* odd while it is being changed */
  _Atomic uintptr_t start;
  _Atomic size_t size; /* 0: guards nothing now */
  _Atomic bool readonly, lost;
  bool used;
};

#define SLOTS 64
struct chunk {
  struct chunk *_Atomic next;
  struct lipcsys_guard slots[SLOTS];
};

static struct chunk first;
static unsigned guarded; /* slots in use */

/* What our handler of a level goes on to: the current one of two, so that the other can be written. */
#define LEVELS 4
static struct level {
  struct sigaction next[2];
  _Atomic unsigned current;
  _Atomic bool spent; /* SA_RESETHAND: next was called and is SIG_DFL now */
} levels[LEVELS];
static int top =
  -1; /* the uppermost level that is installed, or lies under a handler of the host */

static _Atomic unsigned inside; /* handlers that read slots and levels */

static void *page_of (uintptr_t addr) {
  return (void *)(addr - addr % (uintptr_t)sysconf(_SC_PAGESIZE));
}

/* ---- in the handler ---- */

/* Zero pages from the one of this address to the end of the range; all that are below belong to the file. */
static bool replace (uintptr_t addr, uintptr_t end, bool readonly) {
  char *page = page_of(addr);
  int prot = readonly ? PROT_READ : PROT_READ | PROT_WRITE;
  size_t size = (size_t)(end - (uintptr_t)page);
  return mmap(page, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

/* Whether the address was in a guarded range and can be used now.  Two may guard the same page. */
static bool answered (uintptr_t addr) {
  bool done = false;
  for (struct chunk *c = &first; c != NULL; c = atomic_load(&c->next))
    for (struct lipcsys_guard *g = c->slots; g < c->slots + SLOTS; g++) {
      unsigned seq = atomic_load(&g->sequence);
      uintptr_t start = atomic_load(&g->start);
      size_t size = atomic_load(&g->size);
      bool readonly = atomic_load(&g->readonly);
      if (addr < start || addr - start >= size) continue;
      if (seq % 2 != 0 || atomic_load(&g->sequence) != seq) continue;
      if (!done && !replace(addr, start + size, readonly)) continue;
      atomic_store(&g->lost, true);
      done = true;
    }
  return done;
}

/* The thread's mask as if the kernel had called that handler itself. */
static void mask_as (const struct sigaction *sa, const ucontext_t *uc, sigset_t *ret_old) {
  sigset_t mask;
  sigemptyset(&mask); /* the kernel's is shorter than the C library's */
  for (int s = 1; s < NSIG; s++)
    if (sigismember(&uc->uc_sigmask, s) == 1 || sigismember(&sa->sa_mask, s) == 1)
      sigaddset(&mask, s);
  if (!(sa->sa_flags & SA_NODEFER)) sigaddset(&mask, SIGBUS);
  pthread_sigmask(SIG_SETMASK, &mask, ret_old);
}

/* As the kernel does where there is no handler: the fault happens again and ends the process, or what
** somebody sent is sent again. */
static void die (const siginfo_t *info) {
  struct sigaction dfl;
  memset(&dfl, 0, sizeof dfl);
  dfl.sa_handler = SIG_DFL;
  sigaction(SIGBUS, &dfl, NULL);
  bool again = info->si_code > 0;
#ifdef BUS_MCEERR_AO
  again = again && info->si_code != BUS_MCEERR_AO;
#endif
  if (!again) raise(SIGBUS); /* it comes when this handler returns */
}

static void go_on (const struct sigaction *sa, bool spent, int signo, siginfo_t *info,
                   void *context) {
  bool fault = info->si_code > 0;
  if (!(sa->sa_flags & SA_SIGINFO)) {
    if (sa->sa_handler == SIG_IGN && !fault) return;
    if (sa->sa_handler == SIG_DFL || sa->sa_handler == SIG_IGN || spent) return die(info);
  } else if (spent) return die(info);
  sigset_t old;
  mask_as(sa, context, &old);
  if (sa->sa_flags & SA_SIGINFO) sa->sa_sigaction(signo, info, context);
  else sa->sa_handler(signo);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void handle (int level, int signo, siginfo_t *info, void *context) {
  int saved = errno;
  struct level *l = &levels[level];
  atomic_fetch_add(&inside, 1);
  bool ours = info->si_code == BUS_ADRERR && answered((uintptr_t)info->si_addr);
  struct sigaction next = l->next[atomic_load(&l->current)];
  bool spent = !ours && next.sa_flags & SA_RESETHAND && atomic_exchange(&l->spent, true);
  atomic_fetch_sub(&inside, 1);
  if (!ours) go_on(&next, spent, signo, info, context); /* it may never return */
  errno = saved;
}

/* One function for each level: which one it is, is all that a chaining host leaves us to know. */
#define HANDLER(n) \
  static void handler##n(int s, siginfo_t *i, void *c) { handle(n, s, i, c); }
HANDLER(0)
HANDLER(1)
HANDLER(2)
HANDLER(3)
static void (*const handlers[LEVELS])(int, siginfo_t *, void *) = {handler0, handler1, handler2,
                                                                   handler3};

/* ---- dispositions; under the lock ---- */

static void drain (void) {
  while (atomic_load(&inside) != 0) sched_yield();
}

static void set_next (int level, const struct sigaction *sa) {
  struct level *l = &levels[level];
  unsigned other = 1 - atomic_load(&l->current);
  drain(); /* of those who may have begun to read it when it was current */
  l->next[other] = *sa;
  atomic_store(&l->spent, false);
  atomic_store(&l->current, other);
}

static void get_next (int level, struct sigaction *ret_sa) {
  struct level *l = &levels[level];
  *ret_sa = l->next[atomic_load(&l->current)];
  if (ret_sa->sa_flags & SA_RESETHAND && atomic_load(&l->spent)) {
    ret_sa->sa_handler = SIG_DFL;
    ret_sa->sa_flags &= ~SA_SIGINFO;
  }
}

/* Which of our handlers it is; -1: none. */
static int level_of (const struct sigaction *sa) {
  for (int i = 0; i < LEVELS; i++)
    if (sa->sa_flags & SA_SIGINFO && sa->sa_sigaction == handlers[i]) return i;
  return -1;
}

/* Puts a handler of ours uppermost.  A host that goes on putting its own there and taking none away
** keeps the uppermost place in the end. */
static int install (void) {
  struct sigaction now, sa;
  if (sigaction(SIGBUS, NULL, &now) < 0) return -errno;
  int level = level_of(&now);
  if (level >= 0) top = level;
  if (level >= 0 || top == LEVELS - 1) return 0;
  memset(&sa, 0, sizeof sa);
  sa.sa_sigaction = handlers[top + 1];
  sa.sa_flags = SA_SIGINFO | SA_ONSTACK | (now.sa_flags & SA_RESTART);
  sigfillset(&sa.sa_mask);
  set_next(top + 1, &now);
  if (sigaction(SIGBUS, &sa, NULL) < 0) return -errno;
  top++;
  return 0;
}

static void uninstall (void) {
  struct sigaction now, next;
  if (sigaction(SIGBUS, NULL, &now) < 0) return;
  int level = level_of(&now);
  if (level < 0) return; /* the host's, which may chain to ours */
  get_next(level, &next);
  if (sigaction(SIGBUS, &next, NULL) == 0) top = level - 1;
}

int lipcsys_disposition (int signo, const struct sigaction *set, struct sigaction *ret_old) {
  struct sigaction now;
  int level = signo == SIGBUS && sigaction(signo, NULL, &now) == 0 ? level_of(&now) : -1;
  if (level < 0) return sigaction(signo, set, ret_old);
  if (ret_old != NULL) get_next(level, ret_old);
  if (set != NULL) set_next(level, set);
  return 0;
}

/* ---- slots ---- */

static struct lipcsys_guard *free_slot (void) {
  struct chunk *c = &first;
  for (;;) {
    for (struct lipcsys_guard *g = c->slots; g < c->slots + SLOTS; g++)
      if (!g->used) return g;
    struct chunk *next = atomic_load(&c->next);
    if (next == NULL) {
      next = calloc(1, sizeof *next);
      if (next == NULL) return NULL;
      atomic_store(&c->next, next);
    }
    c = next;
  }
}

/* Whether somebody guards the same memory and has lost it: what the C library maps once for several. */
static bool lost_already (void *addr) {
  for (struct chunk *c = &first; c != NULL; c = atomic_load(&c->next))
    for (struct lipcsys_guard *g = c->slots; g < c->slots + SLOTS; g++)
      if (g->used && atomic_load(&g->start) == (uintptr_t)addr && atomic_load(&g->lost))
        return true;
  return false;
}

static void set_slot (struct lipcsys_guard *g, void *addr, size_t size, bool readonly) {
  atomic_fetch_add(&g->sequence, 1);
  atomic_store(&g->start, (uintptr_t)addr);
  atomic_store(&g->size, size);
  atomic_store(&g->readonly, readonly);
  atomic_fetch_add(&g->sequence, 1);
}

int lipcsys_guard (void *addr, size_t size, bool readonly, struct lipcsys_guard **ret_guard,
                   const _Atomic bool **ret_lost) {
  int r = lipcsys_signals_hook();
  if (r < 0) return r;
  lipcsys_signals_lock();
  struct lipcsys_guard *g = free_slot();
  r = g == NULL ? -ENOMEM : install();
  if (r == 0) {
    atomic_store(&g->lost, lost_already(addr));
    g->used = true;
    guarded++;
    set_slot(g, addr, size, readonly);
    *ret_guard = g;
    *ret_lost = &g->lost;
  }
  lipcsys_signals_unlock();
  return r;
}

void lipcsys_guard_move (struct lipcsys_guard *g, void *addr, size_t size, bool readonly) {
  lipcsys_signals_lock();
  set_slot(g, addr, size, readonly);
  lipcsys_signals_unlock();
}

void lipcsys_unguard (struct lipcsys_guard *g) {
  lipcsys_signals_lock();
  set_slot(g, NULL, 0, false);
  g->used = false;
  if (--guarded == 0) uninstall();
  lipcsys_signals_unlock();
}

void lipcsys_guard_forked (void) { atomic_store(&inside, 0); }

void lipcsys_guard_again (void) {
  if (guarded == 0) return;
  top = -1;
  (void)install();
}
