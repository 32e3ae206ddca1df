/* view_atomic.c - views: atomic operations on integers of 32 and 64 bits, and waiting for 32 bits to
** change; atomic(7) of the compiler, futex(2).  Linux; elsewhere who waits looks every millisecond.
** SPDX-License-Identifier: MIT */
#include "view.h"

#include <limits.h>
#include <math.h>

/* ---- arguments ---- */

static const char *const orders[] = {"relaxed", "acquire", "release", "acq_rel", "seq_cst", NULL};
enum { RELAXED, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST };

/* The memory order in that argument; not: those that the operation cannot have. */
static int checkorder (lua_State *L, int arg, int not1, int not2) {
  int order = luaL_checkoption(L, arg, "seq_cst", orders);
  if (order == not1 || order == not2)
    luaL_argerror(L, arg, lua_pushfstring(L, "order '%s' is not for this", orders[order]));
  return order;
}

/* The address of the element in argument 2, which can be used atomically. */
static char *checkatomic (lua_State *L, const View *v, size_t size) {
  if (!view_isinteger(v->t.kind) || v->t.size < 4 || (size != 0 && v->t.size != size))
    luaL_argerror(L, 1,
                  lua_pushfstring(L, "elements of %s are not for this: it takes %s", v->t.name,
                                  size != 0 ? "i32 and u32" : "i32, u32, i64 and u64"));
  char *p = view_element(L, v);
  if ((uintptr_t)p % v->t.size != 0)
    luaL_argerror(L, 2,
                  lua_pushfstring(L, "element lies at offset %I: not aligned",
                                  (LUAI_UACINT)(p - v->map->base)));
  if (v->t.size == 8 && ATOMIC_LLONG_LOCK_FREE != 2)
    luaL_argerror(L, 1, "this machine has no atomic operations of 64 bits");
  return p;
}

/* The integer in that argument, which is a value of the type. */
static uint64_t checkvalue (lua_State *L, int arg, const View *v) {
  union {
    char bytes[8];
    uint32_t u32;
    uint64_t u64;
  } x = {.u64 = 0};
  if (!view_putnumber(L, arg, v->t.kind, x.bytes)) view_badvalue(L, arg, arg, &v->t);
  return v->t.size == 4 ? x.u32 : x.u64;
}

/* The integer in that argument, of which the bits count: also -1 for unsigned ones, 0xffffffff for i32. */
static uint64_t checkbits (lua_State *L, int arg, const View *v) {
  if (lua_type(L, arg) != LUA_TNUMBER || !lua_isinteger(L, arg)) return checkvalue(L, arg, v);
  lua_Integer x = lua_tointeger(L, arg);
  if (v->t.size == 4 && (x < INT32_MIN || x > UINT32_MAX)) view_badvalue(L, arg, arg, &v->t);
  return (uint64_t)x;
}

static int push (lua_State *L, const View *v, uint64_t x) {
  view_done(L, 1, v->map);
  if (v->t.kind == VIEW_I32) lua_pushinteger(L, (int32_t)(uint32_t)x);
  else if (v->t.kind == VIEW_U32) lua_pushinteger(L, (uint32_t)x);
  else lua_pushinteger(L, (lua_Integer)x);
  return 1;
}

/* ---- operations ---- */

/* v:load(i[, order]) -> integer: "relaxed", "acquire" or "seq_cst" (the default) */
static int l_view_load (lua_State *L) {
  const View *v = view_self(L);
  const char *p = checkatomic(L, v, 0);
  int order = lua_isnoneornil(L, 3) ? SEQ_CST : checkorder(L, 3, RELEASE, ACQ_REL);
  uint64_t x;
  if (v->t.size == 4) {
    const uint32_t *word = (const void *)p;
    x = order == RELAXED   ? __atomic_load_n(word, __ATOMIC_RELAXED)
        : order == ACQUIRE ? __atomic_load_n(word, __ATOMIC_ACQUIRE)
                           : __atomic_load_n(word, __ATOMIC_SEQ_CST);
  } else {
    const uint64_t *word = (const void *)p;
    x = order == RELAXED   ? __atomic_load_n(word, __ATOMIC_RELAXED)
        : order == ACQUIRE ? __atomic_load_n(word, __ATOMIC_ACQUIRE)
                           : __atomic_load_n(word, __ATOMIC_SEQ_CST);
  }
  return push(L, v, x);
}

/* v:store(i, x[, order]): "relaxed", "release" or "seq_cst" (the default) */
static int l_view_store (lua_State *L) {
  const View *v = view_self(L);
  char *p = checkatomic(L, v, 0);
  uint64_t x = checkvalue(L, 3, v);
  int order = lua_isnoneornil(L, 4) ? SEQ_CST : checkorder(L, 4, ACQUIRE, ACQ_REL);
  view_checkwrite(L, v);
  if (v->t.size == 4) {
    uint32_t *word = (void *)p;
    if (order == RELAXED) __atomic_store_n(word, (uint32_t)x, __ATOMIC_RELAXED);
    else if (order == RELEASE) __atomic_store_n(word, (uint32_t)x, __ATOMIC_RELEASE);
    else __atomic_store_n(word, (uint32_t)x, __ATOMIC_SEQ_CST);
  } else {
    uint64_t *word = (void *)p;
    if (order == RELAXED) __atomic_store_n(word, x, __ATOMIC_RELAXED);
    else if (order == RELEASE) __atomic_store_n(word, x, __ATOMIC_RELEASE);
    else __atomic_store_n(word, x, __ATOMIC_SEQ_CST);
  }
  view_done(L, 1, v->map);
  return 0;
}

enum change { ADD, SUB, EXCHANGE, AND, OR, XOR };

/* Read, changed and written in one step.  The orders are checked and all done as seq_cst, which is
** each of the others too: such a step costs the same on most machines. */
static inline int change (lua_State *L, enum change what) {
  const View *v = view_self(L);
  char *p = checkatomic(L, v, 0);
  uint64_t x = what == EXCHANGE ? checkvalue(L, 3, v) : checkbits(L, 3, v);
  if (!lua_isnoneornil(L, 4)) checkorder(L, 4, -1, -1);
  view_checkwrite(L, v);
  if (v->t.size == 4) {
    uint32_t *word = (void *)p, y = (uint32_t)x;
    switch (what) {
      case ADD: x = __atomic_fetch_add(word, y, __ATOMIC_SEQ_CST); break;
      case SUB: x = __atomic_fetch_sub(word, y, __ATOMIC_SEQ_CST); break;
      case EXCHANGE: x = __atomic_exchange_n(word, y, __ATOMIC_SEQ_CST); break;
      case AND: x = __atomic_fetch_and(word, y, __ATOMIC_SEQ_CST); break;
      case OR: x = __atomic_fetch_or(word, y, __ATOMIC_SEQ_CST); break;
      default: x = __atomic_fetch_xor(word, y, __ATOMIC_SEQ_CST); break;
    }
  } else {
    uint64_t *word = (void *)p;
    switch (what) {
      case ADD: x = __atomic_fetch_add(word, x, __ATOMIC_SEQ_CST); break;
      case SUB: x = __atomic_fetch_sub(word, x, __ATOMIC_SEQ_CST); break;
      case EXCHANGE: x = __atomic_exchange_n(word, x, __ATOMIC_SEQ_CST); break;
      case AND: x = __atomic_fetch_and(word, x, __ATOMIC_SEQ_CST); break;
      case OR: x = __atomic_fetch_or(word, x, __ATOMIC_SEQ_CST); break;
      default: x = __atomic_fetch_xor(word, x, __ATOMIC_SEQ_CST); break;
    }
  }
  return push(L, v, x);
}

/* v:add(i, x[, order]) -> what it was before; wraps around at the end of the type's range */
static int l_view_add (lua_State *L) { return change(L, ADD); }

/* v:sub(i, x[, order]) -> what it was before; wraps around */
static int l_view_sub (lua_State *L) { return change(L, SUB); }

/* v:exchange(i, x[, order]) -> what it was before */
static int l_view_exchange (lua_State *L) { return change(L, EXCHANGE); }

/* v:band(i, x[, order]) -> what it was before: element & x */
static int l_view_band (lua_State *L) { return change(L, AND); }

/* v:bor(i, x[, order]) -> what it was before: element | x */
static int l_view_bor (lua_State *L) { return change(L, OR); }

/* v:bxor(i, x[, order]) -> what it was before: element ~ x */
static int l_view_bxor (lua_State *L) { return change(L, XOR); }

/* v:cas(i, expected, desired[, order]) -> done, previous: stores desired if it is as expected */
static int l_view_cas (lua_State *L) {
  const View *v = view_self(L);
  char *p = checkatomic(L, v, 0);
  uint64_t expected = checkvalue(L, 3, v), desired = checkvalue(L, 4, v);
  bool done;
  if (!lua_isnoneornil(L, 5)) checkorder(L, 5, -1, -1);
  view_checkwrite(L, v);
  if (v->t.size == 4) {
    uint32_t x = (uint32_t)expected;
    done = __atomic_compare_exchange_n((uint32_t *)(void *)p, &x, (uint32_t)desired, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    expected = x;
  } else {
    done = __atomic_compare_exchange_n((uint64_t *)(void *)p, &expected, desired, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }
  lua_pushboolean(L, done);
  return 1 + push(L, v, expected);
}

/* ---- waiting ---- */

/* The arguments of the operation: an object that the driver can have, view, index, expected, timeout. */
static const char waiter_key;

/* The word; NULL: the mapping was closed, or is smaller now. */
static _Atomic uint32_t *word_of (lua_State *L, const View *v) {
  if (v->end > v->map->size) return NULL;
  size_t i = (size_t)lua_tointeger(L, 3) - 1;
  return (_Atomic uint32_t *)(void *)(v->map->base + v->offset + i * v->stride);
}

static int wait_step (lua_State *L, int t) {
  (void)t;
  const View *v = lua_touserdata(L, 2);
  const _Atomic uint32_t *word = word_of(L, v);
  if (word == NULL) return lipc_failself(L, "wait", -ECANCELED);
  uint32_t x = atomic_load(word);
  view_done(L, 1, v->map);
  return x == (uint32_t)lua_tointeger(L, 4) ? lipc_again(0) : push(L, v, x);
}
static const struct lipc_op wait_op = {"wait", wait_step, 0, NULL};

static int wait_block (lua_State *L, const struct lipc_op *op, int t, double seconds) {
  (void)op;
  (void)t;
  _Atomic uint32_t *word = word_of(L, lua_touserdata(L, 2));
  if (word == NULL) return 0; /* the step says so */
  int r = lipcsys_futexwait(word, (uint32_t)lua_tointeger(L, 4), seconds);
  return r == -EAGAIN ? 0 : r;
}

/* v:wait(i, expected[, timeout]) -> integer | nil, msg, code: waits until the element of 32 bits is no longer
** as expected, and says what it is then   -- see futex(2) FUTEX_WAIT */
static int l_view_wait (lua_State *L) {
  const View *v = view_self(L);
  checkatomic(L, v, 4);
  checkvalue(L, 3, v);
  if (!lua_isnoneornil(L, 4)) lipc_checktimeout(L, 4, 0);
  lua_settop(L, 4);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &waiter_key);
  lua_insert(L, 1);
  return lipc_drivenew(L, &wait_op, 5);
}

/* v:wake(i[, n]) -> how many it were: wakes up to n (all) of those who wait in the kernel for the element; who
** waits in a loop looks by himself   -- see futex(2) FUTEX_WAKE */
static int l_view_wake (lua_State *L) {
  const View *v = view_self(L);
  char *p = checkatomic(L, v, 4);
  lua_Integer n = luaL_optinteger(L, 3, INT_MAX);
  luaL_argcheck(L, n >= 1, 3, "must be positive");
  lua_pushinteger(L,
                  lipcsys_futexwake((_Atomic uint32_t *)(void *)p, n < INT_MAX ? (int)n : INT_MAX));
  view_done(L, 1, v->map);
  return 1;
}

const luaL_Reg view_atomic_methods[] = {
  {"load", l_view_load}, {"store", l_view_store},       {"add", l_view_add},
  {"sub", l_view_sub},   {"exchange", l_view_exchange}, {"cas", l_view_cas},
  {"band", l_view_band}, {"bor", l_view_bor},           {"bxor", l_view_bxor},
  {"wait", l_view_wait}, {"wake", l_view_wake},         {NULL, NULL},
};

/* Views are made and dropped too often to be objects that can wait: one that is always open, of the
** whole state, waits for all of them.  What is closed is the mapping, and the step sees that. */
static const luaL_Reg *const no_methods[] = {NULL};
static const struct lipc_class waiter_class = {.tname = "(lipc view wait)",
                                               .label = "view",
                                               .size = sizeof(struct lipc_handle),
                                               .methods = no_methods,
                                               .block = wait_block};

void view_openwait (lua_State *L) {
  lipc_class(L, &waiter_class);
  struct lipc_handle *h = lipc_new(L, &waiter_class);
  h->fd = LIPC_NOFD;
  lua_rawsetp(L, LUA_REGISTRYINDEX, &waiter_key);
}
