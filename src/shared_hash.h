/* shared_hash.h - the table under shared.dict: bytes in shared memory and nothing of Lua.
**
** The caller holds the lock of the table around every call.  Whatever instant a process is killed at,
** the next call finds the table as it was before or after what was going on (shared_hash_repair).
** Nothing that lies in the table is trusted: words are read once, links and lengths checked against the
** plan, which is this process's own, and every walk ends after as many steps as there are blocks.
** SPDX-License-Identifier: MIT */
#ifndef LIPC_SHARED_HASH_H
#define LIPC_SHARED_HASH_H

#include "lipc_sys.h"

#pragma GCC visibility push(hidden)

#define HASH_BLOCK    64 /* bytes, of which an entry has one or more; a cache line */
#define HASH_CAPACITY (UINT32_C(1) << 30) /* entries at most */
#define HASH_LONGEST  (UINT32_C(1) << 28) /* bytes of a value, or of a key */

/* Where everything lies, from the start of the table on: known from its capacity alone. */
struct hash_plan {
  uint32_t capacity; /* entries */
  uint32_t nblocks;
  uint32_t mask; /* number of chains, a power of 2, less 1 */
  size_t marks, index, blocks, size; /* offsets; size: of the whole */
};

/* A table, or a copy of one. */
struct hash {
  char *base; /* aligned as its words need it; to HASH_BLOCK for speed */
  const struct hash_plan *plan;
};

enum hash_type { HASH_FALSE, HASH_TRUE, HASH_INTEGER, HASH_FLOAT, HASH_STRING };

/* Bytes of ours, in a buffer of `room` bytes where they are to be read into. */
struct hash_value {
  unsigned type;
  size_t len;
  const char *data;
};

/* Room for that many entries whose keys and values together have that many bytes.  -EOVERFLOW: more
** than a table can be. */
int shared_hash_plan (uint64_t capacity, uint64_t bytes, struct hash_plan *ret_plan);

/* Of zeroed memory.  The seed makes it unknown which keys share a chain. */
void shared_hash_init (const struct hash *h, const uint64_t seed[2]);

/* Before everything but clear.  died: somebody died with the lock.  0, or -EPROTO: somebody else has
** written into it. */
int shared_hash_repair (const struct hash *h, bool died);

/* 0: the value's type and length, and its bytes in buf if there is room for them; -ENOENT, -EPROTO. */
int shared_hash_get (const struct hash *h, const char *key, size_t len, char *buf, size_t room,
                     struct hash_value *ret_value);

/* Makes it the value of the key.  0; -ENOSPC: there is no room for it, and the old value stands; -EPROTO. */
int shared_hash_set (const struct hash *h, const char *key, size_t len,
                     const struct hash_value *value);

/* 0, -ENOENT, -EPROTO */
int shared_hash_delete (const struct hash *h, const char *key, size_t len);

/* All of them at once; what somebody else has written is gone too. */
void shared_hash_clear (const struct hash *h);

struct hash_stat {
  uint32_t count, used; /* entries, blocks */
  uint32_t repairs; /* how often somebody has died in the middle of a change */
};
void shared_hash_stat (const struct hash *h, struct hash_stat *ret_stat);

/* The plan of a copy: as many blocks as are in use; its size is what must be copied from the start on. */
void shared_hash_extent (const struct hash *h, struct hash_plan *ret_plan);

/* A walk over a copy, which nobody changes and whose plan says how many blocks it has. */
struct hash_walk {
  uint32_t chain, next, steps;
};

/* The next entry: where its lengths and its type are known, shared_hash_read has its bytes.  -ENOENT: that
** were all; -EPROTO. */
int shared_hash_next (const struct hash *h, struct hash_walk *walk, uint32_t *ret_entry,
                      size_t *ret_keylen, struct hash_value *ret_value);
int shared_hash_read (const struct hash *h, uint32_t entry, size_t skip, size_t n, char *buf);

#pragma GCC visibility pop
#endif
