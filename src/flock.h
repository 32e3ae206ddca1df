/* flock.h - what the files of the module flock share: whole files, ranges, lock files.
** SPDX-License-Identifier: MIT */
#ifndef LIPC_FLOCK_H
#define LIPC_FLOCK_H

#include "lipc_kit.h"

#pragma GCC visibility push(hidden)

/* A file or a range of one.  Their methods are the same; they differ in what is locked. */
typedef struct Lock {
  struct lipc_handle h;
  int kind; /* LIPC_LK_FLOCK: a file */
  int64_t start, length;
  int held; /* LIPC_LK_* */
  int lost; /* what the attempt that goes on has given up */
  unsigned taker; /* lipcsys_forkgen of the process that took it */
  bool lent; /* of a file: its description is open elsewhere in this process */
  bool strays; /* of a file: ranges were collected that had locked something */
  struct Lock *file; /* of a range: it is user value LIPC_UV_FREE too */
  struct Lock *next, **link; /* a file: its first range; ranges: the list */
} Lock;

/* lock, trylock, unlock, test, held, with. */
extern const luaL_Reg lipc_lock_methods[];

/* Their class.block. */
int lipc_lock_block (lua_State *L, const struct lipc_op *op, int t, double seconds);

/* lipcsys_bounded for calls that handlers with SA_RESTART do not end. */
int lipc_lock_wait (lipcsys_call *call, void *arg, double seconds);

/* Gives back what this very object has taken, in this very process. */
void lipc_lock_drop (Lock *l, int fd);

/* "shared" or "exclusive" as LIPC_LK_*. */
int lipc_lock_checkmode (lua_State *L, int arg);

/* What is to be said about an error beside its text, or NULL. */
const char *lipc_lock_note (int err);

extern const struct lipc_class lipc_range_class;

/* f:range(start, length[, {posix=}]) */
int lipc_lock_range (lua_State *L);

/* flock.lockfile, flock.holder */
extern const luaL_Reg lipc_lockfile_funcs[];
extern const struct lipc_class lipc_lockfile_class;

#pragma GCC visibility pop
#endif
