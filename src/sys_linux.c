/* sys_linux.c - what only Linux has: pipe2, splice, eventfd, ...  SPDX-License-Identifier: MIT */
#ifdef __linux__
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

int lipcsys_pipe (bool packet, int ret_fds[2]) {
  return pipe2(ret_fds, O_CLOEXEC | O_NONBLOCK | (packet ? O_DIRECT : 0)) < 0 ? -errno : 0;
}

int lipcsys_getpipesize (int fd, size_t *ret_size) {
  int n = fcntl(fd, F_GETPIPE_SZ);
  if (n < 0) return -errno;
  *ret_size = (size_t)n;
  return 0;
}

int lipcsys_setpipesize (int fd, size_t size, size_t *ret_size) {
  if (size > INT_MAX) return -EINVAL;
  int n = fcntl(fd, F_SETPIPE_SZ, (int)size);
  if (n < 0) return -errno;
  *ret_size = (size_t)n;
  return 0;
}

/* Neither call has a flag against SIGPIPE. */
static int transfer (int from, int to, size_t size, bool copy, size_t *ret_n) {
  struct lipcsys_sigpipe hold;
  bool ignored = atomic_load_explicit(&lipcsys_sigpipe_ignored, memory_order_relaxed);
  ssize_t n;
  if (!ignored) lipcsys_holdsigpipe(&hold);
  do {
    n = copy ? tee(from, to, size, SPLICE_F_NONBLOCK)
             : splice(from, NULL, to, NULL, size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  } while (n < 0 && errno == EINTR);
  int r = n < 0 ? -errno : 0;
  if (!ignored) lipcsys_dropsigpipe(&hold, r == -EPIPE);
  if (r == 0) *ret_n = (size_t)n;
  return r;
}

int lipcsys_splice (int from, int to, size_t size, size_t *ret_n) {
  return transfer(from, to, size, false, ret_n);
}

int lipcsys_tee (int from, int to, size_t size, size_t *ret_n) {
  return transfer(from, to, size, true, ret_n);
}

int lipcsys_eventfd (unsigned initial, bool semaphore, int *ret_fd) {
  int fd = eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK | (semaphore ? EFD_SEMAPHORE : 0));
  if (fd < 0) return -errno;
  *ret_fd = fd;
  return 0;
}

/* What has no name in the file system calls itself so in /proc. */
static bool is_anonymous (int fd, const char *name) {
  char path[48], target[48];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(path, target, sizeof target - 1);
  if (n < 0) return false;
  target[n] = '\0';
  return strncmp(target, "anon_inode:", 11) == 0 && strcmp(target + 11, name) == 0;
}

bool lipcsys_iseventfd (int fd) { return is_anonymous(fd, "[eventfd]"); }

int lipcsys_eventfd_add (int fd, unsigned *io, uint64_t value) {
  size_t n;
  if (!(*io & LIPC_IO_NONBLOCK)) { /* poll knows only of room for 1, and there is no RWF_NOWAIT */
    char path[48], line[128];
    uint64_t count = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    FILE *f = fopen(path, "re");
    if (f == NULL) return -errno;
    while (fgets(line, sizeof line, f) != NULL)
      if (sscanf(line, "eventfd-count: %" SCNx64, &count) == 1) break;
    fclose(f);
    if (value > UINT64_MAX - 1 - count) return -EAGAIN;
  }
  return lipcsys_write(fd, io, &value, sizeof value, &n);
}

static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};

static double seconds_of (struct timespec t) { return (double)t.tv_sec + (double)t.tv_nsec * 1e-9; }

static struct timespec timespec_of (double seconds) {
  if (seconds > 1e12) seconds = 1e12; /* more than the kernel counts */
  time_t whole = (time_t)seconds;
  return (struct timespec){whole, (long)((seconds - (double)whole) * 1e9)};
}

int lipcsys_clocknow (enum lipcsys_clock clock, double *ret_now) {
  struct timespec t;
  if (clock_gettime(clocks[clock], &t) < 0) return -errno;
  *ret_now = seconds_of(t);
  return 0;
}

int lipcsys_timer (enum lipcsys_clock clock, int *ret_fd) {
  int fd = timerfd_create(clocks[clock], TFD_CLOEXEC | TFD_NONBLOCK);
  if (fd < 0) return -errno;
  *ret_fd = fd;
  return 0;
}

int lipcsys_settimer (int fd, double first, double interval, unsigned flags) {
  struct itimerspec spec = {0};
  if (first >= 0) {
    spec.it_value = timespec_of(first);
    spec.it_interval = timespec_of(interval);
    if (interval > 0 && spec.it_interval.tv_sec == 0 && spec.it_interval.tv_nsec == 0)
      spec.it_interval.tv_nsec = 1;
    if (spec.it_value.tv_sec == 0 && spec.it_value.tv_nsec == 0)
      spec.it_value.tv_nsec = 1; /* 0 would disarm it */
  }
  int f = (flags & LIPC_TIMER_ABSOLUTE ? TFD_TIMER_ABSTIME : 0) |
          (flags & LIPC_TIMER_CANCEL ? TFD_TIMER_CANCEL_ON_SET : 0);
  return timerfd_settime(fd, f, &spec, NULL) < 0 ? -errno : 0;
}

int lipcsys_gettimer (int fd, double *ret_left, double *ret_interval) {
  struct itimerspec spec;
  if (timerfd_gettime(fd, &spec) < 0) return -errno;
  *ret_left = seconds_of(spec.it_value);
  *ret_interval = seconds_of(spec.it_interval);
  return 0;
}

bool lipcsys_istimer (int fd) { return is_anonymous(fd, "[timerfd]"); }

#else
typedef int lipc_not_linux; /* ISO C wants something in a file */
#endif
