/* shared_array.c - an array, or one record, in shared memory, with a lock.  Elements are those of a view of the
** memory (a user value, made by lua/lipc/shared.lua): they are read and written without the lock, which is for
** what must be one step.  SPDX-License-Identifier: MIT */
#include "shared.h"

#include <string.h>

#define ALIGN 64 /* elements begin a cache line of their own */

enum { UV_ELEMENTS = LIPC_UV_PLACED }; /* a view; of a struct its record */

struct memory {
  struct lipc_sync_base base;
  _Atomic uint64_t count, itemsize;
  _Atomic uint32_t typelen;
  char type[]; /* how its elements are laid out, in words of lua/lipc/shared.lua */
};

#define TYPE_MAX 65536

static size_t offset_of (size_t typelen) {
  return (sizeof(struct memory) + typelen + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* ---- elements ---- */

/* What a view does for its elements, and a record for its fields, is done by the very functions, called with
** the view in the object's place: their errors then name the function that the user has called.  So the first
** upvalue is what they have there, their metatable. */
enum { OF_CLASS = SHARED_METHODS + 1, OF_FUNCTION };

/* a[i] = value, #a, pairs(a), a:get(...) ...; s.field = value, pairs(s) */
static int l_elements_forward (lua_State *L) {
  struct lipc_placed *p = lua_touserdata(L, 1);
  if (!lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(OF_CLASS))) {
    lua_getfield(L, lua_upvalueindex(OF_CLASS), "__name");
    return luaL_typeerror(L, 1, lua_tostring(L, -1));
  }
  if (!lipc_isopen(&p->h))
    return luaL_argerror(L, 1, lua_pushfstring(L, "closed %s", p->h.cls->label));
  lua_pop(L, 1);
  lua_getiuservalue(L, 1, UV_ELEMENTS);
  lua_replace(L, 1);
  return lua_tocfunction(L, lua_upvalueindex(OF_FUNCTION))(L);
}

/* a[i], a.method; s.field, s.method */
static int l_elements_index (lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(SHARED_METHODS)) != LUA_TNIL) return 1;
    lua_pop(L, 1);
  }
  return l_elements_forward(L);
}

/* a:view() -> the view, s:record() -> the record that its elements are seen through */
static int l_elements_view (lua_State *L) {
  lipc_checkopen(L, 1);
  lua_getiuservalue(L, 1, UV_ELEMENTS);
  return 1;
}

/* a:stat() -> {type=, name=, count=, itemsize=, offset=} */
static int l_elements_stat (lua_State *L) {
  struct lipc_placed *p = lipc_checkopen(L, 1);
  struct memory *m = lipc_placed_at(L, p);
  uint64_t count = lipc_get(&m->count), itemsize = lipc_get(&m->itemsize);
  uint32_t typelen = lipc_get(&m->typelen);
  lipc_map_done(L, 1, p->map);
  shared_stat(L, p->h.cls->label + strlen("shared."));
  lipc_setinteger(L, "count", (lua_Integer)count);
  lipc_setinteger(L, "itemsize", (lua_Integer)itemsize);
  lipc_setinteger(L, "offset", (lua_Integer)offset_of(typelen));
  return 1;
}

static int release (lua_State *L, struct lipc_handle *h, int fd) {
  (void)fd;
  return lipc_placed_release(L, (struct lipc_placed *)h);
}

static const luaL_Reg array_methods[] = {
  {"view", l_elements_view},
  {"stat", l_elements_stat},
  {NULL, NULL},
};
static const luaL_Reg struct_methods[] = {
  {"record", l_elements_view},
  {"stat", l_elements_stat},
  {NULL, NULL},
};
static const luaL_Reg *const all_array[] = {array_methods, lipc_hold_methods, NULL};
static const luaL_Reg *const all_struct[] = {struct_methods, lipc_hold_methods, NULL};
static const struct lipc_class classes[] = {
  {.tname = "lipc.shared.array",
   .label = "shared.array",
   .size = sizeof(struct lipc_placed),
   .values = LIPC_PLACED_VALUES + 1,
   .methods = all_array,
   .release = release,
   .block = lipc_sync_block},
  {.tname = "lipc.shared.struct",
   .label = "shared.struct",
   .size = sizeof(struct lipc_placed),
   .values = LIPC_PLACED_VALUES + 1,
   .methods = all_struct,
   .release = release,
   .block = lipc_sync_block},
};

/* ---- making and opening ---- */

static const struct lipc_sync_what whats[] = {{"array", LIPC_KIND_ARRAY, 1},
                                              {"struct", LIPC_KIND_STRUCT, 1}};

struct initial {
  const char *type;
  size_t typelen, count, itemsize;
};

static void fill (void *memory, const void *arg) {
  struct memory *m = memory;
  const struct initial *i = arg;
  memcpy(m->type, i->type, i->typelen);
  lipc_put(&m->typelen, (uint32_t)i->typelen);
  lipc_put(&m->count, i->count);
  lipc_put(&m->itemsize, i->itemsize);
}

/* The type, the count and the bytes of one in arguments arg to arg + 2; returns how many bytes it takes. */
static size_t check_initial (lua_State *L, int arg, struct initial *ret) {
  struct initial i = {.type = luaL_checklstring(L, arg, &i.typelen)};
  lua_Integer count = luaL_checkinteger(L, arg + 1), itemsize = luaL_checkinteger(L, arg + 2);
  size_t bytes;
  luaL_argcheck(L, i.typelen <= TYPE_MAX, 1, "the layout has too many names");
  luaL_argcheck(L, count >= 1, 2, "must be positive");
  if (__builtin_mul_overflow((size_t)count, (size_t)itemsize, &bytes) || bytes > PTRDIFF_MAX / 2)
    luaL_argerror(L, 2, "too many");
  i.count = (size_t)count;
  i.itemsize = (size_t)itemsize;
  *ret = i;
  return offset_of(i.typelen) + bytes;
}

/* size(type, count, itemsize) -> bytes that it takes */
static int l_elements_size (lua_State *L) {
  struct initial i;
  lua_pushinteger(L, (lua_Integer)check_initial(L, 1, &i));
  return 1;
}

static int make (lua_State *L, const struct lipc_sync_what *what) {
  struct initial i;
  size_t size = check_initial(L, 2, &i);
  return shared_make(L, what, size, fill, &i);
}

static int open (lua_State *L, const struct lipc_class *cls, const struct lipc_sync_what *what) {
  struct lipc_placed *p;
  int r = shared_open(L, cls, what, sizeof(struct memory), &p);
  if (r > 0) return r;
  struct memory *m = lipc_placed_peek(p);
  uint64_t count = lipc_get(&m->count), itemsize = lipc_get(&m->itemsize);
  uint32_t typelen = lipc_get(&m->typelen);
  if (typelen > TYPE_MAX || offset_of(typelen) > p->size || count == 0 || itemsize == 0 ||
      count > (p->size - offset_of(typelen)) / itemsize)
    return shared_openfail(L, what, "its header makes no sense");
  lua_pushlstring(L, m->type, typelen);
  lua_pushinteger(L, (lua_Integer)count);
  lua_pushinteger(L, (lua_Integer)itemsize);
  lua_pushinteger(L, (lua_Integer)offset_of(typelen));
  return 5;
}

/* make(mapping, type, count, itemsize) -> true | nil, msg, code: puts one into its zeroed memory */
static int l_array_make (lua_State *L) { return make(L, &whats[0]); }

/* The same of a record, whose count is 1 */
static int l_struct_make (lua_State *L) { return make(L, &whats[1]); }

/* open(mapping) -> object, type, count, itemsize, offset | nil, msg, code: the one that is there, closed until
** show() */
static int l_array_open (lua_State *L) { return open(L, &classes[0], &whats[0]); }

/* The same of a record */
static int l_struct_open (lua_State *L) { return open(L, &classes[1], &whats[1]); }

/* show(object, elements) -> object: it is open now, and these are its elements */
static int l_elements_show (lua_State *L) {
  struct lipc_placed *p = lua_touserdata(L, 1);
  lua_settop(L, 2);
  lua_setiuservalue(L, 1, UV_ELEMENTS);
  p->h.fd = LIPC_NOFD;
  return 1;
}

/* Pushes what forwards to the function on top, in whose place it is.  At mt: our metatable, our methods, the
** metatable of the elements. */
static void push_forward (lua_State *L, int mt, lua_CFunction fn) {
  lua_pushvalue(L, mt + 2);
  lua_pushvalue(L, mt + 1);
  lua_pushvalue(L, mt);
  lua_pushvalue(L, -4);
  lua_pushcclosure(L, fn, OF_FUNCTION);
  lua_replace(L, -2);
}

/* Of a class that is new: its methods and metamethods are its own, and those of its elements, of the class tname. */
static void add_elements (lua_State *L, const struct lipc_class *cls, const char *tname) {
  static const char *const events[] = {"__newindex", "__len", "__pairs", NULL};
  luaL_getmetatable(L, cls->tname);
  int mt = lua_gettop(L);
  if (lua_getfield(L, mt, "__index") != LUA_TTABLE) { /* the module was opened before */
    lua_settop(L, mt - 1);
    return;
  }
  lipc_pushmodule(L, lipc_open_view); /* it makes that class */
  lua_pop(L, 1);
  luaL_getmetatable(L, tname);
  for (int i = 0; events[i] != NULL; i++) {
    if (lua_getfield(L, mt + 2, events[i]) == LUA_TNIL) {
      lua_pop(L, 1);
      continue;
    }
    push_forward(L, mt, l_elements_forward);
    lua_setfield(L, mt, events[i]);
  }
  lua_getfield(L, mt + 2, "__index");
  if (lua_getupvalue(L, -1, SHARED_METHODS) == NULL) lua_newtable(L); /* a record has none */
  for (lua_pushnil(L); lua_next(L, mt + 4);) {
    lua_pushvalue(L, -2);
    if (lua_rawget(L, mt + 1) == LUA_TNIL) {
      lua_pushvalue(L, -3);
      lua_pushvalue(L, -3);
      push_forward(L, mt, l_elements_forward);
      lua_rawset(L, mt + 1);
    }
    lua_settop(L, mt + 5);
  }
  lua_settop(L, mt + 3);
  push_forward(L, mt, l_elements_index);
  lua_setfield(L, mt, "__index");
  lua_settop(L, mt - 1);
}

void shared_open_array (lua_State *L) {
  static const luaL_Reg array[] = {{"size", l_elements_size},
                                   {"make", l_array_make},
                                   {"open", l_array_open},
                                   {"show", l_elements_show},
                                   {NULL, NULL}};
  static const luaL_Reg record[] = {{"size", l_elements_size},
                                    {"make", l_struct_make},
                                    {"open", l_struct_open},
                                    {"show", l_elements_show},
                                    {NULL, NULL}};
  shared_add(L, "array", &classes[0], array);
  add_elements(L, &classes[0], "lipc.view");
  shared_add(L, "struct", &classes[1], record);
  add_elements(L, &classes[1], "lipc.view.record");
}
