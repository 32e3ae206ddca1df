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

struct lipcsys_sem; /* sem_t */

#define LIPC_SEM_NAMEMAX 251 /* behind the "/": the C library puts "sem." before it */

/* The greatest value. */
unsigned lipcsys_semmax (void);

struct lipcsys_semopen {
  const char *name;
  unsigned mode, initial;
  bool create, exclusive;
};

/* Opens or makes it; *ret_made: it was not there.  Others may make and remove it at the same time.
** *ret_id tells it from another of that name, zeros where nothing does.  -EINVAL: what has that name is
** too small for a semaphore, or no regular file.  -- see sem_open(3), sem_overview(7) */
int lipcsys_semopen (const struct lipcsys_semopen *o, struct lipcsys_sem **ret_sem, bool *ret_made,
                     struct lipcsys_fileid *ret_id);
int lipcsys_semclose (struct lipcsys_sem *sem);

/* only: removes it only if it is still that one; NULL: whichever.  -- see sem_unlink(3) */
int lipcsys_semunlink (const char *name, const struct lipcsys_fileid *only);

/* -EAGAIN when it is 0. */
int lipcsys_semtry (struct lipcsys_sem *sem);
/* Waits for at most that long (finite).  -ETIMEDOUT, -EINTR.  -- see sem_clockwait(3) */
int lipcsys_semwait (struct lipcsys_sem *sem, double seconds);
/* -EOVERFLOW: it has the greatest value. */
int lipcsys_sempost (struct lipcsys_sem *sem);
int lipcsys_semvalue (struct lipcsys_sem *sem);

/* Which limit an error of lipcsys_semopen is about, or NULL. */
const char *lipcsys_semnote (int err, char *buf, size_t size);

/* ---- file locks ---- */

#pragma GCC visibility pop
#endif
