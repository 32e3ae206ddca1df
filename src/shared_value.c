/* shared_value.c - one value in shared memory.  A number is one aligned word, which never tears.  A string
** has two places: it is written whole into the one that does not count, and then that one counts.
** SPDX-License-Identifier: MIT */
#include "shared.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

enum { I8, U8, I16, U16, I32, U32, I64, U64, F32, F64, BOOL, STRING };
static const char *const type_names[] = {"i8",  "u8",  "i16", "u16",  "i32",    "u32", "i64",
                                         "u64", "f32", "f64", "bool", "string", NULL};

#define LONGEST (INT32_C(1) << 28) /* bytes of a string */
#define SMALL   512 /* of one that is read without asking for memory */

struct memory {
  struct lipc_sync_base base;
  _Atomic uint32_t type, capacity;
  _Atomic uint64_t word; /* a number's bits; of a string: which of the two counts */
  char strings[]; /* two of them */
};

struct string {
  _Atomic uint32_t len;
  char bytes[];
};

typedef struct Value {
  struct lipc_placed p;
  int type;
  uint32_t capacity; /* of a string */
} Value;

static const struct lipc_sync_what what = {"value", LIPC_KIND_VALUE, 1};

static size_t string_size (uint32_t capacity) {
  return (sizeof(struct string) + capacity + 7) & ~(size_t)7;
}

static size_t memory_size (int type, uint32_t capacity) {
  return sizeof(struct memory) + (type == STRING ? 2 * string_size(capacity) : 0);
}

static struct string *string_at (struct memory *m, uint32_t capacity, uint64_t which) {
  return (struct string *)(m->strings + (which & 1) * string_size(capacity));
}

/* ---- numbers as words ---- */

static bool fits (lua_Integer x, int type) {
  switch (type) {
    case I8: return x == (int8_t)x;
    case U8: return x == (uint8_t)x;
    case I16: return x == (int16_t)x;
    case U16: return x == (uint16_t)x;
    case I32: return x == (int32_t)x;
    case U32: return x == (uint32_t)x;
    default: return true;
  }
}

static uint64_t bits_of (double x) {
  uint64_t w;
  memcpy(&w, &x, sizeof w);
  return w;
}

static double float_of (uint64_t w) {
  double x;
  memcpy(&x, &w, sizeof x);
  return x;
}

/* false: a number that the type has not. */
static bool round_to (double *x, int type) {
  if (type == F64) return true;
  if (isfinite(*x) && fabs(*x) > FLT_MAX) return false;
  *x = (float)*x;
  return true;
}

/* What the type makes of the bits that are there, whoever wrote them. */
static int push_word (lua_State *L, uint64_t w, int type) {
  switch (type) {
    case I8: lua_pushinteger(L, (int8_t)w); break;
    case U8: lua_pushinteger(L, (uint8_t)w); break;
    case I16: lua_pushinteger(L, (int16_t)w); break;
    case U16: lua_pushinteger(L, (uint16_t)w); break;
    case I32: lua_pushinteger(L, (int32_t)w); break;
    case U32: lua_pushinteger(L, (uint32_t)w); break;
    case F32:
    case F64: lua_pushnumber(L, float_of(w)); break;
    case BOOL: lua_pushboolean(L, w != 0); break;
    default: lua_pushinteger(L, (lua_Integer)w); break;
  }
  return 1;
}

/* The argument as a word of the type (not of strings), or misuse. */
static uint64_t check_word (lua_State *L, int arg, int type) {
  if (type == BOOL) {
    luaL_checktype(L, arg, LUA_TBOOLEAN);
    return (uint64_t)lua_toboolean(L, arg);
  }
  luaL_checktype(L, arg, LUA_TNUMBER); /* no numeral in a string */
  if (type == F32 || type == F64) {
    double x = lua_tonumber(L, arg);
    if (round_to(&x, type)) return bits_of(x);
  } else {
    lua_Integer x = luaL_checkinteger(L, arg);
    if (fits(x, type)) return (uint64_t)x;
  }
  luaL_argerror(L, arg,
                lua_pushfstring(L, "%s is out of range for %s", luaL_tolstring(L, arg, NULL),
                                type_names[type]));
  return 0;
}

/* ---- operations ---- */

/* Inside, or what the step returns. */
#define ENTER(op)                                   \
  Value *v = lua_touserdata(L, 1);                  \
  struct memory *m = lipc_placed_at(L, &v->p);      \
  int inside = lipc_sync_enter(L, &v->p, &m->base); \
  if (inside == -EAGAIN) return lipc_again(0);      \
  if (inside < 0) return shared_fail(L, op, inside)

#define LEAVE()                     \
  lipc_sync_leave(&m->base.header); \
  lipc_map_done(L, 1, v->p.map)

/* The length of the string that counts, and its bytes if there is room for them; -EPROTO: that is none. */
static int read_string (struct memory *m, uint32_t capacity, char *buf, size_t room,
                        size_t *ret_len) {
  const struct string *s = string_at(m, capacity, lipc_get(&m->word));
  uint32_t len = lipc_get(&s->len);
  if (len > capacity) return -EPROTO;
  if (len <= room) memcpy(buf, s->bytes, len);
  *ret_len = len;
  return 0;
}

static void write_string (struct memory *m, uint32_t capacity, const char *bytes, size_t len) {
  uint64_t next = (lipc_get(&m->word) & 1) ^ 1;
  struct string *s = string_at(m, capacity, next);
  memcpy(s->bytes, bytes, len);
  lipc_put(&s->len, (uint32_t)len);
  LIPC_STEP("value.written");
  lipc_put(&m->word, next);
  LIPC_STEP("value.set");
}

static int get_string (lua_State *L, int t) {
  char small[SMALL], *buf = small;
  size_t len = 0, room = sizeof small;
  for (int turn = 0; turn < 2; turn++) {
    ENTER("get");
    int r = read_string(m, v->capacity, buf, room, &len);
    LEAVE();
    if (r < 0) return shared_fail(L, "get", r);
    if (len <= room) {
      lua_pushlstring(L, buf, len);
      return 1;
    }
    lua_settop(L, t + 1);
    room = v->capacity;
    buf = lua_newuserdatauv(L, room, 0); /* a finaliser may close it now */
  }
  return lipc_again(0);
}

static int get_step (lua_State *L, int t) {
  if (((Value *)lua_touserdata(L, 1))->type == STRING) return get_string(L, t);
  ENTER("get");
  uint64_t w = lipc_get(&m->word);
  LEAVE();
  return push_word(L, w, v->type);
}
static const struct lipc_op get_op = {"get", get_step, 0, NULL};

/* v:get([timeout]) -> value | nil, msg, code */
static int l_value_get (lua_State *L) { return lipc_drive(L, &get_op, 2); }

static int set_string (lua_State *L) {
  size_t len;
  const char *s = lua_tolstring(L, 2, &len);
  if (len > ((Value *)lua_touserdata(L, 1))->capacity) {
    lua_pushfstring(L, "%I bytes; its capacity is %I", (LUAI_UACINT)len,
                    (LUAI_UACINT)((Value *)lua_touserdata(L, 1))->capacity);
    return lipc_failselfnote(L, "set", -EMSGSIZE, lua_tostring(L, -1));
  }
  ENTER("set");
  write_string(m, v->capacity, s, len);
  LEAVE();
  lua_pushboolean(L, 1);
  return 1;
}

static int set_step (lua_State *L, int t) {
  int type = ((Value *)lua_touserdata(L, 1))->type;
  (void)t;
  if (type == STRING) {
    luaL_checktype(L, 2, LUA_TSTRING);
    return set_string(L);
  }
  uint64_t w = check_word(L, 2, type);
  ENTER("set");
  lipc_put(&m->word, w);
  LIPC_STEP("value.set");
  LEAVE();
  lua_pushboolean(L, 1);
  return 1;
}
static const struct lipc_op set_op = {"set", set_step, 0, NULL};

/* v:set(value[, timeout]) -> true | nil, msg, code: "EMSGSIZE": a string longer than its capacity */
static int l_value_set (lua_State *L) { return lipc_drive(L, &set_op, 3); }

/* The sum, if the type has it. */
static bool add_integer (uint64_t *w, lua_Integer n, int type) {
  lua_Integer sum;
  if (type == U64) {
    uint64_t next = *w + (uint64_t)n;
    if (n >= 0 ? next < *w : next > *w) return false;
    *w = next;
    return true;
  }
  if (__builtin_add_overflow((lua_Integer)*w, n, &sum) || !fits(sum, type)) return false;
  *w = (uint64_t)sum;
  return true;
}

static bool add_float (uint64_t *w, lua_Number n, int type) {
  double x = float_of(*w) + n;
  if (!round_to(&x, type)) return false;
  *w = bits_of(x);
  return true;
}

static int add_step (lua_State *L, int t) {
  int type = ((Value *)lua_touserdata(L, 1))->type;
  bool is_float = type == F32 || type == F64;
  lua_Integer i = 0;
  lua_Number x = 0;
  (void)t;
  if (type >= BOOL)
    luaL_argerror(L, 1, lua_pushfstring(L, "a %s, which nothing is added to", type_names[type]));
  luaL_checktype(L, 2, LUA_TNUMBER);
  if (is_float) x = lua_tonumber(L, 2);
  else i = luaL_checkinteger(L, 2);
  ENTER("add");
  uint64_t w = lipc_get(&m->word);
  bool ok = is_float ? add_float(&w, x, type) : add_integer(&w, i, type);
  if (ok) lipc_put(&m->word, w);
  LIPC_STEP("value.added");
  LEAVE();
  if (ok) return push_word(L, w, type);
  lua_pushfstring(L, "the sum is out of range for %s", type_names[type]);
  return lipc_failselfnote(L, "add", -ERANGE, lua_tostring(L, -1));
}
static const struct lipc_op add_op = {"add", add_step, 0, NULL};

/* v:add(n[, timeout]) -> sum | nil, msg, code: as one step; "ERANGE": the type has no such number, and
** nothing is changed */
static int l_value_add (lua_State *L) { return lipc_drive(L, &add_op, 3); }

/* v:stat() -> {type=, name=, of=, capacity=} */
static int l_value_stat (lua_State *L) {
  const Value *v = lipc_checkopen(L, 1);
  shared_stat(L, "value");
  lua_pushstring(L, type_names[v->type]);
  lua_setfield(L, -2, "of");
  if (v->type == STRING) lipc_setinteger(L, "capacity", v->capacity);
  return 1;
}

static int value_release (lua_State *L, struct lipc_handle *h, int fd) {
  (void)fd;
  return lipc_placed_release(L, (struct lipc_placed *)h);
}

static const luaL_Reg methods[] = {
  {"get", l_value_get},   {"set", l_value_set}, {"add", l_value_add},
  {"stat", l_value_stat}, {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, lipc_hold_methods, NULL};
static const struct lipc_class value_class = {.tname = "lipc.shared.value",
                                              .label = "shared.value",
                                              .size = sizeof(Value),
                                              .values = LIPC_PLACED_VALUES,
                                              .methods = all_methods,
                                              .release = value_release,
                                              .block = lipc_sync_block};

/* ---- making and opening ---- */

struct initial {
  int type;
  uint32_t capacity;
  uint64_t word;
  const char *bytes;
  size_t len;
};

static void fill (void *memory, const void *arg) {
  struct memory *m = memory;
  const struct initial *i = arg;
  lipc_put(&m->type, (uint32_t)i->type);
  lipc_put(&m->capacity, i->capacity);
  lipc_put(&m->word, i->word);
  if (i->type != STRING) return;
  memcpy(string_at(m, i->capacity, 0)->bytes, i->bytes, i->len);
  lipc_put(&string_at(m, i->capacity, 0)->len, (uint32_t)i->len);
}

/* The type, the capacity and the initial value in arguments arg to arg + 2, or misuse. */
static void check_initial (lua_State *L, int arg, struct initial *ret) {
  struct initial i = {.type = shared_checktype(L, arg, type_names)};
  lua_Integer capacity = luaL_optinteger(L, arg + 2, 0);
  bool is_string = i.type == STRING;
  luaL_argcheck(L, is_string == (capacity != 0), arg + 2,
                is_string ? "a string needs the option 'capacity' (bytes)"
                          : "the option 'capacity' is for strings");
  luaL_argcheck(L, 0 <= capacity && capacity <= LONGEST, arg + 2,
                lua_pushfstring(L, "option 'capacity': %I is out of range", (LUAI_UACINT)capacity));
  i.capacity = (uint32_t)capacity;
  if (is_string) i.bytes = lua_isnil(L, arg + 1) ? "" : luaL_checklstring(L, arg + 1, &i.len);
  else if (!lua_isnil(L, arg + 1)) i.word = check_word(L, arg + 1, i.type);
  luaL_argcheck(L, i.len <= i.capacity, arg + 1, "longer than the option 'capacity' says");
  *ret = i;
}

/* size(type, initial, capacity) -> bytes that it takes; the arguments are checked */
static int l_value_size (lua_State *L) {
  struct initial i;
  check_initial(L, 1, &i);
  lua_pushinteger(L, (lua_Integer)memory_size(i.type, i.capacity));
  return 1;
}

/* make(mapping, type, initial, capacity) -> true | nil, msg, code: puts one into its zeroed memory */
static int l_value_make (lua_State *L) {
  struct initial i;
  check_initial(L, 2, &i);
  return shared_make(L, &what, memory_size(i.type, i.capacity), fill, &i);
}

/* open(mapping[, type[, capacity]]) -> Value | nil, msg, code: the one that is there; "EINVAL": it was made
** otherwise */
static int l_value_open (lua_State *L) {
  struct lipc_placed *p;
  int expected = lua_isnoneornil(L, 2) ? -1 : shared_checktype(L, 2, type_names);
  lua_Integer asked = luaL_optinteger(L, 3, -1);
  int r = shared_open(L, &value_class, &what, sizeof(struct memory), &p);
  if (r > 0) return r;
  Value *v = (Value *)p;
  struct memory *m = lipc_placed_peek(p);
  uint32_t type = lipc_get(&m->type), capacity = lipc_get(&m->capacity);
  if (type > STRING || capacity > LONGEST || memory_size((int)type, capacity) > p->size)
    return shared_openfail(L, &what, "its header makes no sense");
  if (expected >= 0 && (uint32_t)expected != type)
    return shared_openother(L, &what, "type", type_names[type], type_names[expected]);
  if (asked >= 0 && asked != (lua_Integer)capacity)
    return shared_openothern(L, &what, "capacity", capacity, asked);
  v->type = (int)type;
  v->capacity = capacity;
  p->h.fd = LIPC_NOFD;
  return 1;
}

static const luaL_Reg funcs[] = {
  {"size", l_value_size},
  {"make", l_value_make},
  {"open", l_value_open},
  {NULL, NULL},
};

void shared_open_value (lua_State *L) { shared_add(L, "value", &value_class, funcs); }
