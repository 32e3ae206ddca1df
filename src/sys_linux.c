/* sys_linux.c - what only Linux has: pipe2, splice, eventfd, ...  SPDX-License-Identifier: MIT */
#ifdef __linux__
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
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

bool lipcsys_iseventfd (int fd) {
  char path[48], target[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(path, target, sizeof target);
  return n == 20 && memcmp(target, "anon_inode:[eventfd]", 20) == 0;
}

#else
typedef int lipc_not_linux; /* ISO C wants something in a file */
#endif
