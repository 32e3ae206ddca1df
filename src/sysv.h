/* sysv.h - what the three kinds of System V objects share: sysv.c has it; sysv_msg.c, sysv_shm.c and
** sysv_sem.c are the kinds.  SPDX-License-Identifier: MIT */
#ifndef LIPC_SYSV_H
#define LIPC_SYSV_H

#include "lipc_kit.h"

#pragma GCC visibility push(hidden)

/* The first member of each kind's struct.  h.fd is LIPC_NOFD while it is open. */
typedef struct Sysv {
  struct lipc_handle h;
  int id;
  int32_t key;
  bool unlink; /* to be removed on close: asked for, and made by this very object */
} Sysv;

/* The argument as a key: an integer of 32 bits, signed or not, or "private".  -- see ftok(3) */
int32_t lipc_sysv_key (lua_State *L, int arg);

/* The options that every open has; a kind adds its own names to the list and the rest of *ret. */
#define LIPC_SYSV_OPTIONS "create", "exclusive", "mode", "unlink"

/* key at 1, options at 2, which have been checked for their names.  The private key always creates.
** Fills key, mode, create and exclusive, the rest with zeros; returns whether `unlink` is asked for. */
bool lipc_sysv_options (lua_State *L, struct lipcsys_sysvopen *ret);

/* "key 0x0000002a", for the messages of an open that failed; buf holds 16 bytes. */
const char *lipc_sysv_keyname (int32_t key, char buf[16]);

/* The object on top of the stack has got its id: open from now on, and named "key 0x0000002a, id 5".  What
** was made is removed should memory run out in here; afterwards s->unlink is made && unlink. */
void lipc_sysv_opened (lua_State *L, Sysv *s, int32_t key, int id, bool made, bool unlink);

/* For release: whether the object must be removed from the kernel now. */
bool lipc_sysv_mustremove (const Sysv *s, int fd);

/* Sets key, id, uid, gid, cuid, cgid and mode in the table on top; type is the field "type". */
void lipc_sysv_pushperm (lua_State *L, const char *type, const struct lipcsys_sysvperm *p, int id);

/* set: the options table at 2 into *p, which has the present values: uid, gid, mode.  The names were
** checked. */
#define LIPC_SYSV_SETTABLE "uid", "gid", "mode"
void lipc_sysv_checkset (lua_State *L, struct lipcsys_sysvperm *p);

/* fromid's argument; and its failure. */
int lipc_sysv_checkid (lua_State *L, int arg);
int lipc_sysv_noid (lua_State *L, const char *op, int id, int err);

/* id() -> integer, key() -> integer: for the kinds' lists of methods. */
extern const luaL_Reg lipc_sysv_methods[];

/* Each pushes the module table of a kind and returns 1. */
int lipc_sysv_msg (lua_State *L);
int lipc_sysv_shm (lua_State *L);
int lipc_sysv_sem (lua_State *L);

#pragma GCC visibility pop
#endif
