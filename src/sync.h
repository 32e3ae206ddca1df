/* sync.h - what the files of the module sync share.
** SPDX-License-Identifier: MIT */
#ifndef LIPC_SYNC_H
#define LIPC_SYNC_H

#include "kit_sync.h"

#pragma GCC visibility push(hidden)

/* Begins the table of a stat: type, name, offset, size. */
void lipc_sync_stat (lua_State *L, const struct lipc_placed *p);

/* ---- mutexes, as a condition needs them ---- */

typedef struct Mutex {
  struct lipc_placed p; /* its hold is the lock's: owner, process, serial of the taking */
  bool raw, recursive;
  unsigned depth; /* how often a recursive one was taken */
  unsigned taken; /* the last serial that was given out */
} Mutex;

extern const struct lipc_class lipc_mutex_class;

/* What a condition keeps while the mutex is given back. */
struct lipc_mutex_kept {
  unsigned serial, depth;
};

/* Gives it wholly back for a wait. */
int lipc_mutex_leave (lua_State *L, Mutex *m, struct lipc_mutex_kept *ret_kept);

/* Has it back as it was, then ends the call of wait: outcome 0 or a negative errno. */
int lipc_mutex_relock (lua_State *L, int t, int outcome);

/* Where a condition's wait has what: a frame that the two share. */
enum {
  LIPC_WAIT_MUTEX = 2,
  LIPC_WAIT_COND, /* which is at 1 too, until it is the mutex's turn */
  LIPC_WAIT_SERIAL,
  LIPC_WAIT_DEPTH,
  LIPC_WAIT_SEQ,
  LIPC_WAIT_OUTCOME,
  LIPC_WAIT_TIMEOUT
};

/* Fails for the mutex at index 1. */
int lipc_mutex_failed (lua_State *L, const char *op, int err);

int lipc_sync_mutex (lua_State *L);
int lipc_sync_cond (lua_State *L);
int lipc_sync_rwlock (lua_State *L);
int lipc_sync_barrier (lua_State *L);
int lipc_sync_once (lua_State *L);

/* How many bytes one takes. */
#define LIPC_RWLOCK_SLOTS 64
#define LIPC_SYNC_MAX     4096 /* slots, parties */
size_t lipc_cond_size (void);
size_t lipc_mutex_size (void);
size_t lipc_once_size (void);
size_t lipc_rwlock_size (lua_Integer slots);
size_t lipc_barrier_size (lua_Integer parties);
#define LIPC_MUTEX_OFFSET 32 /* of the pthread_mutex_t behind the header */

extern const struct lipc_class lipc_cond_class, lipc_rwlock_class, lipc_barrier_class,
  lipc_once_class;

#pragma GCC visibility pop
#endif
