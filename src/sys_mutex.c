/* sys_mutex.c - robust mutexes of the C library in shared memory; pthread_mutexattr_setrobust(3).  POSIX;
** a wait by the monotonic clock is glibc's (2.30), elsewhere the clock of the day is read anew for each
** short wait.
** fork: the child holds nothing.  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

_Static_assert(sizeof(pthread_mutex_t) <= LIPC_MUTEX_SIZE, "no room for a mutex");

size_t lipcsys_mutexsize (void) { return sizeof(pthread_mutex_t); }

int lipcsys_mutexinit (void *mutex, enum lipcsys_mutextype type) {
  static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
                              PTHREAD_MUTEX_ERRORCHECK};
  pthread_mutexattr_t attr;
  int r = pthread_mutexattr_init(&attr);
  if (r != 0) return -r;
  r = pthread_mutexattr_settype(&attr, types[type]);
  if (r == 0) r = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
  if (r == 0) r = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
  if (r == 0) r = pthread_mutex_init(mutex, &attr);
  pthread_mutexattr_destroy(&attr);
  return -r;
}

#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 30)
#define HAVE_CLOCKLOCK
#endif
#endif

#define LONGEST 1e9 /* seconds */

#ifdef HAVE_CLOCKLOCK
#define CLOCK CLOCK_MONOTONIC
#else
#define CLOCK CLOCK_REALTIME
#define SHORT 0.1 /* a clock that is set back makes this late by one such wait */
#endif

/* Not pthread_mutex_trylock: glibc's leaves one that is not recoverable locked for good. */
int lipcsys_mutextry (void *mutex) {
  static const struct timespec past = {0, 0};
#ifdef HAVE_CLOCKLOCK
  int r = pthread_mutex_clocklock(mutex, CLOCK, &past);
#else
  int r = pthread_mutex_timedlock(mutex, &past);
#endif
  return r == ETIMEDOUT ? -EAGAIN : -r;
}

static int until (double seconds, struct timespec *ret_end) {
  if (clock_gettime(CLOCK, ret_end) < 0) return -errno;
  if (seconds > LONGEST) seconds = LONGEST;
  long ns = ret_end->tv_nsec + (long)((seconds - (double)(time_t)seconds) * 1e9);
  ret_end->tv_sec += (time_t)seconds + ns / 1000000000;
  ret_end->tv_nsec = ns % 1000000000;
  return 0;
}

#ifdef HAVE_CLOCKLOCK
int lipcsys_mutexwait (void *mutex, double seconds) {
  struct timespec end;
  int r = until(seconds, &end);
  return r < 0 ? r : -pthread_mutex_clocklock(mutex, CLOCK, &end);
}
#else
int lipcsys_mutexwait (void *mutex, double seconds) {
  double over = lipcsys_now() + seconds;
  for (;;) {
    struct timespec end;
    double left = over - lipcsys_now();
    int r = until(left < 0 ? 0 : left < SHORT ? left : SHORT, &end);
    if (r < 0) return r;
    r = pthread_mutex_timedlock(mutex, &end);
    if (r != ETIMEDOUT || left <= 0) return -r;
  }
}
#endif

int lipcsys_mutexunlock (void *mutex) { return -pthread_mutex_unlock(mutex); }

int lipcsys_mutexconsistent (void *mutex) { return -pthread_mutex_consistent(mutex); }
