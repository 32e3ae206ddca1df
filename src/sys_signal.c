/* sys_signal.c - the one table of Lua states that listen to signals, and the handler.
**
** The table is a list of struct lipcsys_listener, one per state.  Changes to it and to dispositions
** are made under `lock`, by ordinary code only.  The handler takes no lock: it walks the list, sets
** flags and writes descriptors.  Who takes something away that a handler may be looking at (in any
** thread) unlinks it first and then waits until no handler is inside.
** fork: the hooks hold the lock, with all signals blocked, so the child gets a whole table; its
** states get descriptors of their own, and what had come for the parent is none of theirs.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lipcsys_listener *_Atomic listeners;
static _Atomic unsigned inside; /* handlers that run now */

enum installed { NOTHING, CATCH, IGNORE, DEFAULT };

/* Of each signal: what lipc made of its disposition, and what it was. */
static struct {
  unsigned char installed;
  struct sigaction before;
} table[LIPC_NSIG];

static unsigned long requests; /* counts them, so that the newest is known */

void lipcsys_signals_lock (void) { pthread_mutex_lock(&lock); }

void lipcsys_signals_unlock (void) { pthread_mutex_unlock(&lock); }

/* ---- the handler ---- */

void lipcsys_signals_alarm (struct lipcsys_listener *l) {
  if (!atomic_exchange(&l->alarmed, true)) atomic_fetch_add(&lipcsys_alarm, 1);
}

/* The descriptor is written before the alarm is set and emptied after it is cleared: a descriptor that
** is readable while the alarm is off would make a wait spin. */
static void handler (int signo) {
  const uint64_t one = 1;
  int saved = errno;
  atomic_fetch_add(&inside, 1);
  for (struct lipcsys_listener *l = atomic_load(&listeners); l != NULL; l = atomic_load(&l->next)) {
    if (!atomic_load(&l->wanted[signo])) continue;
    atomic_store(&l->pending[signo], true);
    int fd = atomic_load(&l->wakefd);
    if (fd >= 0 && write(fd, &one, sizeof one) < 0) errno = 0; /* full: it is readable, then */
    lipcsys_signals_alarm(l);
  }
  atomic_fetch_sub(&inside, 1);
  errno = saved;
}

/* Until no handler can hold what was unlinked before.  Handlers are short and do not wait. */
static void drain (void) {
  while (atomic_load(&inside) != 0) sched_yield();
}

void lipcsys_signals_quiet (struct lipcsys_listener *l) {
  uint64_t n;
  int fd = atomic_load(&l->wakefd);
  if (atomic_exchange(&l->alarmed, false)) atomic_fetch_sub(&lipcsys_alarm, 1);
  while (fd >= 0 && read(fd, &n, sizeof n) < 0 && errno == EINTR) continue;
}

bool lipcsys_signal_take (struct lipcsys_listener *l, int signo) {
  return atomic_load_explicit(&l->pending[signo], memory_order_acquire) &&
         atomic_exchange(&l->pending[signo], false);
}

/* ---- dispositions ---- */

/* Whether the disposition is still what lipc made of it. */
static bool is_ours (int signo, const struct sigaction *now) {
  switch (table[signo].installed) {
    case CATCH: return !(now->sa_flags & SA_SIGINFO) && now->sa_handler == handler;
    case IGNORE: return !(now->sa_flags & SA_SIGINFO) && now->sa_handler == SIG_IGN;
    case DEFAULT: return !(now->sa_flags & SA_SIGINFO) && now->sa_handler == SIG_DFL;
    default: return false;
  }
}

/* What the newest request asks for. */
static enum installed newest (int signo) {
  static const unsigned char of_mode[] = {NOTHING, IGNORE, DEFAULT};
  enum installed what = NOTHING;
  unsigned long when = 0;
  for (struct lipcsys_listener *l = atomic_load(&listeners); l != NULL; l = atomic_load(&l->next)) {
    if (atomic_load(&l->wanted[signo]) && l->since[signo] > when) {
      when = l->since[signo];
      what = CATCH;
    }
    if (l->mode[signo] != LIPC_SIG_RESTORE && l->modesince[signo] > when) {
      when = l->modesince[signo];
      what = of_mode[l->mode[signo]];
    }
  }
  return what;
}

/* Makes the disposition follow the requests.  asked: one was just made, so that it wins even over
** somebody who has changed the disposition behind our back; a request that goes leaves his alone. */
static int apply (int signo, bool asked) {
  struct sigaction now, sa;
  if (lipcsys_disposition(signo, NULL, &now) < 0) return -errno;
  enum installed what = newest(signo);
  bool ours = is_ours(signo, &now);
  memset(&sa, 0, sizeof sa);
  if (signo == SIGPIPE && what != IGNORE) atomic_store(&lipcsys_sigpipe_ignored, false);
  if (what == NOTHING) {
    if (ours) lipcsys_disposition(signo, &table[signo].before, NULL);
  } else if (asked || ours) {
    sa.sa_handler = what == CATCH ? handler : what == IGNORE ? SIG_IGN : SIG_DFL;
    sa.sa_flags = what == CATCH ? SA_RESTART | SA_ONSTACK : 0;
    sigfillset(&sa.sa_mask);
    if (lipcsys_disposition(signo, &sa, NULL) < 0) return -errno;
    if (!ours) table[signo].before = now;
    if (signo == SIGPIPE && what == IGNORE) atomic_store(&lipcsys_sigpipe_ignored, true);
  }
  table[signo].installed = (unsigned char)what;
  return 0;
}

int lipcsys_signal_want (struct lipcsys_listener *l, int signo, bool on) {
  lipcsys_signals_lock();
  if (signo == SIGURG) lipcsys_bounded_leave();
  l->since[signo] = ++requests;
  bool was = atomic_exchange(&l->wanted[signo], on);
  int r = on || was ? apply(signo, on) : 0;
  if (r < 0) atomic_store(&l->wanted[signo], false);
  if (!on) atomic_store(&l->pending[signo], false);
  lipcsys_signals_unlock();
  return r;
}

int lipcsys_signal_mode (struct lipcsys_listener *l, int signo, enum lipcsys_sigmode mode) {
  int r = 0;
  lipcsys_signals_lock();
  if (signo == SIGURG) lipcsys_bounded_leave();
  enum lipcsys_sigmode was = l->mode[signo];
  l->modesince[signo] = ++requests;
  l->mode[signo] = (unsigned char)mode;
  if (was != LIPC_SIG_RESTORE || mode != LIPC_SIG_RESTORE)
    r = apply(signo, mode != LIPC_SIG_RESTORE);
  if (r < 0) l->mode[signo] = LIPC_SIG_RESTORE;
  lipcsys_signals_unlock();
  return r;
}

int lipcsys_signal_now (int signo, enum lipcsys_sigmode *ret_mode) {
  struct sigaction now;
  lipcsys_signals_lock();
  int r = lipcsys_disposition(signo, NULL, &now) < 0 ? -errno : 0;
  lipcsys_signals_unlock();
  if (r < 0) return r;
  *ret_mode = now.sa_flags & SA_SIGINFO   ? LIPC_SIG_RESTORE
              : now.sa_handler == SIG_IGN ? LIPC_SIG_IGNORE
              : now.sa_handler == SIG_DFL ? LIPC_SIG_DEFAULT
                                          : LIPC_SIG_RESTORE;
  return 0;
}

/* ---- the table ---- */

static sigset_t mask_before_fork;

static void before_fork (void) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  lipcsys_signals_lock();
  mask_before_fork = old;
}

static void in_parent (void) {
  sigset_t old = mask_before_fork;
  lipcsys_signals_unlock();
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* Another eventfd under the same number, so that nobody who knows the number has to be told.  Should
** there be no descriptor left, the parent's stays shared: then a wait may notice half a second late. */
static void renew (int fd) {
  int fresh;
  if (fd < 0 || lipcsys_eventfd(0, false, &fresh) < 0) return;
  while (dup3(fresh, fd, O_CLOEXEC) < 0 && errno == EINTR) continue;
  close(fresh);
}

static void in_child (void) {
  sigset_t old = mask_before_fork;
  atomic_store(&inside, 0); /* threads that were there are not here */
  lipcsys_guard_forked();
  atomic_store(&lipcsys_alarm, 0);
  for (struct lipcsys_listener *l = atomic_load(&listeners); l != NULL; l = atomic_load(&l->next)) {
    renew(atomic_load(&l->wakefd));
    atomic_store(&l->alarmed, false);
    for (int s = 0; s < LIPC_NSIG; s++) atomic_store(&l->pending[s], false);
  }
  lipcsys_signals_unlock();
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static int hook_result;

static void hook (void) { hook_result = -pthread_atfork(before_fork, in_parent, in_child); }

int lipcsys_signals_hook (void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  int r = lipcsys_pin();
  pthread_once(&once, hook);
  return r < 0 ? r : hook_result;
}

int lipcsys_signals_join (struct lipcsys_listener *l, bool wake) {
  int fd, r = lipcsys_signals_hook();
  if (r < 0) return r;
  lipcsys_signals_lock();
  if (!l->joined) {
    atomic_store(&l->wakefd, -1);
    atomic_store(&l->next, atomic_load(&listeners));
    atomic_store(&listeners, l);
    l->joined = true;
  }
  if (wake && atomic_load(&l->wakefd) < 0) {
    r = lipcsys_eventfd(0, false, &fd);
    if (r == 0) atomic_store(&l->wakefd, fd);
  }
  lipcsys_signals_unlock();
  return r;
}

/* Under the lock.  A descriptor may be closed when no handler is about to write it. */
static void close_wakefd (struct lipcsys_listener *l) {
  int fd = atomic_exchange(&l->wakefd, -1);
  drain();
  if (fd >= 0) close(fd);
  if (atomic_exchange(&l->alarmed, false)) atomic_fetch_sub(&lipcsys_alarm, 1);
}

void lipcsys_signals_unwake (struct lipcsys_listener *l) {
  bool wanted = false;
  lipcsys_signals_lock();
  for (int s = 1; s < LIPC_NSIG; s++) wanted = wanted || atomic_load(&l->wanted[s]);
  if (l->joined && !wanted) close_wakefd(l);
  lipcsys_signals_unlock();
}

void lipcsys_signals_quit (struct lipcsys_listener *l) {
  if (!l->joined) return;
  lipcsys_signals_lock();
  for (int s = 1; s < LIPC_NSIG; s++) {
    bool was = atomic_exchange(&l->wanted[s], false) || l->mode[s] != LIPC_SIG_RESTORE;
    l->mode[s] = LIPC_SIG_RESTORE;
    if (was) (void)apply(s, false);
  }
  struct lipcsys_listener *_Atomic *link = &listeners;
  while (atomic_load(link) != l) link = &atomic_load(link)->next;
  atomic_store(link, atomic_load(&l->next));
  close_wakefd(l);
  l->joined = false;
  lipcsys_signals_unlock();
}
