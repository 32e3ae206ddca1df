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

/* ---- child processes ---- */

/* Descriptor `from` of this process becomes `to` in the child; from == to keeps it. */
struct lipcsys_move {
  int from, to;
};

struct lipcsys_rlimit {
  int resource; /* as lipcsys_rlimit gave it */
  uint64_t soft, hard; /* UINT64_MAX: unlimited */
};

/* What a child is to be.  Everything is prepared: between clone and exec nothing is allocated. */
struct lipcsys_child {
  const char *file; /* with a slash: the path, else looked for in `path`.  NULL: lipcsys_fork */
  const char *path; /* directories, colon between them; NULL: file is a path in any case */
  char *const *argv, *const *envp; /* envp NULL: this process's */
  const char *cwd; /* NULL: this process's; changed before descriptors and exec */
  const struct lipcsys_move *moves; /* no two with the same `to` */
  int nmoves;
  const struct lipcsys_rlimit *limits;
  int nlimits;
  int umask;   /* -1: this process's */
  int nice;    /* added to this process's */
  int pgroup;  /* -1: this process's, 0: a new one that it leads, else the one to join */
  bool session; /* a new session, and so a new group */
  bool keepmask; /* do not empty the signal mask */
  int deathsig; /* the signal it gets when this thread ends; 0: none */
};

/* The step that failed in a child, for messages; which: index in moves or limits, else 0. */
enum lipcsys_stage {
  LIPC_STAGE_SPAWN, /* making the process itself */
  LIPC_STAGE_SESSION,
  LIPC_STAGE_PGROUP,
  LIPC_STAGE_CHDIR,
  LIPC_STAGE_MOVE,
  LIPC_STAGE_LIMIT,
  LIPC_STAGE_NICE,
  LIPC_STAGE_DEATHSIG,
  LIPC_STAGE_EXEC
};
struct lipcsys_failed {
  enum lipcsys_stage stage;
  int which;
};

/* Starts a program in a child: signal dispositions default, descriptors above 2 that are no move's `to`
** closed.  Takes no longer for a large process than for a small one, runs no fork hooks, and fails
** with the errno of the step that failed, told in *ret_failed.  *ret_pidfd is close-on-exec and
** readable when the child has ended.  -- see clone(2), execve(2), pidfd_open(2) */
int lipcsys_spawn (const struct lipcsys_child *c, pid_t *ret_pid, int *ret_pidfd,
                   struct lipcsys_failed *ret_failed);

/* Copies this process; in the child *ret_pid is 0 and what c asks for was done, but descriptors that
** it does not name stay open.  *ret_link: one end of a channel between the two, close-on-exec and
** non-blocking.  -- see fork(2) */
int lipcsys_fork (const struct lipcsys_child *c, pid_t *ret_pid, int *ret_pidfd, int *ret_link,
                  struct lipcsys_failed *ret_failed);

/* Ends a forked child: nothing of Lua or of the C library is finalised, standard output and error
** are flushed.  -- see _exit(2) */
void lipcsys_exitchild (int code) __attribute__((noreturn));

/* What this process wrote by the C library and is still buffered goes out, so that a child does not
** write it too. */
void lipcsys_flushstdio (bool others);

/* How many threads this process has. */
int lipcsys_threads (int *ret_n);

struct lipcsys_status {
  int code;   /* of exit, or -1 */
  int signal; /* that ended it, or 0 */
  bool core;  /* dumped core */
};

/* The status of a child that has ended; unless `keep` it is taken from the kernel, once.  -EAGAIN:
** it runs.  -ECHILD: not our child, or somebody else has taken it.  -- see waitid(2) */
int lipcsys_pidwait (int pidfd, bool keep, struct lipcsys_status *ret_status);

/* A signal to the process, or to the group that it leads or led; never to another that got its
** number.  Without PIDFD_SIGNAL_PROCESS_GROUP (Linux 6.9) a group can be reached only while
** its leader's status was not taken: -ESRCH after.  -- see pidfd_send_signal(2) */
int lipcsys_pidkill (int pidfd, int sig);
int lipcsys_pidkillgroup (int pidfd, pid_t pgid, bool reaped, int sig);

/* Whether a group can be reached after that. */
bool lipcsys_hasgroupkill (void);

/* Children that nobody will wait for any more.  The node is made beforehand, so that giving up
** cannot fail; it owns the pidfd from then on.  lipcsys_reap takes the status of those that have
** ended, in any Lua state and thread. */
struct lipcsys_orphan;
int lipcsys_neworphan (struct lipcsys_orphan **ret_node);
void lipcsys_freeorphan (struct lipcsys_orphan *node);
void lipcsys_orphan (struct lipcsys_orphan *node, int pidfd);
void lipcsys_reap (void);

/* The resource number of "nofile", "as", "core" ...; -EINVAL.  -- see setrlimit(2) */
int lipcsys_rlimit (const char *name, int *ret_resource);

/* The environment and the default of PATH. */
char **lipcsys_environ (void);
const char *lipcsys_defaultpath (void);

/* Opens a file for a child, close-on-exec: mode "r", "w" (made or emptied), "a", "r+", "x" (must not
** exist).  New files have mode 0666 less the umask, as a shell's have; a FIFO is not waited for.
** -- see open(2) */
int lipcsys_openfile (const char *path, const char *mode, int *ret_fd);

int lipcsys_setnonblock (int fd, bool on);
bool lipcsys_isatty (int fd);

/* ---- signals ---- */
/* TEMPORARY */
int lipcsys_signumber (const char *name, int *ret_signo);
const char *lipcsys_signame (int signo, char *buf, size_t size);
/* END TEMPORARY */

/* Not zero: some Lua state has signal callbacks to run.  Set by the handler. */
extern _Atomic unsigned lipcsys_alarm;

/* SIGPIPE was set to be ignored through lipc: writing needs no protection then. */
extern _Atomic bool lipcsys_sigpipe_ignored;

#pragma GCC visibility pop
#endif
