/* sys_spawn.c - making a child process.  Linux: clone(2) that borrows this process's memory until
** exec, as vfork does, so that its price does not grow with the parent; and fork(2) for children that
** go on in Lua.  What runs in the borrowed memory allocates nothing, takes no lock, and has a
** stack and a descriptor table of its own.  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <unistd.h>

#ifdef __linux__
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

/* A sanitizer's marks around the locals of a function that never returns would stay in the memory
** that the child borrowed. */
#define IN_CHILD     __attribute__((no_sanitize("address"), no_sanitize("undefined")))

#define LIPC_P_PIDFD ((idtype_t)3) /* newer than some C libraries */

#define STACKSIZE    65536

/* A move with its place in the caller's list. */
struct slot {
  int from, to, which;
};

/* What parent and child share. */
struct job {
  const struct lipcsys_child *c;
  struct slot *slots; /* by ascending `to` */
  pid_t parent;
  sigset_t mask; /* what the child ends up with */
  volatile int err; /* of the step that failed, positive */
  volatile enum lipcsys_stage stage;
  volatile int which;
};

/* ---- in the child ---- */

/* Those that the C library keeps for its threads too when a program follows: it hides them, but an
** ignored one would stay ignored. */
IN_CHILD static void default_signals (bool program) {
  struct sigaction sa, dfl;
  char zeros[sizeof dfl]; /* for the kernel, whose structure is smaller: SIG_DFL, no flags */
  memset(&dfl, 0, sizeof dfl);
  memset(zeros, 0, sizeof zeros);
  dfl.sa_handler = SIG_DFL;
  for (int s = 1; s < NSIG; s++) {
    if (program) (void)syscall(SYS_rt_sigaction, s, zeros, NULL, (size_t)(NSIG / 8));
    else if (sigaction(s, NULL, &sa) == 0 && sa.sa_handler != SIG_DFL)
      (void)sigaction(s, &dfl, NULL);
  }
  if (!program) lipcsys_guard_again(); /* mappings are inherited, and so is what guards them */
}

/* The lowest number above all that are assigned. */
IN_CHILD static int above_slots (const struct job *j) {
  int n = j->c->nmoves, top = 3;
  return n > 0 && j->slots[n - 1].to >= top ? j->slots[n - 1].to + 1 : top;
}

/* First those that another one may overwrite go out of the way, so that 3 and 4 can be swapped. */
IN_CHILD static int move_all (struct job *j) {
  int n = j->c->nmoves, top = above_slots(j);
  for (int i = 0; i < n; i++) {
    struct slot *m = &j->slots[i];
    j->which = m->which;
    if (m->from == m->to || m->from >= top) continue;
    int fd = fcntl(m->from, F_DUPFD_CLOEXEC, top);
    if (fd < 0) return errno == EINVAL ? EMFILE : errno;
    m->from = fd;
  }
  for (int i = 0; i < n; i++) {
    const struct slot *m = &j->slots[i];
    j->which = m->which;
    if (m->from == m->to ? fcntl(m->to, F_SETFD, 0) < 0 : dup2(m->from, m->to) < 0) return errno;
  }
  return 0;
}

/* For kernels without close_range (before 5.9): /proc, or else every number. */
IN_CHILD static void close_listed (unsigned lo, unsigned hi) {
  struct entry {
    uint64_t ino;
    int64_t off;
    unsigned short reclen;
    unsigned char type;
    char name[];
  };
  char buf[2048] __attribute__((aligned(8)));
  int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) {
    long max = sysconf(_SC_OPEN_MAX);
    for (unsigned fd = lo; fd <= hi && (max < 0 || fd < (unsigned long)max); fd++) close((int)fd);
    return;
  }
  for (bool again = true; again;) { /* closing moves the entries: until a pass finds none */
    again = false;
    lseek(dir, 0, SEEK_SET);
    for (long n; (n = syscall(SYS_getdents64, dir, buf, sizeof buf)) > 0;) {
      for (long at = 0; at < n;) {
        const struct entry *e = (const struct entry *)(buf + at);
        unsigned fd = 0;
        const char *p = e->name;
        while (*p >= '0' && *p <= '9') fd = fd * 10 + (unsigned)(*p++ - '0');
        at += e->reclen;
        if (p == e->name || *p != '\0' || fd < lo || fd > hi || fd == (unsigned)dir) continue;
        if (close((int)fd) == 0) again = true;
      }
    }
  }
  close(dir);
}

IN_CHILD static void close_between (unsigned lo, unsigned hi) {
  if (lo > hi) return;
#ifdef SYS_close_range
  if (syscall(SYS_close_range, lo, hi, 0) == 0) return;
#endif
  close_listed(lo, hi);
}

IN_CHILD static void close_others (const struct job *j) {
  unsigned next = 3;
  for (int i = 0; i < j->c->nmoves; i++) {
    unsigned to = (unsigned)j->slots[i].to;
    if (to < next) continue;
    if (to > next) close_between(next, to - 1);
    next = to + 1;
  }
  close_between(next, UINT_MAX);
}

IN_CHILD static int set_limits (struct job *j) {
  for (int i = 0; i < j->c->nlimits; i++) {
    const struct lipcsys_rlimit *l = &j->c->limits[i];
    struct rlimit r;
    r.rlim_cur = l->soft == UINT64_MAX ? RLIM_INFINITY : (rlim_t)l->soft;
    r.rlim_max = l->hard == UINT64_MAX ? RLIM_INFINITY : (rlim_t)l->hard;
    j->which = i;
    if (setrlimit((unsigned)l->resource, &r) < 0) return errno;
  }
  return 0;
}

IN_CHILD static int set_nice (int add) {
  errno = 0;
  return nice(add) == -1 && errno != 0 ? errno : 0;
}

IN_CHILD static int set_deathsig (const struct job *j) {
  if (prctl(PR_SET_PDEATHSIG, j->c->deathsig) < 0) return errno;
  if (getppid() != j->parent) _exit(127); /* it died before we asked */
  return 0;
}

/* All that both kinds of child do.  0 or a positive errno. */
IN_CHILD static int prepare (struct job *j) {
  const struct lipcsys_child *c = j->c;
  int e = 0;
  default_signals(c->file != NULL);
  j->stage = LIPC_STAGE_SESSION;
  if (c->session && setsid() < 0) return errno;
  j->stage = LIPC_STAGE_PGROUP;
  if (c->pgroup >= 0 && !c->session && setpgid(0, c->pgroup) < 0) return errno;
  j->stage = LIPC_STAGE_CHDIR;
  if (c->cwd != NULL && chdir(c->cwd) < 0) return errno;
  j->stage = LIPC_STAGE_MOVE;
  if ((e = move_all(j)) != 0) return e;
  j->which = 0;
  if (c->umask >= 0) umask((mode_t)c->umask);
  if (c->file != NULL) close_others(j);
  j->stage = LIPC_STAGE_LIMIT;
  if ((e = set_limits(j)) != 0) return e;
  j->which = 0;
  j->stage = LIPC_STAGE_NICE;
  if (c->nice != 0 && (e = set_nice(c->nice)) != 0) return e;
  j->stage = LIPC_STAGE_DEATHSIG;
  return c->deathsig != 0 ? set_deathsig(j) : 0;
}

/* Tries the directories in turn, as a shell does.  Returns the errno that tells most. */
IN_CHILD static int search_exec (const struct lipcsys_child *c, char *const *envp) {
  char full[PATH_MAX];
  size_t flen = strlen(c->file);
  int e = flen > NAME_MAX ? ENAMETOOLONG : ENOENT;
  for (const char *dir = c->path;; dir++) {
    const char *end = strchrnul(dir, ':');
    size_t dlen = (size_t)(end - dir), n = dlen;
    if (dlen + flen + 2 <= sizeof full) {
      memcpy(full, dir, dlen);
      if (dlen > 0) full[n++] = '/'; /* an empty element is the working directory */
      memcpy(full + n, c->file, flen + 1);
      execve(full, c->argv, envp);
      switch (errno) {
        case EACCES: e = EACCES; /* fall through */
        case ENOENT:
        case ENOTDIR:
        case ENODEV:
        case ESTALE:
        case ELOOP:
        case ENAMETOOLONG: break;
        default: return errno;
      }
    }
    if (*end == '\0') return e;
    dir = end;
  }
}

IN_CHILD static int run_child (void *arg) {
  struct job *j = arg;
  const struct lipcsys_child *c = j->c;
  int e = prepare(j);
  if (e == 0) {
    char *const *envp = c->envp != NULL ? c->envp : environ;
    sigprocmask(SIG_SETMASK, &j->mask, NULL);
    j->stage = LIPC_STAGE_EXEC;
    if (c->path == NULL || strchr(c->file, '/') != NULL) {
      execve(c->file, c->argv, envp);
      e = errno;
    } else {
      e = search_exec(c, envp);
    }
  }
  j->err = e;
  _exit(127);
}

/* ---- in the parent ---- */

static void sort_moves (const struct lipcsys_child *c, struct slot *s) {
  for (int i = 0; i < c->nmoves; i++) {
    int k = i;
    for (; k > 0 && s[k - 1].to > c->moves[i].to; k--) s[k] = s[k - 1];
    s[k] = (struct slot){c->moves[i].from, c->moves[i].to, i};
  }
}

static void begin_job (struct job *j, const struct lipcsys_child *c, struct slot *slots,
                       sigset_t *old) {
  sigset_t all;
  memset(j, 0, sizeof *j);
  j->c = c;
  j->slots = slots;
  j->parent = getpid();
  sort_moves(c, slots);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, old); /* no handler of the host's may run in the child */
  if (c->keepmask) j->mask = *old;
  else sigemptyset(&j->mask);
}

static int failed_job (const struct job *j, struct lipcsys_failed *ret_failed) {
  ret_failed->stage = j->stage;
  ret_failed->which = j->which;
  return -j->err;
}

static int no_child (int err, struct lipcsys_failed *ret_failed) {
  ret_failed->stage = LIPC_STAGE_SPAWN;
  ret_failed->which = 0;
  return err;
}

/* Of a child that is about to end, so that no zombie is left. */
static void take_status (int pidfd) {
  siginfo_t si;
  while (waitid(LIPC_P_PIDFD, (id_t)pidfd, &si, WEXITED) < 0 && errno == EINTR) continue;
}

int lipcsys_spawn (const struct lipcsys_child *c, pid_t *ret_pid, int *ret_pidfd,
                   struct lipcsys_failed *ret_failed) {
  size_t size = STACKSIZE + (size_t)c->nmoves * sizeof(struct slot);
  char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1,
                   0);
  struct job j;
  sigset_t old;
  int pidfd = -1, saved = errno, cancel, e = 0;
  if (mem == MAP_FAILED) return no_child(-ENOMEM, ret_failed);
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
  begin_job(&j, c, (struct slot *)(mem + STACKSIZE), &old);
  pid_t pid = clone(run_child, mem + STACKSIZE, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &j,
                    &pidfd);
  if (pid < 0) e = no_child(-errno, ret_failed);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (pid > 0 && j.err != 0) {
    e = failed_job(&j, ret_failed);
    take_status(pidfd);
  }
  pthread_setcancelstate(cancel, &cancel);
  munmap(mem, size);
  errno = saved; /* the child had the same one */
  if (e < 0) {
    if (pidfd >= 0) close(pidfd);
    return e;
  }
  *ret_pid = pid;
  *ret_pidfd = pidfd;
  return 0;
}

/* ---- fork ---- */

struct report {
  int err;
  struct lipcsys_failed failed;
};

static int take_all (int fd, void *buf, size_t size) {
  ssize_t n;
  do n = recv(fd, buf, size, MSG_WAITALL);
  while (n < 0 && errno == EINTR);
  return n == (ssize_t)size ? 0 : -EPIPE;
}

static int open_pid (pid_t pid) {
#ifdef SYS_pidfd_open
  int fd = (int)syscall(SYS_pidfd_open, pid, 0);
  return fd < 0 ? -errno : fd;
#else
  (void)pid;
  return -ENOSYS;
#endif
}

/* The child goes on only when the parent holds a pidfd: its number cannot be another's by then, also
** where the host takes the status of every child. */
static void start_child (struct job *j, int link, int *ret_link) {
  struct report r = {0, {LIPC_STAGE_SPAWN, 0}};
  char go;
  if (take_all(link, &go, 1) < 0) _exit(127);
  if (link < above_slots(j)) { /* the moves must not hit it */
    link = fcntl(link, F_DUPFD_CLOEXEC, above_slots(j));
    if (link < 0) _exit(127);
  }
  r.err = prepare(j);
  r.failed.stage = j->stage;
  r.failed.which = j->which;
  (void)send(link, &r, sizeof r, MSG_NOSIGNAL);
  if (r.err != 0) _exit(127);
  atomic_store(&lipcsys_sigpipe_ignored, false);
  (void)lipcsys_setnonblock(link, true);
  pthread_sigmask(SIG_SETMASK, &j->mask, NULL);
  *ret_link = link;
}

/* After fork, in the parent: lets the child go and hears how far it got. */
static int meet_child (pid_t pid, int link, int *ret_pidfd, struct lipcsys_failed *ret_failed) {
  struct report r;
  int pidfd = open_pid(pid);
  if (pidfd < 0) {
    shutdown(link, SHUT_RDWR); /* it ends by itself */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    return no_child(pidfd, ret_failed);
  }
  (void)send(link, "", 1, MSG_NOSIGNAL);
  if (take_all(link, &r, sizeof r) == 0 && r.err != 0) {
    take_status(pidfd);
    close(pidfd);
    *ret_failed = r.failed;
    return -r.err;
  }
  *ret_pidfd = pidfd; /* one that was killed so soon has a status for wait */
  return 0;
}

int lipcsys_fork (const struct lipcsys_child *c, pid_t *ret_pid, int *ret_pidfd, int *ret_link,
                  struct lipcsys_failed *ret_failed) {
  struct job j;
  sigset_t old;
  int sv[2], pidfd = -1, e = 0;
  struct slot *slots = malloc(((size_t)c->nmoves + 1) * sizeof *slots);
  if (slots == NULL) return no_child(-ENOMEM, ret_failed);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0) {
    e = no_child(-errno, ret_failed);
    free(slots);
    return e;
  }
  begin_job(&j, c, slots, &old);
  pid_t pid = fork();
  if (pid == 0) {
    close(sv[0]);
    start_child(&j, sv[1], ret_link);
    free(slots);
    *ret_pid = 0;
    return 0;
  }
  if (pid < 0) e = no_child(-errno, ret_failed);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  close(sv[1]);
  free(slots);
  if (e == 0) e = meet_child(pid, sv[0], &pidfd, ret_failed);
  if (e < 0) {
    close(sv[0]);
    return e;
  }
  (void)lipcsys_setnonblock(sv[0], true);
  *ret_pid = pid;
  *ret_pidfd = pidfd;
  *ret_link = sv[0];
  return 0;
}

#else /* not Linux */

int lipcsys_spawn (const struct lipcsys_child *c, pid_t *ret_pid, int *ret_pidfd,
                   struct lipcsys_failed *ret_failed) {
  (void)c, (void)ret_pid, (void)ret_pidfd;
  ret_failed->stage = LIPC_STAGE_SPAWN;
  ret_failed->which = 0;
  return -ENOSYS;
}

int lipcsys_fork (const struct lipcsys_child *c, pid_t *ret_pid, int *ret_pidfd, int *ret_link,
                  struct lipcsys_failed *ret_failed) {
  (void)ret_link;
  return lipcsys_spawn(c, ret_pid, ret_pidfd, ret_failed);
}

#endif
