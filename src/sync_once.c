/* sync_once.c - something that is done by one process only; another does it when that one dies inside, or
** fails.  The lock that may be held while Lua runs (kit_sync.h), and a word that says it is done.
** SPDX-License-Identifier: MIT */
#include "sync.h"


struct once {
  struct lipc_sync_base base;
  _Atomic uint32_t done;
  _Atomic uint32_t reserved;
};

typedef struct Once {
  struct lipc_placed p;
} Once;

static const struct lipc_sync_what what = {"once", LIPC_KIND_ONCE, 1};

size_t lipc_once_size (void) { return sizeof(struct once); }

/* The function has returned: it is done, before others are let in. */
static int ran (lua_State *L, int status, lua_KContext ctx) {
  Once *o = lua_touserdata(L, 1);
  (void)status;
  (void)ctx;
  struct once *m = o->p.map != NULL ? lipc_placed_peek(&o->p) : NULL;
  if (m == NULL || !lipc_hold_mine(L, &o->p)) return lipc_failself(L, "call", -ECANCELED);
  lipc_put(&m->done, 1);
  LIPC_STEP("once.done");
  lua_pushboolean(L, 1);
  lua_pushboolean(L, 1);
  return 2;
}

/* What with calls instead of the function, its upvalue. */
static int run (lua_State *L) {
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_callk(L, 1, 0, 0, ran);
  return ran(L, LUA_OK, 0);
}

static int already (lua_State *L) {
  lua_pushboolean(L, 1);
  lua_pushboolean(L, 0);
  return 2;
}

static int call_step (lua_State *L, int t) {
  Once *o = lua_touserdata(L, 1);
  struct once *m = lipc_placed_at(L, &o->p);
  int r = atomic_load(&m->done) == 1 ? -EALREADY : lipc_hold_take(L, &o->p, &m->base);
  if (r == -EAGAIN) return lipc_again(0);
  if (r == -EALREADY) return already(L);
  if (r < 0 && r != -EOWNERDEAD) return lipc_hold_failed(L, "call", r);
  if (r == -EOWNERDEAD)
    lipc_hold_mend(&o->p, &m->base); /* the function is called anew, from its start */
  if (atomic_load(&m->done) == 1) { /* while we waited for the word */
    lipc_hold_give(&o->p, LIPC_SYNC_PATIENCE);
    return already(L);
  }
  lipc_drop_owner(L, &o->p, 1);
  return lipc_held(L, 2, t);
}
static const struct lipc_op call_op = {"call", call_step, 0, NULL};

static void call_over (lua_State *L, struct lipc_handle *h) {
  lipc_held_owner(L, lipc_hold_give((struct lipc_placed *)h, LIPC_SYNC_PATIENCE) < 0);
}

/* o:call(fn[, timeout]) -> true, ran | nil, msg, code: calls fn(o) if nobody has yet; when it returns, it
** is done, for all, whatever fn returned.  ran: whether this call did it.  Others wait meanwhile.  An error
** goes on to the caller, and the next does it.  "EDEADLK": from inside fn   -- see pthread_once(3) */
static int l_once_call (lua_State *L) {
  lipc_checkopen(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 3);
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, run, 1);
  lua_replace(L, 2);
  return lipc_with(L, &call_op, 3, call_over);
}

/* o:done() -> boolean */
static int l_once_done (lua_State *L) {
  Once *o = lipc_checkopen(L, 1);
  struct once *m = lipc_placed_at(L, &o->p);
  lua_pushboolean(L, atomic_load(&m->done) == 1);
  return 1;
}

/* o:stat() -> {type=, name=, offset=, size=, done=} */
static int l_once_stat (lua_State *L) {
  Once *o = lipc_checkopen(L, 1);
  struct once *m = lipc_placed_at(L, &o->p);
  bool done = atomic_load(&m->done) == 1;
  lipc_sync_stat(L, &o->p);
  lua_pushboolean(L, done);
  lua_setfield(L, -2, "done");
  return 1;
}

static int once_release (lua_State *L, struct lipc_handle *h, int fd) {
  (void)fd;
  return lipc_placed_release(L, (struct lipc_placed *)h);
}

static const luaL_Reg methods[] = {
  {"call", l_once_call},
  {"done", l_once_done},
  {"stat", l_once_stat},
  {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, NULL};
const struct lipc_class lipc_once_class = {.tname = "lipc.sync.once",
                                           .label = "once",
                                           .size = sizeof(Once),
                                           .values = LIPC_PLACED_VALUES,
                                           .methods = all_methods,
                                           .release = once_release,
                                           .block = lipc_sync_block};

static void init (void *memory, const void *arg) {
  struct once *m = memory;
  (void)arg;
  lipc_put(&m->base.holder.state, LIPC_HOLDER_FREE);
  lipc_put(&m->base.holder.waiting, 0);
  lipc_put(&m->base.holder.seq, 0);
  lipc_put(&m->done, 0);
}

/* once(map, offset[, {create=, exclusive=}]) -> Once | nil, msg, code   -- see pthread_once(3) */
int lipc_sync_once (lua_State *L) {
  static const char *const names[] = {"create", "exclusive", NULL};
  struct lipc_sync_making k = {.cls = &lipc_once_class,
                               .what = &what,
                               .op = "sync.once",
                               .size = sizeof(struct once),
                               .least = sizeof(struct once),
                               .init = init};
  int n;
  lipc_checkopts(L, 3, names);
  lipc_sync_options(L, &k);
  return lipc_sync_object(L, &k, &n) != NULL ? 1 : n;
}
