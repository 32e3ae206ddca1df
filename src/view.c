/* view.c - typed windows on mapped memory: what they are made of, and their elements one by one.
** Everything is checked against the mapping as it is at that moment, never against what is in it.
** fork: the child's view shows the memory that its mapping shows.  close: a view has nothing to close;
** it keeps its mapping, and raises once that is closed.  SPDX-License-Identifier: MIT */
#include "view.h"

#include <float.h>
#include <math.h>

static const struct view_type types[] = {
  {VIEW_I8, 1, "i8", NULL},   {VIEW_U8, 1, "u8", NULL},    {VIEW_I16, 2, "i16", NULL},
  {VIEW_U16, 2, "u16", NULL}, {VIEW_I32, 4, "i32", NULL},  {VIEW_U32, 4, "u32", NULL},
  {VIEW_I64, 8, "i64", NULL}, {VIEW_U64, 8, "u64", NULL},  {VIEW_F32, 4, "f32", NULL},
  {VIEW_F64, 8, "f64", NULL}, {VIEW_U8, 1, "bytes", NULL},
};
#define NTYPES (sizeof types / sizeof *types)

/* ---- what is wrong ---- */

int view_noelement (lua_State *L, int arg, const View *v) {
  lua_Integer i = lua_tointeger(L, arg);
  if (lua_type(L, arg) != LUA_TNUMBER) return luaL_typeerror(L, arg, "index");
  if (!lua_isinteger(L, arg) && !lua_tointegerx(L, arg, NULL) && i == 0 &&
      lua_tonumber(L, arg) != 0)
    return luaL_argerror(L, arg, "index has no integer representation");
  return luaL_argerror(
    L, arg,
    lua_pushfstring(L, "index %I is out of bounds (length %I)", (LUAI_UACINT)i, (LUAI_UACINT)v->n));
}

int view_badvalue (lua_State *L, int arg, int idx, const struct view_type *t) {
  const char *expected = view_isnumber(t->kind)   ? "number"
                         : view_isstring(t->kind) ? "string"
                                                  : "table";
  int type = view_isnumber(t->kind)   ? LUA_TNUMBER
             : view_isstring(t->kind) ? LUA_TSTRING
                                      : LUA_TTABLE;
  if (lua_type(L, idx) != type)
    return luaL_argerror(
      L, arg,
      lua_pushfstring(L, "%s expected for %s, got %s", expected, t->name, luaL_typename(L, idx)));
  if (view_isinteger(t->kind) && !lua_isinteger(L, idx)) {
    int ok;
    lua_tointegerx(L, idx, &ok);
    if (!ok)
      return luaL_argerror(
        L, arg, lua_pushfstring(L, "number has no integer representation, as %s needs", t->name));
  }
  return luaL_argerror(
    L, arg, lua_pushfstring(L, "%s is out of range for %s", luaL_tolstring(L, idx, NULL), t->name));
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
  if (isinf(f) && !isinf(x)) return false; /* infinity itself may be stored, but does not arise */
  view_store_float(p, f);
  return true;
}

void view_push (lua_State *L, const View *v, size_t i, const char *p) {
  (void)i;
  view_pushnumber(L, v->t.kind, p);
}

void view_take (lua_State *L, int arg, int idx, const View *v, char *p) {
  if (!view_putnumber(L, idx, v->t.kind, p)) view_badvalue(L, arg, idx, &v->t);
}

/* ---- making views ---- */

struct view_type view_checktype (lua_State *L, int arg) {
  const char *name = luaL_checkstring(L, arg);
  for (size_t i = 0; i < NTYPES; i++)
    if (strcmp(types[i].name, name) == 0) return types[i];
  luaL_argerror(L, arg, lua_pushfstring(L, "unknown type '%s'", name));
  return types[0];
}

View *view_new (lua_State *L, int map, struct lipc_map *m, int layout, struct view_type t) {
  View *v = lua_newuserdatauv(L, sizeof *v, layout != 0 ? VIEW_UV_LAYOUT : VIEW_UV_MAP);
  *v = (View){.map = m, .stride = t.size, .t = t};
  lua_pushvalue(L, map);
  lua_setiuservalue(L, -2, VIEW_UV_MAP);
  if (layout != 0) {
    lua_pushvalue(L, layout);
    lua_setiuservalue(L, -2, VIEW_UV_LAYOUT);
  }
  luaL_setmetatable(L, VIEW_TNAME);
  return v;
}

/* of(mapping, type[, offset[, count]]) -> view: count elements from that byte on; by default from 0, as
** many as are whole up to the end.  It is also the method `view` of every object that maps memory */
static int l_view_of (lua_State *L) {
  struct lipc_map *m = lipc_checkmap(L, 1);
  struct view_type t = view_checktype(L, 2);
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
  View *v = view_new(L, 1, m, 0, t);
  v->offset = (size_t)offset;
  v->n = (size_t)n;
  v->end = v->offset + v->n * t.size;
  return 1;
}

/* ---- methods ---- */

/* v[i] -> number; v.method */
static int l_view_index (lua_State *L) {
  const View *v = view_self(L);
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(2));
    return 1;
  }
  const char *p = view_element(L, v);
  view_push(L, v, 0, p);
  lipc_map_done(L, 1, v->map);
  return 1;
}

/* v[i] = number */
static int l_view_newindex (lua_State *L) {
  const View *v = view_self(L);
  char *p = view_writable(L, v);
  view_take(L, 3, 3, v, p);
  lipc_map_done(L, 1, v->map);
  return 0;
}

/* #v */
static int l_view_len (lua_State *L) {
  lua_pushinteger(L, (lua_Integer)view_self(L)->n);
  return 1;
}

/* tostring(v) */
static int l_view_tostring (lua_State *L) {
  const View *v = view_self(L);
  lua_pushfstring(L, "%s (%I %s at %I%s)", VIEW_TNAME, (LUAI_UACINT)v->n, v->t.name,
                  (LUAI_UACINT)v->offset, v->end > v->map->size ? ", closed" : "");
  return 1;
}

static const luaL_Reg events[] = {
  {"__newindex", l_view_newindex},
  {"__len", l_view_len},
  {"__tostring", l_view_tostring},
  {NULL, NULL},
};

static void make_class (lua_State *L) {
  static const luaL_Reg *const methods[] = {view_range_methods};
  lua_newtable(L);
  int mt = lua_gettop(L);
  lua_pushliteral(L, VIEW_TNAME);
  lua_setfield(L, mt, "__name");
  lua_pushliteral(L, "locked");
  lua_setfield(L, mt, "__metatable");
  lua_pushvalue(L, mt);
  luaL_setfuncs(L, events, 1);
  lua_pushvalue(L, mt);
  lua_newtable(L);
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    lua_pushvalue(L, mt);
    luaL_setfuncs(L, methods[i], 1);
  }
  lua_pushcclosure(L, l_view_index, 2);
  lua_setfield(L, mt, "__index");
  lua_setfield(L, LUA_REGISTRYINDEX, VIEW_TNAME); /* known when it is whole */
}

static const luaL_Reg funcs[] = {
  {"of", l_view_of},
  {NULL, NULL},
};

int lipc_open_view (lua_State *L) {
  if (luaL_getmetatable(L, VIEW_TNAME) == LUA_TNIL) make_class(L);
  return lipc_module(L, funcs);
}
