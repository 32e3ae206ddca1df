/* semaphore.c - POSIX semaphores, named and placed in a mapping; sem_overview(7).  POSIX.
** fork: both processes have it open; what one has taken is nobody's: the kernel gives nothing back.
** close: neither the name nor what was taken goes; the name by unlink, or by the process that made it.
** SPDX-License-Identifier: MIT */
#include <string.h>

#include "kit_sync.h"

#define LIPC_SEM_OFFSET sizeof(struct lipc_sync_header) /* of a placed one's sem_t */

typedef struct Semaphore {
  struct lipc_placed p; /* its handle alone, unless it is placed in a mapping */
  struct lipcsys_sem *sem; /* of a named one */
  struct lipcsys_guard *guard; /* likewise: others can make its file shorter */
  const _Atomic bool *lost;
  size_t skip; /* bytes of header before a placed one */
  struct lipcsys_fileid id; /* of what we made */
  unsigned held, heldgen; /* by how many calls of with, and in which process */
  bool binary, unlink;
  char name[LIPC_SEM_NAMEMAX + 2]; /* when it is ours to remove */
} Semaphore;

/* Raises when the mapping it is in has gone. */
static struct lipcsys_sem *sem_of (lua_State *L, const Semaphore *s) {
  if (s->p.map == NULL) return s->sem;
  return (struct lipcsys_sem *)((char *)lipc_placed_at(L, &s->p) + s->skip);
}

/* After an operation: raises if the memory of a named one was no longer its file's. */
static void check_lost (lua_State *L, const Semaphore *s) {
  if (s->lost != NULL && atomic_load_explicit(s->lost, memory_order_relaxed))
    luaL_argerror(L, 1, "lost semaphore: another process has cut its file off");
}

/* The same without a word: NULL. */
static struct lipcsys_sem *sem_there (const Semaphore *s) {
  if (s->p.map == NULL) return s->sem;
  char *memory = lipc_placed_peek(&s->p);
  return memory != NULL ? (struct lipcsys_sem *)(memory + s->skip) : NULL;
}

static int taken (lua_State *L) {
  lua_pushboolean(L, 1);
  return 1;
}

static int try (lua_State *L, const Semaphore *s) {
  int r = lipcsys_semtry(sem_of(L, s));
  check_lost(L, s);
  return r;
}

static int wait_step (lua_State *L, int t) {
  (void)t;
  Semaphore *s = lua_touserdata(L, 1);
  return try(L, s) < 0 ? lipc_again(0) : taken(L);
}
static const struct lipc_op wait_op = {"wait", wait_step, 0, NULL};
static const struct lipc_op trywait_op = {"trywait", wait_step, 0, NULL};

static int call_with (lua_State *L, Semaphore *s, int t) {
  if (s->heldgen != lipcsys_forkgen) s->held = 0; /* the parent's */
  s->heldgen = lipcsys_forkgen;
  s->held++;
  return lipc_held(L, 2, t);
}

static int with_step (lua_State *L, int t) {
  Semaphore *s = lua_touserdata(L, 1);
  return try(L, s) < 0 ? lipc_again(0) : call_with(L, s, t);
}
static const struct lipc_op with_op = {"with", with_step, 0, NULL};

static int semaphore_block (lua_State *L, const struct lipc_op *op, int t, double seconds) {
  Semaphore *s = lua_touserdata(L, 1);
  int r = lipcsys_semwait(sem_of(L, s), seconds);
  check_lost(L, s);
  if (r < 0) return r;
  return op == &with_op ? lipc_done(call_with(L, s, t)) : taken(L);
}

/* s:wait([timeout]) -> true | nil, msg, code: waits until the value is not 0, then takes 1
** -- see sem_wait(3) */
static int l_semaphore_wait (lua_State *L) { return lipc_drive(L, &wait_op, 2); }

/* s:trywait() -> true | nil, msg, "ETIMEDOUT": takes 1 if there is one now   -- see sem_trywait(3) */
static int l_semaphore_trywait (lua_State *L) {
  lua_settop(L, 1);
  lua_pushinteger(L, 0);
  return lipc_drive(L, &trywait_op, 2);
}

/* Gives back what with took, unless the object was closed meanwhile, which gave it back already. */
static void with_over (lua_State *L, struct lipc_handle *h) {
  (void)L;
  Semaphore *s = (Semaphore *)h;
  struct lipcsys_sem *sem = sem_there(s);
  if (s->held > 0 && sem != NULL) lipcsys_sempost(sem);
  if (s->held > 0) s->held--;
}

/* s:with(fn[, timeout]) -> what fn(s) returns | nil, msg, code: waits, calls fn, and posts when fn ends,
** also by an error or coroutine.close   -- see sem_wait(3), sem_post(3) */
static int l_semaphore_with (lua_State *L) {
  lipc_checkopen(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  return lipc_with(L, &with_op, 3, with_over);
}

/* s:post([n]) -> true | nil, msg, "EOVERFLOW", posted: adds n >= 1 (1), one after the other; a binary one
** whose value is not 0 takes none   -- see sem_post(3) */
static int l_semaphore_post (lua_State *L) {
  Semaphore *s = lipc_checkopen(L, 1);
  struct lipcsys_sem *sem = sem_of(L, s);
  if (lua_gettop(L) == 1 && !s->binary && lipcsys_sempost(sem) == 0) {
    check_lost(L, s);
    return taken(L);
  }
  lua_Integer n = luaL_optinteger(L, 2, 1), done = 0;
  luaL_argcheck(L, n >= 1 && n <= (lua_Integer)lipcsys_semmax(), 2, "out of range");
  int r = 0;
  for (; done < n; done++) {
    r = s->binary && lipcsys_semvalue(sem) > 0 ? -EOVERFLOW : lipcsys_sempost(sem);
    if (r < 0) break;
  }
  check_lost(L, s);
  if (r == 0) return taken(L);
  lua_pushfstring(L, s->binary ? "a binary semaphore is at most 1" : "SEM_VALUE_MAX is %d",
                  (int)lipcsys_semmax());
  int top = lipc_failselfnote(L, "post", r, lua_tostring(L, -1));
  lua_pushinteger(L, done);
  return top + 1;
}

/* s:value() -> integer: what could be taken now; 0 also while others wait   -- see sem_getvalue(3) */
static int l_semaphore_value (lua_State *L) {
  Semaphore *s = lipc_checkopen(L, 1);
  lua_pushinteger(L, lipcsys_semvalue(sem_of(L, s)));
  check_lost(L, s);
  return 1;
}

/* s:stat() -> {type=, name=, value=, binary=} */
static int l_semaphore_stat (lua_State *L) {
  Semaphore *s = lipc_checkopen(L, 1);
  int value = lipcsys_semvalue(sem_of(L, s)); /* a finaliser may close it */
  check_lost(L, s);
  lua_createtable(L, 0, 4);
  lua_pushliteral(L, "semaphore");
  lua_setfield(L, -2, "type");
  lua_getiuservalue(L, 1, LIPC_UV_NAME);
  lua_setfield(L, -2, "name");
  lua_pushinteger(L, value);
  lua_setfield(L, -2, "value");
  lua_pushboolean(L, s->binary);
  lua_setfield(L, -2, "binary");
  return 1;
}

static int semaphore_release (lua_State *L, struct lipc_handle *h, int fd) {
  (void)fd;
  Semaphore *s = (Semaphore *)h;
  struct lipcsys_sem *sem = sem_there(s);
  int r = 0;
  if (sem != NULL && s->heldgen == lipcsys_forkgen)
    for (; s->held > 0; s->held--) lipcsys_sempost(sem);
  s->held = 0;
  if (s->p.map != NULL) return lipc_placed_release(L, &s->p);
  if (s->sem == NULL) return 0;
  if (s->guard != NULL) lipcsys_unguard(s->guard);
  s->guard = NULL;
  s->lost = NULL;
  if (s->unlink && h->forkgen == lipcsys_forkgen) r = lipcsys_semunlink(s->name, &s->id);
  int closed = lipcsys_semclose(s->sem);
  s->sem = NULL;
  return r < 0 ? r : closed;
}

static const luaL_Reg methods[] = {
  {"wait", l_semaphore_wait},
  {"trywait", l_semaphore_trywait},
  {"with", l_semaphore_with},
  {"post", l_semaphore_post},
  {"value", l_semaphore_value},
  {"stat", l_semaphore_stat},
  {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, NULL};
static const struct lipc_class semaphore_class = {.tname = "lipc.semaphore",
                                                  .label = "semaphore",
                                                  .size = sizeof(Semaphore),
                                                  .values = LIPC_PLACED_VALUES,
                                                  .methods = all_methods,
                                                  .release = semaphore_release,
                                                  .block = semaphore_block};

/* ---- opening ---- */

static int open_named (lua_State *L, const char *op, bool binary, lua_Integer dflt) {
  struct lipcsys_semopen o = {.name = lua_tostring(L, 1)};
  lua_Integer initial = lipc_optint(L, 2, "initial", 0, binary ? 1 : (lua_Integer)lipcsys_semmax(),
                                    -1);
  o.create = lipc_optbool(L, 2, "create", false);
  o.exclusive = lipc_optbool(L, 2, "exclusive", false);
  o.mode = lipc_optmode(L, 2, "mode", 0777, 0600);
  o.initial = (unsigned)(initial < 0 ? dflt : initial);
  bool unlink = lipc_optbool(L, 2, "unlink", false);
  luaL_argcheck(L, o.create || initial < 0, 2, "option 'initial' needs 'create'");
  luaL_argcheck(L, o.create || !o.exclusive, 2, "option 'exclusive' needs 'create'");
  luaL_argcheck(L, o.create || !unlink, 2, "option 'unlink' needs 'create'");
  Semaphore *s = lipc_new(L, &semaphore_class);
  lipc_setname(L, -1, o.name);
  bool made;
  int r = lipcsys_semopen(&o, &s->sem, &made, &s->id);
  if (r == 0) {
    r = lipcsys_semguard(s->sem, &s->guard, &s->lost);
    if (r < 0 && made) lipcsys_semunlink(o.name, &s->id);
  }
  if (r < 0) {
    char note[160];
    return lipc_failnote(L, op, o.name, r, lipcsys_semnote(r, note, sizeof note));
  }
  s->p.h.fd = LIPC_NOFD;
  s->binary = binary;
  s->unlink = unlink && made;
  memcpy(s->name, o.name, strlen(o.name) + 1);
  return 1;
}

/* open(name[, {create=, exclusive=, mode=, initial=, unlink=, binary=}]) -> Semaphore | nil, msg, code.
** create: makes it, with mode (0600) less the umask and the value initial (0), if it is not there;
** exclusive: fails with EEXIST if it is; unlink: removes on close what it has made; binary: post
** refuses to make it more than 1   -- see sem_open(3) */
static int l_semaphore_open (lua_State *L) {
  static const char *const names[] = {"create", "exclusive", "mode", "initial",
                                      "unlink", "binary",    NULL};
  lipc_checkname(L, 1, LIPC_SEM_NAMEMAX);
  lipc_checkopts(L, 2, names);
  return open_named(L, "semaphore.open", lipc_optbool(L, 2, "binary", false), 0);
}

/* binary(name[, {create=, exclusive=, mode=, initial=, unlink=}]) -> Semaphore | nil, msg, code: one that
** is 0 or 1, and 1 at first (initial may be 0)   -- see sem_open(3) */
static int l_semaphore_binary (lua_State *L) {
  static const char *const names[] = {"create", "exclusive", "mode", "initial", "unlink", NULL};
  lipc_checkname(L, 1, LIPC_SEM_NAMEMAX);
  lipc_checkopts(L, 2, names);
  return open_named(L, "semaphore.binary", true, 1);
}

/* ---- placed in a mapping ---- */

static const struct lipc_sync_what what = {"semaphore", LIPC_KIND_SEMAPHORE, 1};

static void init (void *memory, const void *arg) {
  lipcsys_seminit((char *)memory + LIPC_SEM_OFFSET, *(const unsigned *)arg);
}

/* at(map, offset[, {create=, exclusive=, initial=, binary=, raw=}]) -> Semaphore | nil, msg, code: the unnamed one
** there.  raw: a bare sem_t, without header; with create it is initialised whatever is there
** -- see sem_init(3) */
static int l_semaphore_at (lua_State *L) {
  static const char *const names[] = {"create", "exclusive", "initial", "binary", "raw", NULL};
  lipc_checkopts(L, 3, names);
  struct lipc_sync_making k = {.cls = &semaphore_class,
                               .what = &what,
                               .op = "semaphore.at",
                               .size = LIPC_SEM_OFFSET + LIPC_SEM_SIZE,
                               .least = LIPC_SEM_OFFSET + LIPC_SEM_SIZE,
                               .init = init};
  lipc_sync_options(L, &k);
  bool binary = lipc_optbool(L, 3, "binary", false), raw = lipc_optbool(L, 3, "raw", false);
  lua_Integer initial = lipc_optint(L, 3, "initial", 0, binary ? 1 : (lua_Integer)lipcsys_semmax(),
                                    -1);
  unsigned value = (unsigned)(initial < 0 ? 0 : initial);
  int n;
  luaL_argcheck(L, k.create || initial < 0, 3, "option 'initial' needs 'create'");
  luaL_argcheck(L, !raw || !k.exclusive, 3,
                "option 'exclusive' needs a header, and 'raw' has none");
  k.arg = &value;
  k.raw = raw;
  k.size = raw ? lipcsys_semsize() : k.size;
  Semaphore *s = lipc_sync_object(L, &k, &n);
  if (s == NULL) return n;
  s->skip = raw ? 0 : LIPC_SEM_OFFSET;
  s->binary = binary;
  if (raw && k.create) lipcsys_seminit(lipc_placed_peek(&s->p), value);
  return 1;
}

/* unlink(name) -> true | nil, msg, code: the name goes at once, the semaphore with the last process that
** has it open   -- see sem_unlink(3) */
static int l_semaphore_unlink (lua_State *L) {
  const char *name = lipc_checkname(L, 1, LIPC_SEM_NAMEMAX);
  int r = lipcsys_semunlink(name, NULL);
  if (r < 0) return lipc_fail(L, "semaphore.unlink", name, r);
  return taken(L);
}

static const luaL_Reg funcs[] = {
  {"open", l_semaphore_open},
  {"binary", l_semaphore_binary},
  {"unlink", l_semaphore_unlink},
  {"at", l_semaphore_at},
  {NULL, NULL},
};

int lipc_open_semaphore (lua_State *L) {
  lipc_register(L, &semaphore_class, funcs);
  lua_pushinteger(L, (lua_Integer)lipcsys_semmax());
  lua_setfield(L, -2, "VALUE_MAX");
  return 1;
}
