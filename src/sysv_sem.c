/* sysv_sem.c - System V semaphore sets; semget(2), semop(2), semctl(2).  POSIX; waiting with a time limit is
** Linux's semtimedop(2).  What `undo` is for: the kernel takes such operations back when the process ends.
** fork: both processes have the set; what is to be undone stays the parent's.
** close: the object only; the set stays until it is removed.
** SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "sysv_sem.h"

/* ---- values ---- */

static int get1 (lua_State *L, const char *op, enum lipcsys_semget what) {
  const Set *s = lipc_semset_checknum(L);
  int v;
  int r = lipcsys_semget1(s->s.id, (unsigned)lua_tointeger(L, 2) - 1, what, &v);
  if (r < 0) return lipc_semset_fail(L, op, r);
  lua_pushinteger(L, v);
  return 1;
}

/* set:getval(num) -> integer | nil, msg, code   -- see semctl(2) GETVAL */
static int l_set_getval (lua_State *L) { return get1(L, "getval", LIPC_SEM_VAL); }

/* set:getncnt(num) -> integer | nil, msg, code: how many processes wait for more   -- see semctl(2) GETNCNT */
static int l_set_getncnt (lua_State *L) { return get1(L, "getncnt", LIPC_SEM_NCNT); }

/* set:getzcnt(num) -> integer | nil, msg, code: how many wait for 0   -- see semctl(2) GETZCNT */
static int l_set_getzcnt (lua_State *L) { return get1(L, "getzcnt", LIPC_SEM_ZCNT); }

/* set:getpid(num) -> integer | nil, msg, code: who did the last operation; 0: nobody
** -- see semctl(2) GETPID */
static int l_set_getpid (lua_State *L) { return get1(L, "getpid", LIPC_SEM_PID); }

/* set:setval(num, value) -> true | nil, msg, code: 0 to 32767; what any process had to undo of it is
** forgotten   -- see semctl(2) SETVAL */
static int l_set_setval (lua_State *L) {
  const Set *s = lipc_semset_checknum(L);
  lua_Integer v = luaL_checkinteger(L, 3);
  luaL_argcheck(L, v >= 0 && v <= LIPC_SEMVMX, 3, "value must be from 0 to 32767");
  int r = lipcsys_semset1(s->s.id, (unsigned)lua_tointeger(L, 2) - 1, (int)v);
  return lipc_semset_result(L, "setval", r);
}

/* Room for the values of any set.  The kernel copies as many as the set has that has the id now: after very
** many others were made and removed that may be a larger one, and not ours. */
static uint16_t *newvalues (lua_State *L, const Set *s) {
  size_t n = s->nsems > UINT16_MAX ? (size_t)s->nsems : UINT16_MAX + 1;
  uint16_t *v = lua_newuserdatauv(L, n * sizeof *v, 0);
  memset(v, 0, n * sizeof *v);
  return v;
}

/* set:getall() -> array of integers | nil, msg, code: the values of one moment   -- see semctl(2) GETALL */
static int l_set_getall (lua_State *L) {
  const Set *s = lipc_checkopen(L, 1);
  uint16_t *v = newvalues(L, s);
  int r = lipcsys_semgetall(s->s.id, v);
  if (r < 0) return lipc_semset_fail(L, "getall", r);
  lua_createtable(L, (int)s->nsems, 0);
  for (lua_Integer i = 0; i < s->nsems; i++) {
    lua_pushinteger(L, v[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* Reads n values from the array at idx; what: how to call it. */
static void read_values (lua_State *L, int arg, int idx, const char *what, lua_Integer n,
                         uint16_t *ret_values) {
  lua_Integer len = luaL_len(L, idx);
  if (len != n)
    luaL_argerror(
      L, arg,
      lua_pushfstring(L, "%s%I values for %I semaphores", what, (LUAI_UACINT)len, (LUAI_UACINT)n));
  for (lua_Integer i = 1; i <= n; i++) {
    int ok;
    lua_geti(L, idx, i);
    lua_Integer v = lua_tointegerx(L, -1, &ok);
    if (!ok || lua_type(L, -1) != LUA_TNUMBER || v < 0 || v > LIPC_SEMVMX)
      luaL_argerror(L, arg,
                    lua_pushfstring(L, "%svalue %I is no integer from 0 to %d", what,
                                    (LUAI_UACINT)i, LIPC_SEMVMX));
    lua_pop(L, 1);
    ret_values[i - 1] = (uint16_t)v;
  }
}

/* set:setall(values) -> true | nil, msg, code: an array with a value for each; what any process had to undo is
** forgotten   -- see semctl(2) SETALL */
static int l_set_setall (lua_State *L) {
  const Set *s = lipc_checkopen(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  uint16_t *v = newvalues(L, s);
  read_values(L, 2, 2, "", s->nsems, v);
  return lipc_semset_result(L, "setall", lipcsys_semsetall(s->s.id, v));
}

/* ---- the set itself ---- */

/* set:nsems() -> integer, #set: how many semaphores it has */
static int l_set_nsems (lua_State *L) {
  const Set *s = lipc_checkopen(L, 1);
  lua_pushinteger(L, s->nsems);
  return 1;
}

/* set:stat() -> {type="sysv semaphore set", key=, id=, uid=, gid=, cuid=, cgid=, mode=, nsems=, otime=,
** ctime=} | nil, msg, code   -- see semctl(2) IPC_STAT */
static int l_set_stat (lua_State *L) {
  const Set *s = lipc_checkopen(L, 1);
  struct lipcsys_semstat st;
  int r = lipcsys_semstat(s->s.id, &st);
  if (r < 0) return lipc_semset_fail(L, "stat", r);
  lua_createtable(L, 0, 12);
  lipc_sysv_pushperm(L, "sysv semaphore set", &st.perm, s->s.id);
  lipc_setinteger(L, "nsems", (lua_Integer)st.nsems);
  lipc_setinteger(L, "otime", st.otime);
  lipc_setinteger(L, "ctime", st.ctime);
  return 1;
}

/* set:set{uid=, gid=, mode=} -> true | nil, msg, code: what is not given stays   -- see semctl(2) IPC_SET */
static int l_set_set (lua_State *L) {
  static const char *const names[] = {LIPC_SYSV_SETTABLE, NULL};
  const Set *s = lipc_checkopen(L, 1);
  struct lipcsys_semstat st;
  luaL_checktype(L, 2, LUA_TTABLE);
  lipc_checkopts(L, 2, names);
  lipc_checkopen(L, 1); /* a metamethod may have closed it */
  memset(&st, 0, sizeof st);
  lipc_sysv_checkset(L, &st.perm); /* misuse is told before the kernel is asked */
  int r = lipcsys_semstat(s->s.id, &st);
  if (r < 0) return lipc_semset_fail(L, "set", r);
  lipc_sysv_checkset(L, &st.perm);
  return lipc_semset_result(L, "set", lipcsys_semset(s->s.id, &st.perm));
}

/* set:remove() -> true | nil, msg, code: the set is gone, for everybody; who waits on it gets "EIDRM".  The
** object is closed, also when somebody else was faster ("EIDRM")   -- see semctl(2) IPC_RMID */
static int l_set_remove (lua_State *L) {
  Set *s = lipc_checkopen(L, 1);
  int r = lipcsys_semrm(s->s.id);
  if (r < 0 && r != -EIDRM) return lipc_semset_fail(L, "remove", r);
  s->s.unlink = false;
  lipc_shut(L, &s->s.h);
  return lipc_semset_result(L, "remove", r);
}

static void drop_initial (lua_State *L, Set *s) {
  lipc_realloc(L, s->initial, s->how.n * sizeof *s->initial, 0);
  s->initial = NULL;
}

static int set_release (lua_State *L, struct lipc_handle *h, int fd) {
  Set *s = (Set *)h;
  if (lipc_sysv_mustremove(&s->s, fd)) (void)lipcsys_semrm(s->s.id); /* it may be gone */
  drop_initial(L, s);
  return 0;
}

static const luaL_Reg methods[] = {
  {"getval", l_set_getval},
  {"setval", l_set_setval},
  {"getall", l_set_getall},
  {"setall", l_set_setall},
  {"getncnt", l_set_getncnt},
  {"getzcnt", l_set_getzcnt},
  {"getpid", l_set_getpid},
  {"nsems", l_set_nsems},
  {"__len", l_set_nsems},
  {"stat", l_set_stat},
  {"set", l_set_set},
  {"remove", l_set_remove},
  {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, lipc_semset_operations, lipc_sysv_methods,
                                              NULL};
static const struct lipc_class set_class = {.tname = "lipc.sysv.sem",
                                            .label = "sysv.sem",
                                            .size = sizeof(Set),
                                            .methods = all_methods,
                                            .release = set_release,
                                            .block = lipc_semset_block};

/* ---- opening ---- */

/* Between making a set and giving it its values there is a moment when others can find it.  It ends with the
** first operation, which sets sem_otime: the maker does one that changes nothing. */

static int initialise (const Set *s) {
  int16_t flags = lipcsys_semflags(false, true);
  struct lipcsys_semop up = {0, 1, flags}, down = {0, -1, flags};
  int r = lipcsys_semsetall(s->s.id, s->initial);
  if (r < 0) return r;
  /* at the greatest value nothing can be added, at 0 nothing taken; others may be changing it */
  do {
    r = lipcsys_semop(s->s.id, (struct lipcsys_semop[]){up, down}, 2);
    if (r == -ERANGE) r = lipcsys_semop(s->s.id, (struct lipcsys_semop[]){down, up}, 2);
  } while (r == -EAGAIN);
  return r;
}

static void note_nsems (uint64_t there, size_t asked, char *buf, size_t size) {
  char a[24], b[24];
  snprintf(a, sizeof a, "%llu", (unsigned long long)there);
  snprintf(b, sizeof b, "%zu", asked);
  lipc_noteother(buf, size, "nsems", a, b);
}

/* Why it could not be opened or made, into buf; NULL: no more to say. */
static const char *open_note (const Set *s, int err, char *buf, size_t size) {
  struct lipcsys_semstat st;
  long max[4];
  bool told = lipcsys_semlimits(max);
  int id = lipcsys_semget(s->how.key, 0, 0);
  if (err == -EINVAL && s->how.key != LIPC_IPC_PRIVATE && id >= 0 &&
      lipcsys_semstat(id, &st) == 0 && st.nsems < s->how.n)
    note_nsems(st.nsems, s->how.n, buf, size);
  else if (err == -EINVAL && told && s->how.n > (size_t)max[0])
    snprintf(buf, size, "SEMMSL, the first number of kernel.sem, is %ld: see sysctl", max[0]);
  else if (err == -ENOSPC && told)
    snprintf(
      buf, size,
      "kernel.sem allows %ld sets (SEMMNI) and %ld semaphores (SEMMNS): remove some (ipcs -s), "
      "or see sysctl",
      max[3], max[1]);
  else if (err == -ETIMEDOUT && s->s.id >= 0)
    snprintf(buf, size,
             "it was made and never initialised: its maker has ended, or does no operation. If so: "
             "ipcrm -s %d, or fromid(%d):remove()",
             s->s.id, s->s.id);
  else return NULL;
  return buf;
}

static int open_failed (lua_State *L, int t, int err) {
  Set *s = lua_touserdata(L, 1);
  char name[16], note[256];
  (void)t;
  const char *text = open_note(s, err, note, sizeof note);
  lipc_shut(L, &s->s.h);
  return lipc_failnote(L, "sysv.sem.open", lipc_sysv_keyname(s->how.key, name), err, text);
}

/* Finds or makes it: 0 or an error. */
static int find (lua_State *L, Set *s) {
  int id;
  bool made;
  int r = lipcsys_sysv_open(&s->how, lipcsys_semget, &id, &made);
  if (r < 0) return r;
  lua_pushvalue(L, 1);
  lipc_sysv_opened(L, &s->s, s->how.key, id, made, s->unlink);
  lua_pop(L, 1);
  s->found = !made;
  if (!made) return 0;
  if (s->initial != NULL && (r = initialise(s)) < 0) s->s.unlink = true;
  return r;
}

static int open_step (lua_State *L, int t) {
  Set *s = lua_touserdata(L, 1);
  struct lipcsys_semstat st;
  int r = 0;
  if (s->s.id < 0) r = find(L, s);
  if (r == 0 && s->found) r = lipcsys_semstat(s->s.id, &st);
  if (r == -EIDRM &&
      s->how.key != LIPC_IPC_PRIVATE) { /* removed in between: there may be another */
    s->s.id = -1;
    s->s.unlink = false;
    return lipc_pause(0);
  }
  if (r < 0) return open_failed(L, t, r);
  if (s->found && s->settled && st.otime == 0) return lipc_pause(0);
  s->nsems = (lua_Integer)(s->found ? st.nsems : s->how.n);
  drop_initial(L, s);
  lua_pushvalue(L, 1);
  return 1;
}
static const struct lipc_op open_op = {"open", open_step, 0, open_failed};

/* The option `initial`, an integer or an array, into s->initial; s->how.n is 0 where `nsems` is not given. */
static void read_initial (lua_State *L, Set *s) {
  if (!lua_istable(L, 2) || lua_getfield(L, 2, "initial") == LUA_TNIL) return;
  bool array = lua_istable(L, -1);
  luaL_argcheck(L, s->how.create, 2, "option 'initial' needs 'create'");
  lua_Integer all = array ? 0 : lipc_optint(L, 2, "initial", 0, LIPC_SEMVMX, 0);
  lua_Integer n = s->how.n > 0 ? (lua_Integer)s->how.n : array ? luaL_len(L, -1) : 1;
  luaL_argcheck(L, 1 <= n && n <= UINT16_MAX + 1, 2,
                "option 'initial': no value in it, or too many");
  s->how.n = (size_t)n;
  s->initial = lipc_realloc(L, NULL, 0, s->how.n * sizeof *s->initial);
  if (array) read_values(L, 2, lua_gettop(L), "option 'initial': ", n, s->initial);
  else
    for (lua_Integer i = 0; i < n; i++) s->initial[i] = (uint16_t)all;
}

/* open(key[, {nsems=, create=, exclusive=, mode=, initial=, initialized=, unlink=, timeout=, undo=}]) -> set
** | nil, msg, code: key is an integer or "private".  create: makes it, with nsems (1) semaphores, mode (0600, whatever
** the umask) and the values of initial (an integer for all or an array; 0), if it is not there; exclusive:
** "EEXIST" if it is.  initial and initialized: waits for a set that another is just making, at most
** timeout (10) seconds, until it has its values.  unlink: what this call has made is removed on close.
** undo: what wait and post do when they are not told
** -- see semget(2), semctl(2) */
static int l_sem_open (lua_State *L) {
  static const char *const names[] = {LIPC_SYSV_OPTIONS, "nsems", "initial", "initialized",
                                      "timeout",         "undo",  NULL};
  lipc_checkopts(L, 2, names);
  lua_settop(L, 2);
  double timeout = lipc_optseconds(L, 2, "timeout", 10);
  Set *s = lipc_new(L, &set_class);
  s->s.id = -1;
  s->unlink = lipc_sysv_options(L, &s->how);
  s->how.n = (size_t)lipc_optint(L, 2, "nsems", 1, UINT16_MAX + 1, 0);
  s->undo = lipc_optbool(L, 2, "undo", false);
  s->flags = lipcsys_semflags(s->undo, true);
  s->settled = lipc_optbool(L, 2, "initialized", false);
  read_initial(L, s);
  if (s->initial != NULL) s->settled = true;
  if (s->how.create && s->how.n == 0) s->how.n = 1;
  s->s.h.fd = LIPC_NOFD;
  lua_settop(L, 3);
  lua_insert(L, 1); /* Set, key, options, timeout */
  lua_pushnumber(L, timeout);
  return lipc_drivenew(L, &open_op, 4);
}

/* fromid(id[, {undo=}]) -> set | nil, msg, code: one that somebody else told, or ipcs shows.  "EINVAL": there is
** none; "EACCES": this user must not read its state   -- see semctl(2) */
static int l_sem_fromid (lua_State *L) {
  static const char *const names[] = {"undo", NULL};
  int id = lipc_sysv_checkid(L, 1);
  struct lipcsys_semstat st;
  lipc_checkopts(L, 2, names);
  Set *s = lipc_new(L, &set_class);
  s->undo = lipc_optbool(L, 2, "undo", false);
  s->flags = lipcsys_semflags(s->undo, true);
  int r = lipcsys_semstat(id, &st);
  if (r < 0) return lipc_sysv_noid(L, "sysv.sem.fromid", id, r);
  s->nsems = (lua_Integer)st.nsems;
  lipc_sysv_opened(L, &s->s, st.perm.key, id, false, false);
  return 1;
}

static const luaL_Reg funcs[] = {
  {"open", l_sem_open},
  {"fromid", l_sem_fromid},
  {NULL, NULL},
};

int lipc_sysv_sem (lua_State *L) {
  lipc_register(L, &set_class, funcs);
  lua_pushinteger(L, LIPC_SEMVMX);
  lua_setfield(L, -2, "VALUE_MAX");
  return 1;
}
