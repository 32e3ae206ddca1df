/* view_layout.c - views: how records lie in memory.  By default as the C compiler lays out a struct.
** SPDX-License-Identifier: MIT */
#include "view.h"

#include <stdarg.h>

#define TNAME "lipc.view.layout"

enum { MAXFIELDS = 4096, MAXDEPTH = 16 };

/* ---- sizes ---- */

#define ALIGNMENT(T) \
  offsetof(          \
    struct {         \
      char c;        \
      T x;           \
    },               \
    x)

/* In a struct, which on some machines is less than the size. */
static size_t alignment (const struct view_type *t) {
  static const size_t of_size[] = {
    [1] = 1, [2] = ALIGNMENT(int16_t), [4] = ALIGNMENT(int32_t), [8] = ALIGNMENT(int64_t)};
  if (t->kind == VIEW_F64) return ALIGNMENT(double);
  if (view_isnumber(t->kind)) return of_size[t->size];
  return t->layout != NULL ? t->layout->align : 1;
}

/* ---- layouts ---- */

static struct view_layout *new_layout (lua_State *L, int n) {
  size_t size = sizeof(struct view_layout) + (size_t)n * sizeof(struct view_field);
  struct view_layout *l = lua_newuserdatauv(L, size, LAYOUT_UV_INNER);
  memset(l, 0, size);
  l->align = 1;
  l->n = n;
  lua_newtable(L);
  lua_setiuservalue(L, -2, LAYOUT_UV_NAMES);
  lua_newtable(L);
  lua_setiuservalue(L, -2, LAYOUT_UV_INNER);
  luaL_setmetatable(L, TNAME);
  return l;
}

/* Keeps the layout at index inner for field i of the one on top. */
static void keep (lua_State *L, struct view_layout *l, int i, int inner) {
  lua_getiuservalue(L, -1, LAYOUT_UV_INNER);
  lua_pushvalue(L, inner);
  lua_rawseti(L, -2, i + 1);
  lua_pop(L, 1);
  if (l->f[i].t.layout->depth >= l->depth) l->depth = l->f[i].t.layout->depth + 1;
}

const struct view_layout *view_testlayout (lua_State *L, int arg) {
  return luaL_testudata(L, arg, TNAME);
}

struct view_type view_recordtype (const struct view_layout *l) {
  return (struct view_type){VIEW_RECORD, l->size, "record", l};
}

struct view_type view_arraytype (lua_State *L, struct view_type t, int layout, size_t n) {
  struct view_layout *l = new_layout(L, 1);
  l->size = n * t.size;
  l->align = alignment(&t);
  l->f[0] = (struct view_field){t, 0, n, true};
  if (layout != 0) keep(L, l, 0, layout);
  return (struct view_type){VIEW_ARRAY, l->size, "array", l};
}

/* ---- what the table says ---- */

/* Misuse: of field i of the layout at index 2, by name once that is known; 0: of the layout itself. */
static int wrong (lua_State *L, int i, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  const char *problem = lua_pushvfstring(L, fmt, args);
  va_end(args);
  if (i == 0) return luaL_argerror(L, 1, problem);
  lua_getiuservalue(L, 2, LAYOUT_UV_NAMES);
  if (lua_rawgeti(L, -1, i) == LUA_TSTRING)
    lua_pushfstring(L, "field '%s': %s", lua_tostring(L, -1), problem);
  else lua_pushfstring(L, "field %d: %s", i, problem);
  return luaL_argerror(L, 1, lua_tostring(L, -1));
}

/* a + b * c and the next multiple of align, a power of two. */
static size_t checked (lua_State *L, int i, size_t a, size_t b, size_t c, size_t align) {
  size_t r;
  if (__builtin_mul_overflow(b, c, &r) || __builtin_add_overflow(r, a, &r) || r > VIEW_MAXSIZE)
    wrong(L, i, "layout is too large");
  return (r + align - 1) & ~(align - 1);
}

/* The value on top, of this option of field i (0: of the layout): an integer.  Pops it. */
static lua_Integer integer_of (lua_State *L, int i, const char *name, lua_Integer lo) {
  const char *option = i > 0 ? "" : "option ";
  int ok = lua_type(L, -1) == LUA_TNUMBER;
  lua_Integer n = ok ? lua_tointegerx(L, -1, &ok) : 0;
  if (!ok) wrong(L, i, "%s'%s': integer expected, got %s", option, name, luaL_typename(L, -1));
  if (n < lo || (lua_Unsigned)n > VIEW_MAXSIZE)
    wrong(L, i, "%s'%s': %I is out of range", option, name, (LUAI_UACINT)n);
  lua_pop(L, 1);
  return n;
}

/* Option name of the table at idx, or dflt. */
static size_t opt (lua_State *L, int idx, int i, const char *name, lua_Integer lo, size_t dflt) {
  if (lua_getfield(L, idx, name) != LUA_TNIL) return (size_t)integer_of(L, i, name, lo);
  lua_pop(L, 1);
  return dflt;
}

/* The same, a power of two.  pad: or "cacheline". */
static size_t opt_power (lua_State *L, int idx, int i, const char *name) {
  size_t n = VIEW_CACHELINE;
  bool word = lua_getfield(L, idx, name) == LUA_TSTRING && strcmp(name, "pad") == 0;
  if (word && strcmp(lua_tostring(L, -1), "cacheline") != 0)
    wrong(L, i, "unknown pad '%s'", lua_tostring(L, -1));
  lua_pop(L, 1);
  if (!word) n = opt(L, idx, i, name, 1, 1);
  if ((n & (n - 1)) != 0 || n > 1u << 30)
    wrong(L, i, "%s'%s': %I is no power of two", i > 0 ? "" : "option ", name, (LUAI_UACINT)n);
  return n;
}

/* Raises on a key of the table at idx, of field i, that is neither of 1 to n nor an option. */
static void check_keys (lua_State *L, int idx, int i, lua_Integer n, const char *const names[]) {
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    lua_pop(L, 1);
    bool known = lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 1 && lua_tointeger(L, -1) <= n;
    for (int k = 0; !known && lua_type(L, -1) == LUA_TSTRING && names[k] != NULL; k++)
      known = strcmp(names[k], lua_tostring(L, -1)) == 0;
    if (!known) wrong(L, i, "unknown option '%s'", luaL_tolstring(L, -1, NULL));
  }
}

/* The counts of the field whose table is on top: how many. */
static int read_counts (lua_State *L, int i, size_t counts[MAXDEPTH]) {
  int type = lua_geti(L, -1, 3), n = 0;
  if (type == LUA_TTABLE) {
    lua_Integer len = luaL_len(L, -1);
    if (len < 1 || len >= MAXDEPTH) wrong(L, i, "too many dimensions, or none");
    for (; n < (int)len; n++) {
      lua_geti(L, -1, n + 1);
      counts[n] = (size_t)integer_of(L, i, "count", 1);
    }
    lua_pop(L, 1);
  } else if (type != LUA_TNIL) {
    counts[n++] = (size_t)integer_of(L, i, "count", 1);
  } else {
    lua_pop(L, 1);
  }
  return n;
}

/* The type of the field whose table is on top; leaves its layout, or nil, on top of that. */
static void read_type (lua_State *L, int i, struct view_field *f) {
  size_t counts[MAXDEPTH];
  int n = read_counts(L, i, counts), type = lua_geti(L, -1, 2);
  const struct view_layout *inner = view_testlayout(L, lua_gettop(L));
  const char *name = type == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (inner != NULL) f->t = view_recordtype(inner);
  else if (strcmp(name, "bytes") == 0)
    f->t = (struct view_type){VIEW_BYTES, n > 0 ? counts[--n] : 1, "bytes", NULL};
  else if (strcmp(name, "char") == 0)
    f->t = (struct view_type){VIEW_CHARS, n > 0 ? counts[--n] : 1, "char", NULL};
  else if (type != LUA_TSTRING || !view_findtype(name, &f->t))
    wrong(L, i, "%s", view_unknowntype(L, luaL_tolstring(L, -1, NULL), "char or a layout"));
  if (inner == NULL) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  for (; n > 1; n--) { /* rows of rows, the last count the innermost */
    checked(L, i, 0, counts[n - 1], f->t.size, 1);
    f->t = view_arraytype(L, f->t, f->t.layout != NULL ? lua_gettop(L) : 0, counts[n - 1]);
    lua_remove(L, -2);
  }
  f->array = n == 1;
  f->count = n == 1 ? counts[0] : 1;
}

/* The name of the field whose table is on top, for number i of the layout at index 2. */
static void read_name (lua_State *L, int i) {
  lua_getiuservalue(L, 2, LAYOUT_UV_NAMES);
  if (lua_geti(L, -2, 1) != LUA_TSTRING) wrong(L, i, "name expected, got %s", luaL_typename(L, -1));
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) != LUA_TNIL) wrong(L, i, "another one is called '%s'", lua_tostring(L, -2));
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  lua_rawseti(L, -3, i);
  lua_pushinteger(L, i);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

/* layout{ {name, type[, count][, align=][, offset=][, pad=]}, ... [, align=][, size=][, packed=][, pad=]}
** -> layout: of records with these fields, as a C compiler places them.  See the API text */
int view_makelayout (lua_State *L) {
  static const char *const options[] = {"align", "size", "packed", "pad", NULL};
  static const char *const field_options[] = {"align", "offset", "pad", NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_Integer n = luaL_len(L, 1);
  luaL_argcheck(L, 1 <= n && n <= MAXFIELDS, 1, "no fields, or too many");
  check_keys(L, 1, 0, n, options);
  bool packed = lipc_optbool(L, 1, "packed", false);
  size_t pad = opt_power(L, 1, 0, "pad"), align = opt_power(L, 1, 0, "align"), at = 0, end = 0;
  struct view_layout *l = new_layout(L, (int)n);
  if (pad > align) align = pad;
  for (int i = 1; i <= (int)n; i++) {
    struct view_field *f = &l->f[i - 1];
    if (lua_geti(L, 1, i) != LUA_TTABLE)
      wrong(L, i, "table expected, got %s", luaL_typename(L, -1));
    read_name(L, i);
    check_keys(L, 3, i, 3, field_options);
    read_type(L, i, f);
    size_t a = opt_power(L, 3, i, "align"), p = opt_power(L, 3, i, "pad");
    if (p > a) a = p;
    if (!packed && alignment(&f->t) > a) a = alignment(&f->t);
    if (a > align) align = a;
    f->offset = opt(L, 3, i, "offset", 0, checked(L, i, at, 0, 0, a));
    at = checked(L, i, f->offset, f->count, f->t.size, p);
    if (at > end) end = at;
    if (f->t.layout != NULL) {
      if (f->t.layout->depth >= MAXDEPTH) wrong(L, i, "layouts are nested too deeply");
      lua_insert(L, 3); /* under the field's table */
      lua_settop(L, 3);
      lua_pushvalue(L, 2);
      keep(L, l, i - 1, 3);
    }
    lua_settop(L, 2);
  }
  l->align = align;
  l->size = opt(L, 1, 0, "size", 1, checked(L, 0, end, 0, 0, align));
  if (l->size < end) wrong(L, 0, "option 'size': the fields need %I bytes", (LUAI_UACINT)end);
  return 1;
}

/* ---- methods ---- */

static const struct view_layout *self (lua_State *L) { return lipc_check(L, 1); }

/* l:size() -> bytes of a record */
static int l_layout_size (lua_State *L) {
  lua_pushinteger(L, (lua_Integer)self(L)->size);
  return 1;
}

/* l:align() -> bytes: of what a record's address should be a multiple */
static int l_layout_align (lua_State *L) {
  lua_pushinteger(L, (lua_Integer)self(L)->align);
  return 1;
}

/* l:offset(name) -> the byte of a record where that field begins */
static int l_layout_offset (lua_State *L) {
  const struct view_layout *l = self(L);
  lua_getiuservalue(L, 1, LAYOUT_UV_NAMES);
  luaL_checkstring(L, 2);
  lua_pushvalue(L, 2);
  if (lua_type(L, 2) != LUA_TSTRING || lua_rawget(L, -2) == LUA_TNIL)
    luaL_argerror(L, 2, lua_pushfstring(L, "no field '%s'", lua_tostring(L, 2)));
  lua_pushinteger(L, (lua_Integer)l->f[lua_tointeger(L, -1) - 1].offset);
  return 1;
}

/* l:fields() -> {{name=, type=, offset=, size=, count=}, ...} in their order; count: of arrays */
static int l_layout_fields (lua_State *L) {
  const struct view_layout *l = self(L);
  lua_createtable(L, l->n, 0);
  lua_getiuservalue(L, 1, LAYOUT_UV_NAMES);
  lua_getiuservalue(L, 1, LAYOUT_UV_INNER);
  int t = lua_gettop(L) - 2;
  for (int i = 0; i < l->n; i++) {
    const struct view_field *f = &l->f[i];
    lua_createtable(L, 0, 5);
    lua_rawgeti(L, t + 1, i + 1);
    lua_setfield(L, -2, "name");
    if (f->t.kind == VIEW_RECORD) lua_rawgeti(L, t + 2, i + 1);
    else lua_pushstring(L, f->t.name);
    lua_setfield(L, -2, "type");
    lipc_setinteger(L, "offset", (lua_Integer)f->offset);
    lipc_setinteger(L, "size", (lua_Integer)(f->count * f->t.size));
    if (f->array) lipc_setinteger(L, "count", (lua_Integer)f->count);
    lua_rawseti(L, t, i + 1);
  }
  lua_settop(L, t);
  return 1;
}

/* tostring(l) */
static int l_layout_tostring (lua_State *L) {
  const struct view_layout *l = self(L);
  lua_pushfstring(L, "%s (%d fields, %I bytes)", TNAME, l->n, (LUAI_UACINT)l->size);
  return 1;
}

void view_openlayout (lua_State *L) {
  static const luaL_Reg methods[] = {
    {"size", l_layout_size},
    {"align", l_layout_align},
    {"offset", l_layout_offset},
    {"fields", l_layout_fields},
    {NULL, NULL},
  };
  static const luaL_Reg *const all_methods[] = {methods, NULL};
  static const luaL_Reg events[] = {{"__tostring", l_layout_tostring}, {NULL, NULL}};
  view_class(L, TNAME, events, all_methods, NULL);
}
