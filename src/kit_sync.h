/* kit_sync.h - structures in shared memory: their header, the object that looks at one, and the lock
** that may be held while Lua runs.
**
** A structure begins with a struct lipc_sync_header, in which a word lock (sys_mem.h) protects what
** follows, for the inside of one C call.  What the header says is checked once, when the structure is
** opened; afterwards nothing that lies there is trusted: each word is read once (lipc_get), checked, used.
** Stores that others must see in order when the process dies between them are made by lipc_put, with a
** LIPC_STEP between them.
** SPDX-License-Identifier: MIT */
#ifndef LIPC_KIT_SYNC_H
#define LIPC_KIT_SYNC_H

#include "kit_map.h"

#pragma GCC visibility push(hidden)

#define lipc_get(word)    atomic_load_explicit(word, memory_order_relaxed)
#define lipc_put(word, v) atomic_store_explicit(word, v, memory_order_release)

/* ---- the header ---- */

enum lipc_sync_kind {
  LIPC_KIND_MUTEX = 1,
  LIPC_KIND_COND,
  LIPC_KIND_RWLOCK,
  LIPC_KIND_BARRIER,
  LIPC_KIND_ONCE,
  LIPC_KIND_SEMAPHORE,
  LIPC_KIND_VALUE,
  LIPC_KIND_ARRAY,
  LIPC_KIND_STRUCT,
  LIPC_KIND_DICT,
};

/* 32 bytes; everything zero: nothing there yet. */
struct lipc_sync_header {
  _Atomic uint32_t lock; /* the word lock */
  _Atomic uint32_t magic; /* written last */
  _Atomic uint32_t kind, version;
  _Atomic uint64_t size; /* of all of it, from the header on */
  _Atomic uint64_t reserved;
};

/* Seconds for others to come out of a C call, where an operation takes no timeout; and for one attempt,
** which may be on a loop's thread. */
#define LIPC_SYNC_PATIENCE 2.0
#define LIPC_SYNC_SHORT    500e-6

#define LIPC_SYNC_ALIGN    8 /* of offsets */

/* What one is, for messages: "rwlock". */
struct lipc_sync_what {
  const char *name;
  enum lipc_sync_kind kind;
  uint32_t version;
};

/* Makes one in zeroed memory: init fills in what is behind the header, then it is there for others.
** Who dies inside leaves nothing there.  1: made; 0: one was there, which is of this kind and version
** and fits into size bytes; -EEXIST: exclusive; -EPROTO: something else is there; -ETIMEDOUT. */
int lipc_sync_make (struct lipc_sync_header *h, const struct lipc_sync_what *what, uint64_t size,
                    bool exclusive, void (*init)(void *memory, const void *arg), const void *arg);

/* Writes the header of one that is there: as it is already, unless it was overwritten.  Inside the word lock. */
void lipc_sync_describe (struct lipc_sync_header *h, const struct lipc_sync_what *what,
                         uint64_t size);

/* Looks at one that should be there, in room bytes.  0; -ENOENT: zeros; -EPROTO: something else. */
int lipc_sync_open (const struct lipc_sync_header *h, const struct lipc_sync_what *what,
                    uint64_t room, uint64_t *ret_size);

/* Fails for one of these with what is the matter: "rwlock is here, barrier expected" ...; room: what
** there is from its offset on.  h may be NULL for errors that are not about what is there. */
int lipc_sync_fail (lua_State *L, const char *op, const char *object, int err,
                    const struct lipc_sync_header *h, const struct lipc_sync_what *what,
                    uint64_t room);

/* ---- the lock that may be held while Lua runs ---- */

/* Behind the header of structures that have one; its fields change under the word lock only. */
struct lipc_sync_holder {
  _Atomic uint32_t seq; /* grows when it is given back: slept on */
  _Atomic uint32_t waiting; /* somebody may sleep */
  _Atomic uint32_t state; /* LIPC_HOLDER_* */
  _Atomic uint32_t pid; /* who holds it: process, */
  _Atomic uint64_t start;
  _Atomic uint64_t token; /* and which object there */
};

enum {
  LIPC_HOLDER_FREE, /* zeroed memory */
  LIPC_HOLDER_HELD,
  LIPC_HOLDER_ORPHANED, /* who held it died, and nobody has taken it since */
  LIPC_HOLDER_INCONSISTENT, /* held by one who was told EOWNERDEAD and has not called consistent() */
  LIPC_HOLDER_LOST, /* ENOTRECOVERABLE */
};

struct lipc_sync_base {
  struct lipc_sync_header header;
  struct lipc_sync_holder holder;
};

/* What an object holds. */
struct lipc_hold {
  struct lipc_pin pin; /* the mapping goes: given back first */
  const lua_State *owner; /* the coroutine, kept in a user value; NULL: nothing is held */
  unsigned forkgen; /* of the process that took it */
  unsigned serial; /* grows each time it is taken: a with() gives back its own only */
};

/* ---- objects that look at a structure ---- */

/* The first member of such objects.  Its class has LIPC_PLACED_VALUES more user values than it needs
** itself, before its own. */
struct lipc_placed {
  struct lipc_handle h;
  struct lipc_map *map;
  const lua_State *main; /* the one coroutine that is never collected */
  size_t offset, size;
  struct lipc_handle *owned; /* the mapping's object, if it is closed with this one; or NULL */
  /* Called inside the word lock when one died there, in the middle of a change; not under a lock
  ** otherwise.  NULL: there is nothing to repair. */
  void (*repair)(struct lipc_placed *p, void *memory);
  struct lipc_hold hold;
};
enum { LIPC_UV_MAP = LIPC_UV_FREE, LIPC_UV_OWNER, LIPC_UV_PLACED };
#define LIPC_PLACED_VALUES (LIPC_UV_PLACED - LIPC_UV_FREE)

/* For constructors (map, offset, ...): the arguments arg and arg + 1 are a mapping that can be written to
** and an aligned offset (default 0) with at least size bytes behind it, or misuse.  Pushes the new object,
** LIPC_CLOSED as yet. */
void *lipc_placed_new (lua_State *L, const struct lipc_class *cls, int arg, size_t size);

/* Its memory.  Raises when it was closed (by a finaliser, since the driver looked), or its mapping was; when
** that became too small or read-only, or lost its file. */
static inline void *lipc_placed_at (lua_State *L, const struct lipc_placed *p) {
  if (p->map == NULL) luaL_argerror(L, 1, lua_pushfstring(L, "closed %s", p->h.cls->label));
  char *at = lipc_map_at(L, 1, p->map, p->offset, p->size);
  if (p->map->readonly) luaL_argerror(L, 1, "the mapping is read-only now");
  lipc_map_done(L, 1, p->map);
  return at;
}

/* The same without a word: NULL.  For release functions. */
void *lipc_placed_peek (const struct lipc_placed *p);

/* The end of every release: what is held is given back, the mapping's object closed if it is owned. */
int lipc_placed_release (lua_State *L, struct lipc_placed *p);

/* The object at idx keeps this coroutine while that holds it, so that nobody gets its address. */
static inline void lipc_keep_owner (lua_State *L, const struct lipc_placed *p, int idx) {
  if (L == p->main) return;
  lua_pushthread(L);
  lua_setiuservalue(L, idx, LIPC_UV_OWNER);
}
static inline void lipc_drop_owner (lua_State *L, const struct lipc_placed *p, int idx) {
  if (L == p->main) return;
  lua_pushnil(L);
  lua_setiuservalue(L, idx, LIPC_UV_OWNER);
}

/* At the end of a with, whose guard is at index 1: the object keeps the coroutine if that still holds it, because
** it could not be given back, or had been taken before. */
static inline void lipc_held_owner (lua_State *L, bool holds) {
  lua_getiuservalue(L, 1, 1);
  if (holds) lua_getiuservalue(L, 1, LIPC_HELD_COROUTINE);
  else lua_pushnil(L);
  lua_setiuservalue(L, -2, LIPC_UV_OWNER);
}

/* How many bytes there are from the offset on. */
size_t lipc_placed_room (const struct lipc_placed *p);

/* ---- constructors ---- */

/* How a constructor (map, offset, opts, owned) makes or opens what it is for. */
struct lipc_sync_making {
  const struct lipc_class *cls;
  const struct lipc_sync_what *what;
  const char *op; /* "sync.rwlock" */
  bool create, exclusive;
  size_t size; /* of one that is made */
  size_t least, most; /* of one that is there; most 0: as least */
  void (*init)(void *memory, const void *arg);
  const void *arg;
  bool raw; /* size bytes, without a header: nothing is looked at, or made */
};

/* Pushes the object, or what a failure returns: then NULL, and how many values.  The options have been
** read: metamethods run before the mapping is looked at.  owned true: close closes the mapping too. */
void *lipc_sync_object (lua_State *L, const struct lipc_sync_making *maker, int *ret_n);

/* For a constructor that does not want what is there after all: closes its object, at index obj, and pushes its
** name, for the failure. */
const char *lipc_sync_refuse (lua_State *L, int obj);

/* The options create and exclusive. */
void lipc_sync_options (lua_State *L, struct lipc_sync_making *maker);

/* ---- short operations ---- */

/* Takes the word lock for an operation that changes a structure without holder.  0: inside; -EAGAIN: not
** now.  The caller leaves before it does anything that may raise or wait. */
int lipc_sync_lock (struct lipc_placed *p, struct lipc_sync_header *h);

/* The same where there is a holder, whom it respects unless this coroutine is that.  0: inside; 1: inside,
** and one who held it died and nobody has repaired what it did; -EAGAIN: held by another;
** -ENOTRECOVERABLE; -EPROTO: overwritten. */
int lipc_sync_enter (lua_State *L, struct lipc_placed *p, struct lipc_sync_base *b);

/* The same for who makes everything anew: a holder's state that is none, which somebody else has written, is free
** afterwards, and no -EPROTO. */
int lipc_sync_enteranew (lua_State *L, struct lipc_placed *p, struct lipc_sync_base *b);

void lipc_sync_leave (struct lipc_sync_header *h);

/* The class.block of such objects: sleeps until the holder may have changed, 0.1 s at most. */
int lipc_sync_block (lua_State *L, const struct lipc_op *op, int t, double seconds);

/* ---- holding ---- */

/* One attempt.  0: this coroutine holds it; -EOWNERDEAD: it does, and who had it before died; -EAGAIN;
** -ENOTRECOVERABLE; -EDEADLK: it has it already; -EPROTO: overwritten. */
int lipc_hold_take (lua_State *L, struct lipc_placed *p, struct lipc_sync_base *b);

/* Gives it back.  Never raises; 0 also when it is not held, or by the parent of this process; -EAGAIN
** after that many seconds. */
int lipc_hold_give (struct lipc_placed *p, double seconds);

/* After -EOWNERDEAD: all is in order again.  0; -EINVAL: nobody died; -EAGAIN. */
int lipc_hold_mend (struct lipc_placed *p, struct lipc_sync_base *b);

/* Fails with what such an error means here. */
int lipc_hold_failed (lua_State *L, const char *op, int err);

/* Whether this coroutine holds it by this object. */
static inline bool lipc_hold_mine (const lua_State *L, const struct lipc_placed *p) {
  return p->hold.owner == L && p->hold.forkgen == lipcsys_forkgen;
}

/* lock, trylock, unlock, with, consistent: for the lists of classes whose structures begin with a struct
** lipc_sync_base and whose block is lipc_sync_block. */
extern const luaL_Reg lipc_hold_methods[];

#pragma GCC visibility pop
#endif
