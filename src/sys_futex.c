/* sys_futex.c - words in shared memory that are waited on, and locks of one word; futex(2),
** get_robust_list(2).  Linux; elsewhere waits are short sleeps and a lock does not see its owner die.
** fork: the child's threads have ids of their own, asked for anew.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <time.h>
#include <unistd.h>

#define LONGEST \
  0.1 /* seconds asleep for a lock without a look: a wake-up may go to one who is killed then */

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>

int lipcsys_futexwait (_Atomic uint32_t *word, uint32_t expected, double seconds) {
  struct timespec t, *limit = NULL;
  if (seconds < 1e9) {
    t.tv_sec = (time_t)seconds;
    t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
    limit = &t;
  }
  return syscall(SYS_futex, word, FUTEX_WAIT, expected, limit, NULL, 0) < 0 ? -errno : 0;
}

int lipcsys_futexwake (_Atomic uint32_t *word, int n) {
  long woken = syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
  return woken < 0 ? 0 : (int)woken;
}

/* This thread as the kernel knows it. */
static _Thread_local struct {
  struct robust_list_head *head;
  uint32_t tid;
  unsigned forkgen;
} self = {.forkgen = UINT_MAX};

/* A C library that has registered none leaves the thread without a list. */
static int know_self (void) {
  static _Thread_local struct robust_list_head own;
  size_t size;
  struct robust_list_head *head = NULL;
  if (syscall(SYS_get_robust_list, 0, &head, &size) < 0) return -errno;
  if (head == NULL) {
    own = (struct robust_list_head){.list = {&own.list}};
    if (syscall(SYS_set_robust_list, &own, sizeof own) < 0) return -errno;
    head = &own;
  }
  self.head = head;
  self.tid = (uint32_t)syscall(SYS_gettid);
  self.forkgen = lipcsys_forkgen;
  return 0;
}

/* Tells the kernel which word to look at should the thread die now.  The compiler must not move the
** stores to the word over it. */
static void announce (_Atomic uint32_t *word) {
  struct robust_list *entry = NULL;
  if (word != NULL) entry = (struct robust_list *)((char *)word - self.head->futex_offset);
  *(struct robust_list *volatile *)&self.head->list_op_pending = entry;
  atomic_signal_fence(memory_order_seq_cst);
}

static bool is_thread (uint32_t tid) { return syscall(SYS_tkill, tid, 0) == 0 || errno != ESRCH; }

/* Sleeps until the word, which is v, may be free.  0: look again; also after a signal: who gives a lock back
** must not leave it held because of one. */
static int wait_for (_Atomic uint32_t *word, uint32_t v, double deadline) {
  double left = deadline - lipcsys_now();
  if (left <= 0) return -ETIMEDOUT;
  if (!(v & FUTEX_WAITERS)) {
    if (!atomic_compare_exchange_strong(word, &v, v | FUTEX_WAITERS)) return 0;
    v |= FUTEX_WAITERS;
    LIPC_STEP("word.waiters");
  }
  int r = lipcsys_futexwait(word, v, left < LONGEST ? left : LONGEST);
  if (r == -ETIMEDOUT && !is_thread(v & FUTEX_TID_MASK)) {
    /* no thread: left over from before the system was started anew, or written by somebody else */
    atomic_compare_exchange_strong(word, &v, (v & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
    return 0;
  }
  return r == -EFAULT ? r : 0;
}

int lipcsys_word_lock (_Atomic uint32_t *word, double seconds) {
  uint32_t v = 0, waiters = 0;
  double deadline = -1;
  int r = self.forkgen == lipcsys_forkgen ? 0 : know_self();
  if (r < 0) return r;
  announce(word);
  LIPC_STEP("word.announced");
  if (atomic_compare_exchange_strong(word, &v, self.tid)) {
    LIPC_STEP("word.taken");
    return 0;
  }
  for (;;) {
    v = atomic_load(word);
    uint32_t tid = v & FUTEX_TID_MASK;
    if (tid == 0 || tid == self.tid) { /* free, or its owner died; others may sleep if we did */
      if (!atomic_compare_exchange_strong(word, &v, self.tid | waiters | (v & FUTEX_WAITERS)))
        continue;
      LIPC_STEP("word.inherited");
      return v & FUTEX_OWNER_DIED || tid != 0 ? -EOWNERDEAD
                                              : 0; /* ours: left by a thread of that number */
    }
    if (deadline < 0) deadline = seconds > 0 ? lipcsys_now() + seconds : 0;
    r = deadline > 0 ? wait_for(word, v, deadline) : -ETIMEDOUT;
    waiters = FUTEX_WAITERS;
    if (r < 0) break;
  }
  announce(NULL);
  return r;
}

void lipcsys_word_unlock (_Atomic uint32_t *word) {
  uint32_t v = atomic_load(word);
  LIPC_STEP("word.unlocking");
  while ((v & FUTEX_TID_MASK) == self.tid) { /* else somebody has scribbled on it: it is not ours */
    if (!atomic_compare_exchange_strong(word, &v, 0)) continue;
    LIPC_STEP("word.free");
    if (v & FUTEX_WAITERS) lipcsys_futexwake(word, 1);
    break;
  }
  LIPC_STEP("word.woken");
  announce(NULL);
}

#else
#define SHORTEST 0.001

static void nap (double seconds) {
  struct timespec t = {0, (long)((seconds < SHORTEST ? seconds : SHORTEST) * 1e9)};
  nanosleep(&t, NULL);
}

int lipcsys_futexwait (_Atomic uint32_t *word, uint32_t expected, double seconds) {
  double deadline = lipcsys_now() + seconds;
  while (atomic_load(word) == expected) {
    double left = deadline - lipcsys_now();
    if (left <= 0) return -ETIMEDOUT;
    nap(left);
  }
  return -EAGAIN;
}

int lipcsys_futexwake (_Atomic uint32_t *word, int n) {
  (void)word;
  (void)n;
  return 0;
}

int lipcsys_word_lock (_Atomic uint32_t *word, double seconds) {
  uint32_t v = 0;
  double deadline = lipcsys_now() + seconds;
  while (!atomic_compare_exchange_strong(word, &v, 1)) {
    double left = deadline - lipcsys_now();
    if (left <= 0) return -ETIMEDOUT;
    nap(left);
    v = 0;
  }
  return 0;
}

void lipcsys_word_unlock (_Atomic uint32_t *word) { atomic_store(word, 0); }
#endif
