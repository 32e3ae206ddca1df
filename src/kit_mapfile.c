/* kit_mapfile.c - how objects that map a file are opened, made and closed.
** SPDX-License-Identifier: MIT */
#include "kit_mapfile.h"

#include <stdio.h>
#include <string.h>

/* ---- options ---- */

void lipc_mapoptions (lua_State *L, int idx, struct lipc_mapoptions *o, bool open) {
  lua_Integer size = lipc_optint(L, idx, "size", 0, PTRDIFF_MAX, -1);
  o->sized = size >= 0;
  o->size = size < 0 ? 0 : (size_t)size;
  o->offset = (uint64_t)lipc_optint(L, idx, "offset", 0, INT64_MAX, 0);
  o->readonly = lipc_optbool(L, idx, "readonly", false);
  o->guard = lipc_optbool(L, idx, "guard", true);
  o->reserve = lipc_optbool(L, idx, "reserve", true);
  o->how = o->readonly ? LIPC_MAP_READONLY : 0;
  if (lipc_optbool(L, idx, "private", false)) o->how |= LIPC_MAP_PRIVATE;
  if (lipc_optbool(L, idx, "populate", false)) o->how |= LIPC_MAP_POPULATE;
  if (!open) return;
  o->create = lipc_optbool(L, idx, "create", false);
  o->exclusive = lipc_optbool(L, idx, "exclusive", false);
  o->unlink = o->shm && lipc_optbool(L, idx, "unlink", false);
  o->mode = lipc_optmode(L, idx, "mode", 0777, 0600);
  bool init = lua_istable(L, idx) && lua_getfield(L, idx, "init") != LUA_TNIL;
  if (init && !lua_isfunction(L, -1))
    luaL_argerror(
      L, idx, lua_pushfstring(L, "option 'init': function expected, got %s", luaL_typename(L, -1)));
  luaL_argcheck(L, o->create || !o->exclusive, idx, "option 'exclusive' needs 'create'");
  luaL_argcheck(L, o->create || !o->unlink, idx, "option 'unlink' needs 'create'");
  luaL_argcheck(L, o->create || !init, idx, "option 'init' needs 'create'");
  luaL_argcheck(L, !o->create || o->sized, idx, "option 'size' is needed to create");
  luaL_argcheck(L, !o->create || !(o->how & (LIPC_MAP_READONLY | LIPC_MAP_PRIVATE)), idx,
                "option 'create' needs a mapping that is shared and not read-only");
}

int lipc_mapfile_failed (lua_State *L, const struct lipc_mapfile *m,
                         const struct lipc_mapoptions *o, int err, const char *note) {
  char buf[200];
  struct lipcsys_mempath named = {o->name, o->shm};
  if (note == NULL)
    note = lipcsys_memnote(o->name != NULL ? &named : NULL, m->h.fd, err, buf, sizeof buf);
  return lipc_failnote(L, o->op, o->name, err, note);
}

/* ---- lifetime ---- */

struct lipc_map *lipc_mapfile_hook (struct lipc_handle *h) {
  return &((struct lipc_mapfile *)h)->map;
}

int lipc_mapfile_release (lua_State *L, struct lipc_handle *h, int fd) {
  struct lipc_mapfile *m = (struct lipc_mapfile *)h;
  int r = 0;
  (void)L;
  if (m->fresh.temporary[0] != '\0') lipcsys_memdrop(&m->fresh);
  if (m->unlink && fd != LIPC_CLOSED && h->forkgen == lipcsys_forkgen)
    r = lipcsys_memunlink(&m->fresh.path, &m->id);
  m->unlink = false;
  int unmapped = lipc_map_close(&m->map);
  int closed = fd >= 0 ? lipcsys_close(fd) : 0;
  return r < 0 ? r : unmapped < 0 ? unmapped : closed;
}

/* ---- opening ---- */

int lipc_mapfile_map (struct lipc_mapfile *m, const struct lipc_mapoptions *o, int fd) {
  m->offset = o->offset;
  m->how = o->how;
  m->reserve = o->reserve;
  m->guard = o->guard;
  return lipc_map_open(&m->map, fd, o->offset, o->size, o->how, o->guard);
}

/* How much of a file of that many bytes is to be mapped: all behind the offset, or what was asked for. */
static int choose_size (struct lipc_mapoptions *o, uint64_t bytes, char *note, size_t notesize) {
  note[0] = '\0';
  if (o->offset > bytes || (o->sized && o->size > bytes - o->offset)) {
    char there[24], asked[64];
    snprintf(there, sizeof there, "%llu", (unsigned long long)bytes);
    if (o->offset == 0) snprintf(asked, sizeof asked, "%llu", (unsigned long long)o->size);
    else
      snprintf(asked, sizeof asked, "offset %llu and %llu", (unsigned long long)o->offset,
               (unsigned long long)o->size);
    lipc_noteother(note, notesize, "size", there, asked);
    return -EINVAL;
  }
  if (o->sized) return 0;
  if (bytes - o->offset > PTRDIFF_MAX) return -ENOMEM;
  o->size = (size_t)(bytes - o->offset);
  return 0;
}

static int open_there (struct lipc_mapfile *m, struct lipc_mapoptions *o, char *note,
                       size_t notesize) {
  struct lipcsys_meminfo info;
  int fd;
  bool write = !(o->how & (LIPC_MAP_READONLY | LIPC_MAP_PRIVATE));
  int r = lipcsys_memopen(&m->fresh.path, write, &fd, &info);
  if (r < 0) return r;
  r = choose_size(o, info.size, note, notesize);
  if (r == 0) r = lipc_mapfile_map(m, o, fd);
  if (r == 0) m->h.fd = fd;
  else lipcsys_close(fd);
  return r;
}

/* Nobody else sees it before it is whole; init is the function at 3, or nil. */
static int make (lua_State *L, struct lipc_mapfile *m, struct lipc_mapoptions *o) {
  struct lipcsys_meminfo info;
  int r = lipcsys_memnew(&m->fresh, o->mode);
  if (r < 0) return r;
  m->h.fd = m->fresh.fd;
  uint64_t size = o->offset + o->size;
  r = o->reserve ? lipcsys_memgrow(m->h.fd, size, true) : lipcsys_memsetsize(m->h.fd, size);
  if (r == 0) r = lipcsys_meminfo(m->h.fd, &info);
  if (r == 0) r = lipc_mapfile_map(m, o, m->h.fd);
  if (r < 0) return r;
  if (lua_isfunction(L, 3)) {
    lua_pushvalue(L, 3);
    lua_pushvalue(L, 4);
    lua_call(L, 1, 0);
    luaL_argcheck(L, lipc_isopen(&m->h), 2, "option 'init': it has closed the mapping");
  }
  r = lipcsys_mempublish(&m->fresh);
  m->id = info.id;
  m->unlink = r == 0 && o->unlink;
  return r;
}

#define TRIES 100 /* somebody who does nothing but make and remove it */

int lipc_mapfile_open (lua_State *L, const struct lipc_class *cls, struct lipc_mapoptions *o) {
  char note[160] = "";
  lua_settop(L, 2);
  if (lua_istable(L, 2)) lua_getfield(L, 2, "init");
  lua_settop(L, 3);
  struct lipc_mapfile *m = lipc_new(L, cls); /* at 4 */
  lipc_setname(L, 4, o->name);
  lua_getiuservalue(L, 4, LIPC_UV_NAME);
  m->fresh.path = (struct lipcsys_mempath){lua_tostring(L, -1), o->shm};
  lua_pop(L, 1);
  int r = -EBUSY;
  for (int i = 0; i < TRIES; i++) {
    if (!o->exclusive) r = open_there(m, o, note, sizeof note);
    else r = lipcsys_memthere(&m->fresh.path) ? -EEXIST : -ENOENT;
    if (r != -ENOENT || !o->create) break;
    r = make(L, m, o);
    if (r != -EEXIST || o->exclusive) break;
    lipc_shut(L, &m->h);
    r = -EBUSY;
  }
  if (r == 0) return 1;
  int n = lipc_mapfile_failed(L, m, o, r, note[0] != '\0' ? note : NULL);
  if (lipc_isopen(&m->h)) lipc_shut(L, &m->h);
  return n;
}

int lipc_mapfile_fromfd (lua_State *L, const struct lipc_class *cls, struct lipc_mapoptions *o) {
  char note[160], name[24];
  struct lipcsys_fdinfo fd_info;
  struct lipcsys_meminfo info;
  lua_settop(L, 2);
  struct lipc_mapfile *m = lipc_new(L, cls);
  int fd = lipc_adopt(L, 1, &m->h, &fd_info);
  if (lipcsys_meminfo(fd, &info) < 0) luaL_argerror(L, 1, "neither file nor shared memory object");
  luaL_argcheck(L, fd_info.access & LIPC_IN, 1, "descriptor is not open for reading");
  bool shared = !(o->how & LIPC_MAP_PRIVATE);
  if (shared && (!(fd_info.access & LIPC_OUT) || info.seals & (LIPC_SEAL_WRITE | LIPC_SEAL_FUTURE)))
    o->how |= LIPC_MAP_READONLY;
  if (info.seals & LIPC_SEAL_SHRINK) o->guard = false;
  m->fresh.path.shm = o->shm;
  snprintf(name, sizeof name, "fd %d", fd);
  int r = choose_size(o, info.size, note, sizeof note);
  if (r == 0) r = lipc_mapfile_map(m, o, fd);
  if (r < 0) {
    if (note[0] == '\0') lipcsys_memnote(NULL, fd, r, note, sizeof note);
    return lipc_failnote(L, o->op, name, r, note[0] != '\0' ? note : NULL);
  }
  m->h.fd = fd;
  return 1;
}
