/* kit_map.c - what every object that maps memory has in common.
** SPDX-License-Identifier: MIT */
#include "kit_map.h"

#include <string.h>

const _Atomic bool lipc_map_neverlost = false;

/* ---- access ---- */

struct lipc_map *lipc_checkmap (lua_State *L, int arg) {
  struct lipc_handle *h = lipc_testany(L, arg);
  if (h == NULL || h->cls->map == NULL) luaL_typeerror(L, arg, "mapping (ipc.shm, ipc.mmap ...)");
  if (!lipc_isopen(h)) luaL_argerror(L, arg, lua_pushfstring(L, "closed %s", h->cls->label));
  struct lipc_map *m = h->cls->map(h);
  /* of all that map, only these can be open without */
  luaL_argcheck(L, m->base != NULL, arg, "segment is not attached");
  return m;
}

int lipc_map_outside (lua_State *L, int arg, const struct lipc_map *m, size_t offset, size_t n) {
  if (m->base == NULL) return luaL_argerror(L, arg, "closed mapping");
  return luaL_argerror(L, arg,
                       lua_pushfstring(L, "%I bytes from offset %I on are out of bounds (%I bytes)",
                                       (LUAI_UACINT)n, (LUAI_UACINT)offset, (LUAI_UACINT)m->size));
}

int lipc_map_islost (lua_State *L, int arg) {
  return luaL_argerror(
    L, arg, "lost mapping: its file was cut off by another process, or its file system is full");
}

/* ---- lifetime ---- */

void lipc_map_pin (struct lipc_map *m, struct lipc_pin *pin) {
  pin->next = m->pins;
  pin->link = &m->pins;
  if (pin->next != NULL) pin->next->link = &pin->next;
  m->pins = pin;
}

void lipc_map_unpin (struct lipc_pin *pin) {
  if (pin->link == NULL) return;
  *pin->link = pin->next;
  if (pin->next != NULL) pin->next->link = pin->link;
  pin->link = NULL;
}

static size_t pages (size_t size) {
  size_t page = lipcsys_pagesize();
  return (size + page - 1) / page * page;
}

int lipc_map_open (struct lipc_map *m, int fd, uint64_t offset, size_t size, unsigned how,
                   bool guard) {
  struct lipc_map new = {.base = (char *)m, /* of no bytes: open, and never looked at */
                         .size = size,
                         .readonly = (how & LIPC_MAP_READONLY) != 0,
                         .private = (how & LIPC_MAP_PRIVATE) != 0,
                         .lost = &lipc_map_neverlost,
                         .lead = (size_t)(offset % lipcsys_pagesize())};
  if (size > PTRDIFF_MAX - new.lead) return -ENOMEM;
  if (size > 0) {
    void *at;
    size_t all = new.lead + size;
    int r = lipcsys_map(fd, offset - new.lead, all, how, &at);
    if (r == 0 && guard) {
      r = lipcsys_guard(at, all, new.readonly, &new.guard, &new.lost);
      if (r < 0) lipcsys_unmap(at, all);
    }
    if (r < 0) return r;
    new.base = (char *)at + new.lead;
  }
  *m = new;
  return 0;
}

/* The mapping itself; nobody looks at it meanwhile. */
static int grow (struct lipc_map *m, int fd, uint64_t offset, size_t size, unsigned how) {
  char *old = m->base - m->lead;
  void *at;
  int r = lipcsys_remap(old, m->lead + m->size, m->lead + size, !lipc_map_isfixed(m), &at);
  if (r < 0 && lipc_map_isfixed(m)) return -EBUSY;
  if (r < 0 &&
      !(how & LIPC_MAP_PRIVATE)) { /* several mappings to the kernel, or it has no mremap */
    r = lipcsys_map(fd, offset - m->lead, m->lead + size, how, &at);
    if (r == 0) lipcsys_unmap(old, m->lead + m->size);
  }
  if (r == 0) m->base = (char *)at + m->lead;
  return r;
}

int lipc_map_resize (struct lipc_map *m, int fd, uint64_t offset, size_t size, unsigned how,
                     bool guard) {
  int r = 0;
  if (size == m->size) return 0;
  if (size > PTRDIFF_MAX - m->lead) return -ENOMEM;
  if (size == 0) lipc_map_close(m);
  if (size == 0 || m->size == 0) return lipc_map_open(m, fd, offset, size, how, guard);
  if (m->guard != NULL) lipcsys_guard_move(m->guard, NULL, 0, false);
  if (size > m->size) {
    r = grow(m, fd, offset, size, how);
  } else {
    size_t keep = pages(m->lead + size), all = pages(m->lead + m->size);
    if (keep < all) r = lipcsys_unmap(m->base - m->lead + keep, all - keep);
  }
  if (r == 0) m->size = size;
  if (m->guard != NULL)
    lipcsys_guard_move(m->guard, m->base - m->lead, m->lead + m->size, m->readonly);
  return r;
}

int lipc_map_close (struct lipc_map *m) {
  while (m->pins != NULL) {
    struct lipc_pin *pin = m->pins;
    lipc_map_unpin(pin);
    if (!pin->gone(pin)) m->stays = true;
  }
  struct lipc_map old = *m;
  *m = (struct lipc_map){.lost = &lipc_map_neverlost};
  if (old.base == NULL) return 0;
  if (old.stays && !lipc_map_lost(&old)) return 0; /* and is still guarded */
  if (old.stays && lipcsys_blank(old.base - old.lead, old.lead + old.size) < 0) return 0;
  if (old.guard != NULL) lipcsys_unguard(old.guard);
  if (old.stays) return 0;
  if (old.unmap != NULL) return old.unmap(old.base);
  return old.size > 0 ? lipcsys_unmap(old.base - old.lead, old.lead + old.size) : 0;
}

/* ---- methods ---- */

/* map:size() -> bytes; #map */
static int l_map_size (lua_State *L) {
  const struct lipc_map *m = lipc_checkmap(L, 1);
  lua_pushinteger(L, (lua_Integer)m->size);
  return 1;
}

/* The offset at 2 and n bytes from there, which argument arg told. */
static char *checkrange (lua_State *L, const struct lipc_map *m, size_t n, int arg) {
  lua_Integer offset = luaL_checkinteger(L, 2);
  if (offset < 0 || (lua_Unsigned)offset > m->size)
    luaL_argerror(L, 2,
                  lua_pushfstring(L, "offset %I is out of bounds (%I bytes)", (LUAI_UACINT)offset,
                                  (LUAI_UACINT)m->size));
  return lipc_map_at(L, arg, m, (size_t)offset, n);
}

/* map:read(offset, n) -> string of n bytes; offset from 0.  Out of bounds is misuse */
static int l_map_read (lua_State *L) {
  char shorter[64];
  lua_Integer n = luaL_checkinteger(L, 3);
  luaL_argcheck(L, n >= 0, 3, "must not be negative");
  const struct lipc_map *m = lipc_checkmap(L, 1);
  const char *from = checkrange(L, m, (size_t)n, 3);
  /* Lua looks at a short string more than once, and others may be writing to it */
  if ((size_t)n <= sizeof shorter) from = memcpy(shorter, from, (size_t)n);
  lua_pushlstring(L, from, (size_t)n);
  lipc_map_done(L, 1, m);
  return 1;
}

/* map:write(offset, data) -> true; offset from 0.  Out of bounds and read-only are misuse */
static int l_map_write (lua_State *L) {
  size_t n;
  const char *data = luaL_checklstring(L, 3, &n);
  const struct lipc_map *m = lipc_checkmap(L, 1);
  char *to = checkrange(L, m, n, 3);
  luaL_argcheck(L, !m->readonly, 1, "mapping is read-only");
  memcpy(to, data, n);
  lipc_map_done(L, 1, m);
  lua_pushboolean(L, 1);
  return 1;
}

/* map:view(type[, offset[, count]]) -> view: ipc.view.of, which must not be included here */
static int l_map_view (lua_State *L) {
  lipc_pushmodule(L, lipc_open_view);
  lua_getfield(L, -1, "of");
  lua_CFunction of = lua_tocfunction(L, -1);
  lua_pop(L, 2);
  return of(L); /* called as this method, so that its errors say so */
}

const luaL_Reg lipc_map_methods[] = {
  {"view", l_map_view},   {"size", l_map_size},  {"read", l_map_read},
  {"write", l_map_write}, {"__len", l_map_size}, {NULL, NULL},
};
