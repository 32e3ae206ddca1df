/* sys_sync.h - the part of lipc_sys.h that is about who takes part in what lies in shared memory;
** include that.  SPDX-License-Identifier: MIT */
#ifndef LIPC_SYS_SYNC_H
#define LIPC_SYS_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* ---- who takes part ---- */

/* A process, told apart from a later one with the same number by when it started.  All who share
** the memory are of one pid name space. */
struct lipcsys_who {
  uint32_t pid;
  uint64_t start; /* in ticks since the system's start; 0: not known */
};

/* This process; asked of the system once, and again in a forked child. */
struct lipcsys_who lipcsys_self (void);

/* Whether that process runs.  One that has ended and only waits to be reaped does not.  Where it
** cannot be told it does.  -- see kill(2), proc(5) /proc/pid/stat */
bool lipcsys_isalive (struct lipcsys_who who);

#pragma GCC visibility pop
#endif
