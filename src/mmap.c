/* mmap.c - memory-mapped files, and anonymous memory that forked children share; mmap(2).  POSIX; changing
** the size of what has parts with their own advice, and of private mappings, is Linux's.
** fork: a shared mapping is the child's too; of a private one it has a copy.
** close: unmaps at once; views of it raise.
** SPDX-License-Identifier: MIT */
#include "kit_mapfile.h"

static const luaL_Reg *const all_methods[] = {lipc_mapfile_methods, lipc_map_methods, NULL};
static const struct lipc_class mmap_class = {.tname = "lipc.mmap",
                                             .label = "mmap",
                                             .size = sizeof(struct lipc_mapfile),
                                             .methods = all_methods,
                                             .release = lipc_mapfile_release,
                                             .map = lipc_mapfile_hook};

/* open(path[, {offset=, size=, readonly=, private=, create=, exclusive=, mode=, guard=, reserve=, populate=,
** init=}]) -> mmap | nil, msg, code: maps a regular file, or size bytes from offset on, all of which it must
** have ("EINVAL").  create: makes it, with mode (0600) less the umask, offset + size bytes long, all zero, if
** it is not there; exclusive: "EEXIST" if it is; init: called with the mapping of what is made, before
** anybody can see it; reserve (true): the room for it is taken at once, or "ENOSPC"; private: what is
** written is not the file's; guard (true): a file that becomes shorter is an error, not SIGBUS
** -- see mmap(2), open(2) */
static int l_mmap_open (lua_State *L) {
  static const char *const names[] = {LIPC_MAP_OPENOPTIONS, LIPC_MAP_FILEOPTIONS, NULL};
  struct lipc_mapoptions o = {.op = "mmap.open"};
  lipc_checkpath(L, 1);
  lipc_checkopts(L, 2, names);
  o.name = lua_tostring(L, 1);
  lipc_mapoptions(L, 2, &o, true);
  return lipc_mapfile_open(L, &mmap_class, &o);
}

/* fromfd(n[, {offset=, size=, readonly=, private=, guard=, reserve=, populate=}]) -> mmap | nil, msg, code: adopts
** the descriptor of a file, which is closed with the mapping; on failure it is the caller's
** -- see mmap(2) */
static int l_mmap_fromfd (lua_State *L) {
  static const char *const names[] = {LIPC_MAP_FDOPTIONS, LIPC_MAP_FILEOPTIONS, NULL};
  struct lipc_mapoptions o = {.op = "mmap.fromfd"};
  lipc_checkopts(L, 2, names);
  lipc_mapoptions(L, 2, &o, false);
  return lipc_mapfile_fromfd(L, &mmap_class, &o);
}

/* anonymous(size[, {reserve=, populate=}]) -> mmap | nil, msg, code: zeroed memory that forked children share
** -- see mmap(2) MAP_ANONYMOUS */
static int l_mmap_anonymous (lua_State *L) {
  static const char *const names[] = {"reserve", "populate", NULL};
  struct lipc_mapoptions o = {.op = "mmap.anonymous", .sized = true};
  lua_Integer size = luaL_checkinteger(L, 1);
  luaL_argcheck(L, size > 0 && size <= PTRDIFF_MAX, 1, "must be positive");
  lipc_checkopts(L, 2, names);
  lipc_mapoptions(L, 2, &o, false);
  if (!o.reserve) o.how |= LIPC_MAP_NORESERVE;
  o.size = (size_t)size;
  o.guard = false; /* nobody can make it shorter */
  struct lipc_mapfile *m = lipc_new(L, &mmap_class);
  int r = lipc_mapfile_map(m, &o, -1);
  if (r < 0) return lipc_mapfile_failed(L, m, &o, r, NULL);
  m->h.fd = LIPC_NOFD;
  return 1;
}

static const luaL_Reg funcs[] = {
  {"open", l_mmap_open},
  {"fromfd", l_mmap_fromfd},
  {"anonymous", l_mmap_anonymous},
  {NULL, NULL},
};

int lipc_open_mmap (lua_State *L) { return lipc_register(L, &mmap_class, funcs); }
