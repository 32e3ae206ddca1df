/* view.h - what the files of the view binding share: elements in mapped memory, and windows on them.
** SPDX-License-Identifier: MIT */
#ifndef lipc_view_h
#define lipc_view_h

#include <stdint.h>
#include <string.h>

#include "kit_map.h"

#pragma GCC visibility push(hidden)

#define VIEW_TNAME     "lipc.view"
#define VIEW_CACHELINE 64 /* the same for all who share a layout */

/* What an element is.  Numbers come first. */
enum view_kind {
  VIEW_I8,
  VIEW_U8,
  VIEW_I16,
  VIEW_U16,
  VIEW_I32,
  VIEW_U32,
  VIEW_I64,
  VIEW_U64,
  VIEW_F32,
  VIEW_F64,
  VIEW_BYTES, /* a string of that many bytes, without the zeros at its end */
  VIEW_CHARS, /* the same, to its first zero, as a char array of C */
  VIEW_RECORD,
  VIEW_ARRAY,
};

#define view_isnumber(kind)  ((kind) <= VIEW_F64)
#define view_isinteger(kind) ((kind) <= VIEW_U64)
#define view_isstring(kind)  ((kind) == VIEW_BYTES || (kind) == VIEW_CHARS)

struct view_type {
  enum view_kind kind;
  size_t size; /* bytes of one */
  const char *name; /* a constant */
  const struct view_layout *layout; /* of records and arrays; whoever has the type keeps it alive */
};

struct view_field {
  struct view_type t;
  size_t offset, count;
  bool array;
};

/* How a record, or an array as an element, lies in memory: an object that never changes. */
struct view_layout {
  size_t size, align;
  int n, depth; /* fields; of an array one, without a name */
  struct view_field f[];
};

/* Its user values: name -> number from 1 and the other way round; number -> the field's own layout. */
enum { LAYOUT_UV_NAMES = 1, LAYOUT_UV_INNER };

/* User values of a view and of a record. */
enum { VIEW_UV_MAP = 1, VIEW_UV_LAYOUT };

/* n elements, each stride bytes behind the one before.  Only this process can write here; what is
** checked is this against the mapping, as it is at that moment. */
typedef struct View {
  struct lipc_map *map; /* inside the object in the user value */
  size_t offset, end; /* in bytes: where the first one begins, and the last one ends */
  size_t n, stride;
  struct view_type t;
} View;

/* The view at index 1 of its methods, as lipc_check does it.  view_receiver leaves the metatable on the
** stack: for metamethods, which know how many arguments they get. */
static inline View *view_receiver (lua_State *L) {
  if (!lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(1))) lipc_check(L, 1);
  return lua_touserdata(L, 1);
}
static inline View *view_self (lua_State *L) {
  View *v = view_receiver(L);
  lua_pop(L, 1);
  return v;
}
#define view_packed(v) ((v)->stride == (v)->t.size)

/* The view in another argument of such a method. */
View *view_checkview (lua_State *L, int arg);

/* Pushes a view of n elements from that byte on, of the mapping of the object at index map, which are
** there; layout is the index of the type's layout, 0 if it has none. */
View *view_new (lua_State *L, int map, struct lipc_map *m, struct view_type t, int layout,
                size_t offset, size_t n, size_t stride);

/* The same for a part of a view at this index. */
View *view_newpart (lua_State *L, int idx, const View *v, struct view_type t, int layout,
                    size_t offset, size_t n, size_t stride);

/* The type of numbers, or of bytes, that has this name. */
bool view_findtype (const char *name, struct view_type *ret_t);

/* ---- checks ---- */

/* These raise.  noelement: argument arg is no index of an element.  badvalue: the value at idx, which
** came by argument arg, is none that the type has.  gone: the mapping is closed or has shrunk. */
int view_noelement (lua_State *L, int arg, const View *v);
int view_badvalue (lua_State *L, int arg, int idx, const struct view_type *t);
const char *view_whynot (lua_State *L, int idx, const struct view_type *t); /* the reason, pushed */
int view_gone (lua_State *L, const View *v);
/* What is to be said of a name that is no type, pushed: with those that there are, and what else may be there. */
const char *view_unknowntype (lua_State *L, const char *name, const char *also);
void view_checkwrite (lua_State *L, const View *v);

/* The range of indices in arguments arg and arg + 1; by default whole: all, else the one at arg.
** An empty one is i, i - 1.  *ret_first counts from 0; returns how many there are. */
size_t view_checkrange (lua_State *L, int arg, const View *v, bool whole, size_t *ret_first);

/* The address of element i, from 0, which is one of those; raises if the mapping is gone. */
static inline char *view_address (lua_State *L, const View *v, size_t i) {
  if (v->end > v->map->size) view_gone(L, v);
  return v->map->base + v->offset + i * v->stride;
}

/* The same for a store: what ran since the last look, a metamethod or finaliser, may have made it read-only. */
static inline char *view_target (lua_State *L, const View *v, size_t i) {
  if (v->map->readonly) view_checkwrite(L, v);
  return view_address(L, v, i);
}

/* After an access of any kind, also of nothing at all: see lipc_map_done. */
static inline void view_done (lua_State *L, int arg, const struct lipc_map *m) {
  if (m->size > 0) lipc_map_done(L, arg, m);
}

/* The address of the element whose index is argument 2; for writing: the mapping must allow it. */
static inline char *view_element (lua_State *L, const View *v);
static inline char *view_writable (lua_State *L, const View *v);

/* ---- elements of any kind ---- */

/* Pushes element i, from 0, of the view at index self: a copy of it (a record is a table), or for live
** what shows and changes it (a record is a record).  Raises if the mapping is gone. */
static inline void view_push (lua_State *L, int self, const View *v, size_t i, bool live);

/* Stores the value at idx in it; what does not fit raises, and argument arg is to blame. */
void view_take (lua_State *L, int self, const View *v, size_t i, int arg, int idx);

/* Of the kinds that are no numbers, for view_push and view_take. */
void view_pushother (lua_State *L, int self, const View *v, size_t i, bool live);
void view_takeother (lua_State *L, int self, const View *v, size_t i, int arg, int idx);

/* Pushes a string of these bytes, which others may change meanwhile. */
void view_pushbytes (lua_State *L, const char *p, size_t n, enum view_kind kind);

/* The layout in that argument, or NULL. */
const struct view_layout *view_testlayout (lua_State *L, int arg);

/* Pushes the layout of an array of n of that type, whose own layout is at that index (0: none).  Not
** more than VIEW_MAXSIZE bytes. */
struct view_type view_arraytype (lua_State *L, struct view_type t, int layout, size_t n);
#define VIEW_MAXSIZE ((size_t)PTRDIFF_MAX / 2)

struct view_type view_recordtype (const struct view_layout *l);

/* layout(fields): the function of the module. */
int view_makelayout (lua_State *L);

void view_openlayout (lua_State *L);
void view_openrecord (lua_State *L);
void view_openwait (lua_State *L);

/* ---- classes ---- */

/* Makes the metatable of that name, once: all functions have it as their first upvalue.  index: what
** __index is, its second upvalue the methods; NULL: the methods themselves. */
void view_class (lua_State *L, const char *tname, const luaL_Reg *events,
                 const luaL_Reg *const methods[], lua_CFunction index);
int view_ipairs (lua_State *L);

extern const luaL_Reg view_range_methods[], view_copy_methods[], view_atomic_methods[],
  view_record_methods[];

/* ---- numbers ---- */

/* One load or store of its width where it is aligned, whatever the compiler thinks of the loop around
** it; bytes where it is not. */
#define VIEW_ACCESS(T)                                                             \
  static inline T view_load_##T(const char *p) {                                   \
    T x;                                                                           \
    if ((uintptr_t)p % sizeof x == 0) return *(const volatile T *)(const void *)p; \
    memcpy(&x, p, sizeof x);                                                       \
    return x;                                                                      \
  }                                                                                \
  static inline void view_store_##T(char *p, T x) {                                \
    if ((uintptr_t)p % sizeof x == 0) *(volatile T *)(void *)p = x;                \
    else memcpy(p, &x, sizeof x);                                                  \
  }
VIEW_ACCESS(int8_t)
VIEW_ACCESS(uint8_t)
VIEW_ACCESS(int16_t)
VIEW_ACCESS(uint16_t)
VIEW_ACCESS(int32_t)
VIEW_ACCESS(uint32_t)
VIEW_ACCESS(int64_t)
VIEW_ACCESS(uint64_t)
VIEW_ACCESS(float)
VIEW_ACCESS(double)
#undef VIEW_ACCESS

static inline void view_pushnumber (lua_State *L, enum view_kind kind, const char *p) {
  switch (kind) {
    case VIEW_I8: lua_pushinteger(L, view_load_int8_t(p)); break;
    case VIEW_U8: lua_pushinteger(L, view_load_uint8_t(p)); break;
    case VIEW_I16: lua_pushinteger(L, view_load_int16_t(p)); break;
    case VIEW_U16: lua_pushinteger(L, view_load_uint16_t(p)); break;
    case VIEW_I32: lua_pushinteger(L, view_load_int32_t(p)); break;
    case VIEW_U32: lua_pushinteger(L, view_load_uint32_t(p)); break;
    case VIEW_I64:
    case VIEW_U64: lua_pushinteger(L, view_load_int64_t(p)); break;
    case VIEW_F32: lua_pushnumber(L, (lua_Number)view_load_float(p)); break;
    default: lua_pushnumber(L, view_load_double(p)); break;
  }
}

/* false: the value at idx is none of this type, and nothing is stored. */
bool view_putfloat (lua_State *L, int idx, char *p);

/* Of what is a number. */
static inline bool view_putknown (lua_State *L, int idx, enum view_kind kind, char *p) {
  int ok = 1;
  if (kind == VIEW_F64) {
    view_store_double(p, lua_tonumber(L, idx));
    return true;
  }
  if (kind == VIEW_F32) return view_putfloat(L, idx, p);
  lua_Integer x = lua_tointegerx(L, idx, &ok);
  if (!ok) return false;
  switch (kind) {
    case VIEW_I8:
      if (x != (int8_t)x) return false;
      view_store_int8_t(p, (int8_t)x);
      break;
    case VIEW_U8:
      if (x != (uint8_t)x) return false;
      view_store_uint8_t(p, (uint8_t)x);
      break;
    case VIEW_I16:
      if (x != (int16_t)x) return false;
      view_store_int16_t(p, (int16_t)x);
      break;
    case VIEW_U16:
      if (x != (uint16_t)x) return false;
      view_store_uint16_t(p, (uint16_t)x);
      break;
    case VIEW_I32:
      if (x != (int32_t)x) return false;
      view_store_int32_t(p, (int32_t)x);
      break;
    case VIEW_U32:
      if (x != (uint32_t)x) return false;
      view_store_uint32_t(p, (uint32_t)x);
      break;
    default: view_store_int64_t(p, x); break; /* of u64 the same bits */
  }
  return true;
}

static inline bool view_putnumber (lua_State *L, int idx, enum view_kind kind, char *p) {
  return lua_type(L, idx) == LUA_TNUMBER && /* a numeral in a string is none */
         view_putknown(L, idx, kind, p);
}

static inline void view_push (lua_State *L, int self, const View *v, size_t i, bool live) {
  if (view_isnumber(v->t.kind)) view_pushnumber(L, v->t.kind, view_address(L, v, i));
  else view_pushother(L, self, v, i, live);
}

/* ---- addresses ---- */

static inline char *view_element (lua_State *L, const View *v) {
  int ok = lua_type(L, 2) == LUA_TNUMBER; /* no numeral in a string: it names a method */
  lua_Unsigned i = ok ? (lua_Unsigned)lua_tointegerx(L, 2, &ok) - 1 : 0;
  if (!ok || i >= v->n) view_noelement(L, 2, v);
  if (v->end > v->map->size) view_gone(L, v);
  return v->map->base + v->offset + i * v->stride;
}

static inline char *view_writable (lua_State *L, const View *v) {
  char *p = view_element(L, v);
  if (v->map->readonly) view_checkwrite(L, v);
  return p;
}

#pragma GCC visibility pop
#endif
