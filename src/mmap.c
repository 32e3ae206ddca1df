/* mmap.c - mapped memory; mmap(2).  POSIX.
** fork: a shared mapping is the child's too.  close: unmaps at once; views of it raise.
** SPDX-License-Identifier: MIT */
#include "kit_map.h"

typedef struct Mmap {
  struct lipc_handle h;
  struct lipc_map map;
} Mmap;

static struct lipc_map *mmap_map (struct lipc_handle *h) { return &((Mmap *)h)->map; }

static int mmap_release (lua_State *L, struct lipc_handle *h, int fd) {
  (void)L;
  (void)fd;
  return lipc_map_close(mmap_map(h));
}

static const luaL_Reg *const all_methods[] = {lipc_map_methods, NULL};
static const struct lipc_class mmap_class = {.tname = "lipc.mmap",
                                             .label = "mmap",
                                             .size = sizeof(Mmap),
                                             .methods = all_methods,
                                             .release = mmap_release,
                                             .map = mmap_map};

/* anonymous(size) -> mmap | nil, msg, code: zeroed memory that forked children share   -- see mmap(2)
** MAP_ANONYMOUS */
static int l_mmap_anonymous (lua_State *L) {
  lua_Integer size = luaL_checkinteger(L, 1);
  void *base;
  luaL_argcheck(L, size > 0, 1, "must be positive");
  Mmap *m = lipc_new(L, &mmap_class);
  int r = lipcsys_mapshared((size_t)size, &base);
  if (r < 0) return lipc_fail(L, "mmap.anonymous", NULL, r);
  m->map = (struct lipc_map){.base = base, .size = (size_t)size, .lost = &lipc_map_neverlost};
  m->h.fd = LIPC_NOFD;
  return 1;
}

static const luaL_Reg funcs[] = {
  {"anonymous", l_mmap_anonymous},
  {NULL, NULL},
};

int lipc_open_mmap (lua_State *L) { return lipc_register(L, &mmap_class, funcs); }
