/* sys_signame.c - signals by name, and sending them.
** Names as in signal(7); where a number has two, the first below is given back.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

/* ---- names ---- */

#define S(name) \
  { #name, name }

static const struct {
  const char *name;
  int number;
} names[] = {
  S(SIGHUP),    S(SIGINT),  S(SIGQUIT), S(SIGILL),    S(SIGTRAP), S(SIGABRT), S(SIGBUS),
  S(SIGFPE),    S(SIGKILL), S(SIGUSR1), S(SIGSEGV),   S(SIGUSR2), S(SIGPIPE), S(SIGALRM),
  S(SIGTERM),   S(SIGCHLD), S(SIGCONT), S(SIGSTOP),   S(SIGTSTP), S(SIGTTIN), S(SIGTTOU),
  S(SIGURG),    S(SIGXCPU), S(SIGXFSZ), S(SIGVTALRM), S(SIGPROF), S(SIGSYS),
#ifdef SIGSTKFLT
  S(SIGSTKFLT),
#endif
#ifdef SIGWINCH
  S(SIGWINCH),
#endif
#ifdef SIGIO
  S(SIGIO),
#endif
#ifdef SIGPOLL
  S(SIGPOLL),
#endif
#ifdef SIGPWR
  S(SIGPWR),
#endif
#ifdef SIGEMT
  S(SIGEMT),
#endif
#ifdef SIGINFO
  S(SIGINFO),
#endif
#ifdef SIGIOT
  S(SIGIOT),
#endif
#ifdef SIGCLD
  S(SIGCLD),
#endif
};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* "+3" behind SIGRTMIN, "-1" behind SIGRTMAX, or nothing. */
static int realtime (const char *rest, int from, char sign, int *ret_signo) {
#ifdef SIGRTMIN
  int n = 0;
  if (*rest != '\0') {
    if (*rest != sign || rest[1] < '0' || rest[1] > '9') return -EINVAL;
    while (*++rest >= '0' && *rest <= '9' && n < LIPC_NSIG) n = n * 10 + (*rest - '0');
    if (*rest != '\0') return -EINVAL;
  }
  n = sign == '+' ? from + n : from - n;
  if (n < SIGRTMIN || n > SIGRTMAX) return -EINVAL;
  *ret_signo = n;
  return 0;
#else
  (void)rest, (void)from, (void)sign, (void)ret_signo;
  return -EINVAL;
#endif
}

int lipcsys_signumber (const char *name, int *ret_signo) {
#ifdef SIGRTMIN
  if (strncmp(name, "SIGRTMIN", 8) == 0) return realtime(name + 8, SIGRTMIN, '+', ret_signo);
  if (strncmp(name, "SIGRTMAX", 8) == 0) return realtime(name + 8, SIGRTMAX, '-', ret_signo);
#endif
  for (size_t i = 0; i < COUNT(names); i++) {
    if (strcmp(names[i].name, name) == 0) {
      *ret_signo = names[i].number;
      return 0;
    }
  }
  return -EINVAL;
}

const char *lipcsys_signame (int signo, char *buf, size_t size) {
  for (size_t i = 0; i < COUNT(names); i++)
    if (names[i].number == signo) return names[i].name;
#ifdef SIGRTMIN
  if (signo == SIGRTMIN) return "SIGRTMIN";
  if (SIGRTMIN < signo && signo <= SIGRTMAX) {
    snprintf(buf, size, "SIGRTMIN+%d", signo - SIGRTMIN);
    return buf;
  }
#endif
  return NULL;
}

const char *lipcsys_sigcode (int signo, int code) {
  static const struct {
    int signo; /* 0: any */
    int code;
    const char *name;
  } codes[] = {
    {0, SI_USER, "SI_USER"},
    {0, SI_QUEUE, "SI_QUEUE"},
    {0, SI_TIMER, "SI_TIMER"},
    {0, SI_MESGQ, "SI_MESGQ"},
    {0, SI_ASYNCIO, "SI_ASYNCIO"},
#ifdef SI_TKILL
    {0, SI_TKILL, "SI_TKILL"},
#endif
#ifdef SI_SIGIO
    {0, SI_SIGIO, "SI_SIGIO"},
#endif
#ifdef SI_KERNEL
    {0, SI_KERNEL, "SI_KERNEL"},
#endif
    {SIGCHLD, CLD_EXITED, "CLD_EXITED"},
    {SIGCHLD, CLD_KILLED, "CLD_KILLED"},
    {SIGCHLD, CLD_DUMPED, "CLD_DUMPED"},
    {SIGCHLD, CLD_TRAPPED, "CLD_TRAPPED"},
    {SIGCHLD, CLD_STOPPED, "CLD_STOPPED"},
    {SIGCHLD, CLD_CONTINUED, "CLD_CONTINUED"},
#ifdef SIGIO
    {SIGIO, POLL_IN, "POLL_IN"},
    {SIGIO, POLL_OUT, "POLL_OUT"},
    {SIGIO, POLL_MSG, "POLL_MSG"},
    {SIGIO, POLL_ERR, "POLL_ERR"},
    {SIGIO, POLL_PRI, "POLL_PRI"},
    {SIGIO, POLL_HUP, "POLL_HUP"},
#endif
  };
  for (size_t i = 0; i < COUNT(codes); i++)
    if (codes[i].code == code && (codes[i].signo == 0 || codes[i].signo == signo))
      return codes[i].name;
  return NULL;
}

/* ---- sending ---- */

pid_t lipcsys_getpid (void) { return getpid(); }

pid_t lipcsys_gettid (void) {
#ifdef __linux__
  return (pid_t)syscall(SYS_gettid);
#else
  return getpid(); /* of the first thread; the others have no number here */
#endif
}

int lipcsys_kill (pid_t pid, int signo) { return kill(pid, signo) < 0 ? -errno : 0; }

int lipcsys_killpg (pid_t pgrp, int signo) { return killpg(pgrp, signo) < 0 ? -errno : 0; }

int lipcsys_tgkill (pid_t pid, pid_t tid, int signo) {
#ifdef __linux__
  return syscall(SYS_tgkill, pid != 0 ? pid : getpid(), tid, signo) < 0 ? -errno : 0;
#else
  (void)pid, (void)tid, (void)signo;
  return -ENOSYS;
#endif
}

int lipcsys_raise (int signo) { return -pthread_kill(pthread_self(), signo); }

int lipcsys_sigqueue (pid_t pid, int signo, int value) {
  union sigval v;
  memset(&v, 0, sizeof v);
  v.sival_int = value;
  return sigqueue(pid, signo, v) < 0 ? -errno : 0;
}

int lipcsys_siglimit (uint64_t *ret_n) {
#ifdef RLIMIT_SIGPENDING
  struct rlimit lim;
  if (getrlimit(RLIMIT_SIGPENDING, &lim) < 0) return -errno;
  *ret_n = (uint64_t)lim.rlim_cur;
  return 0;
#else
  (void)ret_n;
  return -ENOSYS;
#endif
}
