/* sys_child.c - children that exist: their status, signals to them, those that nobody waits for; and
** what a child is made from (limits, files, environment).  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- status and signals ---- */

#ifdef __linux__
#define LIPC_P_PIDFD      ((idtype_t)3)
#define LIPC_SIGNAL_GROUP 4u /* PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9 */

int lipcsys_pidwait (int pidfd, bool keep, struct lipcsys_status *ret_status) {
  siginfo_t si;
  int r;
  memset(&si, 0, sizeof si);
  do r = waitid(LIPC_P_PIDFD, (id_t)pidfd, &si, WEXITED | WNOHANG | (keep ? WNOWAIT : 0));
  while (r < 0 && errno == EINTR);
  if (r < 0) return -errno;
  if (si.si_pid == 0) return -EAGAIN;
  struct lipcsys_status st = {-1, 0, false};
  if (si.si_code == CLD_EXITED) st.code = si.si_status;
  else st.signal = si.si_status;
  st.core = si.si_code == CLD_DUMPED;
  *ret_status = st;
  return 0;
}

int lipcsys_pidkill (int pidfd, int sig) {
#ifdef SYS_pidfd_send_signal
  return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0u) < 0 ? -errno : 0;
#else
  (void)pidfd, (void)sig;
  return -ENOSYS;
#endif
}

int lipcsys_pidkillgroup (int pidfd, pid_t pgid, bool reaped, int sig) {
  struct lipcsys_status st;
#ifdef SYS_pidfd_send_signal
  if (syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, LIPC_SIGNAL_GROUP) == 0) return 0;
  if (errno != EINVAL) return -errno;
  if (sig < 0 || sig >= NSIG) return -EINVAL;
#endif
  if (reaped || lipcsys_pidwait(pidfd, true, &st) == -ECHILD) return -ESRCH;
  return kill(-pgid, sig) < 0 ? -errno : 0;
}

/* State and group of a process that /proc lists: "pid (name) S ppid pgrp ...", where name may be anything. */
static bool runs_in (const char *pid, pid_t pgid) {
  char path[64], line[512], state;
  int fd = -1, group;
  ssize_t n = -1;
  if (snprintf(path, sizeof path, "/proc/%s/stat", pid) < (int)sizeof path)
    fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  n = read(fd, line, sizeof line - 1);
  close(fd);
  if (n <= 0) return false;
  line[n] = '\0';
  const char *after = strrchr(line, ')');
  if (after == NULL || sscanf(after, ") %c %*d %d", &state, &group) != 2) return false;
  return group == pgid && state != 'Z' && state != 'X';
}

int lipcsys_grouprunning (pid_t pgid, bool *ret_runs) {
  DIR *d = opendir("/proc");
  bool runs = false;
  if (d == NULL) return -errno;
  for (struct dirent *e; !runs && (e = readdir(d)) != NULL;)
    runs = '0' < e->d_name[0] && e->d_name[0] <= '9' && runs_in(e->d_name, pgid);
  closedir(d);
  *ret_runs = runs;
  return 0;
}

int lipcsys_threads (int *ret_n) {
  struct stat st;
  if (stat("/proc/self/task", &st) < 0) return -errno;
  *ret_n = (int)st.st_nlink - 2;
  return 0;
}

#else

int lipcsys_pidwait (int pidfd, bool keep, struct lipcsys_status *ret_status) {
  (void)pidfd, (void)keep, (void)ret_status;
  return -ENOSYS;
}
int lipcsys_pidkill (int pidfd, int sig) {
  (void)pidfd, (void)sig;
  return -ENOSYS;
}
int lipcsys_pidkillgroup (int pidfd, pid_t pgid, bool reaped, int sig) {
  (void)pidfd, (void)pgid, (void)reaped, (void)sig;
  return -ENOSYS;
}
int lipcsys_grouprunning (pid_t pgid, bool *ret_runs) {
  (void)pgid, (void)ret_runs;
  return -ENOSYS;
}
int lipcsys_threads (int *ret_n) {
  (void)ret_n;
  return -ENOSYS;
}

#endif

/* ---- children that nobody waits for ---- */

struct lipcsys_orphan {
  struct lipcsys_orphan *next;
  unsigned forkgen;
  int pidfd;
};

/* Of the whole process, because a child may outlive the Lua state that made it.  The lock tells in
** which fork generation it was taken: a copy that fork made while another thread held it is free. */
static struct {
  _Atomic unsigned lock; /* 0: free, else 1 + lipcsys_forkgen */
  _Atomic unsigned n;
  struct lipcsys_orphan *list;
} orphans;

static bool try_lock (void) {
  unsigned mine = lipcsys_forkgen + 1, was = 0;
  if (atomic_compare_exchange_strong(&orphans.lock, &was, mine)) return true;
  return was != mine && atomic_compare_exchange_strong(&orphans.lock, &was, mine);
}

static void unlock (void) { atomic_store(&orphans.lock, 0); }

int lipcsys_neworphan (struct lipcsys_orphan **ret_node) {
  struct lipcsys_orphan *o = calloc(1, sizeof *o);
  if (o == NULL) return -ENOMEM;
  *ret_node = o;
  return 0;
}

void lipcsys_freeorphan (struct lipcsys_orphan *node) { free(node); }

/* A child of fork is not the parent of these. */
static bool is_over (const struct lipcsys_orphan *o) {
  struct lipcsys_status st;
  return o->forkgen != lipcsys_forkgen || lipcsys_pidwait(o->pidfd, false, &st) != -EAGAIN;
}

void lipcsys_orphan (struct lipcsys_orphan *node, int pidfd) {
  node->forkgen = lipcsys_forkgen;
  node->pidfd = pidfd;
  if (is_over(node)) {
    close(pidfd);
    free(node);
    return;
  }
  while (!try_lock()) sched_yield();
  node->next = orphans.list;
  orphans.list = node;
  atomic_fetch_add(&orphans.n, 1);
  unlock();
}

void lipcsys_reap (void) {
  if (atomic_load_explicit(&orphans.n, memory_order_relaxed) == 0) return;
  if (!try_lock()) return; /* another thread is at it */
  for (struct lipcsys_orphan **at = &orphans.list; *at != NULL;) {
    struct lipcsys_orphan *o = *at;
    if (!is_over(o)) {
      at = &o->next;
      continue;
    }
    *at = o->next;
    atomic_fetch_sub(&orphans.n, 1);
    close(o->pidfd);
    free(o);
  }
  unlock();
}

/* ---- what a child is made from ---- */

int lipcsys_rlimit (const char *name, int *ret_resource) {
  static const struct {
    const char *name;
    int resource;
  } known[] = {
    {"as", RLIMIT_AS},
    {"core", RLIMIT_CORE},
    {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},
    {"fsize", RLIMIT_FSIZE},
    {"nofile", RLIMIT_NOFILE},
    {"stack", RLIMIT_STACK},
#ifdef RLIMIT_MEMLOCK
    {"memlock", RLIMIT_MEMLOCK},
#endif
#ifdef RLIMIT_NPROC
    {"nproc", RLIMIT_NPROC},
#endif
#ifdef RLIMIT_RSS
    {"rss", RLIMIT_RSS},
#endif
#ifdef RLIMIT_LOCKS
    {"locks", RLIMIT_LOCKS},
    {"msgqueue", RLIMIT_MSGQUEUE},
    {"nice", RLIMIT_NICE},
    {"rtprio", RLIMIT_RTPRIO},
    {"sigpending", RLIMIT_SIGPENDING},
#endif
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(known[i].name, name) != 0) continue;
    *ret_resource = known[i].resource;
    return 0;
  }
  return -EINVAL;
}

char **lipcsys_environ (void) { return environ; }

const char *lipcsys_defaultpath (void) { return "/bin:/usr/bin"; }

int lipcsys_openfile (const char *path, const char *mode, int *ret_fd) {
  int flags;
  if (strcmp(mode, "r") == 0) flags = O_RDONLY;
  else if (strcmp(mode, "w") == 0) flags = O_WRONLY | O_CREAT | O_TRUNC;
  else if (strcmp(mode, "a") == 0) flags = O_WRONLY | O_CREAT | O_APPEND;
  else if (strcmp(mode, "r+") == 0) flags = O_RDWR;
  else if (strcmp(mode, "x") == 0) flags = O_WRONLY | O_CREAT | O_EXCL;
  else return -EINVAL;
  int fd;
  do fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) return -errno;
  (void)lipcsys_setnonblock(fd, false);
  *ret_fd = fd;
  return 0;
}

int lipcsys_setnonblock (int fd, bool on) {
  int fl = fcntl(fd, F_GETFL);
  if (fl < 0) return -errno;
  int want = on ? fl | O_NONBLOCK : fl & ~O_NONBLOCK;
  return want != fl && fcntl(fd, F_SETFL, want) < 0 ? -errno : 0;
}

bool lipcsys_isatty (int fd) { return isatty(fd) == 1; }

int lipcsys_columns (int fd, int *ret_columns) {
  struct winsize size;
  if (!lipcsys_isatty(fd)) return -ENOTTY;
  *ret_columns = ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
  return 0;
}

/* ---- before and after a forked child ---- */

void lipcsys_flushstdio (bool others) {
  if (others) {
    fflush(NULL);
  } else {
    fflush(stdout);
    fflush(stderr);
  }
}

void lipcsys_exitchild (int code) { _exit(code); }
