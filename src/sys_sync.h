/* sys_sync.h - the part of lipc_sys.h that is about who takes part in what lies in shared memory;
** include that.  SPDX-License-Identifier: MIT */
#ifndef LIPC_SYS_SYNC_H
#define LIPC_SYS_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* ---- who takes part ---- */

/* A process, told apart from a later one with the same number by when it started, and from itself before an
** exec, where that can be told.  All who share the memory are of one pid name space. */
struct lipcsys_who {
  uint32_t pid;
  uint64_t start; /* when, and what of the program's image others can see; 0: not known */
};

/* This process; asked of the system once, and again in a forked child. */
struct lipcsys_who lipcsys_self (void);

/* Whether that process runs, and the same program.  One that has ended and only waits to be reaped does not.  Where it
** cannot be told it does.  -- see kill(2), proc(5) /proc/pid/stat */
bool lipcsys_isalive (struct lipcsys_who who);

/* ---- mutexes of the C library ---- */

/* Robust and shared between processes; one that a program in C uses is the same.  The C library trusts
** what is in this memory: whoever can write to it is trusted too.  -- see pthread_mutex_lock(3) */
enum lipcsys_mutextype { LIPC_MUTEX_NORMAL, LIPC_MUTEX_RECURSIVE, LIPC_MUTEX_ERRORCHECK };

#define LIPC_MUTEX_SIZE 64 /* room for one */
size_t lipcsys_mutexsize (void); /* what one takes */

int lipcsys_mutexinit (void *mutex, enum lipcsys_mutextype type);

/* One attempt.  0; -EOWNERDEAD: it is ours, and who had it died; -EAGAIN: another thread has it;
** -ENOTRECOVERABLE; -EINVAL ... when there is no mutex. */
int lipcsys_mutextry (void *mutex);

/* The same, waiting for at most that long, by the monotonic clock where the C library can.  -ETIMEDOUT.
** Signals do not end it.  -- see pthread_mutex_clocklock(3) */
int lipcsys_mutexwait (void *mutex, double seconds);

/* -EPERM: this thread does not hold it. */
int lipcsys_mutexunlock (void *mutex);

/* -EINVAL: nobody died. */
int lipcsys_mutexconsistent (void *mutex);

#pragma GCC visibility pop
#endif
