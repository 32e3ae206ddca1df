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

/* ---- System V: what the three kinds share ---- */

/* ---- System V message queues ---- */

/* ---- System V shared memory ---- */

/* ---- System V semaphore sets ---- */

/* ---- POSIX semaphores ---- */

/* ---- file locks ---- */

enum { LIPC_LK_FLOCK, LIPC_LK_OFD, LIPC_LK_POSIX };
enum { LIPC_LK_NONE, LIPC_LK_SHARED, LIPC_LK_EXCLUSIVE };

/* A lock: flock(2)'s of a whole file, or a record lock, of the open file description or the process. */
struct lipcsys_lock {
  int kind; /* LIPC_LK_FLOCK ... */
  int mode; /* LIPC_LK_NONE: unlocks */
  int64_t start,
    length; /* of record locks, in bytes; length 0: to the end, wherever that will be */
};

/* Opens what is to be locked: close-on-exec, never blocking, never emptied, no symbolic link followed
** as the last part (-ELOOP).  -- see open(2) */
int lipcsys_openlock (const char *path, unsigned access, bool create, bool exclusive, unsigned mode,
                      int *ret_fd);

/* Takes, converts or gives back.  wait false: -EAGAIN while somebody else is in the way.  wait true: a
** signal ends it (-EINTR).  -EDEADLK (POSIX, waiting), -ENOLCK, -EBADF (not open for that).
** -- see flock(2), fcntl(2) F_OFD_SETLK, F_SETLK */
int lipcsys_setlock (int fd, const struct lipcsys_lock *l, bool wait);

#define LIPC_MAXHOLDERS 32

struct lipcsys_holder {
  int kind, mode;
  int64_t start, length;
  int npids; /* 0: it cannot be told */
  long pids[LIPC_MAXHOLDERS];
};

/* Who would be in the way, without touching anything: 0 (nobody) or 1 (*ret_holder is one of them).
** Of flock(2) locks and of pids only /proc knows.  -- see fcntl(2) F_OFD_GETLK, proc(5) fdinfo, locks */
int lipcsys_testlock (int fd, const struct lipcsys_lock *l, struct lipcsys_holder *ret_holder);

/* The mode of the flock(2) lock that the open file description holds; LIPC_LK_NONE also where it
** cannot be told. */
int lipcsys_ownlock (int fd);

/* A lock file: opened, or made with that mode, to read and write.  -EINVAL: something else has that name. */
int lipcsys_openlockfile (const char *path, unsigned mode, int *ret_fd);

/* Whether the path names that very file. */
bool lipcsys_isnamed (int fd, const char *path);

/* The number in a lock file, whoever wrote it; 0: none that could be a pid. */
long lipcsys_readpid (int fd);

/* Empties the file and writes this process's pid into it, if pid is true. */
int lipcsys_writepid (int fd, bool pid);

/* Whether there is such a process that is not this one. */
bool lipcsys_otherlives (long pid);

/* Removes the path if it names that very file. */
int lipcsys_unlinklock (int fd, const char *path);

/* The value of RLIMIT_NOFILE. */
long lipcsys_maxfds (void);

#pragma GCC visibility pop
#endif
