/* shared.c - values, arrays, records and dictionaries in shared memory, each with a lock; the part in C.
** lua/lipc/shared.lua makes the mappings that they lie in, anonymous or by name.
** fork: the child uses the same memory through the same object, and holds no lock of its parent's.
** close: gives back what is held; the memory goes with the last process that maps it.
** SPDX-License-Identifier: MIT */
#include "shared.h"

#include <string.h>

int shared_fail (lua_State *L, const char *op, int err) {
  const char *note = NULL;
  switch (err) {
    case -EPROTO: note = "what is there was overwritten"; break;
    case -ENOTRECOVERABLE: note = "who held it died, and it was not made consistent"; break;
    default: break;
  }
  return lipc_failselfnote(L, op, err, note);
}

int shared_raise (lua_State *L, int results) {
  if (results != 3) return results;
  lua_pushvalue(L, -2);
  return lua_error(L);
}

void shared_stat (lua_State *L, const char *type) {
  lua_createtable(L, 0, 8);
  lua_pushstring(L, type);
  lua_setfield(L, -2, "type");
  lua_getiuservalue(L, 1, LIPC_UV_NAME);
  lua_setfield(L, -2, "name");
}

int shared_checktype (lua_State *L, int arg, const char *const names[]) {
  const char *name = luaL_checkstring(L, arg);
  int i = 0;
  while (names[i] != NULL && strcmp(names[i], name) != 0) i++;
  if (names[i] != NULL) return i;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (i = 0; names[i] != NULL; i++) {
    if (i > 0) luaL_addstring(&b, names[i + 1] != NULL ? ", " : " or ");
    luaL_addstring(&b, names[i]);
  }
  luaL_pushresult(&b);
  return luaL_argerror(
    L, arg, lua_pushfstring(L, "unknown type '%s': expected %s", name, lua_tostring(L, -1)));
}

/* "shared.dict", and the name of the mapping at index 1 or NULL. */
static const char *names_of (lua_State *L, const struct lipc_sync_what *what,
                             const char **ret_name) {
  lua_getiuservalue(L, 1, LIPC_UV_NAME);
  *ret_name = lua_tostring(L, -1);
  return lua_pushfstring(L, "shared.%s", what->name);
}

int shared_openfail (lua_State *L, const struct lipc_sync_what *what, const char *note) {
  const char *name, *op = names_of(L, what, &name);
  return lipc_failnote(L, op, name, -EPROTO, note);
}

int shared_openother (lua_State *L, const struct lipc_sync_what *what, const char *property,
                      const char *there, const char *asked) {
  const char *name, *op = names_of(L, what, &name);
  return lipc_failother(L, op, name, property, there, asked);
}

int shared_openothern (lua_State *L, const struct lipc_sync_what *what, const char *property,
                       lua_Integer there, lua_Integer asked) {
  const char *name, *op = names_of(L, what, &name);
  return lipc_failothern(L, op, name, property, there, asked);
}

static int sync_fail (lua_State *L, int err, const struct lipc_sync_header *h,
                      const struct lipc_sync_what *what, const struct lipc_map *m) {
  const char *name, *op = names_of(L, what, &name);
  return lipc_sync_fail(L, op, name, err, h, what, m->size);
}

int shared_make (lua_State *L, const struct lipc_sync_what *what, size_t size,
                 void (*init)(void *memory, const void *arg), const void *arg) {
  const struct lipc_map *m = lipc_checkmap(L, 1);
  struct lipc_sync_header *h = (struct lipc_sync_header *)lipc_map_at(L, 1, m, 0, size);
  int r = lipc_sync_make(h, what, size, true, init, arg);
  if (r < 0) return sync_fail(L, r, h, what, m);
  lua_pushboolean(L, 1);
  return 1;
}

int shared_open (lua_State *L, const struct lipc_class *cls, const struct lipc_sync_what *what,
                 size_t least, struct lipc_placed **ret_placed) {
  const struct lipc_map *m = lipc_checkmap(L, 1);
  uint64_t size;
  if (m->size < sizeof(struct lipc_sync_header))
    return shared_openfail(L, what, "too few bytes for one");
  const struct lipc_sync_header *h = (const struct lipc_sync_header *)m->base;
  int r = lipc_sync_open(h, what, m->size, &size);
  if (r == 0 && size < least) return shared_openfail(L, what, "its header makes no sense");
  if (r < 0) return sync_fail(L, r, h, what, m);
  lua_settop(L, 1);
  lua_pushinteger(L, 0); /* its offset */
  *ret_placed = lipc_placed_new(L, cls, 1, (size_t)size);
  return 0;
}

void shared_add (lua_State *L, const char *name, const struct lipc_class *cls,
                 const luaL_Reg *functions) {
  lipc_class(L, cls);
  lua_newtable(L);
  luaL_setfuncs(L, functions, 0);
  luaL_getmetatable(L, cls->tname);
  int mt = lua_gettop(L);
  if (lua_getfield(L, -1, "__index") == LUA_TFUNCTION) lua_getupvalue(L, -1, SHARED_METHODS);
  lua_setfield(L, mt - 1, "methods");
  lua_settop(L, mt - 1);
  lua_setfield(L, -2, name);
}

/* kind(mapping) -> "value" | "array" | "struct" | "dict" | nil: what its header says is there */
static int l_shared_kind (lua_State *L) {
  static const char *const kinds[] = {"value", "array", "struct", "dict"};
  const struct lipc_map *m = lipc_checkmap(L, 1);
  if (m->size < sizeof(struct lipc_sync_header)) return 0;
  const struct lipc_sync_header *h = (const struct lipc_sync_header *)m->base;
  uint32_t kind = lipc_get(&h->kind) - LIPC_KIND_VALUE;
  if (kind >= sizeof kinds / sizeof *kinds) return 0;
  lua_pushstring(L, kinds[kind]);
  return 1;
}

/* own(object) -> object: it closes its mapping with itself */
static int l_shared_own (lua_State *L) {
  struct lipc_placed *p = lua_touserdata(L, 1);
  lua_getiuservalue(L, 1, LIPC_UV_MAP);
  p->owned = lua_touserdata(L, -1);
  lua_settop(L, 1);
  return 1;
}

/* other(op, name, property, there, asked) -> nil, msg, "EINVAL": what is there was made otherwise */
static int l_shared_other (lua_State *L) {
  return lipc_failother(L, luaL_checkstring(L, 1), lua_tostring(L, 2), luaL_checkstring(L, 3),
                        luaL_tolstring(L, 4, NULL), luaL_tolstring(L, 5, NULL));
}

static const luaL_Reg funcs[] = {
  {"kind", l_shared_kind},
  {"other", l_shared_other},
  {"own", l_shared_own},
  {NULL, NULL},
};

int lipc_open_shared (lua_State *L) {
  lipc_module(L, funcs);
  shared_open_value(L);
  shared_open_dict(L);
  shared_open_array(L);
  return 1;
}
