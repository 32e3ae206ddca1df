/* kit_placed.c - structures in shared memory: headers, objects, short operations.  The lock that is held
** while Lua runs is in kit_hold.c.
** SPDX-License-Identifier: MIT */
#include "kit_sync.h"

#include <stdio.h>
#include <string.h>

#define MAGIC 0x4370694cu /* "LipC" where the lowest byte comes first */

/* Registry key, by address: a string that must not be collected. */
static const char owner_dead;

/* ---- the header ---- */

static int verdict (const struct lipc_sync_header *h, const struct lipc_sync_what *what,
                    uint64_t room, uint64_t *ret_size) {
  uint32_t magic = atomic_load_explicit(&h->magic, memory_order_acquire);
  uint32_t kind = lipc_get(&h->kind), version = lipc_get(&h->version);
  uint64_t size = lipc_get(&h->size);
  if (magic == 0) return -ENOENT;
  if (magic != MAGIC || kind != (uint32_t)what->kind || version != what->version) return -EPROTO;
  if (size < sizeof *h || size > room) return -EPROTO;
  if (ret_size != NULL) *ret_size = size;
  return 0;
}

int lipc_sync_open (const struct lipc_sync_header *h, const struct lipc_sync_what *what,
                    uint64_t room, uint64_t *ret_size) {
  return verdict(h, what, room, ret_size);
}

/* Zeros, or what one has left who died while he made the same. */
static bool is_blank (struct lipc_sync_header *h, const struct lipc_sync_what *what) {
  uint32_t kind = lipc_get(&h->kind), version = lipc_get(&h->version);
  return (kind == 0 || kind == (uint32_t)what->kind) && (version == 0 || version == what->version);
}

void lipc_sync_describe (struct lipc_sync_header *h, const struct lipc_sync_what *what,
                         uint64_t size) {
  lipc_put(&h->kind, (uint32_t)what->kind);
  lipc_put(&h->version, what->version);
  lipc_put(&h->size, size);
  LIPC_STEP("sync.described");
  lipc_put(&h->magic, MAGIC);
  LIPC_STEP("sync.made");
}

int lipc_sync_make (struct lipc_sync_header *h, const struct lipc_sync_what *what, uint64_t size,
                    bool exclusive, void (*init)(void *memory, const void *arg), const void *arg) {
  int r = verdict(h, what, size, NULL);
  if (r == 0) return exclusive ? -EEXIST : 0;
  if (r != -ENOENT || !is_blank(h, what)) return -EPROTO;
  r = lipcsys_word_lock(&h->lock, LIPC_SYNC_PATIENCE);
  if (r < 0 && r != -EOWNERDEAD) return r;
  r = verdict(h, what, size, NULL);
  if (r == -ENOENT) {
    init(h, arg);
    LIPC_STEP("sync.filled");
    lipc_sync_describe(h, what, size);
    r = 1;
  } else if (r == 0 && exclusive) {
    r = -EEXIST;
  }
  lipcsys_word_unlock(&h->lock);
  return r;
}

static const char *const kinds[] = {"",          "a mutex",  "a cond",      "a rwlock",
                                    "a barrier", "a once",   "a semaphore", "a value",
                                    "an array",  "a struct", "a dict"};

int lipc_sync_fail (lua_State *L, const char *op, const char *object, int err,
                    const struct lipc_sync_header *h, const struct lipc_sync_what *what,
                    uint64_t room) {
  char note[128];
  if (err == -ENOENT)
    snprintf(note, sizeof note, "zeros, no %s: the option 'create' makes one", what->name);
  else if (err == -EEXIST) snprintf(note, sizeof note, "there is %s already", kinds[what->kind]);
  else if (err == -ETIMEDOUT)
    snprintf(note, sizeof note, "another process does not finish making it");
  else if (err == -EPROTO && h != NULL) {
    uint32_t magic = lipc_get(&h->magic), kind = lipc_get(&h->kind);
    uint32_t version = lipc_get(&h->version);
    uint64_t size = lipc_get(&h->size);
    if (magic != MAGIC || kind == 0 || kind >= sizeof kinds / sizeof kinds[0])
      snprintf(note, sizeof note, "what is there is no %s, and no zeros", what->name);
    else if (kind != (uint32_t)what->kind) snprintf(note, sizeof note, "%s is there", kinds[kind]);
    else if (version != what->version)
      snprintf(note, sizeof note, "%s of layout %u is there, this lipc knows %u", kinds[what->kind],
               (unsigned)version, (unsigned)what->version);
    else
      snprintf(note, sizeof note, "%s of %llu bytes is there, %llu expected", kinds[what->kind],
               (unsigned long long)size, (unsigned long long)room);
  } else {
    return lipc_fail(L, op, object, err);
  }
  return lipc_failnote(L, op, object, err, note);
}

/* ---- objects ---- */

void *lipc_placed_new (lua_State *L, const struct lipc_class *cls, int arg, size_t size) {
  struct lipc_map *m = lipc_checkmap(L, arg);
  lua_Integer offset = luaL_optinteger(L, arg + 1, 0);
  luaL_argcheck(L, !m->readonly, arg, "the mapping is read-only");
  luaL_argcheck(L, !m->private, arg, "the mapping is private: no other process sees it");
  luaL_argcheck(L, offset >= 0, arg + 1, "offset must not be negative");
  char *at = lipc_map_at(L, arg, m, (size_t)offset, size);
  luaL_argcheck(L, (uintptr_t)at % LIPC_SYNC_ALIGN == 0, arg + 1, "must be a multiple of 8");
  lipc_map_done(L, arg, m);
  struct lipc_placed *p = lipc_new(L, cls);
  p->map = m;
  p->main = lipc_getstate(L)->main;
  p->offset = (size_t)offset;
  p->size = size;
  lua_pushvalue(L, arg);
  lua_setiuservalue(L, -2, LIPC_UV_MAP);
  if (lua_getiuservalue(L, arg, LIPC_UV_NAME) == LUA_TSTRING) {
    if (offset != 0) lua_pushfstring(L, "%s+%I", lua_tostring(L, -1), (LUAI_UACINT)offset);
    else lua_pushvalue(L, -1);
    lua_setiuservalue(L, -3, LIPC_UV_NAME);
  }
  lua_pop(L, 1);
  lua_pushliteral(L, "EOWNERDEAD"); /* made now: who has just got a lock must not fail to be told */
  lua_rawsetp(L, LUA_REGISTRYINDEX, &owner_dead);
  if (lipc_placed_peek(p) == NULL) luaL_argerror(L, arg, "closed mapping"); /* by a finaliser */
  return p;
}

void *lipc_placed_peek (const struct lipc_placed *p) {
  const struct lipc_map *m = p->map;
  if (m == NULL || m->readonly || p->offset > m->size || p->size > m->size - p->offset) return NULL;
  return m->base + p->offset;
}

size_t lipc_placed_room (const struct lipc_placed *p) {
  return p->map->size > p->offset ? p->map->size - p->offset : 0;
}

int lipc_placed_release (lua_State *L, struct lipc_placed *p) {
  if (p->map == NULL) return 0; /* half-built, or released already */
  lipc_hold_give(p, LIPC_SYNC_PATIENCE);
  lipc_map_unpin(&p->hold.pin);
  p->map = NULL;
  return p->owned != NULL && lipc_isopen(p->owned) ? lipc_shut(L, p->owned) : 0;
}

/* ---- constructors ---- */

void lipc_sync_options (lua_State *L, struct lipc_sync_making *maker) {
  lua_settop(L, 4);
  maker->create = lipc_optbool(L, 3, "create", false);
  maker->exclusive = lipc_optbool(L, 3, "exclusive", false);
  luaL_argcheck(L, maker->create || !maker->exclusive, 3, "option 'exclusive' needs 'create'");
}

static int open_or_make (const struct lipc_sync_making *k, struct lipc_placed *p) {
  struct lipc_sync_header *h = lipc_placed_peek(p);
  uint64_t size;
  for (int tries = 0; tries < 2; tries++) {
    int r = lipc_sync_open(h, k->what, lipc_placed_room(p), &size);
    if (r == 0 && (size < k->least || size > (k->most > 0 ? k->most : k->least))) return -EPROTO;
    if (r == 0) p->size = (size_t)size;
    if (r == 0) return k->exclusive && tries == 0 ? -EEXIST : 0;
    if (r != -ENOENT || !k->create) return r;
    r = lipc_sync_make(h, k->what, k->size, k->exclusive, k->init, k->arg);
    if (r < 0 && r != -EPROTO) return r; /* EPROTO: or somebody has made one of another size now */
  }
  return -EPROTO;
}

void *lipc_sync_object (lua_State *L, const struct lipc_sync_making *k, int *ret_n) {
  size_t need = k->create || k->raw ? k->size : sizeof(struct lipc_sync_header);
  struct lipc_placed *p = lipc_placed_new(L, k->cls, 1, need);
  int r = k->raw ? 0 : open_or_make(k, p);
  if (r < 0) {
    lua_getiuservalue(L, -1, LIPC_UV_NAME);
    *ret_n = lipc_sync_fail(L, k->op, lua_tostring(L, -1), r, lipc_placed_peek(p), k->what,
                            lipc_placed_room(p));
    p->map = NULL;
    return NULL;
  }
  if (lua_toboolean(L, 4)) p->owned = lua_touserdata(L, 1);
  p->h.fd = LIPC_NOFD;
  return p;
}

const char *lipc_sync_refuse (lua_State *L, int obj) {
  struct lipc_placed *p = lua_touserdata(L, obj);
  lua_getiuservalue(L, obj, LIPC_UV_NAME);
  p->owned = NULL;
  p->h.fd = LIPC_CLOSED;
  return lua_tostring(L, -1);
}

/* ---- short operations ---- */

int lipc_sync_lock (struct lipc_placed *p, struct lipc_sync_header *h) {
  int r = lipcsys_word_lock(&h->lock, LIPC_SYNC_SHORT);
  if (r == -EOWNERDEAD) {
    if (p->repair != NULL) p->repair(p, h);
    return 0;
  }
  return r < 0 ? -EAGAIN : 0;
}

void lipc_sync_leave (struct lipc_sync_header *h) { lipcsys_word_unlock(&h->lock); }
