/* lipc_kit.c - objects and failures, as every binding uses them.
** SPDX-License-Identifier: MIT */
#include "lipc_kit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Keys in the registry and in metatables, by address. */
static const char state_key, class_key;

/* ---- one per Lua state ---- */

static int state_gc (lua_State *L) {
  struct lipc_state *st = lua_touserdata(L, 1);
  lipc_realloc(L, st->scratch, LIPC_SCRATCH, 0);
  st->scratch = NULL;
  return 0;
}

struct lipc_state *lipc_getstate (lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  struct lipc_state *st = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (st != NULL) return st;
  st = lua_newuserdatauv(L, sizeof *st, 0);
  *st = (struct lipc_state){.wakefd = -1};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, state_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  st->main = lua_tothread(L, -1);
  lua_pop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
  return st;
}

char *lipc_scratch (lua_State *L) {
  struct lipc_state *st = lipc_getstate(L);
  if (st->scratch == NULL) st->scratch = lipc_realloc(L, NULL, 0, LIPC_SCRATCH);
  return st->scratch;
}

void lipc_watch (lua_State *L, struct lipc_watch *w) {
  struct lipc_state *st = lipc_getstate(L);
  w->next = st->watches;
  w->link = &st->watches;
  if (w->next != NULL) w->next->link = &w->next;
  st->watches = w;
}

void lipc_unwatch (struct lipc_watch *w) {
  if (w->link == NULL) return;
  *w->link = w->next;
  if (w->next != NULL) w->next->link = w->link;
  w->link = NULL;
}

/* ---- memory ---- */

void *lipc_tryrealloc (lua_State *L, void *p, size_t osize, size_t nsize) {
  void *ud;
  lua_Alloc f = lua_getallocf(L, &ud);
  if (p == NULL && nsize == 0) return NULL;
  void *q = f(ud, p, p != NULL ? osize : 0, nsize);
  if (q == NULL && nsize > 0) { /* what is garbage may make room, as for Lua itself */
    lua_gc(L, LUA_GCCOLLECT, 0);
    q = f(ud, p, p != NULL ? osize : 0, nsize);
  }
  return q;
}

void *lipc_realloc (lua_State *L, void *p, size_t osize, size_t nsize) {
  void *q = lipc_tryrealloc(L, p, osize, nsize);
  if (q == NULL && nsize > 0) luaL_error(L, "not enough memory");
  return q;
}

void lipc_checkfinaliser (lua_State *L) {
  if (lua_gc(L, LUA_GCISRUNNING, 0) != 1)
    luaL_error(L, "object is busy: this call comes from a finaliser inside its own call");
}

/* ---- failures ---- */

/* nil, message with the reason appended to what is on top, code.  note may be NULL: then the limit, if descriptors
** are what is missing, which may happen to everything that opens one. */
static int fail_with (lua_State *L, int err, const char *note) {
  char text[128], limit[96], number[24];
  if (note == NULL) note = lipcsys_filelimit(err, limit, sizeof limit);
  const char *code = lipcsys_errname(-err);
  if (code == NULL) {
    snprintf(number, sizeof number, "E%d", -err);
    code = number;
  }
  lua_pushfstring(L, "%s: %s", lua_tostring(L, -1), lipcsys_errtext(-err, text, sizeof text));
  if (note != NULL) {
    lua_pushfstring(L, "%s (%s)", lua_tostring(L, -1), note);
    lua_replace(L, -2);
  }
  lua_pushnil(L);
  lua_replace(L, -3);
  lua_pushstring(L, code);
  return 3;
}

int lipc_failnote (lua_State *L, const char *op, const char *object, int err, const char *note) {
  if (object != NULL) lua_pushfstring(L, "%s %s", op, object);
  else lua_pushstring(L, op);
  return fail_with(L, err, note);
}

int lipc_fail (lua_State *L, const char *op, const char *object, int err) {
  return lipc_failnote(L, op, object, err, NULL);
}

int lipc_failselfnote (lua_State *L, const char *op, int err, const char *note) {
  const struct lipc_handle *h = lua_touserdata(L, 1);
  if (lua_getiuservalue(L, 1, LIPC_UV_NAME) == LUA_TSTRING)
    lua_pushfstring(L, "%s:%s %s", h->cls->label, op, lua_tostring(L, -1));
  else lua_pushfstring(L, "%s:%s", h->cls->label, op);
  lua_remove(L, -2);
  return fail_with(L, err, note);
}

int lipc_failself (lua_State *L, const char *op, int err) {
  return lipc_failselfnote(L, op, err, NULL);
}

void lipc_noteother (char *note, size_t size, const char *what, const char *there,
                     const char *asked) {
  snprintf(note, size, "%s is %s, %s asked for", what, there, asked);
}

int lipc_failother (lua_State *L, const char *op, const char *object, const char *what,
                    const char *there, const char *asked) {
  char note[256];
  lipc_noteother(note, sizeof note, what, there, asked);
  return lipc_failnote(L, op, object, -EINVAL, note);
}

int lipc_failothern (lua_State *L, const char *op, const char *object, const char *what,
                     lua_Integer there, lua_Integer asked) {
  return lipc_failother(L, op, object, what, lua_pushfstring(L, "%I", (LUAI_UACINT)there),
                        lua_pushfstring(L, "%I", (LUAI_UACINT)asked));
}

int lipc_result (lua_State *L, const char *op, int err) {
  if (err < 0) return lipc_failself(L, op, err);
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- objects ---- */

void lipc_setinteger (lua_State *L, const char *name, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_setfield(L, -2, name);
}

void *lipc_new (lua_State *L, const struct lipc_class *cls) {
  struct lipc_handle *h = lua_newuserdatauv(L, cls->size, LIPC_UV_FREE - 1 + cls->values);
  memset(h, 0, cls->size);
  h->cls = cls;
  h->fd = LIPC_CLOSED;
  h->other = -1;
  h->timeout = HUGE_VAL;
  h->forkgen = lipcsys_forkgen;
  luaL_setmetatable(L, cls->tname);
  return h;
}

void lipc_setname (lua_State *L, int idx, const char *name) {
  idx = lua_absindex(L, idx);
  lua_pushstring(L, name);
  lua_setiuservalue(L, idx, LIPC_UV_NAME);
}

void *lipc_check (lua_State *L, int arg) {
  if (lua_getmetatable(L, arg)) {
    int same = lua_rawequal(L, -1, lua_upvalueindex(1));
    lua_pop(L, 1);
    if (same) return lua_touserdata(L, arg);
  }
  lua_getfield(L, lua_upvalueindex(1), "__name");
  luaL_typeerror(L, arg, lua_tostring(L, -1));
  return NULL;
}

void *lipc_checkopen (lua_State *L, int arg) {
  struct lipc_handle *h = lipc_check(L, arg);
  if (!lipc_isopen(h)) luaL_argerror(L, arg, lua_pushfstring(L, "closed %s", h->cls->label));
  return h;
}

void *lipc_checkaccess (lua_State *L, unsigned dir) {
  struct lipc_handle *h = lipc_checkopen(L, 1);
  if ((dir & ~h->access) != 0)
    luaL_argerror(L, 1,
                  lua_pushfstring(L, "%s is not open for %s", h->cls->label,
                                  dir == LIPC_IN ? "reading" : "writing"));
  return h;
}

struct lipc_handle *lipc_testany (lua_State *L, int arg) {
  struct lipc_handle *h = NULL;
  if (lua_type(L, arg) == LUA_TUSERDATA && lua_getmetatable(L, arg)) {
    if (lua_rawgetp(L, -1, &class_key) != LUA_TNIL) h = lua_touserdata(L, arg);
    lua_pop(L, 2);
  }
  return h;
}

void *lipc_test (lua_State *L, int arg, const struct lipc_class *cls) {
  struct lipc_handle *h = lipc_testany(L, arg);
  return h != NULL && h->cls == cls ? h : NULL;
}

const char *lipc_tofd (lua_State *L, int idx, int *ret_fd) {
  luaL_Stream *f = luaL_testudata(L, idx, LUA_FILEHANDLE);
  struct lipc_handle *h = lipc_testany(L, idx);
  if (lua_type(L, idx) == LUA_TNUMBER) {
    int fits;
    lua_Integer n = lua_tointegerx(L, idx, &fits);
    if (!fits || n < 0 || n > INT32_MAX) return "not a descriptor";
    *ret_fd = (int)n;
  } else if (f != NULL) {
    if (f->closef == NULL) return "closed file";
    *ret_fd = fileno(f->f);
  } else if (h != NULL) {
    if (h->fd == LIPC_CLOSED) return lua_pushfstring(L, "closed %s", h->cls->label);
    if (h->fd < 0) return lua_pushfstring(L, "%s has no descriptor", h->cls->label);
    *ret_fd = h->fd;
  } else {
    bool named = luaL_getmetafield(L, idx, "__name") == LUA_TSTRING;
    return lua_pushfstring(L, "descriptor, file or lipc object expected, got %s",
                           named ? lua_tostring(L, -1) : luaL_typename(L, idx));
  }
  return NULL;
}

int lipc_checkfd (lua_State *L, int arg) {
  int fd = -1;
  const char *problem = lipc_tofd(L, arg, &fd);
  if (problem != NULL) luaL_argerror(L, arg, problem);
  return fd;
}

int lipc_adopt (lua_State *L, int arg, struct lipc_handle *h, struct lipcsys_fdinfo *ret_info) {
  if (luaL_testudata(L, arg, LUA_FILEHANDLE) != NULL)
    luaL_argerror(
      L, arg,
      "descriptor number expected, got a Lua file, which would close it too: the standard "
      "ones are 0, 1 and 2; what io.popen or io.open made lipc can open itself "
      "(process.spawn, fifo.open)");
  if (lipc_testany(L, arg) != NULL)
    luaL_argerror(
      L, arg, "descriptor number expected, got an lipc object: its detach() gives the number away");
  luaL_checktype(L, arg, LUA_TNUMBER); /* no numeral in a string: it names something */
  lua_Integer n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, 0 <= n && n <= INT32_MAX, arg, "not a descriptor");
  if (lipcsys_fdinfo((int)n, ret_info) < 0)
    luaL_argerror(L, arg, lua_pushfstring(L, "descriptor %d is not open", (int)n));
  h->io = ret_info->io;
  h->access = ret_info->access;
  return (int)n;
}

int lipc_fromfd (lua_State *L, const struct lipc_class *cls, bool (*is_one)(int fd),
                 const char *what, unsigned access) {
  struct lipcsys_fdinfo info;
  struct lipc_handle *h = lipc_new(L, cls);
  int fd = lipc_adopt(L, 1, h, &info);
  if (!is_one(fd)) luaL_argerror(L, 1, lua_pushfstring(L, "not %s", what));
  h->access = access;
  h->fd = fd;
  return 1;
}

/* Takes the descriptor out of the handle and out of every set that knows it. */
static int takefd (lua_State *L, struct lipc_handle *h) {
  int fd = h->fd;
  h->fd = LIPC_CLOSED;
  if (fd >= 0 && h->watched) {
    h->watched = false;
    lipc_cancel(L, fd);
    if (h->other >= 0) lipc_cancel(L, h->other);
    for (struct lipc_watch *w = lipc_getstate(L)->watches; w != NULL; w = w->next) w->forget(w, fd);
  }
  return fd;
}

int lipc_shut (lua_State *L, struct lipc_handle *h) {
  const struct lipc_class *cls = h->cls;
  int fd = takefd(L, h);
  if (cls->release != NULL) return cls->release(L, h, fd);
  return fd >= 0 ? lipcsys_close(fd) : 0;
}

/* obj:close() -> true | nil, msg, code */
static int l_close (lua_State *L) {
  struct lipc_handle *h = lipc_check(L, 1);
  return lipc_result(L, "close", lipc_isopen(h) ? lipc_shut(L, h) : 0);
}

/* __gc, __close: as close, and nobody to tell. */
static int l_gc (lua_State *L) {
  struct lipc_handle *h = lipc_check(L, 1);
  if (lipc_isopen(h) || h->cls->release != NULL) lipc_shut(L, h);
  return 0;
}

/* obj:detach() -> fd: the descriptor is the caller's from now on */
static int l_detach (lua_State *L) {
  struct lipc_handle *h = lipc_checkopen(L, 1);
  luaL_argcheck(L, h->fd >= 0, 1, "has no descriptor");
  int fd = takefd(L, h);
  if (h->cls->release != NULL) h->cls->release(L, h, LIPC_CLOSED);
  lua_pushinteger(L, fd);
  return 1;
}

/* obj:fd() -> descriptor */
static int l_fd (lua_State *L) {
  struct lipc_handle *h = lipc_checkopen(L, 1);
  luaL_argcheck(L, h->fd >= 0, 1, "has no descriptor");
  lua_pushinteger(L, h->fd);
  return 1;
}

/* obj:events() -> "r" | "w" | "rw": what its last wait asked for; what pollers of other libraries ask */
static int l_events (lua_State *L) {
  struct lipc_handle *h = lipc_checkopen(L, 1);
  unsigned ev = h->want != 0 ? h->want : h->access & LIPC_IN ? LIPC_IN : h->access;
  lua_pushstring(L, ev == LIPC_OUT ? "w" : ev == (LIPC_IN | LIPC_OUT) ? "rw" : "r");
  return 1;
}

/* obj:timeout() -> 0 | nil: 0 while what was read ahead waits to be taken */
static int l_timeout (lua_State *L) {
  struct lipc_handle *h = lipc_checkopen(L, 1);
  if (h->cls->buffered != NULL && h->cls->buffered(h)) lua_pushinteger(L, 0);
  else lua_pushnil(L);
  return 1;
}

/* obj:settimeout([seconds]) -> obj: the default of its operations; nil: for ever */
static int l_settimeout (lua_State *L) {
  struct lipc_handle *h = lipc_checkopen(L, 1);
  h->timeout = lipc_checktimeout(L, 2, HUGE_VAL);
  lua_settop(L, 1);
  return 1;
}

/* obj:stat() -> {type=, dev=, ino=, mode=, size=} | nil, msg, code   -- see fstat(2) */
static int l_stat (lua_State *L) {
  struct lipc_handle *h = lipc_checkopen(L, 1);
  struct lipcsys_fdinfo i;
  luaL_argcheck(L, h->fd >= 0, 1, "has no descriptor");
  int r = lipcsys_fdinfo(h->fd, &i);
  if (r < 0) return lipc_failself(L, "stat", r);
  lua_createtable(L, 0, 5);
  lua_pushstring(L, i.type);
  lua_setfield(L, -2, "type");
  lipc_setinteger(L, "dev", (lua_Integer)i.dev);
  lipc_setinteger(L, "ino", (lua_Integer)i.ino);
  lipc_setinteger(L, "mode", (lua_Integer)i.mode);
  lipc_setinteger(L, "size", (lua_Integer)i.size);
  return 1;
}

/* tostring(obj): type, name, descriptor or state */
static int l_tostring (lua_State *L) {
  const struct lipc_handle *h = lipc_check(L, 1);
  bool named = lua_getiuservalue(L, 1, LIPC_UV_NAME) == LUA_TSTRING;
  lua_pushfstring(L, "%s%s%s", h->cls->tname, named ? " " : "", named ? lua_tostring(L, -1) : "");
  if (h->fd >= 0) lua_pushfstring(L, "%s (fd %d)", lua_tostring(L, -1), h->fd);
  else lua_pushfstring(L, "%s (%s)", lua_tostring(L, -1), h->fd == LIPC_CLOSED ? "closed" : "open");
  return 1;
}

static const luaL_Reg common[] = {
  {"close", l_close},
  {"detach", l_detach},
  {"fd", l_fd},
  {"pollfd", l_fd},
  {"events", l_events},
  {"timeout", l_timeout},
  {"settimeout", l_settimeout},
  {"stat", l_stat},
  {"__gc", l_gc},
  {"__close", l_gc},
  {"__tostring", l_tostring},
  {NULL, NULL},
};

/* Adds those functions that the tables do not have yet: metamethods to mt, the rest to its __index. */
static void addmethods (lua_State *L, int mt, int index, const luaL_Reg *list) {
  for (; list->name != NULL; list++) {
    int into = strncmp(list->name, "__", 2) == 0 ? mt : index;
    if (lua_getfield(L, into, list->name) == LUA_TNIL) {
      lua_pushvalue(L, mt);
      lua_pushcclosure(L, list->func, 1);
      lua_setfield(L, into, list->name);
    }
    lua_pop(L, 1);
  }
}

void lipc_class (lua_State *L, const struct lipc_class *cls) {
  bool made = luaL_getmetatable(L, cls->tname) != LUA_TNIL;
  lua_pop(L, 1);
  if (made) return;
  lua_newtable(L);
  int mt = lua_gettop(L);
  lua_pushstring(L, cls->tname);
  lua_setfield(L, mt, "__name");
  lua_newtable(L);
  lua_pushboolean(L, 1);
  lua_rawsetp(L, mt, &class_key);
  for (const luaL_Reg *const *m = cls->methods; *m != NULL; m++) addmethods(L, mt, mt + 1, *m);
  addmethods(L, mt, mt + 1, common);
  lua_setfield(L, mt, "__index");
  lua_pushliteral(L, "locked");
  lua_setfield(L, mt, "__metatable");
  lua_setfield(L, LUA_REGISTRYINDEX,
               cls->tname); /* known when it is whole, should memory run out */
}

void lipc_metatable (lua_State *L, const char *tname, const char *event, lua_CFunction fn) {
  if (luaL_getmetatable(L, tname) != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_createtable(L, 0, 2);
  lua_pushstring(L, tname);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, fn);
  lua_setfield(L, -2, event);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, tname);
}

void lipc_pushmodule (lua_State *L, lua_CFunction open) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, (void *)open) != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_pushcfunction(L, open);
  lua_call(L, 0, 1);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, (void *)open);
}

int lipc_module (lua_State *L, const luaL_Reg *funcs) {
  lua_newtable(L);
  luaL_setfuncs(L, funcs, 0);
  return 1;
}

int lipc_register (lua_State *L, const struct lipc_class *cls, const luaL_Reg *funcs) {
  lipc_class(L, cls);
  return lipc_module(L, funcs);
}
