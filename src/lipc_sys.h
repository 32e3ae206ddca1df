/* lipc_sys.h - what lipc asks of the operating system.  No Lua in here.
** Every function returns 0 or a negative errno; results go through ret_ pointers, which are left
** untouched on failure.  A platform that lacks a thing returns -ENOSYS.  SPDX-License-Identifier: MIT */
#ifndef LIPC_SYS_H
#define LIPC_SYS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

/* ---- errors ---- */

/* Conditions that are errors to lipc and not to the kernel; used negated, as an errno is. */
#define LIPC_EEOF     0x7001 /* the stream has ended: code "EOF" */
#define LIPC_ENUMBER  0x7002 /* what was to be read is no numeral: code "EINVAL" */
#define LIPC_EUNSAFE  0x7010 /* a directory that others own or may write to: code "EPERM" */
#define LIPC_EGAI     0x7100 /* + the absolute value of an EAI_ number: code "EAI_NONAME" ... */
#define LIPC_ENOTFIFO 0x7011 /* something else has that name: code "EINVAL" */
#define LIPC_EMSGBIG  0x7013 /* a message is larger than there is room for: code "E2BIG" */
#define LIPC_ESYMLINK 0x7012 /* a symbolic link, which is not followed: code "ELOOP" */

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

/* ---- FIFOs ---- */

/* What tells one file from another that has taken its name. */
struct lipcsys_fileid {
  uint64_t dev, ino;
};

/* The mode is changed by the umask, as mkfifo(3) says.  -- see mknod(2) */
int lipcsys_mkfifo (const char *path, unsigned mode, bool bymknod);

/* 0, -LIPC_ENOTFIFO or -LIPC_ESYMLINK. */
int lipcsys_isfifo (const char *path);

/* Never blocks; opens nothing but a FIFO (-LIPC_ENOTFIFO) and follows no symbolic link
** (-LIPC_ESYMLINK).  -ENXIO (*ret_id is set): nobody has it open to read.  -- see fifo(7), open(2) */
int lipcsys_openfifo (const char *path, unsigned access, int *ret_fd,
                      struct lipcsys_fileid *ret_id);

/* Whether somebody has the other end of a FIFO open now: 0 or -EAGAIN.  The only way to see a silent
** writer is to read, so *ret_seen may tell that there is a byte, to be put before what is read next;
** or that a writer was there since the opening, and left.  In blocking mode a writer is seen only by
** what it has written. */
#define LIPC_SAWBYTE  1u
#define LIPC_SAWLEAVE 2u
int lipcsys_haspeer (int fd, unsigned io, unsigned dir, char *ret_byte, unsigned *ret_seen);

/* Removes a FIFO and nothing else; only this very one unless `only` is NULL.  -- see unlink(2) */
int lipcsys_unlinkfifo (const char *path, const struct lipcsys_fileid *only);

/* The path with the working directory before it, if it is relative. */
int lipcsys_abspath (const char *path, char *buf, size_t size);

/* ---- eventfd ---- */

int lipcsys_eventfd (unsigned initial, bool semaphore, int *ret_fd);

/* Adds without blocking, in whatever mode the descriptor is.  -EAGAIN when the sum would be too great.
** In blocking mode another process that adds at the same moment can still make it block. */
int lipcsys_eventfd_add (int fd, unsigned *io, uint64_t value);

/* Whether an open descriptor is an eventfd. */
bool lipcsys_iseventfd (int fd);

/* ---- sockets ---- */

enum { LIPC_AF_UNIX = 1, LIPC_AF_INET, LIPC_AF_INET6, LIPC_AF_OTHER };
enum { LIPC_SOCK_STREAM = 1, LIPC_SOCK_DGRAM, LIPC_SOCK_SEQPACKET, LIPC_SOCK_OTHER };

/* An address as the kernel wants it; size 0: none. */
struct lipcsys_addr {
  unsigned size;
  _Alignas(8) unsigned char bytes[128];
};

/* The same in parts. */
struct lipcsys_addrparts {
  int family;
  bool abstract;
  int port;
  size_t len; /* of name, which ends with a zero all the same */
  char name[128]; /* path, abstract name or numeric host; empty: unnamed */
};

/* From a path, or a name in Linux's abstract space.  -ENAMETOOLONG: *ret_max is what fits. */
int lipcsys_unixaddr (const char *name, size_t len, bool abstract, struct lipcsys_addr *ret_addr,
                      size_t *ret_max);

/* From a numeric host ("127.0.0.1", "::1", "fe80::1%eth0").  -EINVAL: it is a name, or of the other
** family (family 0: either).  Never looks anything up. */
int lipcsys_inetaddr (const char *host, int port, int family, struct lipcsys_addr *ret_addr);

void lipcsys_addrparts (const struct lipcsys_addr *addr, struct lipcsys_addrparts *ret_parts);

/* Close-on-exec and non-blocking.  -- see socket(2), socketpair(2) */
int lipcsys_socket (int family, int type, int *ret_fd);
int lipcsys_socketpair (int type, int ret_fds[2]);

/* What an open socket is.  -ENOTSOCK */
int lipcsys_sockinfo (int fd, int *ret_family, int *ret_type);

int lipcsys_bind (int fd, const struct lipcsys_addr *addr);
int lipcsys_listen (int fd, int backlog);

/* One connection, close-on-exec and non-blocking; never blocks.  What only concerns a connection
** that is gone again is not reported.  -EAGAIN, -EMFILE ...   -- see accept4(2) */
int lipcsys_accept (int fd, unsigned io, int *ret_fd, struct lipcsys_addr *ret_peer);

/* 0; -EINPROGRESS: writable when decided, then ask lipcsys_connected; -EAGAIN: the listener's
** backlog is full, try again later (there is nothing to poll).   -- see connect(2) */
int lipcsys_connect (int fd, const struct lipcsys_addr *addr);
int lipcsys_connected (int fd);

int lipcsys_sockname (int fd, struct lipcsys_addr *ret_addr);
int lipcsys_peername (int fd, struct lipcsys_addr *ret_addr);

/* Who connected, or made the pair.  -- see unix(7) SO_PEERCRED */
struct lipcsys_cred {
  long pid, uid, gid; /* pid 0: not known */
};
int lipcsys_peercred (int fd, struct lipcsys_cred *ret_cred);

int lipcsys_shutdown (int fd, unsigned directions);

/* Sends one message, or what fits of a stream's bytes, with descriptors if nfds > 0; to may be NULL.
** -- see sendmsg(2), unix(7) SCM_RIGHTS */
#define LIPC_MAXFDS 253 /* in one message: the kernel's SCM_MAX_FD */
int lipcsys_sendmsg (int fd, const void *data, size_t size, const struct lipcsys_addr *to,
                     const int *fds, int nfds, size_t *ret_n);

/* Receives.  The descriptors come close-on-exec; more than maxfds of them, or such as this process
** has no room for, make cut true, and those that did come are the caller's to close. */
struct lipcsys_recv {
  void *data;
  size_t size;
  struct lipcsys_addr *from; /* may be NULL */
  int *fds; /* room for LIPC_MAXFDS; NULL: those that come are closed */
  int maxfds;
  size_t n; /* bytes stored */
  size_t full; /* the message's own length: more than n when it did not fit */
  int nfds;
  bool cut; /* descriptors are missing */
  bool ended; /* no message but the end of the connection */
};
int lipcsys_recvmsg (int fd, int family, int type, struct lipcsys_recv *m);

/* The length of the next message, which stays; -EAGAIN.  0: empty, or the end. */
int lipcsys_nextsize (int fd, size_t *ret_size);

/* Options by name; NULL when there is none of that name on this platform. */
enum lipcsys_optkind {
  LIPC_OPT_BOOL,
  LIPC_OPT_INT,
  LIPC_OPT_LINGER,
  LIPC_OPT_ERROR,
  LIPC_OPT_TYPE,
  LIPC_OPT_FAMILY
};
struct lipcsys_sockopt {
  const char *name;
  int level, option;
  enum lipcsys_optkind kind;
  bool readonly;
};
const struct lipcsys_sockopt *lipcsys_sockopt (const char *name);
/* A number for each kind: 0 or 1; the value; seconds or -1; an errno; LIPC_SOCK_*; LIPC_AF_*. */
int lipcsys_getsockopt (int fd, const struct lipcsys_sockopt *o, long *ret_value);
int lipcsys_setsockopt (int fd, const struct lipcsys_sockopt *o, long value);

/* ---- socket paths ---- */

/* Binds to a path with exactly this mode, which is never laxer for a moment.  replace: a socket there
** to which nobody is bound any more is removed first, under a lock on the directory; one that is
** alive is -EADDRINUSE, what is no socket -ENOTSOCK.  -- see unix(7) */
int lipcsys_bindpath (int fd, const struct lipcsys_addr *addr, unsigned mode, bool replace,
                      struct lipcsys_fileid *ret_id);

/* Removes the path if it is still that socket. */
int lipcsys_unlinkpath (const char *path, const struct lipcsys_fileid *id);

/* $XDG_RUNTIME_DIR/lipc, else /tmp/lipc-<uid>; made with mode 0700 if missing.  -LIPC_EUNSAFE when it
** is somebody else's or open to others.  path is filled in in any case. */
int lipcsys_runtimedir (char *path, size_t size);

/* ---- name look-up ---- */

/* A look-up in a thread of its own that has all signals blocked.  *ret_fd becomes readable when it
** is done; it belongs to the job: drop it after it is out of every poll set.   -- see getaddrinfo(3) */
struct lipcsys_lookup;
int lipcsys_lookup (const char *host, int port, int family, int type,
                    struct lipcsys_lookup **ret_job, int *ret_fd);
/* -EAGAIN while it runs; -LIPC_EGAI-n */
int lipcsys_lookedup (struct lipcsys_lookup *job, struct lipcsys_addr *addrs, int max, int *ret_n);
/* May be called at any time, also in a forked child, where the thread does not exist. */
void lipcsys_lookup_drop (struct lipcsys_lookup *job);

/* Name and text of an EAI_ number, given without its sign. */
const char *lipcsys_lookupname (int n);
const char *lipcsys_lookuptext (int n);
/* ---- timers ---- */

enum lipcsys_clock { LIPC_CLOCK_MONOTONIC, LIPC_CLOCK_REALTIME, LIPC_CLOCK_BOOTTIME };

/* Seconds on that clock. */
int lipcsys_clocknow (enum lipcsys_clock clock, double *ret_now);

int lipcsys_timer (enum lipcsys_clock clock, int *ret_fd);

#define LIPC_TIMER_ABSOLUTE 1u
#define LIPC_TIMER_CANCEL   2u /* reading fails with ECANCELED when somebody sets the clock */

/* first: when it fires, from now or on its clock; < 0: never.  interval: 0 is once.
** -- see timerfd_settime(2) */
int lipcsys_settimer (int fd, double first, double interval, unsigned flags);

/* *ret_left is 0 when it is disarmed. */
int lipcsys_gettimer (int fd, double *ret_left, double *ret_interval);

/* Whether an open descriptor is a timer. */
bool lipcsys_istimer (int fd);

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
  int umask; /* -1: this process's */
  int nice; /* added to this process's */
  int pgroup; /* -1: this process's, 0: a new one that it leads, else the one to join */
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
  int code; /* of exit, or -1 */
  int signal; /* that ended it, or 0 */
  bool core; /* dumped core */
};

/* The status of a child that has ended; unless `keep` it is taken from the kernel, once.  -EAGAIN:
** it runs.  -ECHILD: not our child, or somebody else has taken it.  -- see waitid(2) */
int lipcsys_pidwait (int pidfd, bool keep, struct lipcsys_status *ret_status);

/* A signal to the process, or to the group that it leads or led; never to another that got its
** number.  Without PIDFD_SIGNAL_PROCESS_GROUP (Linux 6.9) a group can be reached only while
** its leader's status was not taken: -ESRCH after.  -- see pidfd_send_signal(2) */
int lipcsys_pidkill (int pidfd, int sig);
int lipcsys_pidkillgroup (int pidfd, pid_t pgid, bool reaped, int sig);

/* Whether somebody of the group has not ended; what only waits to be reaped has.  Expensive: it looks at
** all processes. */
int lipcsys_grouprunning (pid_t pgid, bool *ret_runs);

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

#include "sys_admin.h"
#include "sys_ipc.h"
#include "sys_mem.h"
#include "sys_signal.h"
#endif
