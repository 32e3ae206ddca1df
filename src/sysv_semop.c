/* sysv_semop.c - operations on System V semaphore sets; semop(2), semtimedop(2).
** SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "sysv_sem.h"

/* ---- failures ---- */

/* The limit that an error is about, into buf; NULL: none. */
static const char *limit (int err, char *buf, size_t size) {
  long max[4] = {0, 0, 0, 0};
  lipcsys_semlimits(max);
  switch (err) {
    case -E2BIG:
      snprintf(buf, size, "SEMOPM, the third number of kernel.sem, is %ld: see sysctl", max[2]);
      return buf;
    case -ERANGE:
      snprintf(buf, size, "SEMVMX, the greatest value and the most that is undone, is %d",
               LIPC_SEMVMX);
      return buf;
    case -ENOSPC:
    case -ENOMEM:
      return "no room to note what is to be undone: kernel memory, or SEMMNU where there is such";
    case -EAGAIN: return "a nowait operation cannot be done now";
    default: return NULL;
  }
}

int lipc_semset_fail (lua_State *L, const char *op, int err) {
  char note[160];
  return lipc_failselfnote(L, op, err, limit(err, note, sizeof note));
}

int lipc_semset_result (lua_State *L, const char *op, int err) {
  if (err < 0) return lipc_semset_fail(L, op, err);
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- operations ---- */

/* The number at 2, from 1, as the kernel counts; the object has been checked. */
static uint16_t number (lua_State *L, const Set *s) {
  int ok;
  lua_Integer num = lua_tointegerx(L, 2, &ok);
  if (!ok) num = luaL_checkinteger(L, 2); /* says what is wrong */
  if (num < 1 || num > s->nsems)
    luaL_argerror(L, 2, lua_pushfstring(L, "the set has semaphores 1 to %d", (int)s->nsems));
  return (uint16_t)(num - 1);
}

Set *lipc_semset_checknum (lua_State *L) {
  Set *s = lipc_checkopen(L, 1);
  number(L, s);
  return s;
}

/* The options at 3 become what single wants: how many, negative with undo. */
static void read_options (lua_State *L, const Set *s) {
  lua_Integer n = lipc_optint(L, 3, "n", 1, LIPC_SEMVMX, 1);
  lua_pushinteger(L, lipc_optbool(L, 3, "undo", s->undo) ? -n : n);
  lua_replace(L, 3);
}

/* What wait, post and zero do, from their arguments: the number at 2, and read_options if t is 4. */
static struct lipcsys_semop single (lua_State *L, const Set *s, int sign, int t) {
  struct lipcsys_semop o = {number(L, s), (int16_t)sign, s->flags};
  if (sign == 0) o.flags = lipcsys_semflags(false, true);
  else if (t > 3) {
    lua_Integer n = lua_tointeger(L, 3);
    o.by = (int16_t)(sign * (n < 0 ? -n : n));
    o.flags = lipcsys_semflags(n < 0, true);
  }
  return o;
}

/* The same, that waits. */
static struct lipcsys_semop waiting (lua_State *L, const Set *s, int sign, int t) {
  struct lipcsys_semop o = single(L, s, sign, t);
  bool undo = t > 3 ? lua_tointeger(L, 3) < 0 : s->undo;
  o.flags = lipcsys_semflags(undo && sign != 0, false);
  return o;
}

static int single_step (lua_State *L, int t, const char *name, int sign) {
  const Set *s = lua_touserdata(L, 1);
  struct lipcsys_semop o = single(L, s, sign, t);
  int r = lipcsys_semop(s->s.id, &o, 1);
  return r == -EAGAIN ? lipc_again(0) : lipc_semset_result(L, name, r);
}

static int wait_step (lua_State *L, int t) { return single_step(L, t, "wait", -1); }
static const struct lipc_op wait_op = {"wait", wait_step, 0, NULL};

static int zero_step (lua_State *L, int t) { return single_step(L, t, "zero", 0); }
static const struct lipc_op zero_op = {"zero", zero_step, 0, NULL};

/* set:wait(num[, timeout|{n=, undo=, timeout=}]) -> true | nil, msg, code: waits until semaphore num (from 1)
** is at least n (1), then takes n; undo: the kernel gives them back when this process ends.
** "EIDRM": the set was removed   -- see semop(2), semtimedop(2) */
static int l_set_wait (lua_State *L) {
  static const char *const names[] = {"n", "undo", "timeout", NULL};
  if (lua_type(L, 3) != LUA_TTABLE) return lipc_drive(L, &wait_op, 3);
  const Set *s = lipc_semset_checknum(L);
  lipc_splitopts(L, 3, names);
  read_options(L, s);
  return lipc_drive(L, &wait_op, 4);
}

/* set:zero(num[, timeout]) -> true | nil, msg, code: waits until semaphore num is 0   -- see semop(2) */
static int l_set_zero (lua_State *L) { return lipc_drive(L, &zero_op, 3); }

/* set:post(num[, {n=, undo=}]) -> true | nil, msg, code: adds n (1) to semaphore num; undo: the kernel takes
** them away when this process ends.  "ERANGE": above 32767   -- see semop(2) */
static int l_set_post (lua_State *L) {
  static const char *const names[] = {"n", "undo", NULL};
  const Set *s = lipc_checkopen(L, 1);
  bool more = !lua_isnoneornil(L, 3);
  if (more) {
    lipc_checkopts(L, 3, names);
    read_options(L, s);
    lipc_checkopen(L, 1); /* a metamethod may have closed it */
  }
  struct lipcsys_semop o = single(L, s, 1, more ? 4 : 3);
  return lipc_semset_result(L, "post", lipcsys_semop(s->s.id, &o, 1));
}

/* ---- with ---- */

/* Gives back what with took; the set may be gone. */
static void with_over (lua_State *L, struct lipc_handle *h) {
  lua_getiuservalue(L, 1, LIPC_HELD_UV);
  struct lipcsys_semop o = {(uint16_t)(lua_tointeger(L, -1) - 1), 1, lipcsys_semflags(true, true)};
  lipcsys_semop(((Set *)h)->s.id, &o, 1);
}

static int call_with (lua_State *L, int t) {
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, t - 1, LIPC_HELD_UV);
  return lipc_held(L, 3, t);
}

static int with_step (lua_State *L, int t) {
  const Set *s = lua_touserdata(L, 1);
  struct lipcsys_semop o = {(uint16_t)(lua_tointeger(L, 2) - 1), -1, lipcsys_semflags(true, true)};
  int r = lipcsys_semop(s->s.id, &o, 1);
  if (r == -EAGAIN) return lipc_again(0);
  return r < 0 ? lipc_semset_fail(L, "with", r) : call_with(L, t);
}
static const struct lipc_op with_op = {"with", with_step, 0, NULL};

/* set:with(num, fn[, timeout]) -> what fn(set) returns | nil, msg, code: takes 1 of semaphore num with undo,
** calls fn, and gives it back when fn ends, also by an error or coroutine.close; the kernel does when
** the process ends   -- see semop(2) */
static int l_set_with (lua_State *L) {
  lipc_semset_checknum(L);
  lua_pushinteger(L, lua_tointeger(L, 2)); /* an integer, also of 1.0 and "1" */
  lua_replace(L, 2);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  return lipc_with(L, &with_op, 4, with_over);
}

/* ---- lists of operations ---- */

/* The list, converted, lies at 2: once with nowait everywhere, then as it is. */
struct list {
  size_t n;
  bool nowait, wait; /* some are, some are not */
  struct lipcsys_semop ops[];
};

static int bad_entry (lua_State *L, lua_Integer i, const char *what) {
  return luaL_argerror(L, 2, lua_pushfstring(L, "operation %I: %s", (LUAI_UACINT)i, what));
}

static lua_Integer entry_integer (lua_State *L, lua_Integer i, const char *name) {
  int ok;
  if (lua_getfield(L, -1, name) != LUA_TNUMBER)
    bad_entry(L, i,
              lua_pushfstring(L, "'%s': integer expected, got %s", name, luaL_typename(L, -1)));
  lua_Integer n = lua_tointegerx(L, -1, &ok);
  if (!ok) bad_entry(L, i, lua_pushfstring(L, "'%s' has no integer representation", name));
  lua_pop(L, 1);
  return n;
}

static bool entry_bool (lua_State *L, lua_Integer i, const char *name) {
  int type = lua_getfield(L, -1, name);
  if (type != LUA_TNIL && type != LUA_TBOOLEAN)
    bad_entry(L, i,
              lua_pushfstring(L, "'%s': boolean expected, got %s", name, luaL_typename(L, -1)));
  bool b = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return b;
}

static void check_keys (lua_State *L, lua_Integer i) {
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    const char *k = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (strcmp(k, "num") != 0 && strcmp(k, "op") != 0 && strcmp(k, "undo") != 0 &&
        strcmp(k, "nowait") != 0) {
      lua_pushvalue(L, -2);
      bad_entry(L, i, lua_pushfstring(L, "unknown field '%s'", luaL_tolstring(L, -1, NULL)));
    }
  }
}

/* The entry on top. */
static void read_entry (lua_State *L, const Set *s, lua_Integer i, struct list *l) {
  if (lua_type(L, -1) != LUA_TTABLE)
    bad_entry(L, i, lua_pushfstring(L, "table expected, got %s", luaL_typename(L, -1)));
  check_keys(L, i);
  lua_Integer num = entry_integer(L, i, "num"), by = entry_integer(L, i, "op");
  bool undo = entry_bool(L, i, "undo"), nowait = entry_bool(L, i, "nowait");
  if (num < 1 || num > s->nsems)
    bad_entry(L, i, lua_pushfstring(L, "'num': the set has semaphores 1 to %d", (int)s->nsems));
  if (by < INT16_MIN || by > INT16_MAX) bad_entry(L, i, "'op' is out of range");
  struct lipcsys_semop o = {(uint16_t)(num - 1), (int16_t)by, lipcsys_semflags(undo, true)};
  l->ops[i - 1] = o;
  o.flags = lipcsys_semflags(undo, nowait);
  l->ops[l->n + (size_t)i - 1] = o;
  if (nowait) l->nowait = true;
  else l->wait = true;
}

/* Whether, at this moment, operation j of the list is the first that cannot be done.  The kernel does not
** tell, so it is given a list that can be done exactly then, and that changes nothing in sum: those before
** j, then what is possible only while j is not, then all of it backwards. */
static bool decides (lua_State *L, const Set *s, const struct list *l, size_t j) {
  struct lipcsys_semop *probe = (struct lipcsys_semop *)lipc_scratch(L), o = l->ops[j];
  int16_t nowait = lipcsys_semflags(false, true);
  size_t n = 0;
  if (o.by > 0 || 2 * j + 2 > LIPC_SCRATCH / sizeof *probe) return false;
  for (size_t i = 0; i <= j; i++) {
    probe[n] = l->ops[i];
    if (probe[n].by == INT16_MIN && i < j) return false; /* can never be done */
    probe[n++].flags = nowait;
  }
  /* v < k is when k more than fit can be added; v != 0 is when 1 can be taken */
  probe[j].by = (int16_t)(o.by == 0 ? -1 : LIPC_SEMVMX + 1 + o.by);
  if (o.by == INT16_MIN) n--; /* never possible: nothing to ask but for those before */
  for (size_t i = n; i-- > 0;) {
    probe[n] = probe[i];
    probe[n].by = (int16_t)-probe[n].by;
    n++;
  }
  /* waiting for 0 was asked on the way there, and is true on the way back */
  return n == 0 || lipcsys_semop(s->s.id, probe, n) == 0;
}

static bool nowait_decides (lua_State *L, const Set *s, const struct list *l) {
  int16_t undo = lipcsys_semflags(true, false);
  for (size_t j = 0; j < l->n; j++)
    if ((l->ops[l->n + j].flags & ~undo) != 0 && decides(L, s, l, j)) return true;
  return false;
}

static int op_step (lua_State *L, int t) {
  const Set *s = lua_touserdata(L, 1);
  const struct list *l = lua_touserdata(L, 2);
  (void)t;
  int r = lipcsys_semop(s->s.id, l->ops, l->n);
  if (r == -EAGAIN && l->wait && !(l->nowait && nowait_decides(L, s, l))) return lipc_again(0);
  return lipc_semset_result(L, "op", r);
}
static const struct lipc_op op_op = {"op", op_step, 0, NULL};

/* set:op(list[, timeout]) -> true | nil, msg, code: list is an array of {num=, op=, undo=, nowait=}: all of
** them at one moment or none.  op > 0 adds; < 0 waits until that much is there and takes it; 0 waits for
** 0.  "EAGAIN": the first that could not be done is a nowait one; "ETIMEDOUT": it is another, and the time
** is over; "E2BIG", "ERANGE", "EIDRM"   -- see semop(2), semtimedop(2) */
static int l_set_op (lua_State *L) {
  const Set *s = lipc_checkopen(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 3);
  lua_Integer n = luaL_len(L, 2);
  luaL_argcheck(L, n >= 1, 2, "no operation in it");
  luaL_argcheck(L, n <= INT16_MAX, 2, "too many operations");
  struct list *l = lua_newuserdatauv(L, sizeof *l + 2 * (size_t)n * sizeof *l->ops, 0);
  *l = (struct list){.n = (size_t)n};
  for (lua_Integer i = 1; i <= n; i++) {
    lua_geti(L, 2, i);
    read_entry(L, s, i, l);
    lua_settop(L, 4);
  }
  lua_replace(L, 2);
  return lipc_drive(L, &op_op, 3);
}

/* ---- waiting in the kernel ---- */

int lipc_semset_block (lua_State *L, const struct lipc_op *op, int t, double seconds) {
  const Set *s = lua_touserdata(L, 1);
  struct lipcsys_semop one;
  const struct lipcsys_semop *ops = &one;
  size_t n = 1;
  if (op == &op_op) {
    const struct list *l = lua_touserdata(L, 2);
    n = l->n;
    ops = l->ops + n;
  } else if (op == &wait_op || op == &zero_op) {
    one = waiting(L, s, op == &wait_op ? -1 : 0, t);
  } else if (op == &with_op) {
    one = (struct lipcsys_semop){(uint16_t)(lua_tointeger(L, 2) - 1), -1,
                                 lipcsys_semflags(true, false)};
  } else {
    return lipc_nap(L, seconds); /* open: nothing tells that the set has been initialised */
  }
  int r = lipcsys_semtimedop(s->s.id, ops, n, seconds);
  if (r == -ETIMEDOUT || r == -EINTR) return r;
  if (r == 0 && op == &with_op) return lipc_done(call_with(L, t));
  return lipc_semset_result(L, op->name, r);
}

const luaL_Reg lipc_semset_operations[] = {
  {"op", l_set_op},     {"wait", l_set_wait}, {"post", l_set_post},
  {"zero", l_set_zero}, {"with", l_set_with}, {NULL, NULL},
};
