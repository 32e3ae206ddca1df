/* sys_bounded.c - a time limit for calls that have none: msgrcv(2), flock(2), fcntl(2) F_SETLKW.
**
** A timer interrupts the call with a signal to this thread alone.  The signal is SIGURG: its default is
** to be ignored, so that a stray one harms nobody; programs that want it have a handler or block it,
** and then it is left alone.  The handler, which does nothing, is there while some thread waits; the
** timer goes on firing until it is deleted, so that one that fires before the call is not lost.
** fork: a child of a thread that forks beside a waiting one may keep the handler, until it waits itself.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define AGAIN_NS 2000000 /* between the timer's signals once the time is over */

/* Threads inside, in the process of that fork generation, and those that wait for them to leave; under the
** signal table's lock. */
static struct { unsigned threads, waiting, forkgen; } inside;

static void handler (int signo) { (void)signo; }

static bool is (const struct sigaction *sa, void (*what)(int)) {
  return !(sa->sa_flags & SA_SIGINFO) && sa->sa_handler == what;
}

/* Whether SIGURG is free for us, because nobody has it or wants it; it has our handler then. */
static bool enter (void) {
  struct sigaction now, sa;
  sigset_t mask;
  if (lipcsys_signals_hook() < 0) return false;
  if (pthread_sigmask(SIG_BLOCK, NULL, &mask) != 0 || sigismember(&mask, SIGURG)) return false;
  lipcsys_signals_lock();
  if (inside.forkgen != lipcsys_forkgen) inside.threads = inside.waiting = 0;
  inside.forkgen = lipcsys_forkgen;
  bool ours = inside.waiting == 0 && sigaction(SIGURG, NULL, &now) == 0;
  if (ours && !is(&now, handler)) {
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = handler; /* without SA_RESTART: it is there to interrupt */
    sa.sa_flags = SA_ONSTACK;
    ours = is(&now, SIG_DFL) && sigaction(SIGURG, &sa, NULL) == 0;
  }
  if (ours) inside.threads++;
  lipcsys_signals_unlock();
  return ours;
}

static void leave (void) {
  struct sigaction now, dfl;
  lipcsys_signals_lock();
  if (--inside.threads == 0 && sigaction(SIGURG, NULL, &now) == 0 && is(&now, handler)) {
    memset(&dfl, 0, sizeof dfl);
    dfl.sa_handler = SIG_DFL;
    sigaction(SIGURG, &dfl, NULL);
  }
  lipcsys_signals_unlock();
}

void lipcsys_bounded_leave (void) {
  const struct timespec ms = {0, 1000000};
  if (inside.forkgen != lipcsys_forkgen) return;
  inside.waiting++;
  while (inside.threads > 0) {
    lipcsys_signals_unlock();
    nanosleep(&ms, NULL);
    lipcsys_signals_lock();
  }
  inside.waiting--;
}

/* The C library's timer_create allocates; these are the bare calls. */
static int start_timer (double seconds, int *ret_timer) {
  struct sigevent ev;
  struct itimerspec spec = {.it_interval = {0, AGAIN_NS}};
  memset(&ev, 0, sizeof ev);
  ev.sigev_notify = SIGEV_THREAD_ID;
  ev.sigev_signo = SIGURG;
  ev.sigev_notify_thread_id = lipcsys_gettid();
  if (seconds > 1e9) seconds = 1e9;
  spec.it_value.tv_sec = (time_t)seconds;
  spec.it_value.tv_nsec = (long)((seconds - (double)spec.it_value.tv_sec) * 1e9);
  if (spec.it_value.tv_sec == 0 && spec.it_value.tv_nsec == 0) spec.it_value.tv_nsec = 1;
  int timer = 0;
  if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &timer) < 0) return -errno;
  if (syscall(SYS_timer_settime, timer, 0, &spec, NULL) < 0) {
    int r = -errno;
    syscall(SYS_timer_delete, timer);
    return r;
  }
  *ret_timer = timer;
  return 0;
}

static bool interruptible (double seconds, lipcsys_call *call, void *arg, int *ret_result) {
  int timer = 0;
  if (!enter()) return false;
  int r = start_timer(seconds, &timer);
  if (r == 0) {
    *ret_result = call(arg, true);
    syscall(SYS_timer_delete, timer);
  }
  leave();
  return r == 0;
}
#else
void lipcsys_bounded_leave (void) {}

static bool interruptible (double seconds, lipcsys_call *call, void *arg, int *ret_result) {
  (void)seconds;
  (void)call;
  (void)arg;
  (void)ret_result;
  return false;
}
#endif

/* The timer and the handler cost nine system calls, giving way costs one, and a peer that is about to
** answer does so then: 14 us instead of 22 for a request and its reply, where C takes 10. */
#define YIELDS 4

int lipcsys_bounded (double seconds, lipcsys_call *call, void *arg) {
  int r;
  for (int i = 0; i < YIELDS; i++) {
    sched_yield();
    if ((r = call(arg, false)) != -EAGAIN) return r;
  }
  if (interruptible(seconds, call, arg, &r)) return r;
  double end = lipcsys_now() + seconds, pause = 50e-6;
  while ((r = call(arg, false)) == -EAGAIN) {
    double left = end - lipcsys_now();
    if (left <= 0) return -EINTR;
    if (pause < left) left = pause;
    struct timespec ts = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
    if (nanosleep(&ts, NULL) < 0) return -EINTR;
    if (pause < 5e-3) pause *= 2;
  }
  return r;
}
