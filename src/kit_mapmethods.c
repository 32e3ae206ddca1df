/* kit_mapmethods.c - what can be done with a mapped file: msync(2), madvise(2), mlock(2), mremap(2).
** SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "kit_mapfile.h"

static struct lipc_mapfile *check (lua_State *L) { return lipc_checkopen(L, 1); }

/* An optional range at arg and arg + 1, offset from 0; default: all. */
static char *checkpart (lua_State *L, const struct lipc_map *m, int arg, size_t *ret_n) {
  lipc_map_done(L, 1, m);
  lua_Integer offset = luaL_optinteger(L, arg, 0);
  luaL_argcheck(L, offset >= 0 && (lua_Unsigned)offset <= m->size, arg, "offset is out of bounds");
  lua_Integer n = luaL_optinteger(L, arg + 1, (lua_Integer)m->size - offset);
  luaL_argcheck(L, n >= 0, arg + 1, "must not be negative");
  *ret_n = (size_t)n;
  return lipc_map_at(L, arg + 1, m, (size_t)offset, (size_t)n);
}

/* m:sync([offset, n][, {async=}]) -> true | nil, msg, code: what was written into a shared mapping of a file
** is on its way to the disk (async), or is there   -- see msync(2) */
static int l_mapfile_sync (lua_State *L) {
  static const char *const names[] = {"async", NULL};
  size_t n;
  int opts = lua_type(L, 2) == LUA_TTABLE ? 2 : 4;
  check(L);
  lipc_checkopts(L, opts, names);
  bool async = lipc_optbool(L, opts, "async", false);
  if (opts == 2) lua_settop(L, 1);
  const struct lipc_map *m = &check(L)->map;
  char *at = checkpart(L, m, 2, &n);
  return lipc_result(L, "sync", n == 0 ? 0 : lipcsys_msync(at, n, async));
}

/* m:advise(advice[, offset, n]) -> true | nil, msg, code: "normal", "random", "sequential", "willneed",
** "dontneed"; on Linux also "hugepage", "nohugepage", "dontdump", "dodump", "cold", "pageout",
** "populate_read", "populate_write".  None changes what a shared mapping contains; "dontneed", which would
** throw away what was written into a private one, is misuse there   -- see madvise(2) */
static int l_mapfile_advise (lua_State *L) {
  size_t n;
  const struct lipc_mapfile *m = check(L);
  int advice = luaL_checkoption(L, 2, NULL, lipcsys_advices);
  bool drops = strcmp(lipcsys_advices[advice], "dontneed") == 0;
  luaL_argcheck(L, !drops || !(m->how & LIPC_MAP_PRIVATE), 2,
                "a private mapping would lose what was written to it");
  char *at = checkpart(L, &m->map, 3, &n);
  return lipc_result(L, "advise", n == 0 ? 0 : lipcsys_madvise(at, n, advice));
}

static int lock (lua_State *L, const char *op, bool on) {
  size_t n;
  char note[100];
  const struct lipc_map *m = &check(L)->map;
  char *at = checkpart(L, m, 2, &n);
  int r = n == 0 ? 0 : lipcsys_mlock(at, n, on);
  if (r < 0) return lipc_failselfnote(L, op, r, lipcsys_mlocknote(r, note, sizeof note));
  lua_pushboolean(L, 1);
  return 1;
}

/* m:lock([offset, n]) -> true | nil, msg, code: its pages are in memory and stay there, until unlock or
** close.  "ENOMEM", "EPERM": the limit, which the message names   -- see mlock(2) */
static int l_mapfile_lock (lua_State *L) { return lock(L, "lock", true); }

/* m:unlock([offset, n]) -> true | nil, msg, code   -- see munlock(2) */
static int l_mapfile_unlock (lua_State *L) { return lock(L, "unlock", false); }

/* ---- resize ---- */

static int map_as (struct lipc_mapfile *m, size_t size) {
  return lipc_map_resize(&m->map, m->h.fd, m->offset, size, m->how, m->guard);
}

/* The file follows the mapping's size, if that may write: an object of shared memory in both directions, a
** file only grows.  When it cannot all is as before. */
static int resize (struct lipc_mapfile *m, size_t size, char *note, size_t notesize) {
  struct lipcsys_meminfo info;
  size_t old = m->map.size;
  uint64_t end = m->offset + size;
  bool writes = !(m->how & (LIPC_MAP_READONLY | LIPC_MAP_PRIVATE));
  if (size < old && lipc_map_isfixed(&m->map)) return -EBUSY;
  int r = lipcsys_meminfo(m->h.fd, &info);
  if (r < 0) return r;
  bool shorter = size > old && info.size < end;
  if (shorter && !writes) {
    snprintf(note, notesize, "it has %llu bytes, and this mapping cannot make it longer",
             (unsigned long long)info.size);
    return -EINVAL;
  }
  if (size < old && info.size > end && writes && m->fresh.path.shm)
    r = lipcsys_memsetsize(m->h.fd, end);
  if (r == 0) r = map_as(m, size);
  if (r < 0 || !shorter) return r;
  r = lipcsys_memgrow(m->h.fd, end, m->reserve);
  if (r < 0) (void)map_as(m, old);
  return r;
}

static int resize_anonymous (struct lipc_mapfile *m, size_t size, char *note, size_t notesize) {
  if (size < m->map.size) return lipc_map_isfixed(&m->map) ? -EBUSY : map_as(m, size);
  if (size == m->map.size) return 0;
  snprintf(note, notesize, "anonymous mappings cannot grow: those of ipc.shm.anonymous can");
  return -ENOTSUP;
}

/* The size behind the offset that the file has now. */
static int present_size (const struct lipc_mapfile *m, size_t *ret_size) {
  struct lipcsys_meminfo info;
  int r = m->h.fd < 0 ? 0 : lipcsys_meminfo(m->h.fd, &info);
  if (r < 0) return r;
  if (m->h.fd < 0) *ret_size = m->map.size;
  else if (info.size <= m->offset) *ret_size = 0;
  else if (info.size - m->offset > PTRDIFF_MAX) return -ENOMEM;
  else *ret_size = (size_t)(info.size - m->offset);
  return 0;
}

/* m:resize([size]) -> true | nil, msg, code: maps that many bytes; nil: as many as the file has now, behind the
** offset.  A file or object that is shorter grows; an object of shared memory (ipc.shm) also becomes
** shorter, a file does not.  What lies beyond the new end, and every view that does with a part of it, is out of
** bounds.  "EBUSY": there are locks in it, which must not move   -- see mremap(2), fallocate(2), ftruncate(2) */
static int l_mapfile_resize (lua_State *L) {
  char note[200] = "";
  struct lipc_mapfile *m = check(L);
  size_t size = 0;
  int r = 0;
  if (lua_isnoneornil(L, 2)) {
    r = present_size(m, &size);
  } else {
    lua_Integer n = luaL_checkinteger(L, 2);
    luaL_argcheck(L, n >= 0 && n <= PTRDIFF_MAX, 2, "out of range");
    size = (size_t)n;
  }
  lipc_map_done(L, 1, &m->map);
  if (r == 0)
    r = m->h.fd < 0 ? resize_anonymous(m, size, note, sizeof note)
                    : resize(m, size, note, sizeof note);
  if (r == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (r == -EBUSY) snprintf(note, sizeof note, "locks in it keep it where it is");
  else if (r == -EPERM) snprintf(note, sizeof note, "it is sealed");
  else if (note[0] == '\0') lipcsys_memnote(&m->fresh.path, m->h.fd, r, note, sizeof note);
  return lipc_failselfnote(L, "resize", r, note[0] != '\0' ? note : NULL);
}

/* ---- stat ---- */

static void setbool (lua_State *L, const char *name, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, name);
}

static const struct {
  const char *name;
  unsigned seal;
} seals[] = {
  {"seal", LIPC_SEAL_SEAL},   {"shrink", LIPC_SEAL_SHRINK},       {"grow", LIPC_SEAL_GROW},
  {"write", LIPC_SEAL_WRITE}, {"future_write", LIPC_SEAL_FUTURE}, {NULL, 0},
};

/* m:stat() -> {type=, size=, offset=, readonly=, private=, guard=, lost=, name=, filesize=, dev=, ino=, mode=,
** seals=} | nil, msg, code: size is what is mapped; the last five are of the file, where there is one, and
** seals an array of names   -- see fstat(2), fcntl(2) F_GET_SEALS */
static int l_mapfile_stat (lua_State *L) {
  const struct lipc_mapfile *m = check(L);
  struct lipcsys_meminfo info;
  struct lipc_map map = m->map;
  bool lost = *map.lost;
  int fd = m->h.fd, r = fd < 0 ? 0 : lipcsys_meminfo(fd, &info);
  if (r < 0) return lipc_failself(L, "stat", r);
  lua_createtable(L, 0, 13);
  lua_pushstring(L, m->h.cls->label);
  lua_setfield(L, -2, "type");
  lua_getiuservalue(L, 1, LIPC_UV_NAME);
  lua_setfield(L, -2, "name");
  lipc_setinteger(L, "size", (lua_Integer)map.size);
  lipc_setinteger(L, "offset", (lua_Integer)m->offset);
  setbool(L, "readonly", map.readonly);
  setbool(L, "private", (m->how & LIPC_MAP_PRIVATE) != 0);
  setbool(L, "guard", map.guard != NULL);
  setbool(L, "lost", lost);
  if (fd < 0) return 1;
  lipc_setinteger(L, "filesize", (lua_Integer)info.size);
  lipc_setinteger(L, "dev", (lua_Integer)info.id.dev);
  lipc_setinteger(L, "ino", (lua_Integer)info.id.ino);
  lipc_setinteger(L, "mode", (lua_Integer)info.mode);
  lua_newtable(L);
  for (int i = 0, n = 0; seals[i].name != NULL; i++) {
    if (!(info.seals & seals[i].seal)) continue;
    lua_pushstring(L, seals[i].name);
    lua_rawseti(L, -2, ++n);
  }
  lua_setfield(L, -2, "seals");
  return 1;
}

const luaL_Reg lipc_mapfile_methods[] = {
  {"sync", l_mapfile_sync},
  {"advise", l_mapfile_advise},
  {"lock", l_mapfile_lock},
  {"unlock", l_mapfile_unlock},
  {"resize", l_mapfile_resize},
  {"stat", l_mapfile_stat},
  {NULL, NULL},
};
