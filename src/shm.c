/* shm.c - shared memory: POSIX named objects, and anonymous ones that are passed on; shm_overview(7),
** memfd_create(2).  POSIX; anonymous ones and seals: Linux, FreeBSD.
** fork: the child has the mapping too; it never removes the name.
** close: unmaps at once, views of it raise; the object stays until it is unlinked and nobody has it.
** SPDX-License-Identifier: MIT */
#include <string.h>

#include "kit_mapfile.h"

#define NAMEMAX 255 /* behind the "/" */

/* ---- seals ---- */

/* The kernel refuses this seal while there is a writable mapping of it, as ours is. */
static int seal_write (struct lipc_mapfile *m, unsigned seals) {
  struct lipc_map old = m->map;
  if (old.readonly || old.size == 0) return lipcsys_memseal(m->h.fd, seals);
  if (lipc_map_isfixed(&old)) return -EBUSY;
  lipc_map_close(&m->map);
  int r = lipcsys_memseal(m->h.fd, seals);
  if (r == 0) m->how |= LIPC_MAP_READONLY;
  int mapped = lipc_map_open(&m->map, m->h.fd, m->offset, old.size, m->how, old.guard != NULL);
  return r < 0 ? r : mapped;
}

/* m:seal(seal, ...) -> true | nil, msg, code: forbids, to everybody and for ever, "shrink", "grow", "write"
** (this mapping becomes read-only, too), "future_write" (all but the mappings there are), "seal" (more
** seals).  "EBUSY": write, while somebody else has it mapped to write; "EPERM", "EINVAL": it takes no (more)
** seals   -- see fcntl(2) F_ADD_SEALS */
static int l_shm_seal (lua_State *L) {
  static const char *const names[] = {"seal", "shrink", "grow", "write", "future_write", NULL};
  unsigned seals = 0;
  lipc_checkopen(L, 1);
  luaL_checkstring(L, 2);
  for (int i = 2; i <= lua_gettop(L); i++) seals |= 1u << luaL_checkoption(L, i, NULL, names);
  struct lipc_mapfile *m = lipc_checkopen(L, 1);
  int r = seals & LIPC_SEAL_WRITE ? seal_write(m, seals) : lipcsys_memseal(m->h.fd, seals);
  if (r < 0)
    return lipc_failselfnote(L, "seal", r,
                             r == -EBUSY
                               ? "it is mapped to write, by somebody else or with locks in it"
                             : r == -EINVAL || r == -EPERM
                               ? "only objects of shm.anonymous take seals, until one is \"seal\""
                               : NULL);
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg methods[] = {
  {"seal", l_shm_seal},
  {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, lipc_mapfile_methods, lipc_map_methods,
                                              NULL};
static const struct lipc_class shm_class = {.tname = "lipc.shm",
                                            .label = "shm",
                                            .size = sizeof(struct lipc_mapfile),
                                            .methods = all_methods,
                                            .release = lipc_mapfile_release,
                                            .map = lipc_mapfile_hook};

/* ---- opening ---- */

/* open(name[, {size=, create=, exclusive=, mode=, readonly=, unlink=, guard=, reserve=, populate=, init=}]) ->
** shm | nil, msg, code: maps the object of that name: all of it, or the first size bytes, which it must have
** ("EINVAL").  create: makes it, with mode (0600) less the umask and size bytes, all zero, if it is not there;
** nobody sees it before it is whole; exclusive: "EEXIST" if it is there; init: called with the mapping of
** what is made, before anybody can see it; reserve (true): its memory is taken at once, or "ENOSPC";
** unlink: close removes what this call has made; guard (true): an object that becomes shorter is an error,
** not SIGBUS   -- see shm_open(3) */
static int l_shm_open (lua_State *L) {
  static const char *const names[] = {LIPC_MAP_OPENOPTIONS, "unlink", NULL};
  struct lipc_mapoptions o = {.op = "shm.open", .shm = true};
  lipc_checkname(L, 1, NAMEMAX);
  lipc_checkopts(L, 2, names);
  o.name = lua_tostring(L, 1);
  lipc_mapoptions(L, 2, &o, true);
  return lipc_mapfile_open(L, &shm_class, &o);
}

/* fromfd(n[, {size=, readonly=, guard=, reserve=, populate=}]) -> shm | nil, msg, code: adopts the descriptor of
** an object, as recvfds gives it, which is closed with the mapping; on failure it is the caller's.  It is
** mapped read-only where the descriptor or the seals allow no more   -- see mmap(2) */
static int l_shm_fromfd (lua_State *L) {
  static const char *const names[] = {LIPC_MAP_FDOPTIONS, NULL};
  struct lipc_mapoptions o = {.op = "shm.fromfd", .shm = true};
  lipc_checkopts(L, 2, names);
  lipc_mapoptions(L, 2, &o, false);
  return lipc_mapfile_fromfd(L, &shm_class, &o);
}

/* anonymous{size=[, name=, seal=, populate=]} -> shm | nil, msg, code: zeroed memory without a name in the file
** system, for forked children and for those who are sent its descriptor; name (at most 249 bytes) is what
** /proc/<pid>/maps shows; seal (true): nobody can make it shorter   -- see memfd_create(2) */
static int l_shm_anonymous (lua_State *L) {
  static const char *const names[] = {"size", "name", "seal", "populate", NULL};
  struct lipc_mapoptions o = {.op = "shm.anonymous", .shm = true};
  int fd;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lipc_checkopts(L, 1, names);
  lipc_mapoptions(L, 1, &o, false);
  luaL_argcheck(L, o.sized, 1, "option 'size' is needed");
  const char *name = lipc_optstring(L, 1, "name", NULL);
  luaL_argcheck(L, name == NULL || strlen(name) <= 249, 1, "option 'name': it is too long");
  bool seal = lipc_optbool(L, 1, "seal", true);
  struct lipc_mapfile *m = lipc_new(L, &shm_class);
  m->fresh.path.shm = true;
  if (name != NULL) lipc_setname(L, -1, name);
  int r = lipcsys_memfd(name != NULL ? name : "lipc", &fd);
  if (r < 0) return lipc_mapfile_failed(L, m, &o, r, NULL);
  m->h.fd = fd;
  o.reserve = false; /* it has no limit that could be told: too much of it would end some process */
  r = lipcsys_memsetsize(fd, o.size);
  if (r == 0 && seal) r = lipcsys_memseal(fd, LIPC_SEAL_SHRINK);
  if (seal) o.guard = false;
  if (r == 0) r = lipc_mapfile_map(m, &o, fd);
  if (r < 0) return lipc_mapfile_failed(L, m, &o, r, NULL);
  return 1;
}

/* unlink(name) -> true | nil, msg, code: the name goes at once, the memory with the last process that has it
** -- see shm_unlink(3) */
static int l_shm_unlink (lua_State *L) {
  const struct lipcsys_mempath p = {lipc_checkname(L, 1, NAMEMAX), true};
  int r = lipcsys_memunlink(&p, NULL);
  if (r < 0) return lipc_fail(L, "shm.unlink", p.path, r);
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg funcs[] = {
  {"open", l_shm_open},
  {"anonymous", l_shm_anonymous},
  {"fromfd", l_shm_fromfd},
  {"unlink", l_shm_unlink},
  {NULL, NULL},
};

int lipc_open_shm (lua_State *L) { return lipc_register(L, &shm_class, funcs); }
