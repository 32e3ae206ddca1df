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

/* ---- signals: names, sending, the thread's mask ---- */

#define LIPC_NSIG 128 /* no platform has a signal number as great as this */

/* "SIGINT", "SIGRTMIN", "SIGRTMIN+3", "SIGRTMAX-1" to the number; -EINVAL. */
int lipcsys_signumber (const char *name, int *ret_signo);

/* The name, in buf where it has to be made; NULL when there is no such signal, or when the C library
** keeps it for itself. */
const char *lipcsys_signame (int signo, char *buf, size_t size);

/* Why a signal came, "SI_QUEUE", "CLD_EXITED"; NULL when the number has no name. */
const char *lipcsys_sigcode (int signo, int code);

/* -- see kill(2), killpg(3), tgkill(2), raise(3), sigqueue(3).  pid 0 in tgkill: this process. */
int lipcsys_kill (pid_t pid, int signo);
int lipcsys_killpg (pid_t pgrp, int signo);
int lipcsys_tgkill (pid_t pid, pid_t tid, int signo);
int lipcsys_raise (int signo);
int lipcsys_sigqueue (pid_t pid, int signo, int value);

/* How many signals may be queued for processes of this user at a time.  -- RLIMIT_SIGPENDING */
int lipcsys_siglimit (uint64_t *ret_n);

pid_t lipcsys_getpid (void);
pid_t lipcsys_gettid (void);

/* This thread's mask; how is SIG_BLOCK, SIG_UNBLOCK or SIG_SETMASK, set may be NULL.  A signal that
** is named here is no longer unblocked when a queue (below) that had blocked it is closed. */
int lipcsys_sigmask (int how, const sigset_t *set, sigset_t *ret_old);
int lipcsys_sigpending (sigset_t *ret_set);

/* ---- signals: dispositions and the handler ---- */

/* Not zero: some Lua state has signal callbacks to run.  Set by the handler. */
extern _Atomic unsigned lipcsys_alarm;

/* SIGPIPE was set to be ignored through lipc: writing needs no protection then. */
extern _Atomic bool lipcsys_sigpipe_ignored;

enum lipcsys_sigmode { LIPC_SIG_RESTORE, LIPC_SIG_IGNORE, LIPC_SIG_DEFAULT };

/* What one Lua state asks of signals.  It belongs to the state, zeroed; while it is in the table it
** is touched by these functions and the handler only. */
struct lipcsys_listener {
  struct lipcsys_listener *_Atomic next;
  bool joined;
  _Atomic int wakefd;                /* becomes readable with each signal; -1: none */
  _Atomic bool alarmed;              /* counted in lipcsys_alarm */
  _Atomic bool wanted[LIPC_NSIG];    /* has callbacks for it */
  _Atomic bool pending[LIPC_NSIG];   /* has come and was not taken */
  unsigned long since[LIPC_NSIG];    /* when it was wanted: the newest request of all states wins */
  unsigned long modesince[LIPC_NSIG];
  unsigned char mode[LIPC_NSIG];     /* enum lipcsys_sigmode */
};

/* Enters the table if it is not there.  wake: with a wakefd. */
int lipcsys_signals_join (struct lipcsys_listener *l, bool wake);
/* Closes the wakefd when no signal is wanted. */
void lipcsys_signals_unwake (struct lipcsys_listener *l);
/* Takes back all it has asked for and leaves the table; afterwards no handler knows it. */
void lipcsys_signals_quit (struct lipcsys_listener *l);

/* Whether the signal shall be caught for this state; or be ignored or have its default action, or
** what it was.  When nobody asks for anything any more, the disposition becomes again what it was
** before, unless somebody else has changed it since.  -- see sigaction(2) */
int lipcsys_signal_want (struct lipcsys_listener *l, int signo, bool on);
int lipcsys_signal_mode (struct lipcsys_listener *l, int signo, enum lipcsys_sigmode mode);

/* What the process does at this signal now: LIPC_SIG_IGNORE, LIPC_SIG_DEFAULT, or LIPC_SIG_RESTORE for
** a handler. */
int lipcsys_signal_now (int signo, enum lipcsys_sigmode *ret_mode);

/* The alarm of one state.  quiet comes first, then take of each signal, which says whether it came. */
void lipcsys_signals_alarm (struct lipcsys_listener *l);
void lipcsys_signals_quiet (struct lipcsys_listener *l);
bool lipcsys_signal_take (struct lipcsys_listener *l, int signo);

/* ---- signals: queues ---- */

/* A descriptor from which signals are read.  They are blocked in the thread that opened it. */
struct lipcsys_sigfd {
  struct lipcsys_sigfd *next;
  sigset_t want, mine; /* mine: those that are to be unblocked at the end */
  uintptr_t thread;
  bool open;
};

struct lipcsys_siginfo {
  int signo, code;
  bool has_sender, has_value, has_child, has_timer, has_poll;
  pid_t pid; /* has_sender, has_child */
  uid_t uid;
  int value;            /* has_value */
  int status;           /* has_child: exit status or signal */
  double utime, stime;  /* has_child: seconds */
  int timerid, overrun; /* has_timer */
  int fd, band;         /* has_poll */
};

/* Non-blocking, close-on-exec.  -- see signalfd(2) */
int lipcsys_sigfd_open (struct lipcsys_sigfd *q, const sigset_t *want, int *ret_fd);
/* Unblocks what it had blocked, if this is still the thread; what nobody read is dropped then.  fd -1:
** somebody else has taken the descriptor over, so they stay blocked. */
int lipcsys_sigfd_close (struct lipcsys_sigfd *q, int fd);
/* -EAGAIN when there is none. */
int lipcsys_sigfd_read (int fd, unsigned *io, struct lipcsys_siginfo *ret_info);
bool lipcsys_issigfd (int fd);

/* The table of listeners and queues: its lock, for the two files that share it, and its fork hook. */
int lipcsys_signals_hook (void);
void lipcsys_signals_lock (void);
void lipcsys_signals_unlock (void);

/* ---- what there is ---- */

#define LIPC_MAXFEATURES 32
struct lipcsys_feature {
  const char *name;
  bool there;
};
/* Finds out by trying; returns how many it filled in. */
int lipcsys_features (struct lipcsys_feature list[LIPC_MAXFEATURES]);

/* Name of the platform; release of the kernel, machine. */
const char *lipcsys_platform (void);
int lipcsys_uname (char *release, char *machine, size_t size);

#pragma GCC visibility pop
#endif
