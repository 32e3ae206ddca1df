/* shared_dict.h - what the files of shared.dict have in common.  SPDX-License-Identifier: MIT */
#ifndef LIPC_SHARED_DICT_H
#define LIPC_SHARED_DICT_H

#include "shared.h"
#include "shared_hash.h"

#pragma GCC visibility push(hidden)

struct dict_memory {
  struct lipc_sync_base base;
  _Atomic uint64_t capacity, bytes; /* what it was made for */
};

#define DICT_TABLE 128 /* offset of the table: a line of its own behind that */
_Static_assert(sizeof(struct dict_memory) <= DICT_TABLE, "there is room");

typedef struct Dict {
  struct lipc_placed p;
  struct hash_plan plan; /* learnt when it was opened */
  uint64_t bytes; /* what it was made for, beside plan.capacity */
} Dict;

/* Inside, and the table as it should be: 0; or a negative errno: outside. */
int dict_enter (lua_State *L, Dict *d, struct hash *ret_h);
void dict_leave (lua_State *L, Dict *d, const struct hash *h);

/* The argument as a value, or misuse; number: 8 bytes for what is no string. */
struct hash_value dict_checkvalue (lua_State *L, int arg, char *number);
void dict_pushvalue (lua_State *L, const struct hash_value *v);

extern const luaL_Reg dict_walk_methods[];

#pragma GCC visibility pop
#endif
