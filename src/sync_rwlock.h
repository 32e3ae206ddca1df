/* sync_rwlock.h - what lies in the memory of a reader-writer lock (sync_rwslots.c), for its object
** (sync_rwlock.c).  SPDX-License-Identifier: MIT */
#ifndef LIPC_SYNC_RWLOCK_H
#define LIPC_SYNC_RWLOCK_H

#include "sync.h"

#pragma GCC visibility push(hidden)

/* Of a slot.  Repairs: writes, was told EOWNERDEAD, and has not called consistent(). */
enum { SLOT_FREE, SLOT_READS, SLOT_WRITES, SLOT_REPAIRS, SLOT_WANTS };
enum { STATE_OK, STATE_ORPHANED, STATE_LOST };

struct lipc_rwslot {
  _Atomic uint32_t state; /* SLOT_* */
  _Atomic uint32_t pid;
  _Atomic uint64_t start;
  _Atomic uint64_t token; /* the object there */
  _Atomic uint64_t until; /* SLOT_WANTS: nanoseconds on the monotonic clock */
};

struct lipc_rwmem {
  struct lipc_sync_header header;
  _Atomic uint32_t seq; /* grows when something is given back: slept on */
  _Atomic uint32_t waiting; /* somebody may sleep */
  _Atomic uint32_t state; /* STATE_* */
  _Atomic uint32_t reserved;
  struct lipc_rwslot slots[];
};

typedef struct Rwlock {
  struct lipc_placed p; /* its hold: of the coroutine that writes */
  unsigned nslots;
  int slot; /* what it reads or writes in, or -1 */
  int wish; /* where it says that it wants to write, or -1 */
  unsigned forkgen; /* of the process whose they are */
  unsigned readers; /* how often its coroutines read */
  double looked; /* when it last looked who is alive */
} Rwlock;

#define LIPC_RW_LOOKUP 0.1 /* seconds asleep, or between two looks whether the others are alive */

/* What others see of it. */
struct lipc_rwview {
  bool reader, writer; /* others */
  bool wish; /* anybody's */
  int free; /* a slot, or -1 */
};

/* Inside the word lock: what the slots say. */
struct lipc_rwview lipc_rw_look (const Rwlock *rw, const struct lipc_rwmem *m);

/* Inside the word lock, which they leave.  0; -EOWNERDEAD: had, and a writer died; -EAGAIN; -ENOSPC: no slot
** is free; -ENOTRECOVERABLE; -EPROTO: overwritten.  waits: what it wants is written down meanwhile. */
int lipc_rw_read (Rwlock *rw, struct lipc_rwmem *m, struct lipc_rwview v);
int lipc_rw_write (Rwlock *rw, struct lipc_rwmem *m, struct lipc_rwview v, bool waits);

/* Outside the word lock: looks at the processes of the others, drops what the dead have. */
void lipc_rw_sweep (Rwlock *rw, struct lipc_rwmem *m);

/* Empties one of this object's slots.  -EAGAIN: somebody stays inside the word lock for so long. */
int lipc_rw_empty (const Rwlock *rw, struct lipc_rwmem *m, int at, double seconds);

/* Of a writer: all is in order again.  0; -EINVAL: nobody died; -EAGAIN. */
int lipc_rw_mend (Rwlock *rw, struct lipc_rwmem *m);

/* Sleeps until something was given back, unless it could be had now.  0, -EINTR. */
int lipc_rw_sleep (const Rwlock *rw, struct lipc_rwmem *m, bool write, double seconds);

/* How many read, how many wait to write, and the process that writes or 0. */
struct lipc_rwcount {
  unsigned readers, waiting, writer;
};
struct lipc_rwcount lipc_rw_count (const Rwlock *rw, const struct lipc_rwmem *m);

/* Fills in one that is made; arg: const unsigned *, the number of slots. */
void lipc_rw_init (void *memory, const void *arg);

#pragma GCC visibility pop
#endif
