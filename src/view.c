/* view.c - typed windows on mapped memory: what they are made of, and their elements one by one.
** Everything is checked against the mapping as it is at that moment, never against what is in it.
** fork: the child's view shows the memory that its mapping shows.  close: a view has nothing to close;
** it keeps its mapping, and raises once that is closed.  SPDX-License-Identifier: MIT */
#include "view.h"

#include <math.h>

static const struct view_type types[] = {
  {VIEW_I8, 1, "i8", NULL},   {VIEW_U8, 1, "u8", NULL},    {VIEW_I16, 2, "i16", NULL},
  {VIEW_U16, 2, "u16", NULL}, {VIEW_I32, 4, "i32", NULL},  {VIEW_U32, 4, "u32", NULL},
  {VIEW_I64, 8, "i64", NULL}, {VIEW_U64, 8, "u64", NULL},  {VIEW_F32, 4, "f32", NULL},
  {VIEW_F64, 8, "f64", NULL}, {VIEW_U8, 1, "bytes", NULL},
};

bool view_findtype (const char *name, struct view_type *ret_t) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strcmp(types[i].name, name) == 0) {
      *ret_t = types[i];
      return true;
    }
  return false;
}

/* ---- what is wrong ---- */

const char *view_unknowntype (lua_State *L, const char *name, const char *also) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    luaL_addstring(&b, types[i].name);
    luaL_addstring(&b, ", ");
  }
  luaL_addstring(&b, also);
  luaL_pushresult(&b);
  return lua_pushfstring(L, "unknown type '%s': expected %s", name, lua_tostring(L, -1));
}

int view_noelement (lua_State *L, int arg, const View *v) {
  int ok;
  lua_Integer i = lua_tointegerx(L, arg, &ok);
  if (lua_type(L, arg) != LUA_TNUMBER) return luaL_typeerror(L, arg, "index");
  if (!ok) return luaL_argerror(L, arg, "number has no integer representation");
  return luaL_argerror(
    L, arg,
    lua_pushfstring(L, "index %I is out of bounds (length %I)", (LUAI_UACINT)i, (LUAI_UACINT)v->n));
}

const char *view_whynot (lua_State *L, int idx, const struct view_type *t) {
  bool number = view_isnumber(t->kind), string = view_isstring(t->kind);
  idx = lua_absindex(L, idx);
  int expected = number ? LUA_TNUMBER : string ? LUA_TSTRING : LUA_TTABLE;
  if (lua_type(L, idx) != expected)
    return lua_pushfstring(L, "%s expected for %s, got %s", lua_typename(L, expected), t->name,
                           luaL_typename(L, idx));
  if (string)
    return lua_pushfstring(L,
                           lua_rawlen(L, idx) > t->size
                             ? "string of %I bytes is too long for %s of %I"
                             : "string of %I bytes contains zeros, which %s of %I cannot",
                           (LUAI_UACINT)lua_rawlen(L, idx), t->name, (LUAI_UACINT)t->size);
  if (view_isinteger(t->kind) && !lua_tointegerx(L, idx, &expected) && !expected)
    return lua_pushfstring(L, "number has no integer representation, as %s needs", t->name);
  const char *text = luaL_tolstring(L, idx, NULL);
  return lua_pushfstring(L, "%s is out of range for %s", text, t->name);
}

int view_badvalue (lua_State *L, int arg, int idx, const struct view_type *t) {
  return luaL_argerror(L, arg, view_whynot(L, idx, t));
}

int view_gone (lua_State *L, const View *v) {
  return lipc_map_outside(L, 1, v->map, v->offset, v->end - v->offset);
}

void view_checkwrite (lua_State *L, const View *v) {
  if (v->map->readonly) luaL_argerror(L, 1, "read-only mapping");
}

/* ---- elements ---- */

bool view_putfloat (lua_State *L, int idx, char *p) {
  lua_Number x = lua_tonumber(L, idx);
  float f = (float)x;
  if (isinf(f) && !isinf(x)) return false; /* infinity may be stored, but does not arise */
  view_store_float(p, f);
  return true;
}

void view_take (lua_State *L, int self, const View *v, size_t i, int arg, int idx) {
  if (!view_isnumber(v->t.kind)) view_takeother(L, self, v, i, arg, idx);
  else if (!view_putnumber(L, idx, v->t.kind, view_target(L, v, i)))
    view_badvalue(L, arg, idx, &v->t);
}

void view_pushbytes (lua_State *L, const char *p, size_t n, enum view_kind kind) {
  char copy[256]; /* Lua looks at a short string more than once, and must not see it change */
  if (n > sizeof copy) {
    if (kind == VIEW_CHARS) n = strnlen(p, n);
    else if (kind == VIEW_BYTES)
      while (n > 0 && p[n - 1] == '\0') n--;
    if (n > sizeof copy) {
      lua_pushlstring(L, p, n);
      return;
    }
  }
  memcpy(copy, p, n);
  if (kind == VIEW_CHARS) n = strnlen(copy, n);
  else if (kind == VIEW_BYTES)
    while (n > 0 && copy[n - 1] == '\0') n--;
  lua_pushlstring(L, copy, n);
}

/* ---- making views ---- */

View *view_checkview (lua_State *L, int arg) {
  View *v = luaL_testudata(L, arg, VIEW_TNAME);
  if (v == NULL) luaL_typeerror(L, arg, VIEW_TNAME);
  return v;
}

View *view_new (lua_State *L, int map, struct lipc_map *m, struct view_type t, int layout,
                size_t offset, size_t n, size_t stride) {
  View *v = lua_newuserdatauv(L, sizeof *v, layout != 0 ? VIEW_UV_LAYOUT : VIEW_UV_MAP);
  *v = (View){.map = m, .offset = offset, .end = offset, .n = n, .stride = stride, .t = t};
  if (n > 0) v->end += (n - 1) * stride + t.size;
  lua_pushvalue(L, map);
  lua_setiuservalue(L, -2, VIEW_UV_MAP);
  if (layout != 0) {
    lua_pushvalue(L, layout);
    lua_setiuservalue(L, -2, VIEW_UV_LAYOUT);
  }
  luaL_setmetatable(L, VIEW_TNAME);
  return v;
}

View *view_newpart (lua_State *L, int idx, const View *v, struct view_type t, int layout,
                    size_t offset, size_t n, size_t stride) {
  lua_getiuservalue(L, idx, VIEW_UV_MAP);
  View *part = view_new(L, lua_gettop(L), v->map, t, layout, offset, n, stride);
  lua_remove(L, -2);
  return part;
}

/* of(mapping, type[, offset[, count]]) -> view: count elements from that byte on; by default from 0, as
** many as are whole up to the end.  It is also the method `view` of every object that maps memory */
static int l_view_of (lua_State *L) {
  struct lipc_map *m = lipc_checkmap(L, 1);
  const struct view_layout *l = view_testlayout(L, 2);
  struct view_type t = {.kind = VIEW_U8};
  if (l != NULL) t = view_recordtype(l);
  else if (lua_type(L, 2) != LUA_TSTRING) luaL_typeerror(L, 2, "type or layout");
  else if (!view_findtype(lua_tostring(L, 2), &t))
    luaL_argerror(L, 2, view_unknowntype(L, lua_tostring(L, 2), "or a layout"));
  lua_Integer offset = luaL_optinteger(L, 3, 0);
  luaL_argcheck(L, offset >= 0, 3, "offset must not be negative");
  if ((lua_Unsigned)offset > m->size) lipc_map_outside(L, 3, m, (size_t)offset, 0);
  lua_Unsigned fit = (m->size - (size_t)offset) / t.size;
  lua_Integer n = luaL_optinteger(L, 4, (lua_Integer)fit);
  luaL_argcheck(L, n >= 0, 4, "count must not be negative");
  if ((lua_Unsigned)n > fit)
    luaL_argerror(L, 4,
                  lua_pushfstring(L, "only %I elements of %s fit behind offset %I (%I bytes)",
                                  (LUAI_UACINT)fit, t.name, (LUAI_UACINT)offset,
                                  (LUAI_UACINT)m->size));
  view_new(L, 1, m, t, l != NULL ? 2 : 0, (size_t)offset, (size_t)n, t.size);
  return 1;
}

/* ---- methods ---- */

/* v[i] -> number, string, record ...; v.method */
static int l_view_index (lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(2));
    return 1;
  }
  const View *v = view_receiver(L);
  const char *p = view_element(L, v);
  if (view_isnumber(v->t.kind)) view_pushnumber(L, v->t.kind, p);
  else view_pushother(L, 1, v, (size_t)lua_tointeger(L, 2) - 1, true);
  view_done(L, 1, v->map);
  return 1;
}

/* v[i] = value */
static int l_view_newindex (lua_State *L) {
  const View *v = view_receiver(L);
  char *p = view_writable(L, v);
  if (!view_isnumber(v->t.kind)) view_takeother(L, 1, v, (size_t)lua_tointeger(L, 2) - 1, 3, 3);
  else if (!view_putnumber(L, 3, v->t.kind, p)) view_badvalue(L, 3, 3, &v->t);
  view_done(L, 1, v->map);
  return 0;
}

/* #v */
static int l_view_len (lua_State *L) {
  lua_pushinteger(L, (lua_Integer)view_self(L)->n);
  return 1;
}

/* tostring(v): type, length and place */
static int l_view_tostring (lua_State *L) {
  const View *v = view_self(L);
  lua_pushfstring(L, "%s (%I %s at %I%s)", VIEW_TNAME, (LUAI_UACINT)v->n, v->t.name,
                  (LUAI_UACINT)v->offset,
                  v->map->base == NULL    ? ", closed"
                  : v->end > v->map->size ? ", out of bounds"
                                          : "");
  return 1;
}

/* v:type() -> "i32" ... "bytes", or the layout of its records */
static int l_view_type (lua_State *L) {
  const View *v = view_self(L);
  if (v->t.kind == VIEW_RECORD) lua_getiuservalue(L, 1, VIEW_UV_LAYOUT);
  else lua_pushstring(L, v->t.name);
  return 1;
}

/* v:offset([i]) -> the byte in the mapping where element i (1) begins */
static int l_view_offset (lua_State *L) {
  const View *v = view_self(L);
  lua_Integer i = luaL_optinteger(L, 2, 1);
  if (i < 1 || (i > 1 && (lua_Unsigned)i > v->n)) view_noelement(L, 2, v);
  lua_pushinteger(L, (lua_Integer)(v->offset + (size_t)(i - 1) * v->stride));
  return 1;
}

/* v:stride() -> bytes from one element to the next */
static int l_view_stride (lua_State *L) {
  lua_pushinteger(L, (lua_Integer)view_self(L)->stride);
  return 1;
}

/* v:itemsize() -> bytes of an element */
static int l_view_itemsize (lua_State *L) {
  lua_pushinteger(L, (lua_Integer)view_self(L)->t.size);
  return 1;
}

/* v:map() -> the object whose memory it shows */
static int l_view_map (lua_State *L) {
  view_self(L);
  lua_getiuservalue(L, 1, VIEW_UV_MAP);
  return 1;
}

static const luaL_Reg view_events[] = {
  {"__newindex", l_view_newindex}, {"__len", l_view_len}, {"__tostring", l_view_tostring},
  {"__pairs", view_ipairs},        {NULL, NULL},
};

static const luaL_Reg own_methods[] = {
  {"type", l_view_type},         {"offset", l_view_offset}, {"stride", l_view_stride},
  {"itemsize", l_view_itemsize}, {"map", l_view_map},       {NULL, NULL},
};

void view_class (lua_State *L, const char *tname, const luaL_Reg *events,
                 const luaL_Reg *const methods[], lua_CFunction index) {
  bool made = luaL_getmetatable(L, tname) != LUA_TNIL;
  lua_pop(L, 1);
  if (made) return;
  lua_newtable(L);
  int mt = lua_gettop(L);
  lua_pushstring(L, tname);
  lua_setfield(L, mt, "__name");
  lua_pushliteral(L, "locked");
  lua_setfield(L, mt, "__metatable");
  lua_pushvalue(L, mt);
  lua_insert(L, mt);
  luaL_setfuncs(L, events, 1);
  if (methods != NULL) {
    if (index != NULL) lua_pushvalue(L, mt);
    lua_newtable(L);
    for (; *methods != NULL; methods++) {
      lua_pushvalue(L, mt);
      luaL_setfuncs(L, *methods, 1);
    }
    if (index != NULL) lua_pushcclosure(L, index, 2);
    lua_setfield(L, mt, "__index");
  }
  lua_setfield(L, LUA_REGISTRYINDEX, tname); /* known when it is whole */
}

static const luaL_Reg funcs[] = {
  {"of", l_view_of},
  {"layout", view_makelayout},
  {NULL, NULL},
};

int lipc_open_view (lua_State *L) {
  static const luaL_Reg *const methods[] = {own_methods,         view_range_methods,
                                            view_copy_methods,   view_atomic_methods,
                                            view_record_methods, NULL};
  view_class(L, VIEW_TNAME, view_events, methods, l_view_index);
  view_openlayout(L);
  view_openrecord(L);
  view_openwait(L);
  lipc_module(L, funcs);
  lua_pushinteger(L, VIEW_CACHELINE);
  lua_setfield(L, -2, "CACHELINE");
  return 1;
}
