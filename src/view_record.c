/* view_record.c - views: elements that are strings, records and arrays of these.
** SPDX-License-Identifier: MIT */
#include "view.h"

#define TNAME "lipc.view.record"

/* What v[i] of a view of records is: it shows that place in memory. */
typedef struct Record {
  struct lipc_map *map;
  size_t offset;
  const struct view_layout *layout;
} Record;

/* Where something lies: offsets, because what runs in between may close or move the mapping. */
struct place {
  int map; /* stack index of the mapping's object; 0 where none is needed */
  struct lipc_map *m;
  size_t offset;
  const struct view_type *t;
  int layout; /* stack index of the type's layout, or of something else where it has none */
};

static char *address (lua_State *L, const struct place *at) {
  return lipc_map_at(L, 1, at->m, at->offset, at->t->size);
}

/* For a store: what ran since the last look may have made it read-only. */
static char *target (lua_State *L, const struct place *at) {
  luaL_argcheck(L, !at->m->readonly, 1, "read-only mapping");
  return address(L, at);
}

/* The place of field i of a record, or of an array, whose own layout it pushes (or nil). */
static struct place inside (lua_State *L, const struct place *at, int i) {
  const struct view_field *f = &at->t->layout->f[i];
  luaL_checkstack(L, 8, NULL);
  if (f->t.layout == NULL) {
    lua_pushnil(L);
  } else {
    lua_getiuservalue(L, at->layout, LAYOUT_UV_INNER);
    lua_rawgeti(L, -1, i + 1);
    lua_remove(L, -2);
  }
  return (struct place){at->map, at->m, at->offset + f->offset, &f->t, lua_gettop(L)};
}

/* ---- reading ---- */

static void push_copy (lua_State *L, struct place at);

static void push_list (lua_State *L, struct place at, size_t n) {
  lua_createtable(L, n <= INT32_MAX ? (int)n : 0, 0);
  for (size_t i = 0; i < n; i++, at.offset += at.t->size) {
    push_copy(L, at);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

static void push_fields (lua_State *L, const struct place *at) {
  const struct view_layout *l = at->t->layout;
  lua_createtable(L, 0, l->n);
  int table = lua_gettop(L);
  lua_getiuservalue(L, at->layout, LAYOUT_UV_NAMES);
  for (int i = 0; i < l->n; i++) {
    struct place in = inside(L, at, i);
    lua_rawgeti(L, table + 1, i + 1);
    if (l->f[i].array) push_list(L, in, l->f[i].count);
    else push_copy(L, in);
    lua_rawset(L, table);
    lua_settop(L, table + 1);
  }
  lua_settop(L, table);
}

static void push_copy (lua_State *L, struct place at) {
  luaL_checkstack(L, 8, NULL);
  if (view_isnumber(at.t->kind)) {
    view_pushnumber(L, at.t->kind, address(L, &at));
  } else if (view_isstring(at.t->kind)) {
    view_pushbytes(L, address(L, &at), at.t->size, at.t->kind);
  } else if (at.t->kind == VIEW_RECORD) {
    push_fields(L, &at);
  } else {
    struct place in = inside(L, &at, 0);
    push_list(L, in, at.t->layout->f[0].count);
    lua_replace(L, in.layout);
  }
}

static void push_live (lua_State *L, struct place at) {
  if (at.t->kind == VIEW_ARRAY) {
    const struct view_field *f = &at.t->layout->f[0];
    struct place in = inside(L, &at, 0);
    view_new(L, at.map, at.m, f->t, f->t.layout != NULL ? in.layout : 0, at.offset, f->count,
             f->t.size);
    lua_replace(L, in.layout);
  } else if (at.t->kind == VIEW_RECORD) {
    Record *r = lua_newuserdatauv(L, sizeof *r, VIEW_UV_LAYOUT);
    *r = (Record){at.m, at.offset, at.t->layout};
    lua_pushvalue(L, at.map);
    lua_setiuservalue(L, -2, VIEW_UV_MAP);
    lua_pushvalue(L, at.layout);
    lua_setiuservalue(L, -2, VIEW_UV_LAYOUT);
    luaL_setmetatable(L, TNAME);
  } else {
    push_copy(L, at);
  }
}

/* ---- writing ---- */

/* These return NULL, or what is wrong with the value at idx: a message on the stack. */
static const char *take (lua_State *L, struct place at, int idx);

static const char *in_field (lua_State *L, const char *name, const char *wrong) {
  return lua_pushfstring(L, "field '%s': %s", name, wrong);
}

static const char *take_list (lua_State *L, struct place at, size_t n, int idx) {
  if (lua_type(L, idx) != LUA_TTABLE)
    return lua_pushfstring(L, "list expected, got %s", luaL_typename(L, idx));
  lua_Integer len = luaL_len(L, idx);
  if (len < 0 || (lua_Unsigned)len > n)
    return lua_pushfstring(L, "list of %I is too long (%I)", (LUAI_UACINT)len, (LUAI_UACINT)n);
  for (lua_Integer i = 1; i <= len; i++, at.offset += at.t->size) {
    lua_geti(L, idx, i);
    const char *wrong = take(L, at, lua_gettop(L));
    if (wrong != NULL) return lua_pushfstring(L, "[%I]: %s", (LUAI_UACINT)i, wrong);
    lua_pop(L, 1);
  }
  return NULL;
}

static const char *take_field (lua_State *L, const struct place *at, int i, int idx) {
  const struct view_field *f = &at->t->layout->f[i];
  int top = lua_gettop(L);
  struct place in = inside(L, at, i);
  const char *wrong = f->array ? take_list(L, in, f->count, idx) : take(L, in, idx);
  if (wrong == NULL) lua_settop(L, top);
  return wrong;
}

/* The fields that the table has; the others stay as they are. */
static const char *take_fields (lua_State *L, const struct place *at, int idx) {
  lua_getiuservalue(L, at->layout, LAYOUT_UV_NAMES);
  int names = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    lua_pushvalue(L, -2);
    int i = lua_type(L, -1) == LUA_TSTRING && lua_rawget(L, names) != LUA_TNIL
              ? (int)lua_tointeger(L, -1)
              : 0;
    if (i == 0) return lua_pushfstring(L, "no field '%s'", luaL_tolstring(L, names + 1, NULL));
    const char *wrong = take_field(L, at, i - 1, names + 2);
    if (wrong != NULL) return in_field(L, lua_tostring(L, names + 1), wrong);
    lua_settop(L, names + 1);
  }
  lua_settop(L, names - 1);
  return NULL;
}

static const char *take_string (lua_State *L, const struct place *at, int idx) {
  size_t len;
  if (lua_type(L, idx) != LUA_TSTRING) return view_whynot(L, idx, at->t);
  const char *s = lua_tolstring(L, idx, &len);
  if (len > at->t->size || (at->t->kind == VIEW_CHARS && memchr(s, '\0', len) != NULL))
    return view_whynot(L, idx, at->t);
  char *p = target(L, at);
  memcpy(p, s, len);
  memset(p + len, 0, at->t->size - len);
  return NULL;
}

static const char *take (lua_State *L, struct place at, int idx) {
  luaL_checkstack(L, 12, NULL);
  if (view_isnumber(at.t->kind))
    return view_putnumber(L, idx, at.t->kind, target(L, &at)) ? NULL : view_whynot(L, idx, at.t);
  if (view_isstring(at.t->kind)) return take_string(L, &at, idx);
  if (at.t->kind == VIEW_ARRAY) return take_field(L, &at, 0, idx);
  const Record *r = luaL_testudata(L, idx, TNAME);
  if (r != NULL && r->layout == at.t->layout) {
    const char *from = lipc_map_at(L, 1, r->map, r->offset, at.t->size);
    memmove(target(L, &at), from, at.t->size);
    view_done(L, 1, r->map);
    return NULL;
  }
  if (r != NULL) return lua_pushliteral(L, "record of another layout");
  if (lua_type(L, idx) != LUA_TTABLE) return view_whynot(L, idx, at.t);
  return take_fields(L, &at, idx);
}

/* ---- elements of views ---- */

/* The place of element i of the view at index self; pushes mapping and layout. */
static struct place element (lua_State *L, int self, const View *v, size_t i) {
  luaL_checkstack(L, 8, NULL);
  lua_getiuservalue(L, self, VIEW_UV_MAP);
  lua_getiuservalue(L, self, VIEW_UV_LAYOUT);
  int top = lua_gettop(L);
  return (struct place){top - 1, v->map, v->offset + i * v->stride, &v->t, top};
}

void view_pushother (lua_State *L, int self, const View *v, size_t i, bool live) {
  struct place at = element(L, self, v, i);
  if (live) push_live(L, at);
  else push_copy(L, at);
  lua_replace(L, at.map);
  lua_settop(L, at.map);
}

void view_takeother (lua_State *L, int self, const View *v, size_t i, int arg, int idx) {
  idx = lua_absindex(L, idx);
  struct place at = element(L, self, v, i);
  const char *wrong = take(L, at, idx);
  if (wrong != NULL) luaL_argerror(L, arg, wrong);
  lua_settop(L, at.map - 1);
}

/* The number of the field, from 0, whose name is argument 2; the layout is at index layout. */
static int checkfield (lua_State *L, int layout) {
  lua_getiuservalue(L, layout, LAYOUT_UV_NAMES);
  lua_pushvalue(L, 2);
  if (lua_type(L, 2) != LUA_TSTRING || lua_rawget(L, -2) == LUA_TNIL)
    luaL_argerror(L, 2, lua_pushfstring(L, "no field '%s'", luaL_tolstring(L, 2, NULL)));
  int i = (int)lua_tointeger(L, -1) - 1;
  lua_pop(L, 2);
  return i;
}

/* r:field(name[, i]) -> view: that field of all records, as a view of one element a record; i: of an
** array that element of it */
static int l_view_field (lua_State *L) {
  const View *v = view_self(L);
  luaL_argcheck(L, v->t.kind == VIEW_RECORD, 1, "not a view of records");
  lua_settop(L, 3);
  struct place at = element(L, 1, v, 0);
  int i = checkfield(L, at.layout);
  const struct view_field *f = &v->t.layout->f[i];
  struct place in = inside(L, &at, i);
  struct view_type t = f->t;
  if (!lua_isnil(L, 3)) {
    lua_Integer k = luaL_checkinteger(L, 3);
    luaL_argcheck(L, f->array, 3, "this field is no array");
    if (k < 1 || (lua_Unsigned)k > f->count)
      luaL_argerror(L, 3,
                    lua_pushfstring(L, "index %I is out of bounds (length %I)", (LUAI_UACINT)k,
                                    (LUAI_UACINT)f->count));
    in.offset += (size_t)(k - 1) * t.size;
  } else if (f->array) {
    t = view_arraytype(L, t, t.layout != NULL ? in.layout : 0, f->count);
  }
  view_newpart(L, 1, v, t, t.layout != NULL ? lua_gettop(L) : 0, in.offset, v->n, v->stride);
  return 1;
}

const luaL_Reg view_record_methods[] = {
  {"field", l_view_field},
  {NULL, NULL},
};

/* ---- records ---- */

/* The place of the record at index 1 whose layout and mapping it pushes. */
static struct place record (lua_State *L, struct view_type *t) {
  const Record *r = lipc_check(L, 1);
  *t = view_recordtype(r->layout);
  lua_getiuservalue(L, 1, VIEW_UV_MAP);
  lua_getiuservalue(L, 1, VIEW_UV_LAYOUT);
  int top = lua_gettop(L);
  return (struct place){top - 1, r->map, r->offset, t, top};
}

static void push_field (lua_State *L, const struct place *at, int i) {
  const struct view_field *f = &at->t->layout->f[i];
  struct place in = inside(L, at, i);
  if (f->array)
    view_new(L, at->map, at->m, f->t, f->t.layout != NULL ? in.layout : 0, in.offset, f->count,
             f->t.size);
  else push_live(L, in);
  lua_replace(L, in.layout);
}

/* record.field -> number, string, record; a view where the field is an array */
static int l_record_index (lua_State *L) {
  struct view_type t;
  struct place at = record(L, &t);
  int i = checkfield(L, at.layout);
  address(L, &at); /* also of what is not read now */
  push_field(L, &at, i);
  view_done(L, 1, at.m);
  return 1;
}

/* record.field = value; of an array a list, of a record a table */
static int l_record_newindex (lua_State *L) {
  struct view_type t;
  struct place at = record(L, &t);
  int i = checkfield(L, at.layout);
  if (at.m->readonly) luaL_argerror(L, 1, "read-only mapping");
  const char *wrong = take_field(L, &at, i, 3);
  if (wrong != NULL) luaL_argerror(L, 3, in_field(L, lua_tostring(L, 2), wrong));
  view_done(L, 1, at.m);
  return 0;
}

/* The iterator of pairs: (record, name) -> the next field's name and value */
static int next_field (lua_State *L) {
  struct view_type t;
  lua_settop(L, 2);
  struct place at = record(L, &t);
  int i = lua_isnil(L, 2) ? 0 : checkfield(L, at.layout) + 1;
  if (i >= t.layout->n) return 0;
  lua_getiuservalue(L, at.layout, LAYOUT_UV_NAMES);
  lua_rawgeti(L, -1, i + 1);
  push_field(L, &at, i);
  view_done(L, 1, at.m);
  return 2;
}

/* pairs(record) */
static int l_record_pairs (lua_State *L) {
  lipc_check(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, next_field, 1);
  lua_pushvalue(L, 1);
  return 2;
}

/* tostring(record) */
static int l_record_tostring (lua_State *L) {
  const Record *r = lipc_check(L, 1);
  lua_pushfstring(L, "%s (%I bytes at %I)", TNAME, (LUAI_UACINT)r->layout->size,
                  (LUAI_UACINT)r->offset);
  return 1;
}

void view_openrecord (lua_State *L) {
  static const luaL_Reg events[] = {
    {"__index", l_record_index},
    {"__newindex", l_record_newindex},
    {"__pairs", l_record_pairs},
    {"__tostring", l_record_tostring},
    {NULL, NULL},
  };
  view_class(L, TNAME, events, NULL, NULL);
}
