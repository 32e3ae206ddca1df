/* sys_ipc.h - the part of lipc_sys.h that is about the kernel's message queues, semaphores, segments
** and locks; include that.  SPDX-License-Identifier: MIT */
#ifndef LIPC_SYS_IPC_H
#define LIPC_SYS_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

/* ---- waits that the kernel gives no time limit ---- */

/* A call that blocks; wait false: one attempt that does not, -EAGAIN when it would. */
typedef int lipcsys_call (void *arg, bool wait);

/* Makes the blocking call, but for at most that long (finite): what it returned; -EINTR: the time is
** over, or a signal came.  The thread sleeps in the kernel and is woken by a timer with SIGURG, which
** means nothing to anybody while its disposition is the default, and for that time has a handler that
** does nothing.  Where SIGURG is blocked or is somebody's, the call is tried after pauses that grow
** from 50 us to 5 ms.  -- see timer_create(2), msgrcv(2), flock(2), fcntl(2) F_OFD_SETLKW */
int lipcsys_bounded (double seconds, lipcsys_call *call, void *arg);

/* A limit of the kernel as text, from /proc/sys/<name> ("kernel/msgmni"); "?" where it is not told. */
const char *lipcsys_limit (const char *name, char *buf, size_t size);

/* ---- POSIX message queues ---- */

#define LIPC_MQ_NAMEMAX  255 /* bytes behind the '/' */
#define LIPC_MQ_PRIO_MAX 32768 /* priorities are below it */
#define LIPC_MQ_DIR      "/dev/mqueue" /* where the queues are files, if they are anywhere */

struct lipcsys_mqattr {
  long maxmsg, msgsize, curmsgs;
  bool nonblock;
};

struct lipcsys_fileid;

/* Opens, close-on-exec and O_NONBLOCK; the descriptor can be polled.  Names begin with '/'.  make NULL:
** one that exists; else makes it with these attributes and mode (less the umask), -EEXIST if it exists.
** -- see mq_open(3) */
int lipcsys_mqopen (const char *name, unsigned access, unsigned mode,
                    const struct lipcsys_mqattr *make, int *ret_fd);

/* What a new queue gets where nothing is asked for.  -- see mq_overview(7) */
void lipcsys_mqdefault (struct lipcsys_mqattr *ret_attr);

/* -EBADF: no message queue.  -- see mq_getattr(3) */
int lipcsys_mqgetattr (int fd, struct lipcsys_mqattr *ret_attr);
int lipcsys_mqsetattr (int fd, bool nonblock);

/* One attempt that never blocks, in whatever mode the descriptor is; -EAGAIN.  -EMSGSIZE: longer than the
** queue takes, or size is less than its msgsize.  EINTR is retried here.  -- see mq_send(3), mq_receive(3) */
int lipcsys_mqsend (int fd, const void *data, size_t size, unsigned prio);
int lipcsys_mqreceive (int fd, void *buf, size_t size, size_t *ret_n, unsigned *ret_prio);

/* The signal comes once, when a message comes to the empty queue and nobody waits in the kernel for it.
** signo 0: takes that back.  -EBUSY: a process is registered already.  -- see mq_notify(3) */
int lipcsys_mqnotify (int fd, int signo, int value);

/* only: not NULL: if it is this very queue, -ENOENT else.  What cannot be opened is not looked at.
** -- see mq_unlink(3) */
int lipcsys_mqunlink (const char *name, const struct lipcsys_fileid *only);

/* How many bytes of RLIMIT_MSGQUEUE a queue takes; and the limit of that name ("msgqueue", "nofile"),
** UINT64_MAX where there is none.  -- see getrlimit(2) */
uint64_t lipcsys_mqbytes (const struct lipcsys_mqattr *attr);
int lipcsys_mqrlimit (const char *name, uint64_t *ret_n);

enum lipcsys_mqnotice { LIPC_MQ_NOBODY, LIPC_MQ_SIGNAL, LIPC_MQ_NOTHING, LIPC_MQ_THREAD };

struct lipcsys_mqinfo {
  char name[LIPC_MQ_NAMEMAX + 2]; /* with its '/' */
  unsigned mode;
  uid_t uid;
  gid_t gid;
  bool readable; /* what follows is known */
  uint64_t size; /* bytes queued */
  struct lipcsys_mqattr attr;
  enum lipcsys_mqnotice notice; /* what is asked for by pid */
  int signo; /* LIPC_MQ_SIGNAL */
  pid_t pid;
};

/* All queues, by name: at most max are stored, *ret_n is how many there are.  -ENOENT: LIPC_MQ_DIR is not
** there, or nothing is mounted on it.  -- see mq_overview(7) */
int lipcsys_mqlist (struct lipcsys_mqinfo *list, size_t max, size_t *ret_n);

/* ---- System V: what the three kinds share ---- */

/* ---- System V message queues ---- */

/* ---- System V shared memory ---- */

/* ---- System V semaphore sets ---- */

/* ---- POSIX semaphores ---- */

/* ---- file locks ---- */

#pragma GCC visibility pop
#endif
