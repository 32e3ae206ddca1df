/* process_options.c - reads the table that describes a child: everything is checked, copied and made
** beforehand, because between clone and exec nothing can be.  SPDX-License-Identifier: MIT */
#include "process.h"

#include <math.h>
#include <string.h>

struct opening {
  int move; /* the move that gets the descriptor */
  const char *path, *mode;
  int fd;
};

/* While options are read: where they are, and a table that keeps alive what was made of them. */
struct reader {
  lua_State *L;
  struct plan *p;
  int idx, anchor;
  size_t room; /* for so many descriptors */
};

#define SAME_AS(n) (-2 - (n)) /* as `from` of a move, until files are open: whatever n will be */
#define TO_OPEN    (-1)

static const char *const stdio[] = {"stdin", "stdout", "stderr"};

#define refuse(r, ...) luaL_argerror((r)->L, (r)->idx, lua_pushfstring((r)->L, __VA_ARGS__))

static void keep (struct reader *r) {
  lua_rawseti(r->L, r->anchor, (lua_Integer)lua_rawlen(r->L, r->anchor) + 1);
}

static void *block (struct reader *r, size_t n, size_t size) {
  void *b = lua_newuserdatauv(r->L, n * size, 0);
  memset(b, 0, n * size);
  keep(r);
  return b;
}

/* Pushes the option; false, with nothing pushed, when it is not there. */
static bool given (struct reader *r, const char *name) {
  if (lua_getfield(r->L, r->idx, name) != LUA_TNIL) return true;
  lua_pop(r->L, 1);
  return false;
}

static void expect (struct reader *r, bool ok, const char *name, const char *what) {
  if (!ok) refuse(r, "option '%s': %s expected, got %s", name, what, luaL_typename(r->L, -1));
}

/* The string or number on top, which becomes a string that lives as long as the plan; pops it. */
static const char *text (struct reader *r, const char *what) {
  size_t len;
  if (lua_type(r->L, -1) != LUA_TSTRING && lua_type(r->L, -1) != LUA_TNUMBER)
    refuse(r, "%s: string expected, got %s", what, luaL_typename(r->L, -1));
  const char *s = lua_tolstring(r->L, -1, &len);
  if (strlen(s) != len) refuse(r, "%s: string contains zeros", what);
  keep(r);
  return s;
}

/* Something comes after a nil in the list. */
static void refuse_hole (struct reader *r) {
  lua_Integer i = 1;
  while (lua_rawgeti(r->L, r->idx, i) != LUA_TNIL) {
    lua_pop(r->L, 1);
    i++;
  }
  refuse(r, "the argument list has a hole at %d", (int)i);
}

static void check_names (struct reader *r, bool fork) {
  static const char *const names[] = {"stdin",     "stdout",        "stderr",    "fds",  "cwd",
                                      "pgroup",    "session",       "umask",     "nice", "limits",
                                      "keep_mask", "kill_on_close", "pdeathsig", NULL};
  static const char *const spawns[] = {"env", "env_add", "search", "arg0", NULL};
  static const char *const forks[] = {"threads", NULL};
  lua_State *L = r->L;
  lua_Integer n = fork ? 0 : (lua_Integer)lua_rawlen(L, r->idx);
  lua_pushnil(L);
  while (lua_next(L, r->idx)) {
    lua_pop(L, 1);
    const char *const *lists[] = {names, fork ? forks : spawns};
    bool known = lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 1 && lua_tointeger(L, -1) <= n;
    for (int k = 0; k < 2 && lua_type(L, -1) == LUA_TSTRING; k++)
      for (const char *const *s = lists[k]; *s != NULL && !known; s++)
        known = strcmp(*s, lua_tostring(L, -1)) == 0;
    if (!known && !fork && lua_isinteger(L, -1) && lua_tointeger(L, -1) > n) refuse_hole(r);
    if (!known) refuse(r, "unknown option '%s'", luaL_tolstring(L, -1, NULL));
  }
  bool plain = !lua_getmetatable(L, r->idx);
  if (!plain) { /* a plain copy: what metamethods make up has to live as long as the plan */
    lua_pop(L, 1);
    lua_newtable(L);
    lipc_copyopts(L, r->idx, names);
    lipc_copyopts(L, r->idx, fork ? forks : spawns);
  }
  for (lua_Integer i = 1; i <= n; i++) { /* the length of a table with gaps may be any number */
    if (lua_rawgeti(L, r->idx, i) == LUA_TNIL) refuse_hole(r);
    if (plain) lua_pop(L, 1);
    else lua_rawseti(L, -2, i);
  }
  if (!plain) lua_replace(L, r->idx);
}

/* ---- program, arguments, environment ---- */

static void read_argv (struct reader *r) {
  lua_State *L = r->L;
  size_t n = lua_rawlen(L, r->idx);
  char what[48];
  if (n == 0) refuse(r, "program expected at index 1");
  const char **argv = block(r, n + 1, sizeof *argv);
  for (size_t i = 0; i < n; i++) {
    if (lua_rawgeti(L, r->idx, (lua_Integer)i + 1) == LUA_TNIL) refuse_hole(r);
    lua_pushfstring(L, "index %d", (int)i + 1);
    strncpy(what, lua_tostring(L, -1), sizeof what - 1)[sizeof what - 1] = '\0';
    lua_pop(L, 1);
    argv[i] = text(r, what);
  }
  r->p->child.file = argv[0];
  argv[0] = lipc_optstring(L, r->idx, "arg0", argv[0]);
  r->p->child.argv = (char *const *)argv;
}

/* How many entries the table on top has, whose keys must be names of variables. */
static size_t count_variables (struct reader *r, const char *option, bool removals) {
  lua_State *L = r->L;
  size_t n = 0, len;
  expect(r, lua_istable(L, -1), option, "table");
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1), n++) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : NULL;
    if (key == NULL || len == 0 || strlen(key) != len || strchr(key, '=') != NULL)
      refuse(r, "option '%s': not the name of a variable: %s", option, luaL_tolstring(L, -2, NULL));
    bool ok = lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TNUMBER ||
              (removals && lua_isboolean(L, -1) && !lua_toboolean(L, -1));
    if (!ok)
      refuse(r, "option '%s': %s: string expected, got %s", option, key, luaL_typename(L, -1));
  }
  return n;
}

/* A table that was counted has more entries now: some finaliser has put them there. */
static void changed (struct reader *r, const char *option) {
  refuse(r, "option '%s': changed while it was read", option);
}

/* Appends "NAME=value" for each entry of the table on top. */
static void add_variables (struct reader *r, const char **envp, size_t n, size_t max,
                           const char *option) {
  lua_State *L = r->L;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_isboolean(L, -1)) continue;
    if (n == max) changed(r, option);
    lua_pushvalue(L, -2);
    lua_pushliteral(L, "=");
    lua_pushvalue(L, -3);
    lua_concat(L, 3);
    envp[n++] = text(r, option);
  }
}

static void read_env (struct reader *r) {
  lua_State *L = r->L;
  if (given(r, "env")) {
    size_t n = count_variables(r, "env", false);
    const char **envp = block(r, n + 1, sizeof *envp);
    add_variables(r, envp, 0, n, "env");
    r->p->child.envp = (char *const *)envp;
    lua_pop(L, 1);
  }
  if (!given(r, "env_add")) return;
  if (r->p->child.envp != NULL) refuse(r, "options 'env' and 'env_add' exclude each other");
  size_t n = 0, added = count_variables(r, "env_add", true), kept = 0;
  char **ours = lipcsys_environ();
  while (ours != NULL && ours[kept] != NULL) kept++;
  const char **envp = block(r, added + kept + 1, sizeof *envp);
  for (size_t i = 0; i < kept && ours[i] != NULL; i++) {
    const char *eq = strchr(ours[i], '=');
    lua_pushlstring(L, ours[i], eq != NULL ? (size_t)(eq - ours[i]) : strlen(ours[i]));
    bool replaced = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 1);
    if (replaced) continue;
    lua_pushstring(L, ours[i]); /* another thread may change the environment meanwhile */
    envp[n++] = text(r, "env_add");
  }
  add_variables(r, envp, n, added + kept, "env_add");
  r->p->child.envp = (char *const *)envp;
  lua_pop(L, 1);
}

/* search: the directories in which the program is looked for; default: PATH of the child. */
static void read_search (struct reader *r) {
  struct lipcsys_child *c = &r->p->child;
  char *const *envp = c->envp != NULL ? c->envp : (char *const *)lipcsys_environ();
  c->path = lipcsys_defaultpath();
  for (; envp != NULL && *envp != NULL; envp++)
    if (strncmp(*envp, "PATH=", 5) == 0) c->path = *envp + 5;
  if (!given(r, "search")) return;
  if (lua_isboolean(r->L, -1)) {
    if (!lua_toboolean(r->L, -1)) c->path = NULL;
    lua_pop(r->L, 1);
  } else {
    expect(r, lua_type(r->L, -1) == LUA_TSTRING, "search", "boolean or string");
    c->path = text(r, "option 'search'");
  }
}

/* ---- descriptors ---- */

static struct lipcsys_move *add_move (struct reader *r, int from, int to) {
  struct lipcsys_move *m = &r->p->moves[r->p->child.nmoves++];
  m->from = from;
  m->to = to;
  return m;
}

static void add_opening (struct reader *r, int to, const char *path, const char *mode) {
  struct opening *o = &r->p->openings[r->p->nopenings++];
  o->move = r->p->child.nmoves;
  o->path = path;
  o->mode = mode;
  o->fd = -1;
  add_move(r, TO_OPEN, to);
}

static void add_handle (struct reader *r, struct lipc_handle *h, int to) {
  Stream *s = lipc_stream_test(h);
  if (s != NULL && s->wend > s->wpos) (void)lipc_stream_flushsome(s); /* ours comes first */
  if (h->io & LIPC_IO_NONBLOCK) r->p->handles[r->p->nhandles++] = h;
  add_move(r, h->fd, to);
}

/* A new pipe: the child's end is kept until it has started, ours goes into the table of streams.
** 0, or the results of a failure. */
static int add_pipe (struct reader *r, int to, int streams) {
  lua_State *L = r->L;
  int top = lua_gettop(L), theirs = to == 0 ? 1 : 2;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_call(L, 0, LUA_MULTRET);
  if (lua_isnil(L, top + 1)) return lua_gettop(L) - top;
  struct lipc_handle *h = lua_touserdata(L, top + theirs),
                     *mine = lua_touserdata(L, top + 3 - theirs);
  lua_pushvalue(L, top + 3 - theirs);
  lua_setfield(L, streams, stdio[to]);
  lua_pushvalue(L, top + theirs);
  keep(r);
  r->p->theirs[to] = h;
  r->p->ours[to] = mine;
  lua_settop(L, top);
  add_handle(r, h, to);
  return 0;
}

static void add_file (struct reader *r, int to, const char *name) {
  lua_State *L = r->L;
  const char *mode = to == 0 ? "r" : to <= 2 ? "w" : NULL;
  static const char *const modes[] = {"r", "w", "a", "r+", "x", NULL};
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pop(L, 1);
    const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    if (strcmp(key, "path") != 0 && strcmp(key, "mode") != 0)
      refuse(r, "option '%s': unknown field '%s'", name, luaL_tolstring(L, -1, NULL));
  }
  if (lua_getfield(L, -1, "mode") == LUA_TSTRING) {
    mode = lua_tostring(L, -1);
    int i = 0;
    while (modes[i] != NULL && strcmp(modes[i], mode) != 0) i++;
    mode = modes[i];
  } else if (!lua_isnil(L, -1)) {
    mode = NULL;
  }
  lua_pop(L, 1);
  if (mode == NULL)
    refuse(r, "option '%s': mode must be \"r\", \"w\", \"a\", \"r+\" or \"x\"", name);
  lua_getfield(L, -1, "path");
  if (lua_type(L, -1) != LUA_TSTRING) refuse(r, "option '%s': path expected", name);
  add_opening(r, to, text(r, name), mode);
}

static void add_object (struct reader *r, int to, const char *name) {
  lua_State *L = r->L;
  luaL_Stream *f = luaL_testudata(L, -1, LUA_FILEHANDLE);
  struct lipc_handle *h = lipc_testany(L, lua_gettop(L));
  if (f != NULL && f->closef == NULL) refuse(r, "option '%s': closed file", name);
  if (h != NULL && h->fd == LIPC_CLOSED) refuse(r, "option '%s': closed %s", name, h->cls->label);
  if (h != NULL && h->fd < 0) refuse(r, "option '%s': %s has no descriptor", name, h->cls->label);
  if (h != NULL) {
    add_handle(r, h, to);
  } else {
    expect(r, f != NULL, name, "\"pipe\", \"null\", descriptor, file, lipc object or table");
    fflush(f->f);
    add_move(r, fileno(f->f), to);
  }
}

/* What the child is to have as descriptor `to`: the value on top, which is popped. */
static int add_descriptor (struct reader *r, int to, const char *name, int streams) {
  lua_State *L = r->L;
  int failed = 0;
  if ((size_t)r->p->child.nmoves == r->room) changed(r, name);
  for (int i = 0; i < r->p->child.nmoves; i++)
    if (r->p->moves[i].to == to) refuse(r, "descriptor %d is given twice", to);
  switch (lua_type(L, -1)) {
    case LUA_TSTRING: {
      const char *s = lua_tostring(L, -1);
      int same = 0;
      while (same < 3 && strcmp(s, stdio[same]) != 0) same++;
      if (strcmp(s, "null") == 0) add_opening(r, to, "/dev/null", "r+");
      else if (strcmp(s, "pipe") == 0 && to <= 2) failed = add_pipe(r, to, streams);
      else if (same < 3 && same != to) add_move(r, SAME_AS(same), to);
      else if (strcmp(s, "inherit") == 0) {
        if (to > 2) add_move(r, to, to);
      } else {
        refuse(r,
               "option '%s': invalid value '%s': \"inherit\", \"null\", %s\"stdin\", \"stdout\", "
               "\"stderr\", a descriptor, a file, an lipc object or {path = ...} expected",
               name, s, to <= 2 ? "\"pipe\", " : "");
      }
      break;
    }
    case LUA_TNUMBER: {
      lua_Integer fd = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
      if (fd < 0 || fd > INT32_MAX) refuse(r, "option '%s': not a descriptor", name);
      add_move(r, (int)fd, to);
      break;
    }
    case LUA_TTABLE: add_file(r, to, name); break;
    default: add_object(r, to, name);
  }
  if (failed != 0) return failed;
  lua_pop(L, 1);
  return 0;
}

static int read_descriptors (struct reader *r, int streams) {
  lua_State *L = r->L;
  struct plan *p = r->p;
  size_t n = 3;
  if (given(r, "fds")) {
    expect(r, lua_istable(L, -1), "fds", "table");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1), n++)
      if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 0 || lua_tointeger(L, -2) >= 1 << 20)
        refuse(r, "option 'fds': not a descriptor: %s", luaL_tolstring(L, -2, NULL));
    lua_pop(L, 1);
  }
  r->room = n;
  p->child.moves = p->moves = block(r, n, sizeof *p->moves);
  p->openings = block(r, n, sizeof *p->openings);
  p->handles = block(r, n, sizeof *p->handles);
  for (int to = 0; to < 3; to++) {
    int failed = given(r, stdio[to]) ? add_descriptor(r, to, stdio[to], streams) : 0;
    if (failed != 0) return failed;
  }
  if (given(r, "fds")) {
    for (lua_pushnil(L); lua_next(L, -2);) {
      int failed = add_descriptor(r, (int)lua_tointeger(L, -2), "fds", streams);
      if (failed != 0) return failed;
    }
    lua_pop(L, 1);
  }
  bool moved[3] = {false, false, false}, same[3] = {false, false, false};
  for (int i = 0; i < p->child.nmoves; i++) {
    if (p->moves[i].to > 2) continue;
    moved[p->moves[i].to] = true;
    same[p->moves[i].to] = p->moves[i].from < TO_OPEN;
  }
  for (int i = 0; i < p->child.nmoves; i++)
    if (p->moves[i].from < TO_OPEN && same[SAME_AS(p->moves[i].from)])
      refuse(r, "option '%s': is itself the same as another", stdio[SAME_AS(p->moves[i].from)]);
  p->inherits_output = !moved[1] || !moved[2];
  return 0;
}

/* ---- the rest ---- */

static uint64_t limit_value (struct reader *r, const char *name) {
  lua_State *L = r->L;
  bool number = lua_type(L, -1) == LUA_TNUMBER; /* a string is no integer here */
  int ok = 0;
  lua_Integer n = number ? lua_tointegerx(L, -1, &ok) : 0;
  uint64_t v = ok ? (uint64_t)n : UINT64_MAX;
  bool none = number ? lua_tonumber(L, -1) == HUGE_VAL
                     : lua_isstring(L, -1) && strcmp(lua_tostring(L, -1), "unlimited") == 0;
  if (ok ? n < 0 : !none) refuse(r, "option 'limits': %s: integer or \"unlimited\" expected", name);
  lua_pop(L, 1);
  return v;
}

static void read_limits (struct reader *r) {
  lua_State *L = r->L;
  size_t n = 0;
  if (!given(r, "limits")) return;
  expect(r, lua_istable(L, -1), "limits", "table");
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) n++;
  struct lipcsys_rlimit *l = block(r, n + 1, sizeof *l);
  r->p->child.limits = l;
  r->p->limitnames = block(r, n + 1, sizeof *r->p->limitnames);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1), l++) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (lipcsys_rlimit(name, &l->resource) < 0)
      refuse(r, "option 'limits': no such limit: %s", luaL_tolstring(L, -2, NULL));
    if ((size_t)(l - r->p->child.limits) == n) changed(r, "limits");
    r->p->limitnames[l - r->p->child.limits] = name;
    if (lua_istable(L, -1)) {
      lua_rawgeti(L, -1, 1);
      l->soft = limit_value(r, name);
      lua_rawgeti(L, -1, 2);
      l->hard = limit_value(r, name);
    } else {
      lua_pushvalue(L, -1);
      l->soft = l->hard = limit_value(r, name);
    }
  }
  r->p->child.nlimits = (int)n;
  lua_pop(L, 1);
}

static int read_umask (struct reader *r) {
  lua_State *L = r->L;
  if (!given(r, "umask")) return -1;
  lua_Integer n = lipc_tomode(L, -1, 0777);
  if (n < 0) refuse(r, "option 'umask': octal string or integer up to 511 expected");
  lua_pop(L, 1);
  return (int)n;
}

static int read_pgroup (struct reader *r) {
  lua_State *L = r->L;
  lua_Integer n = -1;
  if (!given(r, "pgroup")) return -1;
  const Process *other = lipc_test(L, lua_gettop(L), &lipc_process_class);
  if (other != NULL) n = other->pid;
  else if (lua_isboolean(L, -1)) n = lua_toboolean(L, -1) ? 0 : -1;
  else if (lua_isinteger(L, -1) && lua_tointeger(L, -1) > 0) n = lua_tointeger(L, -1);
  else expect(r, false, "pgroup", "boolean, positive integer or process");
  if (n > INT32_MAX) refuse(r, "option 'pgroup': out of range");
  lua_pop(L, 1);
  return (int)n;
}

static int read_deathsig (struct reader *r) {
  int n = 0;
  if (!given(r, "pdeathsig")) return 0;
  expect(r, lua_type(r->L, -1) == LUA_TSTRING, "pdeathsig", "name of a signal");
  if (lipc_process_signal(r->L, -1, &n) < 0)
    refuse(r, "option 'pdeathsig': no such signal: %s", lua_tostring(r->L, -1));
  lua_pop(r->L, 1);
  return n;
}

int lipc_process_options (lua_State *L, struct plan *p, int idx, bool fork) {
  struct reader r = {L, p, idx, 0, 0};
  struct lipcsys_child *c = &p->child;
  luaL_checktype(L, idx, LUA_TTABLE);
  luaL_checkstack(L, 20, NULL);
  lua_newtable(L);
  r.anchor = lua_gettop(L);
  lua_newtable(L);
  check_names(&r, fork);
  if (!fork) {
    read_argv(&r);
    read_env(&r);
    read_search(&r);
  }
  c->cwd = lipc_optstring(L, idx, "cwd", NULL);
  c->umask = read_umask(&r);
  c->nice = (int)lipc_optint(L, idx, "nice", -40, 40, 0);
  c->pgroup = read_pgroup(&r);
  c->session = lipc_optbool(L, idx, "session", false);
  c->keepmask = lipc_optbool(L, idx, "keep_mask", false);
  c->deathsig = read_deathsig(&r);
  p->kill_on_close = lipc_optbool(L, idx, "kill_on_close", false);
  p->threads = fork && lipc_optbool(L, idx, "threads", false);
  read_limits(&r);
  return read_descriptors(&r, r.anchor + 1);
}

/* ---- just before, and just after ---- */

int lipc_process_open (struct plan *p, const char **ret_path) {
  for (int i = 0; i < p->nopenings; i++) {
    struct opening *o = &p->openings[i];
    int e = lipcsys_openfile(o->path, o->mode, &o->fd);
    if (e < 0) {
      *ret_path = o->path;
      return e;
    }
    p->moves[o->move].from = o->fd;
  }
  for (int i = 0; i < p->child.nmoves; i++) {
    if (p->moves[i].from >= 0) continue;
    int same = SAME_AS(p->moves[i].from);
    p->moves[i].from = same;
    for (int k = 0; k < p->child.nmoves; k++)
      if (p->moves[k].to == same) p->moves[i].from = p->moves[k].from;
  }
  for (int i = 0; i < p->nhandles; i++) { /* a program expects its descriptors to block */
    (void)lipcsys_setnonblock(p->handles[i]->fd, false);
    p->handles[i]->io &= ~LIPC_IO_NONBLOCK;
  }
  return 0;
}

void lipc_process_close (lua_State *L, struct plan *p, bool ours) {
  for (int i = 0; i < p->nopenings; i++)
    if (p->openings[i].fd >= 0) (void)lipcsys_close(p->openings[i].fd);
  for (int i = 0; i < 3; i++) {
    if (p->theirs[i] != NULL) (void)lipc_shut(L, p->theirs[i]);
    if (ours && p->ours[i] != NULL) (void)lipc_shut(L, p->ours[i]);
  }
}
