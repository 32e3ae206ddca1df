/* shared_hash.c - the table under shared.dict.
** A fixed number of chains, links of 32 bits, entries of blocks of 64 bytes that may lie anywhere: nothing is
** ever moved, and there is room as long as there are blocks.  An entry is written whole, off to the side,
** and then published by the one store of the link that leads to it; a replaced one likewise, in the place of
** the old.  What a killed process had taken from the free list and not published is found again by a walk over
** everything (repair).  Zeroed memory is an empty table.  SPDX-License-Identifier: MIT */
#include "shared_hash.h"

#include <errno.h>
#include <string.h>

/* A link: 0, or the number of a block, counted from 1. */
typedef _Atomic uint32_t link_t;

/* What the next one who has the lock must do first. */
enum { WHOLE, UNSURE, CLEARING };

struct head {
  _Atomic uint32_t state;
  _Atomic uint32_t count; /* entries */
  _Atomic uint32_t used; /* blocks of entries */
  _Atomic uint32_t touched; /* blocks that were ever used: the first ones */
  link_t free; /* list of those of them that are not, by `more` */
  _Atomic uint32_t repairs; /* how often somebody has died inside */
  uint64_t seed[2];
};

struct block {
  link_t more; /* the next block of the entry */
  char data[HASH_BLOCK - sizeof(link_t)];
};

/* The first block of an entry: key and value from here on. */
struct entry {
  link_t more;
  link_t chain;
  _Atomic uint32_t hash;
  _Atomic uint32_t keylen;
  _Atomic uint32_t type_len; /* of the value: type << 29 | length */
  char data[HASH_BLOCK - 5 * sizeof(link_t)];
};

_Static_assert(sizeof(struct entry) == HASH_BLOCK && sizeof(struct block) == HASH_BLOCK, "a line");
_Static_assert(sizeof(struct head) <= HASH_BLOCK, "the head is a line");

#define FIRST       sizeof(((struct entry *)0)->data) /* bytes of key and value in the first block */
#define OTHERS      sizeof(((struct block *)0)->data)

#define load(p)     atomic_load_explicit(p, memory_order_relaxed)
#define store(p, v) atomic_store_explicit(p, v, memory_order_relaxed)

/* Visible to whoever comes after us only when everything before it is. */
#define publish(p, v) atomic_store_explicit(p, v, memory_order_release)

static struct head *head_of (const struct hash *h) { return (struct head *)h->base; }

static link_t *chain_of (const struct hash *h, uint32_t hash) {
  return (link_t *)(h->base + h->plan->index) + (hash & h->plan->mask);
}

static void *block_at (const struct hash *h, uint32_t link) {
  return h->base + h->plan->blocks + (size_t)(link - 1) * HASH_BLOCK;
}

static bool is_block (const struct hash *h, uint32_t link) {
  return link != 0 && link <= h->plan->nblocks;
}

/* Blocks for so many bytes of key and value. */
static uint32_t blocks_for (size_t bytes) {
  return bytes <= FIRST ? 1 : 1 + (uint32_t)((bytes - FIRST + OTHERS - 1) / OTHERS);
}

static size_t align (size_t n) { return (n + HASH_BLOCK - 1) & ~(size_t)(HASH_BLOCK - 1); }

int shared_hash_plan (uint64_t capacity, uint64_t bytes, struct hash_plan *ret_plan) {
  if (capacity < 1 || capacity > HASH_CAPACITY || bytes >= (uint64_t)UINT32_MAX * 32)
    return -EOVERFLOW;
  /* beyond its first block an entry of n bytes has at most n / (FIRST + 1) others; one entry is
  ** written beside the one that it replaces */
  uint64_t nblocks = capacity + (bytes + FIRST) / (FIRST + 1) + 1, chains = 1;
  if (nblocks >= UINT32_MAX) return -EOVERFLOW;
  while (chains < capacity) chains *= 2;
  struct hash_plan p = {(uint32_t)capacity, (uint32_t)nblocks, (uint32_t)chains - 1,
                        .marks = HASH_BLOCK};
  p.index = p.marks + align((nblocks + 7) / 8);
  p.blocks = p.index + align(chains * sizeof(link_t));
  p.size = p.blocks + nblocks * HASH_BLOCK;
  *ret_plan = p;
  return 0;
}

void shared_hash_init (const struct hash *h, const uint64_t seed[2]) {
  memcpy(head_of(h)->seed, seed, sizeof head_of(h)->seed);
}

/* ---- hashing: SipHash-1-3 ---- */

#define ROTL(x, n) ((x) << (n) | (x) >> (64 - (n)))

static inline void sip_round (uint64_t v[4]) {
  v[0] += v[1], v[1] = ROTL(v[1], 13) ^ v[0], v[0] = ROTL(v[0], 32);
  v[2] += v[3], v[3] = ROTL(v[3], 16) ^ v[2];
  v[0] += v[3], v[3] = ROTL(v[3], 21) ^ v[0];
  v[2] += v[1], v[1] = ROTL(v[1], 17) ^ v[2], v[2] = ROTL(v[2], 32);
}

static uint32_t hash_of (const struct hash *h, const char *key, size_t len) {
  uint64_t k[2], m;
  memcpy(k, head_of(h)->seed, sizeof k);
  uint64_t v[4] = {k[0] ^ UINT64_C(0x736f6d6570736575), k[1] ^ UINT64_C(0x646f72616e646f6d),
                   k[0] ^ UINT64_C(0x6c7967656e657261), k[1] ^ UINT64_C(0x7465646279746573)};
  size_t left = len;
  for (; left >= 8; left -= 8, key += 8) {
    memcpy(&m, key, 8);
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
  }
  m = (uint64_t)len << 56;
  for (size_t i = 0; i < left; i++) m |= (uint64_t)(unsigned char)key[i] << 8 * i;
  v[3] ^= m;
  sip_round(v);
  v[0] ^= m;
  v[2] ^= 0xff;
  for (int i = 0; i < 3; i++) sip_round(v);
  m = v[0] ^ v[1] ^ v[2] ^ v[3];
  return (uint32_t)(m ^ m >> 32);
}

/* ---- the bytes of an entry ---- */

/* A place in them. */
struct place {
  struct block *block;
  char *at;
  size_t left; /* in this block */
};

static struct place start_of (struct entry *e) {
  return (struct place){(struct block *)e, e->data, FIRST};
}

enum { COMPARE, READ, WRITE };

/* Over n bytes.  0; -EPROTO; -ENOENT: they compare different. */
static int run (const struct hash *h, struct place *p, int what, char *bytes, size_t n) {
  while (n > 0) {
    if (p->left == 0) {
      uint32_t more = load(&p->block->more);
      if (!is_block(h, more)) return -EPROTO;
      p->block = block_at(h, more);
      p->at = p->block->data;
      p->left = OTHERS;
    }
    size_t part = n < p->left ? n : p->left;
    if (what == READ) memcpy(bytes, p->at, part);
    else if (what == WRITE) memcpy(p->at, bytes, part);
    else if (memcmp(p->at, bytes, part) != 0) return -ENOENT;
    p->at += part;
    p->left -= part;
    bytes += part;
    n -= part;
  }
  return 0;
}

/* Lengths and type, read once. */
struct sizes {
  uint32_t key, value, type;
};

static int sizes_of (const struct hash *h, const struct entry *e, struct sizes *ret) {
  uint32_t type_len = load(&e->type_len);
  struct sizes s = {load(&e->keylen), type_len & (UINT32_MAX >> 3), type_len >> 29};
  if (s.key > HASH_LONGEST || s.value > HASH_LONGEST || s.type > HASH_STRING) return -EPROTO;
  if (blocks_for((size_t)s.key + s.value) > h->plan->nblocks) return -EPROTO;
  if (s.type != HASH_STRING && s.value != (s.type < HASH_INTEGER ? 0 : 8)) return -EPROTO;
  *ret = s;
  return 0;
}

/* Where a key's entry is, or would be. */
struct found {
  link_t *link; /* leads to it; or the end of its chain */
  uint32_t
    block; /* its first one; that number is checked, what the link says may have changed since */
  struct sizes sizes;
  struct place value;
};

/* 0, -ENOENT, -EPROTO */
static int find (const struct hash *h, const char *key, size_t len, uint32_t hash,
                 struct found *ret) {
  ret->link = chain_of(h, hash);
  for (uint32_t n = 0; n <= h->plan->capacity; n++) {
    uint32_t here = load(ret->link);
    if (here == 0) return -ENOENT;
    if (!is_block(h, here)) return -EPROTO;
    struct entry *e = block_at(h, here);
    if (load(&e->hash) == hash && load(&e->keylen) == len) {
      int r = sizes_of(h, e, &ret->sizes);
      ret->block = here;
      ret->value = start_of(e);
      if (r == 0 && ret->sizes.key != len) r = -EPROTO;
      if (r == 0) r = run(h, &ret->value, COMPARE, (char *)key, len);
      if (r != -ENOENT) return r;
    }
    ret->link = &e->chain;
  }
  return -EPROTO; /* a ring */
}

static uint32_t blocks_of (const struct found *f) {
  return blocks_for((size_t)f->sizes.key + f->sizes.value);
}

static uint32_t next_of (const struct hash *h, const struct found *f) {
  return load(&((struct entry *)block_at(h, f->block))->chain);
}

/* ---- blocks ---- */

/* 0: there is none; a number that is none: somebody else has written here. */
static uint32_t take_one (const struct hash *h) {
  struct head *head = head_of(h);
  uint32_t link = load(&head->free);
  if (link != 0) {
    if (is_block(h, link)) publish(&head->free, load(&((struct block *)block_at(h, link))->more));
    return link;
  }
  uint32_t touched = load(&head->touched);
  if (touched >= h->plan->nblocks) return 0;
  publish(&head->touched, touched + 1);
  return touched + 1;
}

/* Puts a chain of n blocks on the free list.  One that does not hang together stays away from it until
** the next repair. */
static void give (const struct hash *h, uint32_t first, uint32_t n) {
  struct head *head = head_of(h);
  uint32_t last = first;
  for (uint32_t i = 1; i < n && is_block(h, last); i++)
    last = load(&((struct block *)block_at(h, last))->more);
  if (!is_block(h, first) || !is_block(h, last)) {
    publish(&head->state, UNSURE);
    return;
  }
  store(&((struct block *)block_at(h, last))->more, load(&head->free));
  LIPC_STEP("dict.freeing");
  publish(&head->free, first);
}

/* A chain of n blocks. */
static int take (const struct hash *h, uint32_t n, uint32_t *ret_first) {
  uint32_t first = 0;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t link = take_one(h);
    if (!is_block(h, link)) {
      if (i > 0) give(h, first, i);
      return link == 0 ? -ENOSPC : -EPROTO;
    }
    store(&((struct block *)block_at(h, link))->more, first);
    first = link;
  }
  *ret_first = first;
  return 0;
}

/* ---- operations ---- */

int shared_hash_get (const struct hash *h, const char *key, size_t len, char *buf, size_t room,
                     struct hash_value *ret_value) {
  struct found f;
  int r = find(h, key, len, hash_of(h, key, len), &f);
  if (r == 0 && f.sizes.value <= room) r = run(h, &f.value, READ, buf, f.sizes.value);
  if (r == 0) *ret_value = (struct hash_value){f.sizes.type, f.sizes.value, buf};
  return r;
}

/* Writes the entry into new blocks, which nothing leads to yet. */
static int write_entry (const struct hash *h, uint32_t hash, const char *key, size_t len,
                        const struct hash_value *value, uint32_t n, uint32_t *ret_first) {
  int r = take(h, n, ret_first);
  if (r < 0) return r;
  LIPC_STEP("dict.taken");
  struct entry *e = block_at(h, *ret_first);
  struct place p = start_of(e);
  r = run(h, &p, WRITE, (char *)key, len);
  if (r == 0) r = run(h, &p, WRITE, (char *)value->data, value->len);
  if (r < 0) publish(&head_of(h)->state, UNSURE); /* the blocks are nowhere now */
  store(&e->hash, hash);
  store(&e->keylen, (uint32_t)len);
  store(&e->type_len, value->type << 29 | (uint32_t)value->len);
  return r;
}

int shared_hash_set (const struct hash *h, const char *key, size_t len,
                     const struct hash_value *value) {
  struct head *head = head_of(h);
  uint32_t hash = hash_of(h, key, len), count = load(&head->count), before = 0, first;
  struct found f;
  int found = find(h, key, len, hash, &f);
  if (found == -EPROTO) return found;
  if (found < 0 && count >= h->plan->capacity) return -ENOSPC;
  if (len > HASH_LONGEST || value->len > HASH_LONGEST) return -ENOSPC;
  uint32_t n = blocks_for(len + value->len);
  if (n > h->plan->nblocks) return -ENOSPC;
  int r = write_entry(h, hash, key, len, value, n, &first);
  if (r < 0) return r;
  store(&((struct entry *)block_at(h, first))->chain, found == 0 ? next_of(h, &f) : 0);
  LIPC_STEP("dict.written");
  publish(f.link, first);
  LIPC_STEP("dict.published");
  if (found == 0) {
    before = blocks_of(&f);
    give(h, f.block, before);
  } else {
    store(&head->count, count + 1);
  }
  store(&head->used, load(&head->used) + n - before);
  LIPC_STEP("dict.set");
  return 0;
}

int shared_hash_delete (const struct hash *h, const char *key, size_t len) {
  struct head *head = head_of(h);
  struct found f;
  int r = find(h, key, len, hash_of(h, key, len), &f);
  if (r < 0) return r;
  publish(f.link, next_of(h, &f));
  LIPC_STEP("dict.unlinked");
  store(&head->used, load(&head->used) - blocks_of(&f));
  store(&head->count, load(&head->count) - 1);
  give(h, f.block, blocks_of(&f));
  LIPC_STEP("dict.deleted");
  return 0;
}

/* The state is what makes it one step: who dies in here has cleared, the next one sees to the rest. */
void shared_hash_clear (const struct hash *h) {
  struct head *head = head_of(h);
  publish(&head->state, CLEARING);
  atomic_thread_fence(memory_order_seq_cst); /* before the first chain is cut */
  LIPC_STEP("dict.clearing");
  memset(h->base + h->plan->index, 0, h->plan->blocks - h->plan->index);
  LIPC_STEP("dict.emptied");
  store(&head->count, 0);
  store(&head->used, 0);
  store(&head->touched, 0);
  store(&head->free, 0);
  publish(&head->state, WHOLE);
  LIPC_STEP("dict.cleared");
}

void shared_hash_stat (const struct hash *h, struct hash_stat *ret_stat) {
  const struct head *head = head_of(h);
  struct hash_stat s = {load(&head->count), load(&head->used), load(&head->repairs)};
  if (s.count > h->plan->capacity) s.count = h->plan->capacity;
  if (s.used > h->plan->nblocks) s.used = h->plan->nblocks;
  *ret_stat = s;
}

/* ---- after a death ---- */

static unsigned char *mark_of (const struct hash *h, uint32_t link, unsigned *ret_bit) {
  *ret_bit = 1u << ((link - 1) & 7);
  return (unsigned char *)h->base + h->plan->marks + ((link - 1) >> 3);
}

/* Marks the blocks of an entry: no block is in two of them, or twice in one. */
static int mark_entry (const struct hash *h, uint32_t link, uint32_t *used) {
  struct sizes s;
  unsigned bit;
  if (!is_block(h, link) || sizes_of(h, block_at(h, link), &s) < 0) return -EPROTO;
  for (uint32_t n = blocks_for((size_t)s.key + s.value); n > 0; n--) {
    if (!is_block(h, link) || *used == h->plan->nblocks) return -EPROTO;
    unsigned char *mark = mark_of(h, link, &bit);
    if (*mark & bit) return -EPROTO;
    *mark |= (unsigned char)bit;
    ++*used;
    link = load(&((struct block *)block_at(h, link))->more);
  }
  return 0;
}

/* What is published counts; every other block is free. */
static int rebuild (const struct hash *h) {
  struct head *head = head_of(h);
  uint32_t count = 0, used = 0, free = 0, touched = load(&head->touched);
  unsigned bit;
  if (touched > h->plan->nblocks) return -EPROTO;
  memset(h->base + h->plan->marks, 0, h->plan->index - h->plan->marks);
  for (uint32_t c = 0; c <= h->plan->mask; c++) {
    uint32_t link = load(chain_of(h, c));
    while (link != 0) {
      int r = mark_entry(h, link, &used);
      if (r < 0 || ++count > h->plan->capacity) return -EPROTO;
      link = load(&((struct entry *)block_at(h, link))->chain);
    }
  }
  LIPC_STEP("dict.marked");
  for (uint32_t link = touched; link > 0; link--)
    if ((*mark_of(h, link, &bit) & bit) == 0) {
      store(&((struct block *)block_at(h, link))->more, free);
      free = link;
    }
  store(&head->free, free);
  LIPC_STEP("dict.relisted");
  store(&head->count, count);
  store(&head->used, used);
  publish(&head->state, WHOLE);
  LIPC_STEP("dict.repaired");
  return 0;
}

int shared_hash_repair (const struct hash *h, bool died) {
  struct head *head = head_of(h);
  uint32_t state = load(&head->state);
  if (died && state == WHOLE) {
    state = UNSURE;
    publish(&head->state, UNSURE);
    LIPC_STEP("dict.unsure");
  }
  if (died) store(&head->repairs, load(&head->repairs) + 1);
  switch (state) {
    case WHOLE: return 0;
    case UNSURE: return rebuild(h);
    case CLEARING: shared_hash_clear(h); return 0;
    default: return -EPROTO;
  }
}

/* ---- copies ---- */

void shared_hash_extent (const struct hash *h, struct hash_plan *ret_plan) {
  struct hash_plan p = *h->plan;
  uint32_t touched = load(&head_of(h)->touched);
  if (touched < p.nblocks) p.nblocks = touched;
  p.size = p.blocks + (size_t)p.nblocks * HASH_BLOCK;
  *ret_plan = p;
}

int shared_hash_next (const struct hash *h, struct hash_walk *walk, uint32_t *ret_entry,
                      size_t *ret_keylen, struct hash_value *ret_value) {
  struct sizes s;
  while (walk->next == 0) {
    if (walk->chain > h->plan->mask) return -ENOENT;
    walk->next = load(chain_of(h, walk->chain++));
  }
  uint32_t here = walk->next;
  if (!is_block(h, here) || walk->steps++ >= h->plan->capacity) return -EPROTO;
  if (sizes_of(h, block_at(h, here), &s) < 0) return -EPROTO;
  walk->next = load(&((struct entry *)block_at(h, here))->chain);
  *ret_entry = here;
  *ret_keylen = s.key;
  *ret_value = (struct hash_value){s.type, s.value, NULL};
  return 0;
}

int shared_hash_read (const struct hash *h, uint32_t entry, size_t skip, size_t n, char *buf) {
  struct place p = start_of(block_at(h, entry));
  char part[256];
  int r = 0;
  for (; r == 0 && skip > 0;) {
    size_t some = skip < sizeof part ? skip : sizeof part;
    r = run(h, &p, READ, part, some);
    skip -= some;
  }
  return r < 0 ? r : run(h, &p, READ, buf, n);
}
