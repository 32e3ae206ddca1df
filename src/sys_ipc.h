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

#pragma GCC visibility pop
#endif
