/* shared_dict.c - a dictionary in shared memory: keys are strings; values strings, numbers and booleans.
** The table itself is in shared_hash.c.  Each operation is one turn of the internal lock; who dies inside
** leaves what was there before, or what it wanted.  Nothing that can raise happens inside.
** SPDX-License-Identifier: MIT */
#include "shared_dict.h"

#include <stdio.h>
#include <string.h>

#define SMALL 512 /* bytes of a value that are read without asking for memory */
#define TURNS 8 /* how often a value that grows meanwhile is read again at once */

/* ---- values ---- */

/* Room for the bytes of what is no string. */
union number {
  lua_Integer i;
  lua_Number x;
};

struct hash_value dict_checkvalue (lua_State *L, int arg, char *number) {
  struct hash_value v = {.len = 8, .data = number};
  _Static_assert(sizeof(union number) == 8, "as HASH_INTEGER and HASH_FLOAT have it");
  switch (lua_type(L, arg)) {
    case LUA_TBOOLEAN:
      return (struct hash_value){lua_toboolean(L, arg) ? HASH_TRUE : HASH_FALSE, 0, ""};
    case LUA_TSTRING:
      v.type = HASH_STRING;
      v.data = lua_tolstring(L, arg, &v.len);
      return v;
    case LUA_TNUMBER:
      v.type = lua_isinteger(L, arg) ? HASH_INTEGER : HASH_FLOAT;
      if (v.type == HASH_INTEGER) memcpy(number, &(lua_Integer){lua_tointeger(L, arg)}, 8);
      else memcpy(number, &(lua_Number){lua_tonumber(L, arg)}, 8);
      return v;
    case LUA_TNIL:
    case LUA_TNONE:
      luaL_argerror(L, arg, "value expected, got nil (delete removes a key)");
      return v;
    default: luaL_typeerror(L, arg, "string, number or boolean"); return v;
  }
}

void dict_pushvalue (lua_State *L, const struct hash_value *v) {
  union number n;
  switch (v->type) {
    case HASH_STRING: lua_pushlstring(L, v->data, v->len); break;
    case HASH_INTEGER:
      memcpy(&n, v->data, sizeof n);
      lua_pushinteger(L, n.i);
      break;
    case HASH_FLOAT:
      memcpy(&n, v->data, sizeof n);
      lua_pushnumber(L, n.x);
      break;
    default: lua_pushboolean(L, v->type == HASH_TRUE); break;
  }
}

/* ---- inside and out again ---- */

static struct dict_memory *memory_of (lua_State *L, Dict *d) {
  return (struct dict_memory *)lipc_placed_at(L, &d->p);
}

int dict_enter (lua_State *L, Dict *d, struct hash *ret_h) {
  struct dict_memory *m = memory_of(L, d);
  int r = lipc_sync_enter(L, &d->p, &m->base);
  if (r < 0) return r;
  *ret_h = (struct hash){(char *)m + DICT_TABLE, &d->plan};
  r = shared_hash_repair(ret_h, false);
  if (r < 0) lipc_sync_leave(&m->base.header);
  return r;
}

void dict_leave (lua_State *L, Dict *d, const struct hash *h) {
  struct dict_memory *m = (struct dict_memory *)(h->base - DICT_TABLE);
  lipc_sync_leave(&m->base.header);
  lipc_map_done(L, 1, d->p.map);
}

static void dict_repair (struct lipc_placed *p, void *memory) {
  Dict *d = (Dict *)p;
  shared_hash_repair(&(struct hash){(char *)memory + DICT_TABLE, &d->plan}, true);
}

/* In the step of the operation op: inside, with h, or the step is over. */
#define ENTER(op)                         \
  Dict *d = lua_touserdata(L, 1);         \
  struct hash h;                          \
  int r = dict_enter(L, d, &h);           \
  if (r == -EAGAIN) return lipc_again(0); \
  if (r < 0) return shared_fail(L, op, r)
#define LEAVE() dict_leave(L, d, &h)

static const char *check_key (lua_State *L, size_t *ret_len) {
  if (lua_type(L, 2) != LUA_TSTRING) luaL_typeerror(L, 2, "string");
  return lua_tolstring(L, 2, ret_len);
}

static int full (lua_State *L, const char *op, const Dict *d, struct hash_stat s) {
  lua_pushfstring(
    L, "%d of %d entries, %d of %d blocks of %d bytes are in use: options capacity and bytes",
    (int)s.count, (int)d->plan.capacity, (int)s.used, (int)d->plan.nblocks, HASH_BLOCK);
  return lipc_failselfnote(L, op, -ENOSPC, lua_tostring(L, -1));
}

static int done (lua_State *L) {
  lua_pushboolean(L, 1);
  return 1;
}

static const struct lipc_sync_what what = {"dict", LIPC_KIND_DICT, 1};

/* What the next one who opens it makes its plan of. */
static void describe (struct dict_memory *m, uint64_t capacity, uint64_t bytes) {
  lipc_put(&m->capacity, capacity);
  lipc_put(&m->bytes, bytes);
}

/* ---- operations ---- */

static int get_step (lua_State *L, int t) {
  char small[SMALL], *buf = small;
  size_t len, room = sizeof small;
  const char *key = check_key(L, &len);
  struct hash_value v;
  for (int turn = 0; turn < TURNS; turn++) {
    ENTER("get");
    r = shared_hash_get(&h, key, len, buf, room, &v);
    LEAVE();
    if (r == -ENOENT) lua_pushnil(L);
    else if (r < 0) return shared_fail(L, "get", r);
    else if (v.len <= room) dict_pushvalue(L, &v);
    if (r < 0 || v.len <= room) return 1;
    lua_settop(L, t + 1);
    room = v.len;
    buf = lua_newuserdatauv(L, room, 0); /* a finaliser may close it now */
  }
  return lipc_again(0);
}
static const struct lipc_op get_op = {"get", get_step, 0, NULL};

/* d:get(key[, timeout]) -> value | nil: there is none | nil, msg, code */
static int l_dict_get (lua_State *L) { return lipc_drive(L, &get_op, 3); }

static int set_step (lua_State *L, int t) {
  char number[8];
  size_t len;
  const char *key = check_key(L, &len);
  struct hash_value v = dict_checkvalue(L, 3, number);
  struct hash_stat s;
  (void)t;
  ENTER("set");
  r = shared_hash_set(&h, key, len, &v);
  shared_hash_stat(&h, &s);
  LEAVE();
  if (r == -ENOSPC) return full(L, "set", d, s);
  return r < 0 ? shared_fail(L, "set", r) : done(L);
}
static const struct lipc_op set_op = {"set", set_step, 0, NULL};

/* d:set(key, value[, timeout]) -> true | nil, msg, code: "ENOSPC": full; the old value stands */
static int l_dict_set (lua_State *L) { return lipc_drive(L, &set_op, 4); }

static int delete_step (lua_State *L, int t) {
  size_t len;
  const char *key = check_key(L, &len);
  (void)t;
  ENTER("delete");
  r = shared_hash_delete(&h, key, len);
  LEAVE();
  if (r < 0 && r != -ENOENT) return shared_fail(L, "delete", r);
  lua_pushboolean(L, r == 0);
  return 1;
}
static const struct lipc_op delete_op = {"delete", delete_step, 0, NULL};

/* d:delete(key[, timeout]) -> true | false: there was none | nil, msg, code */
static int l_dict_delete (lua_State *L) { return lipc_drive(L, &delete_op, 3); }

/* The number at index 3 added to what is there, into sum.  0 or a negative errno. */
static int add_up (lua_State *L, const struct hash_value *old, union number *sum,
                   unsigned *ret_type) {
  union number was;
  memcpy(&was, old->data, sizeof was);
  if (old->type != HASH_INTEGER && old->type != HASH_FLOAT) return -EINVAL;
  if (old->type == HASH_INTEGER && lua_isinteger(L, 3)) {
    *ret_type = HASH_INTEGER;
    return __builtin_add_overflow(was.i, lua_tointeger(L, 3), &sum->i) ? -ERANGE : 0;
  }
  *ret_type = HASH_FLOAT;
  sum->x = (old->type == HASH_INTEGER ? (lua_Number)was.i : was.x) + lua_tonumber(L, 3);
  return 0;
}

static int add_step (lua_State *L, int t) {
  char number[8];
  size_t len;
  const char *key = check_key(L, &len);
  luaL_checktype(L, 3, LUA_TNUMBER);
  struct hash_value old, v = dict_checkvalue(L, 3, number);
  struct hash_stat s;
  union number sum;
  (void)t;
  ENTER("add");
  r = shared_hash_get(&h, key, len, (char *)&sum, sizeof sum, &old);
  if (r == 0) {
    r = add_up(L, &old, &sum, &v.type);
    v.data = (const char *)&sum;
  }
  if (r == 0 || r == -ENOENT) r = shared_hash_set(&h, key, len, &v);
  shared_hash_stat(&h, &s);
  LEAVE();
  switch (r) {
    case 0: dict_pushvalue(L, &v); return 1;
    case -ENOSPC: return full(L, "add", d, s);
    case -EINVAL: return lipc_failselfnote(L, "add", r, "what is there is no number");
    case -ERANGE: return lipc_failselfnote(L, "add", r, "the sum is no integer of 64 bits");
    default: return shared_fail(L, "add", r);
  }
}
static const struct lipc_op add_op = {"add", add_step, 0, NULL};

/* d:add(key, n[, timeout]) -> sum | nil, msg, code: as one step; where there is none it is n.  "EINVAL": what
** is there is no number; "ERANGE": the sum of two integers is none */
static int l_dict_add (lua_State *L) { return lipc_drive(L, &add_op, 4); }

static int count_step (lua_State *L, int t) {
  struct hash_stat s;
  (void)t;
  ENTER("count");
  shared_hash_stat(&h, &s);
  LEAVE();
  lua_pushinteger(L, (lua_Integer)s.count);
  return 1;
}
static const struct lipc_op count_op = {"count", count_step, 0, NULL};

/* d:count([timeout]) -> entries | nil, msg, code */
static int l_dict_count (lua_State *L) { return lipc_drive(L, &count_op, 2); }

static int len_over (lua_State *L, int t, int err) {
  (void)t;
  return shared_raise(L, lipc_failself(L, "count", err));
}

static int len_step (lua_State *L, int t) { return shared_raise(L, count_step(L, t)); }
static const struct lipc_op len_op = {"count", len_step, 0, len_over};

/* #d -> entries; a failure raises */
static int l_dict_len (lua_State *L) {
  lua_settop(L, 1);
  return lipc_drive(L, &len_op, 2);
}

/* Works on what was overwritten too: that is how it is mended, from what this object knows. */
static int clear_step (lua_State *L, int t) {
  Dict *d = lua_touserdata(L, 1);
  struct dict_memory *m = memory_of(L, d);
  (void)t;
  int r = lipc_sync_enteranew(L, &d->p, &m->base);
  if (r == -EAGAIN) return lipc_again(0);
  if (r < 0) return shared_fail(L, "clear", r);
  describe(m, d->plan.capacity, d->bytes);
  lipc_sync_describe(&m->base.header, &what, d->p.size);
  struct hash h = {(char *)m + DICT_TABLE, &d->plan};
  shared_hash_clear(&h);
  LEAVE();
  return done(L);
}
static const struct lipc_op clear_op = {"clear", clear_step, 0, NULL};

/* d:clear([timeout]) -> true | nil, msg, code: removes all entries, as one step, and mends what was
** overwritten */
static int l_dict_clear (lua_State *L) { return lipc_drive(L, &clear_op, 2); }

static int stat_step (lua_State *L, int t) {
  struct hash_stat s;
  (void)t;
  ENTER("stat");
  shared_hash_stat(&h, &s);
  LEAVE();
  shared_stat(L, "dict");
  lipc_setinteger(L, "count", s.count);
  lipc_setinteger(L, "capacity", d->plan.capacity);
  lipc_setinteger(L, "used", (lua_Integer)s.used * HASH_BLOCK);
  lipc_setinteger(L, "bytes", (lua_Integer)d->plan.nblocks * HASH_BLOCK);
  lipc_setinteger(L, "repairs", s.repairs);
  return 1;
}
static const struct lipc_op stat_op = {"stat", stat_step, 0, NULL};

/* d:stat([timeout]) -> {type=, name=, count=, capacity=, used=, bytes=, repairs=} | nil, msg, code */
static int l_dict_stat (lua_State *L) { return lipc_drive(L, &stat_op, 2); }

static int dict_release (lua_State *L, struct lipc_handle *h, int fd) {
  (void)fd;
  return lipc_placed_release(L, (struct lipc_placed *)h);
}

static const luaL_Reg methods[] = {
  {"get", l_dict_get},   {"set", l_dict_set},     {"delete", l_dict_delete},
  {"add", l_dict_add},   {"count", l_dict_count}, {"clear", l_dict_clear},
  {"stat", l_dict_stat}, {"__len", l_dict_len},   {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, dict_walk_methods, lipc_hold_methods, NULL};
static const struct lipc_class dict_class = {.tname = "lipc.shared.dict",
                                             .label = "shared.dict",
                                             .size = sizeof(Dict),
                                             .values = LIPC_PLACED_VALUES,
                                             .methods = all_methods,
                                             .release = dict_release,
                                             .block = lipc_sync_block};

/* ---- making and opening ---- */

struct initial {
  struct hash_plan plan;
  uint64_t capacity, bytes, seed[2];
};

static void fill (void *memory, const void *arg) {
  struct dict_memory *m = memory;
  const struct initial *i = arg;
  describe(m, i->capacity, i->bytes);
  shared_hash_init(&(struct hash){(char *)memory + DICT_TABLE, &i->plan}, i->seed);
}

/* The capacity and the bytes in arguments arg and arg + 1, or misuse of the options, argument 1. */
static void check_initial (lua_State *L, int arg, struct initial *i) {
  int ok, whole = 1;
  lua_Integer capacity = lua_tointegerx(L, arg, &ok), bytes = capacity * HASH_BLOCK;
  luaL_argcheck(L, ok, 1, "option 'capacity' is needed: an integer, the most entries");
  luaL_argcheck(L, 1 <= capacity && capacity <= HASH_CAPACITY, 1,
                lua_pushfstring(L, "option 'capacity': %I is out of range", (LUAI_UACINT)capacity));
  if (!lua_isnoneornil(L, arg + 1)) bytes = lua_tointegerx(L, arg + 1, &whole);
  luaL_argcheck(L, whole, 1, "option 'bytes': integer expected");
  i->capacity = (uint64_t)capacity;
  i->bytes = (uint64_t)bytes;
  luaL_argcheck(L, bytes >= 0 && shared_hash_plan(i->capacity, i->bytes, &i->plan) == 0, 1,
                lua_pushfstring(L, "option 'bytes': %I is out of range", (LUAI_UACINT)bytes));
}

/* size(capacity, bytes) -> bytes of memory; the arguments are checked */
static int l_dict_size (lua_State *L) {
  struct initial i;
  check_initial(L, 1, &i);
  lua_pushinteger(L, (lua_Integer)(DICT_TABLE + i.plan.size));
  return 1;
}

/* make(mapping, capacity, bytes) -> true | nil, msg, code: puts one into its zeroed memory */
static int l_dict_make (lua_State *L) {
  struct initial i;
  check_initial(L, 2, &i);
  int r = lipcsys_random(i.seed, sizeof i.seed);
  if (r < 0) return lipc_fail(L, "shared.dict", NULL, r);
  return shared_make(L, &what, DICT_TABLE + i.plan.size, fill, &i);
}

/* open(mapping[, capacity[, bytes]]) -> Dict | nil, msg, code: the one that is there; "EINVAL": it was made
** otherwise */
static int l_dict_open (lua_State *L) {
  struct lipc_placed *p;
  static const char *const options[] = {"capacity", "bytes"};
  lua_Integer asked[] = {luaL_optinteger(L, 2, -1), luaL_optinteger(L, 3, -1)};
  int r = shared_open(L, &dict_class, &what, DICT_TABLE, &p);
  if (r > 0) return r;
  Dict *d = (Dict *)p;
  struct dict_memory *m = lipc_placed_peek(p);
  uint64_t there[] = {lipc_get(&m->capacity), lipc_get(&m->bytes)};
  r = shared_hash_plan(there[0], there[1], &d->plan);
  if (r < 0 || d->plan.size > p->size - DICT_TABLE)
    return shared_openfail(L, &what, "its header makes no sense");
  for (int i = 0; i < 2; i++)
    if (asked[i] >= 0 && (uint64_t)asked[i] != there[i])
      return shared_openothern(L, &what, options[i], (lua_Integer)there[i], asked[i]);
  d->bytes = there[1];
  p->repair = dict_repair;
  p->h.fd = LIPC_NOFD;
  return 1;
}

static const luaL_Reg funcs[] = {
  {"size", l_dict_size},
  {"make", l_dict_make},
  {"open", l_dict_open},
  {NULL, NULL},
};

void shared_open_dict (lua_State *L) { shared_add(L, "dict", &dict_class, funcs); }
