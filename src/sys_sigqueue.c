/* sys_sigqueue.c - a thread's signal mask, and descriptors from which blocked signals are read.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/signalfd.h>
#endif

static struct lipcsys_sigfd *queues; /* those open, under the lock of the table of signals */

static uintptr_t this_thread (void) {
  return (uintptr_t)pthread_self(); /* unlike the kernel's number, the same in a forked child */
}

int lipcsys_sigmask (int how, const sigset_t *set, sigset_t *ret_old) {
  sigset_t old;
  int r = -pthread_sigmask(how, set, &old);
  if (r < 0) return r;
  if (set != NULL) {
    lipcsys_signals_lock();
    for (struct lipcsys_sigfd *q = queues; q != NULL; q = q->next) {
      if (q->thread != this_thread()) continue;
      for (int s = 1; s < LIPC_NSIG; s++)
        if ((sigismember(set, s) == 1) != (how == SIG_SETMASK)) sigdelset(&q->mine, s);
    }
    lipcsys_signals_unlock();
  }
  *ret_old = old;
  return 0;
}

int lipcsys_sigpending (sigset_t *ret_set) {
  sigset_t set;
  if (sigpending(&set) < 0) return -errno;
  *ret_set = set;
  return 0;
}

#ifdef __linux__

int lipcsys_sigfd_open (struct lipcsys_sigfd *q, const sigset_t *want, int *ret_fd) {
  sigset_t old;
  int r = lipcsys_signals_hook();
  if (r < 0) return r;
  int fd = signalfd(-1, want, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd < 0) return -errno;
  lipcsys_signals_lock();
  pthread_sigmask(SIG_BLOCK, want, &old);
  q->want = q->mine = *want;
  for (int s = 1; s < LIPC_NSIG; s++)
    if (sigismember(&old, s) == 1) sigdelset(&q->mine, s);
  q->thread = this_thread();
  q->open = true;
  q->next = queues;
  queues = q;
  lipcsys_signals_unlock();
  *ret_fd = fd;
  return 0;
}

/* Leaves to other queues of this thread what they still want. */
static bool hand_over (const struct lipcsys_sigfd *q, int signo) {
  for (struct lipcsys_sigfd *other = queues; other != NULL; other = other->next) {
    if (other->thread == q->thread && sigismember(&other->want, signo) == 1) {
      sigaddset(&other->mine, signo);
      return true;
    }
  }
  return false;
}

int lipcsys_sigfd_close (struct lipcsys_sigfd *q, int fd) {
  static const struct timespec now = {0, 0};
  bool some = false;
  if (q->open) {
    q->open = false;
    lipcsys_signals_lock();
    struct lipcsys_sigfd **link = &queues;
    while (*link != q) link = &(*link)->next;
    *link = q->next;
    for (int s = 1; s < LIPC_NSIG && fd >= 0; s++) {
      if (sigismember(&q->mine, s) != 1) continue;
      if (hand_over(q, s)) sigdelset(&q->mine, s);
      else some = true;
    }
    lipcsys_signals_unlock();
    if (some && q->thread == this_thread()) {
      while (sigtimedwait(&q->mine, NULL, &now) > 0 || errno == EINTR) continue;
      pthread_sigmask(SIG_UNBLOCK, &q->mine, NULL);
    }
  }
  return fd >= 0 ? lipcsys_close(fd) : 0;
}

bool lipcsys_issigfd (int fd) {
  char path[48], target[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(path, target, sizeof target);
  return n == 21 && memcmp(target, "anon_inode:[signalfd]", 21) == 0;
}

int lipcsys_sigfd_read (int fd, unsigned *io, struct lipcsys_siginfo *ret_info) {
  struct signalfd_siginfo si;
  size_t n;
  int r = lipcsys_read(fd, io, &si, sizeof si, &n);
  if (r < 0) return r;
  if (n != sizeof si) return -EIO;
  struct lipcsys_siginfo i = {.signo = (int)si.ssi_signo, .code = si.ssi_code};
  i.has_child = i.signo == SIGCHLD && i.code > 0 && i.code != SI_KERNEL;
  i.has_poll = (i.signo == SIGIO && i.code > 0 && i.code != SI_KERNEL) || i.code == SI_SIGIO;
  i.has_timer = i.code == SI_TIMER;
  i.has_value = i.code == SI_QUEUE || i.code == SI_TIMER || i.code == SI_MESGQ;
  i.has_sender = i.has_child || i.code == SI_USER || i.code == SI_TKILL || i.code == SI_QUEUE ||
                 i.code == SI_MESGQ;
  i.pid = (pid_t)si.ssi_pid;
  i.uid = (uid_t)si.ssi_uid;
  i.value = si.ssi_int;
  i.status = si.ssi_status;
  double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
  i.utime = (double)si.ssi_utime * tick;
  i.stime = (double)si.ssi_stime * tick;
  i.timerid = (int)si.ssi_tid;
  i.overrun = (int)si.ssi_overrun;
  i.fd = si.ssi_fd;
  i.band = (int)si.ssi_band;
  *ret_info = i;
  return 0;
}

#else

int lipcsys_sigfd_open (struct lipcsys_sigfd *q, const sigset_t *want, int *ret_fd) {
  (void)q, (void)want, (void)ret_fd;
  return -ENOSYS;
}

int lipcsys_sigfd_close (struct lipcsys_sigfd *q, int fd) {
  (void)q;
  return fd >= 0 ? lipcsys_close(fd) : 0;
}

int lipcsys_sigfd_read (int fd, unsigned *io, struct lipcsys_siginfo *ret_info) {
  (void)fd, (void)io, (void)ret_info;
  return -ENOSYS;
}

bool lipcsys_issigfd (int fd) {
  (void)fd;
  return false;
}
#endif
