/* kit_map.c - what every object that maps memory has in common.
** SPDX-License-Identifier: MIT */
#include "kit_map.h"

const _Atomic bool lipc_map_neverlost = false;

/* ---- access ---- */

struct lipc_map *lipc_checkmap (lua_State *L, int arg) {
  struct lipc_handle *h = lipc_testany(L, arg);
  if (h == NULL || h->cls->map == NULL) luaL_typeerror(L, arg, "mapping (ipc.shm, ipc.mmap ...)");
  if (!lipc_isopen(h)) luaL_argerror(L, arg, lua_pushfstring(L, "closed %s", h->cls->label));
  return h->cls->map(h);
}

int lipc_map_outside (lua_State *L, int arg, const struct lipc_map *m, size_t offset, size_t n) {
  if (m->size == 0) return luaL_argerror(L, arg, "closed mapping");
  return luaL_argerror(L, arg,
                       lua_pushfstring(L, "%I bytes from offset %I on are out of bounds (%I bytes)",
                                       (LUAI_UACINT)n, (LUAI_UACINT)offset, (LUAI_UACINT)m->size));
}

int lipc_map_islost (lua_State *L, int arg) {
  return luaL_argerror(L, arg, "lost mapping: another process has cut its file off");
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

int lipc_map_close (struct lipc_map *m) {
  bool stays = false;
  char *base = m->base;
  size_t size = m->size;
  while (m->pins != NULL) {
    struct lipc_pin *pin = m->pins;
    lipc_map_unpin(pin);
    stays |= !pin->gone(pin);
  }
  m->base = NULL;
  m->size = 0;
  return base != NULL && !stays ? lipcsys_unmap(base, size) : 0;
}

/* ---- methods ---- */

/* map:size() -> bytes; #map */
static int l_map_size (lua_State *L) {
  const struct lipc_map *m = lipc_checkmap(L, 1);
  lua_pushinteger(L, (lua_Integer)m->size);
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
  {"view", l_map_view},
  {"size", l_map_size},
  {"__len", l_map_size},
  {NULL, NULL},
};
