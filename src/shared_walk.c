/* shared_walk.c - all entries of a dictionary as they are at one instant: a copy of its memory is made inside
** the lock, and then walked over outside.  SPDX-License-Identifier: MIT */
#include "shared_dict.h"

#include <string.h>

#define TURNS 8 /* how often one that grows meanwhile is copied again at once */

/* A userdata. */
struct copy {
  struct hash_plan plan;
  struct hash_walk walk;
  _Alignas(uint64_t) char table[];
};

/* Leaves the copy on top: 0; else what the step returns. */
static int copy_table (lua_State *L, int t, const char *op) {
  Dict *d = lua_touserdata(L, 1);
  struct hash_plan plan = {.size = 0};
  struct copy *c = NULL;
  size_t room = 0;
  for (int turn = 0; turn < TURNS; turn++) {
    struct hash h;
    int r = dict_enter(L, d, &h);
    if (r == -EAGAIN) return lipc_again(0);
    if (r < 0) return shared_fail(L, op, r);
    shared_hash_extent(&h, &plan);
    if (c != NULL && plan.size <= room) memcpy(c->table, h.base, plan.size);
    dict_leave(L, d, &h);
    if (c != NULL && plan.size <= room) {
      c->plan = plan;
      c->walk = (struct hash_walk){0};
      return 0;
    }
    lua_settop(L, t + 1);
    room = plan.size + 16 * HASH_BLOCK; /* it may grow a little meanwhile */
    c = lua_newuserdatauv(L, sizeof *c + room, 0); /* a finaliser may close it now */
  }
  return lipc_again(0);
}

/* Pushes the next key and value of the copy; 0, -ENOENT or -EPROTO. */
static int push_next (lua_State *L, struct copy *c) {
  struct hash h = {c->table, &c->plan};
  struct hash_value v;
  luaL_Buffer b;
  uint32_t entry;
  size_t keylen;
  char number[8];
  int r = shared_hash_next(&h, &c->walk, &entry, &keylen, &v);
  if (r < 0) return r;
  char *key = luaL_buffinitsize(L, &b, keylen);
  r = shared_hash_read(&h, entry, 0, keylen, key);
  luaL_pushresultsize(&b, keylen);
  if (r == 0 && v.type == HASH_STRING) {
    char *s = luaL_buffinitsize(L, &b, v.len);
    r = shared_hash_read(&h, entry, keylen, v.len, s);
    luaL_pushresultsize(&b, v.len);
  } else if (r == 0) {
    r = shared_hash_read(&h, entry, keylen, v.len, number);
    v.data = number;
    dict_pushvalue(L, &v);
  }
  return r;
}

/* The iterator of pairs. */
static int next_pair (lua_State *L) {
  int r = push_next(L, lua_touserdata(L, lua_upvalueindex(1)));
  if (r == -EPROTO)
    return luaL_error(L, "shared.dict:pairs: Protocol error (what was there was overwritten)");
  if (r == 0) return 2;
  lua_pushnil(L);
  return 1;
}

static int pairs_over (lua_State *L, int t, int err) {
  (void)t;
  return shared_raise(L, lipc_failself(L, "pairs", err));
}

static int pairs_step (lua_State *L, int t) {
  int r = copy_table(L, t, "pairs");
  if (r != 0) return shared_raise(L, r);
  lua_pushcclosure(L, next_pair, 1);
  return 1;
}
static const struct lipc_op pairs_op = {"pairs", pairs_step, 0, pairs_over};

/* d:pairs([timeout]) -> iterator of key, value, for a generic for: the entries as they are now, at one
** instant, in no order; a failure raises */
static int l_dict_pairs (lua_State *L) { return lipc_drive(L, &pairs_op, 2); }

/* pairs(d) -> the same, with the default timeout */
static int l_dict_metapairs (lua_State *L) {
  lua_settop(L, 1);
  return lipc_drive(L, &pairs_op, 2);
}

static int snapshot_step (lua_State *L, int t) {
  int r = copy_table(L, t, "snapshot");
  if (r != 0) return r;
  struct copy *c = lua_touserdata(L, -1);
  lua_newtable(L);
  luaL_checkstack(L, 8, NULL);
  while ((r = push_next(L, c)) == 0) lua_rawset(L, -3);
  return r == -ENOENT ? 1 : shared_fail(L, "snapshot", r);
}
static const struct lipc_op snapshot_op = {"snapshot", snapshot_step, 0, NULL};

/* d:snapshot([timeout]) -> {key = value, ...} | nil, msg, code: all entries, as they are at one instant */
static int l_dict_snapshot (lua_State *L) { return lipc_drive(L, &snapshot_op, 2); }

const luaL_Reg dict_walk_methods[] = {
  {"pairs", l_dict_pairs},
  {"__pairs", l_dict_metapairs},
  {"snapshot", l_dict_snapshot},
  {NULL, NULL},
};
