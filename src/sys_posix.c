/* sys_posix.c - descriptors, time and waiting, as POSIX gives them everywhere.  Where a platform has
** a flag that spares system calls (RWF_NOSIGNAL, RWF_NOWAIT, MSG_NOSIGNAL) it is used, and its
** absence is noticed at run time.  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__) && !defined(RWF_NOSIGNAL)
#define RWF_NOSIGNAL 0x100 /* Linux 6.18 */
#endif

/* ---- time and waiting ---- */

double lipcsys_now (void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* poll(2) with its time in seconds. */
static int poll_seconds (struct pollfd *p, nfds_t n, double seconds) {
#ifdef __linux__
  struct timespec ts;
  if (seconds < 0) return ppoll(p, n, NULL, NULL);
  if (seconds > 1e9) seconds = 1e9;
  ts.tv_sec = (time_t)seconds;
  ts.tv_nsec = (long)((seconds - (double)ts.tv_sec) * 1e9);
  return ppoll(p, n, &ts, NULL);
#else
  double ms = seconds * 1e3;
  if (ms > INT_MAX - 1) ms = INT_MAX - 1;
  int whole = (int)ms;
  return poll(p, n, seconds < 0 ? -1 : whole + (ms > whole));
#endif
}

int lipcsys_pollmany (struct pollfd *p, unsigned n, double seconds) {
  int r = poll_seconds(p, n, seconds);
  return r < 0 ? -errno : r;
}

int lipcsys_wait (int fd, unsigned events, int wakefd, double seconds, bool *ret_wake) {
  struct pollfd p[2] = {{fd, 0, 0}, {wakefd, POLLIN, 0}};
  p[0].events = (short)((events & LIPC_IN ? POLLIN : 0) | (events & LIPC_OUT ? POLLOUT : 0));
  int n = poll_seconds(p, wakefd < 0 ? 1 : 2, seconds);
  if (n < 0) return -errno;
  if (n == 0) return -ETIMEDOUT;
  *ret_wake = p[1].revents != 0;
  return 0;
}

/* ---- descriptors ---- */

int lipcsys_fdinfo (int fd, struct lipcsys_fdinfo *ret_info) {
  struct stat st;
  int fl = fcntl(fd, F_GETFL);
  if (fl < 0 || fstat(fd, &st) < 0) return -errno;
  struct lipcsys_fdinfo i = {0};
  i.io = fl & O_NONBLOCK ? LIPC_IO_NONBLOCK : 0;
  switch (fl & O_ACCMODE) {
    case O_RDONLY: i.access = LIPC_IN; break;
    case O_WRONLY: i.access = LIPC_OUT; break;
    default: i.access = LIPC_IN | LIPC_OUT; break;
  }
  i.type = "other";
  if (S_ISFIFO(st.st_mode)) {
    i.type = "fifo";
    i.io |= LIPC_IO_PIPE;
  } else if (S_ISSOCK(st.st_mode)) {
    int on = 0;
    socklen_t size = sizeof on;
    i.type = "socket";
    i.io |= LIPC_IO_SOCKET;
    i.listening = getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0 && on;
  } else if (S_ISREG(st.st_mode)) {
    i.type = "file";
    i.io |= LIPC_IO_REGULAR;
  } else if (S_ISDIR(st.st_mode)) {
    i.type = "directory";
    i.io |= LIPC_IO_REGULAR;
  } else if (S_ISCHR(st.st_mode)) {
    i.type = "char device";
  } else if (S_ISBLK(st.st_mode)) {
    i.type = "block device";
  }
  i.dev = (uint64_t)st.st_dev;
  i.ino = (uint64_t)st.st_ino;
  i.size = (uint64_t)st.st_size;
  i.mode = (unsigned)st.st_mode & 07777;
  *ret_info = i;
  return 0;
}

int lipcsys_close (int fd) { return close(fd) < 0 && errno != EINTR ? -errno : 0; }

int lipcsys_dup (int fd, int *ret_fd) {
  int n = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (n < 0) return -errno;
  *ret_fd = n;
  return 0;
}

int lipcsys_setcloexec (int fd, bool on) {
  return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

/* 0 when fd is ready now, -EAGAIN when not. */
static int ready (int fd, short events) {
  struct pollfd p = {fd, events, 0};
  int n = poll(&p, 1, 0);
  return n > 0 ? 0 : n == 0 ? -EAGAIN : -errno;
}

/* A descriptor that we adopted may be in blocking mode, and the mode is shared with other processes:
** ask for one non-blocking attempt, or look first where that cannot be asked. */
static ssize_t read_adopted (int fd, unsigned *io, void *buf, size_t size) {
#ifdef RWF_NOWAIT
  if (!(*io & LIPC_IO_NONOWAIT)) {
    struct iovec v = {buf, size};
    ssize_t n = preadv2(fd, &v, 1, -1, RWF_NOWAIT);
    if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)) return n;
    *io |= LIPC_IO_NONOWAIT;
  }
#endif
  int r = ready(fd, POLLIN);
  if (r < 0) {
    errno = -r;
    return -1;
  }
  return read(fd, buf, size);
}

int lipcsys_read (int fd, unsigned *io, void *buf, size_t size, size_t *ret_n) {
  ssize_t n;
  do {
    if (*io & LIPC_IO_SOCKET) n = recv(fd, buf, size, MSG_DONTWAIT);
    else if (*io & (LIPC_IO_NONBLOCK | LIPC_IO_REGULAR)) n = read(fd, buf, size);
    else n = read_adopted(fd, io, buf, size);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
  *ret_n = (size_t)n;
  return 0;
}

/* With flags of pwritev2(2), where there is such a call. */
static ssize_t writev_flags (int fd, const struct iovec *v, int n, int flags) {
#ifdef RWF_NOSIGNAL
  if (flags != 0) return pwritev2(fd, v, n, -1, flags);
#endif
  (void)flags;
  return writev(fd, v, n);
}

/* A descriptor in blocking mode gets no more than a pipe that polls as writable has room for. */
static ssize_t writev_ready (int fd, unsigned io, const struct iovec *v, int n, int flags) {
  if (io & (LIPC_IO_NONBLOCK | LIPC_IO_REGULAR)) return writev_flags(fd, v, n, flags);
  struct iovec some[LIPC_MAXPIECES];
  size_t room = PIPE_BUF;
  int i = 0, r = ready(fd, POLLOUT);
  if (r < 0) {
    errno = -r;
    return -1;
  }
  for (; i < n && room > 0; i++) {
    some[i] = v[i];
    if (some[i].iov_len > room) some[i].iov_len = room;
    room -= some[i].iov_len;
  }
  return writev_flags(fd, some, i, flags);
}

void lipcsys_holdsigpipe (struct lipcsys_sigpipe *hold) {
  sigset_t sp, pend;
  sigemptyset(&sp);
  sigaddset(&sp, SIGPIPE);
  sigpending(&pend);
  hold->held = !sigismember(&pend, SIGPIPE); /* else one more is merged with it */
  if (hold->held) pthread_sigmask(SIG_BLOCK, &sp, &hold->mask);
}

void lipcsys_dropsigpipe (struct lipcsys_sigpipe *hold, bool raised) {
  sigset_t sp;
  if (!hold->held) return;
  if (raised) {
    sigemptyset(&sp);
    sigaddset(&sp, SIGPIPE);
#ifdef __APPLE__
    sigset_t pend;
    int sig;
    sigpending(&pend);
    if (sigismember(&pend, SIGPIPE)) sigwait(&sp, &sig);
#else
    const struct timespec now = {0, 0};
    while (sigtimedwait(&sp, NULL, &now) < 0 && errno == EINTR) continue;
#endif
  }
  pthread_sigmask(SIG_SETMASK, &hold->mask, NULL);
}

static ssize_t writev_masked (int fd, unsigned io, const struct iovec *v, int n) {
  struct lipcsys_sigpipe hold;
  lipcsys_holdsigpipe(&hold);
  ssize_t r = writev_ready(fd, io, v, n, 0);
  int e = errno;
  lipcsys_dropsigpipe(&hold, r < 0 && e == EPIPE);
  errno = e;
  return r;
}

static ssize_t writev_pipe (int fd, unsigned *io, const struct iovec *v, int n) {
  if (atomic_load_explicit(&lipcsys_sigpipe_ignored, memory_order_relaxed) &&
      (*io & LIPC_IO_NONBLOCK))
    return writev(fd, v, n);
#ifdef RWF_NOSIGNAL
  if (!(*io & LIPC_IO_NONOSIGNAL)) {
    bool nowait = !(*io & (LIPC_IO_NONBLOCK | LIPC_IO_NONOWAIT));
    ssize_t r = nowait ? pwritev2(fd, v, n, -1, RWF_NOSIGNAL | RWF_NOWAIT)
                       : writev_ready(fd, *io, v, n, RWF_NOSIGNAL);
    if (r >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)) return r;
    *io |= nowait ? LIPC_IO_NONOWAIT : LIPC_IO_NONOSIGNAL;
    return writev_pipe(fd, io, v, n);
  }
#endif
  return writev_masked(fd, *io, v, n);
}

static int writev_any (int fd, unsigned *io, const struct iovec *v, int n, size_t *ret_n) {
  ssize_t r;
  do {
    if (*io & LIPC_IO_SOCKET) {
      struct msghdr m = {0};
      m.msg_iov = (struct iovec *)v;
      m.msg_iovlen = (unsigned)n;
      r = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else if (*io & LIPC_IO_PIPE) {
      r = writev_pipe(fd, io, v, n);
    } else {
      r = writev_ready(fd, *io, v, n, 0);
    }
  } while (r < 0 && errno == EINTR);
  if (r < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
  *ret_n = (size_t)r;
  return 0;
}

int lipcsys_write (int fd, unsigned *io, const void *data, size_t size, size_t *ret_n) {
  if (*io & LIPC_IO_SOCKET) {
    ssize_t r;
    do r = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (r < 0 && errno == EINTR);
    if (r < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    *ret_n = (size_t)r;
    return 0;
  }
  struct iovec v = {(void *)data, size};
  return writev_any(fd, io, &v, 1, ret_n);
}

int lipcsys_writev (int fd, unsigned *io, const struct lipcsys_piece *p, int n, size_t *ret_n) {
  struct iovec v[LIPC_MAXPIECES];
  if (n > LIPC_MAXPIECES) n = LIPC_MAXPIECES;
  for (int i = 0; i < n; i++) {
    v[i].iov_base = (void *)p[i].data;
    v[i].iov_len = p[i].size;
  }
  return writev_any(fd, io, v, n, ret_n);
}
