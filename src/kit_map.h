/* kit_map.h - memory that is mapped, as shm, mmap, sysv.shm, views and locks share it.
**
** A mapping belongs to the object that made it.  Others who look into it keep that object in a user
** value, keep offsets, never addresses, and go through lipc_map_at for every access: it may have been
** closed, or have become smaller, since.  At lua_close finalisers run in any order: then it is closed.
** SPDX-License-Identifier: MIT */
#ifndef LIPC_KIT_MAP_H
#define LIPC_KIT_MAP_H

#include "lipc_kit.h"

#pragma GCC visibility push(hidden)

/* Somebody whose memory must not move or go without his knowing. */
struct lipc_pin {
  struct lipc_pin *next, **link;
  /* The mapping is about to go.  false: it must stay in place, for ever if need be. */
  bool (*gone)(struct lipc_pin *pin);
};

struct lipc_map {
  char *base; /* NULL: closed */
  size_t size; /* 0 when it is closed, or when there is nothing: every access is out of bounds */
  bool readonly;
  bool private; /* what is written here nobody else sees */
  const _Atomic bool
    *lost; /* set by the guard when the file was cut off under it; never NULL while size > 0 */
  struct lipc_pin *pins; /* not empty: it can be closed, but neither move nor shrink */
  bool stays; /* as if it were pinned, for ever: somebody whom nobody can ask looks into it */
  size_t lead; /* bytes before base that are mapped too: an offset need not be a page's */
  struct lipcsys_guard *guard; /* NULL: not guarded */
  int (*unmap)(void *addr); /* NULL: munmap(2) */
};

/* What an unguarded mapping's `lost` points to. */
extern const _Atomic bool lipc_map_neverlost;

/* The mapping of the argument, an lipc object that has one and is open; anything else is misuse. */
struct lipc_map *lipc_checkmap (lua_State *L, int arg);

/* The address of n bytes at this offset, or misuse of argument arg: closed, lost, out of bounds. */
static inline char *lipc_map_at (lua_State *L, int arg, const struct lipc_map *m, size_t offset,
                                 size_t n);

/* After an access: raises if what was read came from pages that the file no longer has, and what was
** written went nowhere. */
static inline void lipc_map_done (lua_State *L, int arg, const struct lipc_map *m);

/* Maps size bytes (0: nothing) of the file from this offset on, or shared memory with fd -1, how being
** LIPC_MAP_*, into m, which is closed.  */
int lipc_map_open (struct lipc_map *m, int fd, uint64_t offset, size_t size, unsigned how,
                   bool guard);

/* Another size, of the same memory.  -EBUSY: it has pins and no room to grow where it is.  What is pinned is
** not to be cut off: the caller sees to that. */
int lipc_map_resize (struct lipc_map *m, int fd, uint64_t offset, size_t size, unsigned how,
                     bool guard);

static inline bool lipc_map_isfixed (const struct lipc_map *m) {
  return m->pins != NULL || m->stays;
}

void lipc_map_pin (struct lipc_map *m, struct lipc_pin *pin);
void lipc_map_unpin (struct lipc_pin *pin);

/* Asks the pins; then unmaps, unless one of them needs it to stay.  Afterwards it is closed. */
int lipc_map_close (struct lipc_map *m);

/* size(), read(), write(), __len ...: for the method lists of objects that map. */
extern const luaL_Reg lipc_map_methods[];

/* ---- inline ---- */

int lipc_map_outside (lua_State *L, int arg, const struct lipc_map *m, size_t offset, size_t n);
int lipc_map_islost (lua_State *L, int arg);

static inline char *lipc_map_at (lua_State *L, int arg, const struct lipc_map *m, size_t offset,
                                 size_t n) {
  if (offset > m->size || n > m->size - offset) lipc_map_outside(L, arg, m, offset, n);
  return m->base + offset;
}

static inline bool lipc_map_lost (const struct lipc_map *m) {
  return atomic_load_explicit(m->lost, memory_order_relaxed);
}

static inline void lipc_map_done (lua_State *L, int arg, const struct lipc_map *m) {
  if (lipc_map_lost(m)) lipc_map_islost(L, arg);
}

#pragma GCC visibility pop
#endif
