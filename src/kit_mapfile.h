/* kit_mapfile.h - objects that map a file, which have most things in common: shm.c and mmap.c.
** SPDX-License-Identifier: MIT */
#ifndef LIPC_KIT_MAPFILE_H
#define LIPC_KIT_MAPFILE_H

#include "kit_map.h"

#pragma GCC visibility push(hidden)

struct lipc_mapfile {
  struct lipc_handle h; /* fd: the file, or LIPC_NOFD: anonymous */
  struct lipc_map map;
  uint64_t offset; /* of the mapping in the file */
  unsigned how; /* LIPC_MAP_* */
  bool reserve, guard; /* as asked for, or found right */
  bool unlink; /* to be removed on close: asked for, and made by this very object */
  struct lipcsys_fileid id; /* of what was made */
  struct lipcsys_newmem fresh; /* its path is the object's name; not published while temporary */
};

/* The options of open and fromfd, as read. */
struct lipc_mapoptions {
  const char *op; /* for messages */
  const char *name; /* likewise, or NULL */
  bool shm; /* what kind of object, and so which options it has */
  bool create, exclusive, unlink, guard, reserve, readonly, sized;
  unsigned how, mode;
  uint64_t offset;
  size_t size;
};

/* The options' names, for lipc_checkopts. */
#define LIPC_MAP_FDOPTIONS   "size", "readonly", "guard", "reserve", "populate"
#define LIPC_MAP_OPENOPTIONS LIPC_MAP_FDOPTIONS, "create", "exclusive", "mode", "init"
#define LIPC_MAP_FILEOPTIONS "offset", "private"

/* Reads them from the table at idx, where their names have been checked.  open: those of open. */
void lipc_mapoptions (lua_State *L, int idx, struct lipc_mapoptions *o, bool open);

/* The constructors, from the argument at 1 and the options at 2: a path or name; a descriptor. */
int lipc_mapfile_open (lua_State *L, const struct lipc_class *cls, struct lipc_mapoptions *o);
int lipc_mapfile_fromfd (lua_State *L, const struct lipc_class *cls, struct lipc_mapoptions *o);

/* The object on top maps this descriptor, which is the caller's still when that fails.  h.fd is stored
** by the caller. */
int lipc_mapfile_map (struct lipc_mapfile *m, const struct lipc_mapoptions *o, int fd);

/* nil, message, code, with a note about what was in the way. */
int lipc_mapfile_failed (lua_State *L, const struct lipc_mapfile *m,
                         const struct lipc_mapoptions *o, int err, const char *note);

/* For the classes. */
struct lipc_map *lipc_mapfile_hook (struct lipc_handle *h);
int lipc_mapfile_release (lua_State *L, struct lipc_handle *h, int fd);
extern const luaL_Reg lipc_mapfile_methods[]; /* sync, advise, lock, unlock, resize, stat */

#pragma GCC visibility pop
#endif
