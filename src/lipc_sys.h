/* lipc_sys.h - what lipc asks of the operating system.  No Lua in here.
** Every function returns 0 or a negative errno; results go through ret_ pointers, which are left
** untouched on failure.  A platform that lacks a thing returns -ENOSYS.  SPDX-License-Identifier: MIT */
#ifndef LIPC_SYS_H
#define LIPC_SYS_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

/* ---- errors ---- */

/* Conditions that are errors to lipc and not to the kernel; used negated, as an errno is. */
#define LIPC_EEOF    0x7001 /* the stream has ended: code "EOF" */
#define LIPC_ENUMBER 0x7002 /* what was to be read is no numeral: code "EINVAL" */

/* The symbolic name ("EACCES") or NULL when the number has none; and the text for people, written
** into buf, which is returned.  Both take a positive number. */
const char *lipcsys_errname (int err);
const char *lipcsys_errtext (int err, char *buf, size_t size);

/* ---- time and waiting ---- */

/* Directions, as waited for. */
#define LIPC_IN  1u
#define LIPC_OUT 2u

/* Seconds on the monotonic clock. */
double lipcsys_now (void);

/* Waits until fd is ready for one of `events`, wakefd is readable, or the time is over.  Either
** descriptor may be -1.  Errors and hang-ups count as ready in every direction.  Sets *ret_wake when
** wakefd is readable.  -ETIMEDOUT, -EINTR.  seconds < 0: for ever.  -- see ppoll(2) */
int lipcsys_wait (int fd, unsigned events, int wakefd, double seconds, bool *ret_wake);

/* As poll(2), with its time in seconds, of the finest grain that there is and never cut short; < 0:
** for ever.  The number of those ready, or a negative errno. */
struct pollfd;
int lipcsys_pollmany (struct pollfd *p, unsigned n, double seconds);

/* ---- a set of descriptors to wait for ---- */

struct lipcsys_poller;

struct lipcsys_ready {
  int fd;
  unsigned events;
};

/* Level-triggered.  portable: poll(2) even where there is something better.  *ret_fd is what becomes
** readable when the set has something to report, or -1; it is the caller's to close, after
** lipcsys_poller_free.  -- see epoll(7) */
int lipcsys_poller_new (bool portable, struct lipcsys_poller **ret_poller, int *ret_fd);
void lipcsys_poller_free (struct lipcsys_poller *p);

/* Adds a descriptor or changes what is wanted of it (not 0); no system call when nothing changes.
** What is always ready, as regular files are, is taken too.  -EBADF. */
int lipcsys_poller_put (struct lipcsys_poller *p, int fd, unsigned events);

/* Takes a descriptor out; must come before it is closed. */
void lipcsys_poller_forget (struct lipcsys_poller *p, int fd);

/* What is wanted of this descriptor (0: it is not in the set), and how many there are. */
unsigned lipcsys_poller_wanted (const struct lipcsys_poller *p, int fd);
int lipcsys_poller_count (const struct lipcsys_poller *p);

/* In a forked child: makes the set the child's own, under the same number.  The other functions see
** to it themselves; nothing to do elsewhere. */
int lipcsys_poller_renew (struct lipcsys_poller *p);

/* Waits until some are ready, but no longer than that (< 0: for ever); up to max of them are stored,
** none when the time was over.  Errors and hang-ups count as ready in every direction wanted.  -EINTR. */
int lipcsys_poller_wait (struct lipcsys_poller *p, double seconds, struct lipcsys_ready *ret_ready,
                         int max, int *ret_n);

/* ---- descriptors ---- */

/* How a descriptor is to be read and written without blocking and without SIGPIPE. */
#define LIPC_IO_NONBLOCK   1u /* O_NONBLOCK is set: read and write simply try */
#define LIPC_IO_SOCKET     2u /* MSG_DONTWAIT and MSG_NOSIGNAL do it */
#define LIPC_IO_PIPE       4u /* writing may raise SIGPIPE */
#define LIPC_IO_REGULAR    8u /* always ready; cannot be polled by epoll */
#define LIPC_IO_NONOSIGNAL 16u /* learnt: this kernel has no RWF_NOSIGNAL */
#define LIPC_IO_NONOWAIT   32u /* learnt: no RWF_NOWAIT for this descriptor */

struct lipcsys_fdinfo {
  unsigned io; /* LIPC_IO_* */
  unsigned access; /* LIPC_IN, LIPC_OUT or both */
  const char
    *type; /* "fifo", "socket", "file", "directory", "char device", "block device", "other" */
  bool listening; /* a socket that listens */
  uint64_t dev, ino, size;
  unsigned mode; /* permission bits */
};

/* What an open descriptor is.  -EBADF.  -- see fstat(2), fcntl(2) */
int lipcsys_fdinfo (int fd, struct lipcsys_fdinfo *ret_info);

/* Closes; never retried (the descriptor is gone whatever is returned).  -- see close(2) */
int lipcsys_close (int fd);

/* A close-on-exec duplicate.  -- see fcntl(2) F_DUPFD_CLOEXEC */
int lipcsys_dup (int fd, int *ret_fd);

int lipcsys_setcloexec (int fd, bool on);

struct lipcsys_piece {
  const void *data;
  size_t size;
};
#define LIPC_MAXPIECES 16

/* One attempt to read or write that never blocks and never raises SIGPIPE.  *io tells how and
** remembers what this kernel lacks.  A read of 0 bytes is the end.  EINTR is retried here.
** -EAGAIN when it would block.  -- see read(2), pwritev2(2), sendmsg(2) */
int lipcsys_read (int fd, unsigned *io, void *buf, size_t size, size_t *ret_n);
int lipcsys_write (int fd, unsigned *io, const void *data, size_t size, size_t *ret_n);
int lipcsys_writev (int fd, unsigned *io, const struct lipcsys_piece *p, int n, size_t *ret_n);

/* Between these two calls of one thread a write to a pipe without readers raises no signal: SIGPIPE is
** blocked, and the one that was raised is taken from the queue, so that the host sees neither it nor
** a changed mask.  raised: the write failed with EPIPE.  -- see sigtimedwait(2) */
struct lipcsys_sigpipe {
  bool held;
  sigset_t mask;
};
void lipcsys_holdsigpipe (struct lipcsys_sigpipe *hold);
void lipcsys_dropsigpipe (struct lipcsys_sigpipe *hold, bool raised);

/* ---- pipes ---- */

/* Both ends close-on-exec and non-blocking.  packet: O_DIRECT mode.  -- see pipe2(2) */
int lipcsys_pipe (bool packet, int ret_fds[2]);

/* Capacity in bytes; setting returns what the kernel made of it.  -- see fcntl(2) F_SETPIPE_SZ */
int lipcsys_getpipesize (int fd, size_t *ret_size);
int lipcsys_setpipesize (int fd, size_t size, size_t *ret_size);

/* Moves, or copies from pipe to pipe without consuming, up to size bytes inside the kernel; never
** blocks on the pipes, never raises SIGPIPE.  Offsets as the descriptors'.  0 moved is the end.  -- see splice(2), tee(2) */
int lipcsys_splice (int from, int to, size_t size, size_t *ret_n);
int lipcsys_tee (int from, int to, size_t size, size_t *ret_n);

/* ---- eventfd ---- */

int lipcsys_eventfd (unsigned initial, bool semaphore, int *ret_fd);

/* Whether an open descriptor is an eventfd. */
bool lipcsys_iseventfd (int fd);

/* ---- this process ---- */

/* Grows by one in every child that fork makes; never in the parent.  -- see pthread_atfork(3) */
extern unsigned lipcsys_forkgen;

/* Keeps the code of this library mapped for the life of the process and installs the fork hook; once
** per process, before anything can call into the library from outside.  -- see dlopen(3) RTLD_NODELETE */
int lipcsys_pin (void);

/* ---- signals ---- */

/* Not zero: some Lua state has signal callbacks to run.  Set by the handler. */
extern _Atomic unsigned lipcsys_alarm;

/* SIGPIPE was set to be ignored through lipc: writing needs no protection then. */
extern _Atomic bool lipcsys_sigpipe_ignored;

#pragma GCC visibility pop
#endif
