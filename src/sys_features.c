/* sys_features.c - what this kernel can do.  Each thing is tried: version numbers say nothing about a
** sandbox, a filter of system calls, or a kernel with patches of its own.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

const char *lipcsys_platform (void) {
#if defined(__linux__)
  return "linux";
#elif defined(__APPLE__)
  return "macos";
#elif defined(__FreeBSD__)
  return "freebsd";
#elif defined(__OpenBSD__)
  return "openbsd";
#elif defined(__NetBSD__)
  return "netbsd";
#else
  return "posix";
#endif
}

int lipcsys_uname (char *release, char *machine, size_t size) {
  struct utsname u;
  if (uname(&u) < 0) return -errno;
  strncpy(release, u.release, size - 1);
  strncpy(machine, u.machine, size - 1);
  release[size - 1] = machine[size - 1] = '\0';
  return 0;
}

#ifdef __linux__
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x100
#endif
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x8
#endif

/* Of a descriptor that was opened only to see whether it can be. */
static bool opened (int fd) {
  if (fd < 0) return errno == EMFILE || errno == ENFILE; /* it is there, only not now */
  close(fd);
  return true;
}

static bool known (long result) { return result >= 0 || (errno != ENOSYS && errno != EPERM); }

/* preadv2 and pwritev2 with a flag, on a pipe with nothing in it and both ends open. */
static void try_pipe (bool *nosignal, bool *nowait) {
  int p[2];
  char byte = 0;
  struct iovec v = {&byte, 1};
  *nosignal = *nowait = false;
  if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0) return;
  *nowait = preadv2(p[0], &v, 1, -1, RWF_NOWAIT) < 0 && errno == EAGAIN;
  *nosignal = pwritev2(p[1], &v, 1, -1, RWF_NOSIGNAL) == 1;
  close(p[0]);
  close(p[1]);
}

static void try_memfd (bool *memfd, bool *ofd_locks) {
  int fd = (int)syscall(SYS_memfd_create, "lipc", 1u /* MFD_CLOEXEC */);
  struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  *memfd = fd >= 0 || errno == EMFILE || errno == ENFILE;
  *ofd_locks = false;
  if (fd < 0) return;
#ifdef F_OFD_GETLK
  *ofd_locks = fcntl(fd, F_OFD_GETLK, &fl) == 0;
#endif
  close(fd);
}

int lipcsys_features (struct lipcsys_feature list[LIPC_MAXFEATURES]) {
  sigset_t none;
  bool nosignal, nowait, memfd, ofd_locks, pidfd = false, close_range = false, clone3 = false;
  sigemptyset(&none);
  try_pipe(&nosignal, &nowait);
  try_memfd(&memfd, &ofd_locks);
#ifdef SYS_pidfd_open
  pidfd = opened((int)syscall(SYS_pidfd_open, getpid(), 0));
#endif
#ifdef SYS_close_range
  close_range = known(syscall(SYS_close_range, 1u, 0u, 0u)); /* an empty range: EINVAL */
#endif
#ifdef SYS_clone3
  clone3 = known(syscall(SYS_clone3, NULL, (size_t)0)); /* too small: EINVAL */
#endif
  const struct lipcsys_feature found[] = {
    {"close_range", close_range},
    {"clone3", clone3},
    {"clone_pidfd", pidfd}, /* Linux 5.2, and pidfd_open came with 5.3 */
    {"epoll", opened(epoll_create1(EPOLL_CLOEXEC))},
    {"eventfd", opened(eventfd(0, EFD_CLOEXEC))},
    {"memfd", memfd},
    {"mqueue", known(syscall(SYS_mq_getsetattr, -1, NULL, NULL))},
    {"ofd_locks", ofd_locks},
    {"pidfd", pidfd},
    {"RWF_NOSIGNAL", nosignal},
    {"RWF_NOWAIT", nowait},
    {"signalfd", opened(signalfd(-1, &none, SFD_CLOEXEC))},
    {"splice", known(splice(-1, NULL, -1, NULL, 1, 0))},
    {"timerfd", opened(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC))},
  };
  memcpy(list, found, sizeof found);
  return (int)(sizeof found / sizeof found[0]);
}

#else

int lipcsys_features (struct lipcsys_feature list[LIPC_MAXFEATURES]) {
  static const char *const names[] = {
    "close_range", "clone3", "clone_pidfd",  "epoll",      "eventfd",  "memfd",  "mqueue",
    "ofd_locks",   "pidfd",  "RWF_NOSIGNAL", "RWF_NOWAIT", "signalfd", "splice", "timerfd"};
  int n = (int)(sizeof names / sizeof names[0]);
  for (int i = 0; i < n; i++) list[i] = (struct lipcsys_feature){names[i], false};
  return n;
}
#endif
