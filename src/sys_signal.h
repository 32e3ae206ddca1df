/* sys_signal.h - the part of lipc_sys.h that is about signals; include that.
** SPDX-License-Identifier: MIT */
#ifndef LIPC_SYS_SIGNAL_H
#define LIPC_SYS_SIGNAL_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

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
** is blocked or unblocked by name is no longer unblocked when a queue (below) that had blocked it is
** closed; putting back a whole mask that contains it leaves it to the queue. */
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
  _Atomic int wakefd; /* becomes readable with each signal; -1: none */
  _Atomic bool alarmed; /* counted in lipcsys_alarm */
  _Atomic bool wanted[LIPC_NSIG]; /* has callbacks for it */
  _Atomic bool pending[LIPC_NSIG]; /* has come and was not taken */
  unsigned long since[LIPC_NSIG]; /* when it was wanted: the newest request of all states wins */
  unsigned long modesince[LIPC_NSIG];
  unsigned char mode[LIPC_NSIG]; /* enum lipcsys_sigmode */
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
  int value; /* has_value */
  int status; /* has_child: exit status or signal */
  double utime, stime; /* has_child: seconds */
  int timerid, overrun; /* has_timer */
  int fd, band; /* has_poll */
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

/* Under the lock, which it lets go of meanwhile: SIGURG is about to be somebody's.  Returns when no thread
** sleeps by it any more (lipcsys_bounded; half a second at most). */
void lipcsys_bounded_leave (void);

#pragma GCC visibility pop
#endif
