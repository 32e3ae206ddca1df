/* shared.h - what the files of the shared binding have in common.  SPDX-License-Identifier: MIT */
#ifndef LIPC_SHARED_H
#define LIPC_SHARED_H

#include "kit_sync.h"

#pragma GCC visibility push(hidden)

/* A failure of the object's operation; errors of kit_sync.h and shared_hash.h. */
int shared_fail (lua_State *L, const char *op, int err);

/* For operations that have no place for a failure: raises one, of three results; anything else that a step
** returns it returns. */
int shared_raise (lua_State *L, int results);

/* The name and `type` of a stat table, which is left on top. */
void shared_stat (lua_State *L, const char *type);

/* The string at idx as one of these (NULL-ended), or misuse of argument arg. */
int shared_checktype (lua_State *L, int arg, const char *const names[]);

/* make(mapping, ...): puts one of that many bytes into the zeroed mapping at index 1.  Pushes true, or
** fails. */
int shared_make (lua_State *L, const struct lipc_sync_what *what, size_t size,
                 void (*init)(void *memory, const void *arg), const void *arg);

/* open(mapping, ...): pushes the object for what should be in the mapping at index 1 and has at least that
** many bytes; it is LIPC_CLOSED as yet.  0, or how many results the failure has. */
int shared_open (lua_State *L, const struct lipc_class *cls, const struct lipc_sync_what *what,
                 size_t least, struct lipc_placed **ret_placed);

/* Fails for what is there, and not what was expected. */
int shared_openfail (lua_State *L, const struct lipc_sync_what *what, const char *note);

/* The same with "EINVAL" for what was made otherwise than was asked for (lipc_failother). */
int shared_openother (lua_State *L, const struct lipc_sync_what *what, const char *property,
                      const char *there, const char *asked);
int shared_openothern (lua_State *L, const struct lipc_sync_what *what, const char *property,
                       lua_Integer there, lua_Integer asked);

/* Of an __index that is a function, the upvalue that has the methods. */
#define SHARED_METHODS 2

/* Puts the functions, and the methods of the class, under this name into the module's table on top. */
void shared_add (lua_State *L, const char *name, const struct lipc_class *cls,
                 const luaL_Reg *functions);

void shared_open_value (lua_State *L);
void shared_open_dict (lua_State *L);
void shared_open_array (lua_State *L);

#pragma GCC visibility pop
#endif
