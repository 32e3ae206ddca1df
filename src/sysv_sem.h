/* sysv_sem.h - semaphore sets: what sysv_sem.c (the set, its values, opening) and sysv_semop.c (operations)
** share.  SPDX-License-Identifier: MIT */
#ifndef LIPC_SYSV_SEM_H
#define LIPC_SYSV_SEM_H

#include "sysv.h"

#pragma GCC visibility push(hidden)

typedef struct Set {
  Sysv s;
  lua_Integer nsems;
  bool undo; /* what wait and post do when they are not told */
  int16_t flags; /* of such an operation that does not wait */
  /* while it is being opened */
  struct lipcsys_sysvopen how;
  uint16_t *initial; /* how.n values, or NULL */
  bool found, unlink, settled; /* there was one; wait until it has been initialised */
} Set;

/* As lipc_failself, with a note on the limit; and as lipc_result. */
int lipc_semset_fail (lua_State *L, const char *op, int err);
int lipc_semset_result (lua_State *L, const char *op, int err);

/* The set at 1, open, and the number at 2, from 1, which it has. */
Set *lipc_semset_checknum (lua_State *L);

/* op, wait, post, zero, with; and how they wait. */
extern const luaL_Reg lipc_semset_operations[];
int lipc_semset_block (lua_State *L, const struct lipc_op *op, int t, double seconds);

#pragma GCC visibility pop
#endif
